//! What sessions want done, and who decides about it.

use eventflux_core::Secret;
use serde_json::Value;

use super::auth::Refusal;
use super::connection::Connection;
use super::decision::{Answer, Pending};
use super::shared::Shared;
use super::{Received, RequestId, WsMessage};
use crate::auth::Denied;
use crate::{Authenticated, Effect, Inbound, Pattern, Problem};

impl Shared {
    /// Carries out what a session wants done; returns a message for the program.
    pub(super) async fn carry_out(&self, connection: &Connection, effect: Effect, text: &str) -> Option<Received> {
        match effect {
            Effect::Authenticate(token) => {
                self.authenticate(connection, &token).await.ok();
                None
            }
            Effect::Authorize(patterns) => {
                self.authorize(connection, &patterns).await;
                None
            }
            Effect::Deliver(inbound) => self.deliver(connection, inbound, text).await,
        }
    }

    /// Finds out who the client is, and tells the session.
    pub(super) async fn authenticate(&self, connection: &Connection, token: &Secret) -> Result<Authenticated, Refusal> {
        let now = self.now();
        let undecided = || Refusal::from(Denied::Unavailable);
        let pending = Pending::new(connection, Answer::Identity(Err(undecided().told)), now);
        let address = connection.address.ip().to_canonical();
        let verified = connection.decide(self.verify(address, token), now).await;
        let verified = verified.unwrap_or_else(|| Err(undecided()));
        pending.answer(Answer::Identity(verified.clone().map_err(|refusal| refusal.told)));
        verified
    }

    async fn authorize(&self, connection: &Connection, patterns: &[Pattern]) {
        let now = self.now();
        let pending = Pending::new(connection, Answer::Subscriptions(Vec::new()), now);
        let user = connection.session(|session| session.user().cloned()).ok().flatten();
        let decision = async {
            let mut allowed = Vec::new();
            // Further ones could not be subscribed to anyway: one message must not cost any number of questions.
            for pattern in patterns.iter().take(self.config().max_subscriptions_per_connection) {
                allowed.push(self.permits(user.as_deref(), pattern).await);
            }
            allowed
        };
        let allowed = connection.decide(decision, now).await;
        pending.answer(Answer::Subscriptions(allowed.unwrap_or_default()));
    }

    /// The message as the program gets it; `None` when it is refused, and the client is told.
    async fn deliver(&self, connection: &Connection, inbound: Inbound, text: &str) -> Option<Received> {
        let now = self.now();
        let user = connection.session(|session| session.user().cloned()).ok().flatten();
        let refusal = denied(inbound.channel.as_deref().unwrap_or(&inbound.kind), user.as_deref());
        let pending = Pending::new(connection, Answer::Rejected(inbound.clone(), refusal), now);
        if let Some(channel) = &inbound.channel {
            let channel = Pattern::parse(channel).ok()?;
            let permits = self.permits(user.as_deref(), &channel);
            connection.decide(permits, now).await.filter(|permitted| *permitted)?;
        }
        match message(text) {
            Ok(message) => {
                pending.answer(Answer::Delivered);
                Some(Received { message, channel: inbound.channel, request: inbound.request.map(RequestId) })
            }
            Err(problem) => {
                pending.answer(Answer::Rejected(inbound, problem));
                None
            }
        }
    }
}

fn denied(channel: &str, user: Option<&str>) -> Problem {
    Problem::PermissionDenied { channel: channel.to_owned(), user: user.map(str::to_owned) }
}

/// The text of a client's message that the protocol knows already.
fn message(text: &str) -> Result<WsMessage, Problem> {
    let message = serde_json::from_str(text).map_err(|error| Problem::InvalidMessage(error.to_string()));
    message.map(|message: WsMessage| match message.data {
        Value::Null => WsMessage { data: serde_json::json!({}), ..message },
        _ => message,
    })
}
