//! Who a client is: by the handshake, by a message, for as long as it is valid.

use std::cell::Cell;
use std::rc::Rc;

use eventflux_gateway::auth::Grants;
use eventflux_gateway::{Address, Ending, HubConfig, Problem};
use serde_json::json;

use crate::support::{Client, World, grants, identity, seconds};

/// A hub whose clients authenticate by a message within ten seconds.
fn by_message(dialect: &str) -> World {
    World::new(dialect, HubConfig { authentication: Some(seconds(10)), ..HubConfig::default() })
}

fn stranger(world: &World) -> Client {
    let mut client = world.arrive(world.arrival(None)).unwrap();
    let now = world.now();
    client.authenticate = Box::new(move |token| match token.split_once(':') {
        Some((user, allowed)) => {
            let mut authenticated = identity(Some(user), grants(&[allowed]));
            authenticated.expires = Some(now + seconds(60));
            Ok(authenticated)
        }
        None => Err(Problem::AuthenticationFailed("Invalid credentials".to_owned())),
    });
    client
}

fn token(client: &mut Client, token: &str) {
    match client.session.hub().dialect().name() {
        "events" => client.say(json!({"type": "auth", "token": token})),
        _ => client.say(json!({"type": "auth", "data": {"token": token}})),
    }
}

#[test]
fn nothing_is_carried_out_before_the_client_is_known() {
    for dialect in ["channels", "events", "analytics"] {
        let world = by_message(dialect);
        let mut client = stranger(&world);
        assert!(client.hear().is_empty(), "{dialect}");
        client.say(json!({"type": "subscribe", "events": ["a"], "data": {"channels": ["a"], "type": "alerts"}}));
        client.say(json!({"type": "event", "data": {"channel": "a"}}));
        client.say(json!({"type": "ping"}));
        assert_eq!(client.hear_types(), ["error", "error", "pong"], "{dialect}");
        assert!(client.delivered.is_empty());
        assert_eq!((client.session.user(), world.hub.stats().subscriptions), (None, 0));
        token(&mut client, "ann:*");
        assert_eq!(client.session.user().map(|user| &**user), Some("ann"));
        client.subscribe(&["a"]);
        assert_eq!(client.ended, None);
    }
}

#[test]
fn who_stays_unknown_is_closed_at_the_deadline() {
    let world = by_message("events");
    let mut client = stranger(&world);
    assert_eq!(client.session.deadline(), Some(world.now() + seconds(10)));
    token(&mut client, "wrong");
    assert_eq!(client.hear()[0]["data"]["code"], "AUTHENTICATION_FAILED");
    world.pass(seconds(9));
    client.timers();
    assert_eq!(client.ended, None);
    world.pass(seconds(1));
    client.timers();
    assert_eq!((client.ended, Ending::AuthenticationTimeout.code()), (Some(Ending::AuthenticationTimeout), 1008));
    assert_eq!(client.hear()[0]["data"]["code"], "AUTHENTICATION_TIMEOUT");
}

#[test]
fn a_decision_that_takes_longer_than_the_deadline_is_waited_for() {
    let world = by_message("events");
    let mut client = stranger(&world);
    let ask = json!({"type": "auth", "token": "ann:*"}).to_string();
    client.session.receive(&ask.into(), false, world.now()).unwrap();
    assert!(client.session.next_effect().is_some());
    assert_eq!(client.session.deadline(), None, "or the driver would look at the time again and again");
    world.pass(seconds(11));
    client.timers();
    assert_eq!(client.ended, None);
    client.session.authenticated(Ok(identity(Some("ann"), Grants::everything()))).unwrap();
    assert_eq!(client.hear_types(), ["authenticated", "connected"]);
    client.timers();
    assert_eq!(client.ended, None);
}

#[test]
fn a_decision_against_the_client_after_the_deadline_ends_it() {
    let world = by_message("events");
    let mut client = stranger(&world);
    let ask = json!({"type": "auth", "token": "wrong"}).to_string();
    client.session.receive(&ask.into(), false, world.now()).unwrap();
    world.pass(seconds(11));
    client.carry_out();
    assert!(client.session.deadline().unwrap() <= world.now());
    client.timers();
    assert_eq!(client.ended, Some(Ending::AuthenticationTimeout));
}

#[test]
fn an_identity_ends_when_it_is_no_longer_valid_unless_it_is_renewed() {
    let world = by_message("events");
    let mut client = stranger(&world);
    token(&mut client, "ann:*");
    assert_eq!(client.session.deadline(), Some(world.now() + seconds(60)));
    world.pass(seconds(59));
    client.timers();
    let later = world.now() + seconds(60);
    client.authenticate = Box::new(move |_| {
        let mut authenticated = identity(Some("ann"), Grants::everything());
        authenticated.expires = Some(later);
        Ok(authenticated)
    });
    token(&mut client, "ann:*");
    assert_eq!((client.ended, client.session.deadline()), (None, Some(later)));
    world.pass(seconds(60));
    client.timers();
    assert_eq!(client.ended, Some(Ending::AuthenticationExpired));
    assert_eq!(client.hear().pop().unwrap()["data"]["code"], "AUTHENTICATION_EXPIRED");
}

#[test]
fn another_users_credentials_change_nothing() {
    let world = by_message("events");
    let mut client = stranger(&world);
    token(&mut client, "ann:a");
    token(&mut client, "bob:b");
    assert_eq!(client.hear_types(), ["authenticated", "connected", "error"]);
    assert_eq!(client.session.user().map(|user| &**user), Some("ann"));
    client.subscribe(&["b"]);
    assert_eq!(client.hear()[0]["data"]["code"], "PERMISSION_DENIED");
    assert_eq!(world.publish_to(Address::User { user: "bob", channel: None }, "1").unwrap().delivered, 0);
}

#[test]
fn an_anonymous_client_may_become_somebody() {
    let world = World::events();
    let mut client = world.subscriber(&["a"]);
    let to_ann = Address::User { user: "ann", channel: Some("a") };
    assert_eq!(world.publish_to(to_ann, "1").unwrap().delivered, 0);
    client.authenticate = Box::new(|_| Ok(identity(Some("ann"), Grants::everything())));
    token(&mut client, "t");
    assert_eq!(world.publish_to(to_ann, "2").unwrap().delivered, 1);
    assert_eq!(client.hear_types(), ["authenticated", "a"]);
    assert_eq!(world.hub.stats().active_users, 1);
    drop(client);
    assert_eq!(world.hub.stats().active_users, 0);
}

#[test]
fn what_renewed_credentials_no_longer_allow_ends() {
    let world = by_message("events");
    let mut client = stranger(&world);
    token(&mut client, "ann:*");
    client.subscribe(&["a.x", "b", "*"]);
    client.hear();
    token(&mut client, "ann:a.*");
    let heard = client.hear();
    assert_eq!(heard[0]["type"], "authenticated");
    let lost: Vec<_> = heard[1..].iter().map(|error| error["data"]["message"].as_str().unwrap()).collect();
    assert_eq!(lost, ["Permission denied for 'b'", "Permission denied for '*'"]);
    assert_eq!(["a.x", "a.y", "b"].map(|channel| world.publish(channel, 1)), [1, 0, 0]);
}

#[test]
fn a_user_with_too_many_connections_is_not_told_that_it_is_welcome() {
    let config =
        HubConfig { authentication: Some(seconds(10)), max_connections_per_user: Some(1), ..HubConfig::default() };
    let world = World::new("events", config);
    let mut first = stranger(&world);
    token(&mut first, "ann:*");
    let mut second = stranger(&world);
    token(&mut second, "ann:*");
    assert_eq!((first.ended, second.ended), (None, Some(Ending::UserLimit)));
    assert!(second.hear().is_empty());
}

#[test]
fn no_token_is_in_what_is_shown_of_a_session() {
    let world = by_message("events");
    let mut client = stranger(&world);
    let asked = Rc::new(Cell::new(false));
    let seen = asked.clone();
    client.authenticate = Box::new(move |_| {
        seen.set(true);
        Err(Problem::AuthenticationFailed("Invalid credentials".to_owned()))
    });
    let ask = json!({"type": "auth", "token": "hunter2"}).to_string();
    client.session.receive(&ask.into(), false, world.now()).unwrap();
    assert!(!format!("{:?}", client.session).contains("hunter2"));
    client.carry_out();
    assert!(asked.get());
    assert!(!client.hear_texts().concat().contains("hunter2"));
}
