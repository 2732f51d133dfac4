//! Connectors in memory under the names that components become.

use std::sync::Arc;

use eventflux_core::*;
use eventflux_engine::{EventFlux, PlanError, SourceFile};

use crate::support::World;

const ANY: &[PropertySpec] = &[
    PropertySpec::new("udp.*", PropertyKind::Text, "Any."),
    PropertySpec::new("objectstore.*", PropertyKind::Text, "Any."),
    PropertySpec::new("nats.*", PropertyKind::Text, "Any."),
    PropertySpec::new("websocket.auth.tokens", PropertyKind::Text, "Never shown.").secret(),
    PropertySpec::new("websocket.auth.users", PropertyKind::Text, "Never shown.").secret(),
    PropertySpec::new("websocket.url", PropertyKind::Url(&["ws", "wss"]), "Any."),
    PropertySpec::new("websocket.*", PropertyKind::Text, "Any."),
    PropertySpec::new("auth.*", PropertyKind::Text, "Any."),
];

/// A registry in which each type that components become is a memory connector that takes any property.
pub(crate) fn context(world: &Arc<World>) -> EventFluxContext {
    let mut context = world.context();
    for name in ["udp", "websocket"] {
        add_source(&mut context, name);
    }
    for name in ["objectstore", "websocket"] {
        add_sink(&mut context, name);
    }
    context
}

/// The same, with NATS.
pub(crate) fn context_with_nats(world: &Arc<World>) -> EventFluxContext {
    let mut context = context(world);
    add_source(&mut context, "nats");
    add_sink(&mut context, "nats");
    context
}

pub(crate) fn plan(text: &str) -> Result<EventFlux, PlanError> {
    let world = World::new();
    EventFlux::from_file(SourceFile::new("test.json", text), &[], &context(&world))
}

/// The SQL a file becomes.
pub(crate) fn convert(text: &str) -> String {
    let world = World::new();
    match eventflux_engine::components::convert(SourceFile::new("test.json", text), &context_with_nats(&world)) {
        Ok((sql, _)) => sql,
        Err(mistakes) => panic!("{mistakes}"),
    }
}

/// Everything that is odd or wrong: `line:column pointer: message (hint)`, warnings after `warning: `.
pub(crate) fn remarks(text: &str) -> Vec<String> {
    let planned = plan(text);
    let remarks = planned.as_ref().map_or_else(|mistakes| mistakes, EventFlux::warnings);
    let line = |diagnostic: &eventflux_engine::Diagnostic| {
        let severity = if diagnostic.is_error() { "" } else { "warning: " };
        let place = diagnostic.span.map_or_else(
            || "-".to_owned(),
            |span| {
                let position = remarks.file().position(span.start);
                format!("{}:{}", position.line, position.column)
            },
        );
        let pointer = diagnostic.label.as_deref().unwrap_or("-");
        let hint = diagnostic.hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{severity}{place} {pointer}: {}{hint}", diagnostic.message)
    };
    remarks.diagnostics().iter().map(line).collect()
}

/// A sound file with a blank to fill: what stands in the config of the `websocket_input` beside its ports.
pub(crate) fn input(config: &str) -> String {
    format!(
        r#"{{"components": {{"in": {{"type": "input", "name": "websocket_input", "config": {{
{config}
"ports": {{"outputs": [{{"name": "o", "subject": "s"}}]}}}}}},
"out": {{"type": "storage", "name": "objectstore", "config": {{"ports": {{"inputs": [{{"name": "i", "subject": "s"}}]}}}}}}}}}}"#
    )
}

fn add_source(context: &mut EventFluxContext, name: &'static str) {
    let inner = context.source_factory("memory").unwrap().clone();
    let specs = [inner.properties(), ANY].concat().leak();
    context.add_source_factory(StandIn { name, inner, specs });
}

fn add_sink(context: &mut EventFluxContext, name: &'static str) {
    let inner = context.sink_factory("memory").unwrap().clone();
    let specs = [inner.properties(), ANY].concat().leak();
    context.add_sink_factory(StandIn { name, inner, specs });
}

struct StandIn<F: ?Sized> {
    name: &'static str,
    inner: Arc<F>,
    specs: &'static [PropertySpec],
}

impl SourceFactory for StandIn<dyn SourceFactory> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn doc(&self) -> &'static str {
        self.inner.doc()
    }

    fn supported_formats(&self) -> &'static [&'static str] {
        self.inner.supported_formats()
    }

    fn properties(&self) -> &'static [PropertySpec] {
        self.specs
    }

    fn create_initialized(
        &self,
        properties: &Properties,
        context: &ConnectorContext,
    ) -> Result<Box<dyn Source>, EventFluxError> {
        self.inner.create_initialized(properties, context)
    }
}

impl SinkFactory for StandIn<dyn SinkFactory> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn doc(&self) -> &'static str {
        self.inner.doc()
    }

    fn supported_formats(&self) -> &'static [&'static str] {
        self.inner.supported_formats()
    }

    fn properties(&self) -> &'static [PropertySpec] {
        self.specs
    }

    fn create_initialized(
        &self,
        properties: &Properties,
        context: &ConnectorContext,
    ) -> Result<Box<dyn Sink>, EventFluxError> {
        self.inner.create_initialized(properties, context)
    }
}
