//! Peers that speak HTTP but do not upgrade.

use eventflux_core::EventFluxError;
use eventflux_testkit::peer::{Script, ScriptedPeer};

use crate::support::{Registry, source};

fn url(server: &mockito::Server) -> String {
    format!("ws://{}/feed", server.host_with_port())
}

#[test]
fn a_refusal_is_an_error_with_its_status_and_whether_to_retry() {
    for (status, retryable) in
        [(400, false), (401, true), (403, true), (404, false), (429, true), (500, true), (503, true)]
    {
        let mut server = mockito::Server::new();
        let mock = server.mock("GET", "/feed").with_status(status).with_body("hunter2").expect(2).create();
        let source = source(&url(&server), &[("websocket.reconnect.max.attempts", "2")]);
        let error = source.wait_for_end().unwrap_err();
        mock.assert();
        let text = error.to_string();
        assert!(text.contains(&format!("refused with {status}")) && !text.contains("hunter2"), "{text}");
        assert_eq!(error.is_retryable(), retryable, "{text}");
    }
}

#[test]
fn a_redirect_is_not_followed_and_its_query_is_not_shown() {
    let elsewhere = ScriptedPeer::builder().start();
    let mut server = mockito::Server::new();
    let location = format!("{}/x?token=hunter2", elsewhere.url());
    server.mock("GET", "/feed").with_status(302).with_header("Location", &location).create();
    let raw = [("websocket.reconnect.max.attempts", "2"), ("websocket.headers.Authorization", "Bearer hunter3")];
    let error = source(&url(&server), &raw).wait_for_end().unwrap_err();
    let text = error.to_string();
    assert!(text.contains("302") && text.contains("redirects are not followed"), "{text}");
    assert!(!text.contains("hunter"), "{text}");
    assert!(matches!(error, EventFluxError::ConnectionUnavailable { retryable: false, .. }));
    assert_eq!(elsewhere.record().connections, 0);
}

#[test]
fn a_wrong_accept_key_or_subprotocol_or_extension_is_refused() {
    for (name, value, reason) in [
        ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "Sec-WebSocket-Accept"),
        ("Sec-WebSocket-Protocol", "v9", "'v9', which was not offered"),
        ("Sec-WebSocket-Extensions", "permessage-deflate", "which was not offered"),
    ] {
        let peer = ScriptedPeer::builder().script(Script::new().respond_header(name, value).accept()).start();
        let source = Registry::new().source(&[("websocket.url", peer.url()), ("websocket.subprotocol", "v1")]);
        let error = source.source.validate_connectivity().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn something_that_is_no_http_server_is_named_as_such() {
    let peer = ScriptedPeer::builder().script(Script::new().respond_raw("SSH-2.0-OpenSSH_9.2\r\n\r\n")).start();
    let source = Registry::new().source(&[("websocket.url", peer.url())]);
    let error = source.source.validate_connectivity().unwrap_err().to_string();
    assert!(error.contains("not a WebSocket answer"), "{error}");
}

#[test]
fn a_server_that_never_answers_meets_the_connect_timeout() {
    let peer = ScriptedPeer::builder().script(Script::new().stall()).start();
    let source = Registry::new().source(&[("websocket.url", peer.url()), ("websocket.connect.timeout", "100ms")]);
    let error = source.source.validate_connectivity().unwrap_err().to_string();
    assert!(error.contains("no connection within 100ms"), "{error}");
}
