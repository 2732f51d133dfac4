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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use eventflux_core::EncodedBatch;

    use super::*;
    use crate::sink::addressing::Address;

    fn event(number: u64, subject: &'static str) -> Event {
        Event {
            number,
            address: Address { subject: subject.into(), headers: None, id: None },
            payload: "?".into(),
            batch: Arc::new(EncodedBatch::single("?".into(), 1)),
            row: 0,
        }
    }

    fn numbers(requests: &[Request]) -> Vec<u64> {
        requests.iter().map(|request| request.event.number).collect()
    }

    /// Requests 1 to 4, one second apart; the first two are sent, on connection 1 and 2.
    fn asked(start: Instant) -> Asked {
        let mut asked = Asked::default();
        for number in 1..=4 {
            asked
                .hold(event(number, if number % 2 == 0 { "even" } else { "odd" }), start + Duration::from_secs(number));
        }
        assert_eq!(asked.send(1).map(|event| event.number), Some(1));
        assert_eq!(asked.send(2).map(|event| event.number), Some(2));
        asked
    }

    #[test]
    fn requests_are_sent_once_and_answered_once() {
        let mut asked = asked(Instant::now());
        assert!(asked.take(2).is_some_and(|request| request.is_sent()));
        assert!(asked.take(2).is_none() && asked.take(9).is_none());
        assert!(asked.take(3).is_some_and(|request| !request.is_sent()));
        assert_eq!(asked.send(2).map(|event| event.number), Some(4), "what was answered is not sent");
        assert!(asked.send(2).is_none() && !asked.has_held());
        assert_eq!(asked.len(), 2);
    }

    #[test]
    fn those_whose_time_is_over_are_the_oldest() {
        let start = Instant::now();
        let mut asked = asked(start);
        assert_eq!(asked.deadline(), Some(start + Duration::from_secs(1)));
        assert!(asked.overdue(start).is_empty());
        assert_eq!(numbers(&asked.overdue(start + Duration::from_secs(3))), [1, 2, 3]);
        assert_eq!(asked.send(2).map(|event| event.number), Some(4));
        assert_eq!(numbers(&asked.overdue(start + Duration::from_secs(4))), [4]);
        assert_eq!(asked.deadline(), None);
    }

    #[test]
    fn a_lost_connection_takes_what_was_sent_on_it() {
        let mut asked = asked(Instant::now());
        assert_eq!(numbers(&asked.lost(Some(2))), [1]);
        assert_eq!(numbers(&asked.lost(None)), [2]);
        assert_eq!(asked.len(), 2, "what is held waits for the next connection");
    }

    #[test]
    fn those_of_a_subject_are_found_once_they_are_sent() {
        let mut asked = asked(Instant::now());
        assert_eq!(numbers(&asked.sent_to("odd")), [1]);
        assert!(asked.sent_to("odd").is_empty(), "the other one is not sent");
    }
}
