//! Secrets are never logged, whatever happens.

use eventflux_core::health::ConnectionState;
use eventflux_testkit::log_capture::LogCapture;
use eventflux_testkit::peer::{Script, ScriptedPeer};

use crate::support::{sink, source};

const SECRETS: [&str; 6] =
    ["hunter-url", "hunter-header", "hunter-message", "hunter-heart", "hunter-reply", "hunter-where"];

#[test]
fn no_secret_is_logged_while_connecting_losing_failing_and_stopping() {
    let logs = LogCapture::start();
    let redirect = Script::new().reject_with_headers(302, [("Location", "ws://h/?t=hunter-where")], "");
    let peer = ScriptedPeer::builder()
        .script(Script::new().accept().expect_messages(1).send_text("hunter-reply").reset())
        .script(redirect)
        .script(Script::new().accept().close(1008, "go away\r\nFATAL forged line"))
        .start();
    let raw = [
        ("websocket.headers.X-Key", "hunter-header"),
        ("websocket.subscribe.message", "hunter-message"),
        ("websocket.subscribe.message.expect", "hunter-reply"),
        ("websocket.heartbeat.message", "hunter-heart"),
        ("websocket.reconnect.max.attempts", "3"),
    ];
    let url = format!("{}/?token=hunter-url", peer.url());
    let failing = source(&url, &raw);
    let error = failing.wait_for_end().unwrap_err();
    let out = sink(&url, &[("websocket.headers.X-Key", "hunter-header")]);
    out.wait_for_state(ConnectionState::Reconnecting);
    out.stop();
    let shown = format!("{error} {error:?} {:?} {:?} {:?}", failing.source, out.sink, failing.context.health.current());
    for secret in SECRETS {
        // The protocol library traces frames and their payloads under its own target; the rest is ours.
        let ours = logs.lines().into_iter().filter(|line| !line.target.starts_with("tungstenite"));
        let leaked: Vec<_> = ours.filter(|line| line.message.contains(secret)).collect();
        assert!(leaked.is_empty(), "{leaked:?}");
        assert!(!shown.contains(secret), "{shown}");
    }
    let forged = logs.lines().into_iter().any(|line| line.message.contains("\nFATAL"));
    assert!(!forged, "a peer's line break reached the log");
}
