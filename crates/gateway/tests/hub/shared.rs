//! Hubs that read the same log: clients go from one to the other, and miss nothing or are told so.

use eventflux_gateway::{Address, EVENTS_PER_ENTRY, Publication, Retention};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Client, EPOCH, World, bell, history, seconds};

/// The number of an event of an entry.
fn at(sequence: u64, index: u64) -> u64 {
    sequence * EVENTS_PER_ENTRY as u64 + index
}

fn recover(client: &mut Client, channel: &str, epoch: &str, offset: u64) -> Value {
    client.say(json!({
        "type": "subscribe",
        "events": [channel],
        "recover": {channel: {"epoch": epoch, "offset": offset}},
    }));
    client.transmit(1);
    let mut heard = client.heard();
    assert_eq!((heard.len(), &heard[0]["type"]), (1, &json!("subscribed")));
    heard[0]["data"]["positions"][channel].take()
}

/// Payload and offset of each event.
fn events(messages: &[Value]) -> Vec<(u64, u64)> {
    let event = |message: &Value| {
        let place = message["data"].as_u64().zip(message["offset"].as_u64());
        place.unwrap_or_else(|| panic!("{message}"))
    };
    messages.iter().map(event).collect()
}

fn hear(client: &mut Client) -> Vec<(u64, u64)> {
    events(&client.hear())
}

#[test]
fn the_number_of_an_event_is_its_place_in_the_log() {
    let world = World::of_log("events");
    let mut client = world.subscriber(&["a"]);
    world.apply(1, "a", [1, 2]);
    world.apply(2, "b", [3]);
    world.apply(7, "a", [4]);
    assert_eq!(hear(&mut client), [(1, at(1, 0)), (2, at(1, 1)), (4, at(7, 0))]);
}

#[test]
fn a_client_goes_on_at_another_hub_and_gets_nothing_twice() {
    let (one, other) = (World::of_log("events"), World::of_log("events"));
    let mut client = one.subscriber(&["a"]);
    for world in [&one, &other] {
        world.apply(1, "a", [1, 2, 3]);
        world.apply(2, "b", [9]);
    }
    other.apply(3, "a", [4, 5]);
    let (_, offset) = hear(&mut client)[1];
    let mut client = other.client();
    let position = recover(&mut client, "a", EPOCH, offset);
    assert_eq!(position["recovered"], true);
    other.apply(4, "a", [6]);
    assert_eq!(hear(&mut client), [(3, at(1, 2)), (4, at(3, 0)), (5, at(3, 1)), (6, at(4, 0))]);
}

#[test]
fn a_client_that_is_ahead_waits_until_what_comes_is_new_to_it() {
    for known in [true, false] {
        let world = World::of_log("events");
        world.apply(1, if known { "a" } else { "b" }, [0]);
        let mut client = world.client();
        assert_eq!(recover(&mut client, "a", EPOCH, at(3, 1))["recovered"], true, "known: {known}");
        client.hear();
        assert!(!client.session.has_more(), "there is nothing to do until then");
        let (waker, woken) = bell();
        assert!(!client.session.register(&waker));
        world.apply(2, "a", [1]);
        world.apply(3, "a", [2, 3]);
        assert_eq!((client.hear().len(), woken.load(std::sync::atomic::Ordering::Relaxed)), (0, 0));
        world.apply(4, "a", [4]);
        assert_eq!(woken.load(std::sync::atomic::Ordering::Relaxed), 1);
        world.apply(5, "a", [5]);
        assert_eq!(hear(&mut client), [(4, at(4, 0)), (5, at(5, 0))]);
        drop(client);
        assert_eq!((world.hub.subscribers("a"), world.hub.backlog()), (0, 0));
    }
}

#[test]
fn a_client_in_the_middle_of_an_entry_gets_the_rest_of_it() {
    let world = World::of_log("events");
    let mut client = world.client();
    assert_eq!(recover(&mut client, "a", EPOCH, at(1, 0))["recovered"], true);
    world.apply(1, "a", [1, 2, 3]);
    assert_eq!(hear(&mut client), [(2, at(1, 1)), (3, at(1, 2))]);
}

#[test]
fn a_pattern_does_not_bring_what_a_client_that_is_ahead_has() {
    let world = World::of_log("events");
    let mut client = world.subscriber(&["a.*"]);
    recover(&mut client, "a.b", EPOCH, at(2, 0));
    world.apply(2, "a.b", [1]);
    world.apply(3, "a.c", [2]);
    world.apply(4, "a.b", [3]);
    assert_eq!(hear(&mut client), [(2, at(3, 0)), (3, at(4, 0))]);
}

#[test]
fn a_client_that_is_ahead_may_go_or_change_its_mind() {
    let world = World::of_log("events");
    let mut client = world.client();
    recover(&mut client, "a", EPOCH, at(5, 0));
    client.unsubscribe(&["a"]);
    client.hear();
    world.apply(1, "a", [1]);
    assert!(client.hear().is_empty());
    recover(&mut client, "a", EPOCH, at(5, 0));
    recover(&mut client, "a", EPOCH, at(1, 0));
    world.apply(2, "a", [2]);
    assert_eq!(hear(&mut client), [(2, at(2, 0))]);
}

#[test]
fn an_offset_that_no_hub_can_have_reached_is_not_waited_for() {
    let world = World::of_log("events");
    world.apply(1, "a", [1]);
    let mut client = world.client();
    assert_eq!(recover(&mut client, "a", EPOCH, u64::MAX)["recovered"], false);
    world.apply(2, "a", [2]);
    assert_eq!(hear(&mut client), [(2, at(2, 0))]);
}

#[test]
fn whoever_waits_for_what_is_not_remembered_is_told_what_it_misses() {
    let world = World::of_log("events");
    let mut client = world.client();
    recover(&mut client, "a", EPOCH, at(2, 0));
    *world.retention.borrow_mut() = Retention::default();
    world.apply(2, "a", [1]);
    world.apply(3, "a", [2]);
    let heard = client.hear();
    assert_eq!(heard[0]["data"]["missed"], 1, "{heard:?}");
    world.apply(4, "a", [3]);
    assert_eq!(client.hear()[0]["data"], 3);
}

#[test]
fn what_a_hub_forgot_or_never_saw_is_told() {
    let world = World::of_log("events");
    world.retention.borrow_mut().history = history(2);
    (1..=4).for_each(|n| world.apply(n, "a", [n]));
    for (offset, recovered) in [(at(1, 0), false), (at(2, 0), true), (at(2, 7), true), (at(4, 0), true)] {
        let mut client = world.client();
        assert_eq!(recover(&mut client, "a", EPOCH, offset)["recovered"], recovered, "{offset}");
        let expected: Vec<_> = [3, 4].into_iter().filter(|n| at(*n, 0) > offset).map(|n| (n, at(n, 0))).collect();
        assert_eq!(hear(&mut client), expected);
    }
    let late = World::of_log("events");
    late.hub.begin("log-2", 10);
    late.apply(11, "a", [1]);
    for (channel, offset, recovered) in [
        ("a", at(10, 3), false),
        ("a", at(10, 4095), true),
        ("a", at(11, 0), true),
        ("quiet", at(10, 3), false),
        ("quiet", at(11, 0), true),
    ] {
        let mut client = late.client();
        assert_eq!(recover(&mut client, channel, "log-2", offset)["recovered"], recovered, "{channel} {offset}");
    }
}

#[test]
fn the_place_of_a_channel_without_events_is_that_of_the_log() {
    let world = World::of_log("events");
    world.apply(1, "a", [1]);
    world.apply(2, "b", [2]);
    let mut client = world.client();
    client.subscribe(&["a"]);
    assert_eq!(client.hear()[0]["data"]["positions"]["a"]["offset"], at(2, 4095));
    let mut client = world.client();
    assert_eq!(recover(&mut client, "c", EPOCH, at(2, 4095))["recovered"], true);
    world.apply(3, "c", [3]);
    assert_eq!(hear(&mut client), [(3, at(3, 0))]);
}

#[test]
fn snapshots_have_the_latest_of_each_key() {
    let world = World::of_log("events");
    world.apply(1, "keyed", [11, 21, 12]);
    world.apply(5, "keyed", [22]);
    let mut client = world.client();
    client.say(json!({"type": "subscribe", "events": ["keyed"], "snapshot": true}));
    world.apply(6, "keyed", [13]);
    assert_eq!(events(&client.hear()[1..]), [(22, at(5, 0)), (13, at(6, 0))], "12 is replaced before it is sent");
}

#[test]
fn another_log_makes_a_clean_sweep() {
    let world = World::of_log("events");
    world.apply(1, "keyed", [11]);
    let mut waiting = world.client();
    recover(&mut waiting, "keyed", EPOCH, at(9, 0));
    assert!(world.hub.begin("log-2", 0), "clients may have missed something");
    assert_eq!(&*world.hub.epoch(), "log-2");
    assert!(waiting.hear().is_empty());
    let mut client = world.client();
    assert_eq!(recover(&mut client, "keyed", EPOCH, at(1, 0))["recovered"], false);
    let mut begins = world.client();
    begins.say(json!({"type": "subscribe", "events": ["keyed"], "snapshot": true}));
    assert_eq!(begins.hear().len(), 1, "there is no latest");
    world.apply(1, "keyed", [12]);
    for client in [&mut waiting, &mut client, &mut begins] {
        let heard = client.hear();
        assert_eq!((events(&heard), &heard[0]["epoch"]), (vec![(12, at(1, 0))], &json!("log-2")));
    }
}

#[test]
fn the_same_log_begins_again_where_entries_are_missing() {
    let world = World::of_log("events");
    world.apply(3, "a", [1]);
    assert!(!world.hub.begin(EPOCH, 3), "all of that came");
    assert_eq!(recover(&mut world.client(), "a", EPOCH, at(2, 0))["recovered"], true);
    assert!(world.hub.begin(EPOCH, 5));
    assert_eq!(recover(&mut world.client(), "a", EPOCH, at(3, 0))["recovered"], false);
    world.apply(6, "a", [2]);
    let mut client = world.client();
    assert_eq!(recover(&mut client, "a", EPOCH, at(5, 4095))["recovered"], true);
    assert_eq!(hear(&mut client), [(2, at(6, 0))]);
}

#[test]
fn an_entry_that_has_nothing_for_us_still_counts() {
    let world = World::of_log("events");
    world.apply(4, "a", Vec::<u64>::new());
    assert!(!world.hub.begin(EPOCH, 4));
}

#[test]
fn a_channel_that_was_gone_in_between_does_not_pass_for_the_old_one() {
    let world = World::of_log("events");
    *world.retention.borrow_mut() = Retention { history: history(1000), ..Retention::default() };
    world.apply(1, "a", [1]);
    world.pass(seconds(3601));
    drop(world.subscriber(&["a"]));
    assert_eq!(world.hub.stats().channels, 0);
    assert_eq!(recover(&mut world.client(), "a", EPOCH, at(1, 0))["recovered"], true, "nothing came since");
    assert_eq!(recover(&mut world.client(), "a", EPOCH, at(0, 7))["recovered"], false);
}

#[test]
fn an_event_of_a_user_reaches_those_who_are_here() {
    let world = World::of_log("events");
    let mut ann = world.user(Some("ann"), eventflux_gateway::auth::Grants::everything());
    let to = Address::User { user: "ann", channel: None };
    let event = Publication { to, payload: b"1", binary: false, key: None, correlation: None };
    let mut published = Vec::new();
    world.hub.apply(&Retention::default(), 1, [event], (world.now(), 0), |result| published.push(result));
    assert_eq!(published.pop().unwrap().unwrap().delivered, 1);
    assert_eq!(ann.hear()[0]["data"], 1);
}

#[test]
fn an_answer_is_passed_where_the_client_is() {
    let (one, other) = (World::of_log("events"), World::of_log("events"));
    let mut client = one.client();
    client.say(json!({"type": "do", "data": {}, "correlation_id": "c"}));
    let request = client.delivered.pop().unwrap().request.unwrap();
    assert_eq!(other.hub.answer(&request, b"1"), Ok(false));
    assert_eq!(one.hub.answer(&request, b"1"), Ok(true));
    assert!(one.hub.answer("nobody", b"1").is_err() && one.hub.answer(&request, b"{").is_err());
    assert_eq!(client.hear()[0]["data"], 1);
}

#[test]
fn who_is_present_elsewhere_is_present() {
    let world = World::of_log("channels");
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let copy = told.clone();
    world.hub.watch_presence(move |channel| copy.lock().unwrap().push(channel.to_owned()));
    let mut client = world.subscriber(&["a"]);
    let present = |client: &mut Client| {
        client.say(json!({"type": "presence", "data": {"channel": "a"}}));
        let reply = client.hear().pop().unwrap();
        let mut members: Vec<_> =
            reply["data"]["members"].as_array().unwrap().iter().map(|m| m["session_id"].to_string()).collect();
        members.sort();
        members.len()
    };
    let member = |id: &str| (id.to_owned(), Some("bob".to_owned()));
    world.hub.set_present_elsewhere("a", "i1", vec![member("s1"), member("s2")]);
    world.hub.set_present_elsewhere("a", "i2", vec![member("s3")]);
    assert_eq!((present(&mut client), world.hub.present_here("a", 9).len()), (4, 1));
    world.hub.set_present_elsewhere("a", "i1", Vec::new());
    assert_eq!(present(&mut client), 2);
    drop(client);
    assert_eq!(*told.lock().unwrap(), ["a", "a"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// A client that wanders between hubs, each of which has read the log up to some place of its own.
    #[test]
    fn whoever_wanders_between_hubs_gets_everything_once_or_is_told(
        keeps in 1..30_usize,
        steps in prop::collection::vec((0..6_u8, 0..3_usize, 1..400_usize), 1..120),
    ) {
        let worlds: Vec<_> = (0..3).map(|_| World::of_log("events")).collect();
        worlds.iter().for_each(|world| world.retention.borrow_mut().history = history(keeps));
        let mut log: Vec<Vec<u64>> = Vec::new();
        let mut read = [0_usize; 3];
        let (mut client, mut offset): (Option<Client>, u64) = (None, at(0, 4095));
        let (mut got, mut published, mut complete) = (Vec::new(), 0, true);
        let mut take = |client: &mut Client, room: usize, offset: &mut u64, complete: &mut bool| {
            client.transmit(room);
            for message in client.heard() {
                if let Some(recovered) = message["data"]["positions"]["a"]["recovered"].as_bool() {
                    *complete &= recovered;
                } else if message["data"]["missed"].is_u64() {
                    *complete = false;
                } else {
                    *offset = message["offset"].as_u64().unwrap();
                    got.push(message["data"].as_u64().unwrap());
                }
            }
        };
        let catch_up = |world: usize, count: usize, read: &mut [usize; 3], log: &[Vec<u64>]| {
            for _ in 0..count {
                let Some(entry) = log.get(read[world]) else { return };
                read[world] += 1;
                worlds[world].apply(read[world] as u64, "a", entry);
            }
        };
        for (step, world, size) in steps {
            match step {
                0 | 1 => {
                    let count = size as u64 % 4;
                    log.push((published..published + count).collect());
                    published += count;
                }
                2 | 3 => catch_up(world, size % 5, &mut read, &log),
                4 => {
                    let mut next = worlds[world].client();
                    next.say(json!({
                        "type": "subscribe", "events": ["a"], "recover": {"a": {"epoch": EPOCH, "offset": offset}},
                    }));
                    client = Some(next);
                }
                _ => {
                    if let Some(client) = &mut client {
                        take(client, size, &mut offset, &mut complete);
                    }
                }
            }
        }
        // The last hub gets to the end.
        (0..3).for_each(|world| catch_up(world, usize::MAX, &mut read, &log));
        let mut client = client.unwrap_or_else(|| {
            let mut client = worlds[0].client();
            client.say(json!({
                "type": "subscribe", "events": ["a"], "recover": {"a": {"epoch": EPOCH, "offset": offset}},
            }));
            client
        });
        take(&mut client, 1, &mut offset, &mut complete);
        while client.session.has_more() {
            take(&mut client, 1000, &mut offset, &mut complete);
        }
        prop_assert!(got.is_sorted_by(|one, next| one < next), "{:?}", got);
        prop_assert!(!complete || got.len() as u64 == published, "{:?} of {}", got, published);
    }

    #[test]
    fn hubs_that_read_the_same_remember_the_same(
        keeps in 1..20_usize,
        entries in prop::collection::vec((0..3_usize, 0..5_usize), 1..40),
        offset in 0..45_u64,
    ) {
        let worlds = [World::of_log("events"), World::of_log("events")];
        let mut heard = Vec::new();
        for (index, world) in worlds.iter().enumerate() {
            world.retention.borrow_mut().history = history(keeps);
            // Who is connected makes no difference.
            let _client = (index == 0).then(|| world.subscriber(&["a", "b*"]));
            for (sequence, (channel, count)) in (1..).zip(&entries) {
                world.apply(sequence, ["a", "b", "c"][*channel], 0..*count as u64);
            }
            let mut client = world.client();
            for channel in ["a", "b", "c"] {
                recover(&mut client, channel, EPOCH, at(offset, 1));
            }
            heard.push(client.hear());
        }
        prop_assert_eq!(&heard[0], &heard[1]);
    }
}
