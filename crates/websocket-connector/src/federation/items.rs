//! What links hand to sources.

use std::net::IpAddr;
use std::sync::Arc;

use eventflux_federation::envelope::Kind;
use eventflux_federation::{Arrival, Arrived, Receipt, Wants};

/// Messages of one peer for one source, in order.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) arrivals: Arc<[Arrival]>,
    /// How many of them were dropped for want of room, from the beginning.
    pub(crate) dropped: usize,
    pub(crate) receipt: Option<Receipt>,
    pub(crate) peer: Arc<Peer>,
    /// When they came, in microseconds since 1970-01-01T00:00:00Z.
    pub(crate) received: i64,
}

/// Whose messages they are.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Name of the connection.
    pub(crate) connection: Arc<str>,
    pub(crate) user: Option<Arc<str>>,
    pub(crate) address: Option<IpAddr>,
}

impl Delivered {
    /// Of what arrived, what a source wants; `None` when that is nothing.
    pub(crate) fn of(arrived: &Shared, wants: &Wants, peer: &Arc<Peer>, received: i64) -> Option<Self> {
        let wanted = |arrival: &&Arrival| match arrival {
            Arrival::Message { kind: Kind::Data, stream, .. } => match stream {
                Some(stream) => wants.takes(stream),
                // A peer without a link does not say of what stream an event is.
                None => wants.data,
            },
            Arrival::Message { kind: Kind::Request, .. } => wants.requests,
            Arrival::Message { kind: Kind::Reply, .. } => wants.replies,
            Arrival::Message { kind: Kind::Gap, .. } => wants.gaps,
            Arrival::Message { .. } => false,
            // What it was meant to be is not known.
            Arrival::Malformed(..) => wants.data,
        };
        let arrivals = match arrived.arrivals.iter().all(|arrival| wanted(&arrival)) {
            true => arrived.arrivals.clone(),
            false => arrived.arrivals.iter().filter(wanted).cloned().collect(),
        };
        let receipt = arrived.receipt.clone();
        let none = arrivals.is_empty();
        if none {
            // Not for this one.
            receipt.into_iter().for_each(Receipt::taken);
            return None;
        }
        Some(Self { arrivals, dropped: 0, receipt, peer: peer.clone(), received })
    }

    /// The first `count` of those that were not dropped, and the others. Nobody waits for what becomes of them.
    pub(super) fn split(mut self, count: usize) -> (Option<Self>, Option<Self>) {
        if self.left().len() <= count {
            return (Some(self), None);
        }
        if count == 0 {
            return (None, Some(self));
        }
        let arrivals = self.left()[..count].into();
        let first = Self { arrivals, dropped: 0, receipt: None, peer: self.peer.clone(), received: self.received };
        self.dropped += count;
        (Some(first), Some(self))
    }

    /// Those that were not dropped.
    pub(crate) fn left(&self) -> &[Arrival] {
        &self.arrivals[self.dropped..]
    }
}

/// What arrived, for several sources.
#[derive(Debug)]
pub(crate) struct Shared {
    arrivals: Arc<[Arrival]>,
    receipt: Option<Receipt>,
}

impl Shared {
    pub(crate) fn new(arrived: Arrived) -> Self {
        Self { arrivals: arrived.arrivals.into(), receipt: arrived.receipt }
    }

    /// Whether its sender waits for an acknowledgement.
    pub(crate) fn has_receipt(&self) -> bool {
        self.receipt.is_some()
    }

    /// Everybody has got it.
    pub(crate) fn handed_over(self) {
        self.receipt.into_iter().for_each(Receipt::taken);
    }
}
