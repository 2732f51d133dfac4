//! One channel, many subscribers.

use std::sync::Arc;

use eventflux_gateway::auth::Grants;
use eventflux_gateway::{Address, Framed, Framing, FullPolicy, HubConfig, Outgoing, SharedFraming};

use crate::support::{Client, Flow, World, flow, identity, queue};

#[test]
fn everybody_gets_every_event_in_order_however_little_is_read_at_a_time() {
    let world = World::events();
    let mut clients: Vec<Client> = (0..100).map(|_| world.subscriber(&["a"])).collect();
    let mut heard: Vec<Vec<u64>> = vec![Vec::new(); clients.len()];
    for round in 0..50_u64 {
        (0..7).for_each(|n| assert_eq!(world.publish("a", round * 7 + n), 100));
        for (index, client) in clients.iter_mut().enumerate() {
            // Some read often, some seldom, some a little.
            if (round as usize + index).is_multiple_of(index % 9 + 1) {
                client.transmit(1 + index * 13);
                heard[index].extend(flow(&client.heard()).numbers);
            }
        }
    }
    for (client, mut heard) in clients.iter_mut().zip(heard) {
        heard.extend(client.hear_numbers());
        assert_eq!(heard, (0..350).collect::<Vec<_>>());
    }
}

#[test]
fn frozen_clients_are_not_noticed_by_the_others() {
    for full in [FullPolicy::DropOldest, FullPolicy::DropNewest, FullPolicy::Conflate, FullPolicy::Disconnect] {
        let world = World::events().slow(queue(2000, full));
        let mut frozen: Vec<_> = (0..50).map(|_| world.subscriber(&["a"])).collect();
        let mut reading: Vec<_> = (0..50).map(|_| world.subscriber(&["a"])).collect();
        for n in 0..2000 {
            world.publish("a", n);
            for client in &mut reading {
                assert_eq!(client.hear_numbers(), [n], "{full:?}");
            }
        }
        for client in &mut frozen {
            let Flow { numbers, missed } = flow(&client.hear());
            assert!(client.ended.is_some() || numbers.len() as u64 + missed == 2000, "{full:?}");
        }
    }
}

#[test]
fn events_are_framed_once_for_everybody_and_shared() {
    let world = World::events();
    let mut clients: Vec<_> = (0..3).map(|_| world.subscriber(&["a"])).collect();
    (0..10).for_each(|n| _ = world.publish("a", n));
    let bytes: Vec<_> = clients
        .iter_mut()
        .map(|client| match &client.hear_outgoing()[..] {
            [Outgoing::Framed(bytes)] => bytes.as_ptr(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(bytes.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn each_framing_has_its_own_bytes() {
    #[derive(Debug)]
    struct Lines;
    impl Framing for Lines {
        fn frame(&self, message: &Framed<'_>, out: &mut Vec<u8>) {
            out.extend_from_slice(message.text);
            out.push(b'\n');
        }
    }
    let world = World::events();
    let mut plain = world.subscriber(&["a"]);
    let mut arrival = world.arrival(Some(identity(None, eventflux_gateway::auth::Grants::everything())));
    arrival.framing = SharedFraming::new(Lines);
    let mut lines = world.arrive(arrival).unwrap();
    lines.subscribe(&["a"]);
    lines.hear_outgoing();
    (1..3).for_each(|n| _ = world.publish("a", n));
    assert_eq!(plain.hear_numbers(), [1, 2]);
    let [Outgoing::Framed(bytes)] = &lines.hear_outgoing()[..] else { panic!("nothing") };
    assert_eq!(&bytes[..], b"{\"type\":\"a\",\"data\":1}\n{\"type\":\"a\",\"data\":2}\n");
}

#[test]
fn a_driver_that_wants_texts_gets_events_one_by_one_as_many_as_there_is_room_for() {
    let world = World::events();
    let mut client = world.client_of_texts();
    client.subscribe(&["a"]);
    client.hear_outgoing();
    (0..100).for_each(|n| _ = world.publish("a", n));
    client.transmit(700);
    let events = client.hear_outgoing();
    assert_eq!(events.len(), 100);
    for (n, event) in events.iter().enumerate() {
        let Outgoing::Message { text, .. } = event else { panic!("{event:?}") };
        assert_eq!(text, format!("{{\"type\":\"a\",\"data\":{n}}}").as_bytes());
    }
}

#[test]
fn a_transmission_is_about_as_large_as_there_is_room() {
    let world = World::events();
    let mut client = world.subscriber(&["a"]);
    (0..10_000).for_each(|n| _ = world.publish("a", n));
    let transmitted = client.transmit(10_000);
    assert!((9_900..=10_100).contains(&transmitted), "{transmitted}");
    assert!(client.session.has_more());
    assert_eq!(client.transmit(0), 0);
}

#[test]
fn channels_of_one_client_take_turns() {
    let world = World::events();
    let mut client = world.subscriber(&["a", "b", "c"]);
    for n in 0..1000 {
        ["a", "b", "c"].iter().for_each(|channel| _ = world.publish(channel, n));
    }
    let mut seen = std::collections::HashSet::new();
    for _ in 0..6 {
        client.transmit(1000);
        seen.extend(client.heard().iter().map(|event| event["type"].to_string()));
    }
    assert_eq!(seen.len(), 3);
}

#[test]
fn the_backlog_is_that_of_the_client_furthest_behind() {
    let world = World::events();
    let mut reading = world.subscriber(&["a"]);
    let mut frozen = world.subscriber(&["a", "b"]);
    assert_eq!(world.hub.backlog(), 0);
    (0..10).for_each(|n| _ = world.publish("a", n));
    reading.hear();
    assert_eq!(world.hub.backlog(), 10);
    (0..5).for_each(|n| _ = world.publish("b", n));
    assert_eq!(world.hub.backlog(), 15);
    frozen.transmit(1);
    assert_eq!(world.hub.backlog(), 14);
    let mut out = Vec::new();
    frozen.session.transmit(world.now(), 1 << 20, &mut out).unwrap();
    assert_eq!(world.hub.backlog(), 14, "what the driver has is not sent yet");
    frozen.session.flushed();
    assert_eq!(world.hub.backlog(), 0);
    drop((reading, frozen));
    assert_eq!(world.hub.backlog(), 0);
}

#[test]
fn subscribers_are_counted_by_channel_with_those_of_its_patterns() {
    let world = World::new("events", HubConfig::default());
    let clients = [world.subscriber(&["a.b"]), world.subscriber(&["a.*"]), world.subscriber(&["a.b", "a.*"])];
    assert_eq!(["a.b", "a.c", "b"].map(|channel| world.hub.subscribers(channel)), [3, 2, 0]);
    drop(clients);
    assert_eq!(world.hub.subscribers("a.b"), 0);
    assert_eq!(Arc::strong_count(&world.hub), 1);
}

#[test]
fn a_batch_is_published_in_order_and_each_event_has_its_result() {
    let world = World::events();
    let mut client = world.subscriber(&["a"]);
    let events = ["1", "no json", "2"].map(|payload| eventflux_gateway::Publication {
        to: eventflux_gateway::Address::Channel("a"),
        payload: payload.as_bytes(),
        binary: false,
        key: None,
        correlation: None,
    });
    let mut results = Vec::new();
    world.hub.publish(&world.retention.borrow(), events, world.now(), 0, |result| results.push(result.is_ok()));
    assert_eq!(results, [true, false, true]);
    assert_eq!(client.hear_numbers(), [1, 2]);
}

#[test]
fn the_bytes_that_wait_are_those_of_the_client_for_which_most_do() {
    let world = World::events();
    let mut reading = world.subscriber(&["a"]);
    let mut frozen = world.subscriber(&["a", "b"]);
    assert_eq!(world.hub.backlog_bytes(), 0);
    world.publish("a", 1);
    let one = world.hub.backlog_bytes();
    assert!((10..1000).contains(&one), "{one}");
    reading.hear();
    assert_eq!(world.hub.backlog_bytes(), one, "of the other");
    world.publish("b", 1);
    assert_eq!(world.hub.backlog_bytes(), 2 * one);
    let mut out = Vec::new();
    frozen.session.transmit(world.now(), 1, &mut out).unwrap();
    assert_eq!(world.hub.backlog_bytes(), one, "what the driver has waits elsewhere");
    frozen.session.transmit(world.now(), 1 << 20, &mut out).unwrap();
    assert_eq!(world.hub.backlog_bytes(), 0);
}

#[test]
fn what_waits_for_one_client_alone_counts_with_what_it_reads() {
    let world = World::events();
    let mut ann = world.user(Some("ann"), Grants::everything());
    ann.subscribe(&["a"]);
    ann.hear();
    assert_eq!(world.hub.backlog_bytes(), 0);
    world.publish_to(Address::User { user: "ann", channel: Some("a") }, "1").unwrap();
    assert!(world.hub.backlog_bytes() > 10);
    ann.hear();
    assert_eq!(world.hub.backlog_bytes(), 0);
}
