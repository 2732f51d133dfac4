//! Sources that read a stream: what was not settled comes again, here or elsewhere, and what was comes once.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, Info, pull, push};
use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context};
use eventflux_core::EventFluxError;
use eventflux_core::health::ConnectionState;
use eventflux_testkit::log_capture::LogCapture;
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::proxy::ChaosProxy;
use eventflux_testkit::wait::eventually_blocking;

use crate::support::{DEADLINE, QUICK, Registry, TestClient, TestSource, block_on, counted, source};

const REDELIVERED: &str = "eventflux_nats_redelivered_total";

struct Bench {
    server: NatsServer,
    context: Context,
}

const ORDERS: [(&str, &str); 2] = [("nats.stream", "ORDERS"), ("nats.consumer", "work")];

fn stream() -> Config {
    Config { name: "ORDERS".into(), subjects: vec!["orders.>".into()], ..Config::default() }
}

impl Bench {
    fn new() -> Self {
        Self::with(stream())
    }

    fn with(config: Config) -> Self {
        Self::on(NatsServer::start(), config)
    }

    fn on(server: NatsServer, config: Config) -> Self {
        let client = TestClient::connect(&server);
        let context = block_on(async { jetstream::new(client.0) });
        block_on(context.create_stream(config)).unwrap();
        Self { server, context }
    }

    fn publish(&self, numbers: impl IntoIterator<Item = u32>) {
        self.publish_to("orders.new", numbers);
    }

    fn publish_to(&self, subject: &str, numbers: impl IntoIterator<Item = u32>) {
        block_on(async {
            let mut stored = Vec::new();
            for number in numbers {
                stored.push(self.context.publish(subject.to_owned(), number.to_string().into()).await.unwrap());
            }
            for stored in stored {
                stored.await.unwrap();
            }
        });
    }

    fn source(&self, more: &[(&str, &str)]) -> TestSource {
        source(&self.server.url(), &[&ORDERS[..], more].concat())
    }

    /// One whose pipeline has settled so much, or fails.
    fn source_that(&self, more: &[(&str, &str)], settled: Result<usize, EventFluxError>) -> TestSource {
        let url = self.server.url();
        let raw = [&[("nats.url", &*url)], &QUICK[..], &ORDERS, more].concat();
        let mut source = Registry::new().source(&raw, &[]);
        source.recorder.settle(settled);
        source.start().unwrap();
        source
    }

    fn not_started(&self, more: &[(&str, &str)]) -> TestSource {
        let url = self.server.url();
        Registry::new().source(&[&[("nats.url", &*url)], &QUICK[..], &ORDERS, more].concat(), &[])
    }

    fn store(&self, payloads: &[String]) {
        block_on(async {
            for payload in payloads {
                let payload = payload.clone().into_bytes();
                self.context.publish("orders.new", payload.into()).await.unwrap().await.unwrap();
            }
        });
    }

    fn consumer(&self) -> Option<Info> {
        block_on(async { self.context.get_stream("ORDERS").await.ok()?.consumer_info("work").await.ok() })
    }

    /// Waits until everything up to that sequence is acknowledged.
    #[track_caller]
    fn wait_until_acknowledged(&self, sequence: u64) {
        eventually_blocking(DEADLINE, || {
            self.consumer().is_some_and(|info| info.ack_floor.stream_sequence >= sequence && info.num_ack_pending == 0)
        });
    }

    fn create_consumer(&self, config: pull::Config) {
        let config = pull::Config { durable_name: Some("work".into()), ..config };
        block_on(async { self.context.get_stream("ORDERS").await.unwrap().create_consumer(config).await.unwrap() });
    }
}

fn numbers(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

fn different(texts: &[String]) -> BTreeSet<String> {
    texts.iter().cloned().collect()
}

#[test]
fn messages_come_in_order_with_what_the_stream_knows_of_them_and_are_acknowledged() {
    let bench = Bench::new();
    bench.publish(1..=2_000);
    let source = bench.source(&[]);
    assert_eq!(source.wait_for(2_000), numbers(1..=2_000));
    bench.wait_until_acknowledged(2_000);
    assert_eq!(source.metadata(0, "subject").as_deref(), Some("orders.new"));
    assert_eq!(source.metadata(0, "reply"), None);
    assert_eq!(source.metadata(1_999, "stream").as_deref(), Some("ORDERS"));
    assert_eq!(source.metadata(1_999, "sequence").as_deref(), Some("Long(2000)"));
    assert_eq!(source.metadata(1_999, "deliveries").as_deref(), Some("Long(1)"));
    assert!(source.metadata(0, "published_time").is_some_and(|time| time.starts_with("Timestamp(")));
    assert!(source.recorder.deliveries() < 1_000, "many in one delivery: {}", source.recorder.deliveries());
    bench.publish(2_001..=2_001);
    assert_eq!(source.wait_for(2_001).last().unwrap(), "2001");
    let config = bench.consumer().unwrap().config;
    assert_eq!((config.ack_policy, config.max_deliver), (AckPolicy::Explicit, -1));
    assert_eq!((config.ack_wait, config.max_ack_pending), (Duration::from_secs(30), 4096));
    assert_eq!(counted(&source.context, "eventflux_nats_pending", None), 0);
}

#[test]
fn a_consumer_begins_where_it_is_told_and_goes_on_where_it_was() {
    let begin = |start: &[(&str, &str)], first: u32| {
        let bench = Bench::new();
        bench.publish(1..=10);
        let mut source = bench.source(start);
        eventually_blocking(DEADLINE, || bench.consumer().is_some());
        bench.publish(11..=12);
        let all = numbers(first..=12);
        assert_eq!(source.wait_for(all.len()), all);
        bench.wait_until_acknowledged(12);
        source.source.stop(DEADLINE);
        bench.publish(13..=13);
        let again = bench.source(start);
        assert_eq!(again.wait_for(1), ["13"]);
    };
    begin(&[], 1);
    begin(&[("nats.start", "new")], 11);
    begin(&[("nats.start", "last")], 10);
    begin(&[("nats.start", "last_per_subject")], 10);
    begin(&[("nats.start", "sequence"), ("nats.start.sequence", "7")], 7);
    begin(&[("nats.start", "time"), ("nats.start.time", "2020-01-01T00:00:00Z")], 1);
}

#[test]
fn only_what_matches_the_subject_comes() {
    let bench = Bench::new();
    bench.publish_to("orders.a", 1..=2);
    bench.publish_to("orders.b", 3..=4);
    let source = bench.source(&[("nats.subject", "orders.b")]);
    assert_eq!(source.wait_for(2), ["3", "4"]);
    assert_eq!(bench.consumer().unwrap().config.filter_subject, "orders.b");
}

#[test]
fn two_sources_share_a_consumer() {
    let bench = Bench::new();
    let (one, two) = (bench.source(&[("nats.fetch.messages", "10")]), bench.source(&[("nats.fetch.messages", "10")]));
    for source in [&one, &two] {
        source.wait_for_state(ConnectionState::Connected);
    }
    eventually_blocking(DEADLINE, || bench.consumer().is_some_and(|info| info.num_waiting >= 2));
    bench.publish(1..=1_000);
    eventually_blocking(DEADLINE, || one.recorder.count() + two.recorder.count() >= 1_000);
    bench.wait_until_acknowledged(1_000);
    let mut all = [one.texts(), two.texts()].concat();
    all.sort_by_key(|text| text.parse::<u32>().unwrap());
    assert_eq!(all, numbers(1..=1_000), "each to one of them");
    assert!(one.recorder.count() > 0 && two.recorder.count() > 0);
}

#[test]
fn what_is_worked_on_for_long_does_not_come_again() {
    let bench = Bench::new();
    let source = bench.source_that(&[("nats.ack.wait", "300ms")], Ok(0));
    bench.publish(1..=5);
    source.wait_for(5);
    let begun = bench.consumer().unwrap();
    // Longer than the server waits: it would have delivered them again.
    let settled = std::time::Instant::now() + Duration::from_millis(1_000);
    eventually_blocking(DEADLINE, || std::time::Instant::now() >= settled);
    let info = bench.consumer().unwrap();
    assert_eq!((info.delivered.consumer_sequence, info.num_ack_pending), (begun.delivered.consumer_sequence, 5));
    assert_eq!(counted(&source.context, REDELIVERED, None), 0);
    source.recorder.settle(Ok(5));
    bench.wait_until_acknowledged(5);
}

#[test]
fn what_a_failing_pipeline_did_not_settle_comes_again() {
    let bench = Bench::new();
    bench.publish(1..=5);
    let source = bench.source_that(&[], Ok(0));
    source.wait_for(5);
    source.recorder.settle(Err(EventFluxError::Stopped));
    eventually_blocking(DEADLINE, || !source.recorder.ends().is_empty());
    assert_eq!(source.recorder.ends(), [Err(EventFluxError::Stopped)]);
    assert_eq!(bench.consumer().unwrap().ack_floor.stream_sequence, 0);
    let next = bench.source(&[]);
    assert_eq!(different(&next.wait_for(5)), different(&numbers(1..=5)));
    assert_eq!(next.metadata(0, "deliveries").as_deref(), Some("Long(2)"));
    assert_eq!(counted(&next.context, REDELIVERED, None), 5);
    bench.wait_until_acknowledged(5);
}

#[test]
fn a_message_that_was_delivered_too_often_goes_to_the_error_strategy() {
    let bench = Bench::new();
    bench.publish(1..=1);
    for _ in 0..2 {
        let mut source = bench.source_that(&[("nats.max.deliver", "2")], Ok(0));
        source.wait_for(1);
        source.source.stop(Duration::from_secs(3));
    }
    bench.publish(2..=2);
    let last = bench.source(&[("nats.max.deliver", "2")]);
    assert_eq!(last.wait_for(1), ["2"]);
    eventually_blocking(DEADLINE, || !last.recorder.errors().is_empty());
    let (error, payload) = last.recorder.errors().remove(0);
    assert_eq!(payload, b"1");
    assert_eq!(error.to_string(), "was delivered 2 times and not acknowledged (nats.max.deliver is 2)");
    bench.wait_until_acknowledged(2);
    assert_eq!(counted(&last.context, "eventflux_nats_undeliverable_total", None), 1);
}

#[test]
fn what_crashed_or_was_stopped_often_is_worked_on_all_the_same() {
    let bench = Bench::new();
    bench.publish(1..=1);
    for _ in 0..6 {
        let mut source = bench.source_that(&[("nats.ack.wait", "300ms")], Ok(0));
        source.wait_for(1);
        // No time to give anything back.
        source.source.stop(Duration::ZERO);
        eventually_blocking(DEADLINE, || !source.recorder.ends().is_empty());
    }
    let last = bench.source(&[("nats.ack.wait", "300ms")]);
    assert_eq!(last.wait_for(1), ["1"]);
    // That of each of them, and perhaps more where one took its time.
    let deliveries = last.metadata(0, "deliveries").unwrap();
    let deliveries: u32 = deliveries.trim_start_matches("Long(").trim_end_matches(')').parse().unwrap();
    assert!(deliveries >= 7, "{deliveries}");
    bench.wait_until_acknowledged(1);
    assert!(last.recorder.errors().is_empty());
}

#[test]
fn what_waits_for_the_pipeline_is_bounded_by_bytes_too() {
    let bench = Bench::new();
    let mut source = bench.not_started(&[("nats.fetch.bytes", "64KiB")]);
    source.recorder.close_gate();
    source.start().unwrap();
    let payloads: Vec<_> = (0..200).map(|number| format!("{number:10240}")).collect();
    bench.store(&payloads);
    let taken = || bench.consumer().map_or(0, |info| info.num_ack_pending);
    eventually_blocking(DEADLINE, || taken() > 6);
    let began = std::time::Instant::now();
    // Longer than a pull waits at the server.
    eventually_blocking(DEADLINE, || began.elapsed() > Duration::from_millis(1_500));
    assert!((7..=20).contains(&taken()), "{}", taken());
    source.recorder.open_gate();
    assert_eq!(source.wait_for(200), payloads);
    bench.wait_until_acknowledged(200);
}

#[test]
fn large_messages_that_wait_come_in_several_deliveries() {
    let bench = Bench::new();
    let mut source = bench.not_started(&[("nats.fetch.bytes", "64MiB")]);
    source.recorder.close_gate();
    source.start().unwrap();
    let payloads: Vec<_> =
        (0..12).map(|number: u32| number.to_string().repeat(1_000_000 / number.to_string().len())).collect();
    bench.store(&payloads);
    eventually_blocking(DEADLINE, || counted(&source.context, "eventflux_nats_unacknowledged", None) == 12);
    source.recorder.open_gate();
    assert_eq!(source.wait_for(12), payloads);
    assert_eq!(source.recorder.deliveries(), 3, "of five, five and two");
    bench.wait_until_acknowledged(12);
}

#[test]
fn a_stop_settles_what_was_handed_over_and_gives_the_rest_back() {
    let bench = Bench::new();
    bench.publish(1..=100);
    let mut source = bench.source_that(&[("nats.fetch.messages", "10")], Ok(0));
    source.wait_for(10);
    source.recorder.settle(Ok(1_000));
    source.source.stop(DEADLINE);
    let taken = source.recorder.count();
    assert_eq!(source.recorder.ends(), [Ok(())]);
    // At once, and not after the time for an acknowledgement.
    let next = bench.source(&[]);
    next.wait_for(100 - taken);
    bench.wait_until_acknowledged(100);
    let all = [source.texts(), next.texts()].concat();
    assert_eq!((all.len(), different(&all)), (100, different(&numbers(1..=100))), "each once");
}

#[test]
fn nothing_is_lost_when_the_server_is_killed() {
    let bench = Bench::new();
    bench.publish(1..=3_000);
    let source = bench.source(&[("nats.fetch.messages", "100"), ("nats.ack.wait", "1s")]);
    for count in [200, 1_000, 2_000] {
        source.wait_for(count);
        bench.server.kill();
        bench.server.restart();
    }
    eventually_blocking(Duration::from_secs(30), || different(&source.texts()).len() == 3_000);
    bench.wait_until_acknowledged(3_000);
    let twice = source.recorder.count() as u64 - 3_000;
    assert!(twice <= counted(&source.context, REDELIVERED, None), "duplicates are counted: {twice}");
    assert!(twice <= 3 * 4_096);
    assert_eq!(source.recorder.ends(), []);
}

#[test]
fn acknowledgements_that_were_lost_do_not_double_messages() {
    let bench = Bench::new();
    let proxy = ChaosProxy::start(bench.server.address());
    let url = format!("nats://{}", proxy.address());
    let source = source(&url, &[&ORDERS[..], &[("nats.ack.wait", "500ms")]].concat());
    source.recorder.settle(Ok(0));
    bench.publish(1..=50);
    source.wait_for(50);
    proxy.blackhole();
    // Their acknowledgements go nowhere.
    source.recorder.settle(Ok(1_000));
    eventually_blocking(DEADLINE, || counted(&source.context, "eventflux_nats_unacknowledged", None) == 0);
    proxy.reset();
    proxy.resume().blocking();
    bench.wait_until_acknowledged(50);
    assert_eq!(source.texts(), numbers(1..=50));
}

#[test]
fn a_consumer_that_is_deleted_is_created_again_behind_what_was_acknowledged() {
    // In memory: a server that removes the files of a consumer while it writes them keeps some, and finds them again.
    let bench = Bench::with(Config { storage: StorageType::Memory, ..stream() });
    bench.publish(1..=100);
    let source = bench.source(&[]);
    source.wait_for(100);
    bench.wait_until_acknowledged(100);
    // Another instance: it begins where the consumer is.
    let other = bench.source(&[]);
    eventually_blocking(DEADLINE, || bench.consumer().is_some_and(|info| info.num_waiting >= 2));
    drop(source);
    let created = bench.consumer().unwrap().created;
    block_on(async { bench.context.get_stream("ORDERS").await.unwrap().delete_consumer("work").await.unwrap() });
    eventually_blocking(DEADLINE, || bench.consumer().is_some_and(|info| info.created > created));
    bench.publish(101..=110);
    assert_eq!(other.wait_for(10), numbers(101..=110));
    bench.wait_until_acknowledged(110);
    assert_eq!(other.texts(), numbers(101..=110), "and nothing else");
}

#[test]
fn a_stream_that_is_deleted_is_waited_for_and_read_from_its_beginning() {
    let bench = Bench::new();
    bench.publish(1..=10);
    let source = bench.source(&[("nats.start", "new")]);
    eventually_blocking(DEADLINE, || bench.consumer().is_some());
    bench.publish(11..=12);
    source.wait_for(2);
    block_on(bench.context.delete_stream("ORDERS")).unwrap();
    source.wait_for_state(ConnectionState::Reconnecting);
    let detail = source.context.health.current().detail.unwrap();
    assert!(detail.contains("stream ORDERS: it does not exist"), "{detail}");
    block_on(bench.context.create_stream(stream())).unwrap();
    bench.publish(13..=14);
    assert_eq!(source.wait_for(4), ["11", "12", "13", "14"]);
    source.wait_for_state(ConnectionState::Connected);
}

#[test]
fn a_stream_and_its_consumer_are_created_where_that_is_asked_for() {
    let server = NatsServer::start();
    let create = [("nats.stream.create", "true"), ("nats.subject", "orders.*")];
    let source = source(&server.url(), &[&ORDERS[..], &create].concat());
    let client = TestClient::connect(&server);
    let context = block_on(async { jetstream::new(client.0) });
    let bench = Bench { server, context };
    eventually_blocking(DEADLINE, || bench.consumer().is_some());
    bench.publish(1..=3);
    assert_eq!(source.wait_for(3), numbers(1..=3));
}

#[test]
fn a_consumer_that_exists_wins_and_what_differs_is_said() {
    let log = LogCapture::start();
    let bench = Bench::new();
    bench.create_consumer(pull::Config {
        ack_wait: Duration::from_secs(7),
        max_ack_pending: 33,
        max_deliver: 9,
        max_batch: 5,
        ..pull::Config::default()
    });
    bench.publish(1..=100);
    let source = bench.source(&[]);
    assert_eq!(source.wait_for(100), numbers(1..=100), "in pulls as small as it allows");
    for part in ["nats.ack.wait is 7s, not 30s", "nats.max.ack.pending is 33, not 4096", "after 9"] {
        log.assert_logged(log::Level::Warn, part);
    }
    assert_eq!(bench.consumer().unwrap().config.max_ack_pending, 33);
}

#[test]
fn a_consumer_that_cannot_be_used_ends_the_source() {
    let bench = Bench::new();
    bench.create_consumer(pull::Config { filter_subject: "orders.a".into(), ..pull::Config::default() });
    let error_of = |more: &[(&str, &str)]| {
        let source = bench.source(more);
        eventually_blocking(DEADLINE, || !source.recorder.ends().is_empty());
        source.recorder.ends().remove(0).unwrap_err().to_string()
    };
    let error = error_of(&[]);
    assert!(error.contains("'nats.consumer'") && error.contains("receives orders.a"), "{error}");
    let pushing = push::Config {
        durable_name: Some("push".into()),
        deliver_subject: "there".into(),
        deliver_policy: DeliverPolicy::All,
        ..push::Config::default()
    };
    block_on(async { bench.context.get_stream("ORDERS").await.unwrap().create_consumer(pushing).await.unwrap() });
    let source = source(&bench.server.url(), &[("nats.stream", "ORDERS"), ("nats.consumer", "push")]);
    eventually_blocking(DEADLINE, || !source.recorder.ends().is_empty());
    assert!(source.recorder.ends()[0].as_ref().unwrap_err().to_string().contains("pushes its messages"));
}

#[test]
fn no_more_is_under_way_than_the_limit_says() {
    let bench = Bench::new();
    bench.publish(1..=500);
    let source = bench.source_that(&[("nats.max.ack.pending", "40")], Ok(0));
    source.wait_for(40);
    assert_eq!(bench.consumer().unwrap().num_ack_pending, 40);
    assert_eq!(counted(&source.context, "eventflux_nats_unacknowledged", None), 40);
    source.recorder.settle(Ok(100_000));
    assert_eq!(source.wait_for(500), numbers(1..=500));
}

#[test]
fn a_message_larger_than_a_pull_comes_too() {
    let bench = Bench::new();
    let large = "x".repeat(10_000);
    block_on(async { bench.context.publish("orders.new", "small".into()).await.unwrap().await.unwrap() });
    block_on(async { bench.context.publish("orders.new", large.clone().into()).await.unwrap().await.unwrap() });
    bench.publish(1..=100);
    let source = bench.source(&[("nats.fetch.bytes", "1KiB")]);
    let texts = source.wait_for(102);
    assert_eq!((&*texts[0], &*texts[1]), ("small", &*large));
    assert_eq!(texts[2..], numbers(1..=100));
}

#[test]
fn a_work_queue_is_emptied() {
    let bench = Bench::with(Config { retention: RetentionPolicy::WorkQueue, ..stream() });
    bench.publish(1..=50);
    let source = bench.source(&[]);
    source.wait_for(50);
    eventually_blocking(DEADLINE, || {
        block_on(bench.context.get_stream("ORDERS")).unwrap().cached_info().state.messages == 0
    });
}

#[test]
fn a_permission_that_is_revoked_is_said_and_waited_for() {
    let users = |deny: &str| {
        format!(
            "authorization {{ users [
                {{ user: admin, password: a }},
                {{ user: source, password: s, permissions {{ publish {{ deny: [{deny}] }} }} }}
            ] }}"
        )
    };
    let server = NatsServer::start_with(&users("\"$JS.API.CONSUMER.>\""));
    let client = TestClient::connect_as(&server, "admin", "a");
    let context = block_on(async { jetstream::new(client.0) });
    block_on(context.create_stream(stream())).unwrap();
    let mut bench = Bench { server, context };
    let source = bench.source(&[("nats.user", "source"), ("nats.password", "s")]);
    source.wait_for_state(ConnectionState::Reconnecting);
    let detail = source.context.health.current().detail.unwrap();
    assert!(detail.contains("does not permit to publish to $JS.API.CONSUMER."), "{detail}");
    bench.publish(1..=3);
    bench.server.reload(&users("\"nothing\""));
    assert_eq!(source.wait_for(3), numbers(1..=3));
}

#[test]
fn a_pipeline_that_stands_still_is_not_filled() {
    let bench = Bench::new();
    let source = bench.source(&[("nats.fetch.messages", "100")]);
    eventually_blocking(DEADLINE, || bench.consumer().is_some_and(|info| info.num_waiting > 0));
    source.recorder.close_gate();
    bench.publish(1..=5_000);
    eventually_blocking(DEADLINE, || bench.consumer().unwrap().num_ack_pending >= 100);
    bench.publish(5_001..=5_100);
    let held = bench.consumer().unwrap().num_ack_pending;
    assert!(held <= 200, "two pulls at most: {held}");
    assert_eq!(source.recorder.count(), 0);
    source.recorder.open_gate();
    assert_eq!(source.wait_for(5_100), numbers(1..=5_100));
}
