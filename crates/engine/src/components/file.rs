//! The shape of a file: components by key, a list of them, or one alone.

use jsonc_parser::ast::{Object, Value};

use super::config::{Config, PORTS};
use super::json::{members, shown, span_of};
use super::kinds::{KINDS, Kind, NATS};
use super::ports::Ports;
use super::report::Report;
use crate::diagnostic::{Span, nearest};

/// The most components of one file.
pub(super) const MAX_COMPONENTS: usize = 1000;

const TOP: [&str; 2] = ["components", "nats"];
const COMPONENT: [&str; 4] = ["type", "name", "enabled", "config"];

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct File<'v> {
    /// Those that are enabled and of a kind we know.
    pub(super) components: Vec<Component<'v>>,
    pub(super) nats: Option<Nats<'v>>,
}

/// One component.
#[derive(Debug)]
pub(super) struct Component<'v> {
    /// Its key, or its name where it has none.
    pub(super) key: &'v str,
    pub(super) kind: &'static Kind,
    pub(super) config: Config<'v>,
    pub(super) ports: Ports<'v>,
    /// Where its name stands: what is blamed for what nobody wrote.
    pub(super) place: Span,
    /// Where its config begins.
    pub(super) config_place: Span,
    /// Whether something about its fields is wrong.
    pub(super) failed: bool,
}

/// Where NATS is.
#[derive(Debug)]
pub(super) struct Nats<'v> {
    pub(super) config: Config<'v>,
    /// Its name: what is blamed for what nobody wrote.
    pub(super) place: Span,
}

impl<'v> File<'v> {
    /// Reads the value of a whole file.
    pub(super) fn read(value: &'v Value<'v>, report: &mut Report) -> Self {
        let mut file = Self::default();
        match value {
            Value::Array(array) => file.list(&array.elements, report),
            Value::Object(object) if is_component(object) => file.component(None, value, report),
            Value::Object(object) => file.top(object, report),
            _ => report.wrong_type("a component file", value, "{\"components\": {...}}, a list of components, or one"),
        }
        file
    }

    fn top(&mut self, object: &'v Object<'v>, report: &mut Report) {
        for member in members(object) {
            let (name, name_span) = (member.name.as_str(), span_of(&member.name));
            match (name, &member.value) {
                ("components", Value::Array(array)) => self.list(&array.elements, report),
                ("components", value) => self.by_key(value, report),
                ("nats", value) => self.nats = nats(value, name_span, report),
                _ => {
                    let what = format!("'{}'", shown(name));
                    report.unknown((name_span, span_of(&member.value)), what, name, TOP.into_iter());
                }
            }
        }
        if !object.properties.iter().any(|property| property.name.as_str() == "components") {
            let start = span_of(object).start;
            let hint = "add \"components\": {...}";
            report.error(Span::new(start, start + 1), "there is nothing to run: 'components' is missing", hint);
        }
    }

    fn by_key(&mut self, value: &'v Value<'v>, report: &mut Report) {
        let Some(object) = report.object("'components'", value) else { return };
        for (index, member) in members(object).enumerate() {
            if self.is_full(index, span_of(&member.name), report) {
                return;
            }
            self.component(Some(member.name.as_str()), &member.value, report);
        }
    }

    fn list(&mut self, elements: &'v [Value<'v>], report: &mut Report) {
        for (index, element) in elements.iter().enumerate() {
            if self.is_full(index, span_of(element), report) {
                return;
            }
            self.component(None, element, report);
        }
    }

    fn is_full(&self, index: usize, span: Span, report: &mut Report) -> bool {
        let full = index == MAX_COMPONENTS;
        if full {
            let message = format!("this file has more than {MAX_COMPONENTS} components");
            report.error(span, message, "split it into several files");
        }
        full
    }

    fn component(&mut self, key: Option<&'v str>, value: &'v Value<'v>, report: &mut Report) {
        let Some(object) = report.object("a component", value) else { return };
        if let Some(enabled) = object.get("enabled") {
            match &enabled.value {
                Value::BooleanLit(literal) if !literal.value => return,
                Value::BooleanLit(_) => {}
                other => report.wrong_type("'enabled'", other, "true or false"),
            }
        }
        for member in members(object).filter(|member| !COMPONENT.contains(&member.name.as_str())) {
            let name = member.name.as_str();
            let what = format!("'{}' of a component", shown(name));
            report.unknown((span_of(&member.name), span_of(&member.value)), what, name, COMPONENT.into_iter());
        }
        let Some((kind, place)) = kind(object, report) else { return };
        self.components.push(self::component(key.unwrap_or(kind.name), kind, place, object, report));
    }
}

fn component<'v>(
    key: &'v str,
    kind: &'static Kind,
    place: Span,
    object: &'v Object<'v>,
    report: &mut Report,
) -> Component<'v> {
    let before = report.diagnostics.len();
    let member = object.get("config");
    let config_place = member.map_or(place, |member| span_of(&member.name));
    let fields = member.and_then(|member| report.object("'config'", &member.value));
    let ports = fields.and_then(|fields| fields.get(PORTS));
    let ports = ports.map(|member| Ports::read(&member.value, report)).unwrap_or_default();
    let config = Config::read(kind.fields, &[PORTS], fields, config_place, report);
    let failed = report.diagnostics[before..].iter().any(crate::diagnostic::Diagnostic::is_error);
    Component { key, kind, config, ports, place, config_place, failed }
}

/// A component alone has none of the members of a file, and some of its own.
fn is_component(object: &Object<'_>) -> bool {
    let has = |names: &[&str]| object.properties.iter().any(|property| names.contains(&property.name.as_str()));
    has(&COMPONENT) && !has(&TOP)
}

/// The kind that `type` and `name` say, with the place of the name.
fn kind(object: &Object<'_>, report: &mut Report) -> Option<(&'static Kind, Span)> {
    let start = span_of(object).start;
    let mut text = |name: &str| match object.get(name) {
        Some(member) => Some((report.text(&format!("'{name}'"), &member.value)?.to_owned(), span_of(&member.value))),
        None => {
            let message = format!("this component has no '{name}'");
            let hint = format!("say what it is, for example {}", example(KINDS[0]));
            report.error(Span::new(start, start + 1), message, hint);
            None
        }
    };
    let (category, name) = (text("type"), text("name"));
    let ((category, category_span), (name, name_span)) = (category?, name?);
    if let Some(kind) = KINDS.iter().find(|kind| kind.category == category && kind.name == name) {
        return Some((kind, name_span));
    }
    let same_name = KINDS.iter().find(|kind| kind.name == name);
    let of_category: Vec<_> = KINDS.iter().filter(|kind| kind.category == category).map(|kind| kind.name).collect();
    let (span, message) = if of_category.is_empty() && same_name.is_none() {
        (category_span, format!("there is no component of type '{}'", shown(&category)))
    } else {
        (name_span, format!("there is no {} '{}'", shown(&category), shown(&name)))
    };
    let hint = match (same_name, nearest(&name, of_category.iter().copied())) {
        (_, Some(near)) => format!("did you mean '{near}'?"),
        (Some(kind), None) => format!("write {}", example(kind)),
        (None, None) if of_category.is_empty() => {
            let mut categories: Vec<_> = KINDS.iter().map(|kind| kind.category).collect();
            categories.dedup();
            format!("use one of {}", categories.join(", "))
        }
        (None, None) => format!("use one of {}", of_category.join(", ")),
    };
    report.error(span, message, hint);
    None
}

fn example(kind: &Kind) -> String {
    format!("\"type\": \"{}\", \"name\": \"{}\"", kind.category, kind.name)
}

fn nats<'v>(value: &'v Value<'v>, place: Span, report: &mut Report) -> Option<Nats<'v>> {
    let object = report.object("'nats'", value)?;
    if let Some(url) = object.get("url") {
        // Somebody may have written credentials into it.
        report.hidden.push(span_of(&url.value));
    }
    let before = report.diagnostics.len();
    let config = Config::read(NATS, &[], Some(object), place, report);
    let failed = report.diagnostics[before..].iter().any(crate::diagnostic::Diagnostic::is_error);
    (!failed).then_some(Nats { config, place })
}
