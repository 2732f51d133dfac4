//! What a connection has to ask about its client: who it is, and what it may subscribe to.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use eventflux_core::{BoxFuture, Secret};
use eventflux_gateway::auth::{Denied, Identity};
use eventflux_gateway::{Authenticated, Pattern, Problem};

use crate::access::{Authenticator, Credentials};

/// Further away than any expiry that matters.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What was found out.
pub(super) enum Asked {
    Authenticated(Result<Authenticated, Problem>),
    /// In the order of the patterns.
    Authorized(Vec<bool>),
}

/// Asks for one client.
#[derive(Debug, Clone)]
pub(super) struct Permission {
    authenticator: Arc<Authenticator>,
    address: IpAddr,
}

impl Permission {
    pub(super) fn new(authenticator: Arc<Authenticator>, address: IpAddr) -> Self {
        Self { authenticator, address }
    }

    /// Who has this token; `before`: who the client is until now.
    pub(super) fn authenticate(&self, token: Secret, before: Option<Identity>) -> BoxFuture<'static, Asked> {
        let Self { authenticator, address } = self.clone();
        Box::pin(async move {
            let credentials = Credentials::Token(token);
            let identity = match before.filter(|identity| identity.user.is_some()) {
                Some(before) => authenticator.authenticate_again(&before, credentials, address).await,
                None => authenticator.authenticate(credentials, address).await,
            };
            Asked::Authenticated(identity.map(authenticated).map_err(|denied| denied.problem()))
        })
    }

    /// Whether the client may subscribe to each of these.
    pub(super) fn authorize(
        &self,
        user: Option<&Arc<str>>,
        session: String,
        patterns: Vec<Pattern>,
    ) -> BoxFuture<'static, Asked> {
        let (authenticator, user) = (self.authenticator.clone(), user.cloned());
        Box::pin(async move {
            let mut allowed = Vec::with_capacity(patterns.len());
            for pattern in &patterns {
                let answer = authenticator.may_subscribe(user.as_deref(), &session, pattern.text()).await;
                // Who cannot be asked does not allow it.
                allowed.push(answer.unwrap_or(false));
            }
            Asked::Authorized(allowed)
        })
    }
}

/// Who asks for an upgrade; `None` when it will say so by a message.
///
/// # Errors
/// When the credentials are not accepted, or there have to be some.
pub(super) async fn authenticate(
    authenticator: &Authenticator,
    credentials: Credentials,
    may_wait: bool,
    required: bool,
    address: IpAddr,
) -> Result<Option<Authenticated>, Denied> {
    let has_none = credentials == Credentials::None && authenticator.requires_authentication();
    if has_none && !required {
        return Ok(Some(authenticated(authenticator.anonymous()?)));
    }
    if has_none && may_wait {
        return Ok(None);
    }
    authenticator.authenticate(credentials, address).await.map(|identity| Some(authenticated(identity)))
}

/// The wall clock is looked at once, here: from now on time is monotonic.
fn authenticated(identity: Identity) -> Authenticated {
    let left = identity.expires.map(|at| at.duration_since(SystemTime::now()).unwrap_or_default().min(LONGEST));
    Authenticated { identity, expires: left.map(|left| Instant::now() + left) }
}
