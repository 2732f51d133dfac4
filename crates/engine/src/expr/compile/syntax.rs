//! Functions with a syntax of their own: `EXTRACT(HOUR FROM x)`, `TRIM(BOTH 'x' FROM y)`, `SUBSTRING(x FROM 1 FOR 2)`,
//! `POSITION(x IN y)`, `CEIL(x)` and `FLOOR(x)`.

use sqlparser::ast::{CeilFloorKind, DateTimeField, Expr, TrimWhereField};

use super::literals::{field_name, integer};
use super::{Compiled, Compiler, Failed, Operand};
use crate::functions;

impl Compiler<'_> {
    #[inline(never)]
    pub(super) fn keyword_call(&mut self, expr: &Expr) -> Compiled {
        let (name, arguments) = self.keyword_arguments(expr)?;
        match functions::find(name) {
            Some(function) => self.call(expr, function, arguments),
            None => Err(self.unsupported(expr)),
        }
    }

    fn keyword_arguments<'e>(&mut self, expr: &'e Expr) -> Result<(&'static str, Vec<Operand<'e>>), Failed> {
        match expr {
            Expr::Extract { field, syntax: _, expr: time } => {
                let mut arguments = self.all([time.as_ref()])?;
                arguments.insert(0, Operand { node: field_name(field), expr });
                Ok(("EXTRACT", arguments))
            }
            Expr::Ceil { expr: operand, field } => self.rounding(expr, operand, field, "CEIL"),
            Expr::Floor { expr: operand, field } => self.rounding(expr, operand, field, "FLOOR"),
            Expr::Position { expr: part, r#in: text } => {
                let mut arguments = self.all([part.as_ref(), text.as_ref()])?;
                arguments.reverse();
                Ok(("STRPOS", arguments))
            }
            Expr::Substring { expr: text, substring_from, substring_for, special: _, shorthand: _ } => {
                let from = substring_from.as_deref();
                let mut arguments =
                    self.all([Some(text.as_ref()), from, substring_for.as_deref()].into_iter().flatten())?;
                if from.is_none() && substring_for.is_some() {
                    arguments.insert(1, Operand { node: integer(1), expr });
                }
                Ok(("SUBSTRING", arguments))
            }
            Expr::Trim { trim_where, trim_what, expr: text, trim_characters } => {
                let characters = trim_characters.iter().flatten();
                let arguments =
                    self.all(std::iter::once(text.as_ref()).chain(trim_what.as_deref()).chain(characters))?;
                let name = match trim_where {
                    None | Some(TrimWhereField::Both) => "TRIM",
                    Some(TrimWhereField::Leading) => "LTRIM",
                    Some(TrimWhereField::Trailing) => "RTRIM",
                };
                Ok((name, arguments))
            }
            _ => Err(self.unsupported(expr)),
        }
    }

    fn rounding<'e>(
        &mut self,
        expr: &Expr,
        operand: &'e Expr,
        field: &CeilFloorKind,
        name: &'static str,
    ) -> Result<(&'static str, Vec<Operand<'e>>), Failed> {
        match field {
            CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => Ok((name, self.all([operand])?)),
            CeilFloorKind::DateTimeField(_) => Err(self.fail_with_hint(
                expr,
                format!("{name} of a time is not supported"),
                "use DATE_TRUNC('hour', time)",
            )),
            CeilFloorKind::Scale(_) => {
                let message = format!("{name} takes no number of decimals");
                Err(self.fail_with_hint(expr, message, "ROUND and TRUNC take one"))
            }
        }
    }
}
