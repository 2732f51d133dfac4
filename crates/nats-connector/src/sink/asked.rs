//! The requests of a sink that have no answer yet. Knows no connection and no clock.

use std::collections::{BTreeMap, VecDeque};

use tokio::time::Instant;

use super::outbox::Event;

/// Requests that have no answer yet, in the order in which they were taken: all have the same time, so the oldest is the
/// first whose time is over.
#[derive(Debug, Default)]
pub(super) struct Asked {
    open: BTreeMap<u64, Request>,
    /// Those that wait until the server is there.
    held: VecDeque<u64>,
}

/// A request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) event: Event,
    pub(super) deadline: Instant,
    /// The connection it was sent on, counted from 1; 0: not sent.
    sent_on: u64,
}

impl Asked {
    /// Takes a request, to be sent.
    pub(super) fn hold(&mut self, event: Event, deadline: Instant) {
        let number = event.number;
        self.open.insert(number, Request { event, deadline, sent_on: 0 });
        self.held.push_back(number);
    }

    /// The next one to send; it counts as sent on connection number `connection`.
    pub(super) fn send(&mut self, connection: u64) -> Option<&Event> {
        loop {
            let number = self.held.pop_front()?;
            // One that was answered meanwhile is skipped.
            if self.open.contains_key(&number) {
                let request = self.open.get_mut(&number)?;
                request.sent_on = connection;
                return Some(&request.event);
            }
        }
    }

    /// Whether there is one to send.
    pub(super) fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// The request of that number, which needs no answer any more. `None` when it needed none.
    pub(super) fn take(&mut self, number: u64) -> Option<Request> {
        self.open.remove(&number)
    }

    /// Those whose time is over.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<Request> {
        let mut overdue = Vec::new();
        while self.deadline().is_some_and(|deadline| deadline <= now)
            && let Some((_, request)) = self.open.pop_first()
        {
            overdue.push(request);
        }
        self.held.retain(|number| self.open.contains_key(number));
        overdue
    }

    /// Those that were sent on another connection than number `connection`.
    pub(super) fn lost(&mut self, connection: Option<u64>) -> Vec<Request> {
        self.take_if(|request| request.is_sent() && Some(request.sent_on) != connection)
    }

    /// Those that were sent to this subject.
    pub(super) fn sent_to(&mut self, subject: &str) -> Vec<Request> {
        self.take_if(|request| request.is_sent() && request.event.address.subject.as_str() == subject)
    }

    fn take_if(&mut self, is_meant: impl Fn(&Request) -> bool) -> Vec<Request> {
        let meant: Vec<_> =
            self.open.iter().filter(|(_, request)| is_meant(request)).map(|(number, _)| *number).collect();
        meant.iter().filter_map(|number| self.open.remove(number)).collect()
    }

    /// When the next one's time is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.first_key_value().map(|(_, request)| request.deadline)
    }

    /// Number of requests.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

impl Request {
    /// Whether it was on its way.
    pub(super) fn is_sent(&self) -> bool {
        self.sent_on > 0
    }
}
