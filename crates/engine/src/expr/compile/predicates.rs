//! `BETWEEN`, `IN`, `LIKE`, `IS` and `CASE`.

use eventflux_core::{DataType, ValueRef};
use sqlparser::ast::{CaseWhen, Expr};

use super::coerce::{a, cast_hint};
use super::{Compiled, Compiler, Failed, Operand};
use crate::expr::in_list::Set;
use crate::expr::like::{DEFAULT_ESCAPE, Escape, Pattern};
use crate::expr::node::{Case, Kind, LikePattern, Node};

impl Compiler<'_> {
    #[inline(never)]
    pub(super) fn predicate(&mut self, expr: &Expr) -> Compiled {
        match expr {
            Expr::Between { expr: value, negated, low, high } => self.between(expr, [value, low, high], *negated),
            Expr::InList { expr: value, list, negated } => self.in_list(expr, value, list, *negated),
            Expr::Like { negated, any, expr: value, pattern, escape_char } => {
                let clause =
                    LikeClause { negated: *negated, any: *any, escape: escape_char.as_deref(), fold_case: false };
                self.like(expr, value, pattern, &clause)
            }
            Expr::ILike { negated, any, expr: value, pattern, escape_char } => {
                let clause =
                    LikeClause { negated: *negated, any: *any, escape: escape_char.as_deref(), fold_case: true };
                self.like(expr, value, pattern, &clause)
            }
            _ => Err(self.unsupported(expr)),
        }
    }

    fn between(&mut self, expr: &Expr, operands: [&Expr; 3], negated: bool) -> Compiled {
        let operands = self.all(operands)?;
        let nodes = self.comparable(operands)?;
        let operands = Box::new(<[Node; 3]>::try_from(nodes).map_err(|_| Failed)?);
        self.finish(expr, DataType::Bool, Kind::Between { operands, negated })
    }

    fn in_list(&mut self, expr: &Expr, value: &Expr, list: &[Expr], negated: bool) -> Compiled {
        let operands = self.all(std::iter::once(value).chain(list))?;
        let mut nodes = self.comparable(operands)?;
        let list = nodes.split_off(1);
        let operand = Box::new(nodes.pop().ok_or(Failed)?);
        let constants: Option<Vec<_>> = list.iter().map(Node::constant).collect();
        // All have one type, unless BIGINT meets DOUBLE; those are compared one by one.
        let one_type = list.iter().all(|node| node.data_type == operand.data_type);
        let set = constants.filter(|_| one_type).and_then(|constants| Set::of(constants.into_iter()));
        self.finish(expr, DataType::Bool, Kind::InList { operand, list, set, negated })
    }

    fn like(&mut self, expr: &Expr, value: &Expr, pattern: &Expr, clause: &LikeClause<'_>) -> Compiled {
        let word = if clause.fold_case { "ILIKE" } else { "LIKE" };
        if clause.any {
            let hint = "write one LIKE per pattern, with OR between them, or use REGEXP_LIKE";
            return Err(self.fail_with_hint(expr, format!("{word} ANY is not supported"), hint));
        }
        let (value_node, pattern_node) = (self.expr(value), self.expr(pattern));
        let escape = self.escape(clause.escape);
        let value_node = value_node.and_then(|node| self.text(value, node, word));
        let pattern_node = pattern_node.and_then(|node| self.text(pattern, node, word));
        let (operand, pattern_node, escape) = (Box::new(value_node?), pattern_node?, escape?);
        let compiled = match pattern_node.constant().map(|column| column.value(0)) {
            Some(ValueRef::String(text)) => match Pattern::new(text, escape, clause.fold_case) {
                Ok(pattern) => LikePattern::Constant(pattern),
                Err(reason) => return Err(self.fail(pattern, reason)),
            },
            _ => LikePattern::Dynamic { pattern: Box::new(pattern_node), escape, fold_case: clause.fold_case },
        };
        self.finish(expr, DataType::Bool, Kind::Like { operand, pattern: compiled, negated: clause.negated })
    }

    fn text(&mut self, expr: &Expr, node: Node, word: &str) -> Compiled {
        if node.data_type == DataType::String {
            return Ok(self.typed_or(node, DataType::String));
        }
        let hint = cast_hint(expr, node.data_type, DataType::String);
        Err(self.fail_with_hint(expr, format!("{word} needs a STRING, not {}", a(node.data_type)), hint))
    }

    fn escape(&mut self, escape: Option<&Expr>) -> Result<Escape, Failed> {
        let Some(expr) = escape else {
            return Ok(DEFAULT_ESCAPE);
        };
        let node = self.expr(expr)?;
        if let Some(ValueRef::String(text)) = node.constant().map(|column| column.value(0)) {
            let mut characters = text.chars();
            if let (escape, None) = (characters.next(), characters.next()) {
                return Ok(escape);
            }
        }
        Err(self.fail(expr, "ESCAPE takes one character in quotes, or '' for none"))
    }

    #[inline(never)]
    pub(super) fn is(&mut self, expr: &Expr) -> Compiled {
        let (operand, test) = match expr {
            Expr::IsNull(operand) => (operand, Test::Null { negated: false }),
            Expr::IsNotNull(operand) => (operand, Test::Null { negated: true }),
            Expr::IsUnknown(operand) => (operand, Test::Unknown { negated: false }),
            Expr::IsNotUnknown(operand) => (operand, Test::Unknown { negated: true }),
            Expr::IsTrue(operand) => (operand, Test::Truth { truth: true, negated: false }),
            Expr::IsNotTrue(operand) => (operand, Test::Truth { truth: true, negated: true }),
            Expr::IsFalse(operand) => (operand, Test::Truth { truth: false, negated: false }),
            Expr::IsNotFalse(operand) => (operand, Test::Truth { truth: false, negated: true }),
            _ => return Err(self.unsupported(expr)),
        };
        let node = self.expr(operand)?;
        self.test(expr, operand, node, test)
    }

    #[inline(never)]
    fn test(&mut self, expr: &Expr, operand: &Expr, node: Node, test: Test) -> Compiled {
        let kind = match test {
            Test::Null { negated } => Kind::IsNull { operand: Box::new(node), negated },
            Test::Unknown { negated } => {
                Kind::IsNull { operand: Box::new(self.condition(operand, node, "IS UNKNOWN")?), negated }
            }
            Test::Truth { truth, negated } => {
                let word = if truth { "IS TRUE" } else { "IS FALSE" };
                Kind::IsTruth { operand: Box::new(self.condition(operand, node, word)?), truth, negated }
            }
        };
        self.finish(expr, DataType::Bool, kind)
    }

    #[inline(never)]
    pub(super) fn case(
        &mut self,
        expr: &Expr,
        operand: Option<&Expr>,
        branches: &[CaseWhen],
        otherwise: Option<&Expr>,
    ) -> Compiled {
        let operand_node = match operand {
            Some(operand) => self.expr(operand).map(Some),
            None => Ok(None),
        };
        let conditions = self.all(branches.iter().map(|branch| &branch.condition));
        let results = self.all(branches.iter().map(|branch| &branch.result).chain(otherwise));
        let operand = operand.zip(operand_node?).map(|(expr, node)| Operand { node, expr });
        self.case_of(expr, operand, conditions?, results?)
    }

    #[inline(never)]
    fn case_of(
        &mut self,
        expr: &Expr,
        operand: Option<Operand<'_>>,
        conditions: Vec<Operand<'_>>,
        results: Vec<Operand<'_>>,
    ) -> Compiled {
        let (operand, conditions) = match operand {
            Some(operand) => {
                let operands = std::iter::once(operand).chain(conditions).collect();
                let mut nodes = self.comparable(operands)?;
                let conditions = nodes.split_off(1);
                (nodes.pop(), conditions)
            }
            None => {
                let conditions: Vec<_> =
                    conditions.into_iter().map(|Operand { node, expr }| self.condition(expr, node, "WHEN")).collect();
                (None, conditions.into_iter().collect::<Result<_, _>>()?)
            }
        };
        self.choose(expr, operand, conditions, results, "the results of CASE")
    }

    /// The node of `CASE` or `IF`; one more result than conditions is the `ELSE`.
    pub(super) fn choose(
        &mut self,
        expr: &Expr,
        operand: Option<Node>,
        conditions: Vec<Node>,
        results: Vec<Operand<'_>>,
        what: &str,
    ) -> Compiled {
        let (mut results, data_type) = self.unify(results, what)?;
        let otherwise = if results.len() > conditions.len() { results.pop() } else { None };
        let branches = conditions.into_iter().zip(results).collect();
        self.finish(expr, data_type, Kind::Case(Box::new(Case { operand, branches, otherwise })))
    }
}

struct LikeClause<'e> {
    negated: bool,
    any: bool,
    escape: Option<&'e Expr>,
    fold_case: bool,
}

enum Test {
    Null { negated: bool },
    Unknown { negated: bool },
    Truth { truth: bool, negated: bool },
}
