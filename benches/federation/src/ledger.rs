//! What a receiver got: counted, and checked for order.

use eventflux_benches::clock::monotonic_ns;
use eventflux_benches::control::emit;
use eventflux_benches::error::BenchError;

use crate::event::{Event, Received};
use crate::message::number;

/// See the module.
#[derive(Debug)]
pub(crate) struct Ledger {
    messages: u64,
    /// Messages between two reports.
    part: u64,
    expected: u64,
    got: Received,
}

impl Ledger {
    /// For so many messages, with so many reports on the way.
    pub(crate) fn new(messages: u64, parts: u64) -> Self {
        Self { messages, part: messages.div_ceil(parts.max(1)).max(1), expected: 0, got: Received::default() }
    }

    /// Takes messages, and tells the runner where that is due.
    pub(crate) fn take<'a>(&mut self, messages: impl Iterator<Item = &'a [u8]>) -> Result<(), BenchError> {
        let before = self.got.received;
        messages.for_each(|message| self.take_one(message));
        let now = self.got.received;
        if before < self.messages && now >= self.messages {
            self.got.last_ns = monotonic_ns();
            return emit(&Event::Received(self.got));
        }
        if before / self.part < now / self.part && now < self.messages {
            return emit(&Event::Progress { received: now });
        }
        Ok(())
    }

    fn take_one(&mut self, message: &[u8]) {
        self.got.received += 1;
        match number(message) {
            Some(number) => {
                self.got.misordered += u64::from(number != self.expected);
                self.expected = number + 1;
            }
            None => self.got.unknown += 1,
        }
    }
}

impl Received {
    /// Messages that did not come, came twice, in another order, or from somewhere else.
    pub(crate) fn wrong(&self, messages: u64) -> u64 {
        self.received.abs_diff(messages) + self.misordered + self.unknown
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::message::Messages;

    #[test]
    fn what_is_missing_or_comes_twice_is_noticed() {
        let mut messages = Messages::new(100);
        let all: Vec<BytesMut> = (0..4)
            .map(|_| {
                let mut out = BytesMut::new();
                messages.write(&mut out);
                out
            })
            .collect();
        for (order, misordered) in [(&[0, 1, 2, 3][..], 0), (&[0, 2, 3], 1), (&[0, 1, 1, 2, 3], 1), (&[1], 1)] {
            let mut ledger = Ledger::new(10, 1);
            ledger.take(order.iter().map(|index: &usize| &all[*index][..])).unwrap();
            assert_eq!(ledger.got.misordered, misordered, "{order:?}");
        }
    }

    #[test]
    fn what_is_none_of_ours_is_counted() {
        let mut ledger = Ledger::new(10, 1);
        ledger.take([&b"something else"[..]].into_iter()).unwrap();
        assert_eq!((ledger.got.unknown, ledger.got.wrong(1), ledger.got.wrong(3)), (1, 1, 3));
    }
}
