//! Whether the server has taken what was published to it: core NATS does not say.
//!
//! After some messages a mark is published, to a subject of our own to which we subscribe. A server works on what a
//! connection sends in order, so when the mark comes back, everything before it has been taken; and so it has when the
//! server says that the mark is not permitted. The mark's subject tells which events it stands for.
//!
//! Where we may not subscribe to our own subject, what the kernel has accepted counts as taken.

use std::collections::VecDeque;

use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use eventflux_core::EventFluxError;
use eventflux_nats::connection::{Operation, Violation};
use futures_util::StreamExt;

use super::closed;

/// Marks of one connection to NATS.
#[derive(Debug)]
pub(super) struct Marks {
    inbox: String,
    subscriber: Subscriber,
    /// Number of the last event that a mark was sent for.
    marked: u64,
    /// Number of the last event whose mark came back.
    confirmed: u64,
    /// Whether we may subscribe to our own subject.
    are_permitted: bool,
    /// The numbers of those that have not come back.
    under_way: VecDeque<u64>,
}

impl Marks {
    /// Subscribes. Everything up to event number `confirmed` needs no mark.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(super) async fn begin(client: &Client, confirmed: u64) -> Result<Self, EventFluxError> {
        let inbox = client.new_inbox();
        let subscriber = client.subscribe(format!("{inbox}.*")).await.map_err(closed)?;
        Ok(Self { inbox, subscriber, marked: confirmed, confirmed, are_permitted: true, under_way: VecDeque::new() })
    }

    /// Publishes a mark that stands for everything up to event number `last`.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(super) async fn mark(&mut self, client: &Client, last: u64) -> Result<(), EventFluxError> {
        self.marked = self.marked.max(last);
        if self.are_permitted {
            client.publish(format!("{}.{last}", self.inbox), Bytes::new()).await.map_err(closed)?;
            self.under_way.push_back(last);
        }
        // Into the socket.
        client.flush().await.map_err(closed)?;
        if !self.are_permitted {
            self.confirmed = self.marked;
        }
        Ok(())
    }

    /// The next mark that comes back; `None` when the connection has ended. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Message> {
        self.subscriber.next().await
    }

    /// The number of the event up to which the server has taken everything, by this subject of a mark; `None` when it is
    /// none of ours.
    pub(super) fn returned(&mut self, subject: &str) -> Option<u64> {
        let number: u64 = subject.strip_prefix(&*self.inbox)?.strip_prefix('.')?.parse().ok()?;
        self.confirmed = self.confirmed.max(number);
        while self.under_way.front().is_some_and(|under_way| *under_way <= number) {
            self.under_way.pop_front();
        }
        Some(number)
    }

    /// Looks at what the server does not permit: whether it was about a mark.
    pub(super) fn refused(&mut self, violation: &Violation) -> Refused {
        match violation.operation {
            Operation::Publish => self.returned(&violation.subject).map_or(Refused::Other, Refused::Mark),
            Operation::Subscribe if violation.subject.starts_with(&self.inbox) => {
                self.are_permitted = false;
                self.confirmed = self.marked;
                self.under_way.clear();
                Refused::Subscription
            }
            Operation::Subscribe => Refused::Other,
        }
    }

    /// Number of the last event that a mark was sent for.
    pub(super) fn marked(&self) -> u64 {
        self.marked
    }

    /// Number of the last event that the server has taken.
    pub(super) fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// Marks that have not come back.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Whether a mark has not come back.
    pub(super) fn are_under_way(&self) -> bool {
        self.confirmed < self.marked
    }
}

/// What a violation was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The mark that stands for everything up to this event.
    Mark(u64),
    /// Our own subject: from now on the kernel's word counts.
    Subscription,
    /// Something else.
    Other,
}
