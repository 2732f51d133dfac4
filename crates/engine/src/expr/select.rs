//! `WHERE`: which rows an expression is `TRUE` for.

use super::eval::Evaluation;
use super::node::{Kind, Node};
use super::operand::Operand;
use super::{Rows, compare};

impl<'b> Evaluation<'b, '_, '_> {
    /// Appends the numbers of the rows for which the node is `TRUE`.
    pub(super) fn select(&mut self, node: &'b Node, selected: &mut Vec<usize>) {
        match &node.kind {
            Kind::And(operands) => self.select_all(operands, selected),
            Kind::Compare { comparison, operands } => {
                let left = self.eval(&operands[0]);
                let right = self.eval(&operands[1]);
                let bools = compare::bools(*comparison, &left, &right, self.len());
                if left.has_nulls() || right.has_nulls() {
                    let known = |position: usize| !left.is_null(position) && !right.is_null(position);
                    self.keep(selected, |position| bools[position] && known(position));
                } else {
                    self.keep(selected, |position| bools[position]);
                }
            }
            Kind::Not(operand) => {
                let operand = self.eval(operand);
                self.select_bools(&operand, false, selected);
            }
            _ => {
                let operand = self.eval(node);
                self.select_bools(&operand, true, selected);
            }
        }
    }

    /// Each operand is evaluated for the rows that all operands before it select.
    fn select_all(&mut self, operands: &'b [Node], selected: &mut Vec<usize>) {
        let Some((last, others)) = operands.split_last() else {
            return;
        };
        let mut rows: Option<Vec<usize>> = None;
        for operand in others {
            let mut remaining = Vec::new();
            match &rows {
                None => self.select(operand, &mut remaining),
                Some(rows) => self.over(Rows::Some(rows)).select(operand, &mut remaining),
            }
            if remaining.is_empty() {
                return;
            }
            rows = Some(remaining);
        }
        match &rows {
            None => self.select(last, selected),
            Some(rows) => self.over(Rows::Some(rows)).select(last, selected),
        }
    }

    fn select_bools(&self, operand: &Operand<'_, '_>, expected: bool, selected: &mut Vec<usize>) {
        let bools = operand.bools();
        let index = operand.index;
        if operand.has_nulls() {
            self.keep(selected, |position| bools[index.at(position)] == expected && !operand.is_null(position));
        } else {
            self.keep(selected, |position| bools[index.at(position)] == expected);
        }
    }

    /// Writes every row and advances only for those that stay, so that there is no branch to mispredict.
    fn keep(&self, selected: &mut Vec<usize>, is_kept: impl Fn(usize) -> bool) {
        let len = self.len();
        let mut end = selected.len();
        selected.resize(end + len, 0);
        for position in 0..len {
            selected[end] = self.rows.row(position);
            end += usize::from(is_kept(position));
        }
        selected.truncate(end);
    }
}
