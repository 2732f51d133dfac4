//! How a field of a component is declared: once, for reading, for what it becomes, and for the reference page.

use eventflux_core::PropertyKind;

use crate::components::config::Config;

/// One field of the `config` of a kind of component.
#[derive(Debug)]
pub(in crate::components) struct Field {
    /// The way to it from `config`, with points.
    pub(in crate::components) path: &'static str,
    pub(in crate::components) shape: Shape,
    pub(in crate::components) doc: &'static str,
    pub(in crate::components) target: Target,
    pub(in crate::components) default: Option<&'static str>,
    /// Another field with what this one is by default when that one is given.
    pub(in crate::components) default_with: Option<(&'static str, &'static str)>,
    pub(in crate::components) required: bool,
    /// Fields and their values without which this one is not used; it is validated all the same.
    pub(in crate::components) conditions: &'static [(&'static str, &'static str)],
}

/// What may be written.
#[derive(Debug, Clone, Copy)]
pub(in crate::components) enum Shape {
    /// What a property of that kind takes; numbers and booleans as such, everything else as text.
    Like(PropertyKind),
    /// The name of an environment variable.
    EnvironmentName,
    /// A text, a number, a boolean or null.
    Scalar,
}

/// What a field becomes.
#[derive(Debug, Clone, Copy)]
pub(in crate::components) enum Target {
    /// A property of that name, with the same value.
    Property(&'static str),
    /// A property that counts milliseconds.
    Milliseconds(&'static str),
    /// Properties that other fields have a part in; the first words are for the reference page.
    Made(&'static str, fn(&Config<'_>) -> Vec<(&'static str, String)>),
    /// Nothing by itself: another field makes use of it.
    PartOf(&'static str),
    /// Nothing, for that reason; who writes it is told.
    Nothing(&'static str),
    /// Nothing: this number is how it always is, for that reason.
    Always(f64, &'static str),
}

impl Field {
    pub(super) const fn new(path: &'static str, shape: Shape, target: Target, doc: &'static str) -> Self {
        Self { path, shape, doc, target, default: None, default_with: None, required: false, conditions: &[] }
    }

    pub(super) const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    pub(super) const fn default_with(mut self, other: &'static str, value: &'static str) -> Self {
        self.default_with = Some((other, value));
        self
    }

    pub(super) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(super) const fn when(mut self, conditions: &'static [(&'static str, &'static str)]) -> Self {
        self.conditions = conditions;
        self
    }
}

impl Shape {
    pub(super) const TEXT: Self = Self::Like(PropertyKind::Text);
    pub(super) const BOOLEAN: Self = Self::Like(PropertyKind::Boolean);
    pub(super) const DURATION: Self = Self::Like(PropertyKind::Duration);
    pub(super) const SIZE: Self = Self::Like(PropertyKind::Size);
    pub(super) const PORT: Self = Self::integer(0, 65_535);

    pub(super) const fn integer(min: i64, max: i64) -> Self {
        Self::Like(PropertyKind::Integer { min, max })
    }

    pub(super) const fn choice(words: &'static [&'static str]) -> Self {
        Self::Like(PropertyKind::Choice(words))
    }

    pub(super) const fn url(schemes: &'static [&'static str]) -> Self {
        Self::Like(PropertyKind::Url(schemes))
    }

    /// Whether what is written instead may be a secret.
    pub(in crate::components) fn is_secretive(self) -> bool {
        matches!(self, Self::EnvironmentName | Self::Like(PropertyKind::Url(_)))
    }

    /// The kind as one word for tables.
    pub(in crate::components) fn name(self) -> &'static str {
        match self {
            Self::Like(kind) => kind.name(),
            Self::EnvironmentName => "variable",
            Self::Scalar => "text, number, true, false or null",
        }
    }

    /// What may be written, for a hint.
    pub(in crate::components) fn allowed(self) -> String {
        match self {
            Self::Like(kind) => kind.allowed(),
            Self::EnvironmentName => {
                "the name of an environment variable: letters, digits and '_'; the secret itself belongs into the variable"
                    .to_owned()
            }
            Self::Scalar => "a text, a number, true, false or null".to_owned(),
        }
    }
}
