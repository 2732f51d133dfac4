//! The protocols clients speak: one file each, behind [`Dialect`].
//!
//! A dialect translates between texts and [`Request`]s, [`Reply`]s and events. It keeps no state, knows no session and
//! decides nothing: whether a client may subscribe is the hub's business, how to say so is the dialect's.
//!
//! To add one: a file here, a line in [`ALL`].

use std::fmt;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::Problem;

mod analytics;
mod channels;
mod events;
mod federation;
mod raw;
mod read;
mod write;

/// The name of the dialect without structure.
pub const RAW: &str = "raw";

pub use raw::MESSAGE;

/// Every dialect by its name, the value of `websocket.protocol`.
pub const ALL: &[&dyn Dialect] =
    &[&raw::Raw, &channels::Channels, &events::Events, &analytics::Analytics, &federation::Federation];

/// The one that [`websocket`](crate::websocket) speaks.
pub(crate) const CHANNELS: &dyn Dialect = &channels::Channels;

/// The dialect of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static dyn Dialect> {
    ALL.iter().copied().find(|dialect| dialect.name() == name)
}

/// One protocol: texts to requests, replies and events to texts.
pub trait Dialect: Send + Sync + fmt::Debug {
    /// The value of `websocket.protocol`.
    fn name(&self) -> &'static str;

    /// In what this protocol differs from the others besides its texts.
    fn traits(&self) -> Traits;

    /// What a text message of a client asks for. Not called when [`Traits::transparent`].
    ///
    /// # Errors
    /// What is wrong with the message.
    fn parse(&self, message: &Bytes) -> Result<Request, Rejected>;

    /// The text of a reply; `None` where the protocol has no such message.
    fn reply(&self, reply: &Reply<'_>) -> Option<String>;

    /// Appends an event: all of its text, or, where [`Traits::personal`], all that is the same for every subscriber.
    /// Returns where in `text` the payload begins.
    fn event(&self, event: &Event<'_>, text: &mut Vec<u8>) -> usize;

    /// Appends what follows in the event of one subscriber; only where [`Traits::personal`].
    fn personal(&self, subscription: &str, text: &mut Vec<u8>) {
        let _ = (subscription, text);
    }

    /// The channels there are, where clients cannot subscribe to any other.
    fn channels(&self) -> Option<&'static [&'static str]> {
        None
    }

    /// How many messages become one; `None` where the protocol has no such thing.
    fn batch(&self) -> Option<BatchFrame> {
        None
    }
}

/// In what protocols differ besides their texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traits {
    /// Messages of clients have no structure: they become events as they are, text or binary, and payloads go out as
    /// they are. Clients are subscribed by connecting.
    pub transparent: bool,
    /// Messages belong to a link between two pipelines, and neither come from nor go to subscriptions of the hub.
    pub links: bool,
    /// Each subscriber's copy of an event differs: [`Dialect::personal`].
    pub personal: bool,
    /// Refusals of a handshake (origin, capacity) are told by a close code after it instead of an HTTP status.
    pub refuses_by_close: bool,
    /// Pings of the protocol's own ([`Reply::Ping`]) are sent besides those of WebSocket.
    pub pings: bool,
    /// A client may authenticate with its first message instead of during the handshake.
    pub message_authentication: bool,
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// To be who the token says; again at any time, to renew what expires.
    Authenticate {
        /// The token.
        token: eventflux_core::Secret,
        /// The client's name for the request.
        correlation: Option<String>,
    },
    /// To receive events.
    Subscribe(Subscribe),
    /// To receive them no longer.
    Unsubscribe {
        /// The channels or patterns as they were subscribed to, or subscription ids.
        subscriptions: Vec<String>,
        /// The client's name for the request.
        correlation: Option<String>,
    },
    /// Who is on a channel.
    Presence {
        /// The channel.
        channel: String,
        /// The client's name for the request.
        correlation: Option<String>,
    },
    /// A message for the pipeline.
    Message(ClientMessage),
    /// Is anybody there?
    Ping {
        /// The client's name for the request.
        correlation: Option<String>,
    },
    /// Here I am.
    Pong,
}

/// What a client wants to receive.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Subscribe {
    /// Channels, or patterns of channels (a name that ends in `*`).
    pub channels: Vec<String>,
    /// What the subscription is called.
    pub id: SubscriptionId,
    /// Exact matches on fields of the payload, as in `{"user.id": "123", "type": ["a", "b"]}`.
    pub fields: Option<Map<String, Value>>,
    /// A SQL predicate on fields of the payload, as in `price > 100 AND symbol = 'BTCUSDT'`.
    pub predicate: Option<String>,
    /// Where to go on, by channel.
    pub recover: Vec<(String, Position)>,
    /// Whether the latest event of each key is wanted first.
    pub snapshot: bool,
    /// The client's name for the request.
    pub correlation: Option<String>,
}

/// What a subscription is called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SubscriptionId {
    /// Each channel or pattern is a subscription of that name; asking again replaces it.
    #[default]
    Channel,
    /// One subscription of a name the client chose; its reply is wanted.
    Given(String),
    /// One subscription of a name we choose.
    Ours,
}

/// A place in a channel's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Which history: it changes when offsets start over.
    pub epoch: String,
    /// The last event the client has.
    pub offset: u64,
}

/// A message for the pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientMessage {
    /// What `websocket.accept` names: the type of the message.
    pub kind: String,
    /// The channel it is for, where the client names one.
    pub channel: Option<String>,
    /// The data as JSON text; shares the message's buffer where it can.
    pub payload: Bytes,
    /// The client's name for it.
    pub correlation: Option<String>,
    /// Whether the client waits for an answer.
    pub wants_answer: bool,
}

/// A message that is no request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// What is wrong.
    pub problem: Problem,
    /// The client's name for it, where that could be read.
    pub correlation: Option<String>,
}

impl From<Problem> for Rejected {
    fn from(problem: Problem) -> Self {
        Self { problem, correlation: None }
    }
}

/// What the hub tells a client, besides events.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply<'a> {
    /// The session begins; the client is authenticated if it has to be.
    Welcome {
        /// Id of the session.
        session: &'a str,
        /// Who the client is.
        user: Option<&'a str>,
    },
    /// An [`Request::Authenticate`] is accepted.
    Authenticated {
        /// Id of the session.
        session: &'a str,
        /// Who the client is.
        user: Option<&'a str>,
        /// The client's name for the request.
        correlation: Option<&'a str>,
    },
    /// An [`Request::Authenticate`] is not accepted.
    NotAuthenticated {
        /// Why; tells nothing about what would be accepted.
        problem: &'a Problem,
        /// The client's name for the request.
        correlation: Option<&'a str>,
    },
    /// A [`Request::Subscribe`] is carried out; events follow.
    Subscribed {
        /// Channels or patterns as the client wrote them.
        channels: &'a [String],
        /// Name of the subscription, where it has one of its own.
        id: Option<&'a str>,
        /// Whether the client chose that name, and so knows of replies.
        chosen: bool,
        /// What became of [`Subscribe::recover`], and where the histories of the channels are now.
        positions: &'a [(String, Recovered)],
        /// The client's name for the request.
        correlation: Option<&'a str>,
    },
    /// A [`Request::Unsubscribe`] is carried out.
    Unsubscribed {
        /// As the client wrote them.
        subscriptions: &'a [String],
        /// The client's name for the request.
        correlation: Option<&'a str>,
    },
    /// Who is on a channel.
    Presence {
        /// The channel.
        channel: &'a str,
        /// Session and user of each.
        members: &'a [(String, Option<String>)],
        /// The client's name for the request.
        correlation: Option<&'a str>,
    },
    /// The pipeline's answer to a [`ClientMessage`].
    Answer {
        /// What kind of message is answered.
        kind: &'a str,
        /// JSON text.
        payload: &'a [u8],
        /// The client's name for the request.
        correlation: Option<&'a str>,
    },
    /// Events are missing that the client was to receive.
    Gap {
        /// The channel.
        channel: &'a str,
        /// How many.
        missed: u64,
    },
    /// Answer to [`Request::Ping`].
    Pong {
        /// The client's name for the request.
        correlation: Option<&'a str>,
    },
    /// Is anybody there?
    Ping,
    /// A request is not carried out.
    Failed {
        /// Why.
        problem: &'a Problem,
        /// The client's name for the request.
        correlation: Option<&'a str>,
    },
}

/// What became of a wish to go on where a client was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Where the history is now: an event of this position is the last one before those that follow live.
    pub position: Position,
    /// Whether nothing is missing; `None` when the client did not ask to go on.
    pub complete: Option<bool>,
}

/// An event on its way to subscribers.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// The channel it was published to.
    pub channel: &'a str,
    /// JSON text (any bytes where [`Traits::transparent`]).
    pub payload: &'a [u8],
    /// The pipeline's name for it, which a client can acknowledge.
    pub correlation: Option<&'a str>,
    /// Members of a JSON object, without its braces, for protocols whose events have metadata.
    pub metadata: Option<&'a str>,
    /// Its place in the channel's history, when one is kept.
    pub position: Option<(&'a str, u64)>,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub time_ms: u64,
}

/// How several messages are written as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchFrame {
    /// Before the first.
    pub open: &'static str,
    /// Between two.
    pub separator: &'static str,
    /// Behind the last.
    pub close: &'static str,
}

#[cfg(test)]
mod tests;
