//! The built-in functions: one declaration each, from which type checking, evaluation, the tests of the examples and the
//! reference page come.
//!
//! Each family has a module with its table and its code. A function is written for one row; `NULL` arguments give `NULL`
//! without a call unless its declaration says otherwise. What is the same for all rows, such as a regular expression, is
//! prepared once when the query is compiled. User functions are not here: they come from the registry.

mod catalogue;
mod conditional;
mod hash;
mod json;
mod json_order;
mod number;
mod regex;
mod string;
mod time;
mod values;

use std::fmt;

use eventflux_core::{Column, DataType, FunctionError};

pub use catalogue::{catalogue, markdown};
pub(crate) use catalogue::{find, names};
pub(crate) use hash::decode_hex;
pub(crate) use string::join_texts;
pub(crate) use values::{Args, Output};

/// The longest text or byte string a function or operator makes for one row, in bytes: 1 MiB.
pub const MAX_TEXT_BYTES: usize = 1024 * 1024;

/// What a function is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Which value to take, and its type.
    Conditional,
    /// Text.
    Text,
    /// Regular expressions.
    Regex,
    /// Numbers.
    Number,
    /// Points in time.
    Time,
    /// JSON.
    Json,
    /// Hashes, encodings and identifiers.
    Hash,
}

impl Family {
    /// All families, in the order of the reference page.
    pub const ALL: [Self; 7] =
        [Self::Conditional, Self::Text, Self::Regex, Self::Number, Self::Time, Self::Json, Self::Hash];

    /// The heading of the reference page.
    pub fn title(self) -> &'static str {
        match self {
            Self::Conditional => "Conditional functions",
            Self::Text => "Text functions",
            Self::Regex => "Regular expressions",
            Self::Number => "Number functions",
            Self::Time => "Time functions",
            Self::Json => "JSON functions",
            Self::Hash => "Hashes, encodings and identifiers",
        }
    }
}

/// The declaration of a built-in function.
#[derive(Debug)]
pub struct FunctionDoc {
    /// Its name, in upper case; found in any case.
    pub name: &'static str,
    /// Other names of the same function.
    pub aliases: &'static [&'static str],
    /// What it is about.
    pub family: Family,
    /// The arguments it takes. The first signature that fits counts.
    pub signatures: &'static [Signature],
    /// What it does, in one sentence or two.
    pub summary: &'static str,
    /// What it does with `NULL`, where that is not `NULL` in, `NULL` out.
    pub nulls: Option<&'static str>,
    /// When a row gets an error.
    pub errors: Option<&'static str>,
    /// An expression and its result, as SQL literals.
    pub examples: &'static [(&'static str, &'static str)],
}

/// One way to call a function.
#[derive(Debug)]
pub struct Signature {
    /// Name and type of each argument.
    pub parameters: &'static [(&'static str, ParameterKind)],
    /// How many of them must be given.
    pub required: usize,
    /// Whether the last one may be given any number of times.
    pub variadic: bool,
    /// The type of the result.
    pub result: ResultKind,
}

/// The type of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    /// This type, or one that widens to it.
    Exact(DataType),
    /// Any number; all of these widen to one type.
    Number,
    /// Any type; all of these widen to one type.
    Same,
    /// Any type but `JSON`, which has no order; all of these widen to one type.
    Ordered,
    /// `STRING` or `BYTES`.
    Binary,
    /// Any type.
    Any,
}

/// The type of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultKind {
    /// This type.
    Exact(DataType),
    /// The type that the `Number`, `Same` or `Ordered` arguments widen to.
    Common,
}

impl fmt::Display for ParameterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(data_type) => data_type.fmt(f),
            Self::Number => f.write_str("number"),
            Self::Same | Self::Ordered => f.write_str("T"),
            Self::Binary => f.write_str("STRING|BYTES"),
            Self::Any => f.write_str("any"),
        }
    }
}

impl Signature {
    /// How the call is written: `NAME(text STRING[, length BIGINT]) → STRING`.
    pub fn text(&self, name: &str) -> String {
        let mut text = format!("{name}(");
        for (index, (parameter, kind)) in self.parameters.iter().enumerate() {
            if index >= self.required {
                text.push('[');
            }
            if index > 0 {
                text.push_str(", ");
            }
            text.push_str(&format!("{parameter} {kind}"));
        }
        if self.variadic {
            text.push_str(", ...");
        }
        text.push_str(&"]".repeat(self.parameters.len() - self.required));
        text.push_str(") → ");
        match self.result {
            ResultKind::Exact(data_type) => text.push_str(data_type.name()),
            ResultKind::Common if self.parameters.iter().any(|(_, kind)| *kind == ParameterKind::Number) => {
                text.push_str("number");
            }
            ResultKind::Common => text.push('T'),
        }
        text
    }

    /// The type of argument number `index`; `None` when there are too many.
    pub(crate) fn parameter(&self, index: usize) -> Option<ParameterKind> {
        match self.parameters.get(index) {
            Some((_, kind)) => Some(*kind),
            None if self.variadic => self.parameters.last().map(|(_, kind)| *kind),
            None => None,
        }
    }

    /// Whether so many arguments may be given.
    pub(crate) fn takes(&self, count: usize) -> bool {
        count >= self.required && (self.variadic || count <= self.parameters.len())
    }
}

/// Why a row has no result, or nothing: the result has been appended.
pub(crate) type RowResult = Result<(), FunctionError>;

/// The code of a function.
pub(crate) enum Kernel {
    /// Computes one row from its arguments.
    Row(fn(&Args<'_>, &mut Output) -> RowResult),
    /// Looks at constant arguments once, and returns what computes one row.
    Prepared(fn(&Constants<'_>) -> Prepared),
    /// The expression compiler translates the call itself.
    Translated,
}

/// What computes one row, or the constant argument that is wrong.
pub(crate) type Prepared = Result<Box<dyn RowKernel>, BadArgument>;

/// A constant argument that is wrong.
pub(crate) struct BadArgument {
    /// Its number, from 0.
    pub(crate) index: usize,
    pub(crate) reason: String,
}

/// Computes one row.
pub(crate) trait RowKernel: Send + Sync {
    fn call(&self, args: &Args<'_>, output: &mut Output) -> RowResult;
}

impl<F: Fn(&Args<'_>, &mut Output) -> RowResult + Send + Sync> RowKernel for F {
    fn call(&self, args: &Args<'_>, output: &mut Output) -> RowResult {
        self(args, output)
    }
}

/// A built-in function: its declaration and its code.
pub(crate) struct Builtin {
    pub(crate) doc: FunctionDoc,
    kernel: Kernel,
    volatile: bool,
    sees_nulls: bool,
}

impl Builtin {
    const fn new(
        family: Family,
        name: &'static str,
        signatures: &'static [Signature],
        summary: &'static str,
        examples: &'static [(&'static str, &'static str)],
        kernel: Kernel,
    ) -> Self {
        let doc = FunctionDoc { name, aliases: &[], family, signatures, summary, nulls: None, errors: None, examples };
        Self { doc, kernel, volatile: false, sees_nulls: false }
    }

    const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.doc.aliases = aliases;
        self
    }

    const fn errors(mut self, errors: &'static str) -> Self {
        self.doc.errors = Some(errors);
        self
    }

    /// It is called with `NULL` arguments as well.
    const fn nulls(mut self, nulls: &'static str) -> Self {
        self.doc.nulls = Some(nulls);
        self.sees_nulls = true;
        self
    }

    /// Its result may differ from call to call.
    const fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Whether the expression compiler translates the call itself.
    pub(crate) fn is_translated(&self) -> bool {
        matches!(self.kernel, Kernel::Translated)
    }

    /// The function with its constant arguments prepared.
    ///
    /// # Errors
    /// The constant argument that is wrong.
    pub(crate) fn bind(&'static self, constants: &[Option<&Column>]) -> Result<BoundFunction, BadArgument> {
        let prepared = match self.kernel {
            Kernel::Prepared(prepare) => Some(prepare(&Constants { columns: constants })?),
            Kernel::Row(_) | Kernel::Translated => None,
        };
        Ok(BoundFunction { builtin: self, prepared })
    }
}

/// The arguments of a call that are constants.
pub(crate) struct Constants<'a> {
    columns: &'a [Option<&'a Column>],
}

impl<'a> Constants<'a> {
    /// Number of arguments, constant or not.
    fn len(&self) -> usize {
        self.columns.len()
    }

    /// The text of a `STRING` argument; `None` when it is not constant, not given, or `NULL`.
    fn text(&self, index: usize) -> Option<&'a str> {
        let column = self.columns.get(index).copied().flatten()?;
        column.texts().filter(|_| !column.is_null(0)).map(|texts| texts.get(0))
    }
}

/// A built-in function ready to be called.
pub(crate) struct BoundFunction {
    builtin: &'static Builtin,
    prepared: Option<Box<dyn RowKernel>>,
}

impl BoundFunction {
    pub(crate) fn name(&self) -> &'static str {
        self.builtin.doc.name
    }

    pub(crate) fn is_volatile(&self) -> bool {
        self.builtin.volatile
    }

    pub(crate) fn null_in_null_out(&self) -> bool {
        !self.builtin.sees_nulls
    }

    /// Computes one row and appends its result.
    ///
    /// # Errors
    /// When there is none.
    #[inline]
    pub(crate) fn call(&self, args: &Args<'_>, output: &mut Output) -> RowResult {
        match (&self.prepared, &self.builtin.kernel) {
            (Some(prepared), _) => prepared.call(args, output),
            (None, Kernel::Row(row)) => row(args, output),
            (None, _) => Err(FunctionError::invalid("is not called but translated")),
        }
    }
}

/// Fails when a result of `bytes` would be too long.
fn check_size(bytes: usize) -> RowResult {
    if bytes > MAX_TEXT_BYTES {
        return Err(FunctionError::invalid(format!("the result is longer than {MAX_TEXT_BYTES} bytes")));
    }
    Ok(())
}

/// `signature!((text: STRING, from: BIGINT; length: BIGINT) -> STRING)`: what stands behind the semicolon is optional.
macro_rules! signature {
    (($($name:ident: $kind:expr),* $(; $($optional:ident: $optional_kind:expr),+)?) -> $result:expr) => {
        $crate::functions::Signature {
            parameters: &[
                $((stringify!($name), $kind),)*
                $($((stringify!($optional), $optional_kind),)+)?
            ],
            required: {
                const REQUIRED: &[&str] = &[$(stringify!($name)),*];
                REQUIRED.len()
            },
            variadic: false,
            result: $result,
        }
    };
    (($($name:ident: $kind:expr),* $(; $($optional:ident: $optional_kind:expr),+)?, ...) -> $result:expr) => {
        $crate::functions::Signature {
            variadic: true,
            ..$crate::functions::signature!(($($name: $kind),* $(; $($optional: $optional_kind),+)?) -> $result)
        }
    };
}
use signature;

/// Short names for the tables of the families.
mod short {
    use super::{DataType, ParameterKind, ResultKind};

    pub(super) const STRING: ParameterKind = ParameterKind::Exact(DataType::String);
    pub(super) const BIGINT: ParameterKind = ParameterKind::Exact(DataType::Long);
    pub(super) const DOUBLE: ParameterKind = ParameterKind::Exact(DataType::Double);
    pub(super) const BOOL: ParameterKind = ParameterKind::Exact(DataType::Bool);
    pub(super) const TIMESTAMP: ParameterKind = ParameterKind::Exact(DataType::Timestamp);
    pub(super) const JSON: ParameterKind = ParameterKind::Exact(DataType::Json);
    pub(super) const NUMBER: ParameterKind = ParameterKind::Number;
    pub(super) const SAME: ParameterKind = ParameterKind::Same;
    pub(super) const ORDERED: ParameterKind = ParameterKind::Ordered;
    pub(super) const BINARY: ParameterKind = ParameterKind::Binary;
    pub(super) const ANY: ParameterKind = ParameterKind::Any;

    pub(super) const TO_STRING: ResultKind = ResultKind::Exact(DataType::String);
    pub(super) const TO_BIGINT: ResultKind = ResultKind::Exact(DataType::Long);
    pub(super) const TO_DOUBLE: ResultKind = ResultKind::Exact(DataType::Double);
    pub(super) const TO_BOOL: ResultKind = ResultKind::Exact(DataType::Bool);
    pub(super) const TO_BYTES: ResultKind = ResultKind::Exact(DataType::Bytes);
    pub(super) const TO_TIMESTAMP: ResultKind = ResultKind::Exact(DataType::Timestamp);
    pub(super) const TO_JSON: ResultKind = ResultKind::Exact(DataType::Json);
    pub(super) const TO_COMMON: ResultKind = ResultKind::Common;
}
