//! Several servers.

use eventflux_core::health::ConnectionState;
use eventflux_testkit::peer::{Script, ScriptedPeer};
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
    let sink = connecting_sink(&url, &[("websocket.pool.urls", &second.detail()), ("websocket.pool.failback", "50ms")]);
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
fn a_balanced_sink_gives_each_event_to_one_server() {
    let (one, other) = (listening_source(&[]), listening_source(&[]));
    let sink =
        connecting_sink(&one.detail(), &[("websocket.pool.urls", &other.detail()), ("websocket.pool", "balance")]);
    eventually_blocking(DEADLINE, || sink.context.metrics.connections.value() == 2);
    assert!(sink.detail().starts_with("2 of 2: "), "{}", sink.detail());
    publish(&sink, 0..2_000);
    wait_until_settled(&sink);
    let counts = [one.recorder.count(), other.recorder.count()];
    assert_eq!(counts.iter().sum::<usize>(), 2_000);
    assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
    assert_eq!(wait_for_all(&[&one, &other], 2_000).len(), 2_000);
}

#[test]
fn what_a_server_that_stays_away_has_not_acknowledged_goes_to_the_others() {
    let (one, other) = (listening_source(&[]), listening_source(&[]));
    let (proxy, url) = in_front_of(&one.detail());
    let sink = connecting_sink(
        &url,
        &[
            ("websocket.pool.urls", &other.detail()),
            ("websocket.pool", "balance"),
            ("websocket.pool.takeover", "100ms"),
        ],
    );
    eventually_blocking(DEADLINE, || sink.context.metrics.connections.value() == 2);
    one.recorder.close_gate();
    publish(&sink, 0..20_000);
    go_away(&proxy);
    publish(&sink, 20_000..21_000);
    wait_until_settled(&sink);
    assert_eq!(wait_for_all(&[&one, &other], 21_000).len(), 21_000);
    // It is back, and takes part.
    one.recorder.open_gate();
    come_back(&proxy);
    eventually_blocking(DEADLINE, || sink.context.metrics.connections.value() == 2);
    let before = one.recorder.count();
    publish(&sink, 21_000..23_000);
    wait_until_settled(&sink);
    assert!(one.recorder.count() > before);
    assert_eq!(wait_for_all(&[&one, &other], 23_000).len(), 23_000);
}

#[test]
fn a_spool_is_kept_for_each_server_and_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (listening_source(&[]), listening_source(&[]));
    let (proxy, url) = in_front_of(&one.detail());
    let second = other.detail();
    let pool = [
        ("websocket.pool.urls", second.as_str()),
        ("websocket.pool", "balance"),
        ("websocket.pool.takeover", "1h"),
        ("websocket.spool.path", directory.path().to_str().unwrap()),
    ];
    let sink = connecting_sink(&url, &pool);
    eventually_blocking(DEADLINE, || sink.context.metrics.connections.value() == 2);
    one.recorder.close_gate();
    publish(&sink, 0..10_000);
    go_away(&proxy);
    wait_until_settled(&sink);
    assert_eq!(sink.stop(), 0);
    one.recorder.open_gate();
    come_back(&proxy);
    let _sink = connecting_sink(&url, &pool);
    assert_eq!(wait_for_all(&[&one, &other], 10_000).len(), 10_000);
    assert_eq!(one.recorder.count() + other.recorder.count(), 10_000);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[test]
fn a_source_takes_from_all_servers() {
    let (one, other) = (listening_sink(&[]), listening_sink(&[]));
    let mut source =
        connecting_source(&one.detail(), &[("websocket.pool.urls", &other.detail()), ("websocket.pool", "all")]);
    publish(&one, 0..1_000);
    publish(&other, 1_000..2_000);
    assert_eq!(wait_for_all(&[&source], 2_000).len(), 2_000);
    assert_eq!(source.recorder.count(), 2_000);
    wait_until_settled(&one);
    wait_until_settled(&other);
    assert_eq!(source.context.metrics.connections.value(), 2);
    source.stop();
    assert_eq!(source.context.health.current().state, ConnectionState::Stopped);
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

#[test]
fn a_pool_can_be_reached_when_one_of_its_servers_can() {
    let there = listening_source(&[]);
    let validate = |url: &str, more: &str| {
        let raw = [("websocket.url", url), FEDERATION, ("websocket.pool.urls", more)];
        Registry::new().sink(&raw).sink.validate_connectivity()
    };
    assert_eq!(validate("ws://127.0.0.1:9/a", &there.detail()), Ok(()));
    assert!(validate("ws://127.0.0.1:9/a", "ws://127.0.0.1:9/b").unwrap_err().to_string().contains("127.0.0.1:9/b"));
}

#[test]
fn a_server_that_hangs_up_at_once_does_not_keep_the_next_from_being_used() {
    let script = Script::new().choose_subprotocol("eventflux.link.v1").accept().close(1013, "full");
    let rude = ScriptedPeer::builder().script(script).start();
    let there = listening_source(&[]);
    let sink = connecting_sink(rude.url(), &[("websocket.pool.urls", &there.detail())]);
    publish(&sink, 0..100);
    wait_until_settled(&sink);
    assert_eq!(wait_for_all(&[&there], 100).len(), 100);
    assert_eq!(sink.detail(), there.detail());
}
