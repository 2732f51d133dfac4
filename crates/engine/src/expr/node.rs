//! The compiled form of an expression: a tree of typed nodes without names.
//!
//! The compiler guarantees the types of operands that each [`Kind`] documents; the evaluator relies on them.

use std::sync::Arc;

use eventflux_core::{Column, DataType, ScalarFunction};

use super::compare::Comparison;
use super::in_list::Set;
use super::json::Step;
use super::like::{Escape, Pattern};
use crate::functions::BoundFunction;

/// One sub-expression.
pub(crate) struct Node {
    /// The type of every result that is not `NULL`.
    pub(crate) data_type: DataType,
    /// `file:line:column` of the sub-expression, for the errors of rows.
    pub(crate) place: Arc<str>,
    pub(crate) kind: Kind,
}

/// What a sub-expression computes.
pub(crate) enum Kind {
    /// Column number of the batch.
    Column(usize),
    /// A column of one entry. `untyped` marks a literal `NULL`, which takes any type.
    Constant {
        value: Column,
        untyped: bool,
    },
    /// Of two operands of the same number type; or `TIMESTAMP` ± `BIGINT` microseconds; or `TIMESTAMP - TIMESTAMP`.
    Arithmetic {
        operator: Arithmetic,
        operands: Box<[Node; 2]>,
    },
    /// Of a number.
    Negate(Box<Node>),
    /// To the node's type. With `lenient`, a value that cannot be converted is `NULL` instead of an error.
    Cast {
        operand: Box<Node>,
        lenient: bool,
    },
    /// Of two operands that [`super::compare::bools`] knows.
    Compare {
        comparison: Comparison,
        operands: Box<[Node; 2]>,
    },
    /// `IS [NOT] DISTINCT FROM`, of the same operands.
    Distinct {
        operands: Box<[Node; 2]>,
        negated: bool,
    },
    /// Value, lower and upper bound; each bound comparable with the value.
    Between {
        operands: Box<[Node; 3]>,
        negated: bool,
    },
    /// Two `BOOL`s or more.
    And(Vec<Node>),
    /// Two `BOOL`s or more.
    Or(Vec<Node>),
    /// Of a `BOOL`.
    Not(Box<Node>),
    IsNull {
        operand: Box<Node>,
        negated: bool,
    },
    /// `IS [NOT] TRUE` and `IS [NOT] FALSE`.
    IsTruth {
        operand: Box<Node>,
        truth: bool,
        negated: bool,
    },
    /// Each of `list` comparable with the operand; `set` holds all of them when they are constants.
    InList {
        operand: Box<Node>,
        list: Vec<Node>,
        set: Option<Set>,
        negated: bool,
    },
    /// Of a `STRING`.
    Like {
        operand: Box<Node>,
        pattern: LikePattern,
        negated: bool,
    },
    Case(Box<Case>),
    /// Operands of the node's type.
    Coalesce(Vec<Node>),
    /// Two comparable operands; the result is the first.
    NullIf(Box<[Node; 2]>),
    /// Reaches into a `JSON` operand; the result is `JSON`, or with `text` a `STRING`.
    Json {
        operand: Box<Node>,
        path: Vec<Step>,
        text: bool,
    },
    /// Of `STRING`s.
    Concat(Vec<Node>),
    /// A built-in function.
    Call {
        function: BoundFunction,
        arguments: Vec<Node>,
    },
    /// A function of the registry.
    UserCall {
        function: Arc<dyn ScalarFunction>,
        arguments: Vec<Node>,
    },
}

/// The pattern of `LIKE` and `ILIKE`.
pub(crate) enum LikePattern {
    /// A literal, compiled once.
    Constant(Pattern),
    /// A `STRING` of the row.
    Dynamic { pattern: Box<Node>, escape: Escape, fold_case: bool },
}

/// `CASE`, in either form, and `IF`.
pub(crate) struct Case {
    /// What the conditions are compared with; without it they are `BOOL`s.
    pub(crate) operand: Option<Node>,
    /// Condition and result.
    pub(crate) branches: Vec<(Node, Node)>,
    /// `NULL` when absent.
    pub(crate) otherwise: Option<Node>,
}

/// An operator on numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Arithmetic {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}

impl Node {
    /// The one entry of a constant.
    pub(crate) fn constant(&self) -> Option<&Column> {
        match &self.kind {
            Kind::Constant { value, .. } => Some(value),
            _ => None,
        }
    }

    /// Whether this is a literal `NULL` that takes any type.
    pub(crate) fn is_untyped_null(&self) -> bool {
        matches!(self.kind, Kind::Constant { untyped: true, .. })
    }

    /// Whether the result is the same for every row and every time.
    pub(crate) fn is_pure(&self) -> bool {
        match &self.kind {
            Kind::Column(_) | Kind::UserCall { .. } => false,
            Kind::Call { function, .. } if function.is_volatile() => false,
            _ => {
                let mut pure = true;
                self.for_each_child(&mut |child| pure &= child.constant().is_some());
                pure
            }
        }
    }

    /// Calls `visit` with each direct operand.
    pub(crate) fn for_each_child<'a>(&'a self, visit: &mut dyn FnMut(&'a Self)) {
        match &self.kind {
            Kind::Column(_) | Kind::Constant { .. } => {}
            Kind::Arithmetic { operands, .. }
            | Kind::Compare { operands, .. }
            | Kind::Distinct { operands, .. }
            | Kind::NullIf(operands) => operands.iter().for_each(visit),
            Kind::Between { operands, .. } => operands.iter().for_each(visit),
            Kind::And(operands)
            | Kind::Or(operands)
            | Kind::Coalesce(operands)
            | Kind::Concat(operands)
            | Kind::Call { arguments: operands, .. }
            | Kind::UserCall { arguments: operands, .. } => operands.iter().for_each(visit),
            Kind::Negate(operand)
            | Kind::Not(operand)
            | Kind::Cast { operand, .. }
            | Kind::IsNull { operand, .. }
            | Kind::IsTruth { operand, .. }
            | Kind::Json { operand, .. } => visit(operand),
            Kind::InList { operand, list, .. } => {
                visit(operand);
                list.iter().for_each(visit);
            }
            Kind::Like { operand, pattern, .. } => {
                visit(operand);
                if let LikePattern::Dynamic { pattern, .. } = pattern {
                    visit(pattern);
                }
            }
            Kind::Case(case) => {
                case.operand.iter().for_each(&mut *visit);
                for (condition, result) in &case.branches {
                    visit(condition);
                    visit(result);
                }
                case.otherwise.iter().for_each(visit);
            }
        }
    }

    /// Adds the batch columns this reads to `columns`.
    pub(crate) fn collect_columns(&self, columns: &mut Vec<usize>) {
        if let Kind::Column(index) = self.kind {
            columns.push(index);
        }
        self.for_each_child(&mut |child| child.collect_columns(columns));
    }
}
