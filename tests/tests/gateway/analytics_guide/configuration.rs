//! The guide's configuration: defaults, and the environment variables that replace them.

use eventflux_core::Properties;
use eventflux_testkit::peer::{Script, ScriptedClient};
use serde_json::json;

use super::super::client::Client;
use super::super::environment::Process;
use super::super::support::context;
use super::{auth, is_error, subscribe_as};

/// The properties of a source or sink of this protocol for which nothing is given, in this environment.
fn defaults(environment: &[(&str, &str)]) -> Properties {
    let context = context();
    let specs = context.sink_factory("websocket").unwrap().properties();
    let given = [("websocket.mode", "server"), ("websocket.protocol", "analytics"), ("websocket.auth.tokens", "a=b")];
    let lookup = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Properties::resolve(specs, given, &lookup).unwrap()
}

/// The value of a property, whatever its kind, as it is shown.
fn value(properties: &Properties, key: &str) -> String {
    let text = properties.optional_text(key).map(str::to_owned);
    let number = || properties.optional_integer(key).map(|number| number.to_string());
    let span = || properties.optional_duration(key).map(|span| format!("{}s", span.as_secs()));
    let size = || properties.size(key).ok().map(|size| size.to_string());
    let flag = || properties.flag(key).ok().map(|flag| flag.to_string());
    text.or_else(number).or_else(span).or_else(size).or_else(flag).unwrap_or_else(|| panic!("{key} has no value"))
}

/// Name of the variable behind its prefix, the property, the printed default as it is shown, another value as it is set
/// and as it is shown.
const CONFIGURATION: [(&str, &str, &str, &str, &str); 13] = [
    ("HOST", "websocket.listen", "0.0.0.0:8765", "127.0.0.1", "127.0.0.1:8765"),
    ("PORT", "websocket.listen", "0.0.0.0:8765", "9000", "0.0.0.0:9000"),
    ("MAX_CONNECTIONS", "websocket.max.connections", "1000", "5", "5"),
    ("PING_INTERVAL", "websocket.ping.interval", "20s", "3", "3s"),
    ("PING_TIMEOUT", "websocket.pong.timeout", "10s", "4", "4s"),
    ("CLOSE_TIMEOUT", "websocket.close.timeout", "10s", "6", "6s"),
    ("MAX_MESSAGE_SIZE", "websocket.max.message.size", "1048576", "100", "100"),
    ("COMPRESSION", "websocket.permessage-deflate", "deflate", "none", "none"),
    ("REQUIRE_AUTH", "websocket.auth.required", "true", "false", "false"),
    ("AUTH_TIMEOUT_SECONDS", "websocket.auth.timeout", "30s", "7", "7s"),
    ("ALLOWED_ORIGINS", "websocket.origins", "*", "https://a.example", "https://a.example"),
    ("ENABLE_RATE_LIMITING", "websocket.rate.limiting", "true", "false", "false"),
    ("RATE_LIMIT_PER_MINUTE", "websocket.rate.limit", "60", "8", "8"),
];

#[test]
fn defaults_are_those_of_the_guide_and_every_one_has_its_variable() {
    for (variable, property, default, other, shown) in CONFIGURATION {
        let name = format!("STREAMING_WEBSOCKET__{variable}");
        assert_eq!(value(&defaults(&[]), property), default, "{property}");
        assert_eq!(value(&defaults(&[(&name, other)]), property), shown, "{name}");
    }
    assert_eq!(defaults(&[]).duration("websocket.rate.period").unwrap().as_secs(), 60);
}

#[test]
fn host_port_and_limits_come_from_the_environment_of_the_process() {
    let process = Process::start(&[
        ("STREAMING_WEBSOCKET__HOST", "127.0.0.1"),
        ("STREAMING_WEBSOCKET__PORT", "0"),
        ("STREAMING_WEBSOCKET__MAX_CONNECTIONS", "2"),
        ("STREAMING_WEBSOCKET__MAX_MESSAGE_SIZE", "200"),
        ("STREAMING_WEBSOCKET__RATE_LIMIT_PER_MINUTE", "3"),
        ("STREAMING_WEBSOCKET__ALLOWED_ORIGINS", "https://good.example"),
        ("STREAMING_WEBSOCKET__AUTH_TIMEOUT_SECONDS", "2"),
        ("STREAMING_WEBSOCKET__COMPRESSION", "none"),
        ("STREAMING_WEBSOCKET__CLOSE_TIMEOUT", "1"),
    ]);
    let (silent, client) = (Client::connect(&process.url), Client::connect(&process.url));
    for client in [&silent, &client] {
        assert_eq!(client.ask(&json!({"type": "ping"})), json!({"type": "pong"}));
    }
    Client::connect(&process.url).is_closed(1013, "server at capacity");
    assert_eq!(client.ask(&auth("hunter2-token"))["type"], "auth_success");
    silent.is_closed(1008, "authentication timeout");
    client.send_all((0..3).map(|_| json!({"type": "ping"})));
    client.take(1);
    is_error(&client.next(), "Rate limit exceeded");
    client.peer.play(Script::new().send_text("x".repeat(201)).expect_close(1009)).blocking();
    let from = ScriptedClient::builder(&process.url).header("Origin", "https://evil.example");
    Client::built(from).is_closed(1008, "origin not allowed");
    let compressing = ScriptedClient::builder(&process.url).extensions("permessage-deflate");
    assert_eq!(Client::built(compressing).peer.extensions(), None);
}

#[test]
fn what_is_turned_off_in_the_environment_of_the_process_is_off() {
    let process = Process::start(&[
        ("STREAMING_WEBSOCKET__HOST", "127.0.0.1"),
        ("STREAMING_WEBSOCKET__PORT", "0"),
        ("STREAMING_WEBSOCKET__REQUIRE_AUTH", "false"),
        ("STREAMING_WEBSOCKET__ENABLE_RATE_LIMITING", "false"),
        ("STREAMING_WEBSOCKET__COMPRESSION", "deflate"),
        ("STREAMING_WEBSOCKET__PING_INTERVAL", "1"),
        ("STREAMING_WEBSOCKET__PING_TIMEOUT", "1"),
    ]);
    let client = Client::built(ScriptedClient::builder(&process.url).extensions("permessage-deflate"));
    assert!(client.peer.extensions().is_some());
    subscribe_as(&client, "mine", &json!({"type": "events"}));
    client.send_all((0..100).map(|_| json!({"type": "ping"})));
    assert!(client.take(100).iter().all(|message| *message == json!({"type": "pong"})));
    let deaf = Client::connect(&process.url);
    deaf.peer.play(Script::new().ignore_pings()).blocking();
    deaf.peer.wait_for_end().blocking();
    client.peer.wait_for("a ping", |record| (record.pings > 0).then_some(())).blocking();
    assert!(client.is_open());
}
