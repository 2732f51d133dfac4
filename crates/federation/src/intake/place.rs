//! How far one stream has been received, handed to the pipeline, and taken by it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::signal::Signal;

/// How far one stream has got.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<Place>);

/// See [`Progress`].
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// Everything before has been received by the link that brings the stream; `None` before the first event.
    received: Option<u64>,
    /// Everything before has been taken.
    settled: u64,
    /// What was handed to the pipeline and is not taken, in order.
    under_way: VecDeque<UnderWay>,
    /// How often something was handed over.
    handed_over: u64,
    /// Changes when another link brings the stream, or when it has to be brought again.
    term: u64,
    /// Rung when something is taken, or when the term is over.
    signal: Option<Arc<Signal>>,
}

#[derive(Debug)]
struct UnderWay {
    /// Which it is: positions may come again.
    number: u64,
    next: u64,
    taken: bool,
}

/// Where a link that brings a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beginning {
    pub(crate) term: u64,
    /// Everything before has been received, and is or was with the pipeline; `None` when nothing was ever received.
    pub(crate) received: Option<u64>,
    /// Everything before has been taken.
    pub(crate) settled: u64,
}

impl Progress {
    /// A link brings the stream from now on, and no other: what another has brought and not handed over comes again.
    pub(crate) fn begin(&self, signal: &Arc<Signal>) -> Beginning {
        let mut place = self.lock();
        place.end_term();
        place.signal = Some(signal.clone());
        Beginning { term: place.term, received: place.received, settled: place.settled }
    }

    /// The link that began with `term` brings the stream no longer.
    pub(crate) fn end(&self, term: u64) {
        let mut place = self.lock();
        if place.term == term {
            place.end_term();
            place.signal = None;
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Everything before has been taken.
    pub(crate) fn settled(&self) -> u64 {
        self.settled
    }

    pub(crate) fn term(&self) -> u64 {
        self.term
    }

    /// Notes that event `sequence` has been received; `false` when it had been received before.
    pub(crate) fn receive(&mut self, sequence: u64) -> bool {
        match self.received {
            Some(received) if sequence < received => return false,
            Some(_) => {}
            // Whatever was before the first event is not missing: it was never asked for.
            None => self.settled = sequence,
        }
        self.received = Some(sequence + 1);
        true
    }

    /// The next event is number `next`: what is before will not come. `is_told`: that is to be handed to the pipeline, or
    /// comes behind something that is, and is settled with it. Returns whether anything was expected before.
    pub(crate) fn pass_over(&mut self, next: u64, is_told: bool) -> bool {
        match self.received {
            Some(received) if next == received => return false,
            Some(received) if next < received => {
                // The sender starts over: what it said before counts no more.
                self.under_way.clear();
                self.settled = next;
            }
            Some(_) if is_told => {}
            // Events are counted from 1.
            None if is_told => self.settled = 1,
            _ if self.under_way.is_empty() => self.settled = next,
            _ => drop(self.put_under_way(next, true)),
        }
        self.received = Some(next);
        true
    }

    /// What was received since the last call is handed to the pipeline. Returns its number, for [`Place::finish`].
    pub(super) fn hand_over(&mut self) -> u64 {
        self.put_under_way(self.received.unwrap_or(self.settled), false)
    }

    fn put_under_way(&mut self, next: u64, taken: bool) -> u64 {
        self.handed_over += 1;
        self.under_way.push_back(UnderWay { number: self.handed_over, next, taken });
        self.handed_over
    }

    /// The pipeline has taken what was handed over as `number`, or will not take it. Then that and what is behind it has to
    /// come again; what is before it may still be taken.
    pub(super) fn finish(&mut self, number: u64, taken: bool) {
        let found = self.under_way.binary_search_by_key(&number, |under_way| under_way.number);
        // It is behind something that comes again.
        let Ok(index) = found else { return };
        if !taken {
            self.under_way.truncate(index);
            return self.end_term();
        }
        self.under_way[index].taken = true;
        while let Some(first) = self.under_way.front()
            && first.taken
        {
            self.settled = first.next;
            self.under_way.pop_front();
        }
        self.ring();
    }

    /// What has not been handed over has to come again, to whichever link is next.
    fn end_term(&mut self) {
        self.term += 1;
        let handed_over = self.under_way.back().map_or(self.settled, |under_way| under_way.next);
        self.received = self.received.map(|_| handed_over);
        self.ring();
    }

    fn ring(&self) {
        if let Some(signal) = &self.signal {
            signal.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(progress: &Progress) -> Beginning {
        progress.begin(&Arc::default())
    }

    #[test]
    fn what_a_link_did_not_hand_over_comes_again_with_the_next_one() {
        let progress = Progress::default();
        let first = begin(&progress);
        assert_eq!((first.received, first.settled), (None, 0));
        assert!(progress.lock().receive(5) && progress.lock().receive(6));
        let number = progress.lock().hand_over();
        assert!(progress.lock().receive(7));
        assert!(!progress.lock().receive(7));
        progress.end(first.term);
        let second = begin(&progress);
        assert_eq!((second.received, second.settled), (Some(7), 5));
        progress.lock().finish(number, true);
        assert_eq!(progress.lock().settled(), 7);
    }

    #[test]
    fn a_link_that_takes_a_stream_over_ends_the_term_of_the_one_before() {
        let progress = Progress::default();
        let signal = Arc::default();
        let first = progress.begin(&signal);
        assert!(progress.lock().receive(1));
        let second = begin(&progress);
        assert_eq!(second.received, Some(1));
        assert_ne!(progress.lock().term(), first.term);
        assert!(signal.register(std::task::Waker::noop()));
        progress.end(first.term);
        assert_eq!(progress.lock().term(), second.term);
    }

    #[test]
    fn a_gap_is_settled_behind_what_is_under_way() {
        let progress = Progress::default();
        begin(&progress);
        let mut place = progress.lock();
        place.receive(1);
        let number = place.hand_over();
        assert!(place.pass_over(10, false) && !place.pass_over(10, false));
        assert_eq!(place.settled(), 1);
        place.finish(number, true);
        assert_eq!((place.settled(), place.received), (10, Some(10)));
    }

    #[test]
    fn a_sender_that_starts_over_makes_what_is_under_way_nothing() {
        let progress = Progress::default();
        begin(&progress);
        let mut place = progress.lock();
        place.receive(9);
        let number = place.hand_over();
        place.pass_over(4, false);
        assert_eq!((place.settled(), place.received), (4, Some(4)));
        place.receive(9);
        place.hand_over();
        place.finish(number, true);
        assert_eq!(place.settled(), 4);
    }
}
