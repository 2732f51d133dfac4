//! `CAST`, `TRY_CAST` and `::`.

use eventflux_core::DataType;
use sqlparser::ast::{CastKind, DataType as SqlType, Expr};

use super::coerce::cast_hint;
use super::{Compiled, Compiler, Failed, null};
use crate::diagnostic::nearest;
use crate::expr::cast;
use crate::expr::node::Kind;

pub(super) use cast::is_possible;

impl Compiler<'_> {
    #[inline(never)]
    pub(super) fn cast(&mut self, expr: &Expr) -> Compiled {
        let Expr::Cast { kind, expr: operand, data_type, format } = expr else {
            return Err(self.unsupported(expr));
        };
        let node = self.expr(operand);
        let target = self.cast_target(expr, data_type);
        let (node, target) = (node?, target?);
        if format.is_some() {
            let hint = "use FORMAT_TIMESTAMP or PARSE_TIMESTAMP";
            return Err(self.fail_with_hint(expr, "FORMAT in CAST is not supported", hint));
        }
        let lenient = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
        if node.is_untyped_null() {
            return Ok(null(target, false));
        }
        let from = node.data_type;
        if from == target {
            return Ok(node);
        }
        if !is_possible(from, target) {
            let hint = cast_hint(operand, from, target);
            return Err(self.fail_with_hint(expr, format!("cannot cast {from} to {target}"), hint));
        }
        self.finish(expr, target, Kind::Cast { operand: Box::new(node), lenient })
    }

    fn cast_target(&mut self, expr: &Expr, data_type: &SqlType) -> Result<DataType, Failed> {
        let name = data_type.to_string();
        if let Some(data_type) = DataType::from_name(&name) {
            return Ok(data_type);
        }
        let shown: String = name.chars().take(40).collect();
        Err(self.fail_with_hint(expr, format!("unknown type `{shown}`"), suggestion(&name)))
    }
}

/// What to write instead of a type of other systems.
fn suggestion(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    let word = upper.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    let advice = match word {
        "VARCHAR" | "CHAR" | "CHARACTER" | "TEXT" | "NVARCHAR" | "CLOB" | "UUID" => "use STRING",
        "INTEGER" | "INT" | "INT4" | "INT32" | "SMALLINT" | "TINYINT" | "INT2" | "SIGNED" => "use INT",
        "BIGINT" | "INT8" | "INT64" | "UNSIGNED" => "use BIGINT",
        "REAL" | "FLOAT" | "FLOAT4" | "FLOAT32" => "use FLOAT",
        "DOUBLE" | "FLOAT8" | "FLOAT64" => "use DOUBLE",
        "NUMERIC" | "DECIMAL" | "DEC" | "BIGNUMERIC" | "BIGDECIMAL" => "use DOUBLE, and ROUND for a number of decimals",
        "DATETIME" | "TIMESTAMP" | "TIMESTAMPTZ" | "DATE" => "use TIMESTAMP, and DATE_TRUNC('day', ...) for a date",
        "BLOB" | "BYTEA" | "BINARY" | "VARBINARY" => "use BYTES",
        "JSONB" | "MAP" | "STRUCT" | "ARRAY" => "use JSON",
        _ => {
            let names = DataType::ALL.iter().map(|data_type| data_type.name()).chain(["LONG", "BOOLEAN"]);
            return match nearest(name, names) {
                Some(name) => format!("did you mean {name}?"),
                None => {
                    let names: Vec<&str> = DataType::ALL.iter().map(|data_type| data_type.name()).collect();
                    format!("types are {}", names.join(", "))
                }
            };
        }
    };
    advice.to_owned()
}
