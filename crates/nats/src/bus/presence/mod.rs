//! Who is present: a key-value bucket in which each process says something of keys, again and again.
//!
//! Nobody compares clocks, and no server says that a value has expired: each process stops to believe what nobody has
//! confirmed for as long as the bucket keeps a value, by its own monotonic clock.

mod bucket;
mod key;
mod others;
mod own;
mod reader;
mod writer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use self::own::{MAX_KEYS, Own};
pub(super) use self::reader::{PresenceReader, forget};
pub(super) use self::writer::Writer;

/// Largest value, in bytes.
const MAX_VALUE_BYTES: usize = 256 << 10;

/// What this process says to be present.
#[derive(Debug)]
pub(super) struct Presence {
    /// For logs.
    of: String,
    own: Mutex<Own>,
    /// Rung when there may be something to say.
    work: Notify,
    /// Everything is taken back, and nothing is said any more.
    leaving: AtomicBool,
    warned: AtomicBool,
}

impl Presence {
    pub(super) fn new(of: &str, ttl: Duration) -> Arc<Self> {
        Arc::new(Self {
            of: of.to_owned(),
            own: Mutex::new(Own::new(repeat(ttl))),
            work: Notify::new(),
            leaving: AtomicBool::new(false),
            warned: AtomicBool::new(false),
        })
    }

    pub(super) fn set(&self, key: &str, value: Option<Bytes>) {
        let mut own = self.own();
        if self.leaving.load(Ordering::Relaxed) {
            return;
        }
        let size = value.as_ref().map_or(0, Bytes::len);
        if key.len() > key::MAX_KEY_BYTES {
            return self.warn(&format!("a key of {} bytes (at most {})", key.len(), key::MAX_KEY_BYTES));
        }
        let value = value.filter(|_| size <= MAX_VALUE_BYTES);
        if size > MAX_VALUE_BYTES {
            self.warn(&format!("a value of {size} bytes (at most {MAX_VALUE_BYTES})"));
        }
        if own.set(Instant::now(), key, value).is_err() {
            self.warn(&format!("more than {MAX_KEYS} keys"));
        }
        drop(own);
        self.work.notify_one();
    }

    /// Takes everything back; [`Writer::run`] ends when that is done.
    pub(super) fn leave(&self) {
        let mut own = self.own();
        self.leaving.store(true, Ordering::Relaxed);
        own.withdraw_all(Instant::now());
        drop(own);
        self.work.notify_one();
    }

    /// Waits for the bucket; whether it is there before everything is to be taken back.
    async fn may_be_said(&self, there: &mut watch::Receiver<bool>) -> bool {
        loop {
            tokio::select! {
                // An error means that nobody will create it: the bus ends.
                found = there.wait_for(|there| *there) => return found.is_ok(),
                () = self.work.notified() => {}
            }
            if self.leaving.load(Ordering::Relaxed) {
                return false;
            }
        }
    }

    /// The bucket is there, perhaps another one: it keeps a value for `ttl`, and may know of none.
    fn renew(&self, ttl: Duration) {
        let mut own = self.own();
        own.set_repeat(repeat(ttl));
        own.repeat_all(Instant::now());
        drop(own);
        self.work.notify_one();
    }

    /// Says once what is not told to others.
    fn warn(&self, what: &str) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            log::warn!("[{}] {what}: who is present there is not told to other instances", self.of);
        }
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often a value is confirmed, so that two confirmations may be lost.
fn repeat(ttl: Duration) -> Duration {
    ttl / 3
}
