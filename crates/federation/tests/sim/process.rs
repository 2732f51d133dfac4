//! Pipelines that publish, disks that write, and what everybody can see of a stream.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use eventflux_federation::{FullPolicy, Outlet, OutletCounters, Reply, Request, Start, To};

use crate::scenario::one_of;
use crate::store::SimStore;
use crate::wire::Flag;
use crate::world::{Action, Out, World, name};

/// A time that does not come.
pub(crate) const FOR_EVER: u64 = u64::MAX;

/// Memory that an event takes besides its payload, at most; and what a log may hold beyond its limit.
const EVENT_BYTES: usize = 32;
const SLACK_BYTES: usize = 2_048;

impl World {
    pub(crate) fn add_stream(&mut self, node: usize, stream: usize) {
        let capacity = self.scenario.store_bytes;
        let store = capacity.map(|bytes| Arc::new(SimStore::new(self.rng.u64(1..), bytes)));
        let (flag, settle_flag) = (Arc::new(Flag::default()), Arc::new(Flag::default()));
        let (outlet, counters) = self.outlet(node, stream, store.as_ref());
        let key = (outlet.config().stream.clone(), outlet.epoch());
        assert!(self.nodes[node].federation.add_outlet(outlet.clone()));
        self.nodes[node].outs.push(Out {
            outlet,
            counters,
            store,
            key,
            remaining: self.scenario.batches,
            waits: false,
            waker: flag.clone().into(),
            flag,
            unsettled: None,
            settle_waker: settle_flag.clone().into(),
            settle_flag,
            store_is_busy: false,
            known: Default::default(),
            flushed: 0,
            largest_batch: 0,
            is_heard: false,
        });
        self.later(0, Action::Publish(node, stream));
    }

    pub(crate) fn outlet(
        &self,
        node: usize,
        stream: usize,
        store: Option<&Arc<SimStore>>,
    ) -> (Arc<Outlet>, OutletCounters) {
        let mut config = self.scenario.outlet.clone();
        config.stream = format!("{}/{stream}", name(node));
        // Nobody that can acknowledge comes to the other end of a plain connection.
        config.expects_receiver &= self.scenario.agreed || node == 0;
        let counters = OutletCounters::default();
        let outlet = match store {
            Some(store) => Outlet::stored_in(config, counters.clone(), store.clone(), store.kept()),
            None => Outlet::new(config, counters.clone()),
        };
        (Arc::new(outlet), counters)
    }

    /// A pipeline has something to say, and says it when there is room.
    pub(crate) fn publish(&mut self, node: usize, stream: usize) {
        let now = self.now();
        let payloads: Vec<_> = (0..self.rng.usize(1..6)).map(|_| self.payload()).collect();
        let out = &mut self.nodes[node].outs[stream];
        if out.remaining == 0 || out.waits {
            return;
        }
        if !out.outlet.has_room() {
            out.outlet.register_room(&out.waker);
            if !out.outlet.has_room() {
                out.waits = true;
                return self.coverage.count("publisher waited for room");
            }
        }
        out.remaining -= 1;
        let bytes = payloads.iter().map(|payload| payload.len() + EVENT_BYTES).sum();
        out.largest_batch = out.largest_batch.max(bytes);
        let first = out.outlet.mark();
        let before = out.counters.dropped.value();
        let dropped = out.outlet.publish(payloads.iter().map(Vec::as_slice), now);
        let gone = out.counters.dropped.value() - before;
        if dropped == 0 {
            let key = out.key.clone();
            self.model.publish(&key, first, &payloads);
            self.coverage.count("published");
        }
        if self.nodes[node].outs[stream].unsettled.is_none() {
            let out = &mut self.nodes[node].outs[stream];
            out.unsettled = Some(out.outlet.mark());
            self.settle(node, stream);
        }
        let newest = self.scenario.outlet.full == FullPolicy::DropNewest;
        match self.scenario.outlet.full {
            FullPolicy::Block => assert_eq!((dropped, gone), (0, 0), "whoever waits for room loses nothing"),
            _ => self.coverage.add(if newest { "dropped, newest" } else { "dropped, oldest" }, gone),
        }
        if self.nodes[node].outs[stream]
            .store
            .as_ref()
            .is_some_and(|store| !eventflux_federation::Store::has_room(&**store))
        {
            self.coverage.count("store full");
        }
        let delay = one_of(&mut self.rng, &[0, 1, 10, 60]);
        self.later(delay, Action::Publish(node, stream));
    }

    fn payload(&mut self) -> Vec<u8> {
        let size = self.rng.usize(..=self.scenario.payload);
        format!(r#"{{"k":{},"n":{},"pad":"{}"}}"#, self.rng.u32(..2), self.rng.u64(..), "x".repeat(size)).into_bytes()
    }

    pub(crate) fn store(&mut self, node: usize, stream: usize) {
        let writes = self.rng.usize(..8);
        let out = &mut self.nodes[node].outs[stream];
        out.store_is_busy = false;
        let Some(store) = &out.store else { return };
        if store.work(writes, &out.outlet) {
            self.coverage.count("loaded from the store");
        }
    }

    pub(crate) fn recover(&mut self, node: usize, stream: usize) {
        if let Some(store) = self.nodes[node].outs.get(stream).and_then(|out| out.store.as_ref()) {
            store.fail(false);
        }
    }

    /// Looks at what everybody can see, after every step.
    pub(crate) fn observe(&mut self) {
        for node in 0..self.nodes.len() {
            for stream in 0..self.nodes[node].outs.len() {
                self.look_at_stream(node, stream);
                let out = &mut self.nodes[node].outs[stream];
                if !out.store_is_busy && out.store.as_ref().is_some_and(|store| store.waits()) {
                    out.store_is_busy = true;
                    let delay = self.rng.u64(1..30);
                    self.later(delay, Action::Store(node, stream));
                }
            }
        }
    }

    fn look_at_stream(&mut self, node: usize, stream: usize) {
        let is_filtered = self.scenario.filtered;
        let out = &mut self.nodes[node].outs[stream];
        let config = out.outlet.config();
        let limit = config.queue_bytes + config.history.bytes + out.largest_batch + SLACK_BYTES;
        // What waits to be stored is in memory, too.
        let limit = if out.store.is_some() { limit * 3 } else { limit };
        assert!(out.outlet.bytes() <= limit, "{:?} holds {} bytes of {limit}", out.key, out.outlet.bytes());
        let receivers = out.outlet.receivers();
        assert!(receivers.len() <= config.max_receivers);
        let index =
            |name: &str| name.strip_prefix("node-").and_then(|index| index.parse::<usize>().ok()).expect("a node");
        let gone: Vec<_> = out
            .known
            .keys()
            .copied()
            .filter(|known| !receivers.iter().any(|(other, ..)| index(other) == *known))
            .collect();
        for receiver in gone {
            out.known.remove(&receiver);
            self.model.forgotten(receiver, &out.key);
            self.coverage.count("receiver forgotten");
        }
        let is_whole = config.expects_receiver && self.scenario.receivers == 1;
        let is_first = !out.is_heard;
        out.is_heard |= !receivers.is_empty();
        for (other, next, _) in receivers {
            let receiver = index(&other);
            if is_first && !config.expects_receiver && self.scenario.start == Start::Earliest && out.store.is_none() {
                assert_eq!(
                    next,
                    1 + out.counters.unheard.value(),
                    "{:?}: the first receiver begins at the oldest",
                    out.key
                );
            }
            let from = *out.known.entry(receiver).or_insert(if is_whole { 1 } else { next });
            if self.scenario.agreed {
                let wanted = |payload: &[u8]| !is_filtered || payload.starts_with(br#"{"k":1"#);
                self.model.is_acknowledged(receiver, &out.key, from, next, &wanted);
            } else {
                assert!(next <= out.flushed + 1, "{:?}: {next} counts as sent, {} is the last", out.key, out.flushed);
            }
        }
    }

    /// A receiver asks for something over a connection.
    pub(crate) fn request(&mut self, receiver: usize, number: usize, method: &str, params: &str) {
        let answered = self.answered.clone();
        let request = Request {
            method: method.to_owned(),
            params: params.to_owned().into(),
            timeout: None,
            correlation: None,
            then: Arc::new(move |reply: Reply| {
                answered.fetch_add(u64::from(reply.status == "ok"), Ordering::Relaxed);
            }),
        };
        // A connection that has just gone answers nothing.
        let _ = self.nodes[receiver].federation.request(To::Connection(&format!("{number}-1")), request);
    }

    /// Something that a pipeline wants to know to be safe may be.
    pub(crate) fn settle(&mut self, node: usize, stream: usize) {
        let out = &mut self.nodes[node].outs[stream];
        let Some(mark) = out.unsettled else { return };
        out.outlet.register_settled(&out.settle_waker);
        if out.outlet.is_settled(mark) {
            out.unsettled = None;
            let is_written = out.store.as_ref().is_none_or(|store| store.written() >= mark);
            assert!(is_written, "{:?}: {mark} is settled and not stored", out.key);
            self.coverage.count("settled");
        }
    }
}
