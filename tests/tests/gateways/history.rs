//! A client may go on at any gateway where it was at another.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::proxy::ChaosProxy;
use eventflux_testkit::wait::eventually_blocking;
use serde_json::{Value, json};

use super::client::Client;
use super::instance::{Instance, number, numbers, remembering, sharing_at};
use super::support::DEADLINE;

fn place(event: &Value) -> (String, u64) {
    let metadata = &event["metadata"];
    let epoch = metadata["epoch"].as_str().unwrap_or_else(|| panic!("no place: {event}"));
    (epoch.to_owned(), metadata["offset"].as_u64().unwrap())
}

fn wish(channel: &str, (epoch, offset): &(String, u64)) -> Value {
    json!({"type": "subscribe", "data": {
        "channels": [channel], "recover": {channel: {"epoch": epoch, "offset": offset}},
    }})
}

/// A client that goes on there; returns it, and whether nothing is missing.
#[track_caller]
fn recover(instance: &Instance, at: &(String, u64)) -> (Client, bool) {
    let client = instance.client("");
    let answer = client.ask(&wish("a", at));
    let recovered = answer["data"]["positions"]["a"]["recovered"].as_bool();
    (client, recovered.unwrap_or_else(|| panic!("{answer}")))
}

#[test]
fn a_client_that_wanders_while_events_flow_misses_nothing_and_gets_nothing_twice() {
    const EVENTS: u64 = 3000;
    let nats = NatsServer::start();
    let plan = remembering(&nats);
    let instances = [plan.start(), plan.start(), plan.start()];
    let mut client = instances[0].subscriber(&["a"]);
    let done = AtomicBool::new(false);
    let heard = std::thread::scope(|scope| {
        let (instances, done) = (&instances, &done);
        scope.spawn(move || {
            for n in 0..EVENTS {
                instances[(n / 10 % 3) as usize].publish("a", &number(n));
                if n % 10 == 9 {
                    // Those of the next gateway come behind these.
                    let sent = n + 1;
                    let applied = |instance: &Instance| instance.metric("eventflux_backplane_entries_total") >= sent;
                    eventually_blocking(DEADLINE, || instances.iter().any(applied));
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut heard = Vec::new();
        let mut turn = 0;
        while heard.len() < EVENTS as usize {
            let events = client.take(37.min(EVENTS as usize - heard.len()));
            let at = place(events.last().unwrap());
            heard.extend(numbers(&events));
            turn += 1;
            let (next, complete) = recover(&instances[turn % 3], &at);
            assert!(complete, "behind {at:?}");
            client = next;
        }
        heard
    });
    assert_eq!(heard, (0..EVENTS).collect::<Vec<_>>());
    assert!(done.into_inner());
    for instance in instances {
        instance.stop();
    }
}

#[test]
fn a_gateway_that_begins_later_knows_what_was_before() {
    let nats = NatsServer::start();
    let plan = remembering(&nats).publishing("websocket.key='${channel}', websocket.snapshot.keys='10'");
    let one = plan.start();
    let client = one.subscriber(&["a"]);
    one.publish_all("a", (0..5000).map(number));
    let events = client.take(5000);
    let late = plan.start();
    let (client, complete) = recover(&late, &place(&events[1999]));
    assert!(complete);
    assert_eq!(client.take(3000), events[2000..]);
    let begins = late.client("");
    begins.send(&json!({"type": "subscribe", "data": {"channels": ["a"], "snapshot": true}}));
    assert_eq!(begins.take(2)[1], events[4999]);
    // When all are gone, the log is still there.
    one.stop();
    late.stop();
    let again = plan.start();
    let (client, complete) = recover(&again, &place(&events[4990]));
    assert!(complete);
    assert_eq!(client.take(9), events[4991..]);
    again.stop();
}

#[test]
fn what_the_log_has_lost_is_told() {
    let nats = NatsServer::start();
    let plan = remembering(&nats).with("gateway.backplane.max.bytes='64KiB'");
    let one = plan.start();
    let client = one.subscriber(&["a"]);
    let text = "x".repeat(1000);
    // One by one: nobody is to be further behind than the log is long.
    let publish = |n: u64| {
        one.publish("a", &json!({"n": n, "text": text}));
        client.next()
    };
    let events: Vec<_> = (0..200).map(publish).collect();
    let late = plan.start();
    let (_client, complete) = recover(&late, &place(&events[10]));
    assert!(!complete);
    let (client, complete) = recover(&late, &place(&events[190]));
    assert!(complete);
    assert_eq!(client.take(9), events[191..]);
    one.stop();
    late.stop();
}

#[test]
fn clients_of_a_gateway_that_stops_go_on_at_the_others() {
    let nats = NatsServer::start();
    let plan = remembering(&nats).with("websocket.max.connections.per.address='0'");
    let (one, other) = (plan.start(), plan.start());
    let clients: Vec<_> = (0..50).map(|_| one.subscriber(&["a"])).collect();
    other.publish_all("a", (0..100).map(number));
    let places: Vec<_> = clients.iter().map(|client| place(&client.take(30)[29])).collect();
    let stopping = std::thread::spawn(move || one.stop());
    other.publish_all("a", (100..200).map(number));
    for at in &places {
        let (client, complete) = recover(&other, at);
        assert!(complete);
        assert_eq!(numbers(&client.take(170)), (30..200).collect::<Vec<_>>());
    }
    stopping.join().unwrap();
    other.stop();
}

#[test]
fn a_client_that_is_ahead_of_a_gateway_gets_nothing_twice() {
    let nats = NatsServer::start();
    let network = ChaosProxy::start(nats.address());
    let ahead = remembering(&nats).start();
    let behind = sharing_at(&format!("nats://{}", network.address()), "channels")
        .publishing("websocket.history.events='10000'")
        .start();
    let clients = [ahead.subscriber(&["a"]), behind.subscriber(&["a"])];
    ahead.publish_all("a", (0..10).map(number));
    for client in &clients {
        assert_eq!(numbers(&client.take(10)), (0..10).collect::<Vec<_>>());
    }
    network.freeze();
    ahead.publish_all("a", (10..20).map(number));
    let at = place(&clients[0].take(10)[9]);
    let (client, complete) = recover(&behind, &at);
    assert!(complete, "it will have what follows");
    network.resume().blocking();
    ahead.publish_all("a", (20..25).map(number));
    assert_eq!(numbers(&client.take(5)), (20..25).collect::<Vec<_>>());
    assert_eq!(numbers(&clients[1].take(15)), (10..25).collect::<Vec<_>>());
    ahead.stop();
    behind.stop();
}

/// A stream of server-sent events; returns everything until `count` events with a place have come.
fn listen(instance: &Instance, id: Option<&str>, count: usize) -> Vec<(String, String)> {
    let mut stream = TcpStream::connect(instance.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let id = id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
    let host = instance.address();
    let request = format!("GET /ws?channel=a HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n{id}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    loop {
        let events: Vec<_> = text
            .split("\n\n")
            .filter_map(|event| {
                let id = event.lines().find_map(|line| line.strip_prefix("id: "))?;
                let data = event.lines().find_map(|line| line.strip_prefix("data: "))?;
                Some((id.to_owned(), data.to_owned()))
            })
            .collect();
        if events.len() >= count {
            return events;
        }
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "{text}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
}

#[test]
fn server_sent_events_go_on_at_another_gateway() {
    let nats = NatsServer::start();
    let plan = remembering(&nats).with("websocket.sse='true'");
    let (one, other) = (plan.start(), plan.start());
    let listening = std::thread::scope(|scope| {
        let listening = scope.spawn(|| listen(&one, None, 5));
        one.wait_for_metric("websocket_subscriptions", 1);
        one.publish_all("a", (0..5).map(number));
        listening.join().unwrap()
    });
    other.publish_all("a", (5..8).map(number));
    let rest = listen(&other, Some(&listening[2].0), 5);
    assert_eq!(rest[..2], listening[3..]);
    assert!(rest[4].1.contains("{\"n\":7}"), "{rest:?}");
    one.stop();
    other.stop();
}

/// Has the server forget the log.
fn delete_log(nats: &NatsServer) {
    let mut stream = TcpStream::connect(nats.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let request =
        "CONNECT {\"verbose\":false}\r\nSUB reply 1\r\nPUB $JS.API.STREAM.DELETE.eventflux-bus-ws reply 0\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    while !text.contains("\"success\":true") {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}

#[test]
fn when_the_log_is_gone_clients_are_told_to_come_back_and_that_they_miss_something() {
    let nats = NatsServer::start();
    let plan = remembering(&nats);
    let (one, other) = (plan.start(), plan.start());
    let client = one.subscriber(&["a"]);
    one.publish("a", &number(0));
    let at = place(&client.next());
    delete_log(&nats);
    client.is_closed(1001, "going away");
    for instance in [&one, &other] {
        instance.wait_for_metric("eventflux_backplane_holes_total", 1);
    }
    let (client, complete) = recover(&other, &at);
    assert!(!complete);
    one.publish("a", &number(1));
    let event = client.next();
    assert_eq!(numbers(std::slice::from_ref(&event)), [1]);
    assert_ne!(place(&event).0, at.0);
    one.stop();
    other.stop();
}
