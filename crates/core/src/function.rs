//! The contract of a scalar SQL function.

use crate::{Column, DataType, ValueRef};

/// Why a function has no result for a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionError {
    /// What went wrong, for the pipeline author.
    pub reason: String,
    /// Whether the same call may succeed later (functions that look something up).
    pub retryable: bool,
}

impl FunctionError {
    /// An error that no retry can mend.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retryable: false }
    }

    /// An error that may be gone at the next try.
    pub fn transient(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retryable: true }
    }
}

/// A function of the values of one row.
pub trait ScalarFunction: Send + Sync {
    /// Its name in SQL; found in any case.
    fn name(&self) -> &str;

    /// Checks the argument types (`None` for a literal `NULL`) and tells the result's type.
    ///
    /// # Errors
    /// What arguments it takes, for the pipeline author.
    fn return_type(&self, arguments: &[Option<DataType>]) -> Result<DataType, String>;

    /// Computes one row: appends exactly one value of the result's type to `result`.
    ///
    /// # Errors
    /// When there is no result for these arguments; nothing is appended.
    fn call(&self, arguments: &[ValueRef<'_>], result: &mut Column) -> Result<(), FunctionError>;
}
