//! What has to be true of a payload before a filter needs to be asked at all.

use super::condition::{Comparison, Condition, Path};
use super::scalar::Scalar;

/// The most equalities of one filter that are looked up one behind the other.
const MAX_EQUALITIES: usize = 4;

/// One necessary condition that an index can look up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// One of these values is at its path.
    OneOf(Vec<(Path, Scalar<'static>)>),
    /// The value at a path is on this side of a bound.
    Range { path: Path, comparison: Comparison, bound: Scalar<'static> },
}

/// The steps of a condition: all of them are true when it is. First equalities with one value, then one with several
/// values, then a range; none when the condition has nothing that can be looked up.
pub(super) fn steps(condition: &Condition) -> Vec<Step> {
    let parts = match condition {
        Condition::All(parts) => parts.as_slice(),
        other => std::slice::from_ref(other),
    };
    let (mut equalities, several): (Vec<_>, Vec<_>) =
        parts.iter().filter_map(alternatives).partition(|alternatives| alternatives.len() == 1);
    equalities.truncate(MAX_EQUALITIES);
    equalities.extend(several.into_iter().min_by_key(Vec::len));
    let mut steps: Vec<_> = equalities.into_iter().map(Step::OneOf).collect();
    steps.extend(parts.iter().find_map(range));
    steps
}

/// Values of which one is at its path when the condition is true; `None` when there is no such list.
fn alternatives(condition: &Condition) -> Option<Vec<(Path, Scalar<'static>)>> {
    match condition {
        Condition::OneOf { path, values } => Some(values.iter().map(|value| (path.clone(), value.clone())).collect()),
        Condition::All(parts) => parts.iter().filter_map(alternatives).min_by_key(Vec::len),
        Condition::Any(parts) => {
            let mut union: Vec<_> =
                parts.iter().map(alternatives).collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
            union.sort_unstable();
            union.dedup();
            Some(union)
        }
        _ => None,
    }
}

fn range(condition: &Condition) -> Option<Step> {
    match condition {
        Condition::Range { path, comparison, bound } => {
            Some(Step::Range { path: path.clone(), comparison: *comparison, bound: bound.clone() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::predicate::{self, Terms};
    use super::*;
    use crate::filter::FilterLimits;

    /// The steps of a predicate, as texts.
    fn steps_of(text: &str) -> Vec<String> {
        let limits = FilterLimits::default();
        let condition = predicate::parse(text, &mut Terms::new(&limits)).unwrap();
        let describe = |step: &Step| match step {
            Step::OneOf(alternatives) => {
                let paths: Vec<_> = alternatives.iter().map(|(path, _)| &**path).collect();
                paths.join(" | ")
            }
            Step::Range { path, comparison, .. } => format!("{path} {comparison:?}"),
        };
        steps(&condition).iter().map(describe).collect()
    }

    #[test]
    fn equalities_come_before_ranges() {
        for (text, expected) in [
            ("a = 1", vec!["a"]),
            ("b > 1", vec!["b Greater"]),
            ("b > 1 AND a = 1 AND d IN (1, 2) AND e IN (1, 2, 3)", vec!["a", "d | d", "b Greater"]),
            ("b BETWEEN 1 AND 2", vec!["b LessOrEqual"]),
            ("a = 1 OR b = 2", vec!["a | b"]),
            ("(a = 1 AND b > 2) OR (c LIKE 'x' AND d = 2 AND e IN (1, 2))", vec!["a | d"]),
            ("(a = 1 AND b = 2) OR (a = 1 AND b = 3)", vec!["a"]),
            ("a = 1 AND b = 1 AND c = 1 AND d = 1 AND e = 1", vec!["a", "b", "c", "d"]),
            ("a = 1 OR b > 2", vec![]),
            ("NOT a = 1", vec![]),
            ("a IS NULL", vec![]),
            ("a = b", vec![]),
            ("a LIKE 'x'", vec![]),
        ] {
            assert_eq!(steps_of(text), expected, "{text}");
        }
    }
}
