//! Who clients are and what they may use, as the program decides.

use std::sync::Arc;

use async_trait::async_trait;
use eventflux_core::escape_control;

use crate::Problem;
use crate::auth::{Denied, check_user};

/// Longest reason of a handler that is passed on, in characters.
const MAX_REASON_CHARACTERS: usize = 200;

/// Decides who clients are, and which channels they may use.
///
/// ```
/// # use std::sync::Arc;
/// # struct Database;
/// # impl Database {
/// #     async fn check_channel_permission(&self, user_id: &str, channel: &str) -> bool { !channel.is_empty() }
/// # }
/// # async fn validate_token(token: &str) -> Result<String, String> { Ok(token.to_owned()) }
/// use eventflux_gateway::websocket::AuthHandler;
///
/// struct MyAuthHandler {
///     db: Arc<Database>,
/// }
///
/// #[async_trait::async_trait]
/// impl AuthHandler for MyAuthHandler {
///     async fn authenticate(&self, token: &str) -> Result<String, String> {
///         // Validate JWT or API key
///         match validate_token(token).await {
///             Ok(user_id) => Ok(user_id),
///             Err(e) => Err(format!("Authentication failed: {}", e))
///         }
///     }
///
///     async fn check_permission(&self, user_id: &str, channel: &str) -> bool {
///         // Check if user can access channel
///         self.db.check_channel_permission(user_id, channel).await
///     }
/// }
///
/// # use eventflux_gateway::websocket::{WebSocketConfig, WebSocketManager};
/// # let (config, db) = (WebSocketConfig::default(), Arc::new(Database));
/// let manager = WebSocketManager::new(config).with_auth_handler(MyAuthHandler { db });
/// ```
#[async_trait]
pub trait AuthHandler: Send + Sync {
    /// The id of the user a token stands for. It is 1 to 256 bytes long and has no control characters.
    ///
    /// # Errors
    /// Why the token is not accepted: for the log and for
    /// [`AuthenticationFailed`](super::WsError::AuthenticationFailed). The client is told nothing but that it is not, so
    /// that guessing is not helped; the token itself is cut out.
    async fn authenticate(&self, token: &str) -> Result<String, String>;

    /// Whether a user may use a channel: subscribe to it, and send messages for it.
    async fn check_permission(&self, user_id: &str, channel: &str) -> bool;

    /// Whether a user may subscribe to all channels whose names begin alike; `pattern` ends in `*`. Nobody may unless a
    /// handler says so: one that knows channels by name only would let a pattern reach what it forbids.
    async fn check_pattern(&self, user_id: &str, pattern: &str) -> bool {
        let _ = (user_id, pattern);
        false
    }
}

#[async_trait]
impl<H: AuthHandler + ?Sized> AuthHandler for Arc<H> {
    async fn authenticate(&self, token: &str) -> Result<String, String> {
        (**self).authenticate(token).await
    }

    async fn check_permission(&self, user_id: &str, channel: &str) -> bool {
        (**self).check_permission(user_id, channel).await
    }

    async fn check_pattern(&self, user_id: &str, pattern: &str) -> bool {
        (**self).check_pattern(user_id, pattern).await
    }
}

/// Why a client is not who it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What the client is told.
    pub(super) told: Problem,
    /// What the program is told.
    pub(super) reason: String,
    /// Whether it may have been a guess.
    pub(super) is_failure: bool,
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        Self { told: denied.problem(), reason: denied.to_string(), is_failure: denied.is_failure() }
    }
}

/// Asks who a token stands for.
pub(super) async fn user_of(handler: &dyn AuthHandler, token: &str) -> Result<Arc<str>, Refusal> {
    match handler.authenticate(token).await {
        Ok(user) if check_user(&user) => Ok(user.into()),
        Ok(_) => Err(Refusal {
            told: Denied::Unavailable.problem(),
            reason: "the user id of the auth handler is empty, longer than 256 bytes or has control characters"
                .to_owned(),
            is_failure: false,
        }),
        Err(reason) => Err(Refusal { reason: shown(&reason, token), ..Denied::Unknown.into() }),
    }
}

/// A text that may hold anything, fit for a log.
fn shown(reason: &str, token: &str) -> String {
    let reason = if token.is_empty() { reason.to_owned() } else { reason.replace(token, "***") };
    let beginning: String = reason.chars().take(MAX_REASON_CHARACTERS).collect();
    escape_control(&beginning).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_handler_has_neither_the_token_nor_line_breaks() {
        let shown_reason = shown("token 'secret' is bad\nuser=admin", "secret");
        assert_eq!(shown_reason, "token '***' is bad\\nuser=admin");
        assert_eq!(shown("empty", ""), "empty");
        assert_eq!(shown(&"x".repeat(1000), "t").len(), MAX_REASON_CHARACTERS);
    }
}
