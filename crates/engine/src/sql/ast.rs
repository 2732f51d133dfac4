//! The syntax tree of one file: what was written, and where.

use std::fmt;

use eventflux_core::DataType;
use sqlparser::ast::Expr;

use crate::diagnostic::Span;

/// All statements of a file, each kind in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    /// Every `CREATE STREAM` whose name could be read.
    pub streams: Vec<CreateStream>,
    /// Every query without a syntax error.
    pub queries: Vec<Query>,
    /// Whether every statement of the file is above, without a mistake. When it is not, a name that seems to be missing
    /// may be declared in a statement that could not be read.
    pub complete: bool,
}

/// A name as it was written. Names are case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ident {
    /// The name, without the double quotes it may have been written in.
    pub name: String,
    /// Where, quotes included.
    pub span: Span,
}

/// `CREATE STREAM name (columns)` with what was declared around it.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateStream {
    /// The stream's name.
    pub name: Ident,
    /// The columns in their order; no two have the same name.
    pub columns: Vec<ColumnDef>,
    /// The sources and sinks in the order they were written, from `@source`/`@sink` or from `WITH`.
    pub annotations: Vec<Annotation>,
    /// Whether everything in the declaration could be read. When it could not, columns or properties may be missing.
    pub complete: bool,
    /// The whole statement, annotations included, without the semicolon.
    pub span: Span,
}

/// One column of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDef {
    /// The column's name.
    pub name: Ident,
    /// Its type.
    pub data_type: DataType,
    /// Name and type.
    pub span: Span,
}

/// A source or a sink of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Whether events come in or go out.
    pub kind: AnnotationKind,
    /// How it was written; messages should speak the same way.
    pub spelling: Spelling,
    /// The properties of the connector; no key appears twice. `type` is one of them, with `WITH` it is the value of
    /// `extension`.
    pub properties: Vec<Property>,
    /// How bytes become events and back.
    pub map: Option<MapAnnotation>,
    /// The word that opens it: `@source`, `@sink` or `WITH`.
    pub name_span: Span,
    /// All of it.
    pub span: Span,
}

/// Whether an [`Annotation`] brings events in or takes them out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnnotationKind {
    /// `@source`, or `WITH (type='source')`.
    Source,
    /// `@sink`, or `WITH (type='sink')`.
    Sink,
}

/// Which of the two spellings an [`Annotation`] was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spelling {
    /// `@source(...)` or `@sink(...)` before the stream.
    Annotation,
    /// `WITH (...)` after the stream.
    With,
}

/// `@map(...)`, or `format` and the keys that begin with its value in `WITH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapAnnotation {
    /// The properties of the mapper; no key appears twice. `type` is one of them, with `WITH` it is the value of `format`.
    pub properties: Vec<Property>,
    /// All of it; with `WITH`, the `format` property.
    pub span: Span,
}

/// One `key = value`.
///
/// The value may be a secret: it does not appear in the `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub struct Property {
    /// The key as written, without quotes; case is kept.
    pub key: String,
    /// Where the key stands, quotes included.
    pub key_span: Span,
    /// The value: the content of a string, or the text of a number or bare word.
    pub value: String,
    /// Where the value stands, quotes included.
    pub value_span: Span,
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Property")
            .field("key", &self.key)
            .field("key_span", &self.key_span)
            .field("value_span", &self.value_span)
            .finish_non_exhaustive()
    }
}

/// One query: events of one stream, filtered and projected into another.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The stream that receives the results.
    pub into: Ident,
    /// The stream that is read.
    pub from: Ident,
    /// The other name `from` goes by inside this query.
    pub alias: Option<Ident>,
    /// The columns of the result; at least one item.
    pub projection: Vec<SelectItem>,
    /// The condition of `WHERE`.
    pub predicate: Option<Expr>,
    /// The whole statement without the semicolon.
    pub span: Span,
}

/// One item between `SELECT` and `FROM`.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectItem {
    /// What it is.
    pub kind: SelectItemKind,
    /// All of it, alias included.
    pub span: Span,
}

/// What a [`SelectItem`] is.
#[derive(Debug, Clone, PartialEq)]
pub enum SelectItemKind {
    /// `*`, or `name.*` where the name is the stream or its alias.
    Wildcard {
        /// The name before the dot.
        qualifier: Option<Ident>,
    },
    /// An expression.
    Expr {
        /// The expression. Its locations are those of the file: see [`super::span_of_expr`].
        expr: Box<Expr>,
        /// The name after `AS`.
        alias: Option<Ident>,
    },
}
