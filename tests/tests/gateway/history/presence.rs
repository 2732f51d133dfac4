//! Who is on a channel, and who comes and goes.

use serde_json::{Value, json};

use super::super::served::serving;

#[test]
fn coming_and_going_is_a_stream_and_can_be_asked_for() {
    let tokens = "websocket.auth='token', websocket.auth.tokens='hunter2-ann=ann, hunter2-bob=bob'";
    let served = serving("channels")
        .with(tokens)
        .with("websocket.presence='true'")
        .taking("websocket.accept='join, leave'")
        .start();
    let (ann, bob) = (served.client("?token=hunter2-ann"), served.client("?token=hunter2-bob"));
    ann.subscribe(&["room"]);
    served.came(1);
    bob.subscribe(&["room", "hall"]);
    let joined: Vec<_> = served.came(3).into_iter().map(|came| (came.kind.clone(), came.json())).collect();
    let who = |kind: &str, channel: &str, user: &str, joined: &[(String, Value)]| {
        joined.iter().any(|(k, json)| k == kind && json["channel"] == channel && json["user"] == user)
    };
    assert!(who("join", "room", "ann", &joined) && who("join", "room", "bob", &joined), "{joined:?}");
    assert!(who("join", "hall", "bob", &joined), "{joined:?}");
    let answer = ann.ask(&json!({"type": "presence", "data": {"channel": "room"}, "correlation_id": "p"}));
    assert_eq!((&answer["type"], &answer["correlation_id"]), (&json!("presence_response"), &json!("p")));
    let mut members: Vec<_> = answer["data"]["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["user_id"].as_str().unwrap())
        .collect();
    members.sort_unstable();
    assert_eq!(members, ["ann", "bob"]);
    bob.ask(&json!({"type": "unsubscribe", "data": {"channels": ["hall"]}}));
    let came = served.came(4);
    assert_eq!((&*came[3].kind, came[3].json()["channel"].as_str()), ("leave", Some("hall")));
    assert_eq!((came[3].person.as_deref(), came[3].channel.as_deref()), (Some("bob"), Some("hall")));
    served.stop();
}

#[test]
fn who_hangs_up_leaves_too() {
    let served = serving("channels").with("websocket.presence='true'").taking("websocket.accept='join, leave'").start();
    let (stays, goes) = (served.client(""), served.client(""));
    stays.subscribe(&["room"]);
    goes.subscribe(&["room"]);
    let joined = served.came(2);
    goes.leave();
    let came = served.came(3);
    assert_eq!((&*came[2].kind, came[2].json()["channel"].as_str()), ("leave", Some("room")));
    assert_eq!(came[2].json()["connection"], joined[1].connection.as_str());
    let answer = stays.ask(&json!({"type": "presence", "data": {"channel": "room"}}));
    assert_eq!(answer["data"]["members"].as_array().unwrap().len(), 1);
    let hangs_up = served.client("");
    hangs_up.subscribe(&["room"]);
    served.came(4);
    drop(hangs_up);
    assert_eq!(served.came(5)[4].kind, "leave");
    served.stop();
}

#[test]
fn who_subscribes_twice_is_there_once() {
    let served = serving("channels").with("websocket.presence='true'").taking("websocket.accept='join, leave'").start();
    let client = served.client("");
    client.subscribe(&["room"]);
    client.subscribe(&["room"]);
    client.subscribe(&["other"]);
    let came: Vec<_> = served.came_until_now().iter().map(|came| (came.kind.clone(), came.channel.clone())).collect();
    let of_room =
        |kind: &str| came.iter().filter(|(k, channel)| k == kind && channel.as_deref() == Some("room")).count();
    assert!(of_room("join") <= of_room("leave") + 1, "{came:?}");
    let answer = client.ask(&json!({"type": "presence", "data": {"channel": "room"}}));
    assert_eq!(answer["data"]["members"].as_array().unwrap().len(), 1, "{answer}");
    served.stop();
}
