//! A spool in a directory: one owner at a time, and a file that does not grow without end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use eventflux_spool::{Block, Observer, Spool, SpoolConfig, SpoolError};

const SOON: Duration = Duration::from_secs(30);

/// Wakes whoever waits for anything to happen.
#[derive(Debug, Default)]
struct Waker {
    events: Mutex<u64>,
    changed: Condvar,
}

impl Waker {
    fn wake(&self) {
        *self.events.lock().unwrap() += 1;
        self.changed.notify_all();
    }

    fn wait_until(&self, what: impl Fn() -> bool) {
        let waited = self.changed.wait_timeout_while(self.events.lock().unwrap(), SOON, |_| !what()).unwrap().1;
        assert!(!waited.timed_out(), "it did not happen");
    }
}

impl Observer for Waker {
    fn stored(&self, _: u64) {
        self.wake();
    }
    fn failed(&self, error: &SpoolError) {
        panic!("{error}");
    }
    fn recovered(&self) {}
    fn freed(&self) {
        self.wake();
    }
}

fn open(directory: &Path, max_bytes: u64) -> Result<(Spool, Arc<Waker>), SpoolError> {
    let waker = Arc::new(Waker::default());
    let config = SpoolConfig { max_bytes, ..SpoolConfig::new(directory) };
    Spool::open(config, waker.clone()).map(|(spool, _)| (spool, waker))
}

fn block(first: u64, bytes: usize) -> Block {
    Block { first, count: 1, data: vec![7; bytes].into(), time_ms: 0 }
}

#[test]
fn a_directory_is_refused_while_somebody_has_it_and_free_once_it_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path(), 1_000_000).unwrap();
    let error = open(directory.path(), 1_000_000).unwrap_err();
    assert!(matches!(error, SpoolError::InUse { .. }) && error.is_passing());
    assert!(error.to_string().contains(directory.path().to_str().unwrap()), "{error}");
    assert_eq!(spool.close(SOON), 0);
    open(directory.path(), 1_000_000).unwrap();
}

#[test]
fn a_spool_that_is_dropped_writes_what_waits_and_lets_the_directory_go() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path(), 1_000_000).unwrap();
    spool.append(block(0, 100)).unwrap();
    drop(spool);
    let (spool, _) = open(directory.path(), 1_000_000).unwrap();
    assert_eq!((spool.stored(), spool.read(0, 1).unwrap()), (1, vec![block(0, 100)]));
}

#[test]
fn ten_times_the_limit_goes_through_a_file_that_stays_small() {
    const MAX: u64 = 8 * 1024 * 1024;
    let directory = tempfile::tempdir().unwrap();
    let (spool, waker) = open(directory.path(), MAX).unwrap();
    let (mut next, mut written, mut largest) = (0, 0, 0);
    while written < 10 * MAX {
        let size = [300, 5_000, 60_000, 100_000][next as usize % 4];
        if let Err(refused) = spool.append(block(next, size)) {
            assert!(refused.reason.is_passing(), "{refused}");
            waker.wait_until(|| spool.stored() == next);
            spool.forget(spool.first() + (next - spool.first()) * 3 / 4);
            waker.wait_until(|| spool.has_room(size));
            largest = largest.max(std::fs::metadata(directory.path().join("spool.redb")).unwrap().len());
            continue;
        }
        (next, written) = (next + 1, written + size as u64);
    }
    assert!((MAX..4 * MAX).contains(&largest), "{largest} bytes for {MAX}");
}
