//! The compiled pipeline: streams, and what each of them feeds. Fixed once it runs.
//!
//! An event batch is dispatched depth first, on the caller's thread: to the stream's subscribers, its queries (and by
//! them to further streams), and its sinks. The graph has no cycles, the plan sees to that, so locks are always taken
//! downstream and cannot deadlock.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use eventflux_core::dead_letter::DeadLetter;
use eventflux_core::{EventBatch, Schema};

use super::control::Control;
use super::entry::Entry;
use super::faults::{Failure, Faults};
use super::query_node::QueryNode;
use super::sink_node::SinkNode;

/// A subscriber of the Rust API.
pub(crate) type Subscriber = Arc<dyn Fn(&EventBatch) + Send + Sync>;

/// One stream and what it feeds.
pub(crate) struct StreamNode {
    pub(crate) name: String,
    pub(crate) schema: Arc<Schema>,
    pub(crate) queries: Vec<usize>,
    pub(crate) sinks: Vec<usize>,
    pub(crate) subscribers: Vec<Subscriber>,
}

/// All nodes of one pipeline.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) streams: Vec<StreamNode>,
    pub(crate) queries: Vec<QueryNode>,
    pub(crate) sinks: Vec<Arc<SinkNode>>,
    pub(crate) control: Control,
}

/// On whose behalf a batch is dispatched: whose strategy handles a failing query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) faults: &'a Faults,
    /// Where rows wait for another try; `None` for dead letters, which queries do not try again.
    pub(crate) entry: Option<&'a Entry>,
    /// Which delivery to the entry it belongs to.
    pub(crate) delivery: u64,
}

impl Origin<'_> {
    /// Does with an event that failed in a query what the strategy says.
    pub(crate) fn settle(&self, graph: &Graph, failure: Failure<'_>, original: impl FnOnce() -> Bytes) {
        match self.entry {
            Some(_) => self.faults.settle(graph, failure, original),
            None => self.faults.settle_dead_letter(graph, failure),
        }
    }
}

impl Graph {
    /// Hands `batch` to everything that stream number `stream` feeds.
    pub(crate) fn dispatch(&self, stream: usize, batch: &EventBatch, origin: Origin<'_>) {
        if batch.is_empty() {
            return;
        }
        let node = &self.streams[stream];
        for subscriber in &node.subscribers {
            let component = "a subscriber";
            if let Err(error) = super::control::contain(component, || subscriber(batch)) {
                log::error!("stream {}: {error}", node.name);
            }
        }
        for &query in &node.queries {
            self.queries[query].run(self, batch, origin);
        }
        for &sink in &node.sinks {
            self.sinks[sink].accept(self, batch);
        }
    }

    /// Hands a dead letter to its stream.
    pub(crate) fn dead_letter(&self, stream: usize, letter: &DeadLetter, faults: &Faults) {
        let mut batch = EventBatch::new(self.streams[stream].schema.clone());
        letter.append_to(&mut batch);
        self.dispatch(stream, &batch, Origin { faults, entry: None, delivery: 0 });
    }

    /// The sinks that an event of one of these streams can reach, dead letters included: each once.
    pub(crate) fn reachable_sinks(&self, streams: impl IntoIterator<Item = usize>) -> Vec<Arc<SinkNode>> {
        let mut seen = vec![false; self.streams.len()];
        let mut sinks = Vec::new();
        let mut todo: Vec<usize> = streams.into_iter().collect();
        while let Some(stream) = todo.pop() {
            if std::mem::replace(&mut seen[stream], true) {
                continue;
            }
            let node = &self.streams[stream];
            todo.extend(node.queries.iter().map(|&query| self.queries[query].into));
            for &sink in &node.sinks {
                todo.extend(self.sinks[sink].faults.dead_letters);
                sinks.push(self.sinks[sink].clone());
            }
        }
        sinks
    }
}

impl fmt::Debug for StreamNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamNode")
            .field("name", &self.name)
            .field("queries", &self.queries)
            .field("sinks", &self.sinks)
            .finish_non_exhaustive()
    }
}
