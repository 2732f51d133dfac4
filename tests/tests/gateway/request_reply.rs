//! Requests of clients that the pipeline answers, and what comes with the messages of clients.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use eventflux_testkit::peer::Record;
use serde_json::{Value, json};

use super::served::{Plan, Served, WATCHED, serving};

const TOKENS: &str = "websocket.auth='token', websocket.auth.tokens='hunter2-ann=ann, hunter2-bob=bob'";

/// Answers come from this query alone.
const DOUBLE: &str = "INSERT INTO Answers
    SELECT request, '{\"of\":' || payload || '}' AS payload FROM Came WHERE request IS NOT NULL;";

/// Requests come in, and the test answers them.
fn asked(properties: &str) -> Plan {
    serving("channels").with(properties).taking("websocket.accept='request'").answering("")
}

fn request(id: &str, data: &Value) -> Value {
    json!({"type": "request", "data": data, "correlation_id": id})
}

/// The requests that came in, by correlation id.
#[track_caller]
fn where_to(served: &Served, count: usize, correlation: &str) -> String {
    let came = served.came(count);
    let of = came.iter().rev().find(|came| came.correlation.as_deref() == Some(correlation));
    of.and_then(|came| came.request.clone()).unwrap_or_else(|| panic!("no request {correlation}: {came:?}"))
}

#[track_caller]
fn is_error(message: &Value, code: &str, correlation: &str) {
    let seen = (&message["type"], &message["data"]["code"], &message["correlation_id"]);
    assert_eq!(seen, (&json!("error"), &json!(code), &json!(correlation)), "{message}");
}

#[test]
fn a_query_answers_the_client_that_asked_and_nobody_else() {
    let served = serving("channels").taking("").answering(DOUBLE).start();
    let clients: Vec<_> = (0..5).map(|_| served.client("")).collect();
    for (n, client) in clients.iter().enumerate() {
        // All of them call it the same.
        client.send(&request("req-1", &json!(n)));
    }
    for (n, client) in clients.iter().enumerate() {
        assert_eq!(client.next(), json!({"type": "response", "data": {"of": n}, "correlation_id": "req-1"}));
        client.subscribe(&[WATCHED]);
        served.serves(client);
        assert_eq!(client.peer.record().messages.len(), 3, "an answer, another one, an event: {:?}", client.peer);
    }
    served.stop();
}

#[test]
fn commands_and_other_messages_are_answered_where_they_have_a_correlation_id() {
    for (protocol, kind, auth) in [("events", "create_blob", ""), ("analytics", "track", "websocket.auth='none'")] {
        let served = serving(protocol).with(auth).taking("").answering(DOUBLE).start();
        let client = served.client("");
        if protocol == "events" {
            assert_eq!(client.next()["type"], "connected");
        }
        client.send(&json!({"type": kind, "data": 7}));
        let answer = client.ask(&json!({"type": kind, "data": 8, "correlation_id": "req-1"}));
        assert_eq!(answer, json!({"type": format!("{kind}.result"), "data": {"of": 8}, "correlation_id": "req-1"}));
        let came = served.came(2);
        assert_eq!((&came[0].request, came[0].payload.as_str()), (&None, "7"));
        served.stop();
    }
}

#[test]
fn answers_may_come_in_any_order() {
    let served = asked("").start();
    let client = served.client("");
    client.send_all(["a", "b", "c"].map(|id| request(id, &json!(id))));
    for id in ["c", "a", "b"] {
        served.answer(&where_to(&served, 3, id), &json!({"of": id})).unwrap();
        assert_eq!(client.next(), json!({"type": "response", "data": {"of": id}, "correlation_id": id}));
    }
    served.stop();
}

#[test]
fn a_request_without_a_correlation_id_is_answered_without_one() {
    let served = asked("").start();
    let client = served.client("");
    client.send(&json!({"type": "request", "data": {"n": 1}}));
    let request = served.came(1)[0].request.clone().unwrap();
    served.answer(&request, &json!({"n": 2})).unwrap();
    assert_eq!(client.next(), json!({"type": "response", "data": {"n": 2}}));
    served.stop();
}

#[test]
fn no_answer_in_time_is_an_error_and_a_late_one_is_dropped() {
    let served = asked("websocket.request.timeout='500ms'").start();
    let client = served.client("");
    client.send(&request("req-1", &json!({})));
    let late = where_to(&served, 1, "req-1");
    is_error(&client.next(), "request_timeout", "req-1");
    // The connection has been quiet, and nothing else is due.
    client.send(&request("req-2", &json!({})));
    is_error(&client.next(), "request_timeout", "req-2");
    served.answer(&late, &json!("late")).unwrap();
    // The name is free again, and the late answer is none to it.
    client.send(&request("req-1", &json!({})));
    let came = served.came(3);
    assert_ne!(came[0].request, came[2].request);
    served.answer(came[2].request.as_deref().unwrap(), &json!("in time")).unwrap();
    assert_eq!(client.next(), json!({"type": "response", "data": "in time", "correlation_id": "req-1"}));
    served.counted_error("request_timeout", 2);
    served.stop();
}

#[test]
fn a_second_answer_is_dropped() {
    let served = asked("").start();
    let client = served.client("");
    client.send(&request("req-1", &json!({})));
    let request_1 = where_to(&served, 1, "req-1");
    served.answer(&request_1, &json!("first")).unwrap();
    served.answer(&request_1, &json!("second")).unwrap();
    client.receives("\"first\"");
    client.send(&request("req-2", &json!({})));
    served.answer(&where_to(&served, 2, "req-2"), &json!("other")).unwrap();
    client.receives("\"other\"");
    assert_eq!(client.peer.record().messages.len(), 2, "{:?}", client.peer);
    served.stop();
}

#[test]
fn a_correlation_id_in_flight_cannot_be_used_again_until_it_is_answered() {
    let served = asked("").start();
    let (client, other) = (served.client(""), served.client(""));
    client.send(&request("req-1", &json!(1)));
    let first = where_to(&served, 1, "req-1");
    is_error(&client.ask(&request("req-1", &json!(2))), "duplicate_request", "req-1");
    // It is the name of one client, not of all.
    other.send(&request("req-1", &json!(3)));
    served.came(2);
    served.answer(&first, &json!("answer")).unwrap();
    assert_eq!(client.next()["data"], "answer");
    client.send(&request("req-1", &json!(4)));
    assert_eq!(served.came(3)[2].payload, "4");
    served.counted_error("duplicate_request", 1);
    served.stop();
}

#[test]
fn over_the_limit_requests_are_refused_as_busy() {
    let served = asked("websocket.max.requests='1'").start();
    let (client, other) = (served.client(""), served.client(""));
    client.send(&request("a", &json!(1)));
    served.came(1);
    is_error(&client.ask(&request("b", &json!(2))), "busy", "b");
    other.send(&request("c", &json!(3)));
    assert_eq!(served.came(2)[1].correlation.as_deref(), Some("c"), "others have limits of their own");
    served.counted_error("busy", 1);
    served.stop();
}

#[test]
fn what_is_answered_to_a_client_that_left_reaches_nobody() {
    let served = asked(TOKENS).start();
    let goes = served.client("?token=hunter2-ann");
    goes.send(&request("req-1", &json!({})));
    let request_1 = where_to(&served, 1, "req-1");
    goes.leave();
    served.has_connections(0);
    // The same user, and the same name.
    let comes = served.client("?token=hunter2-ann");
    comes.send(&request("req-1", &json!({})));
    let request_2 = where_to(&served, 2, "req-1");
    served.answer(&request_1, &json!("for the one that left")).unwrap();
    served.answer(&request_2, &json!("for the one that came")).unwrap();
    assert_eq!(comes.next()["data"], "for the one that came");
    assert_eq!(served.metric("eventflux_sink_failed_total", &[("stream", "Answers")]), 0);
    served.stop();
}

#[test]
fn an_answer_to_what_is_no_request_fails_and_the_pipeline_goes_on() {
    let served = asked("").start();
    let client = served.client("");
    for nonsense in ["", "nonsense", "00000000-0000-0000-0000-000000000000/x", "1/2/3"] {
        // Whether the program that pushes is told, or the error strategy, is the engine's business.
        let _ = served.answer(nonsense, &json!({}));
    }
    served.wait_for_metric("eventflux_sink_failed_total", &[("stream", "Answers")], 4);
    client.send(&request("req-1", &json!({})));
    served.answer(&where_to(&served, 1, "req-1"), &json!("answer")).unwrap();
    assert_eq!(client.next()["data"], "answer");
    served.stop();
}

#[test]
fn a_message_comes_in_with_who_sent_it_when_and_where_from() {
    let served = serving("channels").with(TOKENS).with("websocket.trusted.proxies='127.0.0.1'").taking("").start();
    let micros = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64;
    let before = micros();
    let from = |token: &str, address: &str| {
        let builder = eventflux_testkit::peer::ScriptedClient::builder(served.url(&format!("?token={token}")));
        super::client::Client::built(builder.header("X-Forwarded-For", address))
    };
    let (ann, bob) = (from("hunter2-ann", "192.0.2.1"), from("hunter2-bob", "2001:db8::7"));
    ann.send(&json!({"type": "event", "data": {"n": 1.50}, "metadata": {"channel": "chat"}, "correlation_id": "c-1"}));
    let first = served.came(1).remove(0);
    bob.send(&json!({"type": "ack", "data": {"ok": true}, "correlation_id": "c-2"}));
    served.came(2);
    ann.send(&request("c-3", &json!({"channel": "orders"})));
    let came = served.came(3);
    let who: Vec<_> = came.iter().map(|came| (came.person.as_deref().unwrap(), &*came.address, &*came.kind)).collect();
    let expected = [("ann", "192.0.2.1", "event"), ("bob", "2001:db8::7", "ack"), ("ann", "192.0.2.1", "request")];
    assert_eq!(who, expected);
    assert_eq!((first.channel.as_deref(), first.correlation.as_deref()), (Some("chat"), Some("c-1")));
    assert_eq!((first.payload.as_str(), &first.request), ("{\"n\":1.5}", &None));
    assert_eq!(came[2].channel.as_deref(), Some("orders"), "a channel among the data counts too");
    assert!(came[2].request.is_some());
    assert!(came[0].connection == came[2].connection && came[0].connection != came[1].connection, "{came:?}");
    assert!(came.iter().all(|came| (before..=micros()).contains(&came.received)), "{came:?}");
    served.stop();
}

#[test]
fn who_is_nobody_in_particular_has_no_name() {
    let served = serving("channels").taking("").start();
    served.client("").send(&json!({"type": "ack", "correlation_id": "1"}));
    let came = served.came(1).remove(0);
    assert_eq!((came.person, came.channel, came.payload.as_str()), (None, None, "{}"));
    served.stop();
}

#[test]
fn a_payload_comes_in_digit_for_digit() {
    let served = serving("channels").taking("").start();
    let client = served.client("");
    let data = r#"{"price":12345678901234567890.10,"tiny":1e-400,"b":[ 1 ,2],"text":"\u00e9"}"#;
    let message = format!("{{\"type\":\"ack\",\"correlation_id\":\"1\",\"data\":{data}}}");
    client.peer.send_text(message).blocking();
    assert_eq!(served.came(1)[0].payload, data);
    served.stop();
}

#[test]
fn only_kinds_that_are_accepted_come_in() {
    let served = serving("events").taking("websocket.accept='create_blob, process_blob'").start();
    let client = served.client("");
    assert_eq!(client.next()["type"], "connected");
    for kind in ["create_blob", "delete_blob", "process_blob", "CREATE_BLOB"] {
        client.send(&json!({"type": kind, "correlation_id": kind}));
    }
    let refused: BTreeSet<_> =
        client.take(2).into_iter().map(|error| error["correlation_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(refused, BTreeSet::from(["delete_blob".to_owned(), "CREATE_BLOB".to_owned()]));
    let kinds: Vec<_> = served.came(2).into_iter().map(|came| came.kind).collect();
    assert_eq!(kinds, ["create_blob", "process_blob"]);
    served.stop();
}

#[test]
fn what_a_client_sent_before_it_hung_up_comes_in() {
    const MESSAGES: usize = 5_000;
    let served = serving("channels").taking("websocket.accept='ack'").start();
    let client = served.client("");
    client.send_all((0..MESSAGES).map(|n| json!({"type": "ack", "correlation_id": n.to_string()})));
    drop(client);
    let names: Vec<_> = served.came(MESSAGES).into_iter().map(|came| came.correlation.unwrap()).collect();
    assert_eq!(names, (0..MESSAGES).map(|n| n.to_string()).collect::<Vec<_>>());
    served.stop();
}

#[test]
fn an_event_with_a_name_can_be_acknowledged() {
    let served =
        serving("channels").publishing("websocket.correlation='${item}'").taking("websocket.accept='ack'").start();
    let client = served.client("");
    client.subscribe(&["a"]);
    served.publish_of("order-7", "a", &json!({"n": 1}));
    let event = client.next();
    assert_eq!(event, json!({"type": "event", "data": {"n": 1}, "correlation_id": "order-7"}));
    client.send(&json!({"type": "ack", "correlation_id": event["correlation_id"]}));
    assert_eq!(served.came(1)[0].correlation.as_deref(), Some("order-7"));
    served.stop();
}

#[test]
fn while_the_pipeline_is_busy_clients_wait_and_nothing_is_lost() {
    const MESSAGES: usize = 20_000;
    let served = serving("channels")
        .with("websocket.ping.interval='100ms', websocket.pong.timeout='800ms'")
        .taking("websocket.accept='ack'")
        .start();
    let (client, listener) = (served.client(""), served.client(""));
    let busy = served.hold_up();
    let text = "x".repeat(1_000);
    let sending = std::thread::spawn(move || {
        for chunk in 0..20 {
            let acks = (0..MESSAGES / 20)
                .map(|n| json!({"type": "ack", "correlation_id": format!("{chunk}-{n}"), "data": text}));
            client.send_all(acks);
        }
        client
    });
    // Who only listens does not notice.
    listener.subscribe(&[WATCHED]);
    served.serves(&listener);
    // Longer than anybody may be silent, by the server's own clock: who is not read is not silent.
    let waited = |record: &Record| (record.pings > 10).then_some(());
    listener.peer.wait_for("more than 10 pings", waited).blocking();
    assert!(!sending.is_finished(), "more was taken than the pipeline had room for");
    drop(busy);
    let came = served.came(MESSAGES);
    let client = sending.join().unwrap();
    assert!(client.is_open() && listener.is_open());
    assert!(came.iter().all(|message| message.connection == came[0].connection));
    served.stop();
}
