//! Counts what arrived against what should have: lost, duplicated, out of order, never expected.
//!
//! One bit of memory for each message of the run, so the verdict is exact and not sampled.

use serde::{Deserialize, Serialize};

use crate::workload::{Expect, Pattern};

/// The verdict over one connection, or the sum over several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Messages that should arrive.
    pub expected: u64,
    /// Expected messages that did arrive, each counted once.
    pub arrived: u64,
    /// Further arrivals of a message already seen.
    pub duplicates: u64,
    /// First arrivals after a later message.
    pub out_of_order: u64,
    /// Messages that should have been filtered, were never sent, or carry no sequence number.
    pub unexpected: u64,
}

impl Tally {
    /// Expected messages that did not arrive.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.expected - self.arrived
    }

    /// Whether everything arrived once, in order, and nothing else did.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost() == 0 && self.duplicates == 0 && self.out_of_order == 0 && self.unexpected == 0
    }

    /// Adds the counts of another connection or run.
    pub fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.arrived += other.arrived;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.unexpected += other.unexpected;
    }
}

/// Checks the sequence numbers `0..messages` of one connection as they arrive.
#[derive(Debug)]
pub struct SequenceChecker {
    expect: Expect,
    pattern: Pattern,
    messages: u64,
    seen: Vec<u64>,
    /// One past the highest sequence number that arrived.
    horizon: u64,
    tally: Tally,
}

impl SequenceChecker {
    /// A checker for a run of `messages`, of which `expect` says which should arrive.
    #[must_use]
    pub fn new(pattern: Pattern, expect: Expect, messages: u64) -> Self {
        let expected = match expect {
            Expect::All => messages,
            Expect::Kept => pattern.kept_below(messages),
        };
        Self {
            expect,
            pattern,
            messages,
            seen: vec![0; messages.div_ceil(64) as usize],
            horizon: 0,
            tally: Tally { expected, ..Tally::default() },
        }
    }

    /// Records one arrival; `None` for a message without a readable sequence number.
    pub fn record(&mut self, sequence: Option<u64>) {
        let Some(sequence) = sequence.filter(|sequence| self.is_expected(*sequence)) else {
            self.tally.unexpected += 1;
            return;
        };
        let word = &mut self.seen[(sequence / 64) as usize];
        let bit = 1 << (sequence % 64);
        if *word & bit != 0 {
            self.tally.duplicates += 1;
            return;
        }
        *word |= bit;
        self.tally.arrived += 1;
        if sequence < self.horizon {
            self.tally.out_of_order += 1;
        } else {
            self.horizon = sequence + 1;
        }
    }

    /// Whether every expected message has arrived.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.tally.arrived == self.tally.expected
    }

    /// The verdict so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    fn is_expected(&self, sequence: u64) -> bool {
        sequence < self.messages
            && match self.expect {
                Expect::All => true,
                Expect::Kept => self.pattern.is_kept(sequence),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: u64 = 3_000;

    fn checker(expect: Expect) -> SequenceChecker {
        SequenceChecker::new(Pattern::new(), expect, MESSAGES)
    }

    fn kept() -> Vec<u64> {
        let pattern = Pattern::new();
        (0..MESSAGES).filter(|s| pattern.is_kept(*s)).collect()
    }

    #[test]
    fn the_kept_half_in_order_is_clean_and_complete() {
        let mut checker = checker(Expect::Kept);
        for sequence in kept() {
            assert!(!checker.is_complete());
            checker.record(Some(sequence));
        }
        assert!(checker.is_complete());
        assert!(checker.tally().is_clean());
    }

    #[test]
    fn a_relay_must_deliver_everything() {
        let mut checker = checker(Expect::All);
        kept().into_iter().for_each(|s| checker.record(Some(s)));
        let tally = checker.tally();
        assert_eq!(tally.expected, MESSAGES);
        assert_eq!(tally.lost(), MESSAGES - kept().len() as u64);
    }

    #[test]
    fn loss_is_what_never_came() {
        let mut checker = checker(Expect::Kept);
        let kept = kept();
        kept.iter().skip(3).for_each(|sequence| checker.record(Some(*sequence)));
        assert_eq!(checker.tally().lost(), 3);
        assert_eq!(checker.tally().out_of_order, 0);
        assert!(!checker.is_complete());
    }

    #[test]
    fn duplicates_do_not_make_up_for_loss() {
        let mut checker = checker(Expect::Kept);
        let kept = kept();
        checker.record(Some(kept[0]));
        checker.record(Some(kept[0]));
        assert_eq!(checker.tally().duplicates, 1);
        assert_eq!(checker.tally().arrived, 1);
    }

    #[test]
    fn a_late_message_is_out_of_order_and_not_lost() {
        let mut checker = checker(Expect::Kept);
        let mut order = kept();
        order.swap(4, 5);
        order.iter().for_each(|s| checker.record(Some(*s)));
        assert_eq!(checker.tally().out_of_order, 1);
        assert_eq!(checker.tally().lost(), 0);
    }

    #[test]
    fn filtered_foreign_and_unreadable_messages_are_unexpected() {
        let mut checker = checker(Expect::Kept);
        let pattern = Pattern::new();
        let filtered = (0..MESSAGES).find(|s| !pattern.is_kept(*s));
        checker.record(filtered);
        checker.record(Some(MESSAGES));
        checker.record(Some(u64::MAX));
        checker.record(None);
        assert_eq!(checker.tally().unexpected, 4);
        assert_eq!(checker.tally().arrived, 0);
    }
}
