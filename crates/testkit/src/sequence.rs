//! Loss, duplicates and order of numbered messages.
//!
//! Whoever sends numbers its messages without gaps; [`check`] compares the numbers that arrived with those that were
//! sent. It knows nothing of payload formats: the caller takes the number out.

use std::{collections::HashSet, fmt, ops::Range};

/// How many numbers of each kind a report prints.
const PRINTED_NUMBERS: usize = 8;

/// What [`check`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SequenceReport {
    /// Numbers that were sent and never arrived, ascending.
    pub missing: Vec<u64>,
    /// Numbers that arrived again, once for every extra arrival, in order of arrival.
    pub duplicates: Vec<u64>,
    /// Numbers that arrived for the first time after a higher one had, in order of arrival.
    pub out_of_order: Vec<u64>,
    /// Numbers that were never sent, in order of arrival.
    pub unexpected: Vec<u64>,
}

impl SequenceReport {
    /// Whether every number arrived exactly once and in order.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }

    /// Asserts that every number arrived exactly once and in order.
    ///
    /// # Panics
    /// With the report, when it is not [clean](Self::is_clean).
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "the sequence is not clean: {self}");
    }

    /// Asserts that every number arrived, whatever their order and however often: at-least-once delivery.
    ///
    /// # Panics
    /// With the report, when a number is missing.
    #[track_caller]
    pub fn assert_complete(&self) {
        assert!(self.missing.is_empty(), "messages were lost: {self}");
    }
}

impl fmt::Display for SequenceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            ("missing", &self.missing),
            ("duplicated", &self.duplicates),
            ("out of order", &self.out_of_order),
            ("never sent", &self.unexpected),
        ];
        let mut separator = "";
        for (kind, numbers) in kinds.into_iter().filter(|(_, numbers)| !numbers.is_empty()) {
            write!(f, "{separator}{} {kind} {:?}", numbers.len(), &numbers[..numbers.len().min(PRINTED_NUMBERS)])?;
            if numbers.len() > PRINTED_NUMBERS {
                f.write_str(" and more")?;
            }
            separator = ", ";
        }
        if separator.is_empty() { f.write_str("clean") } else { Ok(()) }
    }
}

/// Compares the numbers that arrived, in order of arrival, with those that were sent.
///
/// ```
/// use eventflux_testkit::sequence;
///
/// let report = sequence::check(0..4, [0, 2, 2, 1]);
/// assert_eq!(report.missing, [3]);
/// assert_eq!(report.duplicates, [2]);
/// assert_eq!(report.out_of_order, [1]);
/// ```
pub fn check(sent: Range<u64>, arrived: impl IntoIterator<Item = u64>) -> SequenceReport {
    let mut report = SequenceReport::default();
    let mut seen = HashSet::new();
    let mut highest = None;
    for number in arrived {
        if !sent.contains(&number) {
            report.unexpected.push(number);
        } else if !seen.insert(number) {
            report.duplicates.push(number);
        } else if highest.is_some_and(|highest| number < highest) {
            report.out_of_order.push(number);
        } else {
            highest = Some(number);
        }
    }
    report.missing = sent.filter(|number| !seen.contains(number)).collect();
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_sequence_in_order_is_clean() {
        let report = check(5..9, 5..9);
        assert!(report.is_clean());
        assert_eq!(report.to_string(), "clean");
        report.assert_clean();
    }

    #[test]
    fn an_unsent_number_is_reported_and_does_not_count_as_arrived() {
        let report = check(0..2, [0, 7, 1]);
        assert_eq!(report.unexpected, [7]);
        assert_eq!(report.to_string(), "1 never sent [7]");
    }

    #[test]
    #[should_panic(expected = "100 missing [0, 1, 2, 3, 4, 5, 6, 7] and more")]
    fn a_long_list_is_cut_when_printed() {
        check(0..100, []).assert_complete();
    }
}
