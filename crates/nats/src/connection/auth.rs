//! What a server is told of who we are, for each connect anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_nats::{Auth as Answer, AuthError};
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
            let (jwt, pair) = read_again(path.clone()).await?;
            answer.jwt = Some(jwt);
            answer.signature = Some(sign(&pair, &nonce)?);
        }
    }
    Ok(answer)
}

async fn read_again(path: PathBuf) -> Result<(String, KeyPair), AuthError> {
    let read = tokio::task::spawn_blocking(move || {
        read_credentials(&path).map_err(|reason| format!("{} cannot be used: {reason}", path.display()))
    });
    read.await.map_err(|_| AuthError::new("nats.credentials cannot be read"))?.map_err(AuthError::new)
}

/// The JWT and the key in a file.
///
/// # Errors
/// Why it cannot be used, without a part of it.
pub(super) fn read_credentials(path: &Path) -> Result<(String, KeyPair), String> {
    Ok(parse_credentials(&read_text(path)?)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn file(jwt: &str, seed: &str) -> String {
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
            ************************* IMPORTANT *************************\n\
            NKEY Seed printed below can be used to sign and prove identity.\n\n\
            -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }

    #[test]
    fn the_jwt_and_the_key_are_found_in_a_file_as_nsc_writes_it() {
        let pair = KeyPair::new_user();
        let text = file("e30.e30.x-_", &pair.seed().unwrap());
        for text in [text.clone(), text.replace('\n', "\r\n")] {
            let (jwt, read) = parse_credentials(&text).unwrap();
            assert_eq!((jwt.as_str(), read.public_key()), ("e30.e30.x-_", pair.public_key()));
        }
    }

    #[test]
    fn a_file_without_one_of_them_is_refused_without_showing_it() {
        let seed = KeyPair::new_user().seed().unwrap();
        let other = if seed.as_bytes()[20] == b'A' { 'B' } else { 'A' };
        let broken = format!("{}{other}{}", &seed[..20], &seed[21..]);
        for text in ["", "x", &file("", &seed), &file("e30.e30.x", ""), &file("e30.e30.x", &broken), &seed] {
            let error = parse_credentials(text).err().unwrap();
            assert!(error.starts_with("it has no "), "{error}");
        }
    }

    #[tokio::test]
    async fn the_server_gets_a_signature_of_what_it_sent() {
        let pair = KeyPair::new_user();
        let auth = Auth::Nkey(eventflux_core::Secret::new(pair.seed().unwrap()));
        let answer = answer(Arc::new(auth), b"nonce".to_vec()).await.unwrap();
        assert_eq!(answer.nkey, Some(pair.public_key()));
        pair.verify(b"nonce", &answer.signature.unwrap()).unwrap();
    }
}
