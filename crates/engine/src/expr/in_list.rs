//! `x IN (...)`.

use std::collections::HashSet;

use eventflux_core::Column;

use super::compare::{self, Comparison};
use super::eval;
use super::operand::{Operand, map};

/// Constants of one type, none of them `NULL`.
pub(crate) enum Set {
    Ints(HashSet<i32>),
    Longs(HashSet<i64>),
    Texts(HashSet<Box<str>>),
}

impl Set {
    /// The set of these one-entry columns of the same type; `None` when one is `NULL` or the type has no set.
    pub(super) fn of<'a>(constants: impl Iterator<Item = &'a Column> + Clone) -> Option<Self> {
        use eventflux_core::ValueRef::{Int, Long, String};
        let values = constants.map(|column| column.value(0));
        Some(match values.clone().next()? {
            Int(_) => Self::Ints(values.map(|v| if let Int(v) = v { Some(v) } else { None }).collect::<Option<_>>()?),
            Long(_) => {
                Self::Longs(values.map(|v| if let Long(v) = v { Some(v) } else { None }).collect::<Option<_>>()?)
            }
            String(_) => Self::Texts(
                values.map(|v| if let String(v) = v { Some(v.into()) } else { None }).collect::<Option<_>>()?,
            ),
            _ => return None,
        })
    }
}

/// Where `operand` is, or with `negated` is not, in the set.
pub(super) fn contains<'b, 'r>(operand: &Operand<'_, '_>, set: &Set, negated: bool, len: usize) -> Operand<'b, 'r> {
    let values = match set {
        Set::Ints(set) => {
            let ints = operand.column.ints().unwrap_or_default();
            map(ints, operand.index, len, |_, value| set.contains(&value) != negated)
        }
        Set::Longs(set) => map(operand.longs(), operand.index, len, |_, value| set.contains(&value) != negated),
        Set::Texts(set) => {
            let texts = operand.texts();
            (0..len).map(|i| set.contains(texts.get(operand.index.at(i))) != negated).collect()
        }
    };
    eval::bools(values, operand.nulls(len))
}

/// Which rows have found an equal in the list so far.
pub(super) struct Matches {
    found: Vec<bool>,
    /// Rows whose answer is `NULL` unless an equal is found.
    unknown: Vec<bool>,
}

impl Matches {
    pub(super) fn new(operand: &Operand<'_, '_>, len: usize) -> Self {
        let mut unknown = operand.nulls(len);
        unknown.resize(len, false);
        Self { found: vec![false; len], unknown }
    }

    /// Compares with the next item of the list.
    pub(super) fn add(&mut self, operand: &Operand<'_, '_>, item: &Operand<'_, '_>) {
        let equal = compare::bools(Comparison::Equal, operand, item, self.found.len());
        for (position, equal) in equal.into_iter().enumerate() {
            if item.is_null(position) {
                self.unknown[position] = true;
            } else if equal && !operand.is_null(position) {
                self.found[position] = true;
            }
        }
    }

    pub(super) fn finish<'b, 'r>(mut self, negated: bool) -> Operand<'b, 'r> {
        for (unknown, found) in self.unknown.iter_mut().zip(&mut self.found) {
            *unknown &= !*found;
            *found ^= negated;
        }
        eval::bools(self.found, self.unknown)
    }
}
