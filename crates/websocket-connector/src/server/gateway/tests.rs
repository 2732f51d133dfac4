//! What is refused because nothing would come of it.

use super::*;
use crate::SINK_PROPERTIES;

const PLACE: [(&str, &str); 2] = [("websocket.mode", "server"), ("websocket.listen", "127.0.0.1:0")];

fn sink(raw: &[(&str, &str)]) -> Properties {
    Properties::from_pairs(SINK_PROPERTIES, PLACE.into_iter().chain(raw.iter().copied())).unwrap()
}

/// The error names `key`, has `reason` in it, and a way out.
#[track_caller]
fn refused<T>(result: Result<T, EventFluxError>, key: &str, reason: &str) {
    let Err(EventFluxError::Configuration { property, reason: found, hint }) = result else {
        panic!("'{key}' is not refused")
    };
    assert_eq!(property.as_deref(), Some(key));
    assert!(found.starts_with("has no effect") && found.contains(reason), "{found}");
    assert!(hint.is_some_and(|hint| hint.starts_with("remove it")), "{key} without a hint");
}

#[test]
fn what_is_said_of_events_that_go_elsewhere_or_are_not_kept_is_refused() {
    const CHANNELS: (&str, &str) = ("websocket.protocol", "channels");
    const REPLY: (&str, &str) = ("websocket.reply", "${request}");
    const KEY: (&str, &str) = ("websocket.key", "${id}");
    for (key, raw, reason) in [
        ("websocket.user", &[CHANNELS, REPLY, ("websocket.user", "${u}")][..], "with websocket.reply"),
        ("websocket.channel", &[CHANNELS, REPLY, ("websocket.channel", "c")], "with websocket.reply"),
        ("websocket.key", &[CHANNELS, REPLY, KEY], "with websocket.reply"),
        ("websocket.correlation", &[CHANNELS, REPLY, ("websocket.correlation", "${id}")], "with websocket.reply"),
        ("websocket.key", &[CHANNELS, KEY], "without websocket.snapshot.keys or websocket.client.queue.full"),
        ("websocket.key", &[KEY, ("websocket.client.queue.full", "disconnect")], "without websocket.snapshot.keys"),
        ("websocket.key", &[CHANNELS, KEY, ("websocket.snapshot.keys", "0")], "without websocket.snapshot.keys"),
        (
            "websocket.history.bytes",
            &[CHANNELS, ("websocket.history.bytes", "1KiB")],
            "without websocket.history.events",
        ),
        ("websocket.history.age", &[CHANNELS, ("websocket.history.age", "1m")], "without websocket.history.events"),
    ] {
        refused(Publishing::from_properties(&sink(raw)), key, reason);
    }
    for taken in [
        &[CHANNELS, REPLY][..],
        &[CHANNELS, KEY, ("websocket.snapshot.keys", "5")],
        &[KEY, ("websocket.client.queue.full", "conflate")],
        &[CHANNELS, ("websocket.correlation", "${id}")],
        &[CHANNELS, ("websocket.history.events", "5"), ("websocket.history.age", "1m")],
    ] {
        Publishing::from_properties(&sink(taken)).unwrap();
    }
}

#[test]
fn the_size_of_batches_that_are_not_made_is_refused() {
    const SIZE: (&str, &str) = ("websocket.batch.size", "1KiB");
    for raw in [&[SIZE][..], &[SIZE, ("websocket.batch.delay", "0")]] {
        let properties = sink(&[&[("websocket.protocol", "events")], raw].concat());
        refused(batching(&properties), SIZE.0, "without websocket.batch.delay");
    }
}
