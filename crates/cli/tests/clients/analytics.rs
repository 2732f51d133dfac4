//! The printed clients of the analytics protocol, at ws://localhost:8765 with the tokens `your-token` and `your-auth-token`.

use super::runtimes::{Runtime, printed, python, run};
use super::server::Server;

const EXAMPLE: &str = "examples/gateway/analytics.sql";
const PORT: u16 = 8765;

/// Pings go out every second, and who does not answer within another is dropped.
const PING_OFTEN: [(&str, &str); 2] =
    [("STREAMING_WEBSOCKET__PING_INTERVAL", "1"), ("STREAMING_WEBSOCKET__PING_TIMEOUT", "1")];

/// Metrics that come in more than three seconds.
const METRICS: usize = 8;

/// Gives every subscription a callback: the class never learns the ids of its own, and so calls none.
const TELL: &str = "client.subscriptions = { get: (id) => (data) => console.log('data', id, data), delete() {} };";

#[test]
fn the_javascript_class_authenticates_subscribes_receives_data_and_hears_of_errors() {
    for runtime in Runtime::ALL {
        let server = Server::as_printed(EXAMPLE, PORT, &[], &PING_OFTEN);
        let Some(mut client) = runtime.start("analytics/client.js", TELL) else { continue };
        client.expect("log Connected to streaming server");
        client.expect("log Authentication successful");

        // The printed subscriptions are made before there is a connection, which the class passes over.
        client.evaluate("client.subscribe('metrics')");
        let data = client.expect("log data ");
        assert!(data.contains(r#""subscription_type":"metrics""#) && data.contains(r#""value":"#), "{data}");
        client.expect_times("log data ", METRICS);
        client.evaluate("client.send({ type: 'no_such_type' })");
        client.expect("error Server error: Unknown message type");
        client.evaluate("client.subscribe('no_such_stream')");
        client.expect("error Server error: ");

        let id = data.split(' ').nth(2).unwrap();
        client.evaluate(&format!("client.unsubscribe('{id}')"));
        client.evaluate(
            "client.subscribe('events', { event_type: ['login', 'purchase'], 'payload.user_id': 'user123' })",
        );
        for _ in 0..3 {
            let event = client.expect(r#""subscription_type":"events""#);
            assert!(!event.contains("user_action"), "{event}");
            assert!(event.contains(r#""payload":{"user_id":"user123""#), "{event}");
        }
        server.stop();
        client.expect("log Disconnected from streaming server");
    }
}

#[test]
fn the_few_lines_that_authenticate_do() {
    for runtime in Runtime::ALL {
        let _server = Server::as_printed(EXAMPLE, PORT, &[], &[]);
        let then = "ws.onmessage = (event) => console.log('message', event.data)";
        let Some(mut client) = runtime.start("analytics/authenticate.js", then) else { continue };
        let message = client.expect("log message ");
        assert!(message.contains(r#"{"type":"auth_success","data":{"client_id":""#), "{message}");
    }
}

#[test]
fn the_python_program_authenticates() {
    let server = Server::as_printed(EXAMPLE, PORT, &[], &PING_OFTEN);
    let Some(mut client) = python(&printed("analytics/client.py"), &[]) else { return };
    client.expect_stdout("Authentication successful");
    server.stop();
    let output = client.finish();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

#[test]
fn the_python_class_subscribes_receives_data_and_hears_of_errors() {
    let server = Server::as_printed(EXAMPLE, PORT, &[], &PING_OFTEN);
    let arguments = [&*printed("analytics/client.py"), "events", r#"{"event_type": "login"}"#];
    let Some(mut client) = python(&run("subscribe.py"), &arguments) else { return };
    client.expect_stdout("Authentication successful");
    client.expect_stdout("Error: Unknown message type");
    for _ in 0..10 {
        let data = client.expect_stdout("Received data: ");
        assert!(data.contains("'event_type': 'login'") && data.contains("'subscription_type': 'events'"), "{data}");
    }
    server.stop();
    assert_eq!(client.finish().code, Some(0));
}
