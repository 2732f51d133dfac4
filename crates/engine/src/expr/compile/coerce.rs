//! Types: what widens, what types have in common, and the complaints about the rest.

use eventflux_core::{DataType, ValueRef};
use sqlparser::ast::{BinaryOperator, Expr};

use super::literals::value;
use super::{Compiled, Compiler, Failed, Operand, null};
use crate::expr::compare::long_double;
use crate::expr::node::{Kind, Node};

/// Whether a number of the first type becomes one of the second by itself.
pub(super) fn widens(from: DataType, to: DataType) -> bool {
    use DataType::{Double, Float, Int, Long};
    matches!((from, to), (Int, Long) | (Int | Long | Float, Double))
}

/// The type two operands of an arithmetic operator become.
fn common(a: DataType, b: DataType) -> Option<DataType> {
    if a == b {
        Some(a)
    } else if !a.is_numeric() || !b.is_numeric() {
        None
    } else if widens(a, b) {
        Some(b)
    } else if widens(b, a) {
        Some(a)
    } else {
        Some(DataType::Double)
    }
}

impl Compiler<'_> {
    /// A bare `NULL` as that type, anything else as it is.
    pub(super) fn typed_or(&self, node: Node, data_type: DataType) -> Node {
        if node.is_untyped_null() { null(data_type, false) } else { node }
    }

    /// The node as `target`, to which it widens. Without a diagnostic otherwise: `None`.
    pub(super) fn widen(&mut self, expr: &Expr, node: Node, target: DataType) -> Option<Compiled> {
        if node.is_untyped_null() {
            Some(Ok(null(target, false)))
        } else if node.data_type == target {
            Some(Ok(node))
        } else if widens(node.data_type, target) {
            Some(self.convert(expr, node, target))
        } else {
            exactly(&node, target).map(Ok)
        }
    }

    pub(super) fn convert(&mut self, expr: &Expr, node: Node, target: DataType) -> Compiled {
        if node.data_type == target {
            return Ok(node);
        }
        self.finish(expr, target, Kind::Cast { operand: Box::new(node), lenient: false })
    }

    /// The node for a column of type `target`.
    pub(super) fn assign(&mut self, expr: &Expr, node: Node, target: DataType) -> Compiled {
        let from = node.data_type;
        match self.widen(expr, node, target) {
            Some(compiled) => compiled,
            None => {
                let message = format!("a column of type {target} cannot take {}", a(from));
                Err(self.fail_with_hint(expr, message, cast_hint(expr, from, target)))
            }
        }
    }

    /// The node as a `BOOL`; `place` is what needs one.
    pub(super) fn condition(&mut self, expr: &Expr, node: Node, place: &str) -> Compiled {
        if node.is_untyped_null() || node.data_type == DataType::Bool {
            return Ok(self.typed_or(node, DataType::Bool));
        }
        let from = node.data_type;
        let hint = match from {
            DataType::Json => cast_hint(expr, from, DataType::Bool),
            from if from.is_numeric() => "compare it, for example with <> 0".to_owned(),
            _ => "compare it with a value".to_owned(),
        };
        Err(self.fail_with_hint(expr, format!("{place} needs a BOOL, not {}", a(from)), hint))
    }

    /// All operands as the one type they have in common. `what` names them in the complaint.
    pub(super) fn unify(&mut self, operands: Vec<Operand<'_>>, what: &str) -> Result<(Vec<Node>, DataType), Failed> {
        let mut known: Option<DataType> = None;
        for operand in operands.iter().filter(|operand| !operand.node.is_untyped_null()) {
            let data_type = operand.node.data_type;
            known = Some(match known.map(|known| (known, common(known, data_type))) {
                None => data_type,
                Some((_, Some(common))) => common,
                Some((known, None)) => {
                    let message = format!(
                        "{what} must have one type, but this is {} and before there was {}",
                        a(data_type),
                        a(known)
                    );
                    let hint = cast_hint(operand.expr, data_type, known);
                    return Err(self.fail_with_hint(operand.expr, message, hint));
                }
            });
        }
        let target = known.unwrap_or(DataType::String);
        let untyped = known.is_none();
        let nodes: Result<Vec<Node>, Failed> = operands
            .into_iter()
            .map(
                |Operand { node, expr }| {
                    if node.is_untyped_null() { Ok(null(target, untyped)) } else { self.convert(expr, node, target) }
                },
            )
            .collect();
        Ok((nodes?, target))
    }

    /// Operands that are compared with each other, in types whose comparison is exact.
    pub(super) fn comparable(&mut self, mut operands: Vec<Operand<'_>>) -> Result<Vec<Node>, Failed> {
        for operand in &operands {
            if operand.node.data_type == DataType::Json {
                let hint = "compare its text, with ->> instead of -> or with CAST(... AS STRING), or its number, \
                            with CAST(... AS DOUBLE)";
                return Err(self.fail_with_hint(operand.expr, "JSON cannot be compared", hint));
            }
        }
        self.adapt_constants(&mut operands);
        let Some(first) = operands.iter().find(|operand| !operand.node.is_untyped_null()) else {
            return Ok(operands.into_iter().map(|_| null(DataType::String, false)).collect());
        };
        let first = first.node.data_type;
        let typed = || operands.iter().filter(|operand| !operand.node.is_untyped_null());
        if let Some(other) = typed().find(|operand| {
            let other = operand.node.data_type;
            other != first && !(other.is_numeric() && first.is_numeric())
        }) {
            let other_type = other.node.data_type;
            let message = format!("cannot compare {} with {}", a(first), a(other_type));
            // The number or time of a text is meant, not the text of a number.
            let hint = if first == DataType::String {
                format!("convert the text with CAST(... AS {other_type})")
            } else {
                cast_hint(other.expr, other_type, first)
            };
            return Err(self.fail_with_hint(other.expr, message, hint));
        }
        let all_same = typed().all(|operand| operand.node.data_type == first);
        operands
            .into_iter()
            .map(|Operand { node, expr }| match node.data_type {
                _ if node.is_untyped_null() => Ok(null(if all_same { first } else { DataType::Double }, false)),
                DataType::Int if !all_same => self.convert(expr, node, DataType::Long),
                DataType::Float if !all_same => self.convert(expr, node, DataType::Double),
                _ => Ok(node),
            })
            .collect()
    }

    /// Number constants take the type of what they are compared with where that changes nothing.
    fn adapt_constants(&self, operands: &mut [Operand<'_>]) {
        let Some(target) =
            operands.iter().find(|operand| operand.node.constant().is_none()).map(|operand| operand.node.data_type)
        else {
            return;
        };
        for operand in operands.iter_mut() {
            if let Some(adapted) = exactly(&operand.node, target) {
                operand.node = adapted;
            }
        }
    }
}

/// A number constant as a constant of another number type, if it is exactly the same number.
fn exactly(node: &Node, target: DataType) -> Option<Node> {
    let constant = node.constant()?;
    let number = match constant.value(0) {
        ValueRef::Null if node.data_type.is_numeric() && target.is_numeric() => return Some(null(target, false)),
        ValueRef::Int(number) => Number::Long(number.into()),
        ValueRef::Long(number) => Number::Long(number),
        ValueRef::Float(number) => Number::Double(number.into()),
        ValueRef::Double(number) => Number::Double(number),
        _ => return None,
    };
    let long = match number {
        Number::Long(long) => Some(long),
        Number::Double(double) => Some(double as i64).filter(|long| long_double(*long, double).is_eq()),
    };
    let double = match number {
        Number::Long(long) => Some(long as f64).filter(|double| long_double(long, *double).is_eq()),
        Number::Double(double) => Some(double),
    };
    Some(match target {
        DataType::Int => value(target, ValueRef::Int(i32::try_from(long?).ok()?)),
        DataType::Long => value(target, ValueRef::Long(long?)),
        DataType::Float => {
            value(target, ValueRef::Float(double.map(|d| d as f32).filter(|f| Some(f64::from(*f)) == double)?))
        }
        DataType::Double => value(target, ValueRef::Double(double?)),
        _ => return None,
    })
}

enum Number {
    Long(i64),
    Double(f64),
}

/// The type with its article.
pub(super) fn a(data_type: DataType) -> String {
    format!("{} {data_type}", if data_type == DataType::Int { "an" } else { "a" })
}

/// How to make a `to` of a `from`.
pub(super) fn cast_hint(expr: &Expr, from: DataType, to: DataType) -> String {
    match (from, to) {
        (DataType::Json, DataType::String) if is_arrow(expr) => "use ->> instead of -> for the text".to_owned(),
        (DataType::Json, DataType::String) => "use ->> for the text of a member, or CAST(... AS STRING)".to_owned(),
        (DataType::String, DataType::Json) => {
            "use PARSE_JSON for text that holds JSON, TO_JSON to make a JSON string".to_owned()
        }
        (DataType::Int | DataType::Long, DataType::Timestamp) => {
            "use FROM_MILLIS, FROM_MICROS or FROM_UNIXTIME".to_owned()
        }
        (DataType::Timestamp, DataType::Int | DataType::Long) => {
            "use TO_MILLIS, TO_MICROS or EXTRACT(EPOCH FROM ...)".to_owned()
        }
        (DataType::Float | DataType::Double, DataType::Int | DataType::Long) => {
            format!("use CAST(ROUND(...) AS {to}); FLOOR, CEIL and TRUNC round in other ways")
        }
        (DataType::Bytes, DataType::Json) => {
            "use TO_JSON(TO_BASE64(...)), or PARSE_JSON(CAST(... AS STRING))".to_owned()
        }
        (from, to) if super::casts::is_possible(from, to) => format!("use CAST(... AS {to})"),
        _ => format!("there is no conversion from {from} to {to}"),
    }
}

fn is_arrow(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::Arrow, .. })
}
