//! Messages that travel together.

use serde_json::json;

use super::{events, subscribe};

#[test]
fn messages_within_the_delay_travel_as_one_in_order() {
    let served = events().with("websocket.batch.delay='150ms'").start();
    let client = served.client("");
    assert_eq!(client.next()["type"], "connected");
    subscribe(&client, &["*"]);
    served.publish_all("blob.created", &[json!(1), json!(2), json!(3)]);
    let inner = [1, 2, 3].map(|number| json!({"type": "blob.created", "data": number}));
    assert_eq!(client.next(), json!({"type": "batch", "data": inner}));
    served.publish("blob.created", &json!(4));
    assert_eq!(client.next(), json!({"type": "blob.created", "data": 4}));
    served.stop();
}

#[test]
fn a_batch_does_not_grow_beyond_its_size() {
    let served = events().with("websocket.batch.delay='1s', websocket.batch.size='1000'").start();
    let client = served.client("");
    client.next();
    subscribe(&client, &["*"]);
    let text = "x".repeat(300);
    let payloads: Vec<_> = (0..20).map(|n| json!({"n": n, "text": text})).collect();
    served.publish_all("blob.created", &payloads);
    let mut numbers = Vec::new();
    while numbers.len() < 20 {
        let message = client.next();
        let messages = match &message["type"] {
            kind if kind == "batch" => message["data"].as_array().unwrap().clone(),
            _ => vec![message.clone()],
        };
        assert!(message.to_string().len() < 1200, "a batch of {} messages", messages.len());
        numbers.extend(messages.iter().map(|message| message["data"]["n"].as_u64().unwrap()));
    }
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    served.stop();
}

#[test]
fn without_a_delay_there_are_no_batches() {
    let served = events().start();
    let client = served.client("");
    client.next();
    subscribe(&client, &["*"]);
    served.publish_all("blob.created", &[json!(1), json!(2)]);
    assert_eq!(client.take(2), [1, 2].map(|number| json!({"type": "blob.created", "data": number})));
    served.stop();
}
