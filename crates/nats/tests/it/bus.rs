//! Processes at a bus, each with a listener that writes down what it is told.

mod gone;
mod log;
mod presence;
mod speed;
mod trouble;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_nats::jetstream;
use bytes::Bytes;
use eventflux_core::metrics::Metrics;
use eventflux_core::{ConnectorContext, ConnectorRole, EventFluxError, Properties};
use eventflux_nats::bus::{Bus, BusConfig, Listener};
use eventflux_nats::properties::CONNECTION;
use eventflux_nats::{ConnectionConfig, Observer};
use eventflux_testkit::wait::eventually;

const SOON: Duration = Duration::from_secs(30);
const STREAM: &str = "eventflux-bus-test";

/// What a listener was told of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Begin(String, u64),
    Entry(u64, String),
    CaughtUp,
}

#[derive(Debug, Default)]
struct Book {
    lines: Vec<Line>,
    stored: Vec<u64>,
    failed: Vec<(u64, EventFluxError)>,
    /// What others say: of what and by whom.
    present: BTreeMap<(String, String), String>,
    /// How often something of that changed.
    changes: usize,
}

#[derive(Debug, Default)]
struct Recorder {
    book: Mutex<Book>,
    /// Panics at the entry that says so.
    fuse: Option<&'static str>,
}

impl Recorder {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }
}

impl Listener for Recorder {
    fn begin(&self, epoch: &str, before: u64) {
        assert!(epoch.len() <= 16 && epoch.chars().all(|c| c.is_ascii_alphanumeric()), "{epoch}");
        self.book().lines.push(Line::Begin(epoch.to_owned(), before));
    }

    fn entry(&self, sequence: u64, payload: &Bytes) {
        let text = String::from_utf8_lossy(payload).into_owned();
        assert!(self.fuse != Some(&*text), "the fuse blows");
        self.book().lines.push(Line::Entry(sequence, text));
    }

    fn caught_up(&self) {
        self.book().lines.push(Line::CaughtUp);
    }

    fn stored(&self, number: u64) {
        self.book().stored.push(number);
    }

    fn failed(&self, number: u64, error: EventFluxError) {
        self.book().failed.push((number, error));
    }

    fn present(&self, key: &str, instance: &str, value: Option<&Bytes>) {
        let mut book = self.book();
        let id = (key.to_owned(), instance.to_owned());
        book.changes += 1;
        match value {
            Some(value) => drop(book.present.insert(id, String::from_utf8_lossy(value).into_owned())),
            None => drop(book.present.remove(&id)),
        }
    }
}

/// A process.
struct Member {
    bus: Arc<Bus>,
    seen: Arc<Recorder>,
    context: ConnectorContext,
}

fn config(url: &str) -> BusConfig {
    config_with(url, &[])
}

fn config_with(url: &str, more: &[(&str, &str)]) -> BusConfig {
    let quick = [("nats.url", url), ("nats.reconnect.delay.ms", "20"), ("nats.reconnect.max.delay.ms", "100")];
    let properties = Properties::from_pairs(CONNECTION, quick.into_iter().chain(more.iter().copied())).unwrap();
    BusConfig {
        connection: ConnectionConfig::from_properties(&properties).unwrap(),
        name: "test".to_owned(),
        memory: false,
        replicas: 1,
        max_bytes: 64 << 20,
        max_age: Duration::from_secs(3600),
        in_flight: 256,
        queue_bytes: 1 << 20,
        presence: None,
    }
}

impl Member {
    fn join(url: &str) -> Self {
        Self::join_with(config(url))
    }

    fn join_with(config: BusConfig) -> Self {
        Self::with_listener(config, Recorder::default())
    }

    fn with_listener(config: BusConfig, listener: Recorder) -> Self {
        let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Sink, "Trades", "websocket");
        let seen = Arc::new(listener);
        let bus = Bus::start(config, Observer::of(&context), seen.clone()).unwrap();
        Self { bus, seen, context }
    }

    fn say(&self, texts: impl IntoIterator<Item = impl Into<String>>) {
        for text in texts {
            self.bus.publish(Bytes::from(text.into())).unwrap();
        }
    }

    async fn caught_up(&self) {
        eventually(SOON, || self.seen.book().lines.contains(&Line::CaughtUp)).await;
    }

    fn lines(&self) -> Vec<Line> {
        self.seen.book().lines.clone()
    }

    fn entries(&self) -> Vec<(u64, String)> {
        let entry = |line| if let Line::Entry(sequence, text) = line { Some((sequence, text)) } else { None };
        self.lines().into_iter().filter_map(entry).collect()
    }

    fn texts(&self) -> Vec<String> {
        self.entries().into_iter().map(|(_, text)| text).collect()
    }

    fn begins(&self) -> Vec<(String, u64)> {
        let begin = |line| if let Line::Begin(epoch, before) = line { Some((epoch, before)) } else { None };
        self.lines().into_iter().filter_map(begin).collect()
    }

    /// Waits for so many entries.
    async fn has(&self, count: usize) {
        eventually(SOON, || self.entries().len() >= count).await;
    }

    fn detail(&self) -> String {
        self.context.health.current().detail.unwrap_or_default()
    }

    fn count(&self, name: &str) -> u64 {
        let samples = self.context.registry.samples();
        samples.iter().filter(|sample| sample.name == name).map(|sample| sample.value).sum()
    }
}

fn numbered(prefix: &str, range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|number| format!("{prefix}{number}")).collect()
}

/// Somebody who changes things behind the back of everybody.
async fn admin(url: &str) -> jetstream::Context {
    jetstream::new(async_nats::connect(url).await.unwrap())
}
