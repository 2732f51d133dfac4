//! How many messages a client sent lately.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::hub::RateLimit;

/// Messages taken within the last span, exactly: a sliding window.
#[derive(Debug, Default)]
pub(super) struct Window {
    taken: VecDeque<Instant>,
    /// Messages refused within the span that began with the first of them.
    refused: usize,
    refused_since: Option<Instant>,
}

/// Whether a message is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Taken,
    /// The next one is, after this time.
    Refused(Duration),
    /// The client goes on all the same: as many again were refused within the span.
    Flood,
}

impl Window {
    pub(super) fn message(&mut self, limit: &RateLimit, now: Instant) -> Verdict {
        let is_over = |at: &Instant| now.saturating_duration_since(*at) >= limit.per;
        while self.taken.front().is_some_and(is_over) {
            self.taken.pop_front();
        }
        if self.refused_since.as_ref().is_some_and(is_over) {
            (self.refused, self.refused_since) = (0, None);
        }
        match self.taken.front() {
            Some(oldest) if self.taken.len() >= limit.messages => {
                self.refused += 1;
                self.refused_since.get_or_insert(now);
                if self.refused > limit.messages {
                    return Verdict::Flood;
                }
                Verdict::Refused((*oldest + limit.per).saturating_duration_since(now))
            }
            _ => {
                self.taken.push_back(now);
                Verdict::Taken
            }
        }
    }

    /// Gives memory back that is not needed while nothing happens.
    pub(super) fn shrink(&mut self, limit: &RateLimit, now: Instant) {
        if self.taken.back().is_none_or(|at| now.saturating_duration_since(*at) >= limit.per) {
            self.taken = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit = RateLimit { messages: 3, per: Duration::from_secs(60) };

    #[test]
    fn as_many_messages_as_allowed_are_taken_in_any_span() {
        let start = Instant::now();
        let mut window = Window::default();
        let mut at = |seconds| window.message(&LIMIT, start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(10), at(20)], [Verdict::Taken; 3]);
        assert_eq!(at(30), Verdict::Refused(Duration::from_secs(30)));
        assert_eq!([at(60), at(61)], [Verdict::Taken, Verdict::Refused(Duration::from_secs(9))]);
        assert_eq!(at(70), Verdict::Taken);
    }

    #[test]
    fn who_goes_on_after_as_many_refusals_floods() {
        let start = Instant::now();
        let mut window = Window::default();
        let verdicts: Vec<_> = (0..7).map(|_| window.message(&LIMIT, start)).collect();
        assert_eq!(verdicts[2], Verdict::Taken);
        assert!(matches!(verdicts[5], Verdict::Refused(_)));
        assert_eq!(verdicts[6], Verdict::Flood);
        assert_eq!(window.message(&LIMIT, start + Duration::from_secs(60)), Verdict::Taken);
    }
}
