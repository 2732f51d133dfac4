//! Truth: `AND`, `OR`, `NOT`, `IS`, `BETWEEN` and `NULLIF` with three truth values.

use super::Rows;
use super::compare::{self, Comparison};
use super::eval::{self, Evaluation};
use super::node::Node;
use super::operand::{Operand, either_null, map};

impl<'b, 'r> Evaluation<'b, 'r, '_> {
    /// `AND` (`decisive` is `FALSE`) or `OR` (`decisive` is `TRUE`): the first operand that has the decisive value decides,
    /// and later operands are not evaluated for that row.
    #[inline(never)]
    pub(super) fn connective(&mut self, operands: &'b [Node], decisive: bool) -> Operand<'b, 'r> {
        let len = self.len();
        let mut truth = Truth::new(len, !decisive);
        let mut open: Option<Vec<usize>> = None;
        for operand in operands {
            match &open {
                None => truth.combine(&self.eval(operand), 0..len, decisive),
                Some(open) if open.is_empty() => break,
                Some(open) => {
                    let rows: Vec<usize> = open.iter().map(|&position| self.rows.row(position)).collect();
                    let result = self.over(Rows::Some(&rows)).eval(operand);
                    truth.combine(&result, open.iter().copied(), decisive);
                }
            }
            let undecided = truth.undecided(decisive);
            open = (undecided.len() < len).then_some(undecided);
        }
        eval::bools(truth.values, if truth.any_null { truth.nulls } else { Vec::new() })
    }
}

/// What a chain of `AND` or `OR` has come to so far, for each row.
struct Truth {
    values: Vec<bool>,
    nulls: Vec<bool>,
    any_null: bool,
}

impl Truth {
    fn new(len: usize, value: bool) -> Self {
        Self { values: vec![value; len], nulls: vec![false; len], any_null: false }
    }

    /// Entry `i` of `operand` belongs to the `i`th of `positions`, each of them undecided.
    fn combine(&mut self, operand: &Operand<'_, '_>, positions: impl Iterator<Item = usize>, decisive: bool) {
        let values = operand.bools();
        for (entry, position) in positions.enumerate() {
            if operand.is_null(entry) {
                self.nulls[position] = true;
                self.any_null = true;
            } else if values[operand.index.at(entry)] == decisive {
                self.values[position] = decisive;
                self.nulls[position] = false;
            }
        }
    }

    fn undecided(&self, decisive: bool) -> Vec<usize> {
        let values = self.values.iter().enumerate();
        values.filter(|&(_, &value)| value != decisive).map(|(position, _)| position).collect()
    }
}

pub(super) fn not<'b, 'r>(operand: &Operand<'_, '_>, len: usize) -> Operand<'b, 'r> {
    eval::bools(map(operand.bools(), operand.index, len, |_, value| !value), operand.nulls(len))
}

pub(super) fn is_null<'b, 'r>(operand: &Operand<'_, '_>, negated: bool, len: usize) -> Operand<'b, 'r> {
    let mut values = operand.nulls(len);
    values.resize(len, false);
    if negated {
        values.iter_mut().for_each(|value| *value = !*value);
    }
    eval::bools(values, Vec::new())
}

pub(super) fn is_truth<'b, 'r>(operand: &Operand<'_, '_>, truth: bool, negated: bool, len: usize) -> Operand<'b, 'r> {
    let values = map(operand.bools(), operand.index, len, |position, value| {
        (value == truth && !operand.is_null(position)) != negated
    });
    eval::bools(values, Vec::new())
}

pub(super) fn between<'b, 'r>(
    value: &Operand<'_, '_>,
    low: &Operand<'_, '_>,
    high: &Operand<'_, '_>,
    negated: bool,
    len: usize,
) -> Operand<'b, 'r> {
    let above = compare::bools(Comparison::GreaterOrEqual, value, low, len);
    let below = compare::bools(Comparison::LessOrEqual, value, high, len);
    let mut truth = Truth::new(len, true);
    let (low_nulls, high_nulls) = (either_null(value, low, len), either_null(value, high, len));
    truth.combine(&eval::bools(above, low_nulls), 0..len, false);
    let open = truth.undecided(false);
    truth.combine(&eval::bools(below, high_nulls).at_positions(&open), open.iter().copied(), false);
    if negated {
        truth.values.iter_mut().for_each(|value| *value = !*value);
    }
    eval::bools(truth.values, if truth.any_null { truth.nulls } else { Vec::new() })
}

pub(super) fn null_if<'b, 'r>(left: Operand<'b, 'r>, right: &Operand<'_, '_>, len: usize) -> Operand<'b, 'r> {
    let equal = compare::bools(Comparison::Equal, &left, right, len);
    let same = |position: usize| equal[position] && !left.is_null(position) && !right.is_null(position);
    if !(0..len).any(same) {
        return left;
    }
    let nulls = (0..len).map(|position| left.is_null(position) || same(position)).collect();
    Operand::of(left.into_dense(len).values().clone(), nulls)
}
