//! The ports of a component: the subjects it reads and writes.

use jsonc_parser::ast::{Object, Value};

use super::json::{members, shown, span_of};
use super::report::Report;
use crate::diagnostic::Span;

/// The most ports of one list.
pub(super) const MAX_PORTS: usize = 64;
/// The longest name of a subject, in bytes.
pub(super) const MAX_SUBJECT_BYTES: usize = 256;

/// The ports of one component.
#[derive(Debug, Default)]
pub(super) struct Ports<'v> {
    pub(super) inputs: Vec<Port<'v>>,
    pub(super) outputs: Vec<Port<'v>>,
    /// Where the list of inputs is named, if it has any.
    pub(super) inputs_span: Option<Span>,
    pub(super) outputs_span: Option<Span>,
    /// Whether something about them could not be read.
    pub(super) failed: bool,
}

/// One port.
#[derive(Debug)]
pub(super) struct Port<'v> {
    pub(super) name: &'v str,
    pub(super) name_span: Span,
    pub(super) subject: &'v str,
    pub(super) subject_span: Span,
    /// Whether the subject is one of NATS where a server is configured.
    pub(super) is_nats: bool,
}

const LISTS: [&str; 2] = ["inputs", "outputs"];
const MEMBERS: [&str; 4] = ["name", "subject", "type", "description"];
const TYPES: [&str; 1] = ["nats"];

impl<'v> Ports<'v> {
    /// Reads `ports`.
    pub(super) fn read(value: &'v Value<'v>, report: &mut Report) -> Self {
        let mut ports = Self::default();
        let before = report.diagnostics.len();
        if let Some(object) = report.object("'ports'", value) {
            for member in members(object) {
                let (name, name_span) = (member.name.as_str(), span_of(&member.name));
                match name {
                    "inputs" => {
                        ports.inputs = list(name, &member.value, report);
                        ports.inputs_span = (!ports.inputs.is_empty()).then_some(name_span);
                    }
                    "outputs" => {
                        ports.outputs = list(name, &member.value, report);
                        ports.outputs_span = (!ports.outputs.is_empty()).then_some(name_span);
                    }
                    _ => {
                        let what = format!("'ports.{}'", shown(name));
                        report.unknown((name_span, span_of(&member.value)), what, name, LISTS.into_iter());
                    }
                }
            }
        }
        ports.failed = report.diagnostics.len() > before;
        ports
    }
}

fn list<'v>(side: &str, value: &'v Value<'v>, report: &mut Report) -> Vec<Port<'v>> {
    let Some(elements) = report.list(&format!("'ports.{side}'"), value) else { return Vec::new() };
    if elements.len() > MAX_PORTS {
        let message = format!("'ports.{side}' has more than {MAX_PORTS} ports");
        report.error(span_of(&elements[MAX_PORTS]), message, "use several components");
        return Vec::new();
    }
    let mut ports: Vec<Port<'v>> = Vec::new();
    for element in elements {
        let Some(object) = report.object("a port", element) else { continue };
        let Some(port) = port(object, report) else { continue };
        if ports.iter().any(|other| other.name == port.name) {
            let message = format!("two ports of '{side}' have the name '{}'", shown(port.name));
            report.error(port.name_span, message, "give one of them another name");
        } else if ports.iter().any(|other| other.subject == port.subject) {
            let message = format!("two ports of '{side}' have the subject '{}'", shown(port.subject));
            report.error(port.subject_span, message, "remove one of them");
        }
        ports.push(port);
    }
    ports
}

fn port<'v>(object: &'v Object<'v>, report: &mut Report) -> Option<Port<'v>> {
    let place = span_of(object);
    let (mut name, mut subject, mut is_nats) = (None, None, false);
    let before = report.diagnostics.len();
    for member in members(object) {
        let (key, key_span, span) = (member.name.as_str(), span_of(&member.name), span_of(&member.value));
        match key {
            "name" => name = report.text("the name of a port", &member.value).map(|text| (text, span)),
            "subject" => subject = self::subject(&member.value, report).map(|text| (text, span)),
            "type" => is_nats = is_nats_type(&member.value, report),
            "description" => drop(report.text("the description of a port", &member.value)),
            _ => report.unknown((key_span, span), format!("'{}' of a port", shown(key)), key, MEMBERS.into_iter()),
        }
    }
    for (part, present, example) in
        [("name", name.is_some(), "\"name\": \"in\""), ("subject", subject.is_some(), "\"subject\": \"raw.data\"")]
    {
        let written = object.properties.iter().any(|property| property.name.as_str() == part);
        if !present && !written {
            report.error(
                Span::new(place.start, place.start + 1),
                format!("this port has no {part}"),
                format!("add {example}"),
            );
        }
    }
    let ((name, name_span), (subject, subject_span)) = (name?, subject?);
    (report.diagnostics.len() == before).then_some(Port { name, name_span, subject, subject_span, is_nats })
}

/// A subject that can be named, published to and read: words with points between them.
fn subject<'v>(value: &'v Value<'_>, report: &mut Report) -> Option<&'v str> {
    let text = report.text("a subject", value)?;
    let span = span_of(value);
    if text.len() > MAX_SUBJECT_BYTES {
        let message = format!("this subject is longer than {MAX_SUBJECT_BYTES} bytes");
        report.error(span, message, "use a shorter one");
    } else if text.contains(['*', '>']) {
        report.error(span, "a subject with wildcards is not supported", "name each subject with a port of its own");
    } else if text.split('.').any(str::is_empty) || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let hint = "use words with points between them, such as raw.data";
        report.error(span, "this is no name of a subject", hint);
    } else {
        return Some(text);
    }
    None
}

fn is_nats_type(value: &Value<'_>, report: &mut Report) -> bool {
    let Some(text) = report.text("the type of a port", value) else { return false };
    let known = TYPES.contains(&text);
    if !known {
        let message = format!("there is no port of type '{}'", shown(text));
        report.error(span_of(value), message, "use \"nats\", or leave the type out");
    }
    known
}
