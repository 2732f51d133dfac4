//! The printed clients of the events protocol. The class and the hook leave the host to the page, so they go where there is a
//! free port; the load test goes to ws://localhost:8010/api/v1/ws with the token `test_token`.

use super::program::Program;
use super::runtimes::{LoadTest, load_test, page, printed, run};
use super::server::Server;

const EXAMPLE: &str = "examples/gateway/events.sql";
const PORT: u16 = 8010;

/// The streams of the example that name an address.
const STREAMS: [&str; 2] = ["Events", "Commands"];

/// Makes one, subscribes before it is connected, and connects.
const CONNECT: &str = "
    globalThis.studio = new ReYNaWebSocket('test_token');
    globalThis.any = (message) => console.log('any', message.type);
    studio.on('blob.created', (data) => console.log('created', data));
    studio.on('*', any);
    studio.connect().then(() => console.log('ready'));
    0";

#[test]
fn the_class_subscribes_and_unsubscribes_sends_commands_and_hears_of_errors() {
    let (mut server, port) = Server::anywhere(EXAMPLE, &STREAMS);
    let Some(mut client) = studio(port, "") else { return };
    client.evaluate(CONNECT);
    client.expect("log WebSocket connected");
    client.expect("log any connected");
    client.expect("log any subscribed");
    client.expect("log any book.updated");
    let created = client.expect("log created ");
    assert!(created.contains(r#""user_id":"user_123""#), "{created}");

    client.evaluate("studio.send({ type: 'create_blob', data: { content: 'chapter-one' } })");
    client.expect(r#""blob_id":"chapter-one""#);
    let command = server.expect_stdout("chapter-one");
    assert!(command.contains("create_blob") && command.contains("user_123"), "{command}");

    client.evaluate("studio.on('error', (data) => console.log('told', data.code))");
    client.evaluate("studio.send({ type: 'no_such_command', data: {} })");
    client.expect("log told UNKNOWN_TYPE");

    client.evaluate("studio.on('unsubscribed', (data) => console.log('left', data.events))");
    client.evaluate("studio.off('*', any)");
    client.expect(r#"log left ["*"]"#);
    client.evaluate(
        "globalThis.types = new Set();
         studio.ws.addEventListener('message', (event) => types.add(JSON.parse(event.data).type));
         0",
    );
    for _ in 0..5 {
        client.expect("log created ");
    }
    assert_eq!(client.evaluate("[...types]"), serde_json::json!(["blob.created"]));
}

#[test]
fn the_class_comes_back_after_the_server_was_restarted() {
    let (server, port) = Server::anywhere(EXAMPLE, &STREAMS);
    let Some(mut client) = studio(port, "") else { return };
    client.evaluate(CONNECT);
    client.expect("log ready");
    client.expect("log created ");
    let stopped = server.stop();
    client.expect("log WebSocket disconnected");
    client.expect("log Reconnecting in 1000ms (attempt 1)");
    let _server = stopped.start();
    client.expect("log WebSocket connected");
    client.expect("log any connected");
    // What it was subscribed to, it does not say again by itself.
    client.evaluate("studio.on('blob.derived', (data) => console.log('derived', data))");
    client.expect("log derived ");
}

#[test]
fn the_class_is_refused_with_a_token_nobody_knows() {
    let (_server, port) = Server::anywhere(EXAMPLE, &STREAMS);
    let Some(mut client) = studio(port, "") else { return };
    client.evaluate("new ReYNaWebSocket('nobody').connect().catch(() => console.log('rejected')); 0");
    client.expect("error WebSocket error:");
    client.expect("log WebSocket disconnected");
    client.expect("log Reconnecting in 1000ms (attempt 1)");
}

#[test]
fn the_hook_connects_a_component_of_react() {
    let (_server, port) = Server::anywhere(EXAMPLE, &STREAMS);
    let Some(mut client) = studio(port, "&token=test_token") else { return };
    client.until("document.getElementById('state')?.textContent === 'connected'");
    client.expect("log New blob created: ");
    client.expect("log Blob processed: ");
}

#[test]
fn the_load_test_finds_nothing_wrong() {
    let mut server = Server::as_printed(EXAMPLE, PORT, &[], &[]);
    let Some((client, tool)) = load_test(&printed("events/load.js")) else { return };
    let output = client.finish();
    assert_eq!(output.code, Some(0), "{output:?}");
    // Not by the server, before the test was over.
    server.expect_stderr("closed by the peer");
    server.stop();
    match tool {
        LoadTest::K6 => {
            assert!(output.stdout.contains("checks_succeeded...................: 100.00%"), "{output:?}");
            assert!(
                output.stdout.contains("✓ message has type") && output.stdout.contains("✓ status is 101"),
                "{output:?}"
            );
        }
        LoadTest::StandIn => {
            for check in ["message has type", "message has data", "status is 101"] {
                let line = output.stdout.lines().find_map(|line| line.strip_prefix(check)).unwrap();
                let (passed, all) = line.trim_start_matches(": ").split_once(" out of ").unwrap();
                assert_eq!(passed, all, "{check}");
                assert_ne!(all, "0", "{check}");
            }
        }
    }
}

/// A page with the class and the hook.
fn studio(port: u16, more: &str) -> Option<Program> {
    page(&run("studio.mjs"), &format!("server=ws://localhost:{port}{more}"))
}
