//! The analytics protocol: six types of subscriptions, each subscription with an id of its own, which its events bear.
//! A type of a client's message that is none of the protocol's is for the pipeline, if that accepts it.
//!
//! Additions to it, none of which a client sees that does not ask for it: subscription ids of the client's choice and
//! replies that name them, correlation ids and the answers to them, SQL predicates, recovery and snapshots in
//! `subscribe`, and the place in the history (`metadata`) of events of channels that keep one.

use bytes::Bytes;
use eventflux_core::Secret;
use serde::{Deserialize, Serialize};

use super::read::{self, Raw};
use super::write::{self, Message, PositionData};
use super::{ClientMessage, Dialect, Event, Recovered, Rejected, Reply, Request, Subscribe, SubscriptionId, Traits};
use crate::Problem;

/// What can be subscribed to: each is a channel of that name.
const SUBSCRIPTION_TYPES: &[&str] = &["events", "metrics", "alerts", "predictions", "aggregations", "system_status"];

/// What `auth_failed` says of credentials that are not accepted.
const INVALID_CREDENTIALS: &str = "Invalid credentials";

/// What an event is longer than its payload, with its place in the history.
const EVENT_OVERHEAD: usize = 192;

/// See the module.
#[derive(Debug)]
pub(super) struct Analytics;

impl Dialect for Analytics {
    fn name(&self) -> &'static str {
        "analytics"
    }

    fn traits(&self) -> Traits {
        Traits { personal: true, refuses_by_close: true, message_authentication: true, ..Traits::default() }
    }

    fn channels(&self) -> Option<&'static [&'static str]> {
        Some(SUBSCRIPTION_TYPES)
    }

    fn parse(&self, message: &Bytes) -> Result<Request, Rejected> {
        let envelope: Envelope<'_> = read::message(message)?;
        envelope
            .request(message)
            .map_err(|problem| Rejected { problem, correlation: read::readable(envelope.correlation_id) })
    }

    fn reply(&self, reply: &Reply<'_>) -> Option<String> {
        match *reply {
            Reply::Welcome { .. } => None,
            Reply::Authenticated { session, correlation, .. } => {
                Message::new("auth_success", Client { client_id: session }).correlation(correlation).text()
            }
            Reply::NotAuthenticated { problem: Problem::AuthenticationFailed(_), correlation } => {
                Message::new("auth_failed", Failure::new(INVALID_CREDENTIALS)).correlation(correlation).text()
            }
            Reply::NotAuthenticated { problem, correlation } => {
                Message::new("auth_failed", Failure::new(&problem.to_string())).correlation(correlation).text()
            }
            Reply::Subscribed { channels, id, chosen, positions, correlation } => {
                subscribed(channels, positions, chosen || correlation.is_some())
                    .and_then(|data| Message::new("subscribed", data).subscription(id).correlation(correlation).text())
            }
            Reply::Unsubscribed { subscriptions, correlation } => {
                let data = Unsubscribed { subscription_id: subscriptions.first()? };
                Message::new("unsubscribed", data).correlation(Some(correlation?)).text()
            }
            // Nothing asks for it: every type that is not the protocol's own belongs to the pipeline.
            Reply::Presence { .. } => None,
            Reply::Answer { kind, payload, correlation } => {
                let kind = format!("{kind}.result");
                Message::new(&kind, write::payload(payload)).correlation(correlation).text()
            }
            Reply::Gap { channel, missed } => {
                let error = &write::gap_text(channel, missed);
                Message::new("error", Failure { error, channel: Some(channel), missed: Some(missed) }).text()
            }
            Reply::Pong { correlation } => write::bare("pong", correlation),
            Reply::Ping => write::bare("ping", None),
            Reply::Failed { problem, correlation } => {
                Message::new("error", Failure::new(&problem.to_string())).correlation(correlation).text()
            }
        }
    }

    fn event(&self, event: &Event<'_>, text: &mut Vec<u8>) -> usize {
        text.reserve(event.payload.len() + EVENT_OVERHEAD);
        text.extend_from_slice(br#"{"type":"data","data":{"event":"#);
        let payload = text.len();
        text.extend_from_slice(event.payload);
        text.extend_from_slice(br#","subscription_type":"#);
        write::push_string(event.channel, text);
        text.push(b'}');
        write::push_correlation(event.correlation, text);
        if let Some(position) = event.position {
            text.extend_from_slice(br#","metadata":{"#);
            write::push_position(position, text);
            text.push(b'}');
        }
        payload
    }

    fn personal(&self, subscription: &str, text: &mut Vec<u8>) {
        text.extend_from_slice(br#","subscription_id":"#);
        write::push_string(subscription, text);
        text.push(b'}');
    }
}

/// The data of `subscribed`, when the client asked for something that a plain client does not know of.
fn subscribed<'a>(
    channels: &'a [String],
    positions: &'a [(String, Recovered)],
    wanted: bool,
) -> Option<Subscribed<'a>> {
    let r#type = channels.first()?;
    let position = positions.iter().find(|(channel, _)| channel == r#type).map(|(_, recovered)| recovered);
    let wanted = wanted || position.is_some_and(|recovered| recovered.complete.is_some());
    wanted.then(|| Subscribed { r#type, position: position.map(PositionData::from) })
}

/// A message of a client.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    r#type: Raw<'a>,
    #[serde(borrow)]
    data: Raw<'a>,
    #[serde(borrow)]
    subscription_id: Raw<'a>,
    #[serde(borrow)]
    correlation_id: Raw<'a>,
}

impl Envelope<'_> {
    fn request(&self, message: &Bytes) -> Result<Request, Problem> {
        let correlation = read::name(self.correlation_id, "correlation_id")?;
        let kind = read::kind(self.r#type)?;
        match &*kind {
            "auth" => {
                let data: AuthData<'_> = read::object(self.data, "data")?;
                let token = read::required(read::text(data.token, "data.token")?, "data.token")?;
                Ok(Request::Authenticate { token: Secret::new(token), correlation })
            }
            "subscribe" => self.subscribe(correlation),
            "unsubscribe" => {
                let data: UnsubscribeData<'_> = read::object(self.data, "data")?;
                let id = read::name(data.subscription_id, "data.subscription_id")?;
                Ok(Request::Unsubscribe {
                    subscriptions: vec![read::required(id, "data.subscription_id")?],
                    correlation,
                })
            }
            "ping" => Ok(Request::Ping { correlation }),
            "pong" => Ok(Request::Pong),
            _ => Ok(Request::Message(ClientMessage {
                kind: kind.into_owned(),
                channel: None,
                payload: read::payload(message, self.data),
                wants_answer: correlation.is_some(),
                correlation,
            })),
        }
    }

    fn subscribe(&self, correlation: Option<String>) -> Result<Request, Problem> {
        let data: SubscribeData<'_> = read::object(self.data, "data")?;
        let channel = read::required(read::text(data.r#type, "data.type")?, "data.type")?;
        if !SUBSCRIPTION_TYPES.contains(&&*channel) {
            return Err(read::invalid(format!("'data.type' must be one of {}", SUBSCRIPTION_TYPES.join(", "))));
        }
        let id = read::name(self.subscription_id, "subscription_id")?;
        let recover = data.recover.map(|raw| read::position(raw, "data.recover")).transpose()?;
        Ok(Request::Subscribe(Subscribe {
            id: id.map_or(SubscriptionId::Ours, SubscriptionId::Given),
            fields: read::fields(data.filters, "data.filters")?,
            predicate: read::text(data.r#where, "data.where")?,
            recover: recover.map(|position| (channel.clone(), position)).into_iter().collect(),
            snapshot: read::flag(data.snapshot, "data.snapshot")?,
            channels: vec![channel],
            correlation,
        }))
    }
}

#[derive(Deserialize, Default)]
struct AuthData<'a> {
    #[serde(borrow)]
    token: Raw<'a>,
}

#[derive(Deserialize, Default)]
struct SubscribeData<'a> {
    #[serde(borrow)]
    r#type: Raw<'a>,
    #[serde(borrow)]
    filters: Raw<'a>,
    #[serde(borrow)]
    r#where: Raw<'a>,
    #[serde(borrow)]
    recover: Raw<'a>,
    #[serde(borrow)]
    snapshot: Raw<'a>,
}

#[derive(Deserialize, Default)]
struct UnsubscribeData<'a> {
    #[serde(borrow)]
    subscription_id: Raw<'a>,
}

#[derive(Serialize)]
struct Client<'a> {
    client_id: &'a str,
}

#[derive(Serialize)]
struct Subscribed<'a> {
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<PositionData<'a>>,
}

#[derive(Serialize)]
struct Unsubscribed<'a> {
    subscription_id: &'a str,
}

#[derive(Serialize)]
struct Failure<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missed: Option<u64>,
}

impl<'a> Failure<'a> {
    fn new(error: &'a str) -> Self {
        Self { error, channel: None, missed: None }
    }
}

#[cfg(test)]
mod tests;
