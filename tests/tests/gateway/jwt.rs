//! Tokens, good and bad ones.

use std::time::{SystemTime, UNIX_EPOCH};

use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use serde_json::{Value, json};

/// What signs tokens; it is long enough for HS512.
pub(super) const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2-hunter2-hunter2-hunter2-hunter2";

/// A token of a user, signed with [`SECRET`].
pub(super) fn of(user: &str) -> String {
    with(&json!({ "sub": user, "exp": in_seconds(3600) }))
}

/// A token with these claims, signed with [`SECRET`].
pub(super) fn with(claims: &Value) -> String {
    signed(&json!({ "alg": "HS256", "typ": "JWT" }), claims, SECRET.as_bytes())
}

/// A token signed with HMAC and SHA-256, whatever its header says.
pub(super) fn signed(header: &Value, claims: &Value, key: &[u8]) -> String {
    let key = PKey::hmac(key).unwrap();
    sealed(header, claims, |message| sign(&key, message))
}

/// A token signed with RSA and SHA-256.
pub(super) fn signed_by_rsa(header: &Value, claims: &Value, key: &PKey<Private>) -> String {
    sealed(header, claims, |message| sign(key, message))
}

/// A token without a signature.
pub(super) fn unsigned(claims: &Value) -> String {
    sealed(&json!({ "alg": "none" }), claims, |_| Vec::new())
}

/// A key pair, and its public half as PEM.
pub(super) fn rsa() -> (PKey<Private>, String) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let public = String::from_utf8(key.public_key_to_pem().unwrap()).unwrap();
    (key, public)
}

/// The public half of a key pair as a member of a JSON Web Key Set, under this name.
pub(super) fn published(key: &PKey<Private>, name: &str) -> Value {
    let rsa = key.rsa().unwrap();
    let (n, e) = (encoded(&rsa.n().to_vec()), encoded(&rsa.e().to_vec()));
    json!({ "kty": "RSA", "kid": name, "alg": "RS256", "use": "sig", "n": n, "e": e })
}

/// The time in so many seconds, as claims have it.
pub(super) fn in_seconds(seconds: i64) -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 + seconds
}

fn sealed(header: &Value, claims: &Value, seal: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
    let signature = encoded(&seal(message.as_bytes()));
    format!("{message}.{signature}")
}

fn sign(key: &PKey<Private>, message: &[u8]) -> Vec<u8> {
    let mut signer = Signer::new(MessageDigest::sha256(), key).unwrap();
    signer.sign_oneshot_to_vec(message).unwrap()
}

/// Base64 for URLs, without padding.
fn encoded(bytes: &[u8]) -> String {
    openssl::base64::encode_block(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}
