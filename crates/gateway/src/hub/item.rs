//! What waits for one session.

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
    pub(crate) shared: Arc<SharedEvent>,
    /// Where events have a personal part: of which subscription.
    pub(crate) subscription: Option<Arc<str>>,
    /// How many of several chunks were sent.
    pub(crate) sent: usize,
}

/// What an event is for all who get it.
#[derive(Debug)]
pub(crate) struct SharedEvent {
    /// By which its loss is told.
    pub(crate) channel: Arc<str>,
    /// Hash of what it is the latest of; 0 for none.
    pub(crate) key: u64,
    /// Its number, in a channel with a history.
    pub(crate) number: Option<u64>,
    pub(crate) at: Instant,
    pub(crate) content: Content,
}

#[derive(Debug)]
pub(crate) enum Content {
    /// Its text; all of it, or all that is the same for every subscription.
    Text { text: Bytes, binary: bool },
    /// Several events in a session's framing: what its reader had yet to read when it gave its seat up.
    Framed { chunks: Vec<Bytes>, events: u64 },
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
    /// An event for a session alone, or for one of its subscriptions.
    pub(crate) fn new(shared: SharedEvent, subscription: Option<Arc<str>>) -> Self {
        Self { shared: Arc::new(shared), subscription, sent: 0 }
    }

    /// How many events it is.
    pub(super) fn events(&self) -> u64 {
        match &self.shared.content {
            Content::Text { .. } => 1,
            Content::Framed { events, .. } => *events,
        }
    }

    pub(super) fn cost(&self) -> usize {
        let bytes = match &self.shared.content {
            Content::Text { text, .. } => text.len(),
            Content::Framed { chunks, .. } => chunks.iter().map(Bytes::len).sum(),
        };
        bytes + ITEM_OVERHEAD_BYTES
    }
}
