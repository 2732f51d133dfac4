//! Who is on a channel, and coming and going as messages for the pipeline.

use eventflux_gateway::auth::Grants;
use eventflux_gateway::{HubConfig, JOIN, LEAVE};
use serde_json::{Value, json};

use crate::support::{Client, World, grants};

fn world() -> World {
    World::new("channels", HubConfig { presence: true, ..HubConfig::default() })
}

fn present(client: &mut Client, channel: &str) -> Vec<Value> {
    client.say(json!({"type": "presence", "data": {"channel": channel}, "correlation_id": "p"}));
    let reply = client.hear().pop().unwrap();
    assert_eq!((&reply["type"], &reply["correlation_id"]), (&json!("presence_response"), &json!("p")));
    let mut members: Vec<_> = reply["data"]["members"].as_array().unwrap().clone();
    members.sort_by_key(|member| member["user_id"].to_string());
    members
}

/// Kinds and channels of what the pipeline was told.
fn reports(client: &mut Client) -> Vec<String> {
    let reports = client.delivered.drain(..);
    reports.map(|inbound| format!("{} {}", inbound.kind, inbound.channel.unwrap())).collect()
}

#[test]
fn who_is_on_a_channel_is_told_to_those_who_may_subscribe() {
    let world = world();
    let mut ann = world.user(Some("ann"), Grants::everything());
    let mut bob = world.user(Some("bob"), grants(&["a"]));
    let mut nobody = world.user(None, grants(&["b"]));
    assert!(present(&mut ann, "a").is_empty());
    ann.subscribe(&["a"]);
    bob.subscribe(&["a"]);
    let expected = [
        json!({"session_id": ann.session.id(), "user_id": "ann"}),
        json!({"session_id": bob.session.id(), "user_id": "bob"}),
    ];
    assert_eq!(present(&mut bob, "a"), expected);
    nobody.say(json!({"type": "presence", "data": {"channel": "a"}}));
    assert_eq!(nobody.hear()[0]["data"]["code"], "permission_denied");
    nobody.say(json!({"type": "presence", "data": {"channel": "b*"}}));
    assert_eq!(nobody.hear()[0]["data"]["code"], "invalid_channel");
    drop(ann);
    assert_eq!(present(&mut bob, "a"), expected[1..]);
}

#[test]
fn where_presence_is_not_kept_nobody_is_told() {
    let world = World::new("channels", HubConfig::default());
    let mut client = world.client();
    client.subscribe(&["a"]);
    client.hear();
    client.say(json!({"type": "presence", "data": {"channel": "a"}}));
    assert_eq!(client.hear()[0]["data"]["code"], "unsupported");
    assert!(client.delivered.is_empty());
}

#[test]
fn each_session_comes_and_goes_once_however_it_subscribes() {
    let world = world();
    let mut client = world.user(Some("ann"), Grants::everything());
    client.subscribe(&["a.b"]);
    assert_eq!(reports(&mut client), ["join a.b"]);
    // Covered by a wider one, subscribed to again with and without a filter: it stays there.
    client.subscribe(&["a.*"]);
    client.subscribe(&["a.b"]);
    client.say(json!({"type": "subscribe", "data": {"channels": ["a.b"], "filter": "n > 1"}}));
    client.unsubscribe(&["a.*"]);
    client.subscribe(&["*"]);
    assert!(reports(&mut client).is_empty());
    assert_eq!(present(&mut client, "a.b").len(), 1);
    client.unsubscribe(&["a.b"]);
    assert_eq!(reports(&mut client), ["leave a.b"]);
    assert!(present(&mut client, "a.b").is_empty());
    client.unsubscribe(&["*"]);
    assert!(reports(&mut client).is_empty(), "nobody is on a pattern");
}

#[test]
fn what_the_pipeline_is_told_names_the_client() {
    let world = world();
    let mut client = world.user(Some("ann"), Grants::everything());
    client.subscribe(&["a"]);
    let joined = client.delivered.pop().unwrap();
    let expected = json!({"channel": "a", "user": "ann", "connection": client.session.id()});
    assert_eq!(serde_json::from_slice::<Value>(&joined.payload).unwrap(), expected);
    assert_eq!((&*joined.kind, joined.request, joined.correlation), (JOIN, None, None));
    client.unsubscribe(&["a"]);
    assert_eq!(client.delivered.pop().unwrap().kind, LEAVE);
}

#[test]
fn the_pipeline_hears_of_clients_whose_connection_ends() {
    let world = world();
    let mut client = world.client();
    client.subscribe(&["a", "b", "c.*"]);
    reports(&mut client);
    client.session.leave(world.now());
    client.carry_out();
    assert_eq!(reports(&mut client), ["leave a", "leave b"]);
    assert_eq!(["a", "b", "c.d"].map(|channel| world.publish(channel, 1)), [0, 0, 0]);
    drop(client);
    assert_eq!((world.hub.stats().subscriptions, world.hub.stats().active_connections), (0, 0));
}

#[test]
fn a_pipeline_that_does_not_ask_for_it_is_not_told() {
    let world = world();
    world.hub.accept(eventflux_gateway::Accepts { kinds: vec![LEAVE.to_owned()], any: false });
    let mut client = world.client();
    client.subscribe(&["a"]);
    assert!(client.delivered.is_empty());
    client.unsubscribe(&["a"]);
    assert_eq!(reports(&mut client), ["leave a"]);
}

#[test]
fn two_sessions_of_a_user_are_two() {
    let world = world();
    let mut devices: Vec<_> = (0..2).map(|_| world.user(Some("ann"), Grants::everything())).collect();
    devices.iter_mut().for_each(|client| client.subscribe(&["a"]));
    assert_eq!(present(&mut devices[0], "a").len(), 2);
    devices.pop();
    assert_eq!(present(&mut devices[0], "a").len(), 1);
}
