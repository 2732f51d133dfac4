//! Evaluates nodes: decides which operands are evaluated over which rows, and hands them to the kernels.

use eventflux_core::{Column, EventBatch, FunctionError, ValueRef, Values};

use super::node::{Kind, LikePattern, Node};
use super::operand::Operand;
use super::{RowErrors, Rows, arith, cast, compare, in_list, json, like, logic};
use crate::functions::{Args, Output};

/// Rows of a batch being evaluated.
pub(super) struct Evaluation<'b, 'r, 'e> {
    pub(super) batch: &'b EventBatch,
    pub(super) rows: Rows<'r>,
    pub(super) errors: &'e mut RowErrors,
}

impl<'b, 'r> Evaluation<'b, 'r, '_> {
    /// The same batch, over other rows.
    pub(super) fn over<'s>(&mut self, rows: Rows<'s>) -> Evaluation<'b, 's, '_> {
        Evaluation { batch: self.batch, rows, errors: self.errors }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The result of a node for the rows.
    pub(super) fn eval(&mut self, node: &'b Node) -> Operand<'b, 'r> {
        match &node.kind {
            Kind::Column(index) => Operand::reference(self.batch.column(*index), self.rows),
            Kind::Constant { value, .. } => Operand::constant(value),
            Kind::Arithmetic { .. } | Kind::Compare { .. } | Kind::Distinct { .. } | Kind::NullIf(_) => {
                self.binary(node)
            }
            Kind::Negate(operand) | Kind::Not(operand) | Kind::Cast { operand, .. } => self.unary(node, operand),
            Kind::IsNull { operand, .. } | Kind::IsTruth { operand, .. } | Kind::Json { operand, .. } => {
                self.unary(node, operand)
            }
            Kind::Between { operands, negated } => self.between(operands, *negated),
            Kind::And(operands) => self.connective(operands, false),
            Kind::Or(operands) => self.connective(operands, true),
            Kind::InList { operand, .. } => self.in_list(node, operand),
            Kind::Like { operand, pattern, negated } => self.like(node, operand, pattern, *negated),
            Kind::Case(case) => self.case(case, node.data_type),
            Kind::Coalesce(operands) => self.coalesce(operands, node.data_type),
            Kind::Concat(operands) => self.concat(node, operands),
            Kind::Call { arguments, .. } => self.call(node, arguments),
            Kind::UserCall { arguments, .. } => self.user_call(node, arguments),
        }
    }

    #[inline(never)]
    fn unary(&mut self, node: &'b Node, operand: &'b Node) -> Operand<'b, 'r> {
        let operand = self.eval(operand);
        let len = self.len();
        match &node.kind {
            Kind::Negate(_) => arith::negate(node, &operand, self.rows, self.errors),
            Kind::Not(_) => logic::not(&operand, len),
            Kind::Cast { lenient, .. } => cast::cast(node, *lenient, operand, self.rows, self.errors),
            Kind::IsNull { negated, .. } => logic::is_null(&operand, *negated, len),
            Kind::IsTruth { truth, negated, .. } => logic::is_truth(&operand, *truth, *negated, len),
            Kind::Json { path, text, .. } => {
                let rows = self.rows;
                json::navigate(&operand, path, *text, len, |position, reason| {
                    self.errors.fail(rows.row(position), reason, false, &node.place);
                })
            }
            _ => operand,
        }
    }

    #[inline(never)]
    fn binary(&mut self, node: &'b Node) -> Operand<'b, 'r> {
        let (Kind::Arithmetic { operands, .. }
        | Kind::Compare { operands, .. }
        | Kind::Distinct { operands, .. }
        | Kind::NullIf(operands)) = &node.kind
        else {
            unreachable!("only these have two operands");
        };
        let left = self.eval(&operands[0]);
        let right = self.eval(&operands[1]);
        let len = self.len();
        match &node.kind {
            Kind::Arithmetic { operator, .. } => arith::binary(node, *operator, &left, &right, self.rows, self.errors),
            Kind::Compare { comparison, .. } => compare::compare(*comparison, &left, &right, len),
            Kind::Distinct { negated, .. } => compare::distinct(&left, &right, *negated, len),
            _ => logic::null_if(left, &right, len),
        }
    }

    #[inline(never)]
    fn between(&mut self, [value, low, high]: &'b [Node; 3], negated: bool) -> Operand<'b, 'r> {
        let value = self.eval(value);
        let low = self.eval(low);
        let high = self.eval(high);
        logic::between(&value, &low, &high, negated, self.len())
    }

    #[inline(never)]
    fn in_list(&mut self, node: &'b Node, operand: &'b Node) -> Operand<'b, 'r> {
        let Kind::InList { list, set, negated, .. } = &node.kind else {
            unreachable!("called for IN only");
        };
        let operand = self.eval(operand);
        let len = self.len();
        if let Some(set) = set {
            return in_list::contains(&operand, set, *negated, len);
        }
        let mut matches = in_list::Matches::new(&operand, len);
        for item in list {
            matches.add(&operand, &self.eval(item));
        }
        matches.finish(*negated)
    }

    #[inline(never)]
    fn like(&mut self, node: &'b Node, operand: &'b Node, pattern: &'b LikePattern, negated: bool) -> Operand<'b, 'r> {
        let operand = self.eval(operand);
        match pattern {
            LikePattern::Constant(pattern) => like::like(&operand, pattern, negated, self.len()),
            LikePattern::Dynamic { pattern, escape, fold_case } => {
                let patterns = self.eval(pattern);
                let rows = self.rows;
                like::like_each(&operand, &patterns, *escape, *fold_case, negated, self.len(), |position, reason| {
                    self.errors.fail(rows.row(position), reason, false, &node.place);
                })
            }
        }
    }

    fn eval_all(&mut self, nodes: &'b [Node]) -> Vec<Operand<'b, 'r>> {
        // A loop, since the frames of iterators add up.
        let mut operands = Vec::with_capacity(nodes.len());
        for node in nodes {
            operands.push(self.eval(node));
        }
        operands
    }

    #[inline(never)]
    fn concat(&mut self, node: &'b Node, operands: &'b [Node]) -> Operand<'b, 'r> {
        let operands = self.eval_all(operands);
        let mut output = Output::new(node.data_type);
        for position in 0..self.len() {
            if operands.iter().any(|operand| operand.is_null(position)) {
                output.push_null();
                continue;
            }
            let args = Args::new(&operands, position);
            if let Err(error) = crate::functions::join_texts(&args, &mut output) {
                output.push_null();
                let row = self.rows.row(position);
                self.errors.fail(row, format_args!("||: {}", error.reason), false, &node.place);
            }
        }
        output.into_operand()
    }

    #[inline(never)]
    fn call(&mut self, node: &'b Node, arguments: &'b [Node]) -> Operand<'b, 'r> {
        let Kind::Call { function, .. } = &node.kind else {
            unreachable!("called for calls only");
        };
        let operands = self.eval_all(arguments);
        let mut output = Output::new(node.data_type);
        for position in 0..self.len() {
            if function.null_in_null_out() && operands.iter().any(|operand| operand.is_null(position)) {
                output.push_null();
                continue;
            }
            let before = output.len();
            if let Err(error) = function.call(&Args::new(&operands, position), &mut output) {
                output.fail_entry(before);
                let row = self.rows.row(position);
                let reason = format_args!("{}: {}", function.name(), error.reason);
                self.errors.fail(row, reason, error.retryable, &node.place);
            }
        }
        output.into_operand()
    }

    #[inline(never)]
    fn user_call(&mut self, node: &'b Node, arguments: &'b [Node]) -> Operand<'b, 'r> {
        let Kind::UserCall { function, .. } = &node.kind else {
            unreachable!("called for calls only");
        };
        let operands = self.eval_all(arguments);
        let mut values: Vec<ValueRef<'_>> = Vec::with_capacity(operands.len());
        let mut result = Column::new(node.data_type);
        for position in 0..self.len() {
            values.clear();
            values.extend(operands.iter().map(|operand| operand.value(position)));
            let outcome = function.call(&values, &mut result);
            let outcome = outcome.and_then(|()| check_contract(&result, node, position + 1));
            if let Err(error) = outcome {
                repair(&mut result, node, position);
                let row = self.rows.row(position);
                let reason = format_args!("{}: {}", function.name(), error.reason);
                self.errors.fail(row, reason, error.retryable, &node.place);
            }
        }
        Operand::owned(result)
    }
}

/// A user function appends one value of its type; one that does not is at fault, not the engine.
fn check_contract(result: &Column, node: &Node, expected: usize) -> Result<(), FunctionError> {
    if result.data_type() == node.data_type && result.len() == expected {
        Ok(())
    } else {
        Err(FunctionError::invalid("the function did not append exactly one value of its type"))
    }
}

/// Makes `result` a column of `position + 1` entries again, of which the last is `NULL`.
fn repair(result: &mut Column, node: &Node, position: usize) {
    if result.data_type() != node.data_type {
        *result = Column::new(node.data_type);
    }
    result.truncate(position);
    while result.len() <= position {
        result.push_null();
    }
}

/// A `BOOL` operand.
pub(super) fn bools<'b, 'r>(values: Vec<bool>, nulls: Vec<bool>) -> Operand<'b, 'r> {
    Operand::of(Values::Bool(values), nulls)
}
