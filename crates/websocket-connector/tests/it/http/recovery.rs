//! Clients that come back.

use super::streams::{HISTORY, NOT_RECOVERED, numbers, payloads, publish, sink, sink_of, subscribe};
use crate::support::{Registry, batch};

#[test]
fn a_client_that_comes_back_misses_nothing() {
    let sink = sink(&HISTORY);
    let url = sink.detail();
    let (mut stream, _) = subscribe(&url, "?channel=a", &[]);
    let mut received = Vec::new();
    let mut published = 1;
    for round in 0..5 {
        publish(&sink, published..published + 7);
        published += 7;
        received.extend(payloads(&mut stream, 7 - round));
        stream.leave();
        // While nobody is there.
        publish(&sink, published..published + 3);
        published += 3;
        let id = stream.last_id.clone();
        let (again, reply) = subscribe(&url, "?channel=a", &[("Last-Event-ID", &id)]);
        assert!(reply.contains("\"recovered\":true"), "{reply}");
        stream = again;
        received.extend(payloads(&mut stream, 3 + round));
    }
    assert_eq!(received, numbers(1..published));
}

#[test]
fn a_client_that_comes_back_before_its_first_event_misses_nothing() {
    let sink = sink(&HISTORY);
    let url = sink.detail();
    let (stream, _) = subscribe(&url, "?channel=a", &[]);
    assert!(stream.last_id.ends_with(":0"), "{}", stream.last_id);
    stream.leave();
    publish(&sink, 1..4);
    let query = format!("?channel=a&last_event_id={}", stream.last_id);
    let (mut stream, _) = subscribe(&url, &query, &[]);
    assert_eq!(payloads(&mut stream, 3), numbers(1..4));
}

#[test]
fn a_client_that_comes_and_goes_while_events_are_published_gets_each_of_them_once() {
    const EVENTS: u32 = 2000;
    let registry = Registry::new();
    let sinks = ["a", "b"].map(|channel| sink_of(&registry, channel, &[("websocket.history.events", "100000")]));
    let url = sinks[0].detail();
    // With one channel events are read from what all clients share, with two each client has its own.
    for (query, channels) in [("?channel=a", 1), ("?channel=a&channel=b", 2)] {
        let (mut stream, _) = subscribe(&url, query, &[]);
        let mut received = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in (1..=EVENTS).step_by(5) {
                    sinks.iter().for_each(|sink| publish(sink, number..number + 5));
                }
            });
            let mut visit = 0;
            while received.len() < EVENTS as usize * channels {
                visit += 1;
                let left = EVENTS as usize * channels - received.len();
                received.extend(payloads(&mut stream, (visit * 37 % 101 + 1).min(left)));
                stream.leave();
                let id = stream.last_id.clone();
                let (again, reply) = subscribe(&url, query, &[("Last-Event-ID", &id)]);
                assert!(!reply.contains(NOT_RECOVERED), "{id}: {reply}");
                stream = again;
            }
        });
        received.sort_by_key(|number| number.parse::<u32>().unwrap());
        let expected = (1..=EVENTS).flat_map(|number| vec![number.to_string(); channels]);
        assert!(received.iter().cloned().eq(expected), "{query}");
    }
}

#[test]
fn several_channels_go_on_each_where_the_client_was() {
    let registry = Registry::new();
    let sinks = ["a", "b"].map(|channel| sink_of(&registry, channel, &HISTORY));
    let url = sinks[0].detail();
    let query = "?channel=a&channel=b&channel=other.*";
    let (mut stream, _) = subscribe(&url, query, &[]);
    publish(&sinks[0], 1..4);
    publish(&sinks[1], 101..103);
    assert_eq!(payloads(&mut stream, 5), [numbers(1..4), numbers(101..103)].concat());
    assert!(stream.last_id.ends_with(":3,2"), "{}", stream.last_id);
    stream.leave();
    publish(&sinks[1], 103..105);
    publish(&sinks[0], 4..6);
    let id = stream.last_id.clone();
    let (mut stream, reply) = subscribe(&url, query, &[("Last-Event-ID", &id)]);
    assert!(!reply.contains(NOT_RECOVERED), "{reply}");
    let mut again = payloads(&mut stream, 4);
    again.sort();
    assert_eq!(again, ["103", "104", "4", "5"]);
    assert!(stream.last_id.ends_with(":5,4"), "{}", stream.last_id);
}

#[test]
fn a_client_learns_that_it_cannot_go_on() {
    let sink = sink(&[("websocket.history.events", "2")]);
    let url = sink.detail();
    publish(&sink, 1..10);
    let (stream, _) = subscribe(&url, "?channel=a", &[]);
    let epoch = stream.last_id.split(':').next().unwrap().to_owned();
    for id in [&format!("{epoch}:1"), "elsewhere:8", "what is this"] {
        let (_, reply) = subscribe(&url, "?channel=a", &[("Last-Event-ID", id)]);
        assert!(reply.contains(NOT_RECOVERED), "{id}: {reply}");
    }
    let (mut stream, _) = subscribe(&url, "?channel=a", &[("Last-Event-ID", &format!("{epoch}:1"))]);
    let gap = stream.texts(1).remove(0);
    assert!(gap.contains("\"code\":\"gap\"") && gap.contains("\"missed\":6"), "{gap}");
    assert_eq!(payloads(&mut stream, 2), ["8", "9"]);
}

#[test]
fn a_filtered_stream_goes_on_where_the_client_was() {
    let sink = sink(&HISTORY);
    let url = sink.detail();
    let query = "?channel=a&filter=even";
    let even = |number: u32| format!("{{\"even\":{},\"n\":{number}}}", number.is_multiple_of(2));
    let (mut stream, _) = subscribe(&url, query, &[]);
    sink.sink.publish_batch(&batch((1..6).map(even))).unwrap();
    assert_eq!(payloads(&mut stream, 2), [even(2), even(4)]);
    stream.leave();
    sink.sink.publish_batch(&batch((6..10).map(even))).unwrap();
    let id = stream.last_id.clone();
    let (mut stream, _) = subscribe(&url, query, &[("Last-Event-ID", &id)]);
    assert_eq!(payloads(&mut stream, 2), [even(6), even(8)]);
    assert!(stream.last_id.ends_with(":8"), "{}", stream.last_id);
}
