//! How many messages came by requests lately, by user or else by address.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eventflux_gateway::RateLimit;

/// Senders whose messages are counted at a time. When there are more, new ones wait.
const MAX_SENDERS: usize = 10_000;

/// Whose messages are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Who {
    User(Arc<str>),
    Address(IpAddr),
}

/// Messages of the last span, exactly: sliding windows.
#[derive(Debug, Default)]
pub(super) struct Rates {
    windows: HashMap<Who, VecDeque<(Instant, usize)>>,
}

impl Rates {
    /// Takes so many messages, all or none.
    ///
    /// # Errors
    /// How long to wait when they are too many; `None` when they are more than ever pass at a time.
    pub(super) fn take(
        &mut self,
        who: Who,
        messages: usize,
        limit: &RateLimit,
        now: Instant,
    ) -> Result<(), Option<Duration>> {
        if messages > limit.messages {
            return Err(None);
        }
        if self.windows.len() >= MAX_SENDERS && !self.windows.contains_key(&who) {
            let is_lately = |window: &VecDeque<(Instant, usize)>| {
                window.back().is_some_and(|(at, _)| now.saturating_duration_since(*at) < limit.per)
            };
            self.windows.retain(|_, window| is_lately(window));
            if self.windows.len() >= MAX_SENDERS {
                return Err(Some(limit.per));
            }
        }
        let window = self.windows.entry(who).or_default();
        while window.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= limit.per) {
            window.pop_front();
        }
        let mut excess =
            (window.iter().map(|(_, count)| count).sum::<usize>() + messages).saturating_sub(limit.messages);
        for (at, count) in window.iter() {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(*count);
            if excess == 0 {
                return Err(Some((*at + limit.per).saturating_duration_since(now)));
            }
        }
        window.push_back((now, messages));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit = RateLimit { messages: 3, per: Duration::from_secs(60) };

    fn user(name: &str) -> Who {
        Who::User(name.into())
    }

    #[test]
    fn as_many_messages_as_allowed_are_taken_in_any_span_for_each_sender() {
        let start = Instant::now();
        let mut rates = Rates::default();
        let mut at =
            |who: &str, seconds, count| rates.take(user(who), count, &LIMIT, start + Duration::from_secs(seconds));
        assert_eq!(at("ann", 0, 1), Ok(()));
        assert_eq!(at("ann", 10, 2), Ok(()));
        assert_eq!(at("ann", 20, 1), Err(Some(Duration::from_secs(40))));
        assert_eq!(at("ann", 20, 2), Err(Some(Duration::from_secs(50))));
        assert_eq!(at("bob", 20, 3), Ok(()));
        assert_eq!(at("ann", 60, 1), Ok(()));
        assert_eq!(at("eve", 60, 4), Err(None));
    }

    #[test]
    fn the_number_of_senders_is_bounded_and_old_ones_make_room() {
        let start = Instant::now();
        let mut rates = Rates::default();
        for index in 0..MAX_SENDERS {
            rates.take(user(&index.to_string()), 1, &LIMIT, start).unwrap();
        }
        assert_eq!(rates.take(user("one more"), 1, &LIMIT, start), Err(Some(LIMIT.per)));
        assert_eq!(rates.take(user("7"), 1, &LIMIT, start), Ok(()));
        assert_eq!(rates.take(user("one more"), 1, &LIMIT, start + LIMIT.per), Ok(()));
        assert_eq!(rates.windows.len(), 1);
    }
}
