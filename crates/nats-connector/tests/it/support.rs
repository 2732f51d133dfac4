//! A nats-server behind a proxy, a client of it, and sources and sinks under test with everything around them that
//! records.

use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use async_nats::{Client, HeaderMap, Message, StatusCode};
use bytes::Bytes;
use eventflux_core::health::ConnectionState;
use eventflux_core::metrics::Metrics;
use eventflux_core::{
    BoundMetadata, ConnectorContext, ConnectorRole, EncodedBatch, EventFluxContext, EventFluxError, PayloadWriter,
    Properties, Sink, Source, ValueRef,
};
use eventflux_nats_connector::METADATA;
use eventflux_testkit::contract::{OnDelivery, Peer, SinkPeer, SinkRecorder, SourcePeer, SourceRecorder};
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::proxy::{ChaosProxy, Direction};
use eventflux_testkit::wait::eventually_blocking;
use futures_util::StreamExt;
use tokio::runtime::Runtime;

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// What "at once" means.
pub(crate) const PROMPTLY: Duration = Duration::from_secs(1);

/// Quick reconnects, so that tests need not wait.
pub(crate) const QUICK: [(&str, &str); 2] = [("nats.reconnect.delay.ms", "10"), ("nats.reconnect.max.delay.ms", "20")];

/// Runs a future on the runtime of the tests' own clients.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    runtime().block_on(future)
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
}

/// A client of the test's own, connected to the server directly.
#[derive(Debug, Clone)]
pub(crate) struct TestClient(pub(crate) Client);

impl TestClient {
    pub(crate) fn connect(server: &NatsServer) -> Self {
        Self(block_on(async_nats::connect(server.url())).unwrap())
    }

    /// The same with a user.
    pub(crate) fn connect_as(server: &NatsServer, user: &str, password: &str) -> Self {
        let options = async_nats::ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
        Self(block_on(options.connect(server.url())).unwrap())
    }

    /// Publishes, and returns when the server has it.
    pub(crate) fn publish(&self, subject: &str, payload: impl Into<Bytes>) {
        block_on(self.0.publish(subject.to_owned(), payload.into())).unwrap();
        self.flush();
    }

    pub(crate) fn publish_with_headers(&self, subject: &str, headers: HeaderMap, payload: impl Into<Bytes>) {
        block_on(self.0.publish_with_headers(subject.to_owned(), headers, payload.into())).unwrap();
        self.flush();
    }

    /// Records what comes at that subject from now on.
    pub(crate) fn subscribe(&self, subject: &str) -> Recording {
        let mut subscriber = block_on(self.0.subscribe(subject.to_owned())).unwrap();
        self.flush();
        let messages = Arc::<Mutex<Vec<Message>>>::default();
        let recorded = messages.clone();
        runtime().spawn(async move {
            while let Some(message) = subscriber.next().await {
                recorded.lock().unwrap().push(message);
            }
        });
        Recording(messages)
    }

    /// Answers every request at that subject, from now on; `None` leaves it unanswered.
    pub(crate) fn serve(&self, subject: &str, answer: impl Fn(&Message) -> Option<Bytes> + Send + Sync + 'static) {
        let mut subscriber = block_on(self.0.subscribe(subject.to_owned())).unwrap();
        self.flush();
        let client = self.0.clone();
        runtime().spawn(async move {
            while let Some(request) = subscriber.next().await {
                if let (Some(reply), Some(payload)) = (request.reply.clone(), answer(&request)) {
                    client.publish(reply, payload).await.unwrap();
                }
            }
        });
    }

    /// Returns when the server has worked on everything that was sent before.
    pub(crate) fn flush(&self) {
        block_on(async {
            let inbox = self.0.new_inbox();
            let mut own = self.0.subscribe(inbox.clone()).await.unwrap();
            self.0.publish(inbox, Bytes::new()).await.unwrap();
            tokio::time::timeout(DEADLINE, own.next()).await.expect("an answer of the server").unwrap();
        });
    }

    /// Publishes and says whether anybody had subscribed to it; if not, it is as if it had not been published.
    pub(crate) fn publish_if_heard(&self, subject: &str, payload: impl Into<Bytes>) -> bool {
        block_on(async {
            let inbox = self.0.new_inbox();
            let mut own = self.0.subscribe(format!("{inbox}.*")).await.unwrap();
            self.0.publish_with_reply(subject.to_owned(), format!("{inbox}.heard"), payload.into()).await.unwrap();
            self.0.publish(format!("{inbox}.end"), Bytes::new()).await.unwrap();
            loop {
                let answer = tokio::time::timeout(DEADLINE, own.next()).await.expect("an answer").unwrap();
                if answer.subject.ends_with(".end") {
                    return true;
                }
                if answer.status == Some(StatusCode::NO_RESPONDERS) {
                    return false;
                }
            }
        })
    }
}

/// What came at a subject.
#[derive(Debug, Clone)]
pub(crate) struct Recording(Arc<Mutex<Vec<Message>>>);

impl Recording {
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.messages().iter().map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Message> {
        eventually_blocking(DEADLINE, || self.count() >= count);
        self.messages()
    }
}

/// The other end of a source or a sink: a nats-server, behind a proxy that makes its network as bad as the test wants it.
#[derive(Debug)]
pub(crate) struct NatsPeer {
    pub(crate) server: NatsServer,
    pub(crate) proxy: ChaosProxy,
    pub(crate) client: TestClient,
    pub(crate) recording: Recording,
    more: Vec<(String, String)>,
}

/// Where the contract suite sends to sources.
pub(crate) const IN: &str = "contract.in";

/// Where sinks publish to in the contract suite.
pub(crate) const OUT: &str = "contract.out";

impl NatsPeer {
    /// A fresh one. `more`: properties besides those of the connection.
    pub(crate) fn start(more: &[(&str, &str)]) -> Self {
        Self::start_with("", more)
    }

    /// The same with more in the server's configuration file.
    pub(crate) fn start_with(config: &str, more: &[(&str, &str)]) -> Self {
        let server = NatsServer::start_with(config);
        let proxy = ChaosProxy::start(server.address());
        let client = TestClient::connect(&server);
        let recording = client.subscribe(OUT);
        let more = more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self { server, proxy, client, recording, more }
    }

    /// The URL that goes through the proxy.
    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.proxy.address())
    }

    fn with_delay(&self, delay: &str) -> Vec<(String, String)> {
        let own =
            [("nats.url", &*self.url()), ("nats.reconnect.delay.ms", delay), ("nats.reconnect.max.delay.ms", delay)];
        let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
        own.into_iter().chain(self.more.iter().cloned()).collect()
    }

    /// Waits until nothing more comes through the proxy.
    fn wait_until_quiet(&self) {
        const QUIET: Duration = Duration::from_millis(50);
        let (mut seen, mut since) = (self.proxy.traffic(), Instant::now());
        eventually_blocking(DEADLINE, || {
            let now = self.proxy.traffic();
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
            since.elapsed() >= QUIET
        });
    }
}

impl Peer for NatsPeer {
    fn properties(&self) -> Vec<(String, String)> {
        self.with_delay("10")
    }

    fn slow_reconnect_properties(&self) -> Vec<(String, String)> {
        // The pause is random up to this: a day makes less than a minute unlikely.
        self.with_delay("86400000")
    }

    fn connections(&self) -> usize {
        let traffic = self.proxy.traffic();
        (traffic.connections - traffic.upstream_failures) as usize
    }

    fn cut(&self) {
        self.proxy.reset();
    }

    fn refuse(&self) {
        self.proxy.refuse().blocking();
    }

    fn ignore(&self) {
        self.proxy.stop_accepting().blocking();
    }

    fn accept(&self) {
        self.proxy.resume().blocking();
    }
}

impl SourcePeer for NatsPeer {
    fn send(&self, messages: &[Vec<u8>]) {
        let Some((first, rest)) = messages.split_first() else { return };
        let started = Instant::now();
        // What nobody has subscribed to is gone; one that has stopped never will.
        while !self.client.publish_if_heard(IN, first.clone()) && started.elapsed() < DEADLINE / 2 {
            std::thread::sleep(eventflux_testkit::wait::POLL_INTERVAL);
        }
        block_on(async {
            for message in rest {
                self.client.0.publish(IN, message.clone().into()).await.unwrap();
            }
        });
        self.client.flush();
    }

    fn close(&self) {
        // Behind what was sent.
        self.wait_until_quiet();
        self.proxy.half_close(Direction::ToClient);
    }
}

impl SinkPeer for NatsPeer {
    fn received(&self) -> Vec<Vec<u8>> {
        self.recording.messages().iter().map(|message| message.payload.to_vec()).collect()
    }

    fn received_count(&self) -> usize {
        self.recording.count()
    }

    fn pause(&self) {
        // A confirmation that is on its way belongs to what was received.
        self.wait_until_quiet();
        self.proxy.freeze();
    }

    fn resume(&self) {
        self.proxy.resume().blocking();
    }
}

/// The registry a program would have; its sources and sinks share exchanges.
pub(crate) struct Registry(EventFluxContext);

/// A source with its recorder.
pub(crate) struct TestSource {
    pub(crate) source: Box<dyn Source>,
    pub(crate) recorder: Arc<SourceRecorder>,
    pub(crate) context: ConnectorContext,
}

/// A sink with its recorder.
pub(crate) struct TestSink {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) recorder: Arc<SinkRecorder>,
    pub(crate) context: ConnectorContext,
    pub(crate) properties: Properties,
}

impl Registry {
    pub(crate) fn new() -> Self {
        let mut context = EventFluxContext::new();
        eventflux_nats_connector::register(&mut context);
        Self(context)
    }

    /// A source that is not started, with all metadata bound, and these headers.
    pub(crate) fn source(&self, raw: &[(&str, &str)], headers: &[&str]) -> TestSource {
        let factory = self.0.source_factory("nats").unwrap();
        let properties = Properties::from_pairs(factory.properties(), raw.iter().copied()).unwrap();
        let names = headers.iter().map(|name| (*name).to_owned());
        let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Source, "In", "nats")
            .with_metadata(BoundMetadata::all(METADATA).with_named(METADATA, names));
        TestSource {
            source: factory.create_initialized(&properties, &context).unwrap(),
            recorder: Arc::new(SourceRecorder::new(OnDelivery::Take)),
            context,
        }
    }

    /// A sink that is not started.
    pub(crate) fn sink(&self, raw: &[(&str, &str)]) -> TestSink {
        let factory = self.0.sink_factory("nats").unwrap();
        let properties = Properties::from_pairs(factory.properties(), raw.iter().copied()).unwrap();
        let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Sink, "Out", "nats");
        TestSink {
            sink: factory.create_initialized(&properties, &context).unwrap(),
            recorder: Arc::new(SinkRecorder::new()),
            context,
            properties,
        }
    }
}

/// A started source that connects to `url`, with quick reconnects and all metadata bound.
pub(crate) fn source(url: &str, raw: &[(&str, &str)]) -> TestSource {
    let mut source = Registry::new().source(&[&[("nats.url", url)], &QUICK[..], raw].concat(), &[]);
    source.start().unwrap();
    source
}

/// A started sink that connects to `url`, with quick reconnects.
pub(crate) fn sink(url: &str, raw: &[(&str, &str)]) -> TestSink {
    let sink = Registry::new().sink(&[&[("nats.url", url)], &QUICK[..], raw].concat());
    sink.start().unwrap();
    sink
}

/// A batch of payloads.
pub(crate) fn batch<T: AsRef<[u8]>>(payloads: impl IntoIterator<Item = T>) -> EncodedBatch {
    let mut writer = PayloadWriter::default();
    for (index, payload) in payloads.into_iter().enumerate() {
        writer.buffer().extend_from_slice(payload.as_ref());
        writer.finish(index as u64);
    }
    writer.take()
}

impl TestSource {
    pub(crate) fn start(&mut self) -> Result<(), EventFluxError> {
        self.source.start(self.recorder.clone())
    }

    #[track_caller]
    pub(crate) fn wait_for_state(&self, state: ConnectionState) {
        let health = self.context.health.clone();
        eventually_blocking(DEADLINE, || health.current().state == state);
    }

    /// Waits for that many messages; returns all there are.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Vec<String> {
        eventually_blocking(DEADLINE, || self.recorder.count() >= count);
        self.texts()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        let messages = self.recorder.messages();
        messages.iter().map(|message| String::from_utf8_lossy(message).into_owned()).collect()
    }

    /// The value of a field, or of a header that is bound, of message number `message`, as text; `None` for `NULL`.
    #[track_caller]
    pub(crate) fn metadata(&self, message: usize, field: &str) -> Option<String> {
        let named = self.context.metadata.named().iter().find(|(_, name)| *name == field).map(|(number, _)| *number);
        let number = named.or_else(|| METADATA.iter().position(|spec| spec.name == field)).expect("a field");
        let metadata = self.recorder.metadata()[message].clone().expect("metadata");
        match metadata.value(number) {
            ValueRef::Null => None,
            ValueRef::String(text) => Some(text.to_owned()),
            other => Some(format!("{other:?}")),
        }
    }
}

impl TestSink {
    pub(crate) fn start(&self) -> Result<(), EventFluxError> {
        self.sink.start(self.recorder.clone())
    }

    #[track_caller]
    pub(crate) fn wait_for_state(&self, state: ConnectionState) {
        let health = self.context.health.clone();
        eventually_blocking(DEADLINE, || health.current().state == state);
    }

    /// Publishes payloads, each with the texts of the sink's templates, by key.
    pub(crate) fn publish(&self, rows: &[(&str, &[(&str, &str)])]) -> Result<(), eventflux_core::RowFailure> {
        let mut batch = batch(rows.iter().map(|(payload, _)| payload));
        for (key, template) in self.properties.row_templates() {
            let text = |(_, texts): &(&str, &[(&str, &str)])| {
                texts.iter().find(|(known, _)| *known == key).map_or("", |(_, text)| *text).to_owned()
            };
            batch = batch.with_texts(&template, rows.iter().map(text).collect());
        }
        self.sink.publish_batch(&batch)
    }

    /// Waits until everything that was published is settled.
    #[track_caller]
    pub(crate) fn settle(&self) -> Result<(), EventFluxError> {
        let settled = self.sink.settled();
        block_on(async { tokio::time::timeout(DEADLINE, settled).await.expect("settled in time") })
    }
}

/// The sum of a counter over all its labels; or of those with this label only.
pub(crate) fn counted(context: &ConnectorContext, name: &str, label: Option<(&'static str, &str)>) -> u64 {
    let is_meant = |labels: &eventflux_core::metrics::Labels| {
        label.is_none_or(|(key, value)| labels.iter().any(|(known, text)| *known == key && text == value))
    };
    let samples = context.registry.samples();
    samples.iter().filter(|sample| sample.name == name && is_meant(&sample.labels)).map(|sample| sample.value).sum()
}
