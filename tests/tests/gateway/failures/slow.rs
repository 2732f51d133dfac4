//! Clients that read or write too slowly.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use eventflux_testkit::peer::{Message, RawFrame, Script, ScriptedClient};
use eventflux_testkit::wait::eventually_blocking;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use super::super::client::Client;
use super::super::served::{Plan, Served, serving};
use super::super::support::DEADLINE;
use super::super::support::raw::{Raw, text};
use super::{bystander, unharmed};

/// Text that the kernel's buffers are full of soon.
const BULK: usize = 10_000;

fn plan(properties: &str) -> Plan {
    serving("channels")
        .with("websocket.permessage-deflate='false', websocket.close.timeout='300ms'")
        .with("websocket.max.connections.per.address='0'")
        .publishing(properties)
}

/// A client of `bulk` that stopped reading.
fn frozen(served: &Served) -> Client {
    let client = Client::built(ScriptedClient::builder(served.url("")).receive_buffer(8 << 10));
    client.subscribe(&["bulk"]);
    client.peer.play(Script::new().stop_reading()).blocking();
    client
}

fn publish_bulk(served: &Served, count: usize) {
    let text = "x".repeat(BULK);
    for n in 0..count {
        served.publish("bulk", &json!({"n": n, "text": text}));
    }
}

/// A connection whose client takes next to nothing that it does not read.
fn narrow(address: SocketAddr) -> Raw {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.connect(&address.into()).unwrap();
    Raw::over(TcpStream::from(socket))
}

#[test]
fn a_subscriber_that_stopped_is_evicted_by_the_size_of_what_waits() {
    let served = plan("websocket.client.queue.full='disconnect', websocket.client.queue.bytes='100KiB'").start();
    let bystander = bystander(&served, "");
    let _frozen = frozen(&served);
    publish_bulk(&served, 1_500);
    served.counted_violation("1008", 1);
    assert_eq!(served.metric("eventflux_sink_evicted_total", &[("stream", "Out")]), 1);
    served.has_connections(1);
    unharmed(served, &bystander);
}

#[test]
fn a_subscriber_that_reads_again_is_told_that_it_was_too_slow() {
    let served = plan("websocket.client.queue.full='disconnect', websocket.client.queue.bytes='100KiB'")
        .with("websocket.write.timeout='30s'")
        .start();
    let bystander = bystander(&served, "");
    let frozen = frozen(&served);
    publish_bulk(&served, 1_500);
    frozen.peer.play(Script::new().resume_reading()).blocking();
    frozen.is_closed(1008, "too slow");
    served.counted_violation("1008", 1);
    unharmed(served, &bystander);
}

#[test]
fn a_subscriber_that_stopped_is_evicted_by_the_age_of_what_waits() {
    let served = plan("websocket.client.queue.full='disconnect', websocket.client.queue.age='300ms', websocket.client.queue.bytes='64MiB'").start();
    let bystander = bystander(&served, "");
    let _frozen = frozen(&served);
    publish_bulk(&served, 1_500);
    served.counted_violation("1008", 1);
    assert_eq!(served.metric("eventflux_sink_evicted_total", &[("stream", "Out")]), 1);
    unharmed(served, &bystander);
}

#[test]
fn who_reads_a_byte_at_a_time_is_dropped_at_the_write_deadline() {
    let served = plan("websocket.client.queue.bytes='64MiB'").with("websocket.write.timeout='1s'").start();
    let bystander = bystander(&served, "");
    let mut slow = narrow(served.address());
    slow.upgrade("/ws", "");
    slow.send(text(json!({"type": "subscribe", "data": {"channels": ["bulk"]}}).to_string()));
    slow.frame();
    publish_bulk(&served, 1_500);
    let mut read = 0;
    while served.metric("eventflux_websocket_violations_total", &[("reason", "dead")]) == 0 {
        assert_eq!(slow.stream.read(&mut [0; 1]).unwrap(), 1);
        read += 1;
        assert!(read < 1_000, "the connection stays");
        std::thread::sleep(Duration::from_millis(10));
    }
    served.counted_violation("dead", 1);
    unharmed(served, &bystander);
}

#[test]
fn a_message_that_dribbles_in_is_ended_with_1008_at_its_deadline() {
    let served = plan("").with("websocket.message.timeout='300ms'").start();
    let bystander = bystander(&served, "");
    let mut raw = Raw::connect(served.address());
    raw.upgrade("/ws", "");
    let frame = RawFrame::text("x".repeat(1000)).masked().encode();
    let (begin, rest) = frame.split_at(10);
    raw.send(begin);
    let answer = raw.dribble(rest, Duration::from_millis(10));
    assert_eq!((answer[0], &answer[2..4]), (0x88, &1008_u16.to_be_bytes()[..]), "{answer:?}");
    served.counted_violation("1008", 1);
    unharmed(served, &bystander);
}

#[test]
fn many_frozen_clients_are_not_noticed_by_the_others() {
    const FROZEN: usize = 20;
    const EVENTS: usize = 500;
    let served = plan("websocket.client.queue.bytes='100KiB'").start();
    let bystander = bystander(&served, "");
    let frozen: Vec<_> = (0..FROZEN).map(|_| frozen(&served)).collect();
    let readers: Vec<_> = (0..20).map(|_| served.client("")).collect();
    readers.iter().for_each(|reader| reader.subscribe(&["news"]));
    for n in 0..EVENTS {
        served.publish("news", &json!(n));
        publish_bulk(&served, 1);
    }
    for reader in &readers {
        let numbers: Vec<_> = reader.take(EVENTS).into_iter().map(|event| event["data"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..EVENTS as u64).collect::<Vec<_>>());
    }
    assert!(frozen.iter().all(Client::is_open));
    // Whoever reads again is told what it missed, and goes on.
    frozen[0].peer.play(Script::new().resume_reading()).blocking();
    served.publish("bulk", &json!("the last"));
    frozen[0].receives("the last");
    let record = frozen[0].peer.record();
    assert!(record.messages_of(0).filter_map(Message::as_text).any(|text| text.contains("\"gap\"")));
    assert!(served.metric("websocket_messages_dropped_total", &[]) > 0);
    unharmed(served, &bystander);
}

#[test]
fn who_is_too_slow_misses_what_is_newest_where_that_is_the_policy() {
    let served = plan("websocket.client.queue.full='drop_newest', websocket.client.queue.bytes='100KiB'").start();
    let bystander = bystander(&served, "");
    let frozen = frozen(&served);
    publish_bulk(&served, 1_500);
    frozen.peer.play(Script::new().resume_reading()).blocking();
    frozen.receives("\"gap\"");
    goes_on_with_gaps(&served, &frozen);
    unharmed(served, &bystander);
}

#[test]
fn what_waited_too_long_is_dropped_where_that_is_the_policy() {
    let served = plan("websocket.client.queue.age='300ms', websocket.client.queue.bytes='64MiB'").start();
    let bystander = bystander(&served, "");
    let frozen = frozen(&served);
    publish_bulk(&served, 1_500);
    served.wait_for_metric_at_least("websocket_messages_dropped_total", &[("path", "/ws")], 1);
    frozen.peer.play(Script::new().resume_reading()).blocking();
    goes_on_with_gaps(&served, &frozen);
    unharmed(served, &bystander);
}

/// A client that reads again after 1,500 events gets later ones, and was told of each one that it did not get.
#[track_caller]
fn goes_on_with_gaps(served: &Served, client: &Client) {
    // Until it has caught up, it may miss what comes, too.
    let mut published = 1_500;
    eventually_blocking(DEADLINE, || {
        served.publish("bulk", &json!({ "n": published }));
        published += 1;
        numbers(client, "n").last().is_some_and(|last| *last >= 1_500)
    });
    let received = || numbers(client, "n");
    eventually_blocking(DEADLINE, || {
        received().len() as u64 + numbers(client, "missed").iter().sum::<u64>() == published
    });
    assert!(received().windows(2).all(|pair| pair[0] < pair[1]), "in order, none twice");
    assert!(received().len() < 1_500, "nothing was dropped");
}

/// The numbers of this name among the data that a client has received.
fn numbers(client: &Client, name: &str) -> Vec<u64> {
    let record = client.peer.record();
    let texts = record.messages_of(0).filter_map(Message::as_text);
    texts.filter_map(|text| serde_json::from_str::<Value>(text).unwrap()["data"][name].as_u64()).collect()
}
