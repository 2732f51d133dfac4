//! What is published at one gateway reaches the clients of all.

use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::wait::eventually_blocking;
use serde_json::{Value, json};

use super::instance::{Instance, number, numbers, sharing};
use super::support::DEADLINE;

#[test]
fn what_is_published_anywhere_reaches_everybody_in_the_same_order() {
    let nats = NatsServer::start();
    let plan = sharing(&nats, "channels");
    let instances = [plan.start(), plan.start(), plan.start()];
    let clients: Vec<_> = instances.iter().map(|instance| instance.subscriber(&["a"])).collect();
    let patterns: Vec<_> = instances.iter().map(|instance| instance.subscriber(&["*"])).collect();
    // All at the same time.
    std::thread::scope(|scope| {
        for (index, instance) in (0_u64..).zip(&instances) {
            scope.spawn(move || (0..100).for_each(|n| instance.publish("a", &number(index * 1000 + n))));
        }
    });
    let heard: Vec<_> = clients.iter().chain(&patterns).map(|client| numbers(&client.take(300))).collect();
    assert!(heard.iter().all(|other| *other == heard[0]), "{heard:?}");
    for index in 0..3 {
        let of: Vec<_> = heard[0].iter().copied().filter(|n| n / 1000 == index).collect();
        assert!(of.len() == 100 && of.is_sorted(), "those of one gateway are in its order");
    }
    instances[1].publish_all("a", (5000..15_000).map(number));
    for client in clients.iter().chain(&patterns) {
        assert_eq!(numbers(&client.take(10_000)), (5000..15_000).collect::<Vec<_>>());
    }
    assert_eq!(instances.map(Instance::stop).map(|summary| summary.undelivered), [0, 0, 0]);
}

#[test]
fn payloads_without_a_protocol_reach_everybody() {
    let nats = NatsServer::start();
    let plan = sharing(&nats, "raw");
    let (one, other) = (plan.start(), plan.start());
    let clients = [one.client(""), other.client("")];
    one.publish("a", &number(1));
    other.publish("b", &number(2));
    for client in &clients {
        let mut heard = [client.next(), client.next()];
        heard.sort_by_key(|event| event["n"].as_u64());
        assert_eq!(heard, [number(1), number(2)]);
    }
    one.stop();
    other.stop();
}

#[test]
fn an_event_of_a_user_reaches_the_user_wherever_connected() {
    let nats = NatsServer::start();
    let tokens = "websocket.auth='token', websocket.auth.tokens='hunter2-ann=ann, hunter2-bob=bob'";
    let plan = sharing(&nats, "events").with(tokens).publishing("websocket.user='${person}'");
    let (one, other) = (plan.start(), plan.start());
    let clients =
        [one.client("?token=hunter2-ann"), other.client("?token=hunter2-ann"), one.client("?token=hunter2-bob")];
    for client in &clients {
        client.next();
        client.ask(&json!({"type": "subscribe", "events": ["blob.*"]}));
    }
    other.publish_for("ann", "blob.created", &number(1));
    other.publish_for("bob", "blob.created", &number(2));
    let data = |event: Value| event["data"]["n"].as_u64();
    assert_eq!(clients.each_ref().map(|client| data(client.next())), [Some(1), Some(1), Some(2)]);
    one.stop();
    other.stop();
}

#[test]
fn an_answer_reaches_the_client_that_asked_wherever_it_is_given() {
    let nats = NatsServer::start();
    let plan = sharing(&nats, "channels");
    let (one, other) = (plan.start(), plan.start());
    let client = one.client("");
    for (correlation, answering) in [("here", &one), ("there", &other)] {
        client.send(&json!({"type": "request", "data": {"q": 1}, "correlation_id": correlation}));
        answering.answer(&one.request(), &json!({ "by": correlation })).unwrap();
        let answer = client.next();
        assert_eq!((&answer["type"], &answer["correlation_id"]), (&json!("response"), &json!(correlation)));
        assert_eq!(answer["data"]["by"], correlation);
    }
    // An answer that is for nobody here goes over the backplane, and one that is not, does not.
    other.wait_for_metric("eventflux_backplane_entries_total", 1);
    one.stop();
    other.stop();
}

#[test]
fn who_is_present_at_one_is_present_at_all_until_gone() {
    let nats = NatsServer::start();
    let tokens = "websocket.auth='token', websocket.auth.tokens='hunter2-ann=ann, hunter2-bob=bob'";
    let plan = sharing(&nats, "channels").with(tokens).with("websocket.presence='true'");
    let (one, other) = (plan.start(), plan.start());
    let (ann, bob) = (one.client("?token=hunter2-ann"), other.client("?token=hunter2-bob"));
    ann.subscribe(&["room.1"]);
    bob.subscribe(&["room.1", "hall"]);
    let present = |client: &super::client::Client, channel: &str| -> Vec<String> {
        let answer = client.ask(&json!({"type": "presence", "data": {"channel": channel}}));
        let members = answer["data"]["members"].as_array().unwrap_or_else(|| panic!("{answer}")).iter();
        let mut members: Vec<_> = members.map(|member| member["user_id"].as_str().unwrap().to_owned()).collect();
        members.sort_unstable();
        members
    };
    for client in [&ann, &bob] {
        eventually_blocking(DEADLINE, || present(client, "room.1") == ["ann", "bob"]);
    }
    eventually_blocking(DEADLINE, || present(&ann, "hall") == ["bob"]);
    bob.leave();
    eventually_blocking(DEADLINE, || present(&ann, "room.1") == ["ann"] && present(&ann, "hall").is_empty());
    // Who comes later learns of those who were there.
    let third = plan.start();
    let bob = third.client("?token=hunter2-bob");
    eventually_blocking(DEADLINE, || present(&bob, "room.1") == ["ann"]);
    one.stop();
    eventually_blocking(DEADLINE, || present(&bob, "room.1").is_empty());
    other.stop();
    third.stop();
}

#[test]
fn a_payload_that_nats_does_not_take_fails_alone() {
    let nats = NatsServer::start();
    let plan = sharing(&nats, "channels").publishing("error.strategy='dlq', error.dlq.stream='Failed'");
    let (one, other) = (plan.start(), plan.start());
    let client = other.subscriber(&["a"]);
    let large = json!({"n": 2, "text": "x".repeat(2 << 20)});
    let medium = |n: u64| json!({"n": n, "text": "y".repeat(200 << 10)});
    one.publish_all("a", [number(1), large, medium(3), medium(4), medium(5), number(6)]);
    let heard: Vec<_> = client.take(5).iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect();
    assert_eq!(heard, [1, 3, 4, 5, 6]);
    one.wait_for_metric("eventflux_sink_dead_letters_total", 1);
    one.stop();
    other.stop();
}

#[test]
fn what_nobody_hears_here_is_counted_where_it_was_published() {
    let nats = NatsServer::start();
    let plan = sharing(&nats, "channels");
    let (one, other) = (plan.start(), plan.start());
    let client = one.subscriber(&["a"]);
    one.publish("a", &number(1));
    client.next();
    one.publish("b", &number(2));
    one.publish("a", &number(3));
    client.next();
    one.wait_for_metric("eventflux_sink_unheard_total", 1);
    assert_eq!((other.metric("eventflux_sink_unheard_total"), one.metric("eventflux_backplane_entries_total")), (0, 3));
    one.stop();
    other.stop();
}
