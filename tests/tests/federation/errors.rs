//! What goes wrong on either side of a link to a plain peer, row by row: what is fatal, what is tried again, and what is
//! dropped and counted.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use eventflux_core::{Column, DataType, EventFluxContext, FaultClass, FunctionError, ScalarFunction, ValueRef};
use eventflux_engine::EventFlux;
use eventflux_testkit::peer::{RawFrame, Script, ScriptedPeer};
use eventflux_testkit::wait::eventually_blocking;
use serde_json::json;

use super::linked::{COMPONENT, Linked, client, data, send, server};
use super::support::{DEADLINE, QUICK, context};

const ERRORS: &str = "websocket_input_errors_total";
const PARSE: [(&str, &str); 1] = [("type", "parse_error")];
const PUBLISH: [(&str, &str); 1] = [("type", "publish_error")];

/// Messages that are no envelopes, or whose payload is not what the stream holds.
const UNREADABLE: [&str; 3] =
    ["no envelope", r#"{"type":"data"}"#, r#"{"type":"data","id":"x","payload":{"n":"seven"}}"#];

/// A function that fails the first few times.
#[derive(Debug)]
struct Flaky {
    left: Arc<AtomicU32>,
}

impl ScalarFunction for Flaky {
    fn name(&self) -> &str {
        "flaky"
    }

    fn return_type(&self, _: &[Option<DataType>]) -> Result<DataType, String> {
        Ok(DataType::Long)
    }

    fn call(&self, arguments: &[ValueRef<'_>], result: &mut Column) -> Result<(), FunctionError> {
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(FunctionError::transient("not yet"));
        }
        match arguments {
            [ValueRef::Long(number)] => {
                result.push(ValueRef::Long(*number));
                Ok(())
            }
            _ => Err(FunctionError::invalid("a number")),
        }
    }
}

fn plan_error(sql: &str) -> String {
    EventFlux::from_sql(sql, &context()).unwrap_err().to_string()
}

#[test]
fn server_port_already_in_use_is_fatal_at_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let sql = server("").replace("127.0.0.1:0", &address);
    let error = EventFlux::from_sql(&sql, &context()).unwrap().start().unwrap_err();
    assert_eq!((error.class(), error.is_retryable()), (FaultClass::Fatal, false));
    let text = error.to_string();
    assert!(text.contains("websocket.listen") && text.contains(&address) && text.contains("already in use"), "{text}");
}

#[test]
fn server_invalid_path_is_fatal_before_anything_starts() {
    let error = plan_error(&server("").replace("'/ingest'", "'ingest'"));
    assert!(error.contains("websocket.path") && error.contains("ingest"), "{error}");
}

#[test]
fn server_client_connection_error_is_a_warning_and_the_others_are_served() {
    let linked = Linked::start(&server(""));
    let (good, bad) = (linked.peer(), linked.peer());
    bad.send_frame(RawFrame::text(data(1)).rsv(0b010)).blocking();
    bad.expect_close(1002).blocking();
    // One after the other: connections have no order among each other.
    send(&good, [2]);
    linked.wait_for(&[2]);
    send(&linked.peer(), [3]);
    linked.wait_for(&[2, 3]);
    eventually_blocking(DEADLINE, || linked.pipeline.logged("1002").iter().any(|line| line.contains("/ingest")));
    assert_eq!(linked.pipeline.counted("eventflux_websocket_violations_total", "1002"), 1);
    linked.pipeline.stop();
}

#[test]
fn server_message_parse_error_drops_the_message_counts_it_and_keeps_the_connection() {
    let linked = Linked::start(&server(""));
    let peer = linked.peer();
    send(&peer, [1]);
    UNREADABLE.into_iter().for_each(|message| peer.send_text(message).blocking());
    send(&peer, [2]);
    linked.wait_for(&[1, 2]);
    linked.wait_for_metric(ERRORS, &PARSE, 3);
    assert_eq!(linked.metric(ERRORS, &PUBLISH), Some(0));
    assert_eq!(linked.pipeline.metric("eventflux_source_dropped_total", COMPONENT), 3);
    assert_eq!(linked.metric("websocket_input_connections_active", &[]), Some(1));
    assert_eq!(linked.metric("websocket_input_connections_total", &[]), Some(1));
    linked.pipeline.stop();
}

#[test]
fn server_publish_error_is_tried_again_with_backoff_until_the_pipeline_takes_it() {
    let mut context: EventFluxContext = context();
    let left = Arc::new(AtomicU32::new(2));
    context.add_function(Flaky { left: left.clone() });
    let retry = "error.strategy='retry', error.retry.initial-delay='20ms', error.retry.max-delay='40ms'";
    let sql = format!(
        "{} @sink(type='blackhole') CREATE STREAM Out (n BIGINT);
         INSERT INTO Out SELECT flaky(n) AS n FROM {COMPONENT};",
        server(retry)
    );
    let linked = Linked::start_with(&sql, &context);
    let (peer, began) = (linked.peer(), Instant::now());
    send(&peer, [1]);
    eventually_blocking(DEADLINE, || linked.pipeline.metric("eventflux_sink_events_total", "Out") == 1);
    // Half of each pause is for certain.
    assert!(began.elapsed() >= Duration::from_millis(20), "{:?}", began.elapsed());
    assert_eq!((left.load(Ordering::SeqCst), linked.metric(ERRORS, &PUBLISH)), (0, Some(2)));
    assert_eq!(linked.metric(ERRORS, &PARSE), Some(0));
    assert_eq!(linked.pipeline.metric("eventflux_source_retries_total", COMPONENT), 2);
    assert_eq!(linked.pipeline.metric("eventflux_source_dropped_total", COMPONENT), 0);
    assert_eq!(linked.metric("websocket_input_connections_total", &[]), Some(1));
    linked.pipeline.stop();
}

#[test]
fn client_invalid_url_is_fatal_before_anything_starts() {
    for url in ["http://127.0.0.1:1/", "ws://", "127.0.0.1:80"] {
        let error = plan_error(&client(url, QUICK));
        assert!(error.contains("websocket.url"), "{error}");
    }
}

#[test]
fn client_connection_refused_is_tried_again_with_growing_pauses_until_it_succeeds() {
    let peer = ScriptedPeer::builder().script(Script::new().accept().send_text(data(1))).start();
    peer.refuse_connections().blocking();
    let linked = Linked::start(&client(peer.url(), QUICK));
    let attempts = || linked.metric("websocket_input_reconnect_attempts_total", &[]);
    eventually_blocking(DEADLINE, || attempts() >= Some(2));
    assert_eq!(linked.health()["healthy"], true, "there are attempts to come");
    peer.accept_connections().blocking();
    linked.wait_for(&[1]);
    linked.wait_for_state("connected");
    linked.pipeline.stop();
}

#[test]
fn client_authentication_failed_is_fatal_after_the_last_retry() {
    let peer = ScriptedPeer::builder().script(Script::new().reject(401, "who are you")).start();
    let linked = Linked::start(&client(peer.url(), &format!("{QUICK}, websocket.reconnect.max.attempts='3'")));
    linked.wait_for_state("failed");
    assert_eq!(peer.record().handshakes.len(), 3);
    let health = linked.health();
    assert_eq!(health["healthy"], false);
    assert_eq!(health["reasons"], json!(["not connected, and no further attempt is made"]));
    let error = linked.pipeline.flux.wait().unwrap_err().to_string();
    assert!(error.contains("401"), "{error}");
    linked.pipeline.stop();
}

#[test]
fn client_connection_dropped_is_connected_again() {
    let peer = ScriptedPeer::builder()
        .script(Script::new().accept().send_text(data(1)).wait_for_signal("cut").reset())
        .script(Script::new().accept().send_text(data(2)))
        .start();
    let linked = Linked::start(&client(peer.url(), QUICK));
    linked.wait_for(&[1]);
    peer.signal("cut");
    linked.wait_for(&[1, 2]);
    linked.wait_for_metric("websocket_input_connections_total", &[], 2);
    assert_eq!(linked.pipeline.metric("eventflux_source_reconnects_total", COMPONENT), 1);
    linked.pipeline.stop();
}

#[test]
fn client_message_parse_error_drops_the_message_counts_it_and_keeps_the_connection() {
    let script = Script::new().accept().send_text(data(1)).send_all(UNREADABLE).send_text(data(2));
    let peer = ScriptedPeer::builder().script(script).start();
    let linked = Linked::start(&client(peer.url(), QUICK));
    linked.wait_for(&[1, 2]);
    linked.wait_for_metric(ERRORS, &PARSE, 3);
    assert_eq!(linked.pipeline.metric("eventflux_source_dropped_total", COMPONENT), 3);
    assert_eq!(linked.metric("websocket_input_connections_total", &[]), Some(1));
    linked.pipeline.stop();
}
