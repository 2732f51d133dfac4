//! Two links back to back: what requests do where events are numbered and acknowledged.

use super::*;
use crate::envelope::{Encoding, Kind};

/// A link from `edge`, which sends, to `hub`, which takes everything.
struct Pair {
    edge: Place,
    hub: Place,
    links: [Link; 2],
    now: Now,
    /// Payload and mark of the events that arrived.
    got: Vec<(u64, bool)>,
}

impl Pair {
    fn new(encoding: Encoding) -> (Self, Arc<Outlet>) {
        let config = |name: &str| FederationConfig { name: name.to_owned(), encoding, ..FederationConfig::default() };
        let (edge, hub) = (Place::new(config("edge")), Place::new(config("hub")));
        let outlet = edge.outlet("events", 1 << 20);
        hub.federation.accept(Wants { data: true, replies: true, ..Wants::default() });
        let now = edge.now;
        let link = |place: &Place| {
            let opening = Opening { connection: "pair".to_owned(), agreed: true, receiver: None };
            Link::new(&place.federation, opening, now).unwrap()
        };
        let links = [link(&edge), link(&hub)];
        let mut pair = Self { edge, hub, links, now, got: Vec::new() };
        pair.run();
        (pair, outlet)
    }

    /// Everything that happens without time passing. What arrives is taken.
    fn run(&mut self) {
        loop {
            let mut is_quiet = true;
            for from in [0, 1] {
                let mut out = Vec::new();
                self.links[from].transmit(self.now, MAX_BYTES, &mut out).unwrap();
                self.links[from].flushed();
                is_quiet &= out.is_empty() && !self.links[from].mailbox.signal().register(std::task::Waker::noop());
                for Outgoing { text, binary } in out {
                    self.links[1 - from].receive(&text, binary, self.now).unwrap();
                }
                self.take();
            }
            if is_quiet {
                return;
            }
        }
    }

    fn take(&mut self) {
        let Some(arrived) = self.links[1].arrived().unwrap() else { return };
        for arrival in arrived.arrivals {
            if let Arrival::Message { kind: Kind::Data, payload, replayed, stream, .. } = arrival {
                assert_eq!(stream.as_deref(), Some("events"));
                let payload: Value = serde_json::from_slice(&payload).unwrap();
                self.got.push((payload["n"].as_u64().unwrap(), replayed));
            }
        }
        if let Some(receipt) = arrived.receipt {
            receipt.taken();
        }
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now.at + time;
        self.run();
        while self.now.at < end {
            let due = self.links.iter().filter_map(Link::deadline).min().unwrap_or(end).min(end);
            self.now = self.now + (due.max(self.now.at + MILLISECOND) - self.now.at);
            self.run();
        }
    }

    /// The hub asks; the payload of the reply.
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let replies = Replies::default();
        assert_eq!(self.hub.federation.request(To::All, replies.request(method, params)), Ok(1));
        self.run();
        let reply = replies.take().remove(0);
        serde_json::from_slice(&reply.outcome.unwrap()).unwrap()
    }

    fn acknowledged(&self, outlet: &Outlet) -> u64 {
        assert_eq!(self.edge.federation.outlets().len(), 1);
        outlet.receivers()[0].1
    }
}

#[test]
fn a_replay_is_marked_and_moves_no_position() {
    for encoding in [Encoding::Json, Encoding::MessagePack, Encoding::Cbor] {
        let (mut pair, outlet) = Pair::new(encoding);
        publish(&outlet, 0..100, pair.now);
        pair.run_for(SECOND);
        assert_eq!((pair.got.len(), pair.acknowledged(&outlet)), (100, 101));
        pair.got.clear();
        let reply = pair.ask("replay", &json!({"count": 3}));
        assert_eq!(reply["result"], json!({"messages_available": 3, "replay_started": true}));
        publish(&outlet, 100..102, pair.now);
        pair.run_for(SECOND);
        assert_eq!(pair.got, [(97, true), (98, true), (99, true), (100, false), (101, false)], "{encoding:?}");
        assert_eq!(pair.acknowledged(&outlet), 103);
        let counters = pair.hub.federation.counters();
        assert_eq!((counters.duplicates.value(), counters.gaps.value()), (0, 0));
    }
}

#[test]
fn new_events_wait_behind_a_replay_that_is_slow() {
    let (mut pair, outlet) = Pair::new(Encoding::Json);
    publish(&outlet, 0..200, pair.now);
    pair.run_for(SECOND);
    pair.got.clear();
    pair.ask("backpressure", &json!({"rate_limit": 100}));
    pair.ask("replay", &json!({"count": 150}));
    publish(&outlet, 200..250, pair.now);
    pair.run_for(SECOND);
    assert!((95..=105).contains(&pair.got.len()), "{}", pair.got.len());
    assert!(pair.got.iter().all(|(_, replayed)| *replayed));
    assert_eq!(pair.acknowledged(&outlet), 201);
    pair.run_for(2 * SECOND);
    let expected: Vec<_> = (50..200).map(|number| (number, true)).chain((200..250).map(|n| (n, false))).collect();
    assert_eq!(pair.got, expected);
    assert_eq!(pair.acknowledged(&outlet), 251);
}

#[test]
fn a_filter_leaves_nothing_unacknowledged() {
    let (mut pair, outlet) = Pair::new(Encoding::Json);
    pair.ask("subscribe", &json!({"filter": "n >= 90"}));
    publish(&outlet, 0..100, pair.now);
    pair.run_for(SECOND);
    assert_eq!((pair.got.len(), pair.acknowledged(&outlet)), (10, 101));
    publish(&outlet, 0..50, pair.now);
    pair.run_for(SECOND);
    assert_eq!((pair.got.len(), pair.acknowledged(&outlet)), (10, 151));
}

#[test]
fn a_rate_is_kept_where_events_are_acknowledged() {
    let (mut pair, outlet) = Pair::new(Encoding::Json);
    let reply = pair.ask("backpressure", &json!({"rate_limit": 100, "unit": "msg/sec"}));
    assert_eq!(reply, json!({"status": "ok", "result": {"current_rate": 0, "adjusted_to": 100}}));
    publish(&outlet, 0..1_000, pair.now);
    pair.run_for(5 * SECOND);
    assert!((495..=505).contains(&pair.got.len()), "{}", pair.got.len());
    let status = pair.ask("status", &json!({}));
    let rate = status["result"]["throughput"]["current"].as_u64().unwrap();
    assert!((98..=102).contains(&rate), "{status}");
    assert_eq!(status["result"]["queue_depth"], 1_000 - pair.got.len());
}

#[test]
fn a_stream_that_the_peer_does_not_take_is_not_replayed() {
    let (mut pair, _outlet) = Pair::new(Encoding::Json);
    let other = pair.edge.outlet("other", 1 << 20);
    pair.hub.federation.accept(Wants { data: true, streams: vec!["events".to_owned()], ..Wants::default() });
    pair.run();
    publish(&other, 0..10, pair.now);
    pair.run();
    assert_eq!(pair.ask("replay", &json!({}))["result"]["messages_available"], 0);
    assert_eq!(pair.ask("replay", &json!({"stream": "other"}))["error"]["code"], "invalid");
    assert_eq!(pair.got, []);
}

#[test]
fn both_ends_may_ask_at_the_same_time() {
    let (mut pair, _outlet) = Pair::new(Encoding::MessagePack);
    let (here, there) = (Replies::default(), Replies::default());
    ask_all(&pair.edge, &here, "status");
    ask_all(&pair.hub, &there, "status");
    pair.run();
    assert_eq!((here.take()[0].status, there.take()[0].status), ("ok", "ok"));
    let counters = pair.edge.federation.counters();
    assert_eq!((counters.requests_sent.value("status"), counters.requests_received.value("status")), (1, 1));
}

#[test]
fn who_stops_receiving_says_first_what_it_has_taken() {
    for others in [Wants::default(), Wants { data: true, streams: vec!["other".to_owned()], ..Wants::default() }] {
        let (mut pair, outlet) = Pair::new(Encoding::Json);
        publish(&outlet, 0..10, pair.now);
        pair.run();
        assert_eq!((pair.got.len(), pair.acknowledged(&outlet)), (10, 1));
        pair.hub.federation.accept(others);
        pair.run();
        assert_eq!(pair.acknowledged(&outlet), 11);
    }
}
