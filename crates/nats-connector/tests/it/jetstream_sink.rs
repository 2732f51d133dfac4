//! Sinks that have a stream store their events: what is said to be stored is, whatever happens on the way.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use async_nats::jetstream::{self, Context};
use eventflux_core::health::ConnectionState;
use eventflux_core::{EncodedBatch, EventFluxError, SinkCallback, Ticket};
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::wait::eventually_blocking;

use crate::support::{DEADLINE, QUICK, Registry, TestClient, TestSink, batch, block_on, counted, sink};

const RETRIES: &str = "eventflux_nats_retries_total";

fn context(client: &TestClient) -> Context {
    block_on(async { jetstream::new(client.0.clone()) })
}

fn stream() -> Config {
    Config { name: "ORDERS".into(), subjects: vec!["orders.>".into()], ..Config::default() }
}

fn server_with(config: Config) -> (NatsServer, Context) {
    let server = NatsServer::start();
    let context = context(&TestClient::connect(&server));
    block_on(context.create_stream(config)).unwrap();
    (server, context)
}

const TO_ORDERS: [(&str, &str); 2] = [("nats.stream", "ORDERS"), ("nats.subject", "orders.new")];

/// What is in the stream, in order.
fn stored(context: &Context) -> Vec<String> {
    let stream = block_on(context.get_stream("ORDERS")).unwrap();
    let state = &stream.cached_info().state;
    let text = |sequence| {
        let message = block_on(stream.get_raw_message(sequence)).unwrap();
        String::from_utf8(message.payload.to_vec()).unwrap()
    };
    (state.first_sequence..=state.last_sequence).map(text).collect()
}

fn publish(sink: &TestSink, payloads: impl IntoIterator<Item = u32>) {
    let payloads: Vec<_> = payloads.into_iter().map(|number| number.to_string()).collect();
    for part in payloads.chunks(100) {
        block_on(async { tokio::time::timeout(DEADLINE, sink.sink.ready()).await.expect("room") });
        sink.sink.publish_batch(&batch(part)).unwrap();
    }
}

/// Keeps what failed as it was reported.
#[derive(Default)]
struct Kept(Mutex<Vec<(EncodedBatch, EventFluxError)>>);

impl SinkCallback for Kept {
    fn on_failed(&self, batch: EncodedBatch, error: EventFluxError) {
        self.0.lock().unwrap().push((batch, error));
    }
}

fn detail(sink: &TestSink) -> String {
    sink.context.health.current().detail.unwrap_or_default()
}

fn numbers(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn settled_events_are_in_the_stream_with_subject_headers_and_id() {
    let (server, context) = server_with(stream());
    let raw = [
        ("nats.stream", "ORDERS"),
        ("nats.subject", "orders.${symbol}"),
        ("nats.headers.Trace", "${trace}"),
        ("nats.message.id", "${id}"),
    ];
    let sink = sink(&server.url(), &raw);
    let texts = |symbol, trace, id| [("nats.subject", symbol), ("nats.headers.Trace", trace), ("nats.message.id", id)];
    sink.publish(&[
        ("one", &texts("orders.A", "t1", "1")),
        ("two", &texts("orders.B", "", "2")),
        ("one again", &texts("orders.A", "t3", "1")),
    ])
    .unwrap();
    sink.settle().unwrap();
    assert_eq!(stored(&context), ["one", "two"]);
    let kept = block_on(async { context.get_stream("ORDERS").await.unwrap().get_raw_message(1).await.unwrap() });
    assert_eq!(kept.subject.as_str(), "orders.A");
    assert_eq!(kept.headers.get("Trace").unwrap().as_str(), "t1");
    assert_eq!(kept.headers.get("Nats-Msg-Id").unwrap().as_str(), "1");
    assert_eq!(counted(&sink.context, "eventflux_nats_published_total", None), 3);
    assert_eq!(counted(&sink.context, "eventflux_nats_duplicates_total", None), 1);
}

#[test]
fn a_stream_is_created_where_it_is_asked_for() {
    let server = NatsServer::start();
    let more = [("nats.stream.create", "true"), ("nats.stream.storage", "memory"), ("nats.max.in.flight", "1")];
    let sink = sink(&server.url(), &[&TO_ORDERS[..], &more].concat());
    publish(&sink, 1..=10);
    sink.settle().unwrap();
    let context = context(&TestClient::connect(&server));
    let created = block_on(context.get_stream("ORDERS")).unwrap();
    assert_eq!(created.cached_info().config.subjects, ["orders.new"]);
    assert_eq!(created.cached_info().config.storage, StorageType::Memory);
    assert_eq!(stored(&context), numbers(1..=10));
}

#[test]
fn a_stream_that_does_not_exist_is_waited_for_and_said() {
    let server = NatsServer::start();
    let sink = sink(&server.url(), &TO_ORDERS);
    publish(&sink, 1..=3);
    eventually_blocking(DEADLINE, || {
        let health = sink.context.health.current();
        health.state == ConnectionState::Reconnecting && detail(&sink).contains("nats.stream.create")
    });
    let context = context(&TestClient::connect(&server));
    block_on(context.create_stream(stream())).unwrap();
    sink.settle().unwrap();
    assert_eq!(stored(&context), numbers(1..=3));
    sink.wait_for_state(ConnectionState::Connected);
    assert!(!detail(&sink).contains("nats.stream.create"), "{}", detail(&sink));
}

#[test]
fn a_full_stream_holds_the_pipeline_back_and_loses_nothing() {
    let (server, context) = server_with(Config { max_messages: 50, discard: DiscardPolicy::New, ..stream() });
    let sink = sink(&server.url(), &[&TO_ORDERS[..], &[("nats.queue.bytes", "4KiB")]].concat());
    sink.sink.publish_batch(&batch(numbers(1..=200))).unwrap();
    eventually_blocking(DEADLINE, || detail(&sink).contains("stream ORDERS: maximum messages exceeded"));
    assert!(!sink.sink.is_ready());
    assert!(counted(&sink.context, RETRIES, Some(("reason", "full"))) > 0);
    let mut all = Vec::new();
    while all.len() < 200 {
        eventually_blocking(DEADLINE, || stored(&context).len() >= 50 || all.len() + stored(&context).len() == 200);
        all.extend(stored(&context));
        block_on(async { context.get_stream("ORDERS").await.unwrap().purge().await.unwrap() });
    }
    sink.settle().unwrap();
    let different: BTreeSet<_> = all.iter().cloned().collect();
    assert_eq!((all.len(), different), (200, numbers(1..=200).into_iter().collect()));
    assert!(sink.recorder.failed().is_empty());
    assert!(!detail(&sink).contains("exceeded"), "{}", detail(&sink));
}

#[test]
fn a_deleted_stream_is_waited_for_or_created_again() {
    for create in [false, true] {
        let server = NatsServer::start();
        let context = context(&TestClient::connect(&server));
        block_on(context.create_stream(stream())).unwrap();
        let more = [("nats.stream.create", "true"), ("nats.stream.subjects", "orders.>")];
        let sink = sink(&server.url(), &[&TO_ORDERS[..], if create { &more } else { &[] }].concat());
        publish(&sink, 1..=3);
        sink.settle().unwrap();
        block_on(context.delete_stream("ORDERS")).unwrap();
        publish(&sink, 4..=6);
        if !create {
            eventually_blocking(DEADLINE, || detail(&sink).contains("no stream takes the subject"));
            assert!(counted(&sink.context, RETRIES, Some(("reason", "no_stream"))) > 0);
            block_on(context.create_stream(stream())).unwrap();
        }
        sink.settle().unwrap();
        assert_eq!(stored(&context), numbers(4..=6));
        assert!(sink.recorder.failed().is_empty());
    }
}

#[test]
fn nothing_that_was_settled_is_lost_when_the_server_is_killed() {
    let (server, _) = server_with(stream());
    let sink = sink(&server.url(), &TO_ORDERS);
    publish(&sink, 0..=0);
    sink.settle().unwrap();
    for round in 0..4 {
        // What it was sent last, it does not answer any more.
        server.pause();
        publish(&sink, round * 1000 + 1..=round * 1000 + 500);
        eventually_blocking(DEADLINE, || counted(&sink.context, "eventflux_nats_in_flight", None) > 0);
        server.kill();
        publish(&sink, round * 1000 + 501..=round * 1000 + 1000);
        server.restart();
    }
    sink.settle().unwrap();
    let kept = stored(&context(&TestClient::connect(&server)));
    let different: BTreeSet<_> = kept.iter().cloned().collect();
    assert_eq!((kept.len(), different), (4001, numbers(0..=4000).into_iter().collect()), "each once");
    assert!(counted(&sink.context, RETRIES, Some(("reason", "reconnect"))) > 0);
    assert_eq!(counted(&sink.context, "eventflux_nats_in_flight", None), 0);
}

#[test]
fn what_is_refused_for_good_goes_to_the_error_strategy_with_its_batch() {
    let (server, context) = server_with(Config { max_message_size: 600, ..stream() });
    let sink = Registry::new().sink(&[&[("nats.url", &*server.url())], &QUICK[..], &TO_ORDERS].concat());
    let kept = Arc::new(Kept::default());
    sink.sink.start(kept.clone()).unwrap();
    let large = "x".repeat(2_000);
    let mut batch = batch(["1", &large, "3"]);
    batch.set_ticket(Ticket { number: 7, row: 10 });
    sink.sink.publish_batch(&batch).unwrap();
    sink.settle().unwrap();
    assert_eq!(stored(&context), ["1", "3"]);
    let failed = kept.0.lock().unwrap();
    assert_eq!(failed.len(), 1);
    let (part, error) = &failed[0];
    assert_eq!((part.len(), part.payload(0), part.position(0)), (1, large.as_bytes(), 1));
    assert_eq!(part.ticket(), Ticket { number: 7, row: 11 });
    assert!(error.to_string().contains("10054") && !error.is_retryable(), "{error}");
}

#[test]
fn what_another_stream_takes_fails() {
    let (server, _) = server_with(Config { name: "OTHER".into(), ..stream() });
    let client = TestClient::connect(&server);
    let own = Config { subjects: vec!["own".into()], ..stream() };
    block_on(context(&client).create_stream(own)).unwrap();
    let sink = sink(&server.url(), &TO_ORDERS);
    publish(&sink, 1..=1);
    sink.settle().unwrap();
    assert!(sink.recorder.failed()[0].1.to_string().contains("10060"));
}

#[test]
fn a_permission_that_is_revoked_fails_what_it_concerns() {
    let users = |subject: &str| {
        format!(
            "authorization {{ users [
                {{ user: admin, password: a }},
                {{ user: sink, password: s, permissions {{ publish {{ allow: [\"{subject}\", \"$JS.>\"] }} }} }}
            ] }}"
        )
    };
    let mut server = NatsServer::start_with(&users("orders.>"));
    let context = context(&TestClient::connect_as(&server, "admin", "a"));
    block_on(context.create_stream(stream())).unwrap();
    let user = [("nats.user", "sink"), ("nats.password", "s")];
    let sink = sink(&server.url(), &[&TO_ORDERS[..], &user].concat());
    publish(&sink, 1..=3);
    sink.settle().unwrap();
    server.reload(&users("orders.other"));
    // The server reads its file in its own time.
    let (mut number, started) = (3, Instant::now());
    while sink.recorder.failed().is_empty() {
        assert!(started.elapsed() < DEADLINE, "still permitted after {number}");
        number += 1;
        publish(&sink, number..=number);
        sink.settle().unwrap();
    }
    let failed = sink.recorder.failed();
    let error = failed[0].1.to_string();
    assert!(error.contains("does not permit to publish to orders.new"), "{error}");
    assert_eq!(failed[0].0, number.to_string().into_bytes());
    assert_eq!(stored(&context), numbers(1..=number - 1), "all others are there");
}

#[test]
fn a_stop_stores_what_waits_and_counts_what_it_cannot() {
    let (server, context) = server_with(stream());
    let sink = sink(&server.url(), &TO_ORDERS);
    publish(&sink, 1..=2_000);
    assert_eq!(sink.sink.stop(DEADLINE), 0);
    assert_eq!(stored(&context), numbers(1..=2_000));

    let sink = crate::support::sink(&server.url(), &TO_ORDERS);
    publish(&sink, 1..=1);
    sink.settle().unwrap();
    server.pause();
    sink.sink.publish_batch(&batch(["a", "b"])).unwrap();
    assert_eq!(sink.sink.stop(Duration::from_millis(300)), 2);
    server.resume();
}

#[test]
fn events_wait_for_a_server_that_is_not_there_yet() {
    let (server, _) = server_with(stream());
    server.kill();
    let sink = sink(&server.url(), &TO_ORDERS);
    publish(&sink, 1..=10);
    sink.wait_for_state(ConnectionState::Reconnecting);
    server.restart();
    sink.settle().unwrap();
    assert_eq!(stored(&context(&TestClient::connect(&server))), numbers(1..=10));
}
