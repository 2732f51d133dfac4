//! The thirteen types of messages, each seen on its way.

use std::collections::BTreeSet;

use super::super::WsMessageType;
use super::*;

#[test]
fn each_of_the_thirteen_types_has_its_place() {
    let clock = TestClock::new();
    let manager = manager().with_auth_handler(Handler).with_clock(clock.clone());
    let manager = manager.with_messages(&[WsMessageType::Request, WsMessageType::Event, WsMessageType::Ack]);
    let mut client = Client::new(&manager);
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut expect = |client: &mut Client<'_>, message: &Value, answer: Option<&str>| {
        seen.insert(message["type"].as_str().unwrap().to_owned());
        let answers = client.ask(message);
        let types: Vec<_> = answers.iter().map(|answer| answer["type"].as_str().unwrap()).collect();
        assert_eq!(types, Vec::from_iter(answer), "{message}");
        seen.extend(types.into_iter().map(str::to_owned));
    };
    expect(&mut client, &json!({"type": "auth", "data": {"token": "token-ann"}}), Some("auth_response"));
    expect(&mut client, &subscribe_message(&[CHANNEL]), Some("subscribe_response"));
    let unsubscribe = json!({"type": "unsubscribe", "data": {"channels": [CHANNEL]}});
    expect(&mut client, &unsubscribe, Some("unsubscribe_response"));
    expect(&mut client, &unsubscribe, Some("error"));
    expect(&mut client, &json!({"type": "event", "metadata": {"channel": "chat"}}), None);
    expect(&mut client, &json!({"type": "ack", "correlation_id": "evt-1"}), None);
    expect(&mut client, &json!({"type": "ping"}), Some("pong"));
    let request = run(manager.receive(client.id, r#"{"type":"request"}"#)).unwrap().unwrap();
    run(manager.respond(&request.request.unwrap(), &json!(1))).unwrap();
    clock.pass(30, &manager);
    seen.insert("request".to_owned());
    seen.extend(client.read().iter().map(|message| message["type"].as_str().unwrap().to_owned()));
    assert_eq!(seen, WsMessageType::ALL.iter().map(ToString::to_string).collect());
}

#[test]
fn what_the_program_does_not_take_and_what_only_the_server_sends_is_an_error() {
    let manager = manager().with_messages(&[WsMessageType::Ack]);
    let mut client = Client::new(&manager);
    for (text, code) in [
        (r#"{"type":"request"}"#, "unknown_type"),
        (r#"{"type":"event","metadata":{"channel":"a"}}"#, "unknown_type"),
        (r#"{"type":"auth_response"}"#, "invalid_message"),
        (r#"{"type":"error"}"#, "invalid_message"),
        (r#"{"type":"other"}"#, "unknown_type"),
        (r#"{"type":"subscribe","data":{"channels":["a b"]}}"#, "invalid_channel"),
        (r#"{"type":"subscribe","data":{"channels":["a"],"filter":"1 +"}}"#, "invalid_filter"),
        ("no JSON", "invalid_message"),
    ] {
        assert_eq!(run(manager.receive(client.id, text)), Ok(None), "{text}");
        assert_eq!(codes(&client.read()), [code], "{text}");
    }
    let ack = run(manager.receive(client.id, r#"{"type":"ack","correlation_id":"evt-1"}"#)).unwrap().unwrap();
    assert_eq!((ack.message.msg_type, ack.message.correlation_id.as_deref()), (WsMessageType::Ack, Some("evt-1")));
    assert_eq!(ack.request, None);
}
