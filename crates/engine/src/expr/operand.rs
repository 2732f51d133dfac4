//! What a sub-expression evaluates to, and loops over one or two of them.
//!
//! An [`Operand`] is a column plus the way from the position of a row among the evaluated rows to an entry of that
//! column, so that column references and constants cost nothing. It knows no operator.

use std::borrow::Cow;

use eventflux_core::{Column, DataType, TextValues, ValueRef, Values};

use super::Rows;

/// How position `i` of the evaluated rows finds its entry in the column.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Index<'r> {
    /// Entry `i`.
    Dense,
    /// Entry `rows[i]`.
    Rows(&'r [usize]),
    /// Entry 0, for every row.
    Constant,
}

impl Index<'_> {
    #[inline]
    pub(crate) fn at(self, position: usize) -> usize {
        match self {
            Self::Dense => position,
            Self::Rows(rows) => rows[position],
            Self::Constant => 0,
        }
    }
}

/// The result of a sub-expression for the evaluated rows.
#[derive(Debug)]
pub(crate) struct Operand<'b, 'r> {
    pub(crate) column: Cow<'b, Column>,
    pub(crate) index: Index<'r>,
}

impl<'b, 'r> Operand<'b, 'r> {
    /// One entry per evaluated row.
    pub(crate) fn owned(column: Column) -> Self {
        Self { column: Cow::Owned(column), index: Index::Dense }
    }

    /// The values and flags of [`Operand::owned`].
    pub(crate) fn of(values: Values, nulls: Vec<bool>) -> Self {
        Self::owned(Column::with_nulls(values, nulls))
    }

    /// A column of one entry that stands for every row.
    pub(crate) fn constant(column: &'b Column) -> Self {
        Self { column: Cow::Borrowed(column), index: Index::Constant }
    }

    /// The evaluated rows of a column of the batch.
    pub(crate) fn reference(column: &'b Column, rows: Rows<'r>) -> Self {
        let index = match rows {
            Rows::All(_) => Index::Dense,
            Rows::Some(rows) => Index::Rows(rows),
        };
        Self { column: Cow::Borrowed(column), index }
    }

    /// The same entries for other positions: position `i` of the result is position `positions[i]` of this dense or
    /// constant operand.
    pub(crate) fn at_positions<'p>(&'p self, positions: &'p [usize]) -> Operand<'p, 'p> {
        let index = match self.index {
            Index::Constant => Index::Constant,
            _ => Index::Rows(positions),
        };
        Operand { column: Cow::Borrowed(&self.column), index }
    }

    /// Whether some entry of the column is `NULL`.
    pub(crate) fn has_nulls(&self) -> bool {
        !self.column.nulls().is_empty()
    }

    #[inline]
    pub(crate) fn is_null(&self, position: usize) -> bool {
        let nulls = self.column.nulls();
        !nulls.is_empty() && nulls[self.index.at(position)]
    }

    #[inline]
    pub(crate) fn value(&self, position: usize) -> ValueRef<'_> {
        self.column.value(self.index.at(position))
    }

    /// The flags of `len` positions, empty when none is `NULL`.
    pub(crate) fn nulls(&self, len: usize) -> Vec<bool> {
        let nulls = self.column.nulls();
        if nulls.is_empty() {
            return Vec::new();
        }
        match self.index {
            Index::Dense => nulls[..len].to_vec(),
            Index::Rows(rows) => rows.iter().map(|&row| nulls[row]).collect(),
            Index::Constant if nulls[0] => vec![true; len],
            Index::Constant => Vec::new(),
        }
    }

    /// A column of exactly `len` entries, one per position.
    pub(crate) fn into_dense(self, len: usize) -> Cow<'b, Column> {
        match self.index {
            Index::Dense if self.column.len() == len => self.column,
            Index::Dense => Cow::Owned(gather(&self.column, &(0..len).collect::<Vec<_>>())),
            Index::Rows(rows) => Cow::Owned(gather(&self.column, rows)),
            Index::Constant => Cow::Owned(gather(&self.column, &vec![0; len])),
        }
    }

    /// The same operand without a reference to the rows, which may be gone afterwards.
    pub(crate) fn detach(self, len: usize) -> Operand<'b, 'static> {
        match self.index {
            Index::Constant => Operand { column: self.column, index: Index::Constant },
            Index::Dense => Operand { column: self.column, index: Index::Dense },
            Index::Rows(_) => Operand { column: self.into_dense(len), index: Index::Dense },
        }
    }
}

fn gather(column: &Column, rows: &[usize]) -> Column {
    let mut gathered = Column::new(column.data_type());
    gathered.extend_from(column, rows);
    gathered
}

/// Typed access to the values of an operand whose type the compiler has checked.
///
/// # Panics
/// Each, when the type is another one: a bug of the compiler of expressions.
impl Operand<'_, '_> {
    pub(crate) fn bools(&self) -> &[bool] {
        self.column.bools().unwrap_or_else(|| self.mismatch(DataType::Bool))
    }

    /// Of `BIGINT` and of `TIMESTAMP`.
    pub(crate) fn longs(&self) -> &[i64] {
        match self.column.values() {
            Values::Long(values) | Values::Timestamp(values) => values,
            _ => self.mismatch(DataType::Long),
        }
    }

    /// Of `STRING` and of `JSON`.
    pub(crate) fn texts(&self) -> &TextValues {
        self.column.texts().unwrap_or_else(|| self.mismatch(DataType::String))
    }

    #[cold]
    fn mismatch(&self, expected: DataType) -> ! {
        panic!("a {expected} operand is a {} column", self.column.data_type())
    }
}

/// The flags of `len` positions of which either operand is `NULL`; empty when there is none.
pub(crate) fn either_null(left: &Operand<'_, '_>, right: &Operand<'_, '_>, len: usize) -> Vec<bool> {
    match (left.has_nulls(), right.has_nulls()) {
        (false, false) => Vec::new(),
        (true, false) => left.nulls(len),
        (false, true) => right.nulls(len),
        (true, true) => (0..len).map(|i| left.is_null(i) || right.is_null(i)).collect(),
    }
}

/// `f(position, value)` of each of `len` positions.
#[inline]
pub(crate) fn map<A: Copy, R>(values: &[A], index: Index<'_>, len: usize, mut f: impl FnMut(usize, A) -> R) -> Vec<R> {
    match index {
        Index::Dense => values[..len].iter().enumerate().map(|(i, &a)| f(i, a)).collect(),
        Index::Rows(rows) => rows.iter().enumerate().map(|(i, &row)| f(i, values[row])).collect(),
        Index::Constant => (0..len).map(|i| f(i, values[0])).collect(),
    }
}

/// `f(position, left, right)` of each of `len` positions.
#[inline]
pub(crate) fn map2<A: Copy, B: Copy, R>(
    (left, left_index): (&[A], Index<'_>),
    (right, right_index): (&[B], Index<'_>),
    len: usize,
    mut f: impl FnMut(usize, A, B) -> R,
) -> Vec<R> {
    match (left_index, right_index) {
        (Index::Dense, Index::Dense) => {
            let pairs = left[..len].iter().zip(&right[..len]);
            pairs.enumerate().map(|(i, (&a, &b))| f(i, a, b)).collect()
        }
        (_, Index::Constant) if len > 0 => {
            let b = right[0];
            map(left, left_index, len, |i, a| f(i, a, b))
        }
        _ => (0..len).map(|i| f(i, left[left_index.at(i)], right[right_index.at(i)])).collect(),
    }
}
