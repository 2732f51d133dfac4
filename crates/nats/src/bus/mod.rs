//! What several processes say to each other: a log that all of them read in the same order, and who is present.
//!
//! The log is a JetStream stream `eventflux-bus-NAME` (subject `eventflux.bus.NAME`), presence a key-value bucket
//! `eventflux-presence-NAME`. Each process reads the whole log that the stream keeps when it begins, and then what comes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::{BoxFuture, EventFluxError};

use crate::{ConnectionConfig, Observer};

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

    /// Everything that was there at the beginning has been handed over: from now on entries are new.
    fn caught_up(&self);

    /// Entry number `number` ([`Bus::publish`]) is in the log.
    fn stored(&self, number: u64);

    /// Entry number `number` is not in the log, and will not be.
    fn failed(&self, number: u64, error: EventFluxError);

    /// What another process says of `key` ([`Bus::set_present`]); `None`: nothing any more.
    fn present(&self, key: &str, instance: &str, value: Option<&Bytes>);
}

/// A process at a bus; started.
pub struct Bus {
    instance: String,
}

impl Bus {
    /// Begins to connect, on the shared runtime. NATS that cannot be reached is no error when the connection tries again.
    ///
    /// # Errors
    /// When there is no runtime.
    pub fn start(
        config: BusConfig,
        observer: Observer,
        listener: Arc<dyn Listener>,
    ) -> Result<Arc<Self>, EventFluxError> {
        let _ = (config, observer, listener);
        todo!("bus helper")
    }

    /// This process, as the others see it: a name that nobody else has.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Takes an entry; returns its number, counted from 1. Entries of one process are in the log in their order.
    ///
    /// # Errors
    /// [`EventFluxError::Stopped`], [`EventFluxError::ConnectionUnavailable`] after giving up.
    pub fn publish(&self, payload: Bytes) -> Result<u64, EventFluxError> {
        let _ = payload;
        todo!("bus helper")
    }

    /// Whether it can take more now.
    pub fn is_ready(&self) -> bool {
        todo!("bus helper")
    }

    /// Resolves when it can take more, has given up, or is stopped.
    pub fn ready(&self) -> BoxFuture<'static, ()> {
        todo!("bus helper")
    }

    /// Resolves when the outcome of everything that was taken before this call is known.
    ///
    /// # Errors
    /// [`EventFluxError::Stopped`]
    pub fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        todo!("bus helper")
    }

    /// Bytes that wait to be sent or confirmed.
    pub fn queue_bytes(&self) -> u64 {
        todo!("bus helper")
    }

    /// Says something of `key` to the others, or nothing any more; it is repeated in time, and forgotten by them when it
    /// is not. Changes of one key that follow each other quickly are sent once.
    pub fn set_present(&self, key: &str, value: Option<Bytes>) {
        let _ = (key, value);
        todo!("bus helper")
    }

    /// Sends what was taken, takes back what was said to be present, and ends; returns within `deadline`, with the number
    /// of entries of which the outcome is not known.
    pub fn stop(&self, deadline: Duration) -> u64 {
        let _ = deadline;
        todo!("bus helper")
    }
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").field("instance", &self.instance).finish_non_exhaustive()
    }
}
