//! The declaration of one property.

use std::fmt;

use super::PropertyKind;

/// Longest chain of properties of which each depends on the next, by condition or default.
pub const MAX_DEPENDENCY_CHAIN: usize = 8;

/// A property applies only when another one applies and has a certain value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// The other property's key.
    pub key: &'static str,
    allowed: Allowed,
}

/// One value or several: a `const fn` cannot make a slice of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowed {
    One(&'static str),
    Any(&'static [&'static str]),
}

impl Condition {
    /// The values the other property may have.
    pub fn values(&self) -> &[&'static str] {
        match &self.allowed {
            Allowed::One(value) => std::slice::from_ref(value),
            Allowed::Any(values) => values,
        }
    }

    /// The values as a phrase: `'a', 'b' or 'c'`.
    pub fn alternatives(&self) -> String {
        either(self.values().iter().map(|value| format!("'{value}'")))
    }
}

/// Words as alternatives: `a, b or c`.
pub fn either(words: impl IntoIterator<Item = String>) -> String {
    let mut words: Vec<_> = words.into_iter().collect();
    match words.pop() {
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} or {last}", words.join(", ")),
        None => String::new(),
    }
}

/// `key='a' or 'b'`
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.alternatives())
    }
}

/// Defaults that depend on the value of another property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChosenDefault {
    /// The other property's key.
    pub key: &'static str,
    /// Its values, each with the default that goes with it.
    pub cases: &'static [(&'static str, &'static str)],
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
    /// The value when none is given, as it would be written: `${env:NAME:fallback}` is replaced. A default that names
    /// an unset variable without a fallback is none.
    pub default: Option<&'static str>,
    /// Defaults that take the place of `default` when another property has a certain value.
    pub default_for: Option<ChosenDefault>,
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
        Self {
            key,
            kind,
            doc,
            default: None,
            default_for: None,
            required: false,
            secret: false,
            unit: None,
            example: None,
            only_if: None,
        }
    }

    /// The value when none is given.
    #[must_use]
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    /// The value when none is given and the property `key` has a certain value (and applies): pairs of that value and
    /// the default. For any other value [`PropertySpec::default`] counts.
    #[must_use]
    pub const fn default_for(mut self, key: &'static str, cases: &'static [(&'static str, &'static str)]) -> Self {
        self.default_for = Some(ChosenDefault { key, cases });
        self
    }

    /// A value must be given, or come from a [`PropertySpec::default_for`].
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

    /// The property applies only when the property `key` applies and has the value `value`; giving it otherwise is an
    /// error.
    #[must_use]
    pub const fn only_if(mut self, key: &'static str, value: &'static str) -> Self {
        self.only_if = Some(Condition { key, allowed: Allowed::One(value) });
        self
    }

    /// As [`PropertySpec::only_if`], with several values of which any will do.
    #[must_use]
    pub const fn only_if_any(mut self, key: &'static str, values: &'static [&'static str]) -> Self {
        self.only_if = Some(Condition { key, allowed: Allowed::Any(values) });
        self
    }

    /// Every default it may have.
    pub fn defaults(&self) -> impl Iterator<Item = &'static str> {
        let chosen = self.default_for.map_or(&[][..], |chosen| chosen.cases);
        self.default.into_iter().chain(chosen.iter().map(|(_, default)| *default))
    }

    /// The keys of the properties it depends on.
    pub(super) fn depends_on(&self) -> impl Iterator<Item = &'static str> {
        let condition = self.only_if.map(|condition| condition.key);
        condition.into_iter().chain(self.default_for.map(|chosen| chosen.key))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives_read_like_a_sentence() {
        let spec = PropertySpec::new("x", PropertyKind::Boolean, "X.");
        let text = |spec: PropertySpec| spec.only_if.unwrap().to_string();
        assert_eq!(text(spec.only_if("m", "a")), "m='a'");
        assert_eq!(text(spec.only_if_any("m", &["a", "b"])), "m='a' or 'b'");
        assert_eq!(text(spec.only_if_any("m", &["a", "b", "c"])), "m='a', 'b' or 'c'");
    }
}
