//! What peers can ask for has its effect at the sender.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ends::{End, LISTENS, link};
use super::plain::Plain;
use super::support::DEADLINE;

/// Events of a quarter of a second may go at once.
const BURST_SECONDS: f64 = 0.25;

/// A stream of numbers that is sent to who comes.
fn numbers(properties: &str) -> End {
    End::start(&format!("{} CREATE STREAM Out (n BIGINT);", link("sink", LISTENS, properties)))
}

/// A stream of alarms.
fn alarms(properties: &str) -> End {
    let columns = "sensor STRING, type STRING, region STRING, severity STRING, value DOUBLE";
    End::start(&format!("{} CREATE STREAM Out ({columns});", link("sink", LISTENS, properties)))
}

/// A peer that has its place: what is published from now on is for it.
#[track_caller]
fn peer(end: &End) -> Plain {
    let peer = Plain::connect(&end.url());
    assert_eq!(peer.ask("status", &json!({}))["status"], "ok");
    peer
}

#[track_caller]
fn range(numbers: std::ops::Range<i64>) -> Vec<Value> {
    numbers.map(Value::from).collect()
}

#[test]
fn backpressure_limits_the_rate_and_unlimited_lifts_it() {
    let end = numbers("");
    let peer = peer(&end);
    let begun = Instant::now();
    let reply = peer.ask("backpressure", &json!({"rate_limit": 40, "unit": "msg/sec"}));
    assert_eq!(reply, json!({"status": "ok", "result": {"current_rate": 0, "adjusted_to": 40}}));
    end.publish("Out", 0..500);
    assert_eq!(peer.members("n", 60), range(0..60));
    // It may take longer wherever the machine is busy, never shorter.
    let least = Duration::from_secs_f64(60.0 / 40.0 - BURST_SECONDS);
    assert!(begun.elapsed() >= least, "60 events within {:?}", begun.elapsed());

    let (reply, events) = peer.ask_meanwhile("status", &json!({}));
    assert_eq!(reply["result"]["queue_depth"], 500 - 60 - events.len());
    let mut seen = 60 + events.len();
    let (reply, events) = peer.ask_meanwhile("backpressure", &json!({"rate_limit": "unlimited"}));
    assert_eq!((&reply["status"], &reply["result"]["adjusted_to"]), (&json!("ok"), &Value::Null));
    seen += events.len();
    assert_eq!(peer.members("n", 500 - seen), range(seen as i64..500));
    assert_eq!(end.metric("eventflux_federation_sent_total", &[]), 500);
    end.stop();
}

#[test]
fn a_rate_of_zero_pauses_one_peer_and_nobody_else() {
    let end = numbers("");
    let (paused, other) = (peer(&end), peer(&end));
    assert_eq!(paused.ask("backpressure", &json!({"rate_limit": 0}))["result"]["adjusted_to"], 0);
    end.publish("Out", 0..100);
    assert_eq!(other.members("n", 100), range(0..100));
    let (status, events) = paused.ask_meanwhile("status", &json!({}));
    assert_eq!((&status["result"]["queue_depth"], events.len()), (&json!(100), 0));
    paused.ask("backpressure", &json!({"rate_limit": "unlimited", "unit": "msg/sec"}));
    assert_eq!(paused.members("n", 100), range(0..100));
    end.stop();
}

#[test]
fn a_subscription_is_a_filter_at_the_sender() {
    let end = alarms("");
    let peer = peer(&end);
    let filter = json!({"path": "$.severity", "operator": ">=", "value": "warning"});
    let reply = peer.ask("subscribe", &json!({ "filter": filter }));
    assert_eq!((&reply["status"], &reply["result"]["filter_applied"]), (&json!("ok"), &json!(true)));
    let subscription = reply["result"]["subscription_id"].as_str().unwrap().to_owned();
    let severities = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];
    let all: Vec<_> = severities.iter().map(|severity| json!({"severity": severity, "value": 1.0})).collect();
    end.send_all("Out", &all).unwrap();
    assert_eq!(peer.members("severity", 5), ["warning", "error", "critical", "alert", "emergency"]);

    // A predicate besides it, as SQL.
    let reply = peer.ask("subscribe", &json!({"filter": "severity = 'debug' AND value > 50"}));
    assert_eq!(reply["status"], "ok");
    for (severity, value) in [("debug", 50.0), ("debug", 51.0), ("info", 99.0), ("error", 1.0)] {
        end.send("Out", &json!({"severity": severity, "value": value})).unwrap();
    }
    assert_eq!(peer.members("severity", 2), ["debug", "error"]);

    let reply = peer.ask("unsubscribe", &json!({ "subscription_id": subscription }));
    assert_eq!(reply["result"], json!({"unsubscribed": true}));
    end.send_all("Out", &[json!({"severity": "alert", "value": 1.0}), json!({"severity": "debug", "value": 70.0})])
        .unwrap();
    assert_eq!(peer.events(1)[0]["value"], 70.0);
    // Two severities, two of the next four, and an alert that is no longer wanted.
    assert_eq!(end.metric("eventflux_federation_filtered_total", &[]), 3 + 2 + 1);
    end.stop();
}

#[test]
fn filters_that_make_no_sense_are_refused() {
    let end = alarms("");
    let peer = peer(&end);
    for params in [
        json!({}),
        json!({"filter": {"path": "severity", "operator": ">=", "value": 1}}),
        json!({"filter": {"path": "$.a", "operator": "~", "value": 1}}),
        json!({"filter": "severity = "}),
        json!({"filter": 5}),
    ] {
        assert_eq!(peer.refused("subscribe", &params), "invalid", "{params}");
    }
    assert_eq!(peer.refused("unsubscribe", &json!({"subscription_id": "sub-999"})), "invalid");
    end.stop();
}

#[test]
fn what_is_replayed_comes_before_anything_new() {
    let end = numbers("websocket.history.events='1000'");
    end.publish("Out", 0..50);
    let peer = peer(&end);
    // Slow enough that what is new is there while the replay goes on.
    peer.ask("backpressure", &json!({"rate_limit": 100}));
    let reply = peer.ask("replay", &json!({"count": 30}));
    assert_eq!(reply, json!({"status": "ok", "result": {"messages_available": 30, "replay_started": true}}));
    end.publish("Out", 50..60);
    assert_eq!(peer.members("n", 40), range(20..60));
    end.stop();
}

#[test]
fn a_replay_reaches_back_to_a_time() {
    let end = numbers("websocket.history.events='1000'");
    let peer = peer(&end);
    end.publish("Out", 0..5);
    let first: Vec<_> = (0..5).map(|_| peer.next()).collect();
    let published = first[4]["timestamp"].as_u64().unwrap();
    // The clock goes on before anything else is published.
    let is_later = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        now.as_millis() as u64 > published
    };
    eventflux_testkit::wait::eventually_blocking(DEADLINE, is_later);
    end.publish("Out", 5..10);
    let later: Vec<_> = (0..5).map(|_| peer.next()).collect();
    let start = later[0]["timestamp"].as_u64().unwrap();
    assert!(start > published);
    let reply = peer.ask("replay", &json!({ "start_time": start }));
    assert_eq!(reply["result"], json!({"messages_available": 5, "replay_started": true}));
    let again: Vec<_> = (0..5).map(|_| peer.next()).collect();
    // To a peer that knows only envelopes they look as they did.
    assert_eq!(again, later);
    let reply = peer.ask("replay", &json!({"start_time": start, "end_time": published}));
    assert_eq!(reply["error"]["code"], "invalid");
    assert_eq!(peer.refused("replay", &json!({"count": -1})), "invalid");
    end.stop();
}

#[test]
fn a_replay_tells_what_is_gone() {
    let end = numbers("websocket.history.events='10', websocket.retain.bytes='512'");
    // Memory is given back in blocks of many events.
    (0..50).for_each(|thousand| end.publish("Out", thousand * 1_000..(thousand + 1) * 1_000));
    let peer = peer(&end);
    let reply = peer.ask("replay", &json!({"count": 40_000}));
    let result = &reply["result"];
    let available = result["messages_available"].as_u64().unwrap();
    assert!((10..40_000).contains(&available), "{reply}");
    assert_eq!((&result["truncated"], &result["reason"]), (&json!(true), &json!("history_gone")), "{reply}");
    assert!(result["first_available"].is_u64(), "{reply}");
    assert_eq!(peer.members("n", available as usize), range(50_000 - available as i64..50_000));
    end.stop();
}

#[test]
fn status_tells_what_was_sent() {
    let end = numbers("");
    let peer = peer(&end);
    end.publish("Out", 0..300);
    peer.events(300);
    let status = peer.ask("status", &json!({}));
    let result = &status["result"];
    assert_eq!((&result["queue_depth"], &result["throughput"]["unit"]), (&json!(0), &json!("msg/sec")));
    // Over the seconds since the connection was opened, as many as they may be: not more than all within one second.
    let (current, average) = (&result["throughput"]["current"], &result["throughput"]["average_1m"]);
    assert!(
        (1..=300).contains(&current.as_u64().unwrap()) && (1..=300).contains(&average.as_u64().unwrap()),
        "{status}"
    );
    assert!(result["uptime_seconds"].as_u64().unwrap() < DEADLINE.as_secs(), "{status}");
    assert_eq!(result.as_object().unwrap().len(), 3, "{status}");
    end.stop();
}

#[test]
fn who_announces_what_it_can_take_gets_that() {
    let end = alarms("");
    let (west, everywhere) = (peer(&end), peer(&end));
    let capabilities = json!({"region": "us-west", "message_types": ["sensor", "telemetry"], "max_rate": 1000});
    let reply = west.ask("announce", &json!({ "capabilities": capabilities }));
    assert_eq!(reply, json!({"status": "ok", "result": {"registered": true, "routing_updated": true}}));
    for (sensor, kind, region) in [
        ("a", json!("sensor"), json!("us-west")),
        ("b", json!("sensor"), json!("eu-north")),
        ("c", json!("alarm"), json!("us-west")),
        ("d", json!("telemetry"), Value::Null),
        ("e", json!("telemetry"), json!("us-west")),
    ] {
        end.send("Out", &json!({"sensor": sensor, "type": kind, "region": region})).unwrap();
    }
    assert_eq!(everywhere.members("sensor", 5), ["a", "b", "c", "d", "e"]);
    // Where no region is said it is for all.
    assert_eq!(west.members("sensor", 3), ["a", "d", "e"]);
    let again = west.ask("announce", &json!({ "capabilities": capabilities }));
    assert_eq!(again["result"]["routing_updated"], false);
    end.stop();
}

#[test]
fn an_announced_rate_is_kept() {
    let end = numbers("");
    let peer = peer(&end);
    let begun = Instant::now();
    peer.ask("announce", &json!({"capabilities": {"max_rate": 50}}));
    assert_eq!(peer.ask("backpressure", &json!({"rate_limit": 1000}))["result"]["adjusted_to"], 50);
    end.publish("Out", 0..75);
    assert_eq!(peer.members("n", 75), range(0..75));
    assert!(begun.elapsed() >= Duration::from_secs_f64(75.0 / 50.0 - BURST_SECONDS), "{:?}", begun.elapsed());
    end.stop();
}

#[test]
fn requests_that_nobody_knows_or_that_are_none_get_an_error_and_the_connection_stays() {
    let end = numbers("");
    let peer = peer(&end);
    assert_eq!(peer.refused("no_such_method", &json!({})), "unknown_method");
    assert_eq!(peer.refused("status", &json!({"detail": "full"})), "invalid");
    assert_eq!(peer.refused("backpressure", &json!({})), "invalid");
    assert_eq!(peer.refused("backpressure", &json!({"rate_limit": -1})), "invalid");
    assert_eq!(peer.refused("backpressure", &json!({"rate_limit": 1, "unit": "msg/min"})), "invalid");
    assert_eq!(peer.refused("announce", &json!({"capabilities": []})), "invalid");
    for payload in
        [json!(5), json!("status"), json!({}), json!({"method": ""}), json!({"method": "status", "params": [1]})]
    {
        peer.send(&json!({"type": "request", "id": "bad", "payload": payload}));
        let reply = peer.next();
        assert_eq!((&reply["type"], &reply["id"]), (&json!("reply"), &json!("bad")), "{reply}");
        assert_eq!(reply["payload"]["error"]["code"], "invalid", "{reply}");
    }
    peer.send(&json!({"type": "request", "id": "none"}));
    let reply = peer.next();
    assert_eq!((&reply["id"], &reply["payload"]["error"]["code"]), (&json!("none"), &json!("invalid")), "{reply}");
    end.publish("Out", 0..1);
    assert_eq!(peer.members("n", 1), [0]);
    end.stop();
}

#[test]
fn requests_can_be_switched_off() {
    let end = numbers("websocket.control='false'");
    let peer = Plain::connect(&end.url());
    assert_eq!(peer.refused("status", &json!({})), "disabled");
    end.stop();
}
