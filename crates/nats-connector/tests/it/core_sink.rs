//! Publishing to subjects.

use std::collections::HashSet;
use std::time::Duration;

use eventflux_core::health::ConnectionState;
use eventflux_core::{EventFluxError, FaultClass, Properties};
use eventflux_nats_connector::SINK_PROPERTIES;
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::proxy::ChaosProxy;
use eventflux_testkit::wait::eventually_blocking;

use crate::support::{DEADLINE, NatsPeer, PROMPTLY, TestClient, batch, counted, sink};

/// Everybody may do everything, but for a user `limited`, who may not publish to `secret.>`.
const LIMITED: &str = "authorization { users = [
    { user: all, password: all }
    { user: limited, password: limited, permissions: { publish: { deny: 'secret.>' } } }
    { user: mute, password: mute, permissions: { publish: 'out.>', subscribe: { deny: '>' } } }
    { user: quiet, password: quiet, permissions: { publish: 'out.>' } }
] }";

fn as_user(user: &'static str) -> [(&'static str, &'static str); 2] {
    [("nats.user", user), ("nats.password", user)]
}

#[test]
fn subjects_and_headers_come_from_columns() {
    let server = NatsServer::start();
    let recording = TestClient::connect(&server).subscribe("trades.>");
    let raw = [
        ("nats.subject", "trades.${symbol}.new"),
        ("nats.headers.Trace-Id", "${trace}"),
        ("nats.headers.Source", "edge"),
    ];
    let sink = sink(&server.url(), &raw);
    let row = |symbol, trace| [("nats.subject", symbol), ("nats.headers.Trace-Id", trace)];
    sink.publish(&[("a", &row("trades.BTC.new", "t-1")), ("b", &row("trades.ETH.new", ""))]).unwrap();
    sink.settle().unwrap();
    let messages = recording.wait_for(2);
    let header = |message: usize, name| {
        messages[message].headers.as_ref().and_then(|headers| headers.get(name)).map(ToString::to_string)
    };
    assert_eq!((messages[0].subject.as_str(), messages[1].subject.as_str()), ("trades.BTC.new", "trades.ETH.new"));
    assert_eq!((header(0, "Trace-Id").as_deref(), header(0, "Source").as_deref()), (Some("t-1"), Some("edge")));
    assert_eq!((header(1, "Trace-Id"), header(1, "Source").as_deref()), (None, Some("edge")));
    assert_eq!(recording.texts(), ["a", "b"]);
}

#[test]
fn a_value_that_is_no_token_is_refused_and_what_was_before_it_is_sent() {
    let server = NatsServer::start();
    let recording = TestClient::connect(&server).subscribe(">");
    let sink = sink(&server.url(), &[("nats.subject", "trades.${symbol}"), ("nats.headers.Trace-Id", "${trace}")]);
    for bad in ["trades.a.b", "trades.>", "trades.*", "trades.", "trades.a b", "trades.a\r\nPUB x 0"] {
        let good = [("nats.subject", "trades.good")];
        let failure =
            sink.publish(&[("good", &good), ("bad", &[("nats.subject", bad)]), ("later", &good)]).unwrap_err();
        assert_eq!((failure.row, failure.error.class()), (1, FaultClass::Invalid), "{bad}");
        let text = failure.error.to_string();
        assert!(text.contains("nats.subject") && !text.contains(bad), "{text}");
    }
    let break_out = [("nats.subject", "trades.good"), ("nats.headers.Trace-Id", "a\r\nB: c")];
    let failure = sink.publish(&[("bad", &break_out)]).unwrap_err();
    assert!(failure.error.to_string().contains("nats.headers.Trace-Id"), "{}", failure.error);
    sink.settle().unwrap();
    assert_eq!(recording.wait_for(6).iter().filter(|message| message.subject.starts_with("trades.")).count(), 6);
    assert!(recording.texts().iter().all(|text| text == "good" || text.is_empty()));
}

#[test]
fn data_does_not_reach_subjects_of_the_server() {
    let server = NatsServer::start();
    let sink = sink(&server.url(), &[("nats.subject", "${first}.API.STREAM.DELETE.X")]);
    let failure = sink.publish(&[("", &[("nats.subject", "$JS.API.STREAM.DELETE.X")])]).unwrap_err();
    assert!(failure.error.to_string().contains("the server itself"), "{}", failure.error);
}

#[test]
fn an_answer_goes_where_it_is_expected_and_nowhere_else() {
    let server = NatsServer::start();
    let client = TestClient::connect(&server);
    let recording = client.subscribe("_INBOX.asker.>");
    let sink = sink(&server.url(), &[("nats.reply", "${reply_to}")]);
    sink.publish(&[("42", &[("nats.reply", "_INBOX.asker.1")])]).unwrap();
    sink.settle().unwrap();
    recording.wait_for(1);
    for bad in ["$JS.API.INFO", "$SYS.x", "a.*", ">", "", "a b"] {
        let failure = sink.publish(&[("42", &[("nats.reply", bad)])]).unwrap_err();
        assert_eq!(failure.error.class(), FaultClass::Invalid, "{bad}");
    }
}

#[test]
fn a_payload_that_the_server_does_not_take_fails_and_others_do_not() {
    let server = NatsServer::start_with("max_payload: 1000");
    let recording = TestClient::connect(&server).subscribe("out");
    let sink = sink(&server.url(), &[("nats.subject", "out")]);
    sink.sink.publish_batch(&batch(["a".to_owned(), "x".repeat(1001), "b".to_owned()])).unwrap();
    sink.settle().unwrap();
    recording.wait_for(2);
    assert_eq!(recording.texts(), ["a", "b"]);
    let failed = sink.recorder.failed();
    assert_eq!((failed.len(), failed[0].0.len()), (1, 1001));
    let EventFluxError::Send { reason, retryable: false } = &failed[0].1 else { panic!("{failed:?}") };
    assert!(reason.contains("max_payload") && reason.contains("1000"), "{reason}");
}

#[test]
fn what_is_not_permitted_fails() {
    let server = NatsServer::start_with(LIMITED);
    let recording = TestClient::connect_as(&server, "all", "all").subscribe(">");
    let raw = [&[("nats.subject", "${where}")][..], &as_user("limited")].concat();
    let sink = sink(&server.url(), &raw);
    let to = |subject| [("nats.subject", subject)];
    // Values are single tokens, so the template is the whole subject here.
    let failure = sink.publish(&[("x", &to("secret.a"))]).unwrap_err();
    assert_eq!(failure.row, 0);
    drop(sink);
    let raw = [&[("nats.subject", "${what}.a")][..], &as_user("limited")].concat();
    let sink = crate::support::sink(&server.url(), &raw);
    sink.publish(&[("good", &to("open.a")), ("bad", &to("secret.a")), ("good", &to("open.a"))]).unwrap();
    sink.settle().unwrap();
    eventually_blocking(DEADLINE, || recording.texts().iter().filter(|text| *text == "good").count() == 2);
    let failed = sink.recorder.failed();
    assert_eq!(failed.iter().map(|(payload, _)| &payload[..]).collect::<Vec<_>>(), [b"bad"]);
    assert!(matches!(failed[0].1, EventFluxError::Send { retryable: false, .. }), "{failed:?}");
    assert!(failed[0].1.to_string().contains("secret.a"), "{failed:?}");
    assert!(!recording.texts().contains(&"bad".to_owned()));
}

#[test]
fn events_settle_also_where_marks_are_not_permitted() {
    let server = NatsServer::start_with(LIMITED);
    let recording = TestClient::connect_as(&server, "all", "all").subscribe("out.>");
    for (user, expected) in [("mute", 1), ("quiet", 2)] {
        let sink = sink(&server.url(), &[&[("nats.subject", "out.a")][..], &as_user(user)].concat());
        sink.sink.publish(user.as_bytes()).unwrap();
        sink.settle().unwrap();
        recording.wait_for(expected);
        assert!(sink.recorder.failed().is_empty());
    }
}

#[test]
fn each_event_arrives_or_is_reported_when_permissions_are_revoked_under_load() {
    const BATCHES: usize = 120;
    const BATCH: usize = 100;
    let config = |deny: &str| {
        format!(
            "authorization {{ users = [
                {{ user: all, password: all }}
                {{ user: limited, password: limited, permissions: {{ publish: {{ deny: '{deny}' }} }} }}
            ] }}"
        )
    };
    let mut server = NatsServer::start_with(&config("nothing"));
    let recording = TestClient::connect_as(&server, "all", "all").subscribe(">");
    let sink = sink(&server.url(), &[&[("nats.subject", "${what}.${id}")][..], &as_user("limited")].concat());
    for first in 0..BATCHES {
        if first == BATCHES / 4 {
            server.reload(&config("secret.*"));
        }
        let subject = |number| format!("{}.{number}", if number % 3 == 0 { "open" } else { "secret" });
        let subjects: Vec<_> = (first * BATCH..(first + 1) * BATCH).map(subject).collect();
        let texts: Vec<_> = subjects.iter().map(|subject| [("nats.subject", &**subject)]).collect();
        let rows: Vec<_> = subjects.iter().zip(&texts).map(|(subject, text)| (&**subject, &text[..])).collect();
        sink.publish(&rows).unwrap();
    }
    sink.settle().unwrap();
    let failed: HashSet<_> =
        sink.recorder.failed().iter().map(|(payload, _)| String::from_utf8_lossy(payload).into_owned()).collect();
    assert!(failed.len() > BATCH && failed.iter().all(|subject| subject.starts_with("secret.")), "{}", failed.len());
    let decided = || failed.iter().cloned().chain(recording.texts()).collect::<HashSet<_>>();
    eventually_blocking(DEADLINE, || {
        decided().iter().filter(|text| text.starts_with("open.") || text.starts_with("secret.")).count()
            == BATCHES * BATCH
    });
}

/// What the kernel has accepted counts as delivered there; this has not been, for there is more of it than it takes.
#[test]
fn what_was_not_written_when_the_connection_was_cut_is_sent_again_also_where_marks_are_not_permitted() {
    let config = format!("max_payload: {}\n{LIMITED}", 64 << 20);
    let server = NatsServer::start_with(&config);
    let proxy = ChaosProxy::start(server.address());
    let recording = TestClient::connect_as(&server, "all", "all").subscribe("out.a");
    let url = format!("nats://{}", proxy.address());
    let sink = sink(&url, &[&[("nats.subject", "out.a")][..], &as_user("mute")].concat());
    sink.sink.publish(b"first").unwrap();
    sink.settle().unwrap();
    recording.wait_for(1);
    proxy.bandwidth(Some(1 << 20));
    sink.sink.publish(&vec![b'x'; 40 << 20]).unwrap();
    proxy.wait_for("a part of it", |traffic| traffic.to_upstream_bytes > 100 << 10).blocking();
    proxy.reset();
    proxy.bandwidth(None);
    sink.settle().unwrap();
    assert_eq!(recording.wait_for(2)[1].payload.len(), 40 << 20);
    assert!(sink.recorder.failed().is_empty());
}

#[test]
fn nothing_is_lost_when_the_connection_is_cut_under_load() {
    const EVENTS: usize = 20_000;
    let peer = NatsPeer::start(&[]);
    let sink = sink(&peer.url(), &[("nats.subject", "contract.out")]);
    for first in (0..EVENTS).step_by(100) {
        sink.sink.publish_batch(&batch((first..first + 100).map(|number| number.to_string()))).unwrap();
        if first % 5_000 == 2_500 {
            peer.recording.wait_for(first / 2);
            peer.proxy.reset();
        }
    }
    eventually_blocking(DEADLINE, || counted(&sink.context, "eventflux_sink_reconnects_total", None) > 0);
    sink.settle().unwrap();
    peer.client.flush();
    eventually_blocking(DEADLINE, || {
        let mut numbers: Vec<usize> = peer.recording.texts().iter().map(|text| text.parse().unwrap()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.len() == EVENTS
    });
    assert!(sink.recorder.failed().is_empty());
    assert_eq!(sink.sink.stop(DEADLINE), 0);
}

#[test]
fn a_server_that_was_killed_gets_what_it_had_not_confirmed() {
    let peer = NatsPeer::start(&[]);
    let sink = sink(&peer.url(), &[("nats.subject", "again.out")]);
    sink.sink.publish(b"before").unwrap();
    sink.settle().unwrap();
    peer.server.kill();
    sink.wait_for_state(ConnectionState::Reconnecting);
    sink.sink.publish_batch(&batch(["1", "2", "3"])).unwrap();
    let settled = sink.sink.settled();
    peer.server.restart();
    // Before the sink is back: it subscribes to what nobody else may miss.
    peer.proxy.refuse().blocking();
    let recording = TestClient::connect(&peer.server).subscribe("again.out");
    peer.proxy.resume().blocking();
    let outcome = crate::support::block_on(async { tokio::time::timeout(DEADLINE, settled).await });
    // What got there before we listened has settled as well; everything that is not settled comes.
    assert_eq!(outcome.unwrap(), Ok(()));
    sink.sink.publish(b"4").unwrap();
    sink.settle().unwrap();
    eventually_blocking(DEADLINE, || recording.texts().last().is_some_and(|text| text == "4"));
}

#[test]
fn the_queue_is_bounded_while_nats_is_away_and_the_rest_is_counted_by_stop() {
    let peer = NatsPeer::start(&[]);
    peer.proxy.refuse().blocking();
    let sink = sink(&peer.url(), &[("nats.subject", "out"), ("nats.queue.bytes", "10KiB")]);
    let mut accepted = 0;
    while sink.sink.is_ready() {
        sink.sink.publish(&[b'x'; 1000]).unwrap();
        accepted += 1;
        assert!(accepted <= 11, "the queue has no end");
    }
    assert!(accepted >= 9, "{accepted}");
    assert_eq!(sink.context.metrics.queue_bytes.value(), 1064 * accepted);
    assert_eq!(sink.sink.stop(PROMPTLY), accepted);
}

#[test]
fn stop_sends_what_is_queued() {
    let peer = NatsPeer::start(&[]);
    let sink = sink(&peer.url(), &[("nats.subject", "contract.out")]);
    sink.sink.publish_batch(&batch((0..5_000).map(|number| number.to_string()))).unwrap();
    assert_eq!(sink.sink.stop(Duration::from_secs(10)), 0);
    assert_eq!(peer.recording.wait_for(5_000).len(), 5_000);
    assert_eq!(sink.context.health.current().state, ConnectionState::Stopped);
}

#[test]
fn what_would_have_no_effect_is_refused_by_name() {
    let create = |raw: &[(&str, &str)]| {
        let properties = Properties::from_pairs(SINK_PROPERTIES, raw.iter().copied())?;
        let factory = eventflux_nats_connector::NatsSinkFactory::default();
        let context = eventflux_core::ConnectorContext::new(
            &eventflux_core::metrics::Metrics::default(),
            eventflux_core::ConnectorRole::Sink,
            "Out",
            "nats",
        );
        eventflux_core::SinkFactory::create_initialized(&factory, &properties, &context)
    };
    let (url, subject) = (("nats.url", "nats://h"), ("nats.subject", "a"));
    assert!(create(&[url, subject]).is_ok());
    for (raw, key) in [
        (&[url, subject, ("nats.message.id", "${id}")][..], "nats.message.id"),
        (&[url, subject, ("nats.max.in.flight", "5")], "nats.max.in.flight"),
        (&[url, subject, ("nats.stream.create", "true")], "nats.stream.create"),
        (&[url, subject, ("nats.correlation", "${id}")], "nats.correlation"),
        (&[url, subject, ("nats.max.requests", "5")], "nats.max.requests"),
        (&[url, subject, ("nats.request", "q"), ("nats.stream", "S")], "nats.stream"),
        (&[url, subject, ("nats.reply", "${r}")], "nats.reply"),
        (&[url, ("nats.reply", "${r}"), ("nats.request", "q")], "nats.reply"),
        (&[url, subject, ("partition.count", "5")], "partition.count"),
        (&[url, subject, ("partition.by", "a")], "partition.count"),
        (&[url], "nats.subject"),
    ] {
        match create(raw) {
            Err(EventFluxError::Configuration { property, hint, .. }) => {
                assert_eq!((property.as_deref(), hint.is_some()), (Some(key), true), "{raw:?}");
            }
            other => panic!("{raw:?}: {other:?}"),
        }
    }
}
