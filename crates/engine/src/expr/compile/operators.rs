//! Operators with one or two operands.

use eventflux_core::{DataType, ValueRef};
use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

use super::coerce::{a, cast_hint};
use super::literals::value;
use super::{Compiled, Compiler, Failed, Operand, null};
use crate::expr::compare::Comparison;
use crate::expr::node::{Arithmetic, Kind, Node};

impl Compiler<'_> {
    pub(super) fn binary(&mut self, expr: &Expr, left: &Expr, op: &BinaryOperator, right: &Expr) -> Compiled {
        if let Some(operator) = arithmetic(op) {
            return self.arithmetic(expr, left, operator, right);
        }
        if let Some(comparison) = comparison(op) {
            return self.compare(expr, left, comparison, right);
        }
        match op {
            BinaryOperator::And => self.connect(expr, left, right, "AND"),
            BinaryOperator::Or => self.connect(expr, left, right, "OR"),
            BinaryOperator::StringConcat => self.concat(expr, left, right),
            BinaryOperator::Arrow | BinaryOperator::LongArrow => self.arrow(expr, left, op, right),
            _ => Err(self.unsupported_operator(expr, op)),
        }
    }

    // What calls itself for an operand is kept apart from what works with the result: frames add up.

    #[inline(never)]
    fn arithmetic(&mut self, expr: &Expr, left: &Expr, operator: Arithmetic, right: &Expr) -> Compiled {
        let left_side = self.operand_of_arithmetic(left);
        let right_side = self.operand_of_arithmetic(right);
        self.combine(expr, (left, left_side?), operator, (right, right_side?))
    }

    #[inline(never)]
    fn combine(
        &mut self,
        expr: &Expr,
        (left, left_side): (&Expr, Side),
        operator: Arithmetic,
        (right, right_side): (&Expr, Side),
    ) -> Compiled {
        let (left_node, right_node) = match (left_side, right_side) {
            (Side::Value(left_node), Side::Value(right_node)) => (left_node, right_node),
            (Side::Value(time), Side::Interval(micros))
                if operator == Arithmetic::Add || operator == Arithmetic::Subtract =>
            {
                return self.move_time(expr, left, time, operator, micros);
            }
            (Side::Interval(micros), Side::Value(time)) if operator == Arithmetic::Add => {
                return self.move_time(expr, right, time, operator, micros);
            }
            _ => return Err(self.fail(expr, "an INTERVAL can only be added to or subtracted from a TIMESTAMP")),
        };
        let types = (left_node.data_type, right_node.data_type);
        if operator == Arithmetic::Subtract && types == (DataType::Timestamp, DataType::Timestamp) {
            let operands = Box::new([left_node, right_node]);
            return self.finish(expr, DataType::Long, Kind::Arithmetic { operator, operands });
        }
        self.check_number(left, &left_node, operator)?;
        self.check_number(right, &right_node, operator)?;
        let operands = vec![Operand { node: left_node, expr: left }, Operand { node: right_node, expr: right }];
        let (nodes, data_type) = self.unify(operands, "the operands")?;
        let data_type = if data_type.is_numeric() { data_type } else { DataType::Int };
        let Ok(operands) = <[Node; 2]>::try_from(nodes) else {
            return Err(Failed);
        };
        if operands.iter().any(Node::is_untyped_null) {
            return Ok(null(data_type, false));
        }
        self.finish(expr, data_type, Kind::Arithmetic { operator, operands: Box::new(operands) })
    }

    fn operand_of_arithmetic(&mut self, expr: &Expr) -> Result<Side, Failed> {
        match expr {
            Expr::Interval(interval) => self.interval(expr, interval).map(Side::Interval),
            _ => self.expr(expr).map(Side::Value),
        }
    }

    fn check_number(&mut self, expr: &Expr, node: &Node, operator: Arithmetic) -> Result<(), Failed> {
        let data_type = node.data_type;
        if data_type.is_numeric() || node.is_untyped_null() {
            return Ok(());
        }
        let symbol = operator.symbol();
        let hint = match (data_type, operator) {
            (DataType::String, Arithmetic::Add) => {
                "text is joined with ||; for the number in a text use CAST(... AS DOUBLE)".to_owned()
            }
            (DataType::Timestamp, _) => "use time - time, time + INTERVAL '5' MINUTE, or DATE_ADD".to_owned(),
            _ => cast_hint(expr, data_type, DataType::Double),
        };
        Err(self.fail_with_hint(expr, format!("{symbol} needs numbers, not {}", a(data_type)), hint))
    }

    fn move_time(&mut self, expr: &Expr, time: &Expr, node: Node, operator: Arithmetic, micros: i64) -> Compiled {
        if node.data_type != DataType::Timestamp {
            let message = format!("an INTERVAL moves a TIMESTAMP, not {}", a(node.data_type));
            let hint = cast_hint(time, node.data_type, DataType::Timestamp);
            return Err(self.fail_with_hint(time, message, hint));
        }
        let operands = Box::new([node, value(DataType::Long, ValueRef::Long(micros))]);
        self.finish(expr, DataType::Timestamp, Kind::Arithmetic { operator, operands })
    }

    #[inline(never)]
    fn compare(&mut self, expr: &Expr, left: &Expr, comparison: Comparison, right: &Expr) -> Compiled {
        let operands = self.both(left, right)?;
        self.comparison(expr, comparison, operands)
    }

    #[inline(never)]
    fn comparison(&mut self, expr: &Expr, comparison: Comparison, operands: [Operand<'_>; 2]) -> Compiled {
        let [left, right] = self.comparable_pair(operands)?;
        if let Some((operand, truth)) = compared_with_truth(&left, &right) {
            let is_equal = match comparison {
                Comparison::Equal => Some(true),
                Comparison::NotEqual => Some(false),
                _ => None,
            };
            if let Some(is_equal) = is_equal {
                let operand = if operand == 0 { left } else { right };
                return if truth == is_equal {
                    Ok(operand)
                } else {
                    self.finish(expr, DataType::Bool, Kind::Not(Box::new(operand)))
                };
            }
        }
        self.finish(expr, DataType::Bool, Kind::Compare { comparison, operands: Box::new([left, right]) })
    }

    pub(super) fn comparable_pair(&mut self, operands: [Operand<'_>; 2]) -> Result<[Node; 2], Failed> {
        let nodes = self.comparable(operands.into_iter().collect())?;
        <[Node; 2]>::try_from(nodes).map_err(|_| Failed)
    }

    #[inline(never)]
    pub(super) fn distinct(&mut self, expr: &Expr, left: &Expr, right: &Expr, negated: bool) -> Compiled {
        let operands = self.both(left, right)?;
        self.distinction(expr, operands, negated)
    }

    #[inline(never)]
    fn distinction(&mut self, expr: &Expr, operands: [Operand<'_>; 2], negated: bool) -> Compiled {
        let operands = Box::new(self.comparable_pair(operands)?);
        self.finish(expr, DataType::Bool, Kind::Distinct { operands, negated })
    }

    /// `AND` and `OR`: chains become one node.
    #[inline(never)]
    fn connect(&mut self, expr: &Expr, left: &Expr, right: &Expr, word: &str) -> Compiled {
        let left_node = self.operand_of_connective(left, word);
        let right_node = self.operand_of_connective(right, word);
        self.connected(expr, [left_node?, right_node?], word)
    }

    #[inline(never)]
    fn operand_of_connective(&mut self, expr: &Expr, word: &str) -> Compiled {
        let node = self.expr(expr)?;
        self.condition(expr, node, word)
    }

    #[inline(never)]
    fn connected(&mut self, expr: &Expr, nodes: [Node; 2], word: &str) -> Compiled {
        let is_and = word == "AND";
        let mut operands = Vec::new();
        for node in nodes {
            match node.kind {
                Kind::And(inner) if is_and => operands.extend(inner),
                Kind::Or(inner) if !is_and => operands.extend(inner),
                _ => operands.push(node),
            }
        }
        self.finish(expr, DataType::Bool, if is_and { Kind::And(operands) } else { Kind::Or(operands) })
    }

    #[inline(never)]
    fn concat(&mut self, expr: &Expr, left: &Expr, right: &Expr) -> Compiled {
        let operands = self.both(left, right)?;
        self.joined(expr, operands)
    }

    #[inline(never)]
    fn joined(&mut self, expr: &Expr, operands: [Operand<'_>; 2]) -> Compiled {
        let mut texts = Vec::new();
        let mut failed = false;
        for Operand { node, expr } in operands {
            if node.data_type != DataType::String {
                let message = format!("|| joins STRINGs, not {}", a(node.data_type));
                let hint = format!("{}; CONCAT takes any type", cast_hint(expr, node.data_type, DataType::String));
                self.fail_with_hint(expr, message, hint);
                failed = true;
                continue;
            }
            match node.kind {
                Kind::Concat(inner) => texts.extend(inner),
                _ => texts.push(self.typed_or(node, DataType::String)),
            }
        }
        if failed {
            return Err(Failed);
        }
        self.finish(expr, DataType::String, Kind::Concat(texts))
    }

    #[inline(never)]
    pub(super) fn unary(&mut self, expr: &Expr, op: UnaryOperator, operand: &Expr) -> Compiled {
        // The least BIGINT is a literal only together with its sign.
        if let (UnaryOperator::Minus, Expr::Value(literal)) = (op, operand)
            && let Value::Number(digits, false) = &literal.value
        {
            return self.number(expr, digits, true);
        }
        if !matches!(op, UnaryOperator::Not | UnaryOperator::BangNot | UnaryOperator::Minus | UnaryOperator::Plus) {
            return Err(self.fail(expr, format!("the operator {op} is not supported")));
        }
        let node = self.expr(operand)?;
        self.unary_of(expr, op, operand, node)
    }

    #[inline(never)]
    fn unary_of(&mut self, expr: &Expr, op: UnaryOperator, operand: &Expr, node: Node) -> Compiled {
        if matches!(op, UnaryOperator::Not | UnaryOperator::BangNot) {
            let node = self.condition(operand, node, "NOT")?;
            return self.finish(expr, DataType::Bool, Kind::Not(Box::new(node)));
        }
        let is_minus = op == UnaryOperator::Minus;
        self.check_number(operand, &node, if is_minus { Arithmetic::Subtract } else { Arithmetic::Add })?;
        if !is_minus || node.is_untyped_null() {
            return Ok(self.typed_or(node, DataType::Int));
        }
        let data_type = node.data_type;
        self.finish(expr, data_type, Kind::Negate(Box::new(node)))
    }
}

enum Side {
    Value(Node),
    /// Microseconds.
    Interval(i64),
}

/// Which of two `BOOL`s is compared with a constant, and with which one.
fn compared_with_truth(left: &Node, right: &Node) -> Option<(usize, bool)> {
    let truth = |node: &Node| match node.constant()?.value(0) {
        ValueRef::Bool(truth) => Some(truth),
        _ => None,
    };
    match (truth(left), truth(right)) {
        (None, Some(truth)) => Some((0, truth)),
        (Some(truth), None) => Some((1, truth)),
        _ => None,
    }
}

fn arithmetic(op: &BinaryOperator) -> Option<Arithmetic> {
    Some(match op {
        BinaryOperator::Plus => Arithmetic::Add,
        BinaryOperator::Minus => Arithmetic::Subtract,
        BinaryOperator::Multiply => Arithmetic::Multiply,
        BinaryOperator::Divide => Arithmetic::Divide,
        BinaryOperator::Modulo => Arithmetic::Remainder,
        _ => return None,
    })
}

fn comparison(op: &BinaryOperator) -> Option<Comparison> {
    Some(match op {
        BinaryOperator::Eq => Comparison::Equal,
        BinaryOperator::NotEq => Comparison::NotEqual,
        BinaryOperator::Lt => Comparison::Less,
        BinaryOperator::LtEq => Comparison::LessOrEqual,
        BinaryOperator::Gt => Comparison::Greater,
        BinaryOperator::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    })
}
