//! Clients that send too much, ask too much, or send what is not for them; and the end of the hub.

use eventflux_gateway::auth::Grants;
use eventflux_gateway::{Ending, FullPolicy, HubConfig, RateLimit};
use serde_json::json;

use crate::support::{World, identity, queue, seconds};

fn limited(messages: usize) -> World {
    let rate = Some(RateLimit { messages, per: seconds(60) });
    World::new("events", HubConfig { rate, ..HubConfig::default() })
}

#[test]
fn messages_beyond_the_rate_are_refused_with_the_time_to_wait() {
    let world = limited(3);
    let mut client = world.client();
    for _ in 0..3 {
        client.say(json!({"type": "ping"}));
        world.pass(seconds(10));
    }
    client.say(json!({"type": "ping"}));
    let heard = client.hear();
    assert_eq!(
        heard[3]["data"],
        json!({"code": "RATE_LIMIT_EXCEEDED", "message": "Rate limit exceeded", "retry_after": 30})
    );
    world.pass(seconds(30));
    client.say(json!({"type": "ping"}));
    client.say(json!({"type": "ping"}));
    assert_eq!(client.hear_types(), ["pong", "error"]);
    assert_eq!(client.ended, None);
}

#[test]
fn who_does_not_heed_refusals_is_closed() {
    let world = limited(3);
    let mut client = world.client();
    (0..6).for_each(|_| client.say("no message at all"));
    assert_eq!(client.ended, None);
    client.say(json!({"type": "ping"}));
    assert_eq!((client.ended, Ending::Flood.code()), (Some(Ending::Flood), 1008));
}

#[test]
fn each_connection_has_a_rate_of_its_own() {
    let world = limited(1);
    let mut clients = [world.client(), world.client()];
    for client in &mut clients {
        client.say(json!({"type": "ping"}));
        assert_eq!(client.hear_types(), ["pong"]);
    }
}

#[test]
fn a_client_that_asks_and_never_reads_is_closed() {
    let world = World::new("events", HubConfig { max_reply_bytes: 10_000, ..HubConfig::default() });
    let mut client = world.client();
    let mut asked = 0;
    while client.ended.is_none() {
        client.say(json!({"type": "ping"}));
        asked += 1;
        assert!(asked < 1000);
    }
    assert_eq!((client.ended, client.session.ending()), (Some(Ending::TooSlow), Some(Ending::TooSlow)));
    assert!(asked > 90, "{asked}");
}

#[test]
fn a_client_that_reads_may_ask_as_often_as_it_likes() {
    let world = World::new("events", HubConfig { max_reply_bytes: 1000, ..HubConfig::default() });
    let mut client = world.client();
    for _ in 0..1000 {
        client.say(json!({"type": "ping"}));
        assert_eq!(client.hear_types(), ["pong"]);
    }
}

#[test]
fn unsubscribing_does_not_take_events_out_of_the_bounds_of_the_queue() {
    let world = World::events().slow(queue(10_000, FullPolicy::DropOldest));
    let mut client = world.client();
    client.say(json!({"type": "subscribe", "events": ["a"], "filter": "n >= 0"}));
    for n in 0..100 {
        world.publish("a", json!({"n": n, "text": "x".repeat(5000)}));
        client.unsubscribe(&["nothing"]);
    }
    let heard = client.hear();
    let events = heard.iter().filter(|message| message["type"] == "a").count();
    let missed: u64 = heard.iter().filter_map(|message| message["data"]["missed"].as_u64()).sum();
    assert_eq!((events, events as u64 + missed), (1, 100));
}

#[test]
fn snapshots_that_nobody_reads_are_bounded() {
    let world = World::with_history("analytics");
    (0..100).for_each(|n| _ = world.publish_key("alerts", &n.to_string(), json!("x".repeat(1000))));
    let mut client = world.client();
    let mut asked = 0;
    while client.ended.is_none() {
        let id = json!({"subscription_id": "s"});
        client.say(json!({"type": "subscribe", "data": {"type": "alerts", "snapshot": true}, "subscription_id": "s"}));
        client.say(json!({"type": "unsubscribe", "data": id}));
        asked += 1;
        assert!(asked < 10_000);
    }
    assert_eq!(client.ended, Some(Ending::TooSlow));
}

#[test]
fn binary_messages_end_a_session_whose_protocol_has_none() {
    for dialect in ["channels", "events", "analytics"] {
        let world = World::new(dialect, HubConfig::default());
        let mut client = world.client();
        client.send(br#"{"type":"ping"}"#, true);
        assert_eq!((client.ended, Ending::Binary.code()), (Some(Ending::Binary), 1003), "{dialect}");
    }
    let world = World::new("raw", HubConfig::default());
    let mut client = world.client();
    client.send(b"\xff", true);
    assert_eq!((client.ended, &client.delivered[0].payload[..]), (None, &b"\xff"[..]));
}

#[test]
fn stopping_ends_all_sessions_and_lets_nobody_in() {
    let world = World::events();
    let mut clients: Vec<_> = (0..3).map(|_| world.subscriber(&["a"])).collect();
    clients[0].say(json!({"type": "ping"}));
    world.hub.stop();
    for client in &mut clients {
        assert_eq!(client.session.ending(), Some(Ending::GoingAway));
        let pongs = client.hear_types().len();
        assert_eq!((client.ended, Ending::GoingAway.code()), (Some(Ending::GoingAway), 1001));
        assert!(pongs <= 1);
    }
    assert!(matches!(world.arrive(world.arrival(Some(identity(None, Grants::everything())))), Err(Ending::GoingAway)));
    assert_eq!(world.hub.stats().active_connections, 3);
}

#[test]
fn sessions_are_dismissed_some_at_a_time() {
    let world = World::events();
    let mut clients: Vec<_> = (0..5).map(|_| world.client()).collect();
    world.hub.refuse_all();
    let mut left = Vec::new();
    for _ in 0..4 {
        let dismissed = world.hub.dismiss(2);
        left.push((dismissed, clients.iter().filter(|client| client.session.ending().is_none()).count()));
    }
    assert_eq!(left, [(2, 3), (2, 1), (1, 0), (0, 0)]);
    clients.iter_mut().for_each(|client| _ = client.hear());
}

#[test]
fn what_was_said_before_the_end_is_sent_before_the_goodbye() {
    let world = World::events();
    let mut client = world.client();
    client.say(json!({"type": "ping"}));
    world.hub.stop();
    assert_eq!(client.hear_types(), ["pong"]);
    assert_eq!(client.ended, Some(Ending::GoingAway));
}
