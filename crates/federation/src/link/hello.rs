//! What the ends of a link tell each other about themselves, and about how far they have got.
//!
//! ```text
//! -> hello {version, name, receives: {start, window, message_bytes} | null, sends: [{stream, epoch}]}     both, as the first message
//! <- ack   {streams: [{stream, epoch, after}, {stream, epoch, through}]}                    for each stream that is wanted
//! -> data ...                                                                               from `after` + 1 on
//! <- ack   {streams: [{stream, epoch, through}]}
//! -> gap   {stream, epoch, next, reason, missing}                                           what will not come
//! ```

use serde::{Deserialize, Serialize};

use crate::{Start, Window};

/// The subprotocol (RFC 6455 section 1.9) by which both ends agree on a link; a peer that does not know it does not notice.
pub const SUBPROTOCOL: &str = "eventflux.link.v1";

/// Streams that one message may tell of.
pub(super) const MAX_STREAMS: usize = 1_024;

/// Bytes of the name of an end or of a stream.
pub(super) const MAX_NAME_BYTES: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) version: u32,
    /// What this end calls itself.
    pub(super) name: String,
    /// `None` when it takes no events.
    #[serde(default)]
    pub(super) receives: Option<Receives>,
    #[serde(default)]
    pub(super) sends: Vec<StreamName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Receives {
    pub(super) start: StartName,
    pub(super) window: WindowSize,
    /// Bytes of a message that it takes at most, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) message_bytes: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct StreamName {
    pub(super) stream: String,
    #[serde(with = "epoch")]
    pub(super) epoch: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StartName {
    Earliest,
    Latest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WindowSize {
    pub(super) events: u64,
    pub(super) bytes: u64,
}

impl WindowSize {
    /// What an event takes besides its payload: the rest of its envelope, and its place in the receiver's queues. Without it
    /// many small events would take several times the bytes of a window.
    const EVENT_BYTES: u64 = 200;

    /// What an event with a payload of so many bytes takes of `bytes`, at both ends.
    pub(super) fn share(payload: usize) -> u64 {
        payload as u64 + Self::EVENT_BYTES
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub(super) struct Ack {
    pub(super) streams: Vec<Position>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    #[serde(flatten)]
    pub(super) name: StreamName,
    #[serde(flatten)]
    pub(super) at: At,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum At {
    /// Everything up to this one has been received, and not all of it need have been taken: events are wanted after it.
    /// `None`: this end knows nothing of the stream.
    After(Option<u64>),
    /// Everything up to this one has been taken.
    Through(u64),
    /// The stream is not wanted.
    Unwanted(bool),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GapNotice {
    #[serde(flatten)]
    pub(super) name: StreamName,
    /// The first event that will come.
    pub(super) next: u64,
    pub(super) reason: String,
    /// Events that will not come, as far as is known.
    pub(super) missing: Option<u64>,
}

impl From<Start> for StartName {
    fn from(start: Start) -> Self {
        match start {
            Start::Earliest => Self::Earliest,
            Start::Latest => Self::Latest,
        }
    }
}

impl From<Window> for WindowSize {
    fn from(Window { events, bytes }: Window) -> Self {
        Self { events, bytes }
    }
}

/// Sixteen hexadecimal digits: JSON numbers are not exact beyond 2^53 everywhere.
mod epoch {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(epoch: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{epoch:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map_err(|_| D::Error::custom("an epoch is sixteen hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> StreamName {
        StreamName { stream: "a/b".into(), epoch: 0xfeed }
    }

    #[test]
    fn positions_say_what_they_mean() {
        let cases = [
            (At::After(None), r#"{"stream":"a/b","epoch":"000000000000feed","after":null}"#),
            (At::After(Some(7)), r#"{"stream":"a/b","epoch":"000000000000feed","after":7}"#),
            (At::Through(9), r#"{"stream":"a/b","epoch":"000000000000feed","through":9}"#),
            (At::Unwanted(true), r#"{"stream":"a/b","epoch":"000000000000feed","unwanted":true}"#),
        ];
        for (at, expected) in cases {
            let position = Position { name: name(), at };
            let text = serde_json::to_string(&position).unwrap();
            assert_eq!(text, expected);
            assert_eq!(serde_json::from_str::<Position>(&text).unwrap(), position);
        }
    }

    #[test]
    fn later_versions_may_say_more() {
        let text = r#"{"version":2,"name":"n","receives":null,"sends":[],"colour":"green"}"#;
        assert_eq!(serde_json::from_str::<Hello>(text).unwrap().name, "n");
    }
}
