//! Clients that want what is not theirs.

use eventflux_testkit::peer::Message;
use serde_json::{Value, json};

use super::super::client::Client;
use super::super::jwt;
use super::super::served::{Served, serving};
use super::{TOKENS, bystander, unharmed};

fn served() -> Served {
    serving("channels")
        .with(&format!("websocket.auth='jwt', websocket.auth.jwt.secret='{}'", jwt::SECRET))
        .taking("websocket.accept='event'")
        .start()
}

/// A client that may use the channels of one tenant.
fn tenant(served: &Served, tenant: &str) -> Client {
    let grants = json!([format!("{tenant}.*")]);
    let claims = json!({"sub": tenant, "exp": jwt::in_seconds(60), "channels": grants});
    served.client(&format!("?token={}", jwt::with(&claims)))
}

fn subscribe(channel: &str) -> Value {
    json!({"type": "subscribe", "data": {"channels": [channel]}})
}

#[test]
fn another_tenants_channel_is_forbidden_in_the_same_words_whether_it_exists_or_not() {
    let served = served();
    let bystander = bystander(&served, &format!("?token={}", jwt::of("bob")));
    let (one, other) = (tenant(&served, "one"), tenant(&served, "other"));
    other.subscribe(&["other.secrets"]);
    served.publish("other.secrets", &json!("for other"));
    assert_eq!(other.next()["data"], "for other");
    let answers = ["other.secrets", "other.missing", "other.*"].map(|channel| {
        let answer = one.ask(&subscribe(channel));
        assert_eq!(answer["data"]["code"], "permission_denied");
        answer.to_string().replace(channel, "it")
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    served.counted_error("permission_denied", 3);
    served.wait_for_metric("websocket_subscriptions_failed_total", &[], 3);
    unharmed(served, &bystander);
}

#[test]
fn a_pattern_wider_than_the_grant_is_cut_to_it() {
    let served = served();
    let bystander = bystander(&served, &format!("?token={}", jwt::of("bob")));
    let one = tenant(&served, "one");
    one.subscribe(&["*"]);
    for (channel, payload) in [("other.a", "secret"), ("onea", "secret"), ("one", "secret"), ("one.a", "mine")] {
        served.publish(channel, &json!(payload));
    }
    assert_eq!(one.next(), json!({"type": "event", "data": "mine"}));
    let leaked = one.peer.record().messages_of(0).filter_map(Message::as_text).any(|text| text.contains("secret"));
    assert!(!leaked);
    unharmed(served, &bystander);
}

#[test]
fn names_with_wildcards_spaces_or_line_breaks_are_rejected_and_not_logged_as_they_are() {
    let served = served();
    let bystander = bystander(&served, &format!("?token={}", jwt::of("bob")));
    let one = tenant(&served, "one");
    let bad = [">", "one.>", "one.*.x", "one. x", "one.\r\nPUB", "one.\u{0}", "one.\u{1b}[31m", " ", "**", ""];
    for channel in bad {
        let answer = one.ask(&subscribe(channel));
        assert_eq!(answer["data"]["code"], "invalid_channel", "{channel:?}: {answer}");
        let event = json!({"type": "event", "data": {}, "metadata": {"channel": channel}});
        let answer = one.ask(&event);
        assert_eq!(answer["type"], "error", "{channel:?}: {answer}");
    }
    let long = one.ask(&subscribe(&"x".repeat(257)));
    assert_eq!(long["data"]["code"], "invalid_channel");
    assert_eq!(served.came_until_now(), []);
    assert!(served.metric("websocket_errors_total", &[("type", "invalid_channel")]) > bad.len() as u64);
    served.wait_for_metric("websocket_subscriptions_failed_total", &[], bad.len() as u64 + 1);
    unharmed(served, &bystander);
}

#[test]
fn nobody_publishes_where_it_may_not() {
    let served = served();
    let bystander = bystander(&served, &format!("?token={}", jwt::of("bob")));
    let one = tenant(&served, "one");
    let to = |channel: &str| json!({"type": "event", "data": {"n": 1}, "metadata": {"channel": channel}});
    for channel in ["other.a", "one", "on.e"] {
        assert_eq!(one.ask(&to(channel))["data"]["code"], "permission_denied", "{channel}");
    }
    served.counted_error("permission_denied", 3);
    one.send(&to("one.a"));
    let came = served.came(1).remove(0);
    assert_eq!((came.channel.as_deref(), came.person.as_deref()), (Some("one.a"), Some("one")));
    unharmed(served, &bystander);
}

#[test]
fn the_name_of_a_user_does_not_widen_its_grants() {
    let served = serving("channels")
        .with(&format!("websocket.auth='jwt', websocket.auth.jwt.secret='{}'", jwt::SECRET))
        .with("websocket.grants.subscribe='watched, user.${user}.*', websocket.auth.attempts='0'")
        .start();
    let bystander = bystander(&served, &format!("?token={}", jwt::of("bob")));
    for name in ["*", "ann.smith", "a>b", "a b", "a\nb"] {
        let url = served.url(&format!("?token={}", jwt::of(name)));
        let attempt = eventflux_testkit::peer::ScriptedClient::builder(url).attempt().blocking();
        assert!(attempt.is_err(), "{name:?} is let in");
    }
    let ann = served.client(&format!("?token={}", jwt::of("ann")));
    ann.subscribe(&["user.ann.*"]);
    assert_eq!(ann.ask(&subscribe("user.bob.*"))["data"]["code"], "permission_denied");
    served.counted_error("permission_denied", 1);
    unharmed(served, &bystander);
}

#[test]
fn who_is_nobody_may_do_little_until_it_says_who_it_is() {
    let served = serving("channels")
        .with(TOKENS)
        .with("websocket.auth.required='false'")
        .with("websocket.grants.subscribe='watched, public.*, user.${user}.*', websocket.grants.publish=''")
        .taking("websocket.accept='event'")
        .start();
    let bystander = bystander(&served, "?token=hunter2-bob");
    let client = served.client("");
    client.subscribe(&["public.news"]);
    for name in ["user.ann.a", "user..a", "user.${user}.a", "user.*"] {
        let answer = client.ask(&subscribe(name));
        assert_eq!(answer["data"]["code"], "permission_denied", "{name}: {answer}");
    }
    let event = json!({"type": "event", "data": {}, "metadata": {"channel": "public.news"}});
    assert_eq!(client.ask(&event)["data"]["code"], "permission_denied");
    let answer = client.ask(&json!({"type": "auth", "data": {"token": "hunter2-ann"}}));
    assert_eq!(answer["data"]["success"], true);
    client.subscribe(&["user.ann.a"]);
    assert_eq!(client.ask(&subscribe("user.bob.a"))["data"]["code"], "permission_denied");
    served.counted_error("permission_denied", 6);
    unharmed(served, &bystander);
}

#[test]
fn history_and_presence_of_what_is_not_granted_stay_hidden() {
    let served = serving("channels")
        .with(&format!("websocket.auth='jwt', websocket.auth.jwt.secret='{}'", jwt::SECRET))
        .with("websocket.presence='true'")
        .publishing("websocket.history.events='10', websocket.key='${item}', websocket.snapshot.keys='10'")
        .start();
    let bystander = bystander(&served, &format!("?token={}", jwt::of("bob")));
    served.publish_of("k", "other.a", &json!("secret"));
    let one = tenant(&served, "one");
    for wish in [
        json!({"channels": ["other.a"], "recover": {"other.a": {"epoch": "x", "offset": 0}}}),
        json!({"channels": ["other.a"], "snapshot": true}),
        json!({"channels": ["other.a", "other.*"]}),
    ] {
        let denied = wish["channels"].as_array().unwrap().len();
        one.send(&json!({"type": "subscribe", "data": wish}));
        let answers = one.take(denied);
        assert!(answers.iter().all(|answer| answer["data"]["code"] == "permission_denied"), "{answers:?}");
    }
    let answer = one.ask(&json!({"type": "presence", "data": {"channel": "other.a"}}));
    assert_eq!(answer["data"]["code"], "permission_denied");
    one.subscribe(&["*"]);
    served.publish("one.a", &json!("mine"));
    assert_eq!(one.next()["data"], "mine");
    assert!(!one.peer.record().messages_of(0).filter_map(Message::as_text).any(|text| text.contains("secret")));
    served.counted_error("permission_denied", 5);
    unharmed(served, &bystander);
}
