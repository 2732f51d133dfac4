//! Judges the credentials of clients, and counts.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use eventflux_core::metrics::Metrics;
use eventflux_core::{EventFluxError, Secret};
use eventflux_gateway::auth::{Attempts, Denied, GrantTemplates, Identity, JwtVerifier, Keys, Tokens, Users};
use eventflux_websocket_wire::handshake::{Refusal, RequestHead};

use super::callback::{ConnectHook, SubscribeHook};
use super::config::{AccessConfig, HookConfig, KeySource, Kind, List, check_algorithms};
use super::credentials::{BEARER, Credentials};
use super::file::WatchedFile;
use super::http::HttpClient;
use super::jwks::Jwks;
use crate::counters;
use crate::properties::access::{JWKS_URL, JWT_KEY_FILE};

/// The time over which failures of an address are counted.
const ATTEMPTS_WINDOW: Duration = Duration::from_secs(60);

/// When a client may come back that could not be judged.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(5);

/// Judges the credentials of the clients of a path.
pub(crate) struct Authenticator {
    judge: Judge,
    grants: GrantTemplates,
    query: Option<String>,
    subscribe_hook: Option<SubscribeHook>,
    attempts: Mutex<Attempts>,
    metrics: Metrics,
    path: String,
}

enum Judge {
    Everybody,
    Tokens(Source<Tokens>),
    Users(Source<Users>),
    Jwt(JwtVerifier, KeyRing),
    Service(ConnectHook),
}

/// A list that stays as it is, or that of a file.
enum Source<T> {
    Given(Arc<T>),
    File(Arc<WatchedFile<T>>),
}

enum KeyRing {
    Local(Source<Keys>),
    Published(Arc<Jwks>),
}

impl Authenticator {
    /// Reads the files; asks nobody yet.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what is wrong with a file, with its property.
    pub(crate) fn new(config: &AccessConfig, path: &str, metrics: &Metrics) -> Result<Arc<Self>, EventFluxError> {
        let http = HttpClient::new();
        let hook = |config: &HookConfig| {
            config.url.warn_if_exposed(config.property);
            SubscribeHook::new(config, &http)
        };
        Ok(Arc::new(Self {
            judge: Judge::new(config, path, &http)?,
            grants: config.grants.clone(),
            query: config.query.clone(),
            subscribe_hook: config.subscribe_hook.as_ref().map(hook),
            attempts: Mutex::new(Attempts::new(config.attempts, ATTEMPTS_WINDOW)),
            metrics: metrics.clone(),
            path: path.to_owned(),
        }))
    }

    /// Fetches what the first client would have to wait for, in the background. Needs a runtime.
    pub(crate) fn prepare(&self) {
        if let Judge::Jwt(_, KeyRing::Published(jwks)) = &self.judge {
            let jwks = jwks.clone();
            drop(tokio::spawn(async move { jwks.keys().await }));
        }
    }

    /// The credentials of a request, and the subprotocol to answer with when no other one is agreed upon.
    pub(crate) fn credentials(&self, request: &RequestHead) -> (Credentials, Option<&'static str>) {
        if !self.requires_authentication() {
            return (Credentials::None, None);
        }
        let found = Credentials::of_header(request);
        if !self.may_authenticate_by_message() {
            return (found, None);
        }
        let found = found.or_else(|| Credentials::of_subprotocols(request));
        let of_query = |name: &String| Credentials::of_query(request, name);
        let found = found.or_else(|| self.query.as_ref().map_or(Credentials::None, of_query));
        (found, request.subprotocols().find(|name| *name == BEARER).map(|_| BEARER))
    }

    /// The query parameter that may have a token.
    pub(crate) fn query_parameter(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Whether clients have to prove who they are.
    pub(crate) fn requires_authentication(&self) -> bool {
        !matches!(self.judge, Judge::Everybody)
    }

    /// Whether the credentials of clients are such that a message can hold them.
    pub(crate) fn may_authenticate_by_message(&self) -> bool {
        !matches!(self.judge, Judge::Everybody | Judge::Users(_))
    }

    /// Who has these credentials. Needs a runtime; dropping it loses nothing.
    ///
    /// # Errors
    /// Why nobody is let in with them.
    pub(crate) async fn authenticate(&self, credentials: Credentials, address: IpAddr) -> Result<Identity, Denied> {
        let judged = self.judge(&credentials, address).await;
        self.record(&judged, address);
        judged
    }

    /// The identity of a session whose client shows new credentials: the same user's.
    ///
    /// # Errors
    /// As for [`Authenticator::authenticate`], and [`Denied::OtherUser`].
    pub(crate) async fn authenticate_again(
        &self,
        before: &Identity,
        credentials: Credentials,
        address: IpAddr,
    ) -> Result<Identity, Denied> {
        let judged = self.judge(&credentials, address).await.and_then(|new| before.renewed(new));
        self.record(&judged, address);
        judged
    }

    /// Whether a service has a say in each subscription.
    pub(crate) fn has_subscribe_hook(&self) -> bool {
        self.subscribe_hook.is_some()
    }

    /// Whether the service that has a say in each subscription allows this one; always, when there is none. What the user
    /// is granted is looked at elsewhere, and before.
    ///
    /// # Errors
    /// [`Denied::Unavailable`] when the service does not say.
    pub(crate) async fn may_subscribe(&self, user: Option<&str>, session: &str, channel: &str) -> Result<bool, Denied> {
        match &self.subscribe_hook {
            Some(hook) => hook.allows(user, session, channel).await,
            None => Ok(true),
        }
    }

    /// What to answer instead of an upgrade.
    pub(crate) fn refusal(&self, denied: &Denied) -> Refusal {
        let retry = |after: Duration| ("Retry-After", after.as_secs().saturating_add(1).to_string());
        let scheme = if matches!(self.judge, Judge::Users(_)) { "Basic" } else { "Bearer" };
        let header = match denied {
            Denied::Unavailable => retry(UNAVAILABLE_RETRY),
            Denied::LockedOut { retry_after } => retry(*retry_after),
            _ => ("WWW-Authenticate", format!("{scheme} realm=\"eventflux\"")),
        };
        Refusal::Status { status: denied.status(), reason: denied.problem().to_string().into(), headers: vec![header] }
    }

    /// Somebody without credentials, where they may be without.
    ///
    /// # Errors
    /// When what anonymous clients may do cannot be told without a user.
    pub(crate) fn anonymous(&self) -> Result<Identity, Denied> {
        Ok(Identity::anonymous(Arc::new(self.grants.for_user(None)?)))
    }

    async fn judge(&self, credentials: &Credentials, address: IpAddr) -> Result<Identity, Denied> {
        if let Judge::Everybody = self.judge {
            return self.anonymous();
        }
        if *credentials == Credentials::None {
            return Err(Denied::Missing);
        }
        self.attempts().check(address, Instant::now())?;
        match (&self.judge, credentials) {
            (Judge::Tokens(tokens), Credentials::Token(token)) => tokens.current().await.verify(token, &self.grants),
            (Judge::Users(users), Credentials::Basic { user, password }) => {
                users.current().await.verify(user, password, &self.grants)
            }
            (Judge::Jwt(verifier, keys), Credentials::Token(token)) => keys.verify(verifier, token).await,
            (Judge::Service(hook), credentials) => hook.identify(credentials, address).await,
            _ => Err(Denied::Malformed),
        }
    }

    fn record(&self, judged: &Result<Identity, Denied>, address: IpAddr) {
        let path = &self.path;
        counters::authenticated(&self.metrics, path, judged.as_ref().err());
        let denied = match judged {
            Ok(identity) => {
                let user = identity.user.as_deref().unwrap_or("nobody in particular");
                return log::debug!("{path}: {address} is {user}");
            }
            Err(denied) => denied,
        };
        log::debug!("{path}: {address} is not let in: {denied}");
        if denied.is_failure() && self.attempts().failed(address, Instant::now()) {
            log::warn!("{path}: {address} failed to authenticate too often and is locked out until the minute is over");
        }
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Judge {
    fn new(config: &AccessConfig, path: &str, http: &Arc<HttpClient>) -> Result<Self, EventFluxError> {
        Ok(match &config.kind {
            Kind::None => Self::Everybody,
            Kind::Token(list) => {
                Self::Tokens(Source::open(list, |text| Tokens::parse_file(text).map_err(|error| error.to_string()))?)
            }
            Kind::Basic(list) => {
                Self::Users(Source::open(list, |text| Users::parse_file(text).map_err(|error| error.to_string()))?)
            }
            Kind::Jwt(rules, source) => {
                let keys = KeyRing::new(source, http)?;
                if let KeyRing::Local(Source::File(file)) = &keys {
                    check_algorithms(JWT_KEY_FILE.key, &rules.algorithms, &file.known())?;
                }
                Self::Jwt(JwtVerifier::new((**rules).clone()), keys)
            }
            Kind::Http(connect) => {
                connect.hook.url.warn_if_exposed(connect.hook.property);
                Self::Service(ConnectHook::new(connect, &config.grants, path, http))
            }
        })
    }
}

impl<T: Clone + Send + Sync + 'static> Source<T> {
    fn open(list: &List<T>, parse: fn(&str) -> Result<T, String>) -> Result<Self, EventFluxError> {
        Ok(match list {
            List::Given(list) => Self::Given(Arc::new(list.clone())),
            List::File(file) => Self::File(WatchedFile::open(file.clone(), parse)?),
        })
    }

    async fn current(&self) -> Arc<T> {
        match self {
            Self::Given(list) => list.clone(),
            Self::File(file) => file.current().await,
        }
    }
}

impl KeyRing {
    fn new(source: &KeySource, http: &Arc<HttpClient>) -> Result<Self, EventFluxError> {
        let bad = |error: eventflux_gateway::auth::KeysError| EventFluxError::configuration(error.to_string());
        Ok(match source {
            KeySource::Secret(secret) => Self::local(Keys::from_secret(secret).map_err(bad)?),
            KeySource::Pem(pem) => Self::local(Keys::from_pem(pem).map_err(bad)?),
            KeySource::File(file) => {
                let parse = |text: &str| Keys::from_pem(text).map_err(|error| error.to_string());
                Self::Local(Source::File(WatchedFile::open(file.clone(), parse)?))
            }
            KeySource::Published { url, refresh } => {
                url.warn_if_exposed(JWKS_URL.key);
                Self::Published(Jwks::new(url.clone(), *refresh, http.clone()))
            }
        })
    }

    fn local(keys: Keys) -> Self {
        Self::Local(Source::Given(Arc::new(keys)))
    }

    async fn verify(&self, verifier: &JwtVerifier, token: &Secret) -> Result<Identity, Denied> {
        let verify = |keys: &Keys| verifier.verify(token, keys, SystemTime::now());
        let jwks = match self {
            Self::Local(keys) => return verify(&*keys.current().await),
            Self::Published(jwks) => jwks,
        };
        let keys = jwks.keys().await.ok_or(Denied::Unavailable)?;
        match verify(&keys) {
            // A key that is not known yet; without names, one cannot be told from a wrong one.
            Err(denied @ (Denied::Key | Denied::Signature)) if denied == Denied::Key || keys.has_unnamed() => {
                jwks.other_than(Some(keys)).await.map_or(Err(denied), |newer| verify(&newer))
            }
            verified => verified,
        }
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("required", &self.requires_authentication()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
