//! From syntax tree to plan: names resolved, properties validated, connectors and mappers made, queries compiled.
//!
//! Planning does no I/O and reports every mistake it finds, each with its place. It knows connectors only by the
//! factories of the registry.

mod columns;
mod connector;
mod cycles;
mod metadata;
mod payload;
mod plugin;
mod properties;
mod query;
mod streams;

use std::sync::Arc;

use eventflux_core::metrics::Metrics;
use eventflux_core::strategy::ErrorPolicy;
use eventflux_core::{ConnectorContext, EventFluxContext, Schema, Sink, SinkMapper, Source, SourceMapper};

use crate::components;
use crate::diagnostic::{Diagnostic, SourceFile, Span};
use crate::expr::CompiledExpr;
use crate::overrides::Override;
use crate::sql::{self, AnnotationKind};
use streams::Streams;

pub(crate) use columns::Columns;
pub(crate) use metadata::MetadataPlan;
pub(crate) use payload::{RowPart, RowTemplate};

/// Everything a pipeline is made of, ready to run.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) streams: Vec<StreamPlan>,
    pub(crate) queries: Vec<QueryPlan>,
    pub(crate) sources: Vec<ConnectorPlan<Box<dyn Source>, SourceFormat>>,
    pub(crate) sinks: Vec<ConnectorPlan<Box<dyn Sink>, SinkFormat>>,
}

/// A declared stream.
pub(crate) struct StreamPlan {
    pub(crate) name: String,
    pub(crate) schema: Arc<Schema>,
    /// Where the name is declared.
    pub(crate) span: Span,
    /// Whether its whole declaration could be read.
    pub(crate) complete: bool,
    /// Where each column is declared.
    pub(crate) column_spans: Vec<Span>,
}

/// A compiled query.
pub(crate) struct QueryPlan {
    pub(crate) from: usize,
    pub(crate) into: usize,
    pub(crate) predicate: Option<CompiledExpr>,
    pub(crate) projection: Vec<CompiledExpr>,
    /// Where the query names the stream it feeds.
    pub(crate) into_span: Span,
}

/// How messages become rows.
pub(crate) struct SourceFormat {
    pub(crate) mapper: Box<dyn SourceMapper>,
    /// Columns the mapper does not decode.
    pub(crate) metadata: Option<MetadataPlan>,
}

/// How rows become payloads.
pub(crate) struct SinkFormat {
    pub(crate) mapper: Box<dyn SinkMapper>,
    /// The columns it encodes, when those are not all.
    pub(crate) columns: Option<Columns>,
    /// Texts that go with each payload.
    pub(crate) templates: Vec<RowTemplate>,
}

/// A source or sink with its format.
pub(crate) struct ConnectorPlan<C, F> {
    pub(crate) stream: usize,
    /// Its type.
    pub(crate) connector: String,
    pub(crate) instance: C,
    pub(crate) format: F,
    pub(crate) context: ConnectorContext,
    pub(crate) policy: ErrorPolicy,
    pub(crate) dead_letters: Option<usize>,
    pub(crate) validates: bool,
    /// Where it is declared.
    pub(crate) span: Span,
}

/// What planning needs besides the file.
pub(crate) struct Environment<'a> {
    pub(crate) context: &'a EventFluxContext,
    pub(crate) metrics: &'a Metrics,
    pub(crate) overrides: &'a [Override],
}

/// Plans a file. The plan may only be used when no diagnostic is an error.
pub(crate) fn plan(file: &mut SourceFile, environment: &Environment<'_>) -> (Plan, Vec<Diagnostic>) {
    let is_component_file = components::is_component_file(file);
    let (document, mut diagnostics) =
        if is_component_file { components::read(file, environment.context) } else { sql::parse(file) };
    properties::hide_secrets(file, &document, environment.context);
    let streams = Streams::declare(file, &document, &mut diagnostics);
    properties::check_overrides(environment, &document, &streams, &mut diagnostics);
    let mut plan = Plan::default();
    for declaration in &document.streams {
        for annotation in &declaration.annotations {
            let Some(stream) = streams.index_of(&declaration.name.name) else {
                continue;
            };
            let complete = declaration.complete;
            let number = connector::number(&declaration.annotations, annotation);
            let planner = connector::Planner { environment, streams: &streams, stream, annotation, number, complete };
            match annotation.kind {
                AnnotationKind::Source => plan.sources.extend(planner.source(&mut diagnostics)),
                AnnotationKind::Sink => plan.sinks.extend(planner.sink(&mut diagnostics)),
            }
        }
    }
    for query in &document.queries {
        plan.queries.extend(query::plan(file, query, &streams, environment.context, &mut diagnostics));
    }
    plan.streams = streams.into_plans();
    cycles::check(&plan, &mut diagnostics);
    cycles::hand_down_fallbacks(&mut plan);
    if document.complete && !diagnostics.iter().any(Diagnostic::is_error) {
        cycles::warn_about_dead_ends(&plan, &mut diagnostics);
    }
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.map_or(0, |span| span.start));
    if is_component_file {
        components::point_out(file, &document, &mut diagnostics);
    }
    (plan, diagnostics)
}
