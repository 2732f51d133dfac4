//! `CASE`, `IF` and `COALESCE`: each result is evaluated only for the rows that take it.

use eventflux_core::{Column, DataType};

use super::compare::{self, Comparison};
use super::eval::Evaluation;
use super::node::{Case, Node};
use super::operand::Operand;
use super::{Rows, node::Kind};

impl<'b, 'r> Evaluation<'b, 'r, '_> {
    #[inline(never)]
    pub(super) fn case(&mut self, case: &'b Case, data_type: DataType) -> Operand<'b, 'r> {
        let operand = case.operand.as_ref().map(|operand| self.eval(operand));
        let dense = operand.map(|operand| operand.detach(self.len()));
        let mut parts = Parts::new(self.len());
        for (condition, result) in &case.branches {
            if parts.open.is_empty() {
                break;
            }
            let taken = self.taken(dense.as_ref(), condition, &parts.open);
            self.take(&mut parts, &taken, result);
        }
        if let Some(otherwise) = &case.otherwise {
            let open = parts.open.clone();
            self.take(&mut parts, &open, otherwise);
        }
        parts.assemble(data_type)
    }

    #[inline(never)]
    pub(super) fn coalesce(&mut self, operands: &'b [Node], data_type: DataType) -> Operand<'b, 'r> {
        let mut parts = Parts::new(self.len());
        for operand in operands {
            if parts.open.is_empty() {
                break;
            }
            let rows = self.rows_at(&parts.open);
            let result = self.over(Rows::Some(&rows)).eval(operand).detach(rows.len());
            parts.add_values_that_are_not_null(result);
        }
        parts.assemble(data_type)
    }

    /// The positions among `open` whose row takes the branch of `condition`.
    fn taken(&mut self, operand: Option<&Operand<'b, 'static>>, condition: &'b Node, open: &[usize]) -> Vec<usize> {
        let rows = self.rows_at(open);
        let mut inner = self.over(Rows::Some(&rows));
        let condition = inner.eval(condition);
        let is_taken: Vec<bool> = match operand {
            None => (0..open.len())
                .map(|entry| condition.bools()[condition.index.at(entry)] && !condition.is_null(entry))
                .collect(),
            Some(operand) => {
                let operand = operand.at_positions(open);
                let equal = compare::bools(Comparison::Equal, &operand, &condition, open.len());
                let known = |entry: usize| !operand.is_null(entry) && !condition.is_null(entry);
                equal.into_iter().enumerate().map(|(entry, equal)| equal && known(entry)).collect()
            }
        };
        open.iter().zip(is_taken).filter(|(_, taken)| *taken).map(|(&position, _)| position).collect()
    }

    fn take(&mut self, parts: &mut Parts<'b>, positions: &[usize], result: &'b Node) {
        if positions.is_empty() {
            return;
        }
        if let Kind::Constant { value, .. } = &result.kind {
            return parts.add(positions, Operand::constant(value));
        }
        let rows = self.rows_at(positions);
        let result = self.over(Rows::Some(&rows)).eval(result).detach(rows.len());
        parts.add(positions, result);
    }

    fn rows_at(&self, positions: &[usize]) -> Vec<usize> {
        positions.iter().map(|&position| self.rows.row(position)).collect()
    }
}

/// The results of the branches, and which row took which.
struct Parts<'b> {
    /// Branch and entry of each position; branches count from 1, 0 is `NULL`.
    origins: Vec<(u32, u32)>,
    branches: Vec<Operand<'b, 'static>>,
    /// The positions no branch has taken, in order.
    open: Vec<usize>,
}

impl<'b> Parts<'b> {
    fn new(len: usize) -> Self {
        Self { origins: vec![(0, 0); len], branches: Vec::new(), open: (0..len).collect() }
    }

    /// Entry `i` of `result` belongs to the `i`th of `positions`, which ascend.
    fn add(&mut self, positions: &[usize], result: Operand<'b, 'static>) {
        self.branches.push(result);
        let branch = self.branches.len() as u32;
        for (entry, &position) in positions.iter().enumerate() {
            self.origins[position] = (branch, entry as u32);
        }
        self.close();
    }

    /// Entry `i` of `result` belongs to the `i`th open position.
    fn add_values_that_are_not_null(&mut self, result: Operand<'b, 'static>) {
        let branch = self.branches.len() as u32 + 1;
        for (entry, &position) in self.open.iter().enumerate() {
            if !result.is_null(entry) {
                self.origins[position] = (branch, entry as u32);
            }
        }
        self.branches.push(result);
        self.close();
    }

    fn close(&mut self) {
        let origins = &self.origins;
        self.open.retain(|&position| origins[position].0 == 0);
    }

    fn assemble<'r>(mut self, data_type: DataType) -> Operand<'b, 'r> {
        // One branch for all rows: its entries are in order.
        if self.branches.len() == 1 && self.origins.iter().all(|&(branch, _)| branch == 1) {
            return self.branches.remove(0);
        }
        let mut column = Column::new(data_type);
        for &(branch, entry) in &self.origins {
            match branch.checked_sub(1) {
                None => column.push_null(),
                Some(branch) => column.push(self.branches[branch as usize].value(entry as usize)),
            }
        }
        Operand::owned(column)
    }
}
