//! The declaration of one property.

use super::PropertyKind;

/// A property applies only when another one has a certain value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// The other property's key.
    pub key: &'static str,
    /// The value it must have.
    pub value: &'static str,
}

/// One property of a connector or format: the only place where it is described.
///
/// ```
/// use eventflux_core::{PropertyKind, PropertySpec};
/// const DELAY: PropertySpec = PropertySpec::new(
///     "example.delay.ms",
///     PropertyKind::Integer { min: 0, max: 60_000 },
///     "Pause between two messages.",
/// )
/// .default("1000")
/// .unit("ms");
/// assert!(!DELAY.required);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PropertySpec {
    /// The key. One that ends in `.*` stands for any key with that prefix.
    pub key: &'static str,
    /// What values are allowed.
    pub kind: PropertyKind,
    /// One sentence for the pipeline author.
    pub doc: &'static str,
    /// The value when none is given, as it would be written.
    pub default: Option<&'static str>,
    /// Whether a value must be given (where the property applies).
    pub required: bool,
    /// Whether the value must never be shown.
    pub secret: bool,
    /// Unit of a number.
    pub unit: Option<&'static str>,
    /// A value one could write.
    pub example: Option<&'static str>,
    /// When the property applies; `None`: always.
    pub only_if: Option<Condition>,
}

impl PropertySpec {
    /// An optional property without a default.
    pub const fn new(key: &'static str, kind: PropertyKind, doc: &'static str) -> Self {
        Self { key, kind, doc, default: None, required: false, secret: false, unit: None, example: None, only_if: None }
    }

    /// The value when none is given.
    #[must_use]
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    /// A value must be given.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The value must never be shown.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Unit of a number.
    #[must_use]
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    /// A value one could write.
    #[must_use]
    pub const fn example(mut self, value: &'static str) -> Self {
        self.example = Some(value);
        self
    }

    /// The property applies only when `key` has the value `value`; giving it otherwise is an error.
    #[must_use]
    pub const fn only_if(mut self, key: &'static str, value: &'static str) -> Self {
        self.only_if = Some(Condition { key, value });
        self
    }

    /// The prefix of a key that ends in `.*`, with its last dot.
    pub fn prefix(&self) -> Option<&'static str> {
        self.key.strip_suffix('*')
    }

    /// Whether `key` is this property.
    pub fn matches(&self, key: &str) -> bool {
        match self.prefix() {
            Some(prefix) => key.len() > prefix.len() && key.starts_with(prefix),
            None => key == self.key,
        }
    }
}
