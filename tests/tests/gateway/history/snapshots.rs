//! The latest event of each key, for clients that begin.

use eventflux_testkit::peer::Message;
use serde_json::{Value, json};

use super::{goes_on, numbers, remembering, subscribe};

#[test]
fn a_snapshot_has_the_latest_of_each_key_and_goes_on_live() {
    let served = remembering("websocket.key='${item}', websocket.snapshot.keys='100'").start();
    for (item, n) in [("x", 1), ("y", 2), ("x", 3), ("z", 4), ("y", 5)] {
        served.publish_of(item, "a", &json!({ "n": n }));
    }
    let client = served.client("");
    let answer = client.ask(&subscribe(json!({"channels": ["a"], "snapshot": true})));
    assert_eq!(answer["type"], "subscribe_response");
    assert_eq!(numbers(&client.take(3)), [3, 4, 5]);
    served.publish_of("x", "a", &json!({"n": 6}));
    assert_eq!(numbers(&[client.next()]), [6]);
    let plain = served.client("");
    plain.ask(&subscribe(json!({"channels": ["a"]})));
    served.publish_of("x", "a", &json!({"n": 7}));
    assert_eq!(numbers(&[plain.next()]), [7], "who does not ask gets none");
    served.stop();
}

#[test]
fn between_snapshot_and_live_nothing_is_lost_or_doubled() {
    let served = remembering("websocket.key='${item}', websocket.snapshot.keys='10'").start();
    served.publish_of("x", "a", &json!({"n": 0}));
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            for n in 1..2_000 {
                served.publish_of("x", "a", &json!({ "n": n }));
            }
        });
        for _ in 0..8 {
            let client = served.client("");
            client.ask(&subscribe(json!({"channels": ["a"], "snapshot": true})));
            client.receives("{\"n\":1999}");
            let record = client.peer.record();
            let events: Vec<Value> = record
                .messages_of(0)
                .filter_map(Message::as_text)
                .map(|text| serde_json::from_str(text).unwrap())
                .filter(|message: &Value| message["type"] == "event")
                .collect();
            let numbers = numbers(&events);
            assert_eq!(numbers, (numbers[0]..2_000).collect::<Vec<_>>());
        }
        publishing.join().unwrap();
    });
    served.stop();
}

#[test]
fn a_snapshot_has_as_many_keys_as_configured_and_goes_through_filters() {
    let served = remembering("websocket.key='${item}', websocket.snapshot.keys='3'").start();
    for n in 0..10 {
        served.publish_of(&format!("k{n}"), "a", &json!({ "n": n }));
    }
    let client = served.client("");
    client.ask(&subscribe(json!({"channels": ["a"], "snapshot": true, "filter": "n <> 8"})));
    assert_eq!(numbers(&client.take(2)), [7, 9]);
    goes_on(&served, &client, 11);
    served.stop();
}
