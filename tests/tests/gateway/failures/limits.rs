//! Clients that want too much.

use eventflux_testkit::peer::{Script, ScriptedClient};
use serde_json::{Value, json};

use super::super::client::{Client, refusal};
use super::super::served::{Served, WATCHED, serving};
use super::{bystander, unharmed};

fn served(properties: &str) -> Served {
    serving("channels").with(properties).start()
}

fn subscribe(data: Value) -> Value {
    json!({"type": "subscribe", "data": data})
}

#[test]
fn a_flood_of_messages_is_throttled_and_then_closed_with_1008() {
    let served = served("websocket.rate.limit='10', websocket.close.timeout='300ms'");
    let bystander = bystander(&served, "");
    let flooder = served.client("");
    flooder.send_all((0..21).map(|_| json!({"type": "ping"})));
    flooder.is_closed(1008, "too many messages");
    let answers = flooder.take(20);
    assert!(answers[..10].iter().all(|answer| *answer == json!({"type": "pong"})), "{answers:?}");
    assert!(answers[10..].iter().all(|answer| answer["data"]["code"] == "rate_limit_exceeded"), "{answers:?}");
    served.counted_error("rate_limit_exceeded", 10);
    served.counted_violation("1008", 1);
    unharmed(served, &bystander);
}

#[test]
fn subscriptions_end_at_their_limit_however_they_are_asked_for() {
    let served = served("");
    let bystander = bystander(&served, "");
    let greedy = served.client("");
    let names = |from: usize, count: usize| (from..from + count).map(|n| format!("c{n}")).collect::<Vec<_>>();
    for round in 0..5 {
        // As many as fit into one message.
        greedy.send(&subscribe(json!({"channels": names(round * 1000, 1000)})));
        let granted = if round == 0 { 50 } else { 0 };
        let errors = greedy.take(1000 - granted + usize::from(granted > 0));
        let limited = errors.iter().filter(|error| error["data"]["code"] == "subscription_limit_exceeded");
        assert_eq!(limited.count(), 1000 - granted);
    }
    served.wait_for_metric("websocket_subscriptions", &[], 51);
    greedy.leave();
    served.wait_for_metric("websocket_subscriptions", &[], 1);
    unharmed(served, &bystander);
}

#[test]
fn more_names_than_a_message_may_have_are_an_invalid_message() {
    let served = served("websocket.max.message.size='1MiB'");
    let bystander = bystander(&served, "");
    let greedy = served.client("");
    let names: Vec<_> = (0..16_385).map(|n| format!("c{n}")).collect();
    let answer = greedy.ask(&subscribe(json!({"channels": names})));
    assert_eq!(answer["data"]["code"], "invalid_message");
    served.counted_error("invalid_message", 1);
    unharmed(served, &bystander);
}

#[test]
fn channels_of_all_clients_together_are_limited() {
    let served = served("websocket.max.channels='10', websocket.max.subscriptions='100'");
    let bystander = bystander(&served, "");
    let greedy = served.client("");
    let names: Vec<_> = (0..20).map(|n| format!("c{n}")).collect();
    greedy.send(&subscribe(json!({"channels": names})));
    let answers = greedy.take(12);
    assert_eq!(answers[0]["data"]["subscribed"].as_array().unwrap().len(), 9);
    assert!(answers[1..].iter().all(|answer| answer["data"]["code"] == "channel_full"), "{answers:?}");
    served.counted_error("channel_full", 11);
    greedy.leave();
    served.wait_for_metric("websocket_subscriptions", &[], 1);
    served.client("").subscribe(&["c100"]);
    unharmed(served, &bystander);
}

#[test]
fn subscribing_and_unsubscribing_again_and_again_leaves_nothing_behind() {
    let served = served("");
    let bystander = bystander(&served, "");
    let restless = served.client("");
    for round in 0..200 {
        let names = [format!("c{round}"), format!("p{round}.*"), "same".to_owned()];
        restless.send_all([
            subscribe(json!({"channels": names})),
            subscribe(json!({"channels": names, "filter": format!("n > {round}")})),
            json!({"type": "unsubscribe", "data": {"channels": names}}),
        ]);
        restless.take(3);
    }
    served.wait_for_metric("websocket_subscriptions", &[], 1);
    served.publish("same", &json!({"n": 1000}));
    restless.subscribe(&["last"]);
    served.publish("last", &json!({"n": 1}));
    assert_eq!(restless.next()["data"], json!({"n": 1}));
    unharmed(served, &bystander);
}

#[test]
fn filters_that_are_too_large_too_deep_or_too_long_are_refused() {
    let served = served("websocket.max.message.size='1MiB'");
    let bystander = bystander(&served, "");
    let greedy = served.client("");
    let terms = |count: usize| (0..count).map(|n| format!("a = {n}")).collect::<Vec<_>>().join(" OR ");
    for filter in [
        format!("a = '{}'", "x".repeat(5000)),
        terms(65),
        format!("{}a = 1{}", "(".repeat(1500), ")".repeat(1500)),
        format!("{} a = 1", "NOT ".repeat(900)),
        format!("a = {}1", "-".repeat(2000)),
        format!("a IN ({})", (0..900).map(|n| n.to_string()).collect::<Vec<_>>().join(",")),
        "a LIKE '%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%x' AND".to_owned(),
    ] {
        let answer = greedy.ask(&subscribe(json!({"channels": ["a"], "filter": filter})));
        assert_eq!(answer["data"]["code"], "invalid_filter", "{} bytes: {answer}", filter.len());
        assert!(answer.to_string().len() < 1000, "the answer repeats what was sent");
    }
    let answer = greedy.ask(&subscribe(json!({"channels": ["a"], "fields": {"a": vec!["x"; 70_000]}})));
    assert_eq!(answer["type"], "error");
    greedy.send(&subscribe(json!({"channels": ["a"], "filter": terms(64)})));
    assert_eq!(greedy.next()["type"], "subscribe_response");
    served.wait_for_metric("websocket_subscriptions", &[], 2);
    unharmed(served, &bystander);
}

#[test]
fn an_address_has_so_many_connections_and_only_trusted_proxies_say_whose() {
    let served = served("websocket.max.connections.per.address='2'");
    let bystander = bystander(&served, "");
    let claims = |address: &str| ScriptedClient::builder(served.url("")).header("X-Forwarded-For", address);
    let second = Client::built(claims("192.0.2.1"));
    served.has_connections(2);
    // Nobody is trusted here: all of them are this machine.
    let answer = refusal(claims("192.0.2.2"));
    assert_eq!(answer.status, 429);
    assert!(answer.header("Retry-After").is_some());
    served.counted_refusal("429", 1);
    served.wait_for_metric("websocket_connections_failed_total", &[], 1);
    assert!(second.is_open());
    unharmed(served, &bystander);
}

#[test]
fn over_the_limit_of_connections_clients_are_refused_as_the_protocol_says() {
    for (protocol, status) in [("channels", Some(503)), ("events", Some(503)), ("analytics", None)] {
        let served = serving(protocol).with("websocket.auth='none', websocket.max.connections='1'").start();
        let first = served.client("");
        served.has_connections(1);
        match status {
            Some(status) => {
                let answer = refusal(ScriptedClient::builder(served.url("")));
                assert_eq!(answer.status, status, "{protocol}");
                assert!(answer.header("Retry-After").is_some());
                served.counted_refusal(&status.to_string(), 1);
            }
            None => {
                served.client("").is_closed(1013, "server at capacity");
                served.counted_violation("1013", 1);
            }
        }
        first.send(&json!({"type": "ping"}));
        first.receives("\"pong\"");
        served.stop();
    }
}

#[test]
fn many_full_replays_at_once_are_complete_and_hold_up_nobody() {
    const EVENTS: usize = 500;
    let plan = serving("channels").with("websocket.max.connections.per.address='0'");
    let served = plan.publishing("websocket.history.events='1000', websocket.history.bytes='8MiB'").start();
    let bystander = bystander(&served, "");
    let text = "x".repeat(2_000);
    for n in 0..EVENTS {
        served.publish("a", &json!({"n": n, "text": text}));
    }
    let probe = served.client("").ask(&subscribe(json!({"channels": ["a"]})));
    let epoch = &probe["data"]["positions"]["a"]["epoch"];
    let wish = subscribe(json!({"channels": ["a"], "recover": {"a": {"epoch": epoch, "offset": 0}}}));
    let clients: Vec<_> = (0..30).map(|_| served.client("")).collect();
    clients.iter().for_each(|client| client.send(&wish));
    served.serves(&bystander);
    for client in &clients {
        assert_eq!(client.next()["data"]["positions"]["a"]["recovered"], true);
        let numbers: Vec<_> =
            client.take(EVENTS).into_iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..EVENTS as u64).collect::<Vec<_>>());
    }
    unharmed(served, &bystander);
}

#[test]
fn who_asks_and_does_not_read_the_answers_is_closed() {
    let served =
        served("websocket.client.replies.bytes='10KiB', websocket.close.timeout='300ms', websocket.write.timeout='5s'");
    let bystander = bystander(&served, "");
    let deaf = Client::built(ScriptedClient::builder(served.url("")).receive_buffer(8 << 10));
    deaf.peer.play(Script::new().stop_reading()).blocking();
    let question = json!({"type": "ping", "correlation_id": "x".repeat(250)}).to_string();
    let peer = deaf.peer.clone();
    let asking = std::thread::spawn(move || {
        while peer.play(Script::new().send_all(vec![question.clone(); 1000])).blocking_result().is_ok() {}
    });
    served.counted_violation("1008", 1);
    asking.join().unwrap();
    unharmed(served, &bystander);
}

#[test]
fn too_large_a_message_costs_its_sender_the_connection_and_nobody_else() {
    let served = served("");
    let bystander = bystander(&served, "");
    let large = served.client("");
    large.peer.play(Script::new().send_text("x".repeat(65_537)).expect_close(1009)).blocking();
    served.counted_violation("1009", 1);
    let other = served.client("");
    other.subscribe(&[WATCHED]);
    served.serves(&other);
    unharmed(served, &bystander);
}
