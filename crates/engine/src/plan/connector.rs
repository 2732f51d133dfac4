//! One `@source` or `@sink`: finds its factory and format, validates its properties, makes it.

use eventflux_core::dead_letter;
use eventflux_core::property::nearest;
use eventflux_core::strategy::ErrorPolicy;
use eventflux_core::{
    ConnectorContext, ConnectorRole, EventFluxError, MapperFactory, Properties, PropertySpec, Sink, SinkMapper, Source,
    SourceMapper,
};

use super::properties::{TYPE, Written, connector_specs};
use super::streams::Streams;
use super::{ConnectorPlan, Environment};
use crate::diagnostic::Diagnostic;
use crate::sql::{Annotation, Spelling};

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

/// What a source factory and a sink factory have in common.
struct Plugin<'a> {
    role: ConnectorRole,
    name: &'a str,
    formats: &'static [&'static str],
    specs: Vec<PropertySpec>,
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
    ) -> Option<ConnectorPlan<Box<dyn Source>, Box<dyn SourceMapper>>> {
        let context = self.environment.context;
        let known = context.sources().map(|factory| factory.name());
        let name = self.type_name(ConnectorRole::Source, known, diagnostics)?;
        let factory = context.source_factory(name)?;
        let plugin = Plugin {
            role: ConnectorRole::Source,
            name,
            formats: factory.supported_formats(),
            specs: connector_specs(factory.properties()),
        };
        let schema = &self.streams.plan(self.stream).schema;
        let format = self.format(&plugin, diagnostics);
        let mapper = format.and_then(|format| {
            let properties = self.map_properties(format.source_properties(), diagnostics)?;
            self.made(self.map_written(), format.source_mapper(schema, &properties), diagnostics)
        });
        self.assemble(&plugin, mapper, diagnostics, |properties, context| {
            factory.create_initialized(properties, context)
        })
    }

    pub(super) fn sink(
        &self,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<ConnectorPlan<Box<dyn Sink>, Box<dyn SinkMapper>>> {
        let context = self.environment.context;
        let known = context.sinks().map(|factory| factory.name());
        let name = self.type_name(ConnectorRole::Sink, known, diagnostics)?;
        let factory = context.sink_factory(name)?;
        let plugin = Plugin {
            role: ConnectorRole::Sink,
            name,
            formats: factory.supported_formats(),
            specs: connector_specs(factory.properties()),
        };
        let schema = &self.streams.plan(self.stream).schema;
        let format = self.format(&plugin, diagnostics);
        let mapper = format.and_then(|format| {
            let properties = self.map_properties(format.sink_properties(), diagnostics)?;
            self.made(self.map_written(), format.sink_mapper(schema, &properties), diagnostics)
        });
        self.assemble(&plugin, mapper, diagnostics, |properties, context| {
            factory.create_initialized(properties, context)
        })
    }

    fn assemble<C, M>(
        &self,
        plugin: &Plugin<'_>,
        mapper: Option<M>,
        diagnostics: &mut Vec<Diagnostic>,
        create: impl FnOnce(&Properties, &ConnectorContext) -> Result<C, EventFluxError>,
    ) -> Option<ConnectorPlan<C, M>> {
        let written = self.written(plugin);
        let parts = self.parts(&written, plugin, diagnostics)?;
        let instance = self.made(written, create(&parts.properties, &parts.context), diagnostics)?;
        Some(ConnectorPlan {
            stream: self.stream,
            connector: self.display_name(plugin),
            instance,
            mapper: mapper?,
            validates: parts.properties.flag("validate.connectivity").unwrap_or(false),
            context: parts.context,
            policy: parts.policy,
            dead_letters: parts.dead_letters,
            span: self.annotation.name_span,
        })
    }

    /// The value of `type`, when a plugin of that name is known.
    fn type_name(
        &self,
        role: ConnectorRole,
        known: impl Iterator<Item = &'static str>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<&'a str> {
        let known: Vec<_> = known.collect();
        let written = Written::new(&self.annotation.properties, self.annotation.name_span);
        let key = if self.annotation.spelling == Spelling::With { "extension" } else { TYPE };
        let Some((name, span)) = written.type_name() else {
            if !self.complete {
                return None;
            }
            let message = format!("this {} has no '{key}'", role.name());
            let hint = format!("add {key}='...', one of {}", known.join(", "));
            diagnostics.push(Diagnostic::error(self.annotation.name_span, message).with_hint(hint));
            return None;
        };
        if known.contains(&name) {
            return Some(name);
        }
        let mistake = Diagnostic::error(span, format!("there is no {} of type '{name}'", role.name()));
        diagnostics.push(mistake.with_hint(match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("use one of {}", known.join(", ")),
        }));
        None
    }

    /// The mapper factory: that of `@map(type='...')`, else the connector's first format.
    fn format(&self, plugin: &Plugin<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<&'a dyn MapperFactory> {
        let context = self.environment.context;
        let map = self.annotation.map.as_ref();
        let given = map.and_then(|map| Written::new(&map.properties, map.span).type_name());
        let (name, span) = match (given, map) {
            (Some(given), _) => given,
            (None, Some(map)) => {
                let hint = format!("add type='...', one of {}", plugin.formats.join(", "));
                diagnostics.push(Diagnostic::error(map.span, "@map has no 'type'").with_hint(hint));
                return None;
            }
            (None, None) => (*plugin.formats.first()?, self.annotation.name_span),
        };
        let factory = context.mapper_factory(name).filter(|_| plugin.formats.contains(&name));
        if factory.is_none() {
            let message = format!("a {} {} has no format '{name}'", plugin.name, plugin.role.name());
            diagnostics.push(Diagnostic::error(span, message).with_hint(
                match nearest(name, plugin.formats.iter().copied()) {
                    Some(near) => format!("did you mean '{near}'?"),
                    None => format!("use one of {}", plugin.formats.join(", ")),
                },
            ));
        }
        factory.map(|factory| &**factory)
    }

    fn map_written(&self) -> Written<'a> {
        match &self.annotation.map {
            Some(map) => Written::new(&map.properties, map.span),
            None => Written::new(&[], self.annotation.name_span),
        }
    }

    fn map_properties(&self, specs: &[PropertySpec], diagnostics: &mut Vec<Diagnostic>) -> Option<Properties> {
        let mut written = self.map_written();
        written.apply(self.environment.overrides, &self.streams.plan(self.stream).name, specs);
        written.resolve(specs, diagnostics)
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
        written: Written<'_>,
        result: Result<T, EventFluxError>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<T> {
        result.map_err(|error| diagnostics.push(written.mistake_of(error))).ok()
    }
}
