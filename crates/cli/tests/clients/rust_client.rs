//! The printed Rust client of the channels protocol. It was written for an older tokio-tungstenite, in which a text message
//! held a `String`; two lines of it have to be changed for the present one, and nothing else.

use std::fs;
use std::process::{Command, Stdio};

use super::channels::{EXAMPLE, PING_OFTEN, PORT, answers_pings};
use super::runtimes::printed;
use super::server::Server;
use super::support::Running;

#[allow(clippy::print_stdout, reason = "printed as it is")]
mod client {
    // What the crate of this name re-exports.
    use futures_util as futures;

    include!("../../../../tests/clients/channels/client-today.rs");

    pub(super) fn run() -> Result<(), Box<dyn std::error::Error>> {
        main()
    }
}

#[test]
fn the_rust_client_differs_from_the_printed_one_in_how_a_text_becomes_a_message() {
    let [then, today] = ["client.rs", "client-today.rs"].map(|name| read(&printed(&format!("channels/{name}"))));
    let changed = then.lines().zip(today.lines()).filter(|(then, today)| then != today);
    let changed: Vec<_> = changed.map(|(then, today)| (then.trim(), today.trim())).collect();
    assert_eq!(then.lines().count(), today.lines().count());
    assert_eq!(
        changed,
        [
            (
                "write.send(Message::Text(sub_msg.to_string())).await?;",
                "write.send(Message::Text(sub_msg.to_string().into())).await?;"
            ),
            (
                "write.send(Message::Text(pong.to_string())).await?;",
                "write.send(Message::Text(pong.to_string().into())).await?;"
            ),
        ]
    );
}

#[test]
fn the_rust_client_subscribes_receives_events_answers_pings_and_ends_with_the_server() {
    let server = Server::as_printed(EXAMPLE, PORT, &PING_OFTEN, &[]);
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new(this);
    command.args(["--ignored", "--exact", "--nocapture", "rust_client::a_process_of_its_own"]).stdin(Stdio::null());
    let mut client = Running::spawn(&mut command);
    client.expect_stdout(
        r#"Received: {"type":"subscribe_response","data":{"success":true,"subscribed":["agent-updates"]"#,
    );
    client.expect_stdout(r#"Received: {"type":"event","data":{"type":"agent-status-changed""#);
    answers_pings(&server);
    client.expect_stdout("Received: ");
    server.stop();
    let output = client.finish();
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[test]
#[ignore = "started by another test, as a process of its own"]
fn a_process_of_its_own() {
    client::run().unwrap();
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap()
}
