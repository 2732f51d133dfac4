//! What the program sends, and what it gets.

use std::collections::HashMap;

use super::super::{Received, WsMessageType};
use super::*;

#[test]
fn a_broadcast_reaches_the_subscribers_of_its_channel() {
    let manager = manager();
    let [mut ann, mut bob] = [Client::new(&manager), Client::new(&manager)];
    ann.subscribe(&[CHANNEL, "other"]).unwrap();
    bob.subscribe(&["other"]).unwrap();
    let message = WsMessage {
        msg_type: WsMessageType::Event,
        data: json!({"type": "agent-status-changed", "agent_id": "agent-123", "status": "running"}),
        correlation_id: None,
        metadata: HashMap::new(),
    };
    assert_eq!(run(manager.broadcast(CHANNEL, message.clone())), Ok(1));
    assert_eq!(ann.read(), [serde_json::to_value(&message).unwrap()]);
    assert!(bob.read().is_empty());
    assert_eq!(run(manager.broadcast("other", message.clone())), Ok(2));
    assert_eq!(run(manager.broadcast("nobody", message)), Ok(0));
}

#[test]
fn a_broadcast_keeps_its_correlation_id_and_its_metadata() {
    let manager = manager();
    let mut client = Client::new(&manager);
    client.subscribe(&[CHANNEL]).unwrap();
    let message = WsMessage::event(json!([1.5, null])).with_correlation_id("evt-1").with_metadata("source", "api");
    let message = message.with_metadata("attempt", 2);
    run(manager.broadcast(CHANNEL, message.clone())).unwrap();
    assert_eq!(client.read(), [serde_json::to_value(&message).unwrap()]);
}

#[test]
fn what_cannot_be_broadcast_is_refused_with_the_reason() {
    let manager = manager();
    for kind in WsMessageType::ALL.into_iter().filter(|kind| *kind != WsMessageType::Event) {
        let error = run(manager.broadcast(CHANNEL, WsMessage::new(kind, json!(1)))).unwrap_err();
        let expected = format!("invalid message: what is broadcast is an event, and no '{kind}'");
        assert_eq!(error.to_string(), expected);
    }
    for channel in ["", "a b", "all.*"] {
        let error = run(manager.broadcast(channel, WsMessage::event(json!(1)))).unwrap_err();
        assert!(matches!(error, WsError::InvalidChannel(_)), "{channel}: {error}");
    }
}

#[test]
fn a_message_can_be_for_one_client_alone() {
    let manager = manager();
    let [mut ann, mut bob] = [Client::new(&manager), Client::new(&manager)];
    ann.sender.send(WsMessage::event(json!("hello")).with_correlation_id("c")).unwrap();
    ann.sender.send(WsMessage::error("maintenance", "Back at noon")).unwrap();
    assert_eq!(ann.read()[0], json!({"type": "event", "data": "hello", "correlation_id": "c"}));
    assert!(bob.read().is_empty());
    assert_eq!(run(manager.get_stats()).messages_sent, 2);
    let error = ann.sender.send(WsMessage::new(WsMessageType::Response, json!(1))).unwrap_err();
    let expected = "invalid message: the program sends event, error, ping and pong, and not 'response'";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_request_is_answered_by_its_correlation_id() {
    let manager = manager().with_messages(&[WsMessageType::Request]);
    let [mut ann, mut bob] = [Client::new(&manager), Client::new(&manager)];
    let text = r#"{"type":"request","data":{"op":"count"},"correlation_id":"r","metadata":{"channel":"jobs","v":1}}"#;
    let received = run(manager.receive(ann.id, text)).unwrap().unwrap();
    let Received { message, channel, request: Some(request) } = received else { panic!("{received:?}") };
    assert_eq!(message, serde_json::from_str(text).unwrap());
    assert_eq!((channel.as_deref(), &message.metadata["v"]), (Some("jobs"), &json!(1)));
    assert_eq!(run(manager.respond(&request, &json!({"count": 3}))), Ok(true));
    assert_eq!(ann.read(), [json!({"type": "response", "data": {"count": 3}, "correlation_id": "r"})]);
    assert!(bob.read().is_empty());
    // A second answer is nobody's.
    run(manager.respond(&request, &json!(4))).unwrap();
    assert!(ann.read().is_empty());
    run(manager.remove_connection(ann.id));
    assert_eq!(run(manager.respond(&request, &json!(5))), Ok(false));
}

#[test]
fn a_request_that_nobody_answers_fails_after_thirty_seconds() {
    let clock = TestClock::new();
    let manager = manager().with_messages(&[WsMessageType::Request]).with_clock(clock.clone());
    let mut client = Client::new(&manager);
    let received = run(manager.receive(client.id, r#"{"type":"request"}"#)).unwrap().unwrap();
    assert_eq!(received.message.data, json!({}));
    clock.pass(29, &manager);
    assert!(client.read().is_empty());
    clock.pass(1, &manager);
    assert_eq!(codes(&client.read()), ["request_timeout"]);
    run(manager.respond(&received.request.unwrap(), &json!(1))).unwrap();
    assert!(client.read().is_empty());
}

#[test]
fn data_that_is_json_and_no_value_of_ours_is_refused() {
    let manager = manager().with_messages(&[WsMessageType::Request]);
    let mut client = Client::new(&manager);
    assert_eq!(run(manager.receive(client.id, r#"{"type":"request","data":1e999,"correlation_id":"r"}"#)), Ok(None));
    let told = client.read();
    assert_eq!((codes(&told), &told[0]["correlation_id"]), (vec!["invalid_message"], &json!("r")));
}
