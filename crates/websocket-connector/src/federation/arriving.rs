//! Who is still to come to a connection: it is opened when all are there, so that nobody misses what the peer says first.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long it is waited for those that were made and are not started: nobody says that they will be.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(1);

/// Those that share connections by name, as far as they were made and have not taken their place.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(Mutex<HashMap<String, Arc<watch::Sender<usize>>>>);

/// A source or sink, until it has taken its place.
#[derive(Debug)]
pub(crate) struct Arriving {
    expected: Arc<watch::Sender<usize>>,
    is_there: AtomicBool,
}

/// What a connection waits for.
#[derive(Debug)]
pub(super) struct Expected(watch::Receiver<usize>);

impl Arrivals {
    /// One more is to come, to the connection of that name or to one of its own.
    pub(crate) fn expect(&self, name: Option<&str>) -> Arc<Arriving> {
        let nobody = || Arc::new(watch::Sender::new(0));
        let expected = match name {
            None => nobody(),
            Some(name) => {
                let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                named.retain(|_, expected| Arc::strong_count(expected) > 1);
                named.entry(name.to_owned()).or_insert_with(nobody).clone()
            }
        };
        expected.send_modify(|count| *count += 1);
        Arc::new(Arriving { expected, is_there: AtomicBool::new(false) })
    }
}

impl Arriving {
    /// It has taken its place, or will not.
    pub(crate) fn is_there(&self) {
        if !self.is_there.swap(true, Ordering::AcqRel) {
            self.expected.send_modify(|count| *count -= 1);
        }
    }

    /// It and those that share its connection.
    pub(super) fn expected(&self) -> Expected {
        Expected(self.expected.subscribe())
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.is_there();
    }
}

impl Expected {
    /// Resolves when all are there, or have been waited for long enough.
    pub(super) async fn arrived(mut self) {
        // Without a sender nobody comes any more either.
        let _ = timeout(ARRIVAL_LIMIT, self.0.wait_for(|count| *count == 0)).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_waits_for_all_that_share_its_name_and_for_nobody_else() {
        let arrivals = Arrivals::default();
        let (one, two) = (arrivals.expect(Some("hub")), arrivals.expect(Some("hub")));
        let _other = arrivals.expect(Some("other"));
        let alone = arrivals.expect(None);
        alone.is_there();
        assert!(alone.expected().arrived().now_or_never().is_some());
        one.is_there();
        one.is_there();
        assert!(one.expected().arrived().now_or_never().is_none());
        // Dropped before it was started.
        drop(two);
        assert!(one.expected().arrived().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_comes_is_not_waited_for_without_end() {
        let arrivals = Arrivals::default();
        let (one, _never) = (arrivals.expect(Some("hub")), arrivals.expect(Some("hub")));
        one.is_there();
        let begin = tokio::time::Instant::now();
        one.expected().arrived().await;
        assert!(begin.elapsed() >= ARRIVAL_LIMIT);
    }
}
