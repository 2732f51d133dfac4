//! One `@source` or `@sink`: finds its factory and format, validates its properties, makes it.

use std::sync::Arc;

use eventflux_core::dead_letter;
use eventflux_core::strategy::ErrorPolicy;
use eventflux_core::{
    ConnectorContext, ConnectorRole, EventFluxError, MapperFactory, Properties, PropertySpec, Schema, Sink, SinkMapper,
    Source, SourceMapper,
};

use super::metadata::{self, Filled};
use super::payload;
use super::plugin::Plugin;
use super::properties::{Written, connector_specs, encoder_specs};
use super::streams::Streams;
use super::{Columns, ConnectorPlan, Environment, MetadataPlan, SinkFormat, SourceFormat};
use crate::diagnostic::Diagnostic;
use crate::sql::Annotation;

/// Plans one annotation of one stream.
pub(super) struct Planner<'a> {
    pub(super) environment: &'a Environment<'a>,
    pub(super) streams: &'a Streams,
    pub(super) stream: usize,
    pub(super) annotation: &'a Annotation,
    /// See [`number`].
    pub(super) number: usize,
    /// Whether the whole declaration could be read: what is missing is really missing.
    pub(super) complete: bool,
}

/// How many sources (or sinks) of the same type stand before `annotation` on its stream.
pub(super) fn number(annotations: &[Annotation], annotation: &Annotation) -> usize {
    let type_name =
        |of: &Annotation| Written::new(&of.properties, of.name_span).type_name().map(|(name, _)| name.to_owned());
    annotations
        .iter()
        .take_while(|other| !std::ptr::eq(*other, annotation))
        .filter(|other| other.kind == annotation.kind && type_name(other) == type_name(annotation))
        .count()
}

/// The validated parts both kinds need.
struct Parts {
    properties: Properties,
    context: ConnectorContext,
    policy: ErrorPolicy,
    dead_letters: Option<usize>,
}

impl<'a> Planner<'a> {
    pub(super) fn source(
        &self,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<ConnectorPlan<Box<dyn Source>, SourceFormat>> {
        let context = self.environment.context;
        let known = context.sources().map(|factory| factory.name());
        let name = self.type_name(ConnectorRole::Source, known, diagnostics)?;
        let factory = context.source_factory(name)?;
        let (role, formats) = (ConnectorRole::Source, factory.supported_formats());
        let plugin = Plugin { role, name, formats, specs: connector_specs(factory.properties(), role) };
        let written = self.written(&plugin);
        let filled = Filled::of(&written, self.schema(), self.complete, diagnostics);
        let decoded = filled.decoded();
        let format = self.format(&plugin, diagnostics);
        let mapper = format.and_then(|format| self.decoder(format, decoded.as_ref(), diagnostics));
        let mut parts = self.parts(&written, &plugin, diagnostics)?;
        let bound = filled.bind(&parts.properties, name, factory.metadata(), &written, diagnostics)?;
        if let Some((key, _)) = parts.properties.row_templates().next() {
            let error = EventFluxError::property(key, "names a column, and only a sink has rows to take a value from");
            diagnostics.push(written.mistake_of(error.with_hint("write a text without ${...}")));
            return None;
        }
        parts.context = parts.context.with_metadata(bound.fields(factory.metadata()));
        let created = factory.create_initialized(&parts.properties, &parts.context);
        let instance = self.made(&written, created, diagnostics)?;
        let metadata = decoded.map(|decoded| MetadataPlan { decoded, bound: bound.columns });
        Some(self.assemble(&plugin, parts, instance, SourceFormat { mapper: mapper?, metadata }))
    }

    pub(super) fn sink(&self, diagnostics: &mut Vec<Diagnostic>) -> Option<ConnectorPlan<Box<dyn Sink>, SinkFormat>> {
        let context = self.environment.context;
        let known = context.sinks().map(|factory| factory.name());
        let name = self.type_name(ConnectorRole::Sink, known, diagnostics)?;
        let factory = context.sink_factory(name)?;
        let (role, formats) = (ConnectorRole::Sink, factory.supported_formats());
        let plugin = Plugin { role, name, formats, specs: connector_specs(factory.properties(), role) };
        let mut written = self.written(&plugin);
        let for_sources = ("is for sources: a sink has no metadata to fill a column with", "remove it");
        written.refuse(|key| key.starts_with(metadata::PREFIX), for_sources, diagnostics);
        let format = self.format(&plugin, diagnostics);
        let encoder = format.and_then(|format| self.encoder(format, diagnostics));
        let parts = self.parts(&written, &plugin, diagnostics)?;
        let templates = payload::templates(&parts.properties, self.schema(), self.complete, &written, diagnostics);
        let created = factory.create_initialized(&parts.properties, &parts.context);
        let instance = self.made(&written, created, diagnostics)?;
        let (mapper, columns) = encoder?;
        Some(self.assemble(&plugin, parts, instance, SinkFormat { mapper, columns, templates: templates? }))
    }

    fn assemble<C, F>(&self, plugin: &Plugin<'_>, parts: Parts, instance: C, format: F) -> ConnectorPlan<C, F> {
        ConnectorPlan {
            stream: self.stream,
            connector: self.display_name(plugin),
            instance,
            format,
            validates: parts.properties.flag("validate.connectivity").unwrap_or(false),
            context: parts.context,
            policy: parts.policy,
            dead_letters: parts.dead_letters,
            span: self.annotation.name_span,
        }
    }

    /// The mapper of a source, into the columns that metadata leaves to it.
    fn decoder(
        &self,
        format: &dyn MapperFactory,
        decoded: Option<&Columns>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Box<dyn SourceMapper>> {
        let specs = format.source_properties();
        let mut written = self.map_written(specs);
        let for_sinks = ("is for sinks", "remove it: a source needs no list of the columns it does not decode");
        written.refuse(|key| key == payload::EXCLUDE, for_sinks, diagnostics);
        let properties = written.resolve(specs, diagnostics)?;
        let schema = decoded.map_or(self.schema(), |columns| &columns.schema);
        let made = format.source_mapper(schema, &properties);
        self.made(&written, made.map_err(|error| only_these(error, decoded)), diagnostics)
    }

    /// The mapper of a sink, with the columns it encodes when those are not all.
    fn encoder(
        &self,
        format: &dyn MapperFactory,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<(Box<dyn SinkMapper>, Option<Columns>)> {
        let specs = encoder_specs(format);
        let written = self.map_written(&specs);
        let properties = written.resolve(&specs, diagnostics)?;
        let columns = payload::columns(&properties, self.schema(), self.complete, &written, diagnostics)?;
        let schema = columns.as_ref().map_or(self.schema(), |columns| &columns.schema);
        let made = format.sink_mapper(schema, &properties);
        let made = made.map_err(|error| only_these(error, columns.as_ref()));
        Some((self.made(&written, made, diagnostics)?, columns))
    }

    fn schema(&self) -> &'a Arc<Schema> {
        &self.streams.plan(self.stream).schema
    }

    /// The format's properties, those given from outside included.
    fn map_written(&self, specs: &[PropertySpec]) -> Written<'a> {
        let mut written = match &self.annotation.map {
            Some(map) => Written::new(&map.properties, map.span),
            None => Written::new(&[], self.annotation.name_span),
        };
        written.apply(self.environment.overrides, &self.streams.plan(self.stream).name, specs);
        written
    }

    /// The connector's properties, those given from outside included.
    fn written(&self, plugin: &Plugin<'_>) -> Written<'a> {
        let mut written = Written::new(&self.annotation.properties, self.annotation.name_span);
        written.apply(self.environment.overrides, &self.streams.plan(self.stream).name, &plugin.specs);
        written
    }

    fn parts(&self, written: &Written<'_>, plugin: &Plugin<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<Parts> {
        let stream = &self.streams.plan(self.stream).name;
        let properties = written.resolve(&plugin.specs, diagnostics)?;
        let policy = match ErrorPolicy::from_properties(&properties) {
            Ok(policy) => policy,
            Err(error) => {
                diagnostics.push(written.mistake_of(error));
                return None;
            }
        };
        let dead_letters = self.dead_letters(written, &policy, diagnostics)?;
        let context = ConnectorContext::new(self.environment.metrics, plugin.role, stream, &self.display_name(plugin));
        Some(Parts { properties, context, policy, dead_letters })
    }

    /// The dead-letter stream, `Some(None)` when the policy needs none.
    fn dead_letters(
        &self,
        written: &Written<'_>,
        policy: &ErrorPolicy,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Option<usize>> {
        let Some(name) = &policy.dlq_stream else {
            return Some(None);
        };
        let error = |reason: String| EventFluxError::property("error.dlq.stream", reason);
        let Some(stream) = self.streams.index_of(name) else {
            let missing = error(format!("names '{name}', which is not declared"));
            let missing = missing.with_hint(format!("declare it: {}", dead_letter::declaration(name)));
            diagnostics.push(written.mistake_of(missing));
            return None;
        };
        let plan = self.streams.plan(stream);
        if let Err(problems) = dead_letter::check_schema(&plan.schema) {
            diagnostics.extend(problems.into_iter().map(|(column, problem)| {
                let message = format!("stream '{name}' takes dead letters: {problem}");
                Diagnostic::error(plan.column_spans[column], message)
            }));
            return None;
        }
        Some(Some(stream))
    }

    /// The type, numbered from the second one on, so that each has metrics of its own: `file`, `file-2`, ...
    fn display_name(&self, plugin: &Plugin<'_>) -> String {
        match self.number {
            0 => plugin.name.to_owned(),
            number => format!("{}-{}", plugin.name, number + 1),
        }
    }

    fn made<T>(
        &self,
        written: &Written<'_>,
        result: Result<T, EventFluxError>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<T> {
        result.map_err(|error| diagnostics.push(written.mistake_of(error))).ok()
    }
}

/// A mistake that a format found, with a word about the columns it knows of when those are not all of the stream.
fn only_these(error: EventFluxError, columns: Option<&Columns>) -> EventFluxError {
    let Some(columns) = columns else { return error };
    let names: Vec<_> = columns.schema.names().collect();
    let seen = format!("of the stream the format has the columns {}", names.join(", "));
    match error {
        EventFluxError::Configuration { property, reason, hint } => {
            let hint = match hint {
                Some(question) if question.ends_with('?') => format!("{question} {seen}"),
                Some(hint) => format!("{hint}; {seen}"),
                None => seen,
            };
            EventFluxError::Configuration { property, reason, hint: Some(hint) }
        }
        other => other,
    }
}
