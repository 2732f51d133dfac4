//! Subscriptions that come with the connection, and drivers that want to know the place of each event.

use eventflux_gateway::auth::Grants;
use eventflux_gateway::dialects::{Position, Recovered, Subscribe};
use eventflux_gateway::{Outgoing, Placing, Problem};

use crate::support::{Client, EPOCH, World, bell, identity};

fn wish(channels: &[&str]) -> Subscribe {
    Subscribe { channels: channels.iter().map(|channel| (*channel).to_owned()).collect(), ..Subscribe::default() }
}

fn position(offset: u64) -> Position {
    Position { epoch: EPOCH.to_owned(), offset }
}

fn connect(client: &mut Client, wishes: &[Subscribe], placing: Placing) -> Result<Vec<(String, Recovered)>, Problem> {
    let now = client.now();
    client.session.subscribe_on_connect(wishes, placing, now)
}

/// Channel and number of events, where the driver is told.
fn places(client: &mut Client) -> Vec<Option<(String, u64)>> {
    let outgoing = client.hear_outgoing();
    let place = |outgoing: Outgoing| match outgoing {
        Outgoing::Message { place, .. } => place.map(|(channel, number)| (channel.to_string(), number)),
        framed @ Outgoing::Framed(_) => panic!("{framed:?}"),
    };
    outgoing.into_iter().map(place).collect()
}

#[test]
fn a_driver_that_wants_to_know_is_told_where_each_event_is() {
    let world = World::with_history("events");
    let mut client = world.client_of_texts();
    client.hear_outgoing();
    world.publish("a", 1);
    connect(&mut client, &[wish(&["a", "b.*"])], Placing::Told).unwrap();
    world.publish("a", 2);
    world.publish("b.x", 1);
    let of_a = Some(("a".to_owned(), 2));
    assert_eq!(places(&mut client), [None, of_a, None], "the reply has no place, and a pattern has no history");
}

#[test]
fn a_driver_that_does_not_want_to_know_is_not_told() {
    let world = World::with_history("events");
    let mut client = world.client_of_texts();
    client.hear_outgoing();
    world.publish("a", 1);
    let recover = Subscribe { recover: vec![("a".to_owned(), position(0))], ..wish(&["a"]) };
    connect(&mut client, &[recover], Placing::Unwanted).unwrap();
    assert_eq!(places(&mut client), [None, None]);
}

#[test]
fn what_is_remembered_has_its_place_as_well() {
    let world = World::with_history("events");
    (1..=3).for_each(|n| _ = world.publish_key("a", &n.to_string(), n));
    for (offset, snapshot, expected) in [(1, false, vec![2, 3]), (9, true, vec![1, 2, 3])] {
        let mut client = world.client_of_texts();
        client.hear_outgoing();
        let recover = vec![("a".to_owned(), position(offset))];
        connect(&mut client, &[Subscribe { recover, snapshot, ..wish(&["a"]) }], Placing::Told).unwrap();
        let numbers: Vec<_> = places(&mut client).into_iter().flatten().map(|(_, number)| number).collect();
        assert_eq!(numbers, expected);
    }
}

#[test]
fn connecting_tells_where_the_histories_are() {
    let world = World::with_history("events");
    (1..=3).for_each(|n| _ = world.publish("a", n));
    let mut client = world.client();
    let recover = vec![("a".to_owned(), position(2)), ("new".to_owned(), position(0))];
    let wishes = [Subscribe { recover, ..wish(&["a", "new", "p.*"]) }];
    let places = connect(&mut client, &wishes, Placing::Framed).unwrap();
    let expected = [
        ("a".to_owned(), Recovered { position: position(3), complete: Some(true) }),
        ("new".to_owned(), Recovered { position: position(0), complete: None }),
    ];
    assert_eq!(places, expected);
    assert_eq!(client.hear_types(), ["subscribed", "a"]);
}

#[test]
fn a_channel_that_keeps_no_history_is_nowhere_and_misses_nothing() {
    let world = World::events();
    let _other = world.subscriber(&["a"]);
    world.publish("a", 1);
    let mut client = world.client();
    let recover = vec![("a".to_owned(), position(0))];
    assert_eq!(connect(&mut client, &[Subscribe { recover, ..wish(&["a"]) }], Placing::Told), Ok(Vec::new()));
}

#[test]
fn all_that_connecting_asks_for_is_granted_or_nothing() {
    let world = World::events();
    let arrival = world.arrival(Some(identity(None, crate::support::grants(&["a"]))));
    let mut client = world.arrive(arrival).unwrap();
    let refused = connect(&mut client, &[wish(&["a"]), wish(&["b"])], Placing::Told);
    assert!(matches!(refused, Err(Problem::PermissionDenied { .. })));
    assert_eq!(world.hub.stats().failed_subscriptions, 1);
    let mut client = world.user(None, Grants::everything());
    let predicate = Some("n >".to_owned());
    let refused = connect(&mut client, &[Subscribe { predicate, ..wish(&["a"]) }], Placing::Told);
    assert!(matches!(refused, Err(Problem::InvalidFilter(_))));
}

#[test]
fn whoever_registered_last_is_woken() {
    let world = World::events();
    let client = world.subscriber(&["a"]);
    let ((old, old_rung), (new, new_rung)) = (bell(), bell());
    assert!(!client.session.register(&old) && !client.session.register(&old) && !client.session.register(&new));
    world.publish("a", 1);
    let rung = [old_rung, new_rung].map(|rung| rung.load(std::sync::atomic::Ordering::Relaxed));
    assert_eq!(rung, [0, 1]);
    assert!(client.session.register(&new));
}
