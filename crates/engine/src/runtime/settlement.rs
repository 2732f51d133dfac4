//! Waits until everything a source delivered is settled: what [`SourceCallback::settled`] promises.
//!
//! Events only move downstream, so what has to be settled is looked at in that order: what waits in the entry, then what
//! waits in front of each sink and what each sink has, then the same of the sinks of dead letters. A mark says how far;
//! what comes later does not matter. Where something moved on meanwhile, a new mark is set behind it.
//!
//! [`SourceCallback::settled`]: eventflux_core::SourceCallback::settled

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use eventflux_core::{BoxFuture, EventFluxError};

use super::control::lock;
use super::entry::Work;
use super::graph::Graph;
use super::sink_node::SinkNode;
use super::waiting_room::WaitingRoom;

/// What one call waits for.
pub(super) struct Settlement {
    graph: Arc<Graph>,
    entry: Arc<WaitingRoom<Work>>,
    /// How far the entry has to be.
    entry_mark: u64,
    nodes: Arc<[Arc<SinkNode>]>,
    /// One for each node; none when something waits in the entry, which no sink has seen yet.
    marks: Option<Vec<SinkMark>>,
}

/// How far a sink has to be.
#[derive(Debug)]
pub(super) struct Mark {
    number: u64,
    /// Whether the sink reported something up to here as failed, and it is to be tried again.
    returned: AtomicBool,
}

/// The marks of one sink that somebody waits for: as many as its sources have calls under way.
#[derive(Debug, Default)]
pub(super) struct Marks(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    marks: Vec<Weak<Mark>>,
    /// Those that are gone are forgotten when there are this many: looking each time would cost as much as there are.
    forget_at: usize,
}

/// Fewer marks than this are not worth being looked through.
const FORGET_FROM: usize = 64;

/// A mark, and the sink's own promise that belongs to it.
struct SinkMark {
    mark: Arc<Mark>,
    /// The sink's answer; not asked while something up to the mark waits for another try.
    answer: Option<BoxFuture<'static, Result<(), EventFluxError>>>,
    /// How many dead letters the sink had made.
    dead_letters: u64,
}

impl Settlement {
    /// Sets the marks.
    pub(super) fn new(graph: Arc<Graph>, entry: Arc<WaitingRoom<Work>>, nodes: Arc<[Arc<SinkNode>]>) -> Self {
        let entry_mark = entry.mark();
        let marks = entry.is_past(entry_mark).then(|| nodes.iter().map(|node| SinkMark::new(node)).collect());
        Self { graph, entry, entry_mark, nodes, marks }
    }

    /// Resolves when everything up to the marks is settled.
    ///
    /// # Errors
    /// What ended the pipeline, or a sink, before that.
    pub(super) async fn settled(self) -> Result<(), EventFluxError> {
        let graph = self.graph.clone();
        tokio::select! {
            biased;
            error = graph.control.over() => Err(error),
            settled = self.pass() => settled.and_then(|()| graph.control.check()),
        }
    }

    async fn pass(mut self) -> Result<(), EventFluxError> {
        self.entry.past(self.entry_mark).await;
        let marks = self.marks.take().unwrap_or_else(|| self.nodes.iter().map(|node| SinkMark::new(node)).collect());
        // Sinks of dead letters have no dead-letter stream themselves, the plan sees to that.
        let (first, last): (Vec<_>, Vec<_>) =
            self.nodes.iter().zip(marks).partition(|(node, _)| node.faults.dead_letters.is_some());
        let mut moved_on = false;
        for (node, mark) in first {
            let before = mark.dead_letters;
            mark.settled(node).await?;
            moved_on |= node.dead_letters() != before;
        }
        for (node, mark) in last {
            let mark = if moved_on { SinkMark::new(node) } else { mark };
            mark.settled(node).await?;
        }
        Ok(())
    }
}

impl SinkMark {
    fn new(node: &SinkNode) -> Self {
        let dead_letters = node.dead_letters();
        let mark = node.mark();
        let answer = node.is_past(&mark).then(|| node.sink_settled());
        Self { mark, answer, dead_letters }
    }

    async fn settled(mut self, node: &SinkNode) -> Result<(), EventFluxError> {
        loop {
            let answer = match self.answer.take() {
                Some(answer) => answer,
                None => {
                    self.mark.returned.store(false, Ordering::Release);
                    node.past(&self.mark).await;
                    node.sink_settled()
                }
            };
            let answer = answer.await;
            // What came back is tried again, and has to be settled once more, whatever the sink said of the rest.
            if !self.mark.returned.load(Ordering::Acquire) {
                return answer;
            }
        }
    }
}

impl Mark {
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

impl Marks {
    /// A mark at `number`; forgotten when it is dropped.
    pub(super) fn add(&self, number: u64) -> Arc<Mark> {
        let mark = Arc::new(Mark { number, returned: AtomicBool::new(false) });
        let mut known = lock(&self.0);
        if known.marks.len() >= known.forget_at {
            known.marks.retain(|mark| mark.strong_count() > 0);
            known.forget_at = FORGET_FROM.max(known.marks.len() * 2);
        }
        known.marks.push(Arc::downgrade(&mark));
        mark
    }

    /// Something with that number waits for another try.
    pub(super) fn returned(&self, number: u64) {
        for mark in lock(&self.0).marks.iter().filter_map(Weak::upgrade).filter(|mark| number <= mark.number) {
            mark.returned.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_newer_concerns_a_mark() {
        let marks = Marks::default();
        let (early, late) = (marks.add(3), marks.add(5));
        marks.returned(4);
        assert!(!early.returned.load(Ordering::Acquire) && late.returned.load(Ordering::Acquire));
        marks.returned(0);
        assert!(early.returned.load(Ordering::Acquire), "what is unknown concerns all");
    }

    #[test]
    fn marks_that_are_gone_are_forgotten() {
        let marks = Marks::default();
        let kept = marks.add(0);
        for number in 1..10_000 {
            marks.add(number);
        }
        assert!(lock(&marks.0).marks.len() <= FORGET_FROM);
        marks.returned(0);
        assert!(kept.returned.load(Ordering::Acquire));
    }
}
