//! From components to the syntax tree that SQL becomes: subjects are streams, inputs sources, outputs sinks, filters queries.

use std::collections::BTreeSet;

use eventflux_core::EventFluxContext;
use sqlparser::ast::Expr;

use super::criteria;
use super::file::{Component, File};
use super::kinds::Becomes;
use super::ports::Port;
use super::properties::{listed_variables, properties, said};
use super::report::Report;
use super::subjects::{PAYLOAD, Subjects, implied};
use crate::diagnostic::{Diagnostic, SourceFile, Span};
use crate::sql::{Document, Ident, MAX_STATEMENTS, Property, Query, SelectItem, SelectItemKind};

/// The port of a connector with requests and replies that gives those instead of data.
const CONTROL_PORT: &str = "ws_control";

/// The kinds of control messages: what is accepted, and what the subject ends with.
const CONTROL: [&str; 2] = ["request", "reply"];

/// Which messages of a connection become events.
const ACCEPT: &str = "websocket.accept";

/// The document of a file.
pub(super) fn lower(
    source: &SourceFile,
    file: &File<'_>,
    context: &EventFluxContext,
    lookup: Lookup<'_>,
    report: &mut Report,
) -> Document {
    let mut lowering = Lowering { source, subjects: Subjects::default(), queries: Vec::new() };
    for component in &file.components {
        lowering.declare(component);
    }
    for component in &file.components {
        check_ports(component, report);
        let sound = !component.failed && !component.ports.failed;
        if sound && lookup.check(component, report) {
            lowering.component(component, report);
        }
    }
    lowering.nats(file, context, report);
    let Lowering { subjects, queries, .. } = lowering;
    let streams = subjects.into_streams();
    if streams.len() + queries.len() > MAX_STATEMENTS {
        let message = format!("this file becomes more than {MAX_STATEMENTS} streams and queries");
        report.diagnostics.push(Diagnostic::whole_file(message).with_hint("split it into several files"));
        return Document::default();
    }
    Document { streams, queries, complete: !report.has_errors() }
}

/// How environment variables are looked up where a value has to be known; without it they need not be set.
pub(super) struct Lookup<'a>(pub(super) Option<&'a Variables>);

/// The value of an environment variable by its name.
type Variables = dyn Fn(&str) -> Option<String>;

impl Lookup<'_> {
    /// Whether every variable that a list of credentials is made of can be one of its entries.
    fn check(&self, component: &Component<'_>, report: &mut Report) -> bool {
        let Some(lookup) = self.0 else { return true };
        let before = report.diagnostics.len();
        for (name, span) in listed_variables(component) {
            match lookup(name) {
                None => {
                    report.error(span, format!("environment variable {name} is not set"), "set it before the start")
                }
                Some(value) if value.is_empty() => {
                    report.error(span, format!("environment variable {name} is empty"), "give it a value");
                }
                // Behind a comma would begin another entry.
                Some(value) if value.contains(',') => {
                    let message = format!("environment variable {name} holds a comma, which credentials may not have");
                    report.error(span, message, "choose a value without one");
                }
                Some(_) => {}
            }
        }
        report.diagnostics.len() == before
    }
}

/// A connector reads or writes, a filter does both.
fn check_ports(component: &Component<'_>, report: &mut Report) {
    let (kind, ports) = (component.kind, &component.ports);
    let what = format!("{} '{}'", kind.category, kind.name);
    let (reads, writes) = match kind.becomes {
        Becomes::Source { .. } => (false, true),
        Becomes::Sink { .. } => (true, false),
        Becomes::Filter => (true, true),
    };
    let sides = [
        ("inputs", reads, ports.inputs_span, "reads no subject", "in"),
        ("outputs", writes, ports.outputs_span, "writes to no subject", "out"),
    ];
    for (side, has, written, otherwise, example) in sides {
        match written {
            Some(span) if !has => report.error(span, format!("{what} {otherwise}"), "remove these ports"),
            None if has && !ports.failed => {
                let message = format!("{what}: 'ports.{side}' is required, and missing");
                let hint = format!("add \"{side}\": [{{\"name\": \"{example}\", \"subject\": \"raw.data\"}}]");
                report.error(component.config_place, message, hint);
            }
            _ => {}
        }
    }
}

struct Lowering<'a> {
    source: &'a SourceFile,
    subjects: Subjects,
    queries: Vec<Query>,
}

impl Lowering<'_> {
    /// Declares every subject, so that those in between can be named differently.
    fn declare(&mut self, component: &Component<'_>) {
        for port in component.ports.inputs.iter().chain(&component.ports.outputs) {
            for subject in subjects(component, port) {
                self.subjects.stream(&subject, port.subject_span);
            }
        }
    }

    fn component(&mut self, component: &Component<'_>, report: &mut Report) {
        match component.kind.becomes {
            Becomes::Source { connector, fixed, control } => {
                let mut properties = properties(component, connector, fixed);
                if control {
                    self.control(component, &properties, report);
                    properties.push(implied(ACCEPT, "data", component.place));
                }
                self.source(component, properties);
            }
            Becomes::Sink { connector, fixed, format } => {
                let properties = properties(component, connector, fixed);
                for port in &component.ports.inputs {
                    let stream = self.subjects.stream(port.subject, port.subject_span);
                    self.subjects.sink(stream, properties.clone(), format, component.place);
                }
            }
            Becomes::Filter => self.filter(component, report),
        }
    }

    /// One source, whatever the number of subjects it writes to.
    fn source(&mut self, component: &Component<'_>, properties: Vec<Property>) {
        let outputs: Vec<_> = component.ports.outputs.iter().filter(|port| !is_control(component, port)).collect();
        let (name, span) = match outputs.as_slice() {
            [] => return,
            [only] => (only.subject.to_owned(), only.subject_span),
            [_, ..] => (self.subjects.unused_name(component.key), component.place),
        };
        let stream = self.subjects.stream(&name, span);
        self.subjects.source(stream, properties, component.place);
        if let [_, _, ..] = outputs.as_slice() {
            for port in outputs {
                let into = ident(port.subject, port.subject_span);
                self.query(Ident { name: name.clone(), span }, into, None, component.place);
            }
        }
    }

    /// A source of requests and one of replies, each into a subject of its own.
    fn control(&mut self, component: &Component<'_>, properties: &[Property], report: &mut Report) {
        for port in component.ports.outputs.iter().filter(|port| is_control(component, port)) {
            if component.config.is("bidirectional.enabled", "false") {
                let message = format!("port '{CONTROL_PORT}' has nothing to give: 'bidirectional.enabled' is false");
                report.error(port.name_span, message, "remove the port, or set bidirectional.enabled to true");
                continue;
            }
            for (kind, subject) in CONTROL.iter().zip(subjects(component, port)) {
                let mut properties = properties.to_vec();
                properties.push(implied(ACCEPT, kind, port.name_span));
                let stream = self.subjects.stream(&subject, port.subject_span);
                self.subjects.source(stream, properties, component.place);
            }
        }
    }

    fn filter(&mut self, component: &Component<'_>, report: &mut Report) {
        let Some(condition) = criteria::condition(self.source, &component.config, report) else { return };
        for input in &component.ports.inputs {
            if self.queries.len() > MAX_STATEMENTS {
                // There is no need to make them all to know that they are too many.
                return;
            }
            for output in &component.ports.outputs {
                let from = ident(input.subject, input.subject_span);
                let into = ident(output.subject, output.subject_span);
                self.query(from, into, Some(condition.clone()), component.place);
            }
        }
    }

    fn query(&mut self, from: Ident, into: Ident, predicate: Option<Expr>, span: Span) {
        let payload = Expr::Identifier(sqlparser::ast::Ident::new(PAYLOAD));
        let item = SelectItem { kind: SelectItemKind::Expr { expr: Box::new(payload), alias: None }, span };
        self.queries.push(Query { into, from, alias: None, projection: vec![item], predicate, span });
    }

    /// Connects subjects with NATS where a server is configured and a port asks for it: what is written here goes there,
    /// what is only read here comes from there.
    fn nats(&mut self, file: &File<'_>, context: &EventFluxContext, report: &mut Report) {
        const CONNECTOR: &str = "nats";
        let Some(nats) = &file.nats else { return };
        if context.source_factory(CONNECTOR).is_none() || context.sink_factory(CONNECTOR).is_none() {
            let hint = "remove it: subjects then connect the components of this file";
            report.error(nats.place, "this build has no connector 'nats'", hint);
            return;
        }
        let written = all_subjects(file, |component| &component.ports.outputs);
        let read = all_subjects(file, |component| &component.ports.inputs);
        let asked = written.iter().chain(&read).filter(|(_, is_nats)| *is_nats);
        let asked: BTreeSet<_> = asked.map(|(subject, _)| subject).collect();
        for subject in asked {
            let is_written = written.iter().any(|(name, _)| name == subject);
            let mut properties = vec![implied("type", CONNECTOR, nats.place)];
            properties.extend(said(&nats.config, nats.place));
            properties.push(implied("nats.subject", subject, nats.place));
            let stream = self.subjects.stream(subject, nats.place);
            if is_written {
                self.subjects.sink(stream, properties, &[], nats.place);
            } else {
                self.subjects.source(stream, properties, nats.place);
            }
        }
    }
}

/// Every subject on one side of components, with whether its port asks for NATS.
fn all_subjects<'f>(file: &'f File<'f>, side: impl Fn(&'f Component<'f>) -> &'f Vec<Port<'f>>) -> Vec<(String, bool)> {
    let ports = file.components.iter().flat_map(|component| side(component).iter().map(move |port| (component, port)));
    ports
        .flat_map(|(component, port)| subjects(component, port).into_iter().map(|subject| (subject, port.is_nats)))
        .collect()
}

/// The subjects behind a port: one of data, two of control messages.
fn subjects(component: &Component<'_>, port: &Port<'_>) -> Vec<String> {
    if is_control(component, port) {
        CONTROL.iter().map(|kind| format!("{}.{kind}", port.subject)).collect()
    } else {
        vec![port.subject.to_owned()]
    }
}

fn is_control(component: &Component<'_>, port: &Port<'_>) -> bool {
    matches!(component.kind.becomes, Becomes::Source { control: true, .. }) && port.name == CONTROL_PORT
}

fn ident(name: &str, span: Span) -> Ident {
    Ident { name: name.to_owned(), span }
}
