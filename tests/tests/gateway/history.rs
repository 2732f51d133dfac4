//! What a channel remembers for clients that come back or begin, who is on it, and how the end comes.

mod presence;
mod snapshots;

use std::time::{Duration, Instant};

use eventflux_testkit::peer::{Message, Script, ScriptedClient};
use eventflux_testkit::wait::eventually_blocking;
use serde_json::{Value, json};

use super::client::Client;
use super::served::{Plan, Served, serving};
use super::support::{DEADLINE, PROMPTLY};

fn remembering(properties: &str) -> Plan {
    serving("channels").publishing(properties)
}

fn subscribe(data: Value) -> Value {
    json!({"type": "subscribe", "data": data})
}

/// A subscription that goes on behind this place.
fn recover(epoch: &Value, offset: u64) -> Value {
    subscribe(json!({"channels": ["a"], "recover": {"a": {"epoch": epoch, "offset": offset}}}))
}

/// The place of an event.
fn place(event: &Value) -> (Value, u64) {
    let metadata = &event["metadata"];
    assert_eq!(metadata["channel"], "a", "{event}");
    (metadata["epoch"].clone(), metadata["offset"].as_u64().unwrap())
}

/// The place of the history, and whether nothing is missing, from the answer to a subscription.
#[track_caller]
fn position(answer: &Value) -> (Value, u64, Option<bool>) {
    let position = &answer["data"]["positions"]["a"];
    let offset = position["offset"].as_u64().unwrap_or_else(|| panic!("no position: {answer}"));
    (position["epoch"].clone(), offset, position["recovered"].as_bool())
}

#[track_caller]
fn numbers(messages: &[Value]) -> Vec<u64> {
    messages.iter().map(|message| message["data"]["n"].as_u64().unwrap_or_else(|| panic!("{message}"))).collect()
}

fn publish(served: &Served, numbers: std::ops::Range<u64>) {
    for n in numbers {
        served.publish("a", &json!({ "n": n }));
    }
}

/// What comes next is this event, and no other of the channel came in between.
#[track_caller]
fn goes_on(served: &Served, client: &Client, n: u64) {
    publish(served, n..n + 1);
    assert_eq!(numbers(&[client.next()]), [n]);
}

#[test]
fn who_comes_back_misses_nothing() {
    let served = remembering("websocket.history.events='100'").start();
    let first = served.client("");
    let answer = first.ask(&subscribe(json!({"channels": ["a"]})));
    assert_eq!(answer["type"], "subscribe_response");
    publish(&served, 0..3);
    let seen = first.take(3);
    let (epoch, offset) = place(&seen[2]);
    assert_eq!((numbers(&seen), offset), (vec![0, 1, 2], 3));
    first.leave();
    publish(&served, 3..10);
    let again = served.client("");
    assert_eq!(position(&again.ask(&recover(&epoch, offset))), (epoch, 10, Some(true)));
    assert_eq!(numbers(&again.take(7)), [3, 4, 5, 6, 7, 8, 9]);
    goes_on(&served, &again, 10);
    served.stop();
}

#[test]
fn who_has_everything_gets_nothing_twice() {
    let served = remembering("websocket.history.events='100'").start();
    publish(&served, 0..5);
    let (epoch, offset, recovered) = position(&served.client("").ask(&subscribe(json!({"channels": ["a"]}))));
    assert_eq!((offset, recovered), (5, None), "without a wish there is no verdict");
    let client = served.client("");
    assert_eq!(position(&client.ask(&recover(&epoch, 5))).2, Some(true));
    goes_on(&served, &client, 5);
    served.stop();
}

#[test]
fn what_is_published_during_a_replay_keeps_its_order() {
    let served = remembering("websocket.history.events='5000', websocket.history.bytes='16MiB'").start();
    publish(&served, 0..2_000);
    let (epoch, ..) = position(&served.client("").ask(&subscribe(json!({"channels": ["a"]}))));
    let client = served.client("");
    client.send(&recover(&epoch, 0));
    publish(&served, 2_000..4_000);
    client.next();
    assert_eq!(numbers(&client.take(4_000)), (0..4_000).collect::<Vec<_>>());
    served.stop();
}

#[test]
fn who_comes_back_too_late_is_told_what_is_missing() {
    let served = remembering("websocket.history.events='3'").start();
    publish(&served, 0..10);
    let (epoch, ..) = position(&served.client("").ask(&subscribe(json!({"channels": ["a"]}))));
    let client = served.client("");
    assert_eq!(position(&client.ask(&recover(&epoch, 2))), (epoch, 10, Some(false)));
    let messages = client.take(4);
    let gap = messages.iter().find(|message| message["type"] == "error").unwrap_or_else(|| panic!("no gap is told"));
    assert_eq!((&gap["data"]["code"], &gap["data"]["missed"]), (&json!("gap"), &json!(5)));
    let events: Vec<_> = messages.iter().filter(|message| message["type"] == "event").cloned().collect();
    assert_eq!(numbers(&events), [7, 8, 9]);
    assert_eq!(messages[0]["type"], "error", "before the events that come all the same: {messages:?}");
    goes_on(&served, &client, 10);
    served.stop();
}

#[test]
fn a_history_is_bounded_by_bytes_and_age_too() {
    let served = remembering("websocket.history.events='1000', websocket.history.bytes='2000'").start();
    publish(&served, 0..100);
    let (epoch, ..) = position(&served.client("").ask(&subscribe(json!({"channels": ["a"]}))));
    let client = served.client("");
    assert_eq!(position(&client.ask(&recover(&epoch, 0))).2, Some(false));
    let missed = client.next()["data"]["missed"].as_u64().unwrap();
    let kept = client.take(100 - missed as usize);
    assert!((1..50).contains(&kept.len()), "{}", kept.len());
    assert_eq!(numbers(&kept), (missed..100).collect::<Vec<_>>());
    served.stop();
    let served = remembering("websocket.history.events='1000', websocket.history.age='300ms'")
        .with("websocket.max.connections.per.address='0'")
        .start();
    let begin = Instant::now();
    publish(&served, 0..5);
    let (epoch, ..) = position(&served.client("").ask(&subscribe(json!({"channels": ["a"]}))));
    let is_forgotten = || position(&served.client("").ask(&recover(&epoch, 0))).2 == Some(false);
    eventually_blocking(DEADLINE, is_forgotten);
    assert!(begin.elapsed() >= Duration::from_millis(300), "{:?}", begin.elapsed());
    served.stop();
}

#[test]
fn after_a_restart_the_epoch_is_another_and_nobody_is_led_to_believe_that_nothing_is_missing() {
    let served = remembering("websocket.history.events='100'").start();
    publish(&served, 0..5);
    let (epoch, ..) = position(&served.client("").ask(&subscribe(json!({"channels": ["a"]}))));
    served.stop();
    let served = remembering("websocket.history.events='100'").start();
    publish(&served, 0..3);
    let client = served.client("");
    let (other, offset, recovered) = position(&client.ask(&recover(&epoch, 2)));
    assert_ne!(other, epoch);
    assert_eq!((offset, recovered), (3, Some(false)));
    goes_on(&served, &client, 3);
    served.stop();
}

#[test]
fn places_that_cannot_be_are_refused_or_not_recovered() {
    let served = remembering("websocket.history.events='100'").start();
    publish(&served, 0..3);
    let client = served.client("");
    let (epoch, ..) = position(&client.ask(&subscribe(json!({"channels": ["a"]}))));
    let wish = |offset: Value, epoch: &Value| {
        subscribe(json!({"channels": ["a"], "recover": {"a": {"epoch": epoch, "offset": offset}}}))
    };
    for bad in [json!(-1), json!(1.5), json!("1"), Value::Null, json!(1e300)] {
        let answer = client.ask(&wish(bad.clone(), &epoch));
        assert_eq!(answer["data"]["code"], "invalid_message", "{bad}: {answer}");
    }
    for beyond in [4, 1_000_000, i64::MAX as u64, u64::MAX - 1, u64::MAX] {
        let client = served.client("");
        let answer = client.ask(&wish(json!(beyond), &epoch));
        assert_eq!(position(&answer).2, Some(false), "{beyond}: {answer}");
        served.publish("a", &json!({ "n": beyond }));
        assert_eq!(numbers(&[client.next()]), [beyond]);
        client.leave();
    }
    let answer = client.ask(&subscribe(json!({"channels": ["a*"], "recover": {"a*": {"epoch": epoch, "offset": 0}}})));
    assert_eq!(answer["type"], "event", "what the others published came meanwhile");
    served.stop();
}

#[test]
fn recovery_goes_through_the_filter_of_the_subscription() {
    let served = remembering("websocket.history.events='100'").start();
    publish(&served, 0..10);
    let (epoch, ..) = position(&served.client("").ask(&subscribe(json!({"channels": ["a"]}))));
    let client = served.client("");
    let place = json!({"epoch": epoch, "offset": 2});
    let answer = client.ask(&subscribe(json!({"channels": ["a"], "filter": "n >= 7", "recover": {"a": place}})));
    assert_eq!(position(&answer).2, Some(true));
    assert_eq!(numbers(&client.take(3)), [7, 8, 9]);
    goes_on(&served, &client, 10);
    served.stop();
}

#[test]
fn the_other_protocols_recover_too() {
    let served = serving("events").publishing("websocket.history.events='100'").start();
    for n in 0..4 {
        served.publish("blob.created", &json!({ "n": n }));
    }
    let client = served.client("");
    client.next();
    let first = client.ask(&json!({"type": "subscribe", "events": ["blob.created"]}));
    let epoch = first["data"]["positions"]["blob.created"]["epoch"].clone();
    let recover = json!({"blob.created": {"epoch": epoch, "offset": 2}});
    let answer = client.ask(&json!({"type": "subscribe", "events": ["blob.created"], "recover": recover}));
    let position = json!({"epoch": epoch, "offset": 4, "recovered": true});
    assert_eq!(answer["data"]["positions"]["blob.created"], position);
    for n in [2, 3] {
        let event = json!({"type": "blob.created", "data": {"n": n}, "epoch": epoch, "offset": n + 1});
        assert_eq!(client.next(), event);
    }
    served.stop();
    let served =
        serving("analytics").with("websocket.auth='none'").publishing("websocket.history.events='100'").start();
    for n in 0..4 {
        served.publish("events", &json!({ "n": n }));
    }
    let client = served.client("");
    let first = client.ask(&json!({"type": "subscribe", "data": {"type": "events"}, "subscription_id": "one"}));
    let epoch = first["data"]["position"]["epoch"].clone();
    let data = json!({"type": "events", "recover": {"epoch": epoch, "offset": 3}});
    let answer = client.ask(&json!({"type": "subscribe", "data": data, "subscription_id": "two"}));
    assert_eq!(answer["data"]["position"], json!({"epoch": epoch, "offset": 4, "recovered": true}));
    let event = client.next();
    assert_eq!((&event["data"]["event"]["n"], &event["subscription_id"]), (&json!(3), &json!("two")));
    assert_eq!(event["metadata"], json!({"epoch": epoch, "offset": 4}));
    served.stop();
}

#[test]
fn conflation_brings_the_newest_of_each_key_to_a_slow_client() {
    let served = remembering(
        "websocket.key='${item}', websocket.client.queue.full='conflate', websocket.client.queue.bytes='200KiB'",
    )
    .with("websocket.permessage-deflate='false'")
    .start();
    let slow = Client::built(ScriptedClient::builder(served.url("")).receive_buffer(8 << 10));
    slow.subscribe(&["a"]);
    slow.peer.play(Script::new().stop_reading()).blocking();
    let text = "x".repeat(5_000);
    for n in 0..4_000 {
        served.publish_of(&format!("k{}", n % 10), "a", &json!({"n": n, "text": text}));
    }
    slow.peer.play(Script::new().resume_reading()).blocking();
    slow.receives("{\"n\":3999,");
    let record = slow.peer.record();
    let events: Vec<Value> = record
        .messages_of(0)
        .filter_map(Message::as_text)
        .map(|text| serde_json::from_str(text).unwrap())
        .filter(|message: &Value| message["type"] == "event")
        .collect();
    let numbers = numbers(&events);
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "in order");
    assert!(numbers.len() < 4_000, "nothing was conflated");
    assert!(
        (3_990..4_000).all(|n| numbers.contains(&n)),
        "the newest of each key: {:?}",
        &numbers[numbers.len() - 12..]
    );
    served.stop();
}

#[test]
fn a_stop_delivers_what_waits_and_says_goodbye_with_1001() {
    let served = remembering("").start();
    let clients: Vec<_> = (0..10).map(|_| served.client("")).collect();
    clients.iter().for_each(|client| client.subscribe(&["a"]));
    publish(&served, 0..500);
    let before = Instant::now();
    let summary = served.stop();
    assert!(before.elapsed() < PROMPTLY, "{:?}", before.elapsed());
    assert_eq!(summary.undelivered, 0);
    for client in &clients {
        assert_eq!(numbers(&client.take(500)), (0..500).collect::<Vec<_>>());
        client.is_closed(1001, "going away");
    }
}

#[test]
fn a_client_that_reads_nothing_does_not_hold_up_a_stop_beyond_its_deadline() {
    let served =
        remembering("websocket.client.queue.bytes='64MiB'").with("websocket.permessage-deflate='false'").start();
    let frozen = Client::built(ScriptedClient::builder(served.url("")).receive_buffer(8 << 10));
    frozen.subscribe(&["a"]);
    frozen.peer.play(Script::new().stop_reading()).blocking();
    let text = "x".repeat(10_000);
    for n in 0..2_000 {
        served.publish("a", &json!({"n": n, "text": text}));
    }
    let mut served = served;
    let before = Instant::now();
    let summary = served.pipeline.flux.stop(Duration::from_secs(1));
    assert!(before.elapsed() < Duration::from_secs(1) + PROMPTLY, "{:?}", before.elapsed());
    assert!(summary.undelivered > 0, "{summary}");
}
