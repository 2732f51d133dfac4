//! What is measured.

use clap::ValueEnum;

use super::job::Side;
use super::peers::{System, Task};

/// Messages between two flushes where sending is batched.
const BATCH: usize = 256;

/// What is measured, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// A client receives.
    ReceiveAsClient,
    /// A server receives: frames are masked.
    ReceiveAsServer,
    /// A server sends, with one flush for 256 messages.
    SendAsServer,
    /// A client sends, with one flush for 256 messages: frames are masked.
    SendAsClient,
    /// A server sends, with one flush for each message.
    SendOneByOne,
    /// A client receives compressed messages.
    ReceiveDeflate,
    /// A server sends compressed messages, with one flush for 256 of them.
    SendDeflate,
    /// A server holds idle connections.
    Idle,
    /// The same where each has compressed once in both directions.
    IdleDeflate,
}

/// How a message scenario is run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exchange {
    pub(super) task: Task,
    pub(super) side: Side,
    pub(super) batch: usize,
    pub(super) deflate: bool,
    /// One in so many of the messages asked for is sent: what costs more needs fewer.
    pub(super) divisor: u64,
}

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Messages of a run.
    pub messages: u64,
    /// Idle connections.
    pub connections: usize,
    /// Rounds; each runs every system once.
    pub rounds: usize,
}

impl Size {
    /// Enough to see that everything works.
    pub const QUICK: Self = Self { messages: 20_000, connections: 100, rounds: 1 };
}

impl Scenario {
    /// The heading of its table.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::ReceiveAsClient => "Receive as client",
            Self::ReceiveAsServer => "Receive as server (masked)",
            Self::SendAsServer => "Send as server, one flush for 256 messages",
            Self::SendAsClient => "Send as client (masked), one flush for 256 messages",
            Self::SendOneByOne => "Send as server, one flush for each message",
            Self::ReceiveDeflate => "Receive permessage-deflate as client: level 1, takeover, 15 bits",
            Self::SendDeflate => {
                "Send permessage-deflate as server: level 1, takeover, 15 bits, one flush for 256 messages"
            }
            Self::Idle => "Idle connections of a server",
            Self::IdleDeflate => "Idle connections of a server, compression used in both directions: takeover, 15 bits",
        }
    }

    /// Whether `system` can take part.
    #[must_use]
    pub fn fits(self, system: System) -> bool {
        match self {
            Self::ReceiveDeflate | Self::SendDeflate => system.has_deflate(),
            // The floor compresses messages but keeps no state for idle connections.
            Self::IdleDeflate => system.has_deflate() && system != System::Floor,
            _ => true,
        }
    }

    /// How messages are exchanged; `None` where memory is measured.
    pub(super) fn exchange(self) -> Option<Exchange> {
        let (task, side) = match self {
            Self::ReceiveAsClient | Self::ReceiveDeflate => (Task::Receive, Side::Client),
            Self::ReceiveAsServer => (Task::Receive, Side::Server),
            Self::SendAsServer | Self::SendOneByOne | Self::SendDeflate => (Task::Send, Side::Server),
            Self::SendAsClient => (Task::Send, Side::Client),
            Self::Idle | Self::IdleDeflate => return None,
        };
        let (batch, divisor) = match self {
            Self::SendOneByOne => (1, 5),
            Self::ReceiveDeflate | Self::SendDeflate => (BATCH, 2),
            _ => (BATCH, 1),
        };
        Some(Exchange { task, side, batch, deflate: self.has_deflate(), divisor })
    }

    /// Whether messages are compressed.
    #[must_use]
    pub fn has_deflate(self) -> bool {
        matches!(self, Self::ReceiveDeflate | Self::SendDeflate | Self::IdleDeflate)
    }
}
