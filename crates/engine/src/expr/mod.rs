//! Expressions: from the syntax tree of one to typed code that works on whole batches.
//!
//! [`compile`] checks an expression against the columns of its input stream and reports *everything* that is wrong
//! with it, each mistake at its place. The result, a [`CompiledExpr`], is evaluated over the rows of an
//! [`EventBatch`] without looking up a name. This module does not parse SQL, knows no
//! query, and keeps no state between batches.
//!
//! # Types
//! `STRING`, `INT` (32 bits), `BIGINT` (64 bits), `FLOAT` (32 bits), `DOUBLE` (64 bits), `BOOL`, `BYTES`, `TIMESTAMP`
//! (microseconds, UTC) and `JSON`.
//! - An integer literal is an `INT` if it fits, else a `BIGINT`, else an error. A literal with a point or an exponent
//!   is a `DOUBLE`. `'...'` is a `STRING`, `X'00ff'` a `BYTES`, `TIMESTAMP '2024-01-31T10:00:00Z'` a `TIMESTAMP`,
//!   `NULL` takes the type its surroundings need.
//! - Numbers widen by themselves: `INT` to `BIGINT`, `INT`/`BIGINT`/`FLOAT` to `DOUBLE`. `INT` with `BIGINT` gives
//!   `BIGINT`; `FLOAT` with `FLOAT` gives `FLOAT`, with any other number `DOUBLE`; an integer with `DOUBLE` gives
//!   `DOUBLE`. Nothing else is converted without a `CAST`: text and numbers never mix silently.
//! - A constant sub-expression is computed at compile time; when it has no result, that is a compile-time error.
//!
//! # Operators
//! - `+ - * / %` and unary `-`: a result outside the type, division by zero (of floating-point numbers, too) and
//!   floating-point overflow are errors of the row. Integer division cuts towards zero; `%` has the sign of its left
//!   side.
//! - `TIMESTAMP - TIMESTAMP` is a `BIGINT`, in microseconds. `TIMESTAMP + INTERVAL '5' MINUTE` (and `-`) moves by a
//!   fixed time; units are microseconds to weeks. For months and years there is `DATE_ADD`.
//! - Comparisons are exact, between `BIGINT` and `DOUBLE` as well. Not-a-number equals itself and is greater than
//!   every other number. Text and bytes are compared byte by byte, which orders text by code point; `FALSE` is less
//!   than `TRUE`.
//! - `AND`, `OR`, `NOT` have three truth values. The right side of `AND` and `OR` is evaluated only for rows that need
//!   it; so are the branches of `CASE`, `IF` and `COALESCE`: `CASE WHEN x <> 0 THEN 1 / x ELSE 0 END` has no error for
//!   `x = 0`. `WHERE` stops at the first condition of an `AND` chain that is not `TRUE`.
//! - `x IN (...)` and `BETWEEN` evaluate all their operands. `NULL` in the list of `IN` makes the answer `NULL` when
//!   nothing matches.
//! - `LIKE` and `ILIKE`: `%` is any text, `_` any one character, `\` or the character after `ESCAPE` takes the next
//!   character literally (`ESCAPE ''`: none does). A pattern that ends in its escape character is an error.
//! - `a || b` joins text and is `NULL` when either is. The result of one row is at most
//!   [`MAX_TEXT_BYTES`](crate::functions::MAX_TEXT_BYTES) long.
//! - `data.s`, `data->'s'`, `items[0]` and `items->0` reach inside `JSON` and give `JSON`; `data->>'s'` gives the text
//!   of what is there: of a JSON string its content, else the JSON text. `[-1]` is the last element. What is not
//!   there, and a step into something that is no object or array, is `NULL`; so is `->>` of a JSON `null`. Of two
//!   members of the same name the last counts. A name is first looked for as `stream.column`, then as `column.member`.
//! - `JSON` is not compared or computed with directly: use `->>` or `CAST`.
//!
//! # CAST
//! `CAST(x AS type)`, `x::type`; `TRY_CAST` gives `NULL` where `CAST` has an error of the row. Errors inside `x`
//! remain.
//! - Text to numbers, `BOOL` and `TIMESTAMP`: white space around is ignored. Integers are digits with an optional
//!   sign; numbers that do not fit, `NaN` and `Infinity` are errors. `BOOL` reads `true/t/yes/y/on/1` and
//!   `false/f/no/n/off/0` in any case. `TIMESTAMP` reads ISO 8601 (`2024-01-31`, `2024-01-31 10:00`,
//!   `2024-01-31T10:00:00.123456+02:00`), UTC without an offset; digits beyond the microsecond are cut off.
//! - `DOUBLE` and `FLOAT` to integers: only whole numbers; `ROUND`, `FLOOR`, `CEIL` and `TRUNC` say how to get one.
//!   Integers to smaller integers: when they fit. Any number to `FLOAT` or `DOUBLE`: the nearest one.
//! - `BOOL` and integers: `FALSE` is 0, `TRUE` is 1; every integer but 0 is `TRUE`.
//! - To text: numbers as the shortest text that reads back the same (`0.1`, `1e16`), `true`/`false`, timestamps as
//!   `2024-01-31T10:00:00Z` with as many decimals (0, 3 or 6) as are needed. `BYTES` to text and back as UTF-8.
//! - `JSON` scalars to any of these: as their text, so `"1.5"` and `1.5` both become the `DOUBLE` 1.5. JSON `null` is
//!   `NULL`. Objects and arrays become only `STRING`, as JSON text. To `JSON`: text is read as JSON (`TO_JSON` makes a
//!   JSON string of it), numbers and `BOOL` as such.
//! - Everything else is refused when the query is compiled. Between integers and `TIMESTAMP` there is no cast, since
//!   the unit would be a guess: `FROM_MILLIS`, `FROM_UNIXTIME`, `TO_MILLIS` name it.

mod arith;
mod case;
pub(crate) mod cast;
pub(crate) mod compare;
mod compile;
mod eval;
mod in_list;
pub(crate) mod json;
mod like;
mod logic;
mod node;
pub(crate) mod operand;
mod select;
#[cfg(test)]
mod tests;
pub(crate) mod text;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use eventflux_core::{Column, DataType, EventBatch, EventFluxContext, EventFluxError, RowFailure, Schema, Value};

use crate::diagnostic::{Diagnostic, SourceFile};
use eval::Evaluation;
use node::{Kind, Node};

/// How many levels a syntax tree may have; deeper ones are refused. What the SQL front end lets through is not deeper:
/// so many operators inside each other, and a name or a literal.
pub const MAX_DEPTH: usize = crate::sql::MAX_EXPRESSION_DEPTH + 1;

/// What the names in an expression mean.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The file the expression stands in, for places.
    pub file: &'a SourceFile,
    /// The stream it reads.
    pub stream: &'a str,
    /// The other name of that stream inside the query; both names are understood.
    pub alias: Option<&'a str>,
    /// The columns of that stream.
    pub schema: &'a Schema,
    /// The registry of user functions; built-in functions come first.
    pub context: &'a EventFluxContext,
}

/// Compiles an expression of any type. A bare `NULL` is a `STRING`.
///
/// # Errors
/// All mistakes, in the order they were found; each is an error with a place.
pub fn compile(expr: &sqlparser::ast::Expr, scope: &Scope<'_>) -> Result<CompiledExpr, Vec<Diagnostic>> {
    compile::compile(expr, scope, compile::Wanted::Anything)
}

/// Compiles an expression whose result is stored in a column of type `target`: numbers widen and `NULL` takes the type.
///
/// # Errors
/// As [`compile`], and when the type would need a `CAST`.
pub fn compile_as(
    expr: &sqlparser::ast::Expr,
    scope: &Scope<'_>,
    target: DataType,
) -> Result<CompiledExpr, Vec<Diagnostic>> {
    compile::compile(expr, scope, compile::Wanted::Column(target))
}

/// Compiles the condition of `WHERE`, a `BOOL`.
///
/// # Errors
/// As [`compile`], and when the expression has another type.
pub fn compile_condition(expr: &sqlparser::ast::Expr, scope: &Scope<'_>) -> Result<CompiledExpr, Vec<Diagnostic>> {
    compile::compile(expr, scope, compile::Wanted::Condition)
}

/// A compiled expression. It holds no state: threads may share it.
pub struct CompiledExpr {
    root: Node,
}

impl CompiledExpr {
    /// The type of the result.
    pub fn data_type(&self) -> DataType {
        self.root.data_type
    }

    /// The number of the input column this merely repeats.
    pub fn as_column(&self) -> Option<usize> {
        match self.root.kind {
            Kind::Column(index) => Some(index),
            _ => None,
        }
    }

    /// The value, when it is the same for every row.
    pub fn as_constant(&self) -> Option<Value> {
        self.root.constant().map(|column| column.value(0).to_value())
    }

    /// The numbers of the input columns that are read, in ascending order, each once.
    pub fn columns(&self) -> Vec<usize> {
        let mut columns = Vec::new();
        self.root.collect_columns(&mut columns);
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Evaluates over `rows` of `batch`. The result has `rows.len()` entries. A row without a result is added to `errors`
    /// under its number in the batch, and its entry is `NULL`.
    ///
    /// # Panics
    /// When the batch has other columns than the schema this was compiled for, when there is no such row, or when a user
    /// function panics.
    pub fn evaluate<'b>(&'b self, batch: &'b EventBatch, rows: Rows<'_>, errors: &mut RowErrors) -> Cow<'b, Column> {
        let before = errors.failures.len();
        let result = Evaluation { batch, rows, errors }.eval(&self.root).into_dense(rows.len());
        if errors.failures.len() == before {
            return result;
        }
        errors.keep_first_of_each_row();
        Cow::Owned(without_failed_rows(&result, rows, errors))
    }

    /// Appends to `selected` the numbers in the batch of those `rows` for which the expression, a `BOOL`, is `TRUE`, in
    /// their order. Rows for which it is `FALSE` or `NULL` are not selected, nor are rows with an error.
    ///
    /// # Panics
    /// As [`CompiledExpr::evaluate`], and when the expression is no `BOOL`.
    pub fn select(&self, batch: &EventBatch, rows: Rows<'_>, errors: &mut RowErrors, selected: &mut Vec<usize>) {
        let (errors_before, selected_before) = (errors.failures.len(), selected.len());
        Evaluation { batch, rows, errors }.select(&self.root, selected);
        if errors.failures.len() > errors_before {
            errors.keep_first_of_each_row();
            let newly_selected = selected.split_off(selected_before);
            selected.extend(newly_selected.into_iter().filter(|&row| !errors.contains(row)));
        }
    }
}

impl fmt::Debug for CompiledExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompiledExpr")
            .field("data_type", &self.data_type())
            .field("columns", &self.columns())
            .finish_non_exhaustive()
    }
}

fn without_failed_rows(result: &Column, rows: Rows<'_>, errors: &RowErrors) -> Column {
    let nulls =
        (0..rows.len()).map(|position| result.is_null(position) || errors.contains(rows.row(position))).collect();
    Column::with_nulls(result.values().clone(), nulls)
}

/// The rows of a batch to work on.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    /// All rows of a batch of that many.
    All(usize),
    /// The rows of these numbers, in this order.
    Some(&'a [usize]),
}

impl Rows<'_> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::All(len) => *len,
            Self::Some(rows) => rows.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number in the batch of the row at `position`.
    ///
    /// # Panics
    /// When the position is out of range.
    #[inline]
    pub fn row(&self, position: usize) -> usize {
        match self {
            Self::All(_) => position,
            Self::Some(rows) => rows[position],
        }
    }
}

/// The rows of one batch that have no result, each with its first error. Several expressions may share one, to be
/// evaluated over the same batch.
#[derive(Debug, Default)]
pub struct RowErrors {
    failures: Vec<RowFailure>,
    /// Whether messages leave the place of the sub-expression out.
    without_places: bool,
}

impl RowErrors {
    /// No errors yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether no row failed.
    pub fn is_empty(&self) -> bool {
        self.failures.is_empty()
    }

    /// Whether that row of the batch failed.
    pub fn contains(&self, row: usize) -> bool {
        self.failures.binary_search_by_key(&row, |failure| failure.row).is_ok()
    }

    /// The failed rows in ascending order, by their number in the batch.
    pub fn failures(&self) -> &[RowFailure] {
        &self.failures
    }

    /// Hands the failures over and starts again with none.
    pub fn take(&mut self) -> Vec<RowFailure> {
        std::mem::take(&mut self.failures)
    }

    /// Records that `row` has no result. `place` is where the sub-expression stands.
    #[cold]
    pub(crate) fn fail(&mut self, row: usize, reason: impl fmt::Display, retryable: bool, place: &Arc<str>) {
        let reason = if self.without_places { reason.to_string() } else { format!("{reason} ({place})") };
        let error = EventFluxError::Query { reason, retryable };
        self.failures.push(RowFailure { row, error });
    }

    fn keep_first_of_each_row(&mut self) {
        self.failures.sort_by_key(|failure| failure.row);
        self.failures.dedup_by_key(|failure| failure.row);
    }
}
