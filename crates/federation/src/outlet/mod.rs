//! One stream on its way out: what has been published and not yet been acknowledged, and who reads it.
//!
//! Publishing appends to a log and rings whoever reads; each link has a place in it. What every receiver has
//! acknowledged is forgotten, except for the history that can be replayed. With a [`Store`] the log in memory is a
//! cache, and nothing is sent before it is stored: after a restart its number would go to something else.

mod limits;
mod loads;
mod log;
mod reading;
mod receivers;
mod refused;
mod status;
mod store;
mod transfer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use eventflux_core::metrics::Counter;
use slab::Slab;

pub(crate) use self::log::Entered;
pub(crate) use self::reading::{Past, Read};
pub use self::status::{OutletStatus, ReceiverStatus};
pub use self::store::{Kept, Store, StoredPayloads};
pub use self::transfer::Transfer;

use self::loads::Loads;
use self::log::Log;
use self::receivers::Receivers;
use self::refused::Refusals;
use crate::Now;
use crate::envelope::Content;
use crate::signal::Signal;
use crate::wakers::Wakers;

/// What an outlet is for, and how much it keeps.
#[derive(Debug, Clone)]
pub struct OutletConfig {
    /// Name of the stream, as receivers see it.
    pub stream: String,
    /// What its payloads are.
    pub content: Content,
    /// Bytes of payloads kept in memory that a receiver has not acknowledged, or that are not stored yet.
    pub queue_bytes: usize,
    /// What happens when there is no room for more.
    pub full: FullPolicy,
    /// What is kept besides, for replays.
    pub history: History,
    /// Receivers that are waited for; further ones are refused.
    pub max_receivers: usize,
    /// A receiver that has been away for so long is not waited for any longer.
    pub forget_after: Duration,
    /// Whether a receiver is waited for that has yet to come the first time.
    pub expects_receiver: bool,
}

/// What happens to events that find no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FullPolicy {
    /// The pipeline waits.
    #[default]
    Block,
    /// The oldest make room; receivers that had not got them are told of a gap.
    DropOldest,
    /// They are dropped.
    DropNewest,
}

/// What is kept for replays, whichever limit is reached first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct History {
    /// Events.
    pub events: u64,
    /// Bytes of payloads.
    pub bytes: usize,
    /// Since they were published.
    pub age: Duration,
}

/// What an outlet counts.
#[derive(Debug, Clone, Default)]
pub struct OutletCounters {
    /// Events that a receiver was waited for, and that were dropped for want of room.
    pub dropped: Counter,
    /// Events that were published and forgotten before any receiver had come.
    pub unheard: Counter,
    /// Events that were too large for a receiver and were passed over, for each receiver.
    pub too_large: Counter,
}

/// See the module.
#[derive(Debug)]
pub struct Outlet {
    config: OutletConfig,
    counters: OutletCounters,
    state: Mutex<State>,
    /// Woken when there may be room.
    room: Wakers,
    /// Woken when something is stored or acknowledged.
    settled: Wakers,
    published: AtomicU64,
    refusals: Refusals,
}

#[derive(Debug)]
struct State {
    epoch: u64,
    log: Log,
    /// The oldest payload there is, in memory or in the store.
    first: u64,
    /// When something last happened.
    now_ms: u64,
    receivers: Receivers,
    readers: Slab<Reader>,
    store: Option<Stored>,
    /// Nothing is read any more.
    paused: bool,
    /// Publishes nothing any more.
    closed: bool,
}

#[derive(Debug)]
struct Stored {
    store: Arc<dyn Store>,
    /// Everything before is safe.
    next: u64,
    /// The oldest are to make room, and have not yet.
    makes_room: bool,
    loads: Loads,
}

/// A link's place.
#[derive(Debug)]
struct Reader {
    signal: Arc<Signal>,
    /// What it reads next.
    cursor: u64,
    /// Its receiver wants the stream.
    reads: bool,
    /// Its receiver acknowledges.
    named: Option<String>,
}

impl Outlet {
    /// An outlet that keeps everything in memory.
    #[must_use]
    pub fn new(config: OutletConfig, counters: OutletCounters) -> Self {
        // Zero is what a peer without epochs would say.
        Self::with(config, counters, Kept { epoch: fastrand::u64(1..), first: 1, next: 1, receivers: Vec::new() }, None)
    }

    /// An outlet that goes on with what `store` kept.
    #[must_use]
    pub fn stored_in(config: OutletConfig, counters: OutletCounters, store: Arc<dyn Store>, kept: Kept) -> Self {
        let stored = Stored { store, next: kept.next.max(1), makes_room: false, loads: Loads::default() };
        Self::with(config, counters, kept, Some(stored))
    }

    fn with(config: OutletConfig, counters: OutletCounters, kept: Kept, store: Option<Stored>) -> Self {
        let mut receivers = Receivers::new(config.max_receivers, config.forget_after, config.expects_receiver);
        let next = kept.next.max(1);
        kept.receivers.into_iter().for_each(|(name, at, seen_ms)| receivers.restore(name, at.min(next), seen_ms));
        let state = State {
            epoch: kept.epoch,
            log: Log::starting_at(next, config.memory()),
            first: kept.first.clamp(1, next),
            now_ms: 0,
            receivers,
            readers: Slab::new(),
            store,
            paused: false,
            closed: false,
        };
        Self {
            config,
            counters,
            state: Mutex::new(state),
            room: Wakers::default(),
            settled: Wakers::default(),
            published: AtomicU64::new(0),
            refusals: Refusals::default(),
        }
    }

    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> &OutletConfig {
        &self.config
    }

    /// Which sequence of numbers it is.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// Events published so far, since the start.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Publishes payloads in order. Returns how many were dropped: by [`FullPolicy::DropNewest`], or by
    /// [`FullPolicy::DropOldest`] while too much waits to be stored.
    pub fn publish<'a>(&self, payloads: impl Iterator<Item = &'a [u8]> + Clone, now: Now) -> u64 {
        let mut state = self.lock();
        self.forget_absent(&mut state, None, now);
        if !state.takes(&self.config) {
            let dropped = payloads.count() as u64;
            let counter = if state.receivers.is_empty() { &self.counters.unheard } else { &self.counters.dropped };
            counter.add(dropped);
            return dropped;
        }
        let first = state.log.next();
        payloads.clone().for_each(|payload| state.log.push(payload, now.unix_ms));
        self.published.fetch_add(state.log.next() - first, Ordering::Relaxed);
        if let Some(stored) = &state.store {
            stored.store.append(StoredPayloads::new(first, now.unix_ms, payloads));
        }
        let before = state.first;
        self.enforce(&mut state);
        if state.store.is_none() {
            state.ring_readers();
        }
        let is_settled = state.store.is_none() && state.first > before;
        drop(state);
        if is_settled {
            self.settled.wake();
        }
        0
    }

    /// Whether it takes more; it takes one more batch all the same.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let state = self.lock();
        state.closed || self.config.full != FullPolicy::Block || state.has_room(&self.config)
    }

    /// Wakes `waker` when there may be room.
    pub fn register_room(&self, waker: &Waker) {
        self.room.register(waker);
    }

    /// A mark for [`Outlet::is_settled`]: all that has been published so far.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.lock().log.next()
    }

    /// Whether everything before `mark` is as safe as this outlet makes it: stored, or acknowledged by all receivers that
    /// are waited for.
    #[must_use]
    pub fn is_settled(&self, mark: u64) -> bool {
        self.lock().settled() >= mark
    }

    /// Wakes `waker` when more may be settled.
    pub fn register_settled(&self, waker: &Waker) {
        self.settled.register(waker);
    }

    /// Events that are not settled, or that a connected reader has not been given.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        let state = self.lock();
        let next = state.log.next();
        let reading = state.readers.iter().filter(|(_, reader)| reader.reads);
        let unread = reading.map(|(_, reader)| next.saturating_sub(reader.cursor)).max().unwrap_or(0);
        // What is stored is not lost, whoever has not read it.
        let unread = if state.store.is_some() { 0 } else { unread };
        unread.max(next.saturating_sub(state.settled().max(state.first)))
    }

    /// Events that the receiver furthest behind has not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> u64 {
        let state = self.lock();
        let next = state.log.next();
        next.saturating_sub(state.receivers.low().unwrap_or(next).max(state.first))
    }

    /// Memory of what it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lock().log.bytes()
    }

    /// Everything before `next` is stored.
    pub fn stored(&self, next: u64) {
        let mut state = self.lock();
        if let Some(stored) = &mut state.store {
            stored.next = stored.next.max(next);
            stored.makes_room = false;
        }
        self.enforce(&mut state);
        state.ring_readers();
        drop(state);
        self.wake();
    }

    /// The store has room again.
    pub fn store_has_room(&self) {
        if let Some(stored) = &mut self.lock().store {
            stored.makes_room = false;
        }
        self.room.wake();
    }

    /// The answer to [`Store::load`] number `load`. A store that cannot read now says nothing, and tries again.
    pub fn loaded(&self, load: u64, payloads: &[StoredPayloads]) {
        let mut state = self.lock();
        let Some(stored) = &mut state.store else { return };
        let reader = stored.loads.loaded(load, payloads);
        if let Some(reader) = reader.and_then(|reader| state.readers.get(reader as usize)) {
            reader.signal.ring();
        }
    }

    /// Waits no longer for receivers that have been away for too long; to be called now and then, as nothing else may
    /// happen while they are waited for.
    pub fn expire(&self, now: Now) {
        let mut state = self.lock();
        let before = state.receivers.low();
        self.forget_absent(&mut state, None, now);
        if state.receivers.low() != before {
            self.enforce(&mut state);
            drop(state);
            self.wake();
        }
    }

    /// Nothing more is sent. What is on its way may still be acknowledged.
    pub fn pause(&self) {
        self.lock().paused = true;
    }

    /// Wakes everybody who waits for room or for an acknowledgement: neither will come any more.
    pub fn close(&self) {
        self.lock().closed = true;
        self.room.wake();
        self.settled.wake();
    }

    /// Whether [`Outlet::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn wake(&self) {
        self.settled.wake();
        self.room.wake();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn ring_readers(&self) {
        let readable = self.readable();
        let reading = self.readers.iter().filter(|(_, reader)| reader.reads && reader.cursor < readable);
        reading.for_each(|(_, reader)| reader.signal.ring());
    }

    /// What may be sent ends before.
    fn readable(&self) -> u64 {
        self.store.as_ref().map_or(self.log.next(), |stored| stored.next)
    }

    fn settled(&self) -> u64 {
        match &self.store {
            Some(stored) => stored.next,
            // What is gone is not waited for.
            None => self.receivers.low().unwrap_or(self.log.next()).max(self.first),
        }
    }
}
