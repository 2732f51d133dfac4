//! What several processes say to each other: a log that all of them read in the same order, and who is present.
//!
//! The log is a JetStream stream `eventflux-bus-NAME` (subject `eventflux.bus.NAME`), presence a key-value bucket
//! `eventflux-presence-NAME`. Each process reads the whole log that the stream keeps when it begins, and then what comes.

mod feed;
mod follow;
mod health;
mod log;
mod order;
mod presence;
mod pull;
mod run;
mod shared;
mod teller;

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::{BoxFuture, EventFluxError, runtime};
use tokio::sync::watch;
use tokio::time::Instant;

use self::presence::Presence;
use self::run::{Run, Stop};
use self::shared::Shared;
use crate::{ConnectionConfig, Observer};

/// How long the server knows an entry's id, to store it once when it has to be sent again.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// Longest time for stopping.
const MAX_STOP: Duration = Duration::from_secs(24 * 3600);

/// Which part of the time for stopping is left for saying goodbye to the server.
const GOODBYE: u32 = 10;

/// How a bus behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusConfig {
    /// How to reach NATS.
    pub connection: ConnectionConfig,
    /// Which bus: processes with the same name and the same NATS account share it. Letters, digits, `-` and `_`.
    pub name: String,
    /// In memory instead of files, when the stream is created.
    pub memory: bool,
    /// Servers that keep it, when it is created.
    pub replicas: usize,
    /// Size of the stream in bytes, when it is created.
    pub max_bytes: u64,
    /// Age at which entries are removed, when it is created.
    pub max_age: Duration,
    /// Most entries that were sent and are not confirmed.
    pub in_flight: usize,
    /// Bytes that may wait to be sent before [`Bus::is_ready`] says no.
    pub queue_bytes: usize,
    /// How long others believe that somebody is present whom nobody confirms; `None`: presence is not kept.
    pub presence: Option<Duration>,
}

/// What a process learns from a bus. Called from one task, one call at a time.
pub trait Listener: Send + Sync {
    /// The log begins, or was replaced by another one: what is known of one of another epoch is of no use any more.
    /// `epoch` is the same for everybody, and another one for each log: a text of at most 16 letters and digits. Entries
    /// up to number `before` are gone, or never were. Called again with the same epoch after a time in which entries were
    /// removed that this process has not read: those up to `before` are gone.
    fn begin(&self, epoch: &str, before: u64);

    /// An entry, in order: numbers grow. Everybody gets the same, also whoever published it.
    fn entry(&self, sequence: u64, payload: &Bytes);

    /// Everything that was there at the beginning has been handed over: from now on entries are new. Once for each epoch.
    fn caught_up(&self);

    /// Entry number `number` ([`Bus::publish`]) is in the log.
    fn stored(&self, number: u64);

    /// Entry number `number` is not in the log, and will not be.
    fn failed(&self, number: u64, error: EventFluxError);

    /// What another process says of `key` ([`Bus::set_present`]); `None`: nothing any more.
    fn present(&self, key: &str, instance: &str, value: Option<&Bytes>);
}

/// A process at a bus; started. Dropping it ends it at once.
pub struct Bus {
    instance: String,
    shared: Arc<Shared>,
    presence: Option<Arc<Presence>>,
    stop: watch::Sender<Stop>,
    /// Ends when everything has ended.
    done: Mutex<mpsc::Receiver<()>>,
}

impl Bus {
    /// Begins to connect, on the shared runtime. NATS that cannot be reached is no error when the connection tries again.
    /// The observer shows `connected` when the log can be read and written, `reconnecting` with the reason while it cannot,
    /// and `failed` when the bus has ended by itself.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for a name that cannot be one, and when there is no runtime.
    pub fn start(
        config: BusConfig,
        observer: Observer,
        listener: Arc<dyn Listener>,
    ) -> Result<Arc<Self>, EventFluxError> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if config.name.is_empty() || !config.name.chars().all(is_name) {
            let reason = "the name of a bus has letters, digits, '-' and '_', and at least one of them";
            return Err(EventFluxError::configuration(reason));
        }
        let instance = uuid::Uuid::new_v4().simple().to_string();
        let shared = Arc::new(Shared::new(config.queue_bytes));
        let presence = config.presence.map(|ttl| Presence::new(&observer.stream, ttl));
        let (stop, asked) = watch::channel(Stop::No);
        let (finished, done) = mpsc::channel();
        let run = Run {
            instance: instance.clone(),
            shared: shared.clone(),
            presence: presence.clone(),
            stop: asked,
            config,
            observer,
        };
        runtime::shared()?.spawn(async move {
            run.run(listener).await;
            drop(finished);
        });
        Ok(Arc::new(Self { instance, shared, presence, stop, done: Mutex::new(done) }))
    }

    /// This process, as the others see it: a name that nobody else has.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Takes an entry; returns its number, counted from 1. Everybody reads the entries of one process in their order.
    ///
    /// # Errors
    /// [`EventFluxError::Stopped`], [`EventFluxError::ConnectionUnavailable`] after giving up, [`EventFluxError::Panic`]
    /// after a panic of the listener.
    pub fn publish(&self, payload: Bytes) -> Result<u64, EventFluxError> {
        self.shared.push(payload)
    }

    /// Whether it can take more now.
    pub fn is_ready(&self) -> bool {
        self.shared.is_ready()
    }

    /// Resolves when it can take more, has given up, or is stopped.
    pub fn ready(&self) -> BoxFuture<'static, ()> {
        self.shared.ready()
    }

    /// Resolves when the outcome of everything that was taken before this call is known, and the listener was told.
    ///
    /// # Errors
    /// [`EventFluxError::Stopped`]
    pub fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        self.shared.settled()
    }

    /// Bytes that wait to be sent or confirmed.
    pub fn queue_bytes(&self) -> u64 {
        self.shared.bytes()
    }

    /// Says something of `key` to the others, or nothing any more; it is repeated in time, and forgotten by them when it
    /// is not. Changes of one key that follow each other quickly are sent once.
    ///
    /// Does nothing but warn for more than 100,000 keys and for keys of more than 1 KiB; of values of more than 256 KiB
    /// nothing is said. Does nothing where presence is not kept.
    pub fn set_present(&self, key: &str, value: Option<Bytes>) {
        if let Some(presence) = &self.presence {
            presence.set(key, value);
        }
    }

    /// Sends what was taken, takes back what was said to be present, and ends; returns within `deadline`, with the number
    /// of entries of which the outcome is not known.
    pub fn stop(&self, deadline: Duration) -> u64 {
        self.shared.end(EventFluxError::Stopped);
        let deadline = deadline.min(MAX_STOP);
        let ended = Instant::now() + deadline;
        let by = Stop::By { drained: ended - deadline / GOODBYE, ended };
        self.stop.send_if_modified(|stop| {
            let first = matches!(stop, Stop::No);
            if first {
                *stop = by;
            }
            first
        });
        // An error means that it is over, or that the time is.
        let _ = self.done.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(deadline);
        let unknown = self.shared.unsettled();
        unknown.end().saturating_add(1).saturating_sub(*unknown.start())
    }
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").field("instance", &self.instance).finish_non_exhaustive()
    }
}
