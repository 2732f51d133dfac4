use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::stream::{Config, DiscardPolicy};
use eventflux_core::metrics::Metrics;
use eventflux_core::{ConnectorContext, ConnectorRole, EventFluxError, Properties};
use eventflux_nats::properties::CONNECTION;
use eventflux_nats::publisher::{Outcome, Outgoing, Publisher, PublisherConfig};
use eventflux_nats::{Connection, ConnectionConfig, Observer};
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::proxy::ChaosProxy;
use eventflux_testkit::wait::eventually;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

/// A connection, and what is seen of it.
struct Bench {
    connection: Connection,
    context: ConnectorContext,
}

impl Bench {
    async fn new(url: &str, more: &[(&str, &str)]) -> Self {
        let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Sink, "Orders", "nats");
        let pairs = [("nats.url", url), ("nats.reconnect.delay.ms", "50")].into_iter().chain(more.iter().copied());
        let properties = Properties::from_pairs(CONNECTION, pairs).unwrap();
        let config = ConnectionConfig::from_properties(&properties).unwrap();
        let connection = timeout(SOON, Connection::open(&config, &Observer::of(&context))).await.unwrap().unwrap();
        Self { connection, context }
    }

    async fn stream(&self, config: Config) {
        self.connection.jetstream().create_stream(config).await.unwrap();
    }

    fn publisher(&self) -> Publisher {
        self.publisher_with(config())
    }

    fn publisher_with(&self, config: PublisherConfig) -> Publisher {
        Publisher::new(&self.connection, config, &Observer::of(&self.context))
    }

    fn count(&self, name: &str, reason: Option<&str>) -> u64 {
        let wanted = |sample: &eventflux_core::metrics::Sample| {
            sample.name == name && reason.is_none_or(|reason| sample.labels.contains(&("reason", reason.to_owned())))
        };
        self.context.registry.samples().iter().filter(|sample| wanted(sample)).map(|sample| sample.value).sum()
    }

    fn detail(&self) -> String {
        self.context.health.current().detail.unwrap_or_default()
    }

    /// The payloads of the stream, by sequence.
    async fn payloads(&self) -> Vec<String> {
        let jetstream = self.connection.jetstream();
        let mut stream = jetstream.get_stream("S").await.unwrap();
        let state = stream.info().await.unwrap().state.clone();
        let mut payloads = Vec::new();
        for sequence in state.first_sequence..=state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            payloads.push(String::from_utf8(message.payload.to_vec()).unwrap());
        }
        payloads
    }
}

fn config() -> PublisherConfig {
    PublisherConfig {
        in_flight: 256,
        ack_timeout: Duration::from_secs(2),
        stream: "S".into(),
        retry: (Duration::from_millis(20), Duration::from_millis(200)),
        max_attempts: None,
    }
}

fn stream() -> Config {
    Config { name: "S".into(), subjects: vec!["s.>".into()], ..Config::default() }
}

fn outgoing(subject: &str, payload: impl ToString) -> Outgoing {
    Outgoing { subject: subject.into(), headers: None, payload: payload.to_string().into(), id: None }
}

async fn next(publisher: &mut Publisher) -> Outcome {
    timeout(SOON, publisher.next()).await.unwrap()
}

async fn next_stored(publisher: &mut Publisher) -> (u64, u64, bool) {
    match next(publisher).await {
        Outcome::Stored { number, sequence, duplicate } => (number, sequence, duplicate),
        Outcome::Failed { error, .. } => panic!("{error}"),
    }
}

async fn next_failed(publisher: &mut Publisher) -> (u64, String) {
    match next(publisher).await {
        Outcome::Failed { number, error } => {
            assert!(matches!(error, EventFluxError::Send { .. }), "{error:?}");
            (number, error.to_string())
        }
        stored @ Outcome::Stored { .. } => panic!("{stored:?}"),
    }
}

/// Pushes what has room; all are stored when it returns. `at` is called before each outcome with how many there were.
async fn publish(publisher: &mut Publisher, count: u64, mut at: impl FnMut(u64)) {
    let (mut pushed, mut stored) = (0, 0);
    while stored < count {
        while pushed < count && publisher.has_room() {
            pushed += 1;
            assert_eq!(publisher.push(outgoing("s.a", pushed)), pushed);
        }
        at(stored);
        assert_eq!(next_stored(publisher).await.0, stored + 1, "in the order of numbers");
        stored += 1;
    }
    assert!(publisher.is_empty());
}

#[tokio::test]
async fn each_message_is_confirmed_with_its_place() {
    let server = NatsServer::start();
    let bench = Bench::new(&server.url(), &[]).await;
    bench.stream(stream()).await;
    let mut publisher = bench.publisher();
    let mut headers = HeaderMap::new();
    headers.insert("Trace-Id", "t1");
    publisher.push(Outgoing { headers: Some(headers), id: Some("first".into()), ..outgoing("s.a", "one") });
    publisher.push(outgoing("s.b", "two"));
    assert_eq!(publisher.len(), 2);
    assert_eq!(next_stored(&mut publisher).await, (1, 1, false));
    assert_eq!(next_stored(&mut publisher).await, (2, 2, false));
    let jetstream = bench.connection.jetstream();
    let kept = jetstream.get_stream("S").await.unwrap().get_raw_message(1).await.unwrap();
    assert_eq!((kept.subject.as_str(), &*kept.payload), ("s.a", &b"one"[..]));
    let header = |name: &str| kept.headers.get(name).map(|value| value.as_str().to_owned());
    assert_eq!(header("Trace-Id").as_deref(), Some("t1"));
    assert_eq!(header("Nats-Msg-Id").as_deref(), Some("first"));
    assert_eq!(header("Nats-Expected-Stream").as_deref(), Some("S"));
    assert_eq!(bench.count("eventflux_nats_published_total", None), 2);
    assert_eq!(bench.count("eventflux_nats_in_flight", None), 0);
}

#[tokio::test]
async fn a_message_with_a_known_id_is_stored_once_and_counted() {
    let server = NatsServer::start();
    let bench = Bench::new(&server.url(), &[]).await;
    bench.stream(stream()).await;
    let mut publisher = bench.publisher();
    for _ in 0..2 {
        publisher.push(Outgoing { id: Some("same".into()), ..outgoing("s.a", "x") });
    }
    assert_eq!(next_stored(&mut publisher).await, (1, 1, false));
    assert_eq!(next_stored(&mut publisher).await, (2, 1, true));
    assert_eq!(bench.count("eventflux_nats_duplicates_total", None), 1);
}

#[tokio::test]
async fn what_would_be_refused_again_fails_and_the_others_go_on() {
    let server = NatsServer::start_with("max_payload: 4096");
    let bench = Bench::new(&server.url(), &[]).await;
    bench.stream(Config { max_message_size: 1024, ..stream() }).await;
    bench.stream(Config { name: "T".into(), subjects: vec!["t".into()], ..Config::default() }).await;
    let mut publisher = bench.publisher();
    publisher.push(outgoing("s.a", "x".repeat(2048)));
    publisher.push(outgoing("s.a", "x".repeat(8192)));
    publisher.push(outgoing("t", "x"));
    publisher.push(outgoing("s.no subject", "x"));
    publisher.push(outgoing("s.*", "x"));
    publisher.push(outgoing("s.a", "x"));
    for (number, reason) in [(1, "10054"), (2, "4096"), (3, "10060"), (4, "white space"), (5, "wildcards")] {
        let (failed, text) = next_failed(&mut publisher).await;
        assert_eq!(failed, number);
        assert!(text.starts_with("stream S: ") && text.contains(reason), "{text}");
    }
    assert_eq!(next_stored(&mut publisher).await, (6, 1, false));
}

#[tokio::test]
async fn a_full_stream_is_waited_for_and_said() {
    let server = NatsServer::start();
    let bench = Bench::new(&server.url(), &[]).await;
    bench.stream(Config { max_messages: 3, discard: DiscardPolicy::New, ..stream() }).await;
    let mut publisher = bench.publisher();
    let before = bench.detail();
    (1..=6).for_each(|number| assert_eq!(publisher.push(outgoing("s.a", number)), number));
    for number in 1..=3 {
        assert_eq!(next_stored(&mut publisher).await.0, number);
    }
    let full = || bench.detail().contains("stream S: maximum messages exceeded");
    tokio::select! {
        () = eventually(SOON, || full() && bench.count("eventflux_nats_retries_total", Some("full")) > 5) => {}
        outcome = publisher.next() => panic!("{outcome:?}"),
    }
    let stream = bench.connection.jetstream().get_stream("S").await.unwrap();
    stream.purge().await.unwrap();
    for number in 4..=6 {
        assert_eq!(next_stored(&mut publisher).await, (number, number, false));
    }
    assert_eq!(bench.detail(), before);
}

#[tokio::test]
async fn a_stream_that_is_not_there_is_waited_for() {
    let server = NatsServer::start();
    let bench = Bench::new(&server.url(), &[]).await;
    let mut publisher = bench.publisher();
    (1..=100).for_each(|number| assert_eq!(publisher.push(outgoing("s.a", number)), number));
    tokio::select! {
        () = eventually(SOON, || bench.count("eventflux_nats_retries_total", Some("no_stream")) > 102) => {}
        outcome = publisher.next() => panic!("{outcome:?}"),
    }
    assert!(bench.detail().contains("stream S: no stream takes the subject"), "{}", bench.detail());
    bench.stream(stream()).await;
    for number in 1..=100 {
        assert_eq!(next_stored(&mut publisher).await, (number, number, false));
    }
}

#[tokio::test]
async fn attempts_end_where_their_number_is_limited() {
    let server = NatsServer::start();
    let bench = Bench::new(&server.url(), &[]).await;
    let mut publisher = bench.publisher_with(PublisherConfig { max_attempts: Some(3), ..config() });
    publisher.push(outgoing("s.a", "x"));
    assert_eq!(next_failed(&mut publisher).await.1, "stream S: no stream takes the subject");
    assert_eq!(bench.count("eventflux_nats_retries_total", None), 3);
}

#[tokio::test]
async fn what_is_not_permitted_fails() {
    let users = r#"authorization { users [
        { user: limited, password: p, permissions { publish { allow: ["s.a", "$JS.>"] } } }
    ] }"#;
    let server = NatsServer::start_with(users);
    let bench = Bench::new(&server.url(), &[("nats.user", "limited"), ("nats.password", "p")]).await;
    bench.stream(stream()).await;
    let mut publisher = bench.publisher();
    for subject in ["s.a", "s.b", "s.b", "s.a"] {
        publisher.push(outgoing(subject, "x"));
    }
    assert_eq!(next_stored(&mut publisher).await.0, 1);
    for number in [2, 3] {
        let (failed, text) = next_failed(&mut publisher).await;
        assert_eq!(failed, number);
        assert!(text.contains("does not permit to publish to s.b"), "{text}");
    }
    assert_eq!(next_stored(&mut publisher).await.0, 4);
}

#[tokio::test]
async fn who_may_not_hear_confirmations_is_told() {
    let users = r#"authorization { users [
        { user: deaf, password: p, permissions { subscribe { deny: ["_INBOX.>"] } } }
    ] }"#;
    let server = NatsServer::start_with(users);
    let bench = Bench::new(&server.url(), &[("nats.user", "deaf"), ("nats.password", "p")]).await;
    let mut publisher = bench.publisher();
    publisher.push(outgoing("s.a", "x"));
    tokio::select! {
        () = eventually(SOON, || bench.detail().contains("does not permit to subscribe to _INBOX.")) => {}
        outcome = publisher.next() => panic!("{outcome:?}"),
    }
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_when_the_server_is_killed() {
    let server = NatsServer::start();
    let bench = Bench::new(&server.url(), &[]).await;
    bench.stream(stream()).await;
    let mut publisher = bench.publisher();
    let total = 3_000;
    publish(&mut publisher, total, |stored| {
        if [500, 1_500].contains(&stored) {
            server.kill();
            server.restart();
        }
    })
    .await;
    let payloads = bench.payloads().await;
    let different: BTreeSet<_> = payloads.iter().collect();
    assert_eq!((payloads.len(), different.len() as u64), (total as usize, total), "each once");
    assert!(bench.count("eventflux_nats_retries_total", Some("reconnect")) > 0);
}

#[tokio::test]
async fn nothing_is_lost_when_the_network_stands_still_and_breaks() {
    let server = NatsServer::start();
    let proxy = Arc::new(ChaosProxy::start(server.address()));
    let bench = Bench::new(&format!("nats://{}", proxy.address()), &[]).await;
    bench.stream(stream()).await;
    let mut publisher = bench.publisher();
    let total = 2_000;
    let timeouts = bench
        .context
        .registry
        .counter("eventflux_nats_retries_total", &[("stream", "Orders"), ("type", "nats"), ("reason", "timeout")]);
    publish(&mut publisher, total, |stored| match stored {
        300 => {
            proxy.freeze();
            let (proxy, timeouts) = (proxy.clone(), timeouts.clone());
            tokio::spawn(async move {
                eventually(SOON, || timeouts.value() > 0).await;
                proxy.reset();
                proxy.resume().await;
            });
        }
        900 | 1_200 => proxy.reset(),
        _ => {}
    })
    .await;
    let payloads = bench.payloads().await;
    let different: BTreeSet<_> = payloads.iter().collect();
    assert_eq!((payloads.len(), different.len() as u64), (total as usize, total), "each once");
}

#[tokio::test]
async fn a_confirmation_that_does_not_come_is_asked_for_again() {
    let server = NatsServer::start();
    let bench = Bench::new(&server.url(), &[]).await;
    bench.stream(stream()).await;
    let mut publisher = bench.publisher_with(PublisherConfig { ack_timeout: Duration::from_millis(200), ..config() });
    server.pause();
    publisher.push(outgoing("s.a", "x"));
    tokio::select! {
        () = eventually(SOON, || bench.count("eventflux_nats_retries_total", Some("timeout")) >= 2) => {}
        outcome = publisher.next() => panic!("{outcome:?}"),
    }
    assert!(bench.detail().contains("no confirmation within 200ms"), "{}", bench.detail());
    server.resume();
    assert_eq!(next_stored(&mut publisher).await.0, 1);
    assert_eq!(bench.payloads().await, ["x"], "the repeated ones were dropped by their id");
}

#[tokio::test]
async fn asking_for_outcomes_may_be_cancelled_at_any_time() {
    let server = NatsServer::start();
    let bench = Bench::new(&server.url(), &[]).await;
    bench.stream(stream()).await;
    let mut publisher = bench.publisher_with(PublisherConfig { in_flight: 2_000, ..config() });
    (1..=2_000).for_each(|number| assert_eq!(publisher.push(outgoing("s.a", number)), number));
    let mut expected = 1;
    while expected <= 2_000 {
        tokio::select! {
            biased;
            outcome = publisher.next() => {
                assert!(matches!(outcome, Outcome::Stored { number, .. } if number == expected), "{outcome:?}");
                expected += 1;
            }
            () = tokio::task::yield_now() => {}
        }
    }
    let in_order: Vec<_> = (1..=2_000).map(|number| number.to_string()).collect();
    assert_eq!(bench.payloads().await, in_order);
}

/// Measures; run with `--release -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn speed() {
    use async_nats::jetstream::stream::StorageType;
    let server = NatsServer::start();
    let bench = Bench::new(&server.url(), &[]).await;
    bench.stream(Config { storage: StorageType::Memory, max_bytes: 100 << 20, ..stream() }).await;
    let mut publisher = bench.publisher_with(PublisherConfig { in_flight: 4_096, ..config() });
    let payload = bytes::Bytes::from(vec![b'x'; 200]);
    for _ in 0..3 {
        let (mut pushed, mut stored, start) = (0, 0, std::time::Instant::now());
        while stored < 300_000 {
            while pushed < 300_000 && publisher.has_room() {
                publisher.push(Outgoing { payload: payload.clone(), ..outgoing("s.a", "") });
                pushed += 1;
            }
            next_stored(&mut publisher).await;
            stored += 1;
        }
        eprintln!("{:.0} messages per second", 300_000.0 / start.elapsed().as_secs_f64());
    }
}
