//! Events that go out again.

use super::*;
use crate::{Kept, Store, StoredPayloads};

/// 1,000 events, one for each second, that the peer has got.
fn with_history() -> (Place, Arc<Outlet>, Plain) {
    let place = Place::new(FederationConfig::default());
    let outlet = place.outlet("events", 1 << 20);
    let mut peer = place.plain_peer();
    for number in 0..1_000 {
        publish(&outlet, number..number + 1, peer.now);
        peer.pass(SECOND);
    }
    assert_eq!(peer.read().len(), 1_000);
    (place, outlet, peer)
}

/// The time at which event `number` was published.
fn time(place: &Place, number: u64) -> u64 {
    place.now.unix_ms + number * 1_000
}

fn available(reply: &Value) -> u64 {
    assert_eq!(reply["status"], "ok", "{reply}");
    assert!(reply["result"].get("truncated").is_none(), "{reply}");
    assert_eq!(reply["result"]["replay_started"], true);
    reply["result"]["messages_available"].as_u64().unwrap()
}

#[test]
fn the_last_events_are_replayed_as_they_were() {
    let (place, outlet, mut peer) = with_history();
    publish(&outlet, 1_000..1_001, peer.now);
    let live = peer.read_texts();
    peer.send_request("replay", &json!({"count": 1}));
    let texts = peer.read_texts();
    assert_eq!(texts[1..], live, "without a mark, and with the id and the time it had");
    let (reply, replayed) = peer.ask_and_read("replay", &json!({"count": 100}));
    assert_eq!((available(&reply), numbers(&replayed)), (100, (901..1_001).collect()));
    assert_eq!(place.federation.counters().replayed.value(), 101);
    assert_eq!(place.federation.counters().sent.value(), 1_001);
}

#[test]
fn times_bound_a_replay() {
    let (place, _outlet, mut peer) = with_history();
    let mut replay = |params: Value| {
        let (reply, replayed) = peer.ask_and_read("replay", &params);
        assert_eq!(available(&reply), replayed.len() as u64);
        numbers(&replayed)
    };
    let (start, end) = (time(&place, 200), time(&place, 300));
    assert_eq!(replay(json!({"start_time": start})), (200..1_000).collect::<Vec<_>>());
    assert_eq!(replay(json!({"start_time": start - 999, "count": 3})), [200, 201, 202]);
    assert_eq!(replay(json!({"start_time": start, "end_time": end})), (200..=300).collect::<Vec<_>>());
    assert_eq!(replay(json!({"end_time": end, "count": 2})), [299, 300]);
    assert_eq!(replay(json!({"start_time": start, "end_time": start})), [200]);
    assert_eq!(replay(json!({"start_time": start, "count": 5.0})), [200, 201, 202, 203, 204]);
    assert_eq!(replay(json!({})).len(), 1_000);
}

#[test]
fn what_was_not_published_is_not_available() {
    let (place, _outlet, mut peer) = with_history();
    let nothing = json!({"messages_available": 0, "replay_started": false});
    assert_eq!(peer.result("replay", &json!({"start_time": time(&place, 5_000)})), nothing);
    let (reply, replayed) = peer.ask_and_read("replay", &json!({"count": 5_000}));
    assert_eq!((available(&reply), replayed.len()), (1_000, 1_000), "nothing is gone");
}

#[test]
fn bounds_that_make_no_sense_are_invalid() {
    let (_place, _outlet, mut peer) = with_history();
    for params in [
        json!({"count": -1}),
        json!({"count": 0}),
        json!({"count": 1.5}),
        json!({"count": "100"}),
        json!({"count": 1_000_000_001}),
        json!({"count": 1e300}),
        json!({"start_time": -1}),
        json!({"start_time": "yesterday"}),
        json!({"start_time": 300_000_000_000_000_u64}),
        json!({"end_time": -1}),
        json!({"start_time": 2, "end_time": 1}),
        json!({"stream": 7}),
        json!({"stream": "unknown"}),
        json!({"from": 1}),
    ] {
        assert_eq!(peer.refused("replay", &params).0, "invalid", "{params}");
    }
}

#[test]
fn before_retention_a_replay_is_truncated_and_the_first_available_is_told() {
    let place = Place::new(FederationConfig::default());
    let outlet = place.outlet("events", 0);
    let mut peer = place.plain_peer();
    let payload = |number: u64| json!({"n": number, "text": "x".repeat(1_000)}).to_string();
    for number in 0..5_000 {
        outlet.publish([payload(number).as_bytes()].into_iter(), peer.now);
        peer.pass(SECOND);
        peer.read();
    }
    let kept = outlet.range().1 - outlet.range().0;
    assert!((500..1_500).contains(&kept), "{kept}");
    let first = 5_000 - kept;
    let expected = |available: u64| {
        json!({
            "messages_available": available, "replay_started": true,
            "truncated": true, "reason": "history_gone", "first_available": time(&place, first)
        })
    };
    for (params, count) in [
        (json!({}), kept),
        (json!({"count": 4_000}), kept),
        (json!({"start_time": time(&place, 10)}), kept),
        (json!({"start_time": time(&place, 10), "count": 7}), 7),
        (json!({"start_time": time(&place, 10), "end_time": time(&place, first + 1)}), 2),
    ] {
        let (reply, replayed) = peer.ask_and_read("replay", &params);
        assert_eq!(reply["result"], expected(count), "{params}");
        assert_eq!(numbers(&replayed), (first..first + count).collect::<Vec<_>>());
    }
    let (reply, replayed) = peer.ask_and_read("replay", &json!({"count": 10}));
    assert_eq!((available(&reply), numbers(&replayed)), (10, (4_990..5_000).collect()));
}

#[test]
fn what_was_published_before_a_restart_is_another_epoch() {
    let (place, _outlet, mut peer) = with_history();
    let result =
        peer.ask_and_read("replay", &json!({"start_time": time(&place, 0) - 1, "count": 1})).0["result"].take();
    let expected = json!({
        "messages_available": 1, "replay_started": true,
        "truncated": true, "reason": "epoch_changed", "first_available": time(&place, 0)
    });
    assert_eq!(result, expected);
}

#[test]
fn new_events_wait_behind_a_replay_and_keep_their_order() {
    let (_place, outlet, mut peer) = with_history();
    peer.result("backpressure", &json!({"rate_limit": 100}));
    assert_eq!(peer.ask("replay", &json!({"count": 300}))["result"]["messages_available"], 300);
    let mut got = Vec::new();
    for number in 0..10 {
        publish(&outlet, 1_000 + number * 10..1_010 + number * 10, peer.now);
        got.extend(numbers(&peer.read_for(500 * MILLISECOND)));
    }
    assert!((490..=510).contains(&(got.len() + 100)) || got.len() == 400, "{} at the limit", got.len());
    got.extend(numbers(&peer.read_for(60 * SECOND)));
    let expected: Vec<_> = (700..1_000).chain(1_000..1_100).collect();
    assert_eq!(got, expected);
}

#[test]
fn what_waits_comes_once_behind_what_is_replayed() {
    let (_place, outlet, mut peer) = with_history();
    peer.result("backpressure", &json!({"rate_limit": 0}));
    publish(&outlet, 1_000..1_005, peer.now);
    assert_eq!(available(&peer.ask("replay", &json!({"count": 3}))), 3);
    peer.send_request("backpressure", &json!({"rate_limit": "unlimited"}));
    assert_eq!(numbers(&peer.read()), [997, 998, 999, 1_000, 1_001, 1_002, 1_003, 1_004]);
}

#[test]
fn a_replay_goes_through_the_filter() {
    let (_place, _outlet, mut peer) = with_history();
    peer.result("subscribe", &json!({"filter": "n IN (1, 5, 999)"}));
    let (reply, replayed) = peer.ask_and_read("replay", &json!({}));
    assert_eq!((available(&reply), numbers(&replayed)), (1_000, vec![1, 5, 999]));
}

#[test]
fn a_second_replay_of_a_stream_is_busy_until_the_first_one_is_over() {
    let (place, _outlet, mut peer) = with_history();
    let other = place.outlet("other", 1 << 20);
    publish(&other, 0..3, peer.now);
    peer.read();
    peer.result("backpressure", &json!({"rate_limit": 0}));
    peer.result("replay", &json!({"stream": "events", "count": 3}));
    assert_eq!(peer.refused("replay", &json!({"stream": "events", "count": 3})).0, "busy");
    assert_eq!(peer.refused("replay", &json!({})).0, "busy");
    assert_eq!(peer.result("replay", &json!({"stream": "other"}))["messages_available"], 3);
    peer.send_request("backpressure", &json!({"rate_limit": "unlimited"}));
    assert_eq!(events(&peer.read()).len(), 6);
    assert_eq!(events(&peer.ask_and_read("replay", &json!({"count": 2})).1).len(), 2);
}

#[test]
fn the_bytes_of_all_replays_together_are_limited() {
    let config = FederationConfig { replay_bytes: 100_000, ..FederationConfig::default() };
    let place = Place::new(config);
    let outlet = place.outlet("events", 1 << 20);
    publish(&outlet, 0..10_000, place.now);
    let mut peers: Vec<_> = (0..5).map(|_| place.plain_peer()).collect();
    for peer in &mut peers {
        peer.result("backpressure", &json!({"rate_limit": 0}));
    }
    let count = json!({"count": 1_000});
    let granted = peers.iter_mut().map(|peer| peer.ask("replay", &count)["status"] == "ok").filter(|ok| *ok).count();
    assert!((2..5).contains(&granted), "{granted}");
    let (code, message) = peers[4].refused("replay", &count);
    assert_eq!((code.as_str(), message.contains("100000 bytes")), ("busy", true));
    // Room comes back when one is over, when a connection ends, and when one gets nowhere.
    peers[0].send_request("backpressure", &json!({"rate_limit": "unlimited"}));
    assert_eq!(events(&peers[0].read()).len(), 1_000);
    assert_eq!(peers[4].ask("replay", &count)["status"], "ok");
    assert_eq!(peers[0].refused("replay", &count).0, "busy");
    peers.remove(4);
    assert_eq!(events(&peers[0].ask_and_read("replay", &count).1).len(), 1_000);
    assert_eq!(peers[0].refused("replay", &json!({"count": 10_000})).0, "busy");
    for peer in &mut peers[1..] {
        let now = peer.now;
        assert!(peer.link.deadline().is_none_or(|deadline| deadline == now.at + 60 * SECOND));
        peer.pass(60 * SECOND);
        peer.link.timers(peer.now);
    }
    assert_eq!(events(&peers[0].ask_and_read("replay", &json!({"count": 10_000})).1).len(), 10_000);
    peers[1].send_request("backpressure", &json!({"rate_limit": "unlimited"}));
    assert_eq!(events(&peers[1].read()).len(), 1_000, "it goes on when it can");
}

#[test]
fn the_count_is_of_all_streams_together() {
    let place = Place::new(FederationConfig::default());
    let outlets = [place.outlet("a", 1 << 20), place.outlet("b", 1 << 20)];
    let mut peer = place.plain_peer();
    for number in 0..100 {
        publish(&outlets[number as usize % 2], number..number + 1, peer.now);
        // Two at the same time in each of both.
        if number % 4 == 3 {
            peer.pass(SECOND);
        }
    }
    peer.read();
    let mut replay = |params: Value| {
        let (reply, replayed) = peer.ask_and_read("replay", &params);
        assert_eq!(available(&reply), replayed.len() as u64);
        let mut numbers = numbers(&replayed);
        numbers.sort_unstable();
        numbers
    };
    assert_eq!(replay(json!({"count": 8})), (92..100).collect::<Vec<_>>());
    assert_eq!(replay(json!({"count": 7})).len(), 7);
    assert!(replay(json!({"count": 7})).iter().all(|number| *number >= 92));
    let start = time(&place, 10);
    assert_eq!(replay(json!({"start_time": start, "count": 4})), [40, 41, 42, 43]);
    let six = replay(json!({"start_time": start, "count": 6}));
    assert!(six.len() == 6 && six.iter().all(|number| (40..48).contains(number)), "{six:?}");
    assert_eq!(replay(json!({"count": 100})), (0..100).collect::<Vec<_>>());
}

#[test]
fn what_is_forgotten_while_it_waits_to_be_replayed_is_counted() {
    let place = Place::new(FederationConfig::default());
    let outlet = place.outlet("events", 0);
    let mut peer = place.plain_peer();
    let publish_large = |count: usize| {
        outlet.publish(
            std::iter::repeat_n(format!("{{\"n\":1,\"text\":\"{}\"}}", "x".repeat(1_000)).as_bytes(), count),
            peer.now,
        );
    };
    publish_large(600);
    peer.read();
    peer.result("backpressure", &json!({"rate_limit": 0}));
    assert_eq!(peer.result("replay", &json!({}))["messages_available"], 600);
    outlet.publish(
        std::iter::repeat_n(format!("{{\"n\":2,\"text\":\"{}\"}}", "x".repeat(1_000)).as_bytes(), 700),
        peer.now,
    );
    peer.send_request("backpressure", &json!({"rate_limit": "unlimited"}));
    let got = numbers(&peer.read());
    let again = got.iter().filter(|number| **number == 1).count() as u64;
    let counters = place.federation.counters();
    assert_eq!((again, again + counters.unreplayed.value()), (counters.replayed.value(), 600));
    assert!(counters.unreplayed.value() > 0);
    assert_eq!(got.len() as u64 - again, 700);
}

/// Keeps everything, and reads it when the test says so.
#[derive(Debug, Default)]
struct Disk {
    kept: Mutex<Vec<StoredPayloads>>,
    asked: Mutex<Vec<(u64, u64)>>,
}

impl Store for Disk {
    fn append(&self, payloads: StoredPayloads) {
        self.kept.lock().unwrap().push(payloads);
    }

    fn has_room(&self) -> bool {
        true
    }

    fn load(&self, number: u64, from: u64, _: usize) {
        self.asked.lock().unwrap().push((number, from));
    }

    fn forget(&self, _: u64) {}

    fn mark(&self, _: &str, _: u64, _: u64) {}

    fn unmark(&self, _: &str) {}

    fn unwritten_bytes(&self) -> usize {
        0
    }
}

impl Disk {
    /// Answers what was asked for, a hundred events at a time.
    fn read(&self, outlet: &Outlet) -> bool {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        for (number, from) in &asked {
            let is_later = |payloads: &&StoredPayloads| payloads.first + u64::from(payloads.count) > *from;
            let payloads: Vec<_> = self.kept.lock().unwrap().iter().filter(is_later).take(100).cloned().collect();
            outlet.loaded(*number, &payloads);
        }
        !asked.is_empty()
    }
}

#[test]
fn what_only_the_store_has_is_replayed_too() {
    let place = Place::new(FederationConfig::default());
    let disk = Arc::new(Disk::default());
    let other = place.outlet("other", 0);
    let config = OutletConfig { stream: "events".to_owned(), ..other.config().clone() };
    let kept = Kept { epoch: 7, first: 1, next: 1, receivers: Vec::new() };
    let outlet = Arc::new(Outlet::stored_in(config, OutletCounters::default(), disk.clone(), kept));
    assert!(place.federation.add_outlet(outlet.clone()));
    let mut peer = place.plain_peer();
    for number in 0..3_000 {
        let payload = json!({"n": number, "text": "x".repeat(1_000)}).to_string();
        outlet.publish([payload.as_bytes()].into_iter(), peer.now);
        outlet.stored(number + 2);
        peer.pass(SECOND);
        peer.read();
    }
    assert!(outlet.bytes() < 2_000_000, "memory holds the last ones only");
    let mut replay = |params: Value| {
        let (reply, mut messages) = peer.ask_and_read("replay", &params);
        while disk.read(&outlet) {
            messages.extend(peer.read());
        }
        (available(&reply), numbers(&messages))
    };
    // Whether it is asked for alone or not.
    for (count, stream) in [(2_900, Value::Null), (2_900, json!("events")), (10, Value::Null), (10, json!("events"))] {
        let (available, got) = replay(json!({"count": count, "stream": stream}));
        assert_eq!(available, count, "{stream}");
        assert!(got.into_iter().eq(3_000 - count..3_000), "{count} {stream}");
    }
    // Memory does not tell where the time begins and ends: what is told is the most that there can be.
    let (most, got) = replay(json!({"start_time": time(&place, 50), "end_time": time(&place, 60)}));
    assert_eq!((most > 10, got), (true, (50..=60).collect()));
    let (most, got) = replay(json!({"start_time": time(&place, 2_500)}));
    assert!(most == 500 && got.into_iter().eq(2_500..3_000));
}
