//! Whatever clients and publishers do in whatever order: nothing is lost that somebody wants, nothing comes twice, and
//! what comes of a channel comes in order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Client, World};

const CHANNELS: [&str; 5] = ["a", "a.b", "a.bc", "b", "c"];
const PATTERNS: [&str; 8] = ["a", "a.b", "a.*", "a.b*", "*", "b", "c", "c*"];
const FILTERS: [Option<&str>; 4] = [None, None, Some("k = 0"), Some("k > 0")];
const CLIENTS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Publish { channel: usize },
    Subscribe { client: usize, pattern: usize, filter: usize },
    Unsubscribe { client: usize, pattern: usize },
    Read { client: usize, room: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..CHANNELS.len()).prop_map(|channel| Step::Publish { channel }),
        3 => (0..CLIENTS, 0..PATTERNS.len(), 0..FILTERS.len())
            .prop_map(|(client, pattern, filter)| Step::Subscribe { client, pattern, filter }),
        2 => (0..CLIENTS, 0..PATTERNS.len()).prop_map(|(client, pattern)| Step::Unsubscribe { client, pattern }),
        3 => (0..CLIENTS, 1..300_usize).prop_map(|(client, room)| Step::Read { client, room }),
    ]
}

/// What should happen to a client.
#[derive(Default)]
struct Expected {
    /// Subscriptions, as they are and as the client was told they are.
    now: BTreeMap<&'static str, Option<&'static str>>,
    told: BTreeMap<&'static str, Option<&'static str>>,
    /// What it asked for and was not told of yet.
    asked: Vec<(&'static str, Option<Option<&'static str>>)>,
    /// Events that have to come, each with the subscriptions that wanted it when it was published.
    owed: BTreeMap<u64, BTreeSet<&'static str>>,
    /// Events that may come: those of subscriptions that ended before.
    allowed: BTreeSet<u64>,
    last: BTreeMap<String, u64>,
}

fn matches(pattern: &str, filter: Option<&str>, channel: &str, n: u64) -> bool {
    let is_channel = pattern.strip_suffix('*').map_or(pattern == channel, |prefix| channel.starts_with(prefix));
    let k = n % 3;
    is_channel && filter.is_none_or(|filter| (filter == "k = 0") == (k == 0))
}

impl Expected {
    fn published(&mut self, channel: &str, n: u64) {
        let wanted = self.now.iter().filter(|(pattern, filter)| matches(pattern, **filter, channel, n));
        let wanted: BTreeSet<_> = wanted.map(|(pattern, _)| *pattern).collect();
        if !wanted.is_empty() {
            self.owed.insert(n, wanted);
        }
    }

    fn unsubscribed(&mut self, pattern: &'static str) {
        self.now.remove(pattern);
        for wanted in self.owed.values_mut() {
            wanted.remove(pattern);
        }
        self.allowed.extend(self.owed.iter().filter(|(_, wanted)| wanted.is_empty()).map(|(n, _)| *n));
        self.owed.retain(|_, wanted| !wanted.is_empty());
    }

    fn heard(&mut self, message: &Value) {
        match message["type"].as_str().unwrap() {
            "subscribed" | "unsubscribed" => {
                let (pattern, filter) = self.asked.remove(0);
                assert_eq!(message["data"]["events"], json!([pattern]));
                match filter {
                    Some(filter) => drop(self.told.insert(pattern, filter)),
                    None => drop(self.told.remove(pattern)),
                }
            }
            channel => {
                let n = message["data"]["n"].as_u64().unwrap_or_else(|| panic!("{message}"));
                assert!(self.owed.remove(&n).is_some() || self.allowed.remove(&n), "{message} comes twice or unasked");
                let wanted = self.told.iter().any(|(pattern, filter)| matches(pattern, *filter, channel, n));
                assert!(wanted, "{message} comes when {:?} are subscribed to", self.told);
                let last = self.last.insert(channel.to_owned(), n);
                assert!(last.is_none_or(|last| last < n), "{message} comes after {last:?}");
            }
        }
    }
}

fn run(steps: &[Step], world: &World) {
    let mut clients: Vec<(Client, Expected)> = (0..CLIENTS).map(|_| (world.client(), Expected::default())).collect();
    for (n, step) in (1..).zip(steps) {
        match *step {
            Step::Publish { channel } => {
                world.publish(CHANNELS[channel], json!({"n": n, "k": n % 3}));
                clients.iter_mut().for_each(|(_, expected)| expected.published(CHANNELS[channel], n));
            }
            Step::Subscribe { client, pattern, filter } => {
                let (client, expected) = &mut clients[client];
                let (pattern, filter) = (PATTERNS[pattern], FILTERS[filter]);
                client.say(json!({"type": "subscribe", "events": [pattern], "filter": filter}));
                expected.now.insert(pattern, filter);
                expected.asked.push((pattern, Some(filter)));
            }
            Step::Unsubscribe { client, pattern } => {
                let (client, expected) = &mut clients[client];
                if expected.now.contains_key(PATTERNS[pattern]) {
                    client.unsubscribe(&[PATTERNS[pattern]]);
                    expected.unsubscribed(PATTERNS[pattern]);
                    expected.asked.push((PATTERNS[pattern], None));
                }
            }
            Step::Read { client, room } => {
                let (client, expected) = &mut clients[client];
                client.transmit(room);
                client.heard().iter().for_each(|message| expected.heard(message));
            }
        }
    }
    for (mut client, mut expected) in clients {
        client.hear().iter().for_each(|message| expected.heard(message));
        assert!(expected.owed.is_empty(), "{:?} are missing", expected.owed);
        assert!(expected.asked.is_empty());
    }
    assert_eq!((world.hub.stats().subscriptions, world.hub.backlog()), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn clients_that_keep_up_get_what_they_want_once_and_in_order(steps in prop::collection::vec(step(), 1..120)) {
        let world = World::events();
        run(&steps, &world);
        prop_assert_eq!(world.hub.stats().channels, 0, "channels that nobody is in are gone");
    }

    #[test]
    fn the_same_where_channels_remember(steps in prop::collection::vec(step(), 1..120)) {
        run(&steps, &World::with_history("events"));
    }
}
