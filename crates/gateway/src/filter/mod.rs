//! Which events a subscriber wants.
//!
//! A filter asks whether a payload, JSON text, has what a subscriber wants: exact matches on fields
//! (`{"user.id": "123", "type": ["a", "b"]}`), a SQL predicate (`price > 100 AND symbol = 'BTCUSDT'`), or both.
//!
//! What a predicate can have: `=`, `<>`, `!=`, `<`, `<=`, `>`, `>=`, `AND`, `OR`, `NOT`, `IN (...)`, `BETWEEN`, `LIKE`,
//! `IS NULL`, their negations, brackets, fields (`price`, `user.id`, `"any name"`), numbers, texts in single quotes, `TRUE`,
//! `FALSE` and `NULL`. No arithmetic, no functions.
//!
//! What it means:
//! - As in SQL a comparison is true, false or unknown (`NULL`), and an event is wanted when the whole is true. A field that
//!   is not there is `NULL`, and so is every comparison of a number with a text, or of anything with an object.
//! - Names are case-sensitive. A path leads into objects and stops at arrays; see [`Document`] for names with dots.
//! - Where a path leads to an array, `=`, `IN` and exact matches are true when they are true of one of its items; `<>` and
//!   `NOT IN` are the contrary of that. No other comparison is true or false of an array.
//! - Numbers compare by value, texts by their bytes in UTF-8, `FALSE` is less than `TRUE`.
//! - An exact match with `null` is wanted where the field is null or not there.
//! - A field alone is a condition where it is a boolean.
//!
//! There are no sockets, channels and sessions here; whether a client may filter by a field is not decided here.

mod condition;
mod document;
mod fields;
mod index;
mod level;
mod like;
mod plan;
mod predicate;
mod scalar;
mod table;
mod tokens;

#[cfg(test)]
mod tests;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde_json::{Map, Value};
use sqlparser::tokenizer::Location;

use crate::Problem;
use condition::Condition;
use document::Tree;
use predicate::Terms;

pub use document::{Document, MAX_DOCUMENT_DEPTH, MAX_DOCUMENT_VALUES};
pub use index::{FilterIndex, FilterKey};
pub use table::FilterTable;

/// The longest path to a field, in bytes.
pub const MAX_PATH_BYTES: usize = 256;
/// The most dots in a path to a field.
pub const MAX_PATH_DOTS: usize = 16;
/// The most characters between two `%` of a `LIKE` pattern, where `_` is among them.
pub const MAX_LIKE_STRETCH: usize = 64;

/// How large a filter may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FilterLimits {
    /// How many bytes the predicate, and the paths and texts of exact matches, may have together.
    pub max_bytes: usize,
    /// How many comparisons there may be; each value of a list is one. At most [`FilterLimits::MOST_TERMS`].
    pub max_terms: usize,
    /// How deeply brackets, `NOT`s and signs may be nested. At most [`FilterLimits::MOST_DEPTH`].
    pub max_depth: usize,
}

impl FilterLimits {
    /// No filter has more terms, whatever [`FilterLimits::max_terms`] says: more could exhaust the stack.
    pub const MOST_TERMS: usize = 256;
    /// No filter is nested more deeply, whatever [`FilterLimits::max_depth`] says: more could exhaust the stack.
    pub const MOST_DEPTH: usize = 64;

    fn terms(&self) -> usize {
        self.max_terms.min(Self::MOST_TERMS)
    }

    fn depth(&self) -> usize {
        self.max_depth.min(Self::MOST_DEPTH)
    }
}

impl Default for FilterLimits {
    fn default() -> Self {
        Self { max_bytes: 4_096, max_terms: 64, max_depth: 32 }
    }
}

/// What a subscriber wants of a channel. Two filters that ask the same in other words can be equal: the order of terms,
/// brackets and the spelling of numbers make no difference. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Filter {
    condition: Arc<Condition>,
}

impl Filter {
    /// The filter of exact matches and a predicate, both of which have to be true; `None` where there is neither.
    ///
    /// # Errors
    /// [`Problem::InvalidFilter`] with the reason and, for the predicate, the column.
    pub fn new(
        fields: Option<&Map<String, Value>>,
        predicate: Option<&str>,
        limits: &FilterLimits,
    ) -> Result<Option<Self>, Problem> {
        let fields = fields.filter(|fields| !fields.is_empty());
        if fields.is_none() && predicate.is_none() {
            return Ok(None);
        }
        let bytes = fields.map_or(0, fields::bytes) + predicate.map_or(0, str::len);
        if bytes > limits.max_bytes {
            return Err(invalid(None, &format!("{bytes} bytes long, at most {} are allowed", limits.max_bytes)));
        }
        let mut terms = Terms::new(limits);
        let mut parts = Vec::new();
        if let Some(fields) = fields {
            parts.push(fields::parse(fields, &mut terms)?);
        }
        if let Some(predicate) = predicate {
            parts.push(predicate::parse(predicate, &mut terms)?);
        }
        Ok(Some(Self { condition: Arc::new(Condition::all(parts)) }))
    }

    /// Whether a payload is wanted.
    #[must_use]
    pub fn matches(&self, document: &Document<'_>) -> bool {
        document.tree().is_some_and(|tree| self.wants(tree))
    }

    fn wants(&self, tree: &Tree<'_>) -> bool {
        self.condition.evaluate(&tree.root) == Some(true)
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.condition, &other.condition) || self.condition == other.condition
    }
}

impl Eq for Filter {}

impl Hash for Filter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}

/// # Errors
/// Why that cannot be a path.
fn check_path(path: &str) -> Result<(), String> {
    if path.len() > MAX_PATH_BYTES {
        return Err(format!("the name of a field is {} bytes long, at most {MAX_PATH_BYTES} are allowed", path.len()));
    }
    let dots = path.matches('.').count();
    if dots > MAX_PATH_DOTS {
        return Err(format!("'{}' has {dots} dots, at most {MAX_PATH_DOTS} are allowed", path.escape_debug()));
    }
    Ok(())
}

fn invalid(place: Option<Location>, reason: &str) -> Problem {
    Problem::InvalidFilter(match place {
        None => reason.to_owned(),
        Some(Location { line: 0 | 1, column }) => format!("column {column}: {reason}"),
        Some(Location { line, column }) => format!("line {line}, column {column}: {reason}"),
    })
}
