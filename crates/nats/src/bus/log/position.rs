//! How far a log has been read, and what a server's word about it means. Knows no socket and no clock.

/// A log, as the server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    /// The same for everybody, another one for each log.
    pub(super) epoch: String,
    /// The lowest sequence that is there, or will be; 0 when nothing ever was.
    pub(super) first: u64,
    /// The highest sequence that was given to an entry; 0 when none was.
    pub(super) last: u64,
}

/// What a reader has to do before it reads on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing: entries follow on what was read.
    Continue,
    /// Say that the log begins, or begins again, behind `before`.
    Begin {
        /// Another log than that of before.
        fresh: bool,
        /// Entries up to here are gone.
        before: u64,
    },
    /// Nothing can be read: entries that were read are not there any more, see [`Position::rewound`].
    Rewound,
}

/// What an entry's number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It was read before.
    Known,
    /// It follows on the last one.
    Next,
    /// Those up to `before` were removed before they were read.
    Gap {
        /// The number of the last that is gone.
        before: u64,
    },
}

/// How far a log has been read.
#[derive(Debug, Default)]
pub(super) struct Position {
    epoch: String,
    last: u64,
    /// The last number of the past, until it has been read.
    target: Option<u64>,
    /// The entry that was read last, to know it again: its number, and what it looks like.
    read: Option<(u64, u64)>,
}

impl Position {
    /// Of which log.
    pub(super) fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Where to read on.
    pub(super) fn next(&self) -> u64 {
        self.last + 1
    }

    /// Compares what was read with what is there.
    pub(super) fn attach(&mut self, log: Described) -> Turn {
        let before = log.first.saturating_sub(1);
        if log.epoch != self.epoch {
            *self = Self { epoch: log.epoch, last: before, target: Some(log.last), read: None };
            return Turn::Begin { fresh: true, before };
        }
        if log.last < self.last {
            return Turn::Rewound;
        }
        if before > self.last {
            self.last = before;
            return Turn::Begin { fresh: false, before };
        }
        Turn::Continue
    }

    /// The entry to be compared with what was read, to know whether the log has lost what was read and taken others since.
    pub(super) fn witness(&self, log: &Described) -> Option<u64> {
        let (sequence, _) = self.read.filter(|(sequence, _)| *sequence == self.last)?;
        (log.epoch == self.epoch && (log.first..=log.last).contains(&sequence)).then_some(sequence)
    }

    /// From which number the log has to go on when the server has lost entries that were read, as after a power failure:
    /// their numbers would stand, or stand already, for others, which those who have read further would never see. `print`:
    /// what the [`witness`](Self::witness) looks like; `None`: there is none.
    ///
    /// One number is left out, so that everybody finds a hole, also those who read up to the last entry.
    pub(super) fn rewound(&self, log: &Described, print: Option<u64>) -> Option<u64> {
        let is_shorter = log.epoch == self.epoch && log.last < self.last;
        let is_another = self.read.zip(print).is_some_and(|((_, read), print)| read != print);
        (is_shorter || is_another).then(|| self.last.max(log.last) + 2)
    }

    /// The entry that was read last looks like this.
    pub(super) fn note(&mut self, sequence: u64, print: u64) {
        self.read = Some((sequence, print));
    }

    /// Takes note of an entry's number.
    pub(super) fn arrive(&mut self, sequence: u64) -> Arrival {
        if sequence <= self.last {
            return Arrival::Known;
        }
        let gap = sequence - self.last > 1;
        self.last = sequence;
        if gap { Arrival::Gap { before: sequence - 1 } } else { Arrival::Next }
    }

    /// Whether the past has been read just now: said once for each log. `drained`: the server has nothing to send.
    pub(super) fn catches_up(&mut self, drained: bool) -> bool {
        let reached = self.target.is_some_and(|target| drained || self.last >= target);
        if reached {
            self.target = None;
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log(epoch: &str, first: u64, last: u64) -> Described {
        Described { epoch: epoch.to_owned(), first, last }
    }

    #[test]
    fn an_empty_log_is_read_from_its_first_number_and_is_caught_up_at_once() {
        let mut position = Position::default();
        assert_eq!(position.attach(log("a", 0, 0)), Turn::Begin { fresh: true, before: 0 });
        assert!(position.catches_up(false));
        assert!(!position.catches_up(true));
        assert_eq!((position.next(), position.arrive(1)), (1, Arrival::Next));
    }

    #[test]
    fn the_past_ends_where_the_log_ended_when_it_was_opened() {
        let mut position = Position::default();
        assert_eq!(position.attach(log("a", 5, 7)), Turn::Begin { fresh: true, before: 4 });
        for sequence in 5..7 {
            assert_eq!(position.arrive(sequence), Arrival::Next);
            assert!(!position.catches_up(false));
        }
        position.arrive(7);
        assert!(position.catches_up(false));
    }

    #[test]
    fn a_past_that_was_removed_meanwhile_ends_when_nothing_is_left() {
        let mut position = Position::default();
        position.attach(log("a", 1, 3));
        assert!(!position.catches_up(false));
        assert!(position.catches_up(true));
    }

    #[test]
    fn entries_that_were_removed_unread_are_a_gap() {
        let mut position = Position::default();
        position.attach(log("a", 1, 0));
        position.arrive(1);
        assert_eq!(position.arrive(4), Arrival::Gap { before: 3 });
        assert_eq!(position.arrive(4), Arrival::Known);
        assert_eq!(position.attach(log("a", 3, 9)), Turn::Continue);
        assert_eq!(position.attach(log("a", 8, 9)), Turn::Begin { fresh: false, before: 7 });
        assert_eq!(position.next(), 8);
    }

    #[test]
    fn another_log_begins_anew_and_a_shorter_one_is_noticed() {
        let mut position = Position::default();
        position.attach(log("a", 1, 9));
        position.arrive(1);
        position.arrive(2);
        assert_eq!(position.attach(log("a", 1, 1)), Turn::Rewound);
        assert_eq!(position.attach(log("a", 3, 2)), Turn::Continue);
        assert_eq!(position.attach(log("b", 1, 1)), Turn::Begin { fresh: true, before: 0 });
        assert_eq!((position.epoch(), position.next()), ("b", 1));
    }

    #[test]
    fn a_log_that_lost_what_was_read_goes_on_behind_it_with_a_hole() {
        let mut position = Position::default();
        position.attach(log("a", 1, 2));
        assert_eq!(position.witness(&log("a", 1, 2)), None, "nothing was read yet");
        position.arrive(1);
        position.arrive(2);
        position.note(2, 22);
        assert_eq!(position.rewound(&log("a", 1, 1), None), Some(4));
        assert_eq!(position.rewound(&log("b", 1, 1), None), None);
        assert_eq!(position.attach(log("a", 4, 3)), Turn::Begin { fresh: false, before: 3 });
        assert_eq!(position.witness(&log("a", 1, 3)), None, "it was not read");
    }

    #[test]
    fn a_log_that_lost_what_was_read_and_grew_again_is_known_by_the_last_entry() {
        let mut position = Position::default();
        position.attach(log("a", 1, 2));
        position.arrive(1);
        position.arrive(2);
        position.note(2, 22);
        let grown = log("a", 1, 7);
        assert_eq!(position.witness(&grown), Some(2));
        assert_eq!(position.rewound(&grown, Some(22)), None);
        assert_eq!(position.rewound(&grown, Some(23)), Some(9));
        assert_eq!((position.witness(&log("a", 3, 7)), position.witness(&log("b", 1, 7))), (None, None));
    }

    proptest! {
        /// Whatever is removed, and however often the reader starts over: what it hands over grows, and each number is
        /// either handed over or said to be gone, never both.
        #[test]
        fn every_number_is_read_or_gone(steps in proptest::collection::vec((0_u64..4, 0_u64..4, any::<bool>()), 0..40)) {
            let (mut position, mut first, mut last) = (Position::default(), 1_u64, 0_u64);
            let mut accounted = 0;
            for (added, removed, attach) in steps {
                last += added;
                first = (first + removed).min(last + 1);
                if attach || accounted == 0 {
                    match position.attach(log("a", first, last)) {
                        Turn::Begin { before, .. } => accounted = before.max(accounted),
                        Turn::Continue => {}
                        Turn::Rewound => prop_assert!(false, "nothing was lost"),
                    }
                }
                let from = position.next().max(first);
                for sequence in from..=last {
                    match position.arrive(sequence) {
                        Arrival::Next => prop_assert_eq!(sequence, accounted + 1),
                        Arrival::Gap { before } => prop_assert!(before == sequence - 1 && before > accounted),
                        Arrival::Known => prop_assert!(false, "read twice"),
                    }
                    accounted = sequence;
                }
                prop_assert_eq!(position.next(), accounted + 1);
            }
        }
    }
}
