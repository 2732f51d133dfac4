//! Services of the operator's own that say who a client is, and whether it may subscribe.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use eventflux_gateway::auth::{ChannelList, Denied, GrantTemplates, Identity, check_user};
use hyper::StatusCode;
use openssl::sha::Sha256;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::cache::{Cache, Key};
use super::config::{ConnectConfig, HookConfig};
use super::credentials::Credentials;
use super::http::{Answer, HttpClient};

/// How often it is logged, at most, that a service does not answer as it should.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// Asks who a client is.
pub(super) struct ConnectHook {
    service: Arc<Service>,
    keep: Duration,
    grants: GrantTemplates,
    path: String,
    cache: Arc<Cache>,
}

/// Asks whether a user may subscribe.
pub(super) struct SubscribeHook(Service);

struct Service {
    config: HookConfig,
    http: Arc<HttpClient>,
    complained: Mutex<Option<Instant>>,
}

/// What a service is told about a client.
#[derive(Serialize)]
struct Question<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    address: IpAddr,
    path: &'a str,
}

#[derive(Deserialize)]
struct ConnectAnswer {
    user: Option<String>,
    subscribe: Option<Vec<String>>,
    publish: Option<Vec<String>>,
    /// Seconds.
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct SubscribeAnswer {
    allow: bool,
}

impl ConnectHook {
    pub(super) fn new(config: &ConnectConfig, grants: &GrantTemplates, path: &str, http: &Arc<HttpClient>) -> Self {
        Self {
            service: Arc::new(Service::new(&config.hook, http)),
            keep: config.keep,
            grants: grants.clone(),
            path: path.to_owned(),
            cache: Arc::default(),
        }
    }

    /// Who has these credentials, by what the service says, or said a moment ago.
    ///
    /// # Errors
    /// [`Denied::Unknown`] when it says no, [`Denied::Unavailable`] when it says nothing that can be understood.
    pub(super) async fn identify(&self, credentials: &Credentials, address: IpAddr) -> Result<Identity, Denied> {
        let (token, user, password) = match credentials {
            Credentials::Token(token) => (Some(token.expose()), None, None),
            Credentials::Basic { user, password } => (None, Some(user.as_str()), Some(password.expose())),
            Credentials::None => return Err(Denied::Missing),
            Credentials::Malformed => return Err(Denied::Malformed),
        };
        let question = Question { token, user, password, address, path: &self.path };
        let question = Bytes::from(serde_json::to_vec(&question).map_err(|_| Denied::Malformed)?);
        let key = digest(&question);
        let (service, keep, grants) = (self.service.clone(), self.keep, self.grants.clone());
        let ask = async move {
            let answer = service.ask(question).await?;
            let identity = judge(&service, &answer, &grants, SystemTime::now())?;
            let left = identity.expires.map(|expires| expires.duration_since(SystemTime::now()).unwrap_or_default());
            Ok((identity, left.map_or(keep, |left| left.min(keep))))
        };
        self.cache.get_or_ask(key, ask).await
    }
}

impl SubscribeHook {
    pub(super) fn new(config: &HookConfig, http: &Arc<HttpClient>) -> Self {
        Self(Service::new(config, http))
    }

    /// Whether the service allows it.
    ///
    /// # Errors
    /// [`Denied::Unavailable`] when it does not say.
    pub(super) async fn allows(&self, user: Option<&str>, session: &str, channel: &str) -> Result<bool, Denied> {
        let question = json!({"user": user, "session": session, "channel": channel}).to_string();
        let answer = self.0.ask(question.into()).await?;
        match answer.status {
            StatusCode::OK => {
                let answer: SubscribeAnswer = self.0.parse(&answer)?;
                Ok(answer.allow)
            }
            StatusCode::FORBIDDEN => Ok(false),
            status => Err(self.0.complain(&format!("status {}", status.as_u16()))),
        }
    }
}

impl Service {
    fn new(config: &HookConfig, http: &Arc<HttpClient>) -> Self {
        Self { config: config.clone(), http: http.clone(), complained: Mutex::default() }
    }

    async fn ask(&self, question: Bytes) -> Result<Answer, Denied> {
        let answer = self.http.post(&self.config.url, question, self.config.timeout).await;
        answer.map_err(|error| self.complain(&error.to_string()))
    }

    fn parse<'a, T: Deserialize<'a>>(&self, answer: &'a Answer) -> Result<T, Denied> {
        // Where an error is says nothing of what is there.
        let place = |error: serde_json::Error| format!("its answer is not as agreed (column {})", error.column());
        serde_json::from_slice(&answer.body).map_err(|error| self.complain(&place(error)))
    }

    fn complain(&self, reason: &str) -> Denied {
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL) {
            *complained = Some(Instant::now());
            log::warn!("{}: {reason}", self.config.url);
        }
        Denied::Unavailable
    }
}

/// Whom the answer is about.
fn judge(service: &Service, answer: &Answer, grants: &GrantTemplates, now: SystemTime) -> Result<Identity, Denied> {
    match answer.status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(Denied::Unknown),
        status if status.is_redirection() => return Err(service.complain("it redirects, which is not followed")),
        status => return Err(service.complain(&format!("status {}", status.as_u16()))),
    }
    let answer: ConnectAnswer = service.parse(answer)?;
    if answer.user.as_deref().is_some_and(|user| !check_user(user)) {
        return Err(service.complain("its answer has a user without a proper name"));
    }
    let expires = match answer.expires_in {
        None => None,
        Some(0) => return Err(Denied::Expired),
        Some(seconds) => now.checked_add(Duration::from_secs(seconds)),
    };
    let told = told_grants(&answer).map_err(|problem| service.complain(&problem))?;
    let user = answer.user.as_deref();
    let grants = told.as_ref().unwrap_or(grants).for_user(user)?;
    Ok(Identity { user: user.map(Arc::from), grants: Arc::new(grants), expires })
}

/// The grants of an answer that says something of channels; what it does not mention then is not granted.
fn told_grants(answer: &ConnectAnswer) -> Result<Option<GrantTemplates>, String> {
    let list = |list: &Option<Vec<String>>| {
        let list = ChannelList::parse(list.iter().flatten().map(String::as_str));
        list.map_err(|problem| format!("its answer grants what is no channel: {problem}"))
    };
    if answer.subscribe.is_none() && answer.publish.is_none() {
        return Ok(None);
    }
    Ok(Some(GrantTemplates { subscribe: list(&answer.subscribe)?, publish: list(&answer.publish)? }))
}

fn digest(question: &[u8]) -> Key {
    let mut digest = Sha256::new();
    digest.update(question);
    digest.finish()
}

#[cfg(test)]
mod tests;
