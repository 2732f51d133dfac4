//! All ends, connections and disks, and what happens next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use eventflux_federation::{Federation, Now, Outlet, OutletCounters, Receipt, Wants};
use fastrand::Rng;

use crate::coverage::Coverage;
use crate::model::{Batch, Model, StreamKey};
use crate::process::FOR_EVER;
use crate::scenario::Scenario;
use crate::store::SimStore;
use crate::wire::{Connection, Flag};

/// After so long without faults everything has to be where it belongs.
const CALM_MS: u64 = 300_000;

/// Things that may happen in one simulation.
const MAX_STEPS: usize = 200_000;

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    /// A connection to a receiver is opened.
    Dial(usize),
    /// A driver looks after its end.
    Pump(usize, usize),
    /// The connection takes something of what was transmitted.
    Flush(usize, usize),
    /// Something arrives.
    Deliver(usize, usize),
    /// A deadline passes.
    Timer(usize, usize),
    /// An end sees that its connection is gone.
    Notice(usize, usize),
    /// A pipeline has something to say.
    Publish(usize, usize),
    /// A disk does something.
    Store(usize, usize),
    /// A pipeline is done with a batch.
    Finish(u64),
    Fault,
    /// Time passes.
    Tick,
    /// Sources are back.
    WantAll(usize),
    /// A disk works again.
    Recover(usize, usize),
}

pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) rng: Rng,
    pub(crate) at: u64,
    start: Now,
    queue: BinaryHeap<Reverse<(u64, u64, Action)>>,
    scheduled: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) connections: BTreeMap<usize, Connection>,
    pub(crate) dialled: usize,
    /// By receiver: the connection that its dialler believes in.
    pub(crate) current: Vec<Option<usize>>,
    pub(crate) dialler: usize,
    pub(crate) held: BTreeMap<u64, Held>,
    pub(crate) batches: u64,
    pub(crate) model: Model,
    pub(crate) coverage: Coverage,
    pub(crate) faults: usize,
    pub(crate) answered: Arc<AtomicU64>,
    calm_since: Option<u64>,
    pub(crate) trace: Option<Vec<String>>,
}

/// A process.
pub(crate) struct Node {
    pub(crate) federation: Arc<Federation>,
    /// Which process it is, by this name.
    pub(crate) run: u64,
    pub(crate) outs: Vec<Out>,
    pub(crate) away_until: u64,
}

/// A stream on its way out, and the pipeline before it.
pub(crate) struct Out {
    pub(crate) outlet: Arc<Outlet>,
    pub(crate) counters: OutletCounters,
    pub(crate) store: Option<Arc<SimStore>>,
    pub(crate) key: StreamKey,
    pub(crate) remaining: u32,
    pub(crate) waits: bool,
    pub(crate) flag: Arc<Flag>,
    pub(crate) waker: Waker,
    /// What the pipeline wants to know to be safe.
    pub(crate) unsettled: Option<u64>,
    pub(crate) settle_flag: Arc<Flag>,
    pub(crate) settle_waker: Waker,
    pub(crate) store_is_busy: bool,
    /// By receiver that is waited for: where it began.
    pub(crate) known: BTreeMap<usize, u64>,
    /// The last event that a connection has taken.
    pub(crate) flushed: u64,
    pub(crate) largest_batch: usize,
    /// Somebody came.
    pub(crate) is_heard: bool,
}

/// What a pipeline is busy with.
pub(crate) struct Held {
    pub(crate) batch: Batch,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) taken: bool,
}

impl World {
    pub(crate) fn new(scenario: Scenario, seed: u64, traced: bool) -> Self {
        fastrand::seed(seed);
        let mut world = Self {
            rng: Rng::with_seed(seed),
            at: 0,
            start: Now { at: Instant::now(), unix_ms: 1_700_000_000_000 },
            queue: BinaryHeap::new(),
            scheduled: 0,
            nodes: Vec::new(),
            connections: BTreeMap::new(),
            dialled: 0,
            current: vec![None; scenario.receivers + 1],
            dialler: 0,
            held: BTreeMap::new(),
            batches: 0,
            model: Model::default(),
            coverage: Coverage::default(),
            faults: scenario.max_faults,
            answered: Arc::default(),
            calm_since: None,
            trace: traced.then(Vec::new),
            scenario,
        };
        world.dialler = if world.scenario.agreed { world.rng.usize(..2) } else { 0 };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for node in 0..=self.scenario.receivers {
            let started = self.start_node(node, 0);
            self.nodes.push(started);
            let streams = match node {
                0 => self.scenario.streams,
                _ => usize::from(self.scenario.both_ways),
            };
            for stream in 0..streams {
                self.add_stream(node, stream);
            }
            if node > 0 {
                let delay = self.rng.u64(..100);
                self.later(delay, Action::Dial(node));
            }
        }
        self.later(0, Action::Tick);
        self.later(50, Action::Fault);
    }

    pub(crate) fn start_node(&self, node: usize, run: u64) -> Node {
        let config = self.scenario.federation(name(node));
        let federation = Federation::new(config, Default::default(), self.now());
        federation.accept(all());
        Node { federation, run, outs: Vec::new(), away_until: 0 }
    }

    /// Lets everything happen until it is over.
    pub(crate) fn run(mut self) -> Coverage {
        for _ in 0..MAX_STEPS {
            let Some(Reverse((at, _, action))) = self.queue.pop() else { panic!("nothing happens any more") };
            self.at = at;
            if action != Action::Tick {
                self.note(|| format!("{action:?}"));
            }
            if action == Action::Tick && self.tick() {
                return self.finished();
            }
            self.act(action);
            self.wakes();
            self.observe();
        }
        panic!("does not come to an end");
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Dial(receiver) => self.dial(receiver),
            Action::Pump(connection, side) => self.pump(connection, side),
            Action::Flush(connection, side) => self.flush(connection, side),
            Action::Deliver(connection, side) => self.arrive(connection, side),
            Action::Timer(connection, side) => self.timer(connection, side),
            Action::Notice(connection, side) => self.close(connection, side),
            Action::Publish(node, stream) => self.publish(node, stream),
            Action::Store(node, stream) => self.store(node, stream),
            Action::Finish(batch) => self.finish(batch),
            Action::Fault => self.fault(),
            Action::Tick => {}
            Action::WantAll(node) => self.nodes[node].federation.accept(all()),
            Action::Recover(node, stream) => self.recover(node, stream),
        }
    }

    /// Returns whether everything is over.
    fn tick(&mut self) -> bool {
        let now = self.now();
        let outlets = self.nodes.iter().flat_map(|node| &node.outs).map(|out| &out.outlet);
        outlets.for_each(|outlet| outlet.expire(now));
        let is_over = self.calm_since.is_some() && self.unfinished().is_none();
        if self.calm_since.is_some_and(|since| self.at > since + CALM_MS) {
            panic!("it does not drain: {}", self.unfinished().unwrap_or_default());
        }
        self.later(if self.calm_since.is_some() { 1_000 } else { 200 }, Action::Tick);
        is_over
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn calm_down(&mut self) {
        self.calm_since.get_or_insert(self.at);
        self.scenario.not_taken = 0;
    }

    /// What is still to be done.
    fn unfinished(&self) -> Option<String> {
        if !self.held.is_empty() {
            return Some(format!("{} batches are held", self.held.len()));
        }
        let is_gone = |node: &Node| node.away_until == FOR_EVER;
        for (number, node) in self.nodes.iter().enumerate().filter(|(_, node)| !is_gone(node)) {
            for out in &node.outs {
                if out.remaining > 0 {
                    let (outlet, room) = (&out.outlet, out.outlet.has_room());
                    let places = outlet.receivers();
                    let store = out.store.as_ref().map(|store| store.summary());
                    return Some(format!(
                        "{:?} has more to publish: room {room}, ends at {}, {places:?} {store:?}",
                        out.key,
                        outlet.mark()
                    ));
                }
                if let Some(mark) = out.unsettled {
                    return Some(format!("{:?}: {mark} is not settled: {}", out.key, out.outlet.is_settled(mark)));
                }
                if let Some(store) = out.store.as_ref().filter(|store| store.waits()) {
                    return Some(format!("{store:?} is busy"));
                }
                let receivers: Vec<_> = if number == 0 { (1..=self.scenario.receivers).collect() } else { vec![0] };
                let end = out.outlet.mark();
                let places = out.outlet.receivers();
                let is_behind = |receiver: &&usize| {
                    !places.iter().any(|(other, next, _)| *other == name(**receiver) && *next == end)
                };
                let is_counted = self.scenario.agreed || number == 0;
                let is_counted = |receiver: &&usize| is_counted && !is_gone(&self.nodes[**receiver]);
                if let Some(receiver) = receivers.iter().filter(is_counted).find(is_behind) {
                    return Some(format!("{:?} ends at {end}, receiver {receiver} of {places:?} is behind", out.key));
                }
            }
        }
        None
    }

    fn finished(mut self) -> Coverage {
        let mut coverage = std::mem::take(&mut self.coverage);
        for node in 0..self.nodes.len() {
            self.leave_traces(node, &mut coverage);
        }
        let dropped =
            self.nodes.iter().flat_map(|node| &node.outs).map(|out| out.counters.dropped.value()).sum::<u64>();
        coverage.add("dropped", dropped);
        coverage.add("missing", self.model.missing());
        coverage.add("request answered", self.answered.load(Ordering::Relaxed));
        coverage
    }

    /// What is counted at a node before it goes.
    pub(crate) fn leave_traces(&self, node: usize, coverage: &mut Coverage) {
        let counters = self.nodes[node].federation.counters();
        coverage.add("duplicate recognised", counters.duplicates.value());
        coverage.add("taken", counters.received.value());
        coverage.add("filtered", counters.filtered.value());
    }

    pub(crate) fn now(&self) -> Now {
        self.start + Duration::from_millis(self.at)
    }

    /// The moment of a deadline.
    pub(crate) fn moment(&self, deadline: Instant) -> u64 {
        deadline.saturating_duration_since(self.start.at).as_micros().div_ceil(1_000) as u64
    }

    pub(crate) fn later(&mut self, delay: u64, action: Action) {
        self.scheduled += 1;
        self.queue.push(Reverse((self.at + delay, self.scheduled, action)));
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        let at = self.at;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{at:>6} {}", what()));
        }
    }
}

pub(crate) fn name(node: usize) -> String {
    format!("node-{node}")
}

pub(crate) fn all() -> Wants {
    Wants { data: true, gaps: true, ..Wants::default() }
}

impl Drop for World {
    /// The end of the story of a simulation that failed.
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(trace) = &self.trace
        {
            let skipped = trace.len().saturating_sub(150);
            eprintln!("{:?}\n... {skipped} lines\n{}", self.scenario, trace[skipped..].join("\n"));
        }
    }
}
