//! The channels protocol: thirteen types of messages, each `{"type", "data", "correlation_id"?, "metadata"?}`.
//!
//! Additions to it, none of which a client sees that does not ask for it: filters, recovery and snapshots in
//! `subscribe`, presence, and the place in the history (`metadata`) of events of channels that keep one.

use bytes::Bytes;
use eventflux_core::Secret;
use serde::{Deserialize, Serialize};

use super::read::{self, Raw};
use super::write::{self, Message, Positions};
use super::{ClientMessage, Dialect, Event, Rejected, Reply, Request, Subscribe, SubscriptionId, Traits};
use crate::Problem;

/// Types that only the server sends.
const SERVER_TYPES: [&str; 6] =
    ["auth_response", "subscribe_response", "unsubscribe_response", "presence_response", "response", "error"];

/// What an event is longer than its payload, with its place in the history.
const EVENT_OVERHEAD: usize = 160;

/// See the module.
#[derive(Debug)]
pub(super) struct Channels;

impl Dialect for Channels {
    fn name(&self) -> &'static str {
        "channels"
    }

    fn traits(&self) -> Traits {
        Traits { pings: true, message_authentication: true, ..Traits::default() }
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
            Reply::Authenticated { session, user, correlation } => {
                let data = AuthResponse { success: true, user_id: user, session_id: Some(session), error: None };
                Message::new("auth_response", data).correlation(correlation).text()
            }
            Reply::NotAuthenticated { problem, correlation } => {
                let error = Some(problem.to_string());
                let data = AuthResponse { success: false, user_id: None, session_id: None, error };
                Message::new("auth_response", data).correlation(correlation).text()
            }
            Reply::Subscribed { channels, positions, correlation, .. } => {
                let data = Subscribed { success: true, subscribed: channels, positions: Positions(positions) };
                Message::new("subscribe_response", data).correlation(correlation).text()
            }
            Reply::Unsubscribed { subscriptions, correlation } => {
                let data = Unsubscribed { success: true, unsubscribed: subscriptions };
                Message::new("unsubscribe_response", data).correlation(correlation).text()
            }
            Reply::Presence { channel, members, correlation } => {
                let members = members.iter().map(|(session_id, user_id)| Member { session_id, user_id }).collect();
                Message::new("presence_response", Present { channel, members }).correlation(correlation).text()
            }
            Reply::Answer { payload, correlation, .. } => {
                Message::new("response", write::payload(payload)).correlation(correlation).text()
            }
            Reply::Gap { channel, missed } => write::gap(str::to_owned, channel, missed),
            Reply::Pong { correlation } => write::bare("pong", correlation),
            Reply::Ping => write::bare("ping", None),
            Reply::Failed { problem, correlation } => write::error(problem, str::to_owned, correlation),
        }
    }

    fn event(&self, event: &Event<'_>, text: &mut Vec<u8>) -> usize {
        text.reserve(event.payload.len() + EVENT_OVERHEAD);
        text.extend_from_slice(br#"{"type":"event","data":"#);
        let payload = text.len();
        text.extend_from_slice(event.payload);
        write::push_correlation(event.correlation, text);
        push_metadata(event, text);
        text.push(b'}');
        payload
    }
}

/// Appends `,"metadata":{...}`, if there is any.
fn push_metadata(event: &Event<'_>, text: &mut Vec<u8>) {
    if event.position.is_none() && event.metadata.is_none() {
        return;
    }
    text.extend_from_slice(br#","metadata":{"#);
    if let Some(position) = event.position {
        text.extend_from_slice(br#""channel":"#);
        write::push_string(event.channel, text);
        text.push(b',');
        write::push_position(position, text);
    }
    if let Some(members) = event.metadata {
        if event.position.is_some() {
            text.push(b',');
        }
        text.extend_from_slice(members.as_bytes());
    }
    text.push(b'}');
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
    metadata: Raw<'a>,
}

impl Envelope<'_> {
    fn request(&self, message: &Bytes) -> Result<Request, Problem> {
        let correlation = read::name(self.correlation_id, "correlation_id")?;
        let metadata: ChannelData<'_> = read::object(self.metadata, "metadata")?;
        let kind = read::kind(self.r#type)?;
        match &*kind {
            "auth" => self.authenticate(correlation),
            "subscribe" => self.subscribe(correlation),
            "unsubscribe" => {
                let data: ChannelsData<'_> = read::object(self.data, "data")?;
                let subscriptions = read::names(data.channels, "data.channels")?;
                Ok(Request::Unsubscribe { subscriptions, correlation })
            }
            "presence" => {
                let data: ChannelData<'_> = read::object(self.data, "data")?;
                let channel = read::required(read::text(data.channel, "data.channel")?, "data.channel")?;
                Ok(Request::Presence { channel, correlation })
            }
            "request" | "event" | "ack" => self.message(&kind, &metadata, message, correlation).map(Request::Message),
            "ping" => Ok(Request::Ping { correlation }),
            "pong" => Ok(Request::Pong),
            of_server if SERVER_TYPES.contains(&of_server) => {
                Err(read::invalid(format!("only the server sends '{of_server}'")))
            }
            _ => Err(Problem::UnknownType(kind.into_owned())),
        }
    }

    fn authenticate(&self, correlation: Option<String>) -> Result<Request, Problem> {
        let data: AuthData<'_> = read::object(self.data, "data")?;
        let token = read::required(read::text(data.token, "data.token")?, "data.token")?;
        Ok(Request::Authenticate { token: Secret::new(token), correlation })
    }

    fn subscribe(&self, correlation: Option<String>) -> Result<Request, Problem> {
        let data: ChannelsData<'_> = read::object(self.data, "data")?;
        Ok(Request::Subscribe(Subscribe {
            channels: read::names(data.channels, "data.channels")?,
            id: SubscriptionId::Channel,
            fields: read::fields(data.fields, "data.fields")?,
            predicate: read::text(data.filter, "data.filter")?,
            recover: read::positions(data.recover, "data.recover")?,
            snapshot: read::flag(data.snapshot, "data.snapshot")?,
            correlation,
        }))
    }

    fn message(
        &self,
        kind: &str,
        metadata: &ChannelData<'_>,
        message: &Bytes,
        correlation: Option<String>,
    ) -> Result<ClientMessage, Problem> {
        let channel = self.channel(metadata)?;
        if kind == "event" && channel.is_none() {
            return Err(read::invalid("an event needs its channel, a string in 'metadata.channel' or 'data.channel'"));
        }
        if kind == "ack" && correlation.is_none() {
            return Err(read::invalid("an ack needs the 'correlation_id' of what it acknowledges"));
        }
        let payload = read::payload(message, self.data);
        Ok(ClientMessage { kind: kind.to_owned(), channel, payload, correlation, wants_answer: kind == "request" })
    }

    /// The channel a message is for: `metadata.channel`, or else `data.channel` if that is a string; if it is not, it
    /// is a field of the pipeline's that happens to have this name.
    fn channel(&self, metadata: &ChannelData<'_>) -> Result<Option<String>, Problem> {
        if metadata.channel.is_some() {
            return read::text(metadata.channel, "metadata.channel");
        }
        let object = self.data.filter(|data| data.get().starts_with('{'));
        let data: ChannelData<'_> = read::object(object, "data")?;
        Ok(read::text(data.channel, "data.channel").ok().flatten())
    }
}

#[derive(Deserialize, Default)]
struct AuthData<'a> {
    #[serde(borrow)]
    token: Raw<'a>,
}

#[derive(Deserialize, Default)]
struct ChannelData<'a> {
    #[serde(borrow)]
    channel: Raw<'a>,
}

#[derive(Deserialize, Default)]
struct ChannelsData<'a> {
    #[serde(borrow)]
    channels: Raw<'a>,
    #[serde(borrow)]
    filter: Raw<'a>,
    #[serde(borrow)]
    fields: Raw<'a>,
    #[serde(borrow)]
    recover: Raw<'a>,
    #[serde(borrow)]
    snapshot: Raw<'a>,
}

#[derive(Serialize)]
struct AuthResponse<'a> {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Subscribed<'a> {
    success: bool,
    subscribed: &'a [String],
    #[serde(skip_serializing_if = "Positions::is_empty")]
    positions: Positions<'a>,
}

#[derive(Serialize)]
struct Unsubscribed<'a> {
    success: bool,
    unsubscribed: &'a [String],
}

#[derive(Serialize)]
struct Present<'a> {
    channel: &'a str,
    members: Vec<Member<'a>>,
}

#[derive(Serialize)]
struct Member<'a> {
    session_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: &'a Option<String>,
}

#[cfg(test)]
mod tests;
