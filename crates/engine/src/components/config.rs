//! The fields of an object, such as the `config` of a component, read by their table.

use std::collections::{BTreeMap, BTreeSet};

use eventflux_core::{PropertyKind, redact_url};
use jsonc_parser::ast::{Object, Value};

use super::json::{describe, members, shown, span_of};
use super::kinds::{Field, Shape, Target, field};
use super::report::Report;
use crate::diagnostic::{Span, nearest};

/// The member that holds ports, which every kind has beside its fields.
pub(super) const PORTS: &str = "ports";

/// What was written, by the path of the field, and what is meant where nothing was.
#[derive(Debug)]
pub(super) struct Config<'v> {
    fields: &'static [Field],
    /// Members beside the fields that somebody else reads.
    others: &'static [&'static str],
    given: BTreeMap<&'static str, Given<'v>>,
    /// Fields with a mistake: what depends on them cannot be told.
    failed: BTreeSet<&'static str>,
    sections: BTreeMap<String, Span>,
    /// What to blame for what is missing.
    place: Span,
}

/// One field as it was written.
#[derive(Debug)]
pub(super) struct Given<'v> {
    pub(super) text: String,
    pub(super) name_span: Span,
    pub(super) value_span: Span,
    /// The value, without its places.
    pub(super) scalar: Scalar<'v>,
}

/// A JSON value that holds no others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar<'v> {
    Text(&'v str),
    Number(&'v str),
    Boolean(bool),
    Null,
}

impl<'v> Config<'v> {
    /// Reads the members of `object` but those that `others` names; `place` is what to blame when something is missing at its
    /// top.
    pub(super) fn read(
        fields: &'static [Field],
        others: &'static [&'static str],
        object: Option<&'v Object<'v>>,
        place: Span,
        report: &mut Report,
    ) -> Self {
        let (given, failed, sections) = Default::default();
        let mut config = Self { fields, others, given, failed, sections, place };
        if let Some(object) = object {
            config.section("", object, report);
        }
        config.check_presence(report);
        config.check_targets(report);
        config
    }

    /// The table it was read by.
    pub(super) fn fields(&self) -> &'static [Field] {
        self.fields
    }

    /// What a field says: as it was written, else by default.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        if let Some(given) = self.given.get(path) {
            return Some(&given.text);
        }
        let field = field(self.fields, path)?;
        let with = field.default_with.filter(|(other, _)| self.given.contains_key(other));
        with.map(|(_, value)| value).or(field.default)
    }

    /// Whether a field says that.
    pub(super) fn is(&self, path: &str, value: &str) -> bool {
        self.text(path) == Some(value)
    }

    pub(super) fn given(&self, path: &str) -> Option<&Given<'v>> {
        self.given.get(path)
    }

    /// Whether a field is used, as far as can be told.
    pub(super) fn uses(&self, field: &Field) -> bool {
        field.conditions.iter().all(|(path, value)| !self.failed.contains(path) && self.is(path, value))
    }

    fn section(&mut self, prefix: &str, object: &'v Object<'v>, report: &mut Report) {
        for member in members(object) {
            let (name, place) = (member.name.as_str(), (span_of(&member.name), span_of(&member.value)));
            if prefix.is_empty() && self.others.contains(&name) {
                continue;
            }
            let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
            let inside = format!("{path}.");
            if let Some(field) = field(self.fields, &path) {
                self.field(field, place, &member.value, report);
            } else if self.fields.iter().any(|field| field.path.starts_with(&inside)) {
                self.sections.insert(path.clone(), place.0);
                if let Some(object) = report.object(&format!("section '{path}'"), &member.value) {
                    self.section(&path, object, report);
                } else {
                    self.fail_inside(&inside);
                }
            } else {
                self.unknown(prefix, name, place, report);
            }
        }
    }

    fn field(&mut self, field: &'static Field, place: (Span, Span), value: &'v Value<'v>, report: &mut Report) {
        let (name_span, value_span) = place;
        let scalar = scalar(value);
        let text = scalar.and_then(|scalar| accept(field.shape, scalar));
        if let (Shape::Like(PropertyKind::Url(_)), Some(Scalar::Text(url))) = (field.shape, scalar)
            && redact_url(url) != url
        {
            report.hidden.push(value_span);
        }
        if field.shape.is_secretive() && text.is_none() {
            report.hidden.push(value_span);
        }
        match (text, scalar) {
            (Some(text), Some(scalar)) => {
                self.given.insert(field.path, Given { text, name_span, value_span, scalar });
            }
            _ => {
                self.failed.insert(field.path);
                let message = format!("'{}': {} is not allowed", field.path, quoted(field.shape, value));
                report.error(value_span, message, refused_hint(field.shape, scalar));
            }
        }
    }

    fn fail_inside(&mut self, prefix: &str) {
        let inside = self.fields.iter().filter(|field| field.path.starts_with(prefix));
        self.failed.extend(inside.map(|field| field.path));
    }

    fn unknown(&self, prefix: &str, name: &str, place: (Span, Span), report: &mut Report) {
        let start = if prefix.is_empty() { String::new() } else { format!("{prefix}.") };
        let here = self.fields.iter().filter_map(|field| field.path.strip_prefix(start.as_str()));
        let mut names: Vec<_> = here.map(|rest| rest.split('.').next().unwrap_or(rest)).collect();
        names.extend(self.others.iter().copied().filter(|_| prefix.is_empty()));
        names.dedup();
        let what = format!("'{start}{}'", shown(name));
        let elsewhere = self.fields.iter().find(|field| field.path.rsplit('.').next() == Some(name));
        match elsewhere {
            Some(field) if nearest(name, names.iter().copied()).is_none() => {
                report.hidden.push(place.1);
                report.error(place.0, format!("{what} is not known here"), format!("it belongs to '{}'", field.path));
            }
            _ => report.unknown(place, what, name, names.iter().copied()),
        }
    }

    fn check_presence(&mut self, report: &mut Report) {
        for field in self.fields.iter().filter(|field| field.required) {
            let known = self.text(field.path).is_some() || self.failed.contains(field.path);
            if known || !self.uses(field) {
                continue;
            }
            self.failed.insert(field.path);
            let reason = match field.conditions.last() {
                Some((other, value)) => format!("'{}' is required with {other} '{value}'", field.path),
                None => format!("'{}' is required", field.path),
            };
            report.error(
                self.parent(field.path),
                format!("{reason}, and missing"),
                format!("give it a value: {}", field.shape.allowed()),
            );
        }
    }

    /// Tells who wrote a field that becomes nothing.
    fn check_targets(&mut self, report: &mut Report) {
        for (path, given) in &self.given {
            let Some(field) = field(self.fields, path) else { continue };
            match field.target {
                Target::Nothing(reason) if self.uses(field) => {
                    report.warning(given.name_span, format!("'{path}' has no effect: {reason}"), "remove it");
                }
                Target::Always(number, reason) if given.text.parse::<f64>() != Ok(number) => {
                    let message = format!("'{path}': {} is not supported: {reason}", given.text);
                    report.error(given.value_span, message, format!("write {number}, or remove it"));
                }
                _ => {}
            }
        }
    }

    /// The innermost section around `path` that was written.
    fn parent(&self, path: &str) -> Span {
        let mut rest = path;
        while let Some((section, _)) = rest.rsplit_once('.') {
            if let Some(span) = self.sections.get(section) {
                return *span;
            }
            rest = section;
        }
        self.place
    }
}

fn scalar<'v>(value: &'v Value<'v>) -> Option<Scalar<'v>> {
    Some(match value {
        Value::StringLit(literal) => Scalar::Text(&literal.value),
        Value::NumberLit(literal) => Scalar::Number(literal.value),
        Value::BooleanLit(literal) => Scalar::Boolean(literal.value),
        Value::NullKeyword(_) => Scalar::Null,
        Value::Object(_) | Value::Array(_) => return None,
    })
}

/// The value as a property has it; `None` when it is not allowed.
fn accept(shape: Shape, scalar: Scalar<'_>) -> Option<String> {
    let text = match (shape, scalar) {
        (Shape::Scalar, Scalar::Text(text) | Scalar::Number(text)) => return Some(text.to_owned()),
        (Shape::Scalar, Scalar::Boolean(truth)) => return Some(truth.to_string()),
        (Shape::Scalar, Scalar::Null) => return Some("null".to_owned()),
        (Shape::EnvironmentName, Scalar::Text(name)) => return is_environment_name(name).then(|| name.to_owned()),
        (Shape::Like(PropertyKind::Boolean), Scalar::Boolean(truth)) => return Some(truth.to_string()),
        (
            Shape::Like(PropertyKind::Integer { .. } | PropertyKind::Number { .. } | PropertyKind::Size),
            Scalar::Number(text),
        ) => text,
        (Shape::Like(kind), Scalar::Text(text)) if takes_text(kind) => text,
        _ => return None,
    };
    let Shape::Like(kind) = shape else { return None };
    // What stands in an environment variable is validated when it is put in.
    let open = matches!(kind, PropertyKind::Text | PropertyKind::Url(_));
    let later = open && text.contains("${env:");
    (later || kind.parse(text, None).is_some()).then(|| text.to_owned())
}

fn takes_text(kind: PropertyKind) -> bool {
    !matches!(kind, PropertyKind::Boolean | PropertyKind::Integer { .. } | PropertyKind::Number { .. })
}

fn is_environment_name(name: &str) -> bool {
    let mut characters = name.chars();
    let begins = characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    begins && characters.all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// How a message names a value that is not allowed. Texts that may be secret are not repeated.
fn quoted(shape: Shape, value: &Value<'_>) -> String {
    match (shape, value) {
        (
            Shape::Like(PropertyKind::Choice(_) | PropertyKind::Duration | PropertyKind::Size),
            Value::StringLit(literal),
        ) => {
            format!("'{}'", shown(&literal.value))
        }
        (Shape::Like(PropertyKind::Integer { .. } | PropertyKind::Number { .. }), Value::NumberLit(literal)) => {
            shown(literal.value)
        }
        (Shape::Like(PropertyKind::Url(_)) | Shape::EnvironmentName, Value::StringLit(_)) => "this text".to_owned(),
        _ => describe(value).to_owned(),
    }
}

fn refused_hint(shape: Shape, scalar: Option<Scalar<'_>>) -> String {
    if let (Shape::Like(PropertyKind::Choice(words)), Some(Scalar::Text(text))) = (shape, scalar)
        && let Some(near) = nearest(text, words.iter().copied())
    {
        return format!("did you mean '{near}'? use {}", shape.allowed());
    }
    format!("use {}", shape.allowed())
}
