//! What a server is told of who we are, for each connect anew.

use std::path::Path;
use std::sync::Arc;

use async_nats::{Auth as Answer, AuthError};
use eventflux_core::EventFluxError;
use nkeys::KeyPair;

use crate::config::Auth;

/// Largest credentials file, in bytes.
const MAX_CREDENTIALS: u64 = 64 * 1024;

/// The answer to a server that sent `nonce`.
pub(super) async fn answer(auth: Arc<Auth>, nonce: Vec<u8>) -> Result<Answer, AuthError> {
    let mut answer = Answer::new();
    match &*auth {
        Auth::None => {}
        Auth::Token(token) => answer.token = Some(token.expose().to_owned()),
        Auth::User(user, password) => {
            answer.username = Some(user.clone());
            answer.password = Some(password.expose().to_owned());
        }
        Auth::Nkey(seed) => {
            let pair = key_pair(seed.expose()).map_err(AuthError::new)?;
            answer.nkey = Some(pair.public_key());
            answer.signature = Some(sign(&pair, &nonce)?);
        }
        Auth::Credentials(path) => {
            let (jwt, pair) = read_credentials(path.clone()).await.map_err(AuthError::new)?;
            answer.jwt = Some(jwt);
            answer.signature = Some(sign(&pair, &nonce)?);
        }
    }
    Ok(answer)
}

/// Finds out before the first connect what cannot work.
pub(super) async fn check(auth: &Auth) -> Result<(), EventFluxError> {
    let Auth::Credentials(path) = auth else { return Ok(()) };
    let read = read_credentials(path.clone()).await;
    read.map(drop).map_err(|reason| EventFluxError::property("nats.credentials", reason))
}

async fn read_credentials(path: std::path::PathBuf) -> Result<(String, KeyPair), String> {
    let read = tokio::task::spawn_blocking(move || {
        let of_file = |reason: String| format!("{}: {reason}", path.display());
        let text = read_text(&path).map_err(of_file)?;
        parse_credentials(&text).map_err(|reason| of_file(reason.to_owned()))
    });
    read.await.map_err(|_| "it could not be read".to_owned())?
}

fn read_text(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_CREDENTIALS {
        return Err(format!("it has more than {MAX_CREDENTIALS} bytes"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// The JWT and the key of a file as `nsc` writes it: each stands between lines of dashes with a name.
fn parse_credentials(text: &str) -> Result<(String, KeyPair), &'static str> {
    let jwt = section(text, "NATS USER JWT").ok_or("it has no section NATS USER JWT")?;
    let seed = section(text, "USER NKEY SEED").ok_or("it has no section USER NKEY SEED")?;
    Ok((jwt.to_owned(), key_pair(seed)?))
}

fn section<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.starts_with("---") && line.contains("BEGIN") && line.contains(name))?;
    lines.find(|line| !line.is_empty()).filter(|line| !line.starts_with("---"))
}

/// The library's own error has parts of the seed.
fn key_pair(seed: &str) -> Result<KeyPair, &'static str> {
    KeyPair::from_seed(seed).map_err(|_| "it has no valid seed of an nkey")
}

fn sign(pair: &KeyPair, nonce: &[u8]) -> Result<Vec<u8>, AuthError> {
    pair.sign(nonce).map_err(|_| AuthError::new("the nkey cannot sign"))
}
