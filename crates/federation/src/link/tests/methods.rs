//! What each method does to what a peer gets.

use super::*;

fn severity(outlet: &Outlet, names: &[&str], now: Now) {
    let payloads: Vec<_> = names.iter().map(|name| json!({ "severity": name }).to_string()).collect();
    outlet.publish(payloads.iter().map(String::as_bytes), now);
}

#[test]
fn the_replies_are_as_printed() {
    let place = Place::new(FederationConfig::default());
    let outlet = place.outlet("events", 1 << 20);
    let mut peer = place.plain_peer();
    publish(&outlet, 0..100, peer.now);
    peer.read();
    let mut payload = |method: &str, params: Value| {
        peer.send_request(method, &params);
        let texts = peer.read_texts();
        let (_, payload) = texts[0].split_once("\"payload\":").unwrap();
        payload.strip_suffix('}').unwrap().to_owned()
    };
    assert_eq!(
        payload("backpressure", json!({"rate_limit": 100, "unit": "msg/sec"})),
        r#"{"status":"ok","result":{"current_rate":100,"adjusted_to":100}}"#
    );
    let subscribed =
        payload("subscribe", json!({"filter": {"path": "$.severity", "operator": ">=", "value": "warning"}}));
    let rest = subscribed.strip_prefix(r#"{"status":"ok","result":{"subscription_id":"sub-"#).unwrap();
    assert!(rest.ends_with(r#"","filter_applied":true}}"#), "{subscribed}");
    assert_eq!(
        payload("replay", json!({"count": 100, "start_time": 1_704_844_800_000_u64})),
        r#"{"status":"ok","result":{"messages_available":100,"replay_started":true}}"#
    );
    assert_eq!(
        payload("status", json!({})),
        r#"{"status":"ok","result":{"throughput":{"current":100,"average_1m":100,"unit":"msg/sec"},"queue_depth":0,"uptime_seconds":0}}"#
    );
    let capabilities = json!({"region": "us-west", "message_types": ["sensor", "telemetry"], "max_rate": 1000});
    assert_eq!(
        payload("announce", json!({"capabilities": capabilities})),
        r#"{"status":"ok","result":{"registered":true,"routing_updated":true}}"#
    );
}

#[test]
fn backpressure_limits_all_streams_of_a_peer_together() {
    let place = Place::new(FederationConfig::default());
    let outlets = [place.outlet("a", 1 << 20), place.outlet("b", 1 << 20)];
    let (mut peer, mut other) = (place.plain_peer(), place.plain_peer());
    let result = peer.result("backpressure", &json!({"rate_limit": 100}));
    assert_eq!(result, json!({"current_rate": 0, "adjusted_to": 100}));
    outlets.iter().for_each(|outlet| publish(outlet, 0..5_000, peer.now));
    assert_eq!(events(&other.read()).len(), 10_000, "others are not limited");
    for second in 1..=20 {
        let sent = events(&peer.read_for(SECOND)).len();
        assert!((99..=101).contains(&sent), "{sent} in second {second}");
    }
    // After a pause there is no flood.
    peer.pass(60 * SECOND);
    assert_eq!(events(&peer.read()).len(), 10);
}

#[test]
fn the_current_rate_is_what_was_measured() {
    let place = Place::new(FederationConfig::default());
    let outlet = place.outlet("events", 1 << 20);
    let mut peer = place.plain_peer();
    for tick in 0..100 {
        publish(&outlet, tick * 25..tick * 25 + 25, peer.now);
        peer.read();
        peer.pass(100 * MILLISECOND);
    }
    let result = peer.result("backpressure", &json!({"rate_limit": 100, "unit": "msg/sec"}));
    assert_eq!(result, json!({"current_rate": 250, "adjusted_to": 100}));
}

#[test]
fn a_limit_of_zero_pauses_and_unlimited_lifts_it() {
    let place = Place::new(FederationConfig::default());
    let outlet = place.outlet("events", 1 << 20);
    let mut peer = place.plain_peer();
    assert_eq!(peer.result("backpressure", &json!({"rate_limit": 0}))["adjusted_to"], 0);
    publish(&outlet, 0..1_000, peer.now);
    assert_eq!((peer.read_for(3_600 * SECOND).len(), peer.link.deadline()), (0, None));
    assert_eq!(peer.result("status", &json!({}))["queue_depth"], 1_000);
    let (reply, events) = peer.ask_and_read("backpressure", &json!({"rate_limit": "unlimited"}));
    assert_eq!((&reply["result"]["adjusted_to"], events.len()), (&Value::Null, 1_000));
}

#[test]
fn a_limit_is_not_waited_for_where_there_is_nothing_to_send() {
    let place = Place::new(FederationConfig::default());
    let mut peer = place.plain_peer();
    peer.result("backpressure", &json!({"rate_limit": 2}));
    let deadline = peer.link.deadline().unwrap();
    assert!(deadline > peer.now.at);
    peer.pass(deadline - peer.now.at);
    assert_eq!((peer.read().len(), peer.link.deadline()), (0, None));
}

#[test]
fn a_rate_that_makes_no_sense_is_invalid_and_changes_nothing() {
    let place = Place::new(FederationConfig::default());
    let outlet = place.outlet("events", 1 << 20);
    let mut peer = place.plain_peer();
    for params in [
        json!({}),
        json!({"rate_limit": null}),
        json!({"rate_limit": -1}),
        json!({"rate_limit": 1.1e9}),
        json!({"rate_limit": "100"}),
        json!({"rate_limit": "NaN"}),
        json!({"rate_limit": [1]}),
        json!({"rate_limit": 1, "unit": "kB/s"}),
        json!({"rate_limit": 1, "burst": 7}),
    ] {
        assert_eq!(peer.refused("backpressure", &params).0, "invalid", "{params}");
    }
    let nan = r#"{"type":"request","id":"r","payload":{"method":"backpressure","params":{"rate_limit":NaN}}}"#;
    peer.send_text(nan);
    peer.read();
    publish(&outlet, 0..1_000, peer.now);
    assert_eq!(peer.read().len(), 1_000);
    // What a table of several methods has no value for.
    let nulls = json!({"rate_limit": 1e9, "unit": null, "count": null});
    assert_eq!(peer.ask("backpressure", &nulls)["status"], "ok");
    let (_, message) = peer.refused("backpressure", &json!({"rate_limit": null}));
    assert!(message.contains("\"unlimited\""), "{message}");
}

#[test]
fn the_smaller_one_of_both_limits_holds() {
    let place = Place::new(FederationConfig::default());
    let outlet = place.outlet("events", 1 << 20);
    let mut peer = place.plain_peer();
    let announced = |max_rate: Value| json!({"capabilities": {"max_rate": max_rate}});
    assert_eq!(peer.result("announce", &announced(json!(50)))["routing_updated"], true);
    assert_eq!(peer.result("backpressure", &json!({"rate_limit": 1_000}))["adjusted_to"], 50);
    publish(&outlet, 0..10_000, peer.now);
    let sent = events(&peer.read_for(10 * SECOND)).len();
    assert!((495..=505).contains(&sent), "{sent} in ten seconds");
    assert_eq!(peer.result("backpressure", &json!({"rate_limit": 7.5}))["adjusted_to"], 7.5);
    assert_eq!(peer.result("announce", &announced(Value::Null))["routing_updated"], false);
    assert_eq!(peer.result("backpressure", &json!({"rate_limit": 20}))["adjusted_to"], 20);
}

#[test]
fn a_subscriber_gets_what_its_filter_matches() {
    let place = Place::new(FederationConfig::default());
    let outlet = place.outlet("events", 1 << 20);
    let mut peer = place.plain_peer();
    severity(&outlet, &["debug"], peer.now);
    assert_eq!(peer.read().len(), 1, "everything before it subscribes");
    let warnings = json!({"filter": {"path": "$.severity", "operator": ">=", "value": "warning"}});
    assert_eq!(peer.result("subscribe", &warnings)["filter_applied"], true);
    severity(&outlet, &["debug", "warning", "info", "error"], peer.now);
    let messages = peer.read();
    assert_eq!(events(&messages), [&json!({"severity": "warning"}), &json!({"severity": "error"})]);
    assert_eq!(place.federation.counters().filtered.value(), 2);
    assert_eq!(peer.result("status", &json!({}))["queue_depth"], 0);
}

#[test]
fn subscriptions_add_up_and_end_one_by_one() {
    let place = Place::new(FederationConfig::default());
    let (one, two) = (place.outlet("one", 1 << 20), place.outlet("two", 1 << 20));
    let mut peer = place.plain_peer();
    let mut subscribe =
        |params: Value| peer.result("subscribe", &params)["subscription_id"].as_str().unwrap().to_owned();
    let errors = subscribe(json!({"filter": "severity IN ('error', 'alert')"}));
    let debugs = subscribe(json!({"filter": {"path": "$.severity", "operator": "==", "value": "debug"}}));
    let second = subscribe(json!({"filter": null, "streams": ["two"]}));
    assert!(errors != debugs && debugs != second);
    let sent = |peer: &mut Plain| {
        [&one, &two].iter().for_each(|outlet| severity(outlet, &["debug", "info", "error"], peer.now));
        peer.read().len()
    };
    assert_eq!(sent(&mut peer), 2 + 3, "an event that two want comes once");
    for (subscription, expected) in [(second, 2 + 2), (errors, 1 + 1), (debugs, 3 + 3)] {
        let result = peer.result("unsubscribe", &json!({"subscription_id": subscription}));
        assert_eq!(result, json!({"unsubscribed": true}));
        assert_eq!(sent(&mut peer), expected);
        assert_eq!(peer.refused("unsubscribe", &json!({"subscription_id": subscription})).0, "invalid");
    }
    let all = peer.result("subscribe", &json!({"filter": null}));
    assert_eq!((all["filter_applied"].clone(), sent(&mut peer)), (json!(true), 6));
}

#[test]
fn streams_that_are_not_sent_are_told_to_who_subscribes_to_them() {
    let place = Place::new(FederationConfig::default());
    let outlet = place.outlet("events", 1 << 20);
    let mut peer = place.plain_peer();
    let result = peer.result("subscribe", &json!({"streams": ["events", "event"]}));
    assert_eq!(result["unknown_streams"], json!(["event"]));
    publish(&outlet, 0..2, peer.now);
    assert_eq!(peer.read().len(), 2);
}

#[test]
fn a_bad_filter_is_invalid_and_changes_nothing() {
    let place = Place::new(FederationConfig::default());
    let outlet = place.outlet("events", 1 << 20);
    let mut peer = place.plain_peer();
    let (code, message) = peer.refused("subscribe", &json!({"filter": "n > 1 AND n + 2 < 5"}));
    assert_eq!(code, "invalid");
    assert!(message.contains("column 13"), "{message}");
    for params in [
        json!({}),
        json!({"streams": []}),
        json!({"streams": [1]}),
        json!({"streams": vec!["s"; 65]}),
        json!({"streams": "events"}),
        json!({"filter": ""}),
        json!({"filter": 7}),
        json!({"filter": {}}),
        json!({"filter": {"path": "severity", "operator": "=", "value": 1}}),
        json!({"filter": {"path": "$.a", "operator": "matches", "value": 1}}),
        json!({"filter": format!("n = '{}'", "x".repeat(5_000))}),
        json!({"filter": vec!["n = 1"; 65].join(" OR ")}),
        json!({"where": "n > 1"}),
    ] {
        assert_eq!(peer.refused("subscribe", &params).0, "invalid", "{params}");
    }
    publish(&outlet, 0..2, peer.now);
    assert_eq!(peer.read().len(), 2);
}

#[test]
fn subscriptions_are_limited() {
    let place = Place::new(FederationConfig::default());
    let mut peer = place.plain_peer();
    for _ in 0..selection::MAX_SUBSCRIPTIONS {
        peer.result("subscribe", &json!({"filter": "n = 1"}));
    }
    assert_eq!(peer.refused("subscribe", &json!({"filter": "n = 1"})).0, "limit");
    let mut other = place.plain_peer();
    other.result("subscribe", &json!({"filter": "n = 1"}));
}

#[test]
fn announced_types_and_regions_route_events() {
    let place = Place::new(FederationConfig::default());
    let (sensor, alarm) = (place.outlet("sensor", 1 << 20), place.outlet("alarm", 1 << 20));
    let (mut peer, mut other) = (place.plain_peer(), place.plain_peer());
    let capabilities = json!({"region": "us-west", "message_types": ["sensor", "telemetry"]});
    let result = peer.result("announce", &json!({"capabilities": capabilities}));
    assert_eq!(result, json!({"registered": true, "routing_updated": true}));
    for outlet in [&sensor, &alarm] {
        let payloads = [
            r#"{"n":1}"#,
            r#"{"n":2,"type":"telemetry"}"#,
            r#"{"n":3,"type":"alarm"}"#,
            r#"{"n":4,"type":"telemetry","region":"eu"}"#,
            r#"{"n":5,"type":"telemetry","region":"us-west"}"#,
        ];
        outlet.publish(payloads.iter().map(|payload| payload.as_bytes()), peer.now);
    }
    let mut got = numbers(&peer.read());
    got.sort_unstable();
    assert_eq!(got, [1, 2, 2, 5, 5]);
    assert_eq!(other.read().len(), 10, "who announced nothing gets everything");
    let again = peer.result("announce", &json!({"capabilities": capabilities}));
    assert_eq!(again["routing_updated"], false);
    assert_eq!(peer.result("announce", &json!({"capabilities": {}}))["routing_updated"], true);
    publish(&alarm, 6..7, peer.now);
    assert_eq!(peer.read().len(), 1, "the last announcement counts");
}

#[test]
fn where_types_and_regions_are_is_configured() {
    let config = FederationConfig {
        type_path: "$.meta.kind".to_owned(),
        region_path: "$.meta.zone".to_owned(),
        ..FederationConfig::default()
    };
    let place = Place::new(config);
    let outlet = place.outlet("events", 1 << 20);
    let mut peer = place.plain_peer();
    peer.result("announce", &json!({"capabilities": {"region": "north", "message_types": ["sensor"]}}));
    let payloads = [
        r#"{"n":1,"meta":{"kind":"sensor","zone":"north"}}"#,
        r#"{"n":2,"meta":{"kind":"sensor","zone":"south"}}"#,
        r#"{"n":3,"meta":{"kind":"alarm"}}"#,
    ];
    outlet.publish(payloads.iter().map(|payload| payload.as_bytes()), peer.now);
    assert_eq!(numbers(&peer.read()), [1]);
}

#[test]
fn capabilities_that_mean_nothing_are_named_and_bad_ones_refused() {
    let place = Place::new(FederationConfig::default());
    let mut peer = place.plain_peer();
    let result = peer.result("announce", &json!({"capabilities": {"colour": "green", "region": null}}));
    assert_eq!(result, json!({"registered": true, "routing_updated": false, "ignored": ["colour"]}));
    for capabilities in [
        json!(null),
        json!([]),
        json!({"region": 7}),
        json!({"region": "x".repeat(257)}),
        json!({"message_types": "sensor"}),
        json!({"message_types": [1]}),
        json!({"message_types": vec!["x"; 129]}),
        json!({"max_rate": -1}),
        json!({"max_rate": "fast"}),
    ] {
        assert_eq!(peer.refused("announce", &json!({"capabilities": capabilities})).0, "invalid", "{capabilities}");
    }
    assert_eq!(peer.refused("announce", &json!({})).0, "invalid");
}

#[test]
fn filters_and_routes_both_have_to_let_an_event_through() {
    let place = Place::new(FederationConfig::default());
    let outlet = place.outlet("events", 1 << 20);
    let mut peer = place.plain_peer();
    peer.result("subscribe", &json!({"filter": "n > 1"}));
    peer.result("announce", &json!({"capabilities": {"message_types": ["sensor"]}}));
    let payloads =
        [r#"{"n":1,"type":"sensor"}"#, r#"{"n":2,"type":"sensor"}"#, r#"{"n":3,"type":"alarm"}"#, r#"{"n":4}"#];
    outlet.publish(payloads.iter().map(|payload| payload.as_bytes()), peer.now);
    assert_eq!(numbers(&peer.read()), [2]);
}

#[test]
fn status_tells_true_figures() {
    let place = Place::new(FederationConfig::default());
    let outlet = place.outlet("events", 1 << 20);
    let mut peer = place.plain_peer();
    for tick in 0..600 {
        let count = if tick < 550 { 23 } else { 25 };
        publish(&outlet, 0..count, peer.now);
        assert_eq!(peer.read().len() as u64, count);
        peer.pass(100 * MILLISECOND);
    }
    let throughput = json!({"current": 250, "average_1m": 232, "unit": "msg/sec"});
    let expected = json!({"throughput": throughput, "queue_depth": 0, "uptime_seconds": 60});
    assert_eq!(peer.result("status", &json!({})), expected);
    peer.result("backpressure", &json!({"rate_limit": 0}));
    publish(&outlet, 0..45, peer.now);
    peer.pass(3_540 * SECOND);
    let throughput = json!({"current": 0, "average_1m": 0, "unit": "msg/sec"});
    let expected = json!({"throughput": throughput, "queue_depth": 45, "uptime_seconds": 3_600});
    assert_eq!(peer.result("status", &json!({})), expected);
}
