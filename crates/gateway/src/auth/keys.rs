//! The keys that sign JSON Web Tokens: a secret, public keys in PEM, or a JSON Web Key Set (RFC 7517).

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eventflux_core::Secret;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use serde::Deserialize;
use serde_json::Value;

use super::Denied;

/// The most keys of a set; further ones are not looked at.
pub const MAX_KEYS: usize = 64;

/// The smallest RSA key that is accepted, in bits (RFC 7518 section 3.3).
pub const MIN_RSA_BITS: usize = 2048;

/// The largest RSA key that can be used, in bits: what the library below supports.
const MAX_RSA_BITS: usize = 4096;

/// The shortest secret that is accepted, in bytes (RFC 7518 section 3.2, for HS256). Who has a token can search a shorter
/// one at home.
pub const MIN_SECRET_BYTES: usize = 32;

/// The most keys tried for a token that does not name its key.
const MAX_CANDIDATES: usize = 8;

const SECRET_ALGORITHMS: &[Algorithm] = &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RSA_ALGORITHMS: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// How a token is signed (RFC 7518 section 3.1, RFC 8037 section 3.1). `none` is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Algorithm(jsonwebtoken::Algorithm);

/// Keys, each with the algorithms it is good for. Their debug form shows how many there are.
#[derive(Clone, Default)]
pub struct Keys(Vec<Key>);

#[derive(Clone)]
pub(super) struct Key {
    /// What tokens call it; `None`: it is meant whatever they say.
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// Why there are no keys. Nothing of a key is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// The secret is shorter than [`MIN_SECRET_BYTES`].
    #[error("has {0} bytes; a secret that signs tokens needs at least {MIN_SECRET_BYTES} (RFC 7518), best random ones")]
    ShortSecret(usize),
    /// There is a private key, which has no business here.
    #[error("holds a private key; give its public key (openssl pkey -pubout)")]
    PrivateKey,
    /// It is no PEM, or has no key in it.
    #[error("holds no PEM public key (-----BEGIN PUBLIC KEY-----)")]
    NoPem,
    /// A key of a kind that is not supported, too small, too large or broken.
    #[error("key {number} {reason}")]
    Unusable {
        /// Which one, from 1.
        number: usize,
        /// Why not.
        reason: &'static str,
    },
    /// It is no key set.
    #[error("is no JSON Web Key Set ({{\"keys\": [...]}})")]
    NoSet,
    /// None of the keys of the set can be used.
    #[error("has no key that can be used; the first one {0}")]
    NoneUsable(&'static str),
    /// The set is empty.
    #[error("has no keys in it")]
    Empty,
}

impl Algorithm {
    /// Every algorithm there is.
    pub const ALL: &'static [Self] = &[
        Self::HS256,
        Self::HS384,
        Self::HS512,
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EDDSA,
    ];

    const HS256: Self = Self(jsonwebtoken::Algorithm::HS256);
    const HS384: Self = Self(jsonwebtoken::Algorithm::HS384);
    const HS512: Self = Self(jsonwebtoken::Algorithm::HS512);
    const RS256: Self = Self(jsonwebtoken::Algorithm::RS256);
    const RS384: Self = Self(jsonwebtoken::Algorithm::RS384);
    const RS512: Self = Self(jsonwebtoken::Algorithm::RS512);
    const PS256: Self = Self(jsonwebtoken::Algorithm::PS256);
    const PS384: Self = Self(jsonwebtoken::Algorithm::PS384);
    const PS512: Self = Self(jsonwebtoken::Algorithm::PS512);
    const ES256: Self = Self(jsonwebtoken::Algorithm::ES256);
    const ES384: Self = Self(jsonwebtoken::Algorithm::ES384);
    const EDDSA: Self = Self(jsonwebtoken::Algorithm::EdDSA);

    /// The algorithm of that name, to the letter; `None` for `none` and others that are not supported.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        jsonwebtoken::Algorithm::from_str(name).ok().map(Self)
    }

    /// Whether who can verify with it can also sign: its key is a secret.
    #[must_use]
    pub fn is_symmetric(self) -> bool {
        SECRET_ALGORITHMS.contains(&self)
    }
}

/// Its name, as in the `alg` of a token.
impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Keys {
    /// A secret that both sides have: HS256, HS384 and HS512.
    ///
    /// # Errors
    /// [`KeysError::ShortSecret`]
    pub fn from_secret(secret: &Secret) -> Result<Self, KeysError> {
        let bytes = secret.expose().as_bytes();
        if bytes.len() < MIN_SECRET_BYTES {
            return Err(KeysError::ShortSecret(bytes.len()));
        }
        let key = DecodingKey::from_secret(bytes);
        Ok(Self(vec![Key { kid: None, algorithms: SECRET_ALGORITHMS.to_vec(), key }]))
    }

    /// Public keys of RSA, P-256, P-384 or Ed25519, or certificates with such keys; several one after the other.
    ///
    /// # Errors
    /// For anything else.
    pub fn from_pem(text: &str) -> Result<Self, KeysError> {
        if text.contains("PRIVATE KEY-----") {
            return Err(KeysError::PrivateKey);
        }
        let starts: Vec<_> = text.match_indices("-----BEGIN ").map(|(start, _)| start).take(MAX_KEYS).collect();
        let ends = starts.iter().copied().skip(1).chain([text.len()]);
        let mut keys = Vec::new();
        for (index, (start, end)) in starts.iter().copied().zip(ends).enumerate() {
            let unusable = |reason| KeysError::Unusable { number: index + 1, reason };
            keys.push(Key::from_pem(&text.as_bytes()[start..end]).map_err(unusable)?);
        }
        if keys.is_empty() { Err(KeysError::NoPem) } else { Ok(Self(keys)) }
    }

    /// The public signature keys of a set. Others in it are passed over, above all shared secrets, which have no business
    /// in a set that anybody can fetch.
    ///
    /// # Errors
    /// When it is no set, or no key in it can be used.
    pub fn from_jwks(json: &[u8]) -> Result<Self, KeysError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(json).map_err(|_| KeysError::NoSet)?;
        let keys = set.keys.into_iter().take(MAX_KEYS).map(Key::from_value);
        let (usable, unusable): (Vec<_>, Vec<_>) = keys.partition(Result::is_ok);
        if usable.is_empty() {
            let first = unusable.into_iter().find_map(Result::err);
            return Err(first.map_or(KeysError::Empty, KeysError::NoneUsable));
        }
        Ok(Self(usable.into_iter().flatten().collect()))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there are keys without a name, which tokens signed with a newer one cannot tell from it.
    #[must_use]
    pub fn has_unnamed(&self) -> bool {
        self.0.iter().any(|key| key.kid.is_none())
    }

    /// Whether one of them is good for that algorithm.
    #[must_use]
    pub fn supports(&self, algorithm: Algorithm) -> bool {
        self.0.iter().any(|key| key.algorithms.contains(&algorithm))
    }

    /// Whether the token is signed with one of the keys.
    pub(super) fn verify(&self, kid: Option<&str>, algorithm: Algorithm, token: Signed<'_>) -> Result<(), Denied> {
        let is_named = |key: &&Key| match (&key.kid, kid) {
            (Some(name), Some(kid)) => name == kid,
            _ => true,
        };
        let mut named = self.0.iter().filter(is_named).peekable();
        named.peek().ok_or(Denied::Key)?;
        let fitting = named.filter(|key| key.algorithms.contains(&algorithm));
        let mut fitting = fitting.take(MAX_CANDIDATES).peekable();
        fitting.peek().ok_or(Denied::Algorithm)?;
        let is_signed_with =
            |key: &Key| jsonwebtoken::crypto::verify(token.signature, token.message.as_bytes(), &key.key, algorithm.0);
        if fitting.any(|key| is_signed_with(key).unwrap_or(false)) { Ok(()) } else { Err(Denied::Signature) }
    }
}

/// The parts of a token that make up a signature.
#[derive(Clone, Copy)]
pub(super) struct Signed<'a> {
    /// Header and claims as they came.
    pub(super) message: &'a str,
    /// The signature in base64url.
    pub(super) signature: &'a str,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

impl Key {
    fn from_pem(pem: &[u8]) -> Result<Self, &'static str> {
        let kinds = [DecodingKey::from_ed_pem, DecodingKey::from_ec_pem, DecodingKey::from_rsa_pem];
        let key =
            kinds.iter().find_map(|read| read(pem).ok()).ok_or("is of a kind that is not supported, or broken")?;
        let jwk = Jwk::from_decoding_key(&key, None).map_err(|_| "is of a kind that is not supported, or broken")?;
        Self::from_jwk(&jwk)
    }

    fn from_value(value: Value) -> Result<Self, &'static str> {
        let jwk: Jwk = serde_json::from_value(value).map_err(|_| "is no JSON Web Key")?;
        let common = &jwk.common;
        let signs = |operation: &KeyOperations| matches!(operation, KeyOperations::Verify | KeyOperations::Sign);
        if common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature)
            || common.key_operations.as_ref().is_some_and(|operations| !operations.iter().any(signs))
        {
            return Err("is not for signatures");
        }
        Self::from_jwk(&jwk)
    }

    fn from_jwk(jwk: &Jwk) -> Result<Self, &'static str> {
        let mut algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(key) => {
                check_rsa(&key.n)?;
                RSA_ALGORITHMS.to_vec()
            }
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return Err("is on a curve that is not supported (P-256 and P-384 are)"),
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => vec![Algorithm::EDDSA],
            AlgorithmParameters::OctetKey(_) => return Err("is a shared secret"),
            _ => return Err("is of a kind that is not supported (RSA, EC and Ed25519 are)"),
        };
        if let Some(named) = jwk.common.key_algorithm {
            algorithms.retain(|algorithm| jsonwebtoken::jwk::KeyAlgorithm::from(algorithm.0) == named);
        }
        if algorithms.is_empty() {
            return Err("is for an algorithm that is not supported");
        }
        let key = DecodingKey::from_jwk(jwk).map_err(|_| "cannot be read")?;
        let probe = jsonwebtoken::crypto::verify("", b"", &key, algorithms[0].0);
        probe.map_err(|_| "cannot be read")?;
        Ok(Self { kid: jwk.common.key_id.clone(), algorithms, key })
    }
}

fn check_rsa(modulus: &str) -> Result<(), &'static str> {
    let modulus = URL_SAFE_NO_PAD.decode(modulus).map_err(|_| "cannot be read")?;
    let significant = &modulus[modulus.iter().take_while(|byte| **byte == 0).count()..];
    let bits = significant.first().map_or(0, |first| significant.len() * 8 - first.leading_zeros() as usize);
    match bits {
        ..MIN_RSA_BITS => Err("is an RSA key of less than 2048 bits"),
        MIN_RSA_BITS..=MAX_RSA_BITS => Ok(()),
        _ => Err("is an RSA key of more than 4096 bits"),
    }
}

#[cfg(test)]
mod tests;
