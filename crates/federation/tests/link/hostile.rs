//! Peers that say what no link of ours says.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eventflux_federation::{Ending, Federation, FederationConfig, Link, Opening, Outlet};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{now, outlet, outlet_config, place, place_with, publish};

const EPOCH: &str = "00000000000000aa";

fn link(federation: &Arc<Federation>, agreed: bool) -> Link {
    Link::new(federation, Opening { connection: "hostile".to_owned(), agreed, receiver: None }, now()).unwrap()
}

fn say(link: &mut Link, kind: &str, id: &str, payload: &Value) -> Result<(), Ending> {
    let text = json!({"type": kind, "id": id, "timestamp": 1, "payload": payload}).to_string();
    link.receive(&Bytes::from(text), false, now())
}

fn hello(streams: &[(&str, &str)]) -> Value {
    let sends: Vec<_> = streams.iter().map(|(stream, epoch)| json!({"stream": stream, "epoch": epoch})).collect();
    let window = json!({"events": 1_000, "bytes": 1_000_000});
    json!({"version": 1, "name": "peer", "receives": {"start": "earliest", "window": window}, "sends": sends})
}

#[test]
fn numbers_that_no_event_has_end_the_connection() {
    for sequence in [0, u64::MAX] {
        let hub = place("hub");
        let mut link = link(&hub, true);
        say(&mut link, "hello", "h", &hello(&[("s", EPOCH)])).unwrap();
        let ending = say(&mut link, "data", &format!("s/{EPOCH}/{sequence}"), &json!(1)).unwrap_err();
        assert_eq!(ending.code, 1002);
    }
    let hub = place("hub");
    let mut link = link(&hub, true);
    say(&mut link, "hello", "h", &hello(&[("s", EPOCH)])).unwrap();
    say(&mut link, "data", &format!("s/{EPOCH}/{}", u64::MAX - 1), &json!(1)).unwrap();
    let gap = json!({"stream": "s", "epoch": EPOCH, "next": 0, "reason": "x", "missing": null});
    assert_eq!(say(&mut link, "gap", "g", &gap).unwrap_err().code, 1002);
}

#[test]
fn acknowledging_what_was_never_sent_acknowledges_what_was() {
    let edge = place("edge");
    let outlet = outlet(outlet_config());
    assert!(edge.add_outlet(outlet.clone()));
    publish(&outlet, 1..=5, now());
    let epoch = format!("{:016x}", outlet.epoch());
    let mut link = link(&edge, true);
    say(&mut link, "hello", "h", &hello(&[])).unwrap();
    let position = |at: &str, number: Value| json!({"streams": [{"stream": "ticks", "epoch": epoch, at: number}]});
    say(&mut link, "ack", "1", &position("after", Value::Null)).unwrap();
    say(&mut link, "ack", "2", &position("through", json!(u64::MAX))).unwrap();
    assert_eq!(outlet.receivers(), [("peer".to_owned(), 1, true)]);
    let mut out = Vec::new();
    link.transmit(now(), 1 << 20, &mut out).unwrap();
    say(&mut link, "ack", "3", &position("through", json!(u64::MAX))).unwrap();
    assert_eq!(outlet.receivers(), [("peer".to_owned(), 6, true)]);
}

#[test]
fn a_receiver_that_knows_what_was_never_published_begins_again() {
    let edge = place("edge");
    let outlet = outlet(outlet_config());
    assert!(edge.add_outlet(outlet.clone()));
    publish(&outlet, 1..=2, now());
    let epoch = format!("{:016x}", outlet.epoch());
    for after in [3, u64::MAX] {
        let mut link = link(&edge, true);
        say(&mut link, "hello", "h", &hello(&[])).unwrap();
        say(&mut link, "ack", "1", &json!({"streams": [{"stream": "ticks", "epoch": epoch, "after": after}]})).unwrap();
        let mut out = Vec::new();
        link.transmit(now(), 1 << 20, &mut out).unwrap();
        let texts: Vec<_> = out.iter().map(|message| String::from_utf8_lossy(&message.text)).collect();
        assert!(texts.iter().any(|text| text.contains("sender_restored")), "{texts:?}");
        assert_eq!(texts.iter().filter(|text| text.contains(r#""type":"data""#)).count(), 2);
    }
}

#[test]
fn a_peer_that_names_ever_new_streams_is_not_remembered_for_ever() {
    let hub = place_with(FederationConfig { max_positions: 200, ..FederationConfig::default() });
    let mut link = link(&hub, true);
    let mut most = 0;
    for round in 0..200 {
        let names: Vec<_> = (0..100).map(|stream| format!("{round}-{stream}")).collect();
        let streams: Vec<_> = names.iter().map(|name| (name.as_str(), EPOCH)).collect();
        say(&mut link, "hello", "h", &hello(&streams)).unwrap();
        link.transmit(now(), 1 << 20, &mut Vec::new()).unwrap();
        // Memory is what its parts take; nothing is as near to that as telling all of them.
        let size = format!("{link:?}").len();
        if round == 2 {
            most = size * 2;
        }
        assert!(round < 2 || size < most, "round {round}: {size} of {most}");
    }
}

/// Places with a stream out that has something, and a peer that may say anything.
fn anything() -> (Arc<Federation>, Arc<Outlet>, Link) {
    let federation = place("hub");
    let outlet = outlet(outlet_config());
    assert!(federation.add_outlet(outlet.clone()));
    publish(&outlet, 1..=20, now());
    let link = link(&federation, true);
    (federation, outlet, link)
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(0)),
        Just(json!(1)),
        Just(json!(u64::MAX)),
        Just(json!(u64::MAX - 1)),
        Just(json!(-1)),
        Just(json!(1.5)),
        Just(Value::Null),
        (0..30_u64).prop_map(|number| json!(number)),
    ]
}

fn name() -> impl Strategy<Value = (String, String)> {
    let stream = prop_oneof![Just("ticks".to_owned()), Just("s".to_owned()), ".{0,4}", Just("x".repeat(300))];
    // The stream that there is, as the test fills it in.
    let epoch = prop_oneof![Just("OURS".to_owned()), Just(EPOCH.to_owned()), Just("nonsense".to_owned())];
    (stream, epoch)
}

fn message() -> impl Strategy<Value = (&'static str, String, Value)> {
    let hello = (prop::collection::vec(name(), 0..4), number(), number(), any::<bool>()).prop_map(
        |(names, events, bytes, receives)| {
            let sends: Vec<_> = names.iter().map(|(stream, epoch)| json!({"stream": stream, "epoch": epoch})).collect();
            let receives = receives.then(|| json!({"start": "latest", "window": {"events": events, "bytes": bytes}}));
            ("hello", "h".to_owned(), json!({"version": 1, "name": "peer", "receives": receives, "sends": sends}))
        },
    );
    let position = (name(), prop_oneof![Just("after"), Just("through"), Just("unwanted"), Just("x")], number());
    let ack = prop::collection::vec(position, 0..4).prop_map(|positions| {
        let streams: Vec<_> = positions
            .into_iter()
            .map(|((stream, epoch), at, number)| json!({"stream": stream, "epoch": epoch, at: number}))
            .collect();
        ("ack", "a".to_owned(), json!({"streams": streams}))
    });
    let gap = (name(), number(), number()).prop_map(|((stream, epoch), next, missing)| {
        let reason = "history_gone\n\u{1b}[0m";
        (
            "gap",
            "g".to_owned(),
            json!({"stream": stream, "epoch": epoch, "next": next, "reason": reason, "missing": missing}),
        )
    });
    let data = (name(), number())
        .prop_map(|((stream, epoch), number)| ("data", format!("{stream}/{epoch}/{number}"), json!(1)));
    let other =
        (prop_oneof![Just("hello"), Just("ack"), Just("gap"), Just("data"), Just("request"), Just("reply")], number());
    let other = other.prop_map(|(kind, payload)| (kind, "o".to_owned(), payload));
    prop_oneof![2 => hello, 4 => ack, 2 => gap, 4 => data, 1 => other]
}

proptest! {
    #[test]
    fn nothing_that_a_peer_says_makes_a_link_panic_or_grow(messages in prop::collection::vec((message(), 0..4_u8), 1..60)) {
        let (federation, outlet, mut connection) = anything();
        let ours = format!("{:016x}", outlet.epoch());
        let mut moment = now();
        let mut held = Vec::new();
        for ((kind, id, payload), then) in messages {
            let fill = |text: &str| text.replace("OURS", &ours);
            let payload: Value = serde_json::from_str(&fill(&payload.to_string())).unwrap();
            let mut is_over = say(&mut connection, kind, &fill(&id), &payload).is_err();
            moment = moment + Duration::from_millis(7);
            match then {
                0 => is_over |= connection.transmit(moment, 100, &mut Vec::new()).is_err(),
                1 => connection.flushed(),
                2 => match connection.arrived() {
                    Ok(arrived) => held.extend(arrived),
                    Err(_) => is_over = true,
                },
                _ => drop(held.pop()),
            }
            let receivers = outlet.receivers();
            prop_assert!(receivers.iter().all(|(name, next, _)| name == "peer" && *next <= 21));
            prop_assert!(outlet.bytes() < 10_000);
            let size = format!("{connection:?}").len();
            prop_assert!(size < 100_000, "{}", size);
            if is_over {
                connection = link(&federation, true);
            }
        }
    }

    #[test]
    fn nothing_that_a_plain_peer_says_makes_a_link_panic(messages in prop::collection::vec(message(), 1..20)) {
        let (federation, outlet, _) = anything();
        let mut connection = link(&federation, false);
        for (kind, id, payload) in messages {
            if say(&mut connection, kind, &id, &payload).is_err() {
                connection = link(&federation, false);
            }
            let _ = connection.arrived();
            let _ = connection.transmit(now(), 100, &mut Vec::new());
            prop_assert!(outlet.receivers().is_empty());
        }
    }
}
