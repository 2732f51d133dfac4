//! The events protocol: an event's type is the channel it was published to, and any type of a client's message that is
//! none of the protocol's is a command for the pipeline.
//!
//! Additions to it, none of which a client sees that does not ask for it: authentication by message, correlation ids
//! and the answers to them, filters, recovery and snapshots in `subscribe`, the place in the history of events of
//! channels that keep one, and batches.

use bytes::Bytes;
use eventflux_core::Secret;
use serde::{Deserialize, Serialize};

use super::read::{self, Raw};
use super::write::{self, Message, Positions};
use super::{BatchFrame, ClientMessage, Dialect, Event, Rejected, Reply, Request, Subscribe, SubscriptionId, Traits};
use crate::Problem;

/// What an event is longer than its channel and payload, with its place in the history.
const EVENT_OVERHEAD: usize = 128;

/// See the module.
#[derive(Debug)]
pub(super) struct Events;

impl Dialect for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    fn traits(&self) -> Traits {
        Traits { message_authentication: true, ..Traits::default() }
    }

    fn parse(&self, message: &Bytes) -> Result<Request, Rejected> {
        let envelope: Envelope<'_> = read::message(message)?;
        envelope
            .request(message)
            .map_err(|problem| Rejected { problem, correlation: read::readable(envelope.correlation_id) })
    }

    fn reply(&self, reply: &Reply<'_>) -> Option<String> {
        match *reply {
            Reply::Welcome { session, user } => {
                let data = Connected { status: Some("ready"), user_id: user, session_id: session };
                Message::new("connected", data).text()
            }
            Reply::Authenticated { session, user, correlation } => {
                let data = Connected { status: None, user_id: user, session_id: session };
                Message::new("authenticated", data).correlation(correlation).text()
            }
            Reply::Subscribed { channels, positions, correlation, .. } => {
                let data = Subscribed { events: channels, positions: Positions(positions) };
                Message::new("subscribed", data).correlation(correlation).text()
            }
            Reply::Unsubscribed { subscriptions, correlation } => {
                let data = Subscribed { events: subscriptions, positions: Positions(&[]) };
                Message::new("unsubscribed", data).correlation(correlation).text()
            }
            // Nothing asks for it: every type that is not the protocol's own belongs to the pipeline.
            Reply::Presence { .. } => None,
            Reply::Answer { kind, payload, correlation } => {
                let kind = format!("{kind}.result");
                Message::new(&kind, write::payload(payload)).correlation(correlation).text()
            }
            Reply::Gap { channel, missed } => write::gap(str::to_ascii_uppercase, channel, missed),
            Reply::Pong { correlation } => write::bare("pong", correlation),
            Reply::Ping => None,
            Reply::NotAuthenticated { problem, correlation } | Reply::Failed { problem, correlation } => {
                write::error(problem, str::to_ascii_uppercase, correlation)
            }
        }
    }

    fn event(&self, event: &Event<'_>, text: &mut Vec<u8>) -> usize {
        text.reserve(event.channel.len() + event.payload.len() + EVENT_OVERHEAD);
        text.extend_from_slice(br#"{"type":"#);
        write::push_string(event.channel, text);
        text.extend_from_slice(br#","data":"#);
        let payload = text.len();
        text.extend_from_slice(event.payload);
        write::push_correlation(event.correlation, text);
        if let Some(position) = event.position {
            text.push(b',');
            write::push_position(position, text);
        }
        text.push(b'}');
        payload
    }

    fn batch(&self) -> Option<BatchFrame> {
        Some(BatchFrame { open: r#"{"type":"batch","data":["#, separator: ",", close: "]}" })
    }
}

/// A message of a client.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    r#type: Raw<'a>,
    #[serde(borrow)]
    data: Raw<'a>,
    #[serde(borrow)]
    correlation_id: Raw<'a>,
    #[serde(borrow)]
    events: Raw<'a>,
    #[serde(borrow)]
    token: Raw<'a>,
    #[serde(borrow)]
    filter: Raw<'a>,
    #[serde(borrow)]
    fields: Raw<'a>,
    #[serde(borrow)]
    recover: Raw<'a>,
    #[serde(borrow)]
    snapshot: Raw<'a>,
}

impl Envelope<'_> {
    fn request(&self, message: &Bytes) -> Result<Request, Problem> {
        let correlation = read::name(self.correlation_id, "correlation_id")?;
        let kind = read::kind(self.r#type)?;
        match &*kind {
            "auth" => self.authenticate(correlation),
            "subscribe" => self.subscribe(correlation),
            "unsubscribe" => {
                Ok(Request::Unsubscribe { subscriptions: read::names(self.events, "events")?, correlation })
            }
            "ping" => Ok(Request::Ping { correlation }),
            _ => Ok(Request::Message(ClientMessage {
                kind: kind.into_owned(),
                channel: None,
                payload: read::payload(message, self.data),
                wants_answer: correlation.is_some(),
                correlation,
            })),
        }
    }

    fn authenticate(&self, correlation: Option<String>) -> Result<Request, Problem> {
        let token = match read::text(self.token, "token")? {
            Some(token) => token,
            None => {
                let data: AuthData<'_> = read::object(self.data, "data")?;
                read::required(read::text(data.token, "data.token")?, "token")?
            }
        };
        Ok(Request::Authenticate { token: Secret::new(token), correlation })
    }

    fn subscribe(&self, correlation: Option<String>) -> Result<Request, Problem> {
        Ok(Request::Subscribe(Subscribe {
            channels: read::names(self.events, "events")?,
            id: SubscriptionId::Channel,
            fields: read::fields(self.fields, "fields")?,
            predicate: read::text(self.filter, "filter")?,
            recover: read::positions(self.recover, "recover")?,
            snapshot: read::flag(self.snapshot, "snapshot")?,
            correlation,
        }))
    }
}

#[derive(Deserialize, Default)]
struct AuthData<'a> {
    #[serde(borrow)]
    token: Raw<'a>,
}

#[derive(Serialize)]
struct Connected<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    session_id: &'a str,
}

#[derive(Serialize)]
struct Subscribed<'a> {
    events: &'a [String],
    #[serde(skip_serializing_if = "Positions::is_empty")]
    positions: Positions<'a>,
}

#[cfg(test)]
mod tests;
