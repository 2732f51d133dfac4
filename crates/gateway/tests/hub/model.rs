//! Whatever clients and publishers do in whatever order: nothing is lost that somebody wants, nothing comes twice, and
//! what comes of a channel comes in order.

use std::collections::{BTreeMap, BTreeSet};

use eventflux_gateway::{FullPolicy, QueueLimits};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Client, World, seconds};

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

/// What a client that holds `a.b` all the time does, besides publishers.
#[derive(Debug, Clone)]
enum Slow {
    Publish { key: Option<u8>, size: usize },
    Wider { pattern: usize, filter: Option<&'static str> },
    Narrower { pattern: usize },
    Again { filter: Option<&'static str> },
    Read { room: usize },
    Pass { seconds: u64 },
    Overtake,
}

const WIDER: [&str; 3] = ["a.*", "a.b*", "*"];
/// Both match everything.
const ALL: [Option<&str>; 2] = [None, Some("n > 0")];

fn slow() -> impl Strategy<Value = Slow> {
    let filter = || prop::sample::select(&ALL[..]);
    prop_oneof![
        10 => (prop::option::of(0..4_u8), 0..300_usize).prop_map(|(key, size)| Slow::Publish { key, size }),
        1 => (0..WIDER.len(), filter()).prop_map(|(pattern, filter)| Slow::Wider { pattern, filter }),
        1 => (0..WIDER.len()).prop_map(|pattern| Slow::Narrower { pattern }),
        1 => filter().prop_map(|filter| Slow::Again { filter }),
        3 => (0..1500_usize).prop_map(|room| Slow::Read { room }),
        1 => (1..10_u64).prop_map(|seconds| Slow::Pass { seconds }),
        1 => Just(Slow::Overtake),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_a_slow_client_gets_and_what_it_misses_is_all_there_was(
        full in prop::sample::select(&[FullPolicy::DropOldest, FullPolicy::DropNewest, FullPolicy::Conflate][..]),
        (bytes, events, age) in (200..3000_usize, prop::option::of(1..20_usize), prop::option::of(1..20_u64)),
        singly in any::<bool>(),
        steps in prop::collection::vec(slow(), 1..150),
    ) {
        let limits = QueueLimits { bytes, events, age: age.map(seconds), full };
        let world = World::events().slow(limits);
        let mut client = if singly { world.client_of_texts() } else { world.client() };
        let (messages, published) = run_slow(&world, &mut client, &steps);
        let (mut last, mut got, mut missed) = (0, 0, 0);
        for message in messages {
            if let Some(n) = message["data"]["n"].as_u64() {
                prop_assert!(n > last, "{} comes after {}", n, last);
                (last, got) = (n, got + 1);
            }
            missed += message["data"]["missed"].as_u64().unwrap_or(0);
        }
        prop_assert_eq!(got + missed, published);
        prop_assert_eq!(client.ended, None);
        prop_assert_eq!((world.hub.stats().dropped, world.hub.backlog()), (missed, 0));
    }
}

/// Returns what the client was told, and how many events there were.
fn run_slow(world: &World, client: &mut Client, steps: &[Slow]) -> (Vec<Value>, u64) {
    let subscribe =
        |pattern: &str, filter: Option<&str>| json!({"type": "subscribe", "events": [pattern], "filter": filter});
    client.say(subscribe("a.b", None));
    let (mut messages, mut published, mut wider) = (Vec::new(), 0, BTreeSet::new());
    for step in steps {
        match *step {
            Slow::Publish { key, size } => {
                published += 1;
                let payload = json!({"n": published, "text": "x".repeat(size)});
                match key {
                    Some(key) => world.publish_key("a.b", &key.to_string(), payload),
                    None => world.publish("a.b", payload),
                };
            }
            Slow::Wider { pattern, filter } => {
                wider.insert(pattern);
                client.say(subscribe(WIDER[pattern], filter));
            }
            Slow::Narrower { pattern } if wider.remove(&pattern) => client.unsubscribe(&[WIDER[pattern]]),
            Slow::Narrower { .. } => {}
            Slow::Again { filter } => client.say(subscribe("a.b", filter)),
            Slow::Read { room } => {
                client.transmit(room);
                messages.extend(client.heard());
            }
            Slow::Pass { seconds: passed } => world.pass(seconds(passed)),
            Slow::Overtake => client.session.overtake(world.now()).unwrap(),
        }
    }
    messages.extend(client.hear());
    (messages, published)
}
