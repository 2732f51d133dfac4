//! Receiving from subjects.

use async_nats::HeaderMap;
use eventflux_core::health::ConnectionState;
use eventflux_core::{EventFluxError, Properties, SourceFactory};
use eventflux_nats_connector::{NatsSourceFactory, SOURCE_PROPERTIES};
use eventflux_testkit::log_capture::LogCapture;
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::wait::eventually_blocking;

use crate::support::{DEADLINE, IN, NatsPeer, PROMPTLY, QUICK, Registry, TestClient, TestSource, counted, source};

/// Publishes until it is heard: the source may not have subscribed yet.
#[track_caller]
fn publish(client: &TestClient, subject: &str, payload: &'static str) {
    eventually_blocking(DEADLINE, || client.publish_if_heard(subject, payload));
}

#[test]
fn subjects_with_wildcards_are_heard_and_their_metadata_are_told() {
    let server = NatsServer::start();
    let client = TestClient::connect(&server);
    let url = server.url();
    let raw = [&[("nats.url", &*url), ("nats.subject", "blob.>, book.*.new")], &QUICK[..]].concat();
    let mut source = Registry::new().source(&raw, &["Trace-Id", "trace-id"]);
    source.start().unwrap();
    publish(&client, "blob.a.b", "1");
    // Each subject keeps its order; between them there is none.
    source.wait_for(1);
    let mut headers = HeaderMap::new();
    headers.insert("Trace-Id", "t-1");
    headers.append("Tag", "x");
    headers.append("Tag", "y");
    headers.insert("Nats-Msg-Id", "m-1");
    publish(&client, "book.7.new", "2");
    client.publish_with_headers("book.8.new", headers, "3");
    assert_eq!(source.wait_for(3), ["1", "2", "3"]);
    let metadata = |message, field| source.metadata(message, field);
    assert_eq!(
        (metadata(0, "subject").as_deref(), metadata(1, "subject").as_deref()),
        (Some("blob.a.b"), Some("book.7.new"))
    );
    assert!(metadata(0, "reply").is_some_and(|reply| reply.starts_with("_INBOX.")));
    assert_eq!((metadata(0, "headers"), metadata(0, "Trace-Id"), metadata(2, "reply")), (None, None, None));
    let all = r#"{"Nats-Msg-Id":"m-1","Tag":["x","y"],"Trace-Id":"t-1"}"#;
    assert_eq!(metadata(2, "headers").as_deref(), Some(all));
    assert_eq!((metadata(2, "Trace-Id").as_deref(), metadata(2, "id").as_deref()), (Some("t-1"), Some("m-1")));
    // Names of headers are compared with their case, as NATS does.
    assert_eq!(metadata(2, "trace-id"), None);
    for field in ["stream", "sequence", "published_time", "deliveries", "partition", "correlation", "status"] {
        assert_eq!(metadata(2, field), None, "{field}");
    }
}

#[test]
fn a_queue_group_shares_messages() {
    const MESSAGES: usize = 200;
    let server = NatsServer::start();
    let client = TestClient::connect(&server);
    let both = [(); 2].map(|()| source(&server.url(), &[("nats.subject", "work"), ("nats.queue", "workers")]));
    // Both have subscribed when both have got something.
    eventually_blocking(DEADLINE, || {
        client.publish("work", "hello");
        both.iter().all(|source| source.recorder.count() > 0)
    });
    for number in 0..MESSAGES {
        client.publish("work", number.to_string());
    }
    let numbers = || {
        let texts = both.iter().flat_map(TestSource::texts);
        let mut numbers: Vec<usize> = texts.filter_map(|text| text.parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    };
    eventually_blocking(DEADLINE, || numbers().len() >= MESSAGES);
    assert_eq!(numbers(), (0..MESSAGES).collect::<Vec<_>>());
}

#[test]
fn what_the_pipeline_does_not_keep_up_with_is_dropped_and_counted() {
    const MESSAGES: usize = 5_000;
    let server = NatsServer::start();
    let client = TestClient::connect(&server);
    let logs = LogCapture::start().containing("does not keep up");
    let source = source(&server.url(), &[("nats.subject", "feed"), ("nats.pending.messages", "100")]);
    source.recorder.close_gate();
    publish(&client, "feed", "first");
    for number in 0..MESSAGES {
        crate::support::block_on(client.0.publish("feed", number.to_string().into())).unwrap();
    }
    client.flush();
    let dropped = || source.context.metrics.dropped.value() as usize;
    // One of those that may wait was the first.
    eventually_blocking(DEADLINE, || dropped() == MESSAGES - 99);
    assert_eq!(source.recorder.count(), 0);
    logs.assert_logged(log::Level::Warn, "messages are dropped");
    source.recorder.open_gate();
    let texts = source.wait_for(100);
    // What came first is there, in order.
    assert_eq!((&*texts[0], &*texts[1], &*texts[99]), ("first", "0", "98"));
    client.publish("feed", "later");
    assert_eq!(source.wait_for(101)[100], "later");
    assert_eq!(dropped(), MESSAGES - 99);
}

#[test]
fn bytes_that_wait_are_bounded() {
    let server = NatsServer::start();
    let client = TestClient::connect(&server);
    let source = source(&server.url(), &[("nats.subject", "feed"), ("nats.pending.bytes", "10KiB")]);
    source.recorder.close_gate();
    publish(&client, "feed", "x");
    for _ in 0..20 {
        client.publish("feed", vec![b'x'; 1024]);
    }
    eventually_blocking(DEADLINE, || source.context.metrics.dropped.value() == 11);
    assert_eq!(source.context.metrics.queue_bytes.value(), 1 + 9 * 1024);
}

#[test]
fn a_connection_that_was_lost_is_a_gap_and_subscriptions_come_back() {
    let peer = NatsPeer::start(&[]);
    let source = source(&peer.url(), &[("nats.subject", IN)]);
    publish(&peer.client, IN, "before");
    source.wait_for(1);
    assert_eq!(counted(&source.context, "eventflux_source_connections", None), 1);
    peer.proxy.refuse().blocking();
    peer.proxy.reset();
    source.wait_for_state(ConnectionState::Reconnecting);
    eventually_blocking(DEADLINE, || !peer.client.publish_if_heard(IN, "missed"));
    assert_eq!(counted(&source.context, "eventflux_source_connections", None), 0);
    peer.proxy.resume().blocking();
    publish(&peer.client, IN, "after");
    let texts = source.wait_for(2);
    assert_eq!(texts.last().map(String::as_str), Some("after"));
    eventually_blocking(DEADLINE, || source.context.metrics.gaps.value() == 1);
    assert_eq!(source.context.metrics.reconnects.value(), 1);
    assert_eq!(source.context.health.current().state, ConnectionState::Connected);
}

#[test]
fn a_subscription_that_is_not_permitted_is_shown_and_works_once_it_is() {
    let users = |allowed: &str| {
        format!(
            "authorization {{ users = [
                {{ user: all, password: all }}
                {{ user: ann, password: ann, permissions: {{ subscribe: ['open.>', '_INBOX.>', '{allowed}'] }} }}
            ] }}"
        )
    };
    let mut server = NatsServer::start_with(&users("nothing"));
    let client = TestClient::connect_as(&server, "all", "all");
    let raw = [("nats.subject", "open.a,secret.a"), ("nats.user", "ann"), ("nats.password", "ann")];
    let source = source(&server.url(), &raw);
    source.wait_for_state(ConnectionState::Reconnecting);
    let detail = source.context.health.current().detail.unwrap_or_default();
    assert!(detail.contains("secret.a"), "{detail}");
    publish(&client, "open.a", "1");
    source.wait_for(1);
    server.reload(&users("secret.>"));
    publish(&client, "secret.a", "2");
    assert_eq!(source.wait_for(2), ["1", "2"]);
    let health = source.context.health.clone();
    eventually_blocking(2 * DEADLINE, || health.current().state == ConnectionState::Connected);
    // Subscribed once, after all.
    client.publish("secret.a", "3");
    client.publish("open.a", "4");
    assert_eq!(source.wait_for(4), ["1", "2", "3", "4"]);
}

#[test]
fn stop_delivers_what_had_come() {
    let server = NatsServer::start();
    let client = TestClient::connect(&server);
    let mut source = source(&server.url(), &[("nats.subject", "feed")]);
    publish(&client, "feed", "1");
    source.wait_for(1);
    source.source.stop(PROMPTLY);
    assert_eq!(source.recorder.ends(), [Ok(())]);
    assert!(!client.publish_if_heard("feed", "2"), "it is still subscribed");
}

#[test]
fn what_would_have_no_effect_is_refused_by_name() {
    let create = |raw: &[(&str, &str)]| {
        let properties = Properties::from_pairs(SOURCE_PROPERTIES, raw.iter().copied())?;
        let context = eventflux_core::ConnectorContext::new(
            &eventflux_core::metrics::Metrics::default(),
            eventflux_core::ConnectorRole::Source,
            "In",
            "nats",
        );
        NatsSourceFactory::default().create_initialized(&properties, &context)
    };
    let (url, subject) = (("nats.url", "nats://h"), ("nats.subject", "a"));
    assert!(create(&[url, subject]).is_ok() && create(&[("nats.replies", "q")]).is_ok());
    for (raw, key) in [
        (&[url, subject, ("nats.consumer", "c")][..], "nats.consumer"),
        (&[url, subject, ("nats.start", "new")], "nats.start"),
        (&[url, subject, ("nats.fetch.messages", "5")], "nats.fetch.messages"),
        (&[url, subject, ("nats.stream.create", "true")], "nats.stream.create"),
        (&[url, subject, ("partition.count", "4")], "partition.count"),
        (&[url, subject, ("partition.group", "g")], "partition.group"),
        (&[url, subject, ("nats.stream", "S"), ("nats.queue", "q")], "nats.queue"),
        (&[url, ("nats.stream", "S"), ("nats.pending.messages", "5")], "nats.pending.messages"),
        (&[subject, ("nats.replies", "q")], "nats.subject"),
        (&[url, ("nats.replies", "q")], "nats.url"),
        (&[("nats.token", "t"), ("nats.replies", "q")], "nats.token"),
        (&[("nats.queue", "g"), ("nats.replies", "q")], "nats.queue"),
        (&[url], "nats.subject"),
        (&[subject], "nats.url"),
    ] {
        match create(raw) {
            Err(EventFluxError::Configuration { property, hint, .. }) => {
                assert_eq!((property.as_deref(), hint.is_some()), (Some(key), true), "{raw:?}");
            }
            other => panic!("{raw:?}: {other:?}"),
        }
    }
}
