//! Text in which `${column}` stands for the value of a column of the row.

use std::fmt;
use std::sync::Arc;

use crate::EncodedBatch;

/// What stands between the values of several columns ([`PropertyKind::Columns`](crate::PropertyKind::Columns)): the unit
/// separator of ASCII.
pub const COLUMN_SEPARATOR: char = '\u{1f}';

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePart {
    /// Text that is copied.
    Literal(String),
    /// The value of the column of that name.
    Column(String),
}

/// A `${` without a closing brace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'${{{0}' has no closing brace")]
pub struct UnclosedBrace(
    /// What follows it.
    pub String,
);

/// The value of a [`PropertyKind::Template`](crate::PropertyKind::Template): what a sink has to know about an event
/// besides its payload, such as the channel it belongs to.
///
/// The engine computes the text for each row and hands it to the sink with the payload; [`Template::text`] reads it. A
/// template without columns has the same text for every row and costs nothing. Copies are cheap.
///
/// ```
/// use bytes::Bytes;
/// use eventflux_core::{EncodedBatch, Properties, PropertyKind, PropertySpec, TextValues};
///
/// const CHANNEL: PropertySpec = PropertySpec::new("x.channel", PropertyKind::Template, "Where it goes.");
/// let properties = Properties::from_pairs(&[CHANNEL], [("x.channel", "trades.${symbol}")])?;
/// let channel = properties.template("x.channel")?.unwrap();
///
/// // What the engine does for a sink; a test of a connector does it itself.
/// let batch = EncodedBatch::single(Bytes::from_static(b"{}"), 1);
/// let batch = batch.with_texts(&channel, TextValues::from_iter(["trades.BTC"]));
/// assert_eq!(channel.text(&batch, 0), "trades.BTC");
/// # Ok::<(), eventflux_core::EventFluxError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    parts: Arc<[TemplatePart]>,
    /// Where a batch keeps its texts.
    slot: usize,
}

/// The parts of a template; `$${` stands for `${`. No two literals follow each other, and none is empty.
///
/// # Errors
/// [`UnclosedBrace`]
pub fn parts(text: &str) -> Result<Vec<TemplatePart>, UnclosedBrace> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(place) = rest.find("${") {
        let (before, after) = (&rest[..place], &rest[place + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            literal.push_str(before);
            literal.push_str("${");
            rest = after;
            continue;
        }
        literal.push_str(before);
        let (name, after) = after.split_once('}').ok_or_else(|| UnclosedBrace(after.to_owned()))?;
        if !literal.is_empty() {
            parts.push(TemplatePart::Literal(std::mem::take(&mut literal)));
        }
        parts.push(TemplatePart::Column(name.to_owned()));
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(TemplatePart::Literal(literal));
    }
    Ok(parts)
}

impl Template {
    /// Reads a template; see [`parts`].
    ///
    /// # Errors
    /// [`UnclosedBrace`]
    pub fn parse(text: &str) -> Result<Self, UnclosedBrace> {
        Ok(Self { parts: parts(text)?.into(), slot: 0 })
    }

    /// The values of these columns, whose names are separated by commas, with [`COLUMN_SEPARATOR`] between them; `None` when
    /// a name is missing.
    pub fn of_columns(names: &str) -> Option<Self> {
        let mut parts = Vec::new();
        for name in names.split(',').map(str::trim) {
            if name.is_empty() {
                return None;
            }
            if !parts.is_empty() {
                parts.push(TemplatePart::Literal(COLUMN_SEPARATOR.to_string()));
            }
            parts.push(TemplatePart::Column(name.to_owned()));
        }
        Some(Self { parts: parts.into(), slot: 0 })
    }

    /// Its parts, in order.
    pub fn parts(&self) -> &[TemplatePart] {
        &self.parts
    }

    /// The names of its columns, in order; one that stands twice comes twice.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            TemplatePart::Column(name) => Some(name.as_str()),
            TemplatePart::Literal(_) => None,
        })
    }

    /// The text it has for every row, when it names no column.
    pub fn constant(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [TemplatePart::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The text for payload number `row` of `batch`: empty when the batch carries none for it, which is so only for
    /// batches that do not come from the engine.
    pub fn text<'a>(&'a self, batch: &'a EncodedBatch, row: usize) -> &'a str {
        self.constant().unwrap_or_else(|| batch.text(self.slot, row))
    }

    /// The same template, whose texts are in that place of a batch.
    pub(crate) fn at(&self, slot: usize) -> Self {
        Self { slot, ..self.clone() }
    }

    pub(crate) fn slot(&self) -> usize {
        self.slot
    }
}

impl fmt::Debug for Template {
    /// The columns only: a literal may have come from the environment and be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.columns()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> TemplatePart {
        TemplatePart::Literal(text.to_owned())
    }

    fn column(name: &str) -> TemplatePart {
        TemplatePart::Column(name.to_owned())
    }

    #[test]
    fn a_template_is_literals_and_columns() {
        let expected = [literal("a "), column("symbol"), column("price"), literal(" ${x} $y")];
        assert_eq!(parts("a ${symbol}${price} $${x} $y").unwrap(), expected);
        assert!(parts("").unwrap().is_empty());
        assert_eq!(parts("a${b").unwrap_err().to_string(), "'${b' has no closing brace");
    }

    #[test]
    fn a_template_without_columns_is_constant() {
        let constant = |text: &str| Template::parse(text).unwrap().constant().map(str::to_owned);
        assert_eq!(constant("trades"), Some("trades".to_owned()));
        assert_eq!(constant("$${a}"), Some("${a}".to_owned()));
        assert_eq!(constant(""), Some(String::new()));
        assert_eq!(constant("${a}"), None);
    }

    #[test]
    fn literals_are_not_shown() {
        assert_eq!(format!("{:?}", Template::parse("hunter2/${a}").unwrap()), "[\"a\"]");
    }
}
