//! Several servers.

use eventflux_core::health::ConnectionState;
use eventflux_testkit::proxy::ChaosProxy;

use super::*;

/// In front of a server, so that it can be away.
fn in_front_of(url: &str) -> (ChaosProxy, String) {
    let address = url.trim_start_matches("ws://").trim_end_matches('/');
    let proxy = ChaosProxy::start(address.parse().unwrap());
    let url = format!("ws://{}/", proxy.address());
    (proxy, url)
}

fn go_away(proxy: &ChaosProxy) {
    proxy.refuse().blocking();
    proxy.reset();
}

fn come_back(proxy: &ChaosProxy) {
    proxy.resume().blocking();
}

/// Waits until the sources have these events together; in which order does not matter.
#[track_caller]
fn wait_for_all(sources: &[&TestSource], count: usize) -> Vec<String> {
    let seen = || -> std::collections::BTreeSet<String> {
        let messages = sources.iter().flat_map(|source| source.recorder.messages());
        messages.map(|message| String::from_utf8_lossy(&message).into_owned()).collect()
    };
    eventually_blocking(DEADLINE, || seen().len() >= count);
    seen().into_iter().collect()
}

#[test]
fn a_sink_goes_to_the_next_server_and_back_to_the_first() {
    let (first, second) = (listening_source(&[("websocket.accept", "data, gap")]), listening_source(&[]));
    let (proxy, url) = in_front_of(&first.detail());
    let sink =
        connecting_sink(&url, &[("websocket.pool.urls", &second.detail()), ("websocket.pool.failback", "50ms")]);
    publish(&sink, 0..100);
    wait_for(&first, 0..100);
    wait_until_settled(&sink);
    go_away(&proxy);
    publish(&sink, 100..200);
    wait_for(&second, 100..200);
    wait_until_settled(&sink);
    come_back(&proxy);
    eventually_blocking(DEADLINE, || sink.detail() == url && first.recorder.count() > 100);
    publish(&sink, 200..300);
    wait_until_settled(&sink);
    let messages = first.recorder.messages();
    let gap: serde_json::Value = serde_json::from_slice(&messages[100]).unwrap();
    assert_eq!((&gap["reason"], &gap["missing"]), (&"taken_elsewhere".into(), &100.into()));
    assert_eq!(messages.last().unwrap(), b"{\"n\":299}");
    assert_eq!((messages.len(), second.recorder.count()), (201, 100));
}

#[test]
fn what_the_first_server_has_not_acknowledged_goes_to_the_next() {
    let (first, second) = (listening_source(&[]), listening_source(&[]));
    let (proxy, url) = in_front_of(&first.detail());
    let sink = connecting_sink(&url, &[("websocket.pool.urls", &second.detail())]);
    sink.wait_for_state(ConnectionState::Connected);
    first.recorder.close_gate();
    publish(&sink, 0..50_000);
    go_away(&proxy);
    wait_until_settled(&sink);
    let numbers = wait_for_all(&[&first, &second], 50_000);
    assert_eq!(numbers.len(), 50_000);
}

#[test]
fn a_source_goes_to_the_next_server() {
    let (first, second) = (listening_sink(&[]), listening_sink(&[]));
    let (proxy, url) = in_front_of(&first.detail());
    let source = connecting_source(&url, &[("websocket.pool.urls", &second.detail())]);
    publish(&first, 0..10);
    wait_for(&source, 0..10);
    go_away(&proxy);
    publish(&second, 10..20);
    wait_for(&source, 0..20);
}
