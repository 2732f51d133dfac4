//! The printed clients of the channels protocol, at ws://localhost:8080/ws with the token `abc123`.

use super::port::Port;
use super::runtimes::{Runtime, printed, python};
use super::server::Server;
use super::support::DEADLINE;

pub(crate) const EXAMPLE: &str = "examples/gateway/channels.sql";
pub(crate) const PORT: u16 = 8080;

/// Pings a client sees within a test.
pub(crate) const PING_OFTEN: [&str; 1] = ["Updates.websocket.ping.interval=200ms"];

#[test]
fn the_javascript_client_subscribes_receives_events_answers_pings_and_notices_the_end() {
    for runtime in Runtime::ALL {
        let server = Server::as_printed(EXAMPLE, PORT, &PING_OFTEN, &[]);
        let Some(mut client) = runtime.start("channels/client.js", "") else { continue };
        let event = client.expect("log Event received: ");
        assert!(event.contains(r#""type":"agent-status-changed""#), "{runtime:?}: {event}");
        assert!(event.contains(r#""agent_id":"agent-"#), "{runtime:?}: {event}");
        answers_pings(&server);
        client.expect("log Event received: ");
        server.stop();
        client.expect("log WebSocket closed");
    }
}

#[test]
fn the_javascript_client_is_told_when_nobody_listens() {
    for runtime in Runtime::ALL {
        let _port = Port::take(PORT);
        let Some(mut client) = runtime.start("channels/client.js", "") else { continue };
        client.expect("error WebSocket error:");
        // The WebSocket that Node 20 brings says nothing more where there was no connection.
        if runtime != Runtime::NodeOwn {
            client.expect("log WebSocket closed");
        }
    }
}

#[test]
fn the_python_client_subscribes_receives_events_answers_pings_and_ends_with_the_server() {
    let server = Server::as_printed(EXAMPLE, PORT, &PING_OFTEN, &[]);
    let Some(mut client) = python(&printed("channels/client.py"), &[]) else { return };
    let event = client.expect_stdout("Event: ");
    assert!(event.contains("'type': 'agent-status-changed'"), "{event}");
    answers_pings(&server);
    client.expect_stdout("Event: ");
    server.stop();
    let output = client.finish();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

/// Waits until the one client has sent several messages: it subscribes with one, and has nothing to say after that but
/// the answers to our pings.
pub(crate) fn answers_pings(server: &Server) {
    server.wait_for_metric("websocket_messages_received_total", 4.0, DEADLINE);
}
