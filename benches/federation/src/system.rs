//! What carries messages from one process to the other.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::job::End;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum System {
    /// Messages over tokio-tungstenite, one flush for each batch, and nothing else
    Floor,
    /// Our WebSocket sink and source, messages as they are
    Raw,
    /// Envelopes, without acknowledgements
    Plain,
    /// Envelopes, numbered, acknowledged, kept in memory
    Link,
    /// The same, acknowledged when the receiver's pipeline has settled them
    Settled,
    /// The same, kept on the sender's disk
    Spool,
    /// A link with envelopes in MessagePack
    Msgpack,
    /// A link with envelopes in CBOR
    Cbor,
    /// A link whose messages are compressed
    Deflate,
    /// NATS: publish and subscribe over its WebSocket
    Nats,
    /// NATS JetStream in memory over its WebSocket, published and consumed with acknowledgements
    Jetstream,
    /// The same on disk
    JetstreamFile,
}

impl System {
    /// Its name in tables and options.
    #[must_use]
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether a broker is between both ends.
    #[must_use]
    pub(crate) fn has_broker(self) -> bool {
        matches!(self, Self::Nats | Self::Jetstream | Self::JetstreamFile)
    }

    /// Whether what is published is put into an envelope.
    #[must_use]
    pub(crate) fn has_envelopes(self) -> bool {
        !self.has_broker() && !matches!(self, Self::Floor | Self::Raw)
    }

    /// Whether what is published is kept on a disk.
    pub(crate) fn is_durable(self) -> bool {
        matches!(self, Self::Spool | Self::JetstreamFile)
    }

    /// How many times as long as on a link a message takes about.
    pub(crate) fn effort(self) -> u64 {
        match self {
            Self::Deflate | Self::Nats => 2,
            Self::Spool => 3,
            Self::Jetstream | Self::JetstreamFile => 10,
            _ => 1,
        }
    }

    /// The properties of its source or sink.
    pub(crate) fn properties(self, end: End) -> Vec<(&'static str, &'static str)> {
        if !self.has_envelopes() {
            return Vec::new();
        }
        let mut properties = vec![("websocket.protocol", "federation")];
        properties.push(("websocket.link", if self == Self::Plain { "off" } else { "require" }));
        match (self, end) {
            (Self::Plain, End::Receiver) => properties.push(("websocket.queue.full", "block")),
            (Self::Settled, End::Receiver) => properties.push(("websocket.link.ack", "settled")),
            // Only data is in the encoding of the sender; the other end answers in its own.
            (Self::Msgpack, _) => properties.push(("websocket.encoding", "msgpack")),
            (Self::Cbor, _) => properties.push(("websocket.encoding", "cbor")),
            (Self::Deflate, _) => properties.extend([
                ("websocket.permessage-deflate", "true"),
                ("websocket.permessage-deflate.threshold", "0"),
                ("websocket.permessage-deflate.send.context.takeover", "true"),
            ]),
            _ => {}
        }
        properties
    }
}
