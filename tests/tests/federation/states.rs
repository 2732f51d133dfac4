//! Both state machines, arrow by arrow: what health and metrics say.

use eventflux_core::SOURCE_STATE;
use eventflux_engine::EventFlux;
use eventflux_testkit::peer::{Script, ScriptedPeer};
use eventflux_testkit::wait::eventually_blocking;

use super::linked::{Linked, client, data, send, server};
use super::support::{DEADLINE, QUICK, SLOW, context};

/// The states that the metrics of a pipeline say its source is in that is not started.
fn states_before_the_start(sql: &str) -> Vec<String> {
    let samples = EventFlux::from_sql(sql, &context()).unwrap().metrics().samples();
    let on = samples.iter().filter(|sample| sample.name == SOURCE_STATE && sample.value == 1);
    on.map(|sample| sample.labels.iter().find(|(label, _)| *label == "state").unwrap().1.clone()).collect()
}

#[track_caller]
fn has_connections(linked: &Linked, active: u64, total: u64) {
    eventually_blocking(DEADLINE, || linked.metric("websocket_input_connections_active", &[]) == Some(active));
    assert_eq!(linked.metric("websocket_input_connections_total", &[]), Some(total));
    let shown = serde_json::json!({"active": active, "total": total});
    assert_eq!(linked.health()["details"]["connections"], shown);
}

#[test]
fn server_init_to_listening_when_it_starts() {
    let sql = server("");
    assert_eq!(states_before_the_start(&sql), ["init"]);
    let linked = Linked::start(&sql);
    linked.wait_for_state("listening");
    has_connections(&linked, 0, 0);
    linked.pipeline.stop();
}

#[test]
fn server_listening_to_connected_when_a_client_connects() {
    let linked = Linked::start(&server(""));
    let _peer = linked.peer();
    linked.wait_for_state("connected");
    has_connections(&linked, 1, 1);
    linked.pipeline.stop();
}

#[test]
fn server_connected_to_listening_when_the_last_of_its_clients_is_gone() {
    let linked = Linked::start(&server(""));
    let peers: Vec<_> = (0..3).map(|_| linked.peer()).collect();
    has_connections(&linked, 3, 3);
    let mut left = peers.into_iter();
    drop(left.next());
    has_connections(&linked, 2, 3);
    linked.wait_for_state("connected");
    drop(left);
    linked.wait_for_state("listening");
    has_connections(&linked, 0, 3);
    let _again = linked.peer();
    linked.wait_for_state("connected");
    has_connections(&linked, 1, 4);
    linked.pipeline.stop();
}

#[test]
fn server_connected_to_stopped_when_it_is_stopped() {
    let mut linked = Linked::start(&server(""));
    let _peer = linked.peer();
    linked.wait_for_state("connected");
    linked.pipeline.flux.stop(DEADLINE);
    linked.wait_for_state("stopped");
    has_connections(&linked, 0, 1);
}

#[test]
fn server_listening_to_stopped_when_it_is_stopped() {
    let mut linked = Linked::start(&server(""));
    linked.wait_for_state("listening");
    linked.pipeline.flux.stop(DEADLINE);
    linked.wait_for_state("stopped");
}

#[test]
fn client_init_to_connecting_when_it_starts() {
    let peer = ScriptedPeer::builder().start();
    peer.ignore_connections().blocking();
    let sql = client(peer.url(), QUICK);
    assert_eq!(states_before_the_start(&sql), ["init"]);
    let linked = Linked::start(&sql);
    linked.wait_for_state("connecting");
    has_connections(&linked, 0, 0);
    linked.pipeline.stop();
}

#[test]
fn client_connecting_to_connected_on_success() {
    let peer = ScriptedPeer::builder().script(Script::new().accept()).start();
    let linked = Linked::start(&client(peer.url(), QUICK));
    linked.wait_for_state("connected");
    has_connections(&linked, 1, 1);
    assert_eq!(linked.metric("websocket_input_reconnect_attempts_total", &[]), Some(0));
    linked.pipeline.stop();
}

#[test]
fn client_connected_to_reconnecting_when_it_is_disconnected() {
    let peer = ScriptedPeer::builder().script(Script::new().accept()).start();
    let linked = Linked::start(&client(peer.url(), SLOW));
    linked.wait_for_state("connected");
    peer.cut();
    linked.wait_for_state("reconnecting");
    has_connections(&linked, 0, 1);
    linked.pipeline.stop();
}

#[test]
fn client_reconnecting_to_reconnecting_with_every_retry() {
    let peer = ScriptedPeer::builder().start();
    peer.refuse_connections().blocking();
    let linked = Linked::start(&client(peer.url(), QUICK));
    let attempts = || linked.metric("websocket_input_reconnect_attempts_total", &[]);
    eventually_blocking(DEADLINE, || attempts() >= Some(3));
    linked.wait_for_state("reconnecting");
    has_connections(&linked, 0, 0);
    linked.pipeline.stop();
}

#[test]
fn client_reconnecting_to_connected_when_a_retry_succeeds() {
    let peer = ScriptedPeer::builder().script(Script::new().accept()).start();
    let linked = Linked::start(&client(peer.url(), QUICK));
    linked.wait_for_state("connected");
    peer.cut();
    peer.wait_for_connections(2).blocking();
    linked.wait_for_state("connected");
    has_connections(&linked, 1, 2);
    linked.wait_for_metric("websocket_input_reconnect_attempts_total", &[], 1);
    linked.pipeline.stop();
}

#[test]
fn client_reconnecting_to_failed_when_the_retries_are_used_up() {
    let peer = ScriptedPeer::builder().start();
    peer.refuse_connections().blocking();
    let linked = Linked::start(&client(peer.url(), &format!("{QUICK}, websocket.reconnect.max.attempts='3'")));
    linked.wait_for_state("failed");
    assert_eq!(linked.metric("websocket_input_reconnect_attempts_total", &[]), Some(2));
    assert!(linked.pipeline.flux.wait().is_err());
    let mut linked = linked;
    linked.pipeline.flux.stop(DEADLINE);
    linked.wait_for_state("failed");
}

#[test]
fn client_connected_to_stopped_when_it_is_stopped() {
    let peer = ScriptedPeer::builder().script(Script::new().accept().send_text(data(1))).start();
    let mut linked = Linked::start(&client(peer.url(), QUICK));
    linked.wait_for(&[1]);
    linked.pipeline.flux.stop(DEADLINE);
    linked.wait_for_state("stopped");
    has_connections(&linked, 0, 1);
}

#[test]
fn a_sink_goes_the_same_way() {
    let sql = "@sink(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:0', websocket.protocol='federation',
                     @map(type='json')) CREATE STREAM Out (n BIGINT);
               @source(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:0', websocket.protocol='federation',
                     @map(type='json')) CREATE STREAM Fed (n BIGINT);
               INSERT INTO Out SELECT n FROM Fed;";
    let mut linked = Linked::start(sql);
    let status = |linked: &Linked| linked.health_of("Out (sink)")["status"].clone();
    let sink = linked.pipeline.flux.status().into_iter().find(|status| status.stream == "Out").unwrap();
    let receiver = eventflux_testkit::peer::ScriptedClient::connect(sink.health.detail.unwrap()).blocking();
    eventually_blocking(DEADLINE, || status(&linked) == "connected");
    send(&linked.peer(), [7]);
    receiver.wait_for_messages(1).blocking();
    drop(receiver);
    eventually_blocking(DEADLINE, || status(&linked) == "listening");
    linked.pipeline.flux.stop(DEADLINE);
    assert_eq!(status(&linked), "stopped");
}
