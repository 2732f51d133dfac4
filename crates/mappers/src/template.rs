//! `${column}` in a template.

use eventflux_core::property::nearest;
use eventflux_core::template::{TemplatePart, parts};
use eventflux_core::{EventFluxError, Schema};

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text that is copied.
    Literal(String),
    /// The value of that column of the schema.
    Column(usize),
}

/// The parts of `template`, the value of the property `key`; `$${` stands for `${`.
///
/// # Errors
/// [`EventFluxError::Configuration`] for a column the schema does not have, or a `${` that is not closed.
pub(crate) fn parse(key: &str, template: &str, schema: &Schema) -> Result<Vec<Piece>, EventFluxError> {
    let parts = parts(template).map_err(|unclosed| {
        let error = EventFluxError::property(key, unclosed.to_string());
        error.with_hint("write ${column}, or $${ for the characters ${")
    })?;
    let piece = |part| match part {
        TemplatePart::Literal(text) => Ok(Piece::Literal(text)),
        TemplatePart::Column(name) => {
            schema.index_of(&name).map(Piece::Column).ok_or_else(|| unknown(key, &name, schema))
        }
    };
    parts.into_iter().map(piece).collect()
}

/// The error for a column the schema does not have.
pub(crate) fn unknown(key: &str, name: &str, schema: &Schema) -> EventFluxError {
    let hint = match nearest(name, schema.names()) {
        Some(known) => format!("did you mean '{known}'?"),
        None => format!("its columns are {}", schema.names().collect::<Vec<_>>().join(", ")),
    };
    EventFluxError::property(key, format!("the stream has no column '{name}'")).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use eventflux_core::DataType;

    fn schema() -> Schema {
        Schema::new([("symbol", DataType::String), ("price", DataType::Double)])
    }

    #[test]
    fn a_template_is_literals_and_columns() {
        let literal = |text: &str| Piece::Literal(text.to_owned());
        let pieces = parse("t", "a ${symbol}${price} $${x} $y", &schema()).unwrap();
        assert_eq!(pieces, [literal("a "), Piece::Column(0), Piece::Column(1), literal(" ${x} $y")]);
    }

    #[test]
    fn an_unknown_column_is_named_with_the_nearest() {
        let error = parse("t", "${symbl}", &schema()).unwrap_err().to_string();
        assert_eq!(error, "property 't': the stream has no column 'symbl' (did you mean 'symbol'?)");
        assert!(parse("t", "${symbol", &schema()).unwrap_err().to_string().contains("closing brace"));
    }
}
