//! The log: the stream of a bus, read in order by everybody from its beginning.

mod position;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::stream::{Info, RawMessageErrorKind, Stream};
use async_nats::{HeaderMap, jetstream};
use eventflux_core::metrics::Counter;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use self::position::{Arrival, Described, Position, Turn};
use super::follow::Reader;
use super::order::Order;
use super::pull::{Lost, Pulled, Puller};
use super::teller::Told;
use super::{BusConfig, DUPLICATE_WINDOW};
use crate::stream::{Creation, Retention};
use crate::{Connection, Observer, StreamConfig};

const GONE: &str = "eventflux_nats_bus_gone_total";

/// How long a server must go on saying that it has lost what was read before it is believed: one that has just become the
/// leader of a cluster may have yet to learn of it.
const DOUBT: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Log {
    name: String,
    jetstream: jetstream::Context,
    stream: StreamConfig,
    of: String,
    /// Whether the stream was compared with what is said of it.
    known: bool,
    position: Position,
    order: Order,
    tell: mpsc::Sender<Vec<Told>>,
    /// Set once the stream is there.
    there: watch::Sender<bool>,
    gone: Counter,
}

/// The stream of a bus.
pub(super) fn stream_config(config: &BusConfig) -> StreamConfig {
    let creation = Creation {
        subjects: vec![subject(config)],
        memory: config.memory,
        replicas: config.replicas,
        retention: Retention::Limits,
        max_age: Some(config.max_age),
        max_bytes: Some(config.max_bytes),
        max_messages: None,
        discard_new: false,
        duplicate_window: DUPLICATE_WINDOW.min(config.max_age),
    };
    StreamConfig { name: format!("eventflux-bus-{}", config.name), create: Some(creation) }
}

/// Where entries are published.
pub(super) fn subject(config: &BusConfig) -> String {
    format!("eventflux.bus.{}", config.name)
}

impl Log {
    pub(super) fn new(
        config: &BusConfig,
        connection: &Connection,
        observer: &Observer,
        tell: mpsc::Sender<Vec<Told>>,
        there: watch::Sender<bool>,
    ) -> Self {
        let stream = stream_config(config);
        let labels = [("stream", &*observer.stream), ("type", &*observer.connector)];
        observer.registry.describe(GONE, "Entries of a bus that its stream removed before they were read.");
        Self {
            name: format!("stream {}", stream.name),
            jetstream: connection.jetstream(),
            stream,
            of: observer.stream.clone(),
            known: false,
            position: Position::default(),
            order: Order::default(),
            tell,
            there,
            gone: observer.registry.counter(GONE, &labels),
        }
    }

    async fn find(&mut self) -> Result<Stream, Lost> {
        if self.known
            && let Ok(stream) = self.jetstream.get_stream(&self.stream.name).await
        {
            return Ok(stream);
        }
        let stream = self.stream.ensure(&self.jetstream, &self.of).await.map_err(Lost::from_error)?;
        self.known = true;
        Ok(stream)
    }

    /// The stream, which has what was read here, or whose numbers go on behind it.
    async fn find_whole(&mut self) -> Result<Stream, Lost> {
        let stream = self.find().await?;
        if self.rewound(&stream).await?.is_none() {
            return Ok(stream);
        }
        sleep(DOUBT).await;
        let stream = self.find().await?;
        match self.rewound(&stream).await? {
            Some(next) => self.skip(&stream, next).await,
            None => Ok(stream),
        }
    }

    /// From which number it has to go on when it has lost entries that were read.
    async fn rewound(&self, stream: &Stream) -> Result<Option<u64>, Lost> {
        let log = describe(stream.cached_info())?;
        let print = match self.position.witness(&log) {
            None => None,
            Some(sequence) => match stream.get_raw_message(sequence).await {
                Ok(entry) => Some(print(Some(&entry.headers), &entry.payload)),
                // Somebody has removed it, and it says nothing any more.
                Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => None,
                Err(error) => {
                    let subject = format!("$JS.API.STREAM.MSG.GET.{}", self.stream.name);
                    return Err(Lost(format!(
                        "entry {sequence}, the last that was read, cannot be asked for ({subject}): {error}"
                    )));
                }
            },
        };
        Ok(self.position.rewound(&log, print))
    }

    /// Numbers that were handed over must not stand for other entries: the stream goes on behind them. What it holds is
    /// removed, because those who have read further would never see what it has taken since, and because everybody,
    /// whoever has read which of them, is to find that entries are gone.
    async fn skip(&self, stream: &Stream, next: u64) -> Result<Stream, Lost> {
        log::error!(
            "[{}] {} has lost entries that were read; its numbers go on from {next}, and what it holds is removed",
            self.of,
            self.name
        );
        stream.purge().sequence(next).await.map_err(Lost::from_error)?;
        self.jetstream.get_stream(&self.stream.name).await.map_err(Lost::from_error)
    }

    /// Compares the position with what is there: what is to be told of that.
    fn attach(&mut self, log: Described) -> Result<Vec<Told>, Lost> {
        let next = self.position.next();
        match self.position.attach(log) {
            Turn::Continue => Ok(Vec::new()),
            Turn::Rewound => Err(Lost("it loses entries".to_owned())),
            Turn::Begin { fresh, before } => {
                if !fresh {
                    self.gone.add(before + 1 - next);
                }
                self.order.forget();
                Ok(vec![self.begin(before)])
            }
        }
    }

    fn digest(&mut self, pulled: Vec<Pulled>, drained: bool) -> Vec<Told> {
        let mut told = Vec::with_capacity(pulled.len() + 1);
        if let Some(last) = pulled.last() {
            self.position.note(last.sequence, print(last.headers.as_ref(), &last.payload));
        }
        for entry in pulled {
            let next = self.position.next();
            match self.position.arrive(entry.sequence) {
                Arrival::Known => continue,
                Arrival::Next => {}
                Arrival::Gap { before } => {
                    self.gone.add(before + 1 - next);
                    self.order.forget();
                    told.push(self.begin(before));
                }
            }
            let id = entry.headers.as_ref().and_then(|headers| headers.get(NATS_MESSAGE_ID));
            if id.is_none_or(|id| self.order.accepts(id.as_str())) {
                told.push(Told::Entry(entry.sequence, entry.payload));
            }
            if self.position.catches_up(false) {
                told.push(Told::CaughtUp);
            }
        }
        if self.position.catches_up(drained) {
            told.push(Told::CaughtUp);
        }
        told
    }

    fn begin(&self, before: u64) -> Told {
        Told::Begin(self.position.epoch().to_owned(), before)
    }
}

impl Reader for Log {
    fn name(&self) -> &str {
        &self.name
    }

    async fn open(&mut self) -> Result<Puller, Lost> {
        let stream = self.find_whole().await?;
        // Nothing is awaited between a change of the position and telling of it: this may be dropped at any time.
        let permit = self.tell.clone().reserve_owned().await.map_err(Lost::from_error)?;
        permit.send(self.attach(describe(stream.cached_info())?)?);
        let from = DeliverPolicy::ByStartSequence { start_sequence: self.position.next() };
        let puller = Puller::open(self.jetstream.clone(), &stream, from, String::new()).await?;
        self.there.send_replace(true);
        let permit = self.tell.clone().reserve_owned().await.map_err(Lost::from_error)?;
        permit.send(self.digest(Vec::new(), puller.is_drained()));
        Ok(puller)
    }

    async fn read(&mut self, puller: &mut Puller) -> Result<(), Lost> {
        let permit = self.tell.clone().reserve_owned().await.map_err(Lost::from_error)?;
        let pulled = puller.next().await?;
        permit.send(self.digest(pulled, puller.is_drained()));
        Ok(())
    }
}

/// When a stream was created is the same for everybody, and another time for each stream of this name. `None`: the server is
/// still at it, and says that it was in the year 1.
pub(super) fn epoch(info: &Info) -> Option<String> {
    let nanoseconds = info.created.unix_timestamp_nanos();
    (nanoseconds > 0).then(|| format!("{nanoseconds:x}"))
}

/// What tells an entry from others: its id, and what it says.
fn print(headers: Option<&HeaderMap>, payload: &[u8]) -> u64 {
    let id = headers.and_then(|headers| headers.get(NATS_MESSAGE_ID)).map(|id| id.as_str());
    let mut hasher = DefaultHasher::new();
    (id, payload).hash(&mut hasher);
    hasher.finish()
}

fn describe(info: &Info) -> Result<Described, Lost> {
    let epoch = epoch(info).ok_or_else(|| Lost("it is being created".to_owned()))?;
    Ok(Described { epoch, first: info.state.first_sequence, last: info.state.last_sequence })
}
