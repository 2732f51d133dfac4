//! JSON Web Tokens (RFC 7519): signed claims about who somebody is, what it may do, and until when.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eventflux_core::Secret;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value};

use super::keys::{Keys, Signed};
use super::templates::ChannelList;
use super::{Algorithm, Denied, GrantTemplates, Identity, MAX_GRANTS, check_user};

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// What a token must say to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtRules {
    /// How tokens may be signed; empty: in every way their key is good for.
    pub algorithms: Vec<Algorithm>,
    /// Of these the token must name one as its audience. Empty: a token that names any is refused, as it is meant for
    /// somebody else (RFC 7519 section 4.1.3).
    pub audiences: Vec<String>,
    /// Of these one must have issued the token; empty: anybody with the key.
    pub issuers: Vec<String>,
    /// How far the issuer's clock may be from ours.
    pub leeway: Duration,
    /// The claim with the user's name.
    pub user_claim: String,
    /// The claim with the channels: a list of patterns, or an object of lists `subscribe` and `publish`.
    pub channels_claim: String,
    /// Whether a token must say when it ends.
    pub expiry_required: bool,
    /// The grants of tokens that say nothing of channels.
    pub grants: GrantTemplates,
}

/// Judges tokens by [`JwtRules`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtVerifier {
    rules: JwtRules,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood; we understand none (RFC 7515 section 4.1.11).
    crit: Option<IgnoredAny>,
}

type Claims = Map<String, Value>;

impl JwtVerifier {
    /// One that goes by these rules.
    #[must_use]
    pub fn new(rules: JwtRules) -> Self {
        Self { rules }
    }

    /// Whom the token is about. `now` is the time by the wall clock.
    ///
    /// # Errors
    /// Why the token is refused; [`Denied::Key`] when it names a key that is not among `keys`, but may be one day.
    pub fn verify(&self, token: &Secret, keys: &Keys, now: SystemTime) -> Result<Identity, Denied> {
        let token = token.expose();
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Denied::Malformed);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(Denied::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(Denied::Malformed)?;
        let header: Header = decode(header)?;
        let algorithm = self.algorithm(&header)?;
        keys.verify(header.kid.as_deref(), algorithm, Signed { message, signature })?;
        // Only now is there a reason to believe anything.
        let claims: Claims = decode(claims)?;
        self.check_issuer(&claims)?;
        self.check_audience(&claims)?;
        let expires = self.check_times(&claims, now)?;
        let user = self.user(&claims)?;
        let grants = self.grants(&claims, user.as_deref())?;
        Ok(Identity { user, grants: Arc::new(grants), expires })
    }

    fn algorithm(&self, header: &Header) -> Result<Algorithm, Denied> {
        if header.crit.is_some() {
            return Err(Denied::Malformed);
        }
        let allowed =
            |algorithm: &Algorithm| self.rules.algorithms.is_empty() || self.rules.algorithms.contains(algorithm);
        Algorithm::named(&header.alg).filter(allowed).ok_or(Denied::Algorithm)
    }

    fn check_issuer(&self, claims: &Claims) -> Result<(), Denied> {
        let issuers = &self.rules.issuers;
        let issuer = claims.get("iss").and_then(Value::as_str);
        let known = issuer.is_some_and(|issuer| issuers.iter().any(|known| known == issuer));
        if issuers.is_empty() || known { Ok(()) } else { Err(Denied::Claim("iss")) }
    }

    fn check_audience(&self, claims: &Claims) -> Result<(), Denied> {
        let is_us = |value: &Value| value.as_str().is_some_and(|name| self.rules.audiences.iter().any(|us| us == name));
        let is_meant = match claims.get("aud") {
            None => self.rules.audiences.is_empty(),
            Some(Value::Array(audiences)) => audiences.iter().any(is_us),
            Some(audience) => is_us(audience),
        };
        if is_meant { Ok(()) } else { Err(Denied::Claim("aud")) }
    }

    /// When the token ends, leeway included.
    fn check_times(&self, claims: &Claims, now: SystemTime) -> Result<Option<SystemTime>, Denied> {
        if let Some(not_before) = date(claims, "nbf")?
            && now.checked_add(self.rules.leeway).is_none_or(|latest| latest < not_before)
        {
            return Err(Denied::NotYet);
        }
        let Some(expiry) = date(claims, "exp")? else {
            return if self.rules.expiry_required { Err(Denied::Claim("exp")) } else { Ok(None) };
        };
        let expires = expiry.checked_add(self.rules.leeway).ok_or(Denied::Claim("exp"))?;
        if expires <= now { Err(Denied::Expired) } else { Ok(Some(expires)) }
    }

    fn user(&self, claims: &Claims) -> Result<Option<Arc<str>>, Denied> {
        let user = match claims.get(&self.rules.user_claim) {
            Some(Value::String(name)) => name.clone(),
            Some(Value::Number(number)) if number.is_u64() || number.is_i64() => number.to_string(),
            _ => return Err(Denied::Claim("user")),
        };
        if check_user(&user) { Ok(Some(user.into())) } else { Err(Denied::Claim("user")) }
    }

    fn grants(&self, claims: &Claims, user: Option<&str>) -> Result<super::Grants, Denied> {
        let Some(channels) = claims.get(&self.rules.channels_claim) else {
            return self.rules.grants.for_user(user);
        };
        channel_claim(channels)?.for_user(user)
    }
}

/// The grants that a list of patterns stands for, or an object of such lists.
fn channel_claim(channels: &Value) -> Result<GrantTemplates, Denied> {
    match channels {
        Value::Array(_) => {
            let both = channel_list(Some(channels))?;
            Ok(GrantTemplates { subscribe: both.clone(), publish: both })
        }
        Value::Object(verbs) => Ok(GrantTemplates {
            subscribe: channel_list(verbs.get("subscribe"))?,
            publish: channel_list(verbs.get("publish"))?,
        }),
        _ => Err(Denied::Claim("channels")),
    }
}

/// A list that is not there is an empty one: what is not granted is not granted.
pub(super) fn channel_list(list: Option<&Value>) -> Result<ChannelList, Denied> {
    const INVALID: Denied = Denied::Claim("channels");
    let Some(list) = list else {
        return Ok(ChannelList::none());
    };
    let items = list.as_array().filter(|items| items.len() <= MAX_GRANTS).ok_or(INVALID)?;
    let items: Vec<_> = items.iter().map(Value::as_str).collect::<Option<_>>().ok_or(INVALID)?;
    ChannelList::parse(items).map_err(|_| INVALID)
}

/// Seconds since 1970, whole or not (`NumericDate`); a text is none, even if it looks like one.
fn date(claims: &Claims, name: &'static str) -> Result<Option<SystemTime>, Denied> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = value.as_f64().filter(|_| value.is_number());
    let since = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let date = since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
    date.map(Some).ok_or(Denied::Claim(name))
}

fn decode<T: DeserializeOwned>(part: &str) -> Result<T, Denied> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| Denied::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| Denied::Malformed)
}

#[cfg(test)]
mod tests;
