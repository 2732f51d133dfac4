//! Turns a plan into nodes.

use std::sync::{Arc, Mutex};

use eventflux_core::metrics::{ConnectorMetrics, Metrics};
use eventflux_core::strategy::{self, ErrorPolicy};
use eventflux_core::{ConnectorContext, EventFluxError, Properties, Source};

use super::control::Control;
use super::entry::Entry;
use super::faults::Faults;
use super::graph::{Graph, StreamNode, Subscriber};
use super::query_node::QueryNode;
use super::sink_node::SinkNode;
use super::source_node::SourceNode;
use crate::plan::{ConnectorPlan, Plan, QueryPlan, SourceFormat, StreamPlan};

/// The graph of a plan, and its sources.
pub(super) fn assemble(plan: Plan, subscribers: Vec<(usize, Subscriber)>) -> (Arc<Graph>, Vec<Arc<SourceNode>>) {
    let mut streams: Vec<_> = plan.streams.iter().map(stream_node).collect();
    for (stream, subscriber) in subscribers {
        streams[stream].subscribers.push(subscriber);
    }
    for (index, query) in plan.queries.iter().enumerate() {
        streams[query.from].queries.push(index);
    }
    for (index, sink) in plan.sinks.iter().enumerate() {
        streams[sink.stream].sinks.push(index);
    }
    let queries =
        plan.queries.into_iter().enumerate().map(|(index, query)| query_node(index, query, &plan.streams)).collect();
    let sinks = plan
        .sinks
        .into_iter()
        .map(|sink| {
            let faults = faults(&sink.context, &sink.connector, sink.policy, sink.dead_letters);
            Arc::new(SinkNode::new(sink.connector, sink.instance, sink.format, sink.context, faults, sink.validates))
        })
        .collect();
    let graph = Arc::new(Graph { streams, queries, sinks, control: Control::new() });
    let sources = plan.sources.into_iter().map(|source| source_node(&graph, source)).collect();
    (graph, sources)
}

/// The entry of programs that push into stream number `stream`.
pub(super) fn input(graph: &Arc<Graph>, stream: usize, metrics: &Metrics) -> Result<Arc<Entry>, EventFluxError> {
    let policy = ErrorPolicy::from_properties(&Properties::from_pairs(strategy::PROPERTIES, [])?)?;
    let name = &graph.streams[stream].name;
    let metrics = ConnectorMetrics::for_source(metrics, name, "input");
    let faults = Faults::new(policy, metrics, format!("input of stream {name}"), None);
    Ok(Arc::new(Entry::new(graph.clone(), stream, faults, None)))
}

fn stream_node(plan: &StreamPlan) -> StreamNode {
    StreamNode {
        name: plan.name.clone(),
        schema: plan.schema.clone(),
        queries: Vec::new(),
        sinks: Vec::new(),
        subscribers: Vec::new(),
    }
}

fn query_node(index: usize, plan: QueryPlan, streams: &[StreamPlan]) -> QueryNode {
    QueryNode {
        index,
        into: plan.into,
        name: streams[plan.into].name.clone(),
        schema: streams[plan.into].schema.clone(),
        predicate: plan.predicate,
        projection: plan.projection,
        selected: Mutex::default(),
    }
}

fn source_node(graph: &Arc<Graph>, plan: ConnectorPlan<Box<dyn Source>, SourceFormat>) -> Arc<SourceNode> {
    let faults = faults(&plan.context, &plan.connector, plan.policy, plan.dead_letters);
    let entry = Arc::new(Entry::new(graph.clone(), plan.stream, faults, Some(plan.format)));
    Arc::new(SourceNode::new(plan.connector, plan.context, entry, plan.validates, plan.instance))
}

fn faults(context: &ConnectorContext, connector: &str, policy: ErrorPolicy, dead_letters: Option<usize>) -> Faults {
    let component = format!("{connector} {} of stream {}", context.role.name(), context.stream);
    Faults::new(policy, context.metrics.clone(), component, dead_letters)
}
