//! What waits for one session.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::channel::Channel;
use crate::filter::Filter;

/// What an event or a reply costs besides its bytes.
const ITEM_OVERHEAD_BYTES: usize = 64;

/// What a snapshot costs that was not looked up yet.
const SNAPSHOT_BYTES: usize = 256;

/// See the module.
#[derive(Debug)]
pub(crate) enum Item {
    /// A text for this client alone. Never dropped.
    Reply(Bytes),
    /// Dropped when too much waits.
    Event(Event),
    /// The latest events of a channel, looked up when they are sent.
    Snapshot(Box<Snapshot>),
}

/// Something that was published, on its way to one session.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// By which its loss is told.
    pub(crate) channel: Arc<str>,
    /// Hash of what it is the latest of; 0 for none.
    pub(crate) key: u64,
    /// Its number, in a channel with a history.
    pub(crate) number: Option<u64>,
    pub(crate) at: Instant,
    pub(crate) content: Content,
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// A whole text.
    Whole { text: Bytes, binary: bool },
    /// A text that ends differently for each subscription.
    Personal { shared: Bytes, subscription: Arc<str> },
    /// Several events in the session's framing: what its reader had yet to read when it gave its seat up.
    Framed { chunks: VecDeque<Bytes>, events: u64 },
}

/// What is to be sent of a channel's latest events.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) channel: Arc<Channel>,
    /// The oldest that was not sent yet.
    pub(crate) next: u64,
    /// Newer ones come live.
    pub(crate) upto: u64,
    pub(crate) wanted: Wanted,
}

/// What a subscription wants of a channel, and how.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) filter: Option<Filter>,
    /// Where events have a personal part: of which subscription.
    pub(crate) subscription: Option<Arc<str>>,
}

impl Item {
    pub(super) fn cost(&self) -> usize {
        match self {
            Self::Reply(text) => text.len() + ITEM_OVERHEAD_BYTES,
            Self::Event(event) => event.cost(),
            Self::Snapshot(_) => SNAPSHOT_BYTES,
        }
    }
}

impl Event {
    /// How many events it is.
    pub(super) fn events(&self) -> u64 {
        match &self.content {
            Content::Framed { events, .. } => *events,
            Content::Whole { .. } | Content::Personal { .. } => 1,
        }
    }

    pub(super) fn cost(&self) -> usize {
        let bytes = match &self.content {
            Content::Whole { text, .. } => text.len(),
            Content::Personal { shared, .. } => shared.len(),
            Content::Framed { chunks, .. } => chunks.iter().map(Bytes::len).sum(),
        };
        bytes + ITEM_OVERHEAD_BYTES
    }
}

impl Content {
    /// An event as a subscriber gets it.
    pub(crate) fn new(text: &Bytes, binary: bool, subscription: Option<&Arc<str>>) -> Self {
        match subscription {
            Some(subscription) => Self::Personal { shared: text.clone(), subscription: subscription.clone() },
            None => Self::Whole { text: text.clone(), binary },
        }
    }
}
