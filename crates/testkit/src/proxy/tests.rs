use std::time::{Duration, Instant};

use super::*;
use crate::peer::{Ending, Script, ScriptedClient, ScriptedPeer};

async fn proxied(peer: &ScriptedPeer) -> (ChaosProxy, ScriptedClient) {
    let proxy = ChaosProxy::start(peer.address());
    let client = ScriptedClient::connect(format!("ws://{}", proxy.address())).await;
    (proxy, client)
}

#[tokio::test]
async fn a_perfect_network_forwards_everything_and_counts_it() {
    let peer = ScriptedPeer::builder().script(Script::new().accept().expect_text("a").send_text("b")).start();
    let (proxy, client) = proxied(&peer).await;
    client.send_text("a").await;
    client.expect_text("b").await;
    client.close(1000, "").await;
    proxy.wait_for("the end of the connection", |traffic| traffic.open == 0).await;
    let traffic = proxy.traffic();
    assert_eq!((traffic.connections, traffic.swallowed_bytes), (1, 0));
    assert!(traffic.to_upstream_bytes > 100 && traffic.to_client_bytes > 100, "{traffic:?}");
    peer.finish().await;
}

#[tokio::test]
async fn latency_delays_but_neither_loses_nor_reorders() {
    let peer = ScriptedPeer::builder().start();
    let (proxy, client) = proxied(&peer).await;
    proxy.latency(Duration::from_millis(60));
    let started = Instant::now();
    client.play(Script::new().send_all((0..100).map(|number| number.to_string()))).await;
    let messages = peer.wait_for_messages(100).await;
    assert!(started.elapsed() >= Duration::from_millis(60));
    assert!(messages.iter().enumerate().all(|(index, message)| message.as_text() == Some(&index.to_string())));
}

#[tokio::test]
async fn bandwidth_limits_how_much_arrives_per_second() {
    let peer = ScriptedPeer::builder().start();
    let (proxy, client) = proxied(&peer).await;
    proxy.bandwidth(Some(100_000));
    let started = Instant::now();
    client.send_text("x".repeat(20_000)).await;
    peer.wait_for_messages(1).await;
    assert!(started.elapsed() >= Duration::from_millis(150), "{:?}", started.elapsed());
}

#[tokio::test]
async fn one_byte_slices_arrive_whole() {
    let peer = ScriptedPeer::builder().start();
    let (proxy, client) = proxied(&peer).await;
    proxy.slice(1);
    client.send_text("sliced").await;
    assert_eq!(peer.wait_for_messages(1).await, ["sliced".into()]);
}

#[tokio::test]
async fn reset_ends_both_ends_with_an_error() {
    let peer = ScriptedPeer::builder().start();
    let (proxy, client) = proxied(&peer).await;
    proxy.reset();
    assert!(matches!(client.wait_for_end().await, Ending::Failed(_)));
    let endings = peer.wait_for_endings(1).await;
    assert!(matches!(endings[0].ending, Ending::Failed(_)), "{endings:?}");
}

#[tokio::test]
async fn a_half_closed_direction_ends_while_the_other_goes_on() {
    let peer = ScriptedPeer::builder().start();
    let (proxy, client) = proxied(&peer).await;
    proxy.half_close(Direction::ToUpstream);
    let endings = peer.wait_for_endings(1).await;
    assert_eq!(endings[0].ending, Ending::HungUp);
    drop(client);
}

#[tokio::test]
async fn a_blackhole_takes_bytes_and_delivers_none() {
    let peer = ScriptedPeer::builder().start();
    let (proxy, client) = proxied(&peer).await;
    proxy.blackhole();
    client.send_text("lost").await;
    proxy.wait_for("swallowed bytes", |traffic| traffic.swallowed_bytes > 0).await;
    assert!(peer.messages().is_empty());
    assert_eq!(peer.record().open, 1);
}

#[tokio::test]
async fn what_was_sent_during_a_freeze_arrives_when_the_network_resumes() {
    let peer = ScriptedPeer::builder().start();
    let (proxy, client) = proxied(&peer).await;
    proxy.freeze();
    client.send_text("held").await;
    peer.wait_for_messages(1).within(Duration::from_millis(50)).result().await.unwrap_err();
    proxy.resume().await;
    assert_eq!(peer.wait_for_messages(1).await, ["held".into()]);
}

#[tokio::test]
async fn a_refusing_proxy_accepts_again_on_the_same_port() {
    let peer = ScriptedPeer::builder().start();
    let proxy = ChaosProxy::start(peer.address());
    let url = format!("ws://{}", proxy.address());
    proxy.refuse().await;
    let refused = ScriptedClient::builder(&url).attempt().await;
    assert!(refused.unwrap_err().to_string().contains("refused"));
    proxy.resume().await;
    ScriptedClient::connect(&url).await;
}

#[tokio::test]
async fn a_proxy_that_stops_accepting_lets_connections_hang_until_it_resumes() {
    let peer = ScriptedPeer::builder().start();
    let proxy = ChaosProxy::start(peer.address());
    let url = format!("ws://{}", proxy.address());
    proxy.stop_accepting().await;
    let hanging = tokio::spawn(async move { ScriptedClient::connect(&url).await });
    peer.wait_for_connections(1).within(Duration::from_millis(50)).result().await.unwrap_err();
    proxy.resume().await;
    hanging.await.unwrap();
}

#[tokio::test]
async fn a_missing_upstream_resets_the_client_and_is_counted() {
    let gone = ScriptedPeer::builder().start();
    gone.refuse_connections().await;
    let proxy = ChaosProxy::start(gone.address());
    let refused = ScriptedClient::builder(format!("ws://{}", proxy.address())).attempt().await;
    refused.unwrap_err();
    assert_eq!(proxy.traffic().upstream_failures, 1);
}
