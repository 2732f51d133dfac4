//! A spool with its threads, on a disk in memory that does what a test says.

use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::queue::Refusal;
use crate::store::memory::{Disk, Memory};

const SOON: Duration = Duration::from_secs(20);

/// Remembers what it was told.
#[derive(Default)]
struct Listener {
    heard: Mutex<Heard>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone)]
struct Heard {
    stored: u64,
    failed: Vec<String>,
    recovered: usize,
    freed: usize,
}

impl Listener {
    fn hear(&self, what: impl FnOnce(&mut Heard)) {
        what(&mut self.heard.lock().unwrap());
        self.changed.notify_all();
    }

    /// Waits until `when`, and fails when that takes too long.
    fn wait(&self, when: impl Fn(&Heard) -> bool) -> Heard {
        let heard = self.heard.lock().unwrap();
        let (heard, waited) = self.changed.wait_timeout_while(heard, SOON, |heard| !when(heard)).unwrap();
        assert!(!waited.timed_out(), "it did not happen; heard {heard:?}");
        heard.clone()
    }

    fn heard(&self) -> Heard {
        self.heard.lock().unwrap().clone()
    }
}

impl Observer for Listener {
    fn stored(&self, next: u64) {
        self.hear(|heard| {
            assert!(next > heard.stored, "it goes forward");
            heard.stored = next;
        });
    }

    fn failed(&self, error: &SpoolError) {
        self.hear(|heard| heard.failed.push(error.to_string()));
    }

    fn recovered(&self) {
        self.hear(|heard| heard.recovered += 1);
    }

    fn freed(&self) {
        self.hear(|heard| heard.freed += 1);
    }
}

fn config() -> SpoolConfig {
    SpoolConfig { group: Duration::ZERO, ..SpoolConfig::new("/memory") }
}

fn open(memory: &Memory, config: SpoolConfig) -> (Spool, Contents, Arc<Listener>) {
    let listener = Arc::new(Listener::default());
    let quick = Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(5) };
    let (spool, contents) = Spool::open_place(config, listener.clone(), memory.clone(), quick).unwrap();
    (spool, contents, listener)
}

fn block(first: u64, bytes: usize) -> Block {
    let data = Bytes::from((0..bytes).map(|index| (first as usize + index) as u8).collect::<Vec<_>>());
    Block { first, count: 1, data, time_ms: first }
}

fn append(spool: &Spool, numbers: std::ops::Range<u64>, bytes: usize) {
    numbers.for_each(|first| spool.append(block(first, bytes)).unwrap());
}

fn blocks(numbers: std::ops::Range<u64>, bytes: usize) -> Vec<Block> {
    numbers.map(|first| block(first, bytes)).collect()
}

/// Waits for something that nobody reports.
fn eventually(what: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !what() {
        assert!(Instant::now() < deadline, "it did not happen");
        thread::yield_now();
    }
}

#[test]
fn what_is_stored_is_there_after_opening_again() {
    let memory = Memory::default();
    let (spool, contents, listener) = open(&memory, config());
    assert_eq!((contents.first, contents.next, contents.readers.len()), (0, 0, 0));
    spool.mark("a", 1, 10).unwrap();
    append(&spool, 0..100, 200);
    listener.wait(|heard| heard.stored == 100);
    assert_eq!((spool.stored(), spool.next(), spool.unwritten_bytes()), (100, 100, 0));
    spool.mark("a", 7, 20).unwrap();
    spool.forget(7);
    assert_eq!(spool.close(SOON), 0);
    let (spool, again, _) = open(&memory, config());
    assert_eq!((again.epoch, again.first, again.next), (contents.epoch, 7, 100));
    assert_eq!(again.readers, [crate::Reader { name: "a".into(), position: 7, seen_ms: 20 }]);
    assert_eq!((spool.epoch(), spool.first(), spool.bytes()), (again.epoch, 7, again.bytes));
    assert_eq!(spool.read(0, usize::MAX).unwrap(), blocks(7..100, 200));
}

#[test]
fn marks_are_written_without_blocks_and_unmarked_readers_are_gone() {
    let memory = Memory::default();
    let (spool, _, _) = open(&memory, config());
    spool.mark("a", 1, 1).unwrap();
    spool.mark("b", 2, 2).unwrap();
    let steps = || memory.disk().steps;
    let before = steps();
    eventually(|| steps() > before);
    spool.unmark("a");
    spool.close(SOON);
    let names: Vec<_> = open(&memory, config()).1.readers.into_iter().map(|reader| reader.name).collect();
    assert_eq!(names, ["b"]);
}

#[test]
fn blocks_are_loaded_on_another_thread() {
    let (spool, _, listener) = open(&Memory::default(), config());
    append(&spool, 0..10, 100);
    listener.wait(|heard| heard.stored == 10);
    let (sender, receiver) = channel();
    spool.load(4, 350, move |loaded| {
        sender.send((thread::current().name().map(str::to_owned), loaded.unwrap())).unwrap()
    });
    let (thread, loaded) = receiver.recv_timeout(SOON).unwrap();
    assert_eq!(thread.as_deref(), Some("spool-loader"));
    assert_eq!(loaded, blocks(4..7, 100));
    assert_eq!(spool.read(10, 100).unwrap(), []);
}

#[test]
fn more_loads_than_allowed_are_answered_at_once_and_each_is_answered() {
    let (spool, _, _) = open(&Memory::default(), config());
    let (release, held) = channel::<()>();
    let (started, running) = channel();
    spool.load(0, 0, move |_| {
        started.send(()).unwrap();
        let _ = held.recv();
    });
    running.recv_timeout(SOON).unwrap();
    let (sender, receiver) = channel();
    for _ in 0..=LOADS {
        let sender = sender.clone();
        spool.load(0, 0, move |loaded| sender.send(loaded.map(|_| ())).unwrap());
    }
    assert!(matches!(receiver.recv_timeout(SOON).unwrap(), Err(SpoolError::Busy { limit: LOADS, .. })));
    drop(release);
    for _ in 0..LOADS {
        receiver.recv_timeout(SOON).unwrap().unwrap();
    }
    spool.close(SOON);
    spool.load(0, 0, move |loaded| sender.send(loaded.map(|_| ())).unwrap());
    assert!(matches!(receiver.recv_timeout(SOON).unwrap(), Err(SpoolError::Closed { .. })));
    assert!(matches!(spool.read(0, 0), Err(SpoolError::Closed { .. })));
}

#[test]
fn a_panic_of_who_loads_does_not_end_the_thread_that_loads() {
    let (spool, _, _) = open(&Memory::default(), config());
    spool.load(0, 0, |_| panic!("of the test"));
    let (sender, receiver) = channel();
    spool.load(0, 0, move |loaded| sender.send(loaded.is_ok()).unwrap());
    assert!(receiver.recv_timeout(SOON).unwrap());
}

#[test]
fn a_full_spool_takes_blocks_again_when_some_are_forgotten() {
    let (spool, _, listener) = open(&Memory::default(), SpoolConfig { max_bytes: 10_000, ..config() });
    let mut next = 0;
    let refused = loop {
        match spool.append(block(next, 1000)) {
            Ok(()) => next += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused.reason, Refusal::Full { max_bytes: 10_000, .. }) && refused.reason.is_passing());
    assert!(next == 9 && !spool.has_room(1000) && spool.has_room(10));
    listener.wait(|heard| heard.stored == next);
    spool.forget(next);
    listener.wait(|heard| heard.freed > 0);
    assert!(spool.has_room(1000));
    spool.append(refused.block).unwrap();
    listener.wait(|heard| heard.stored == next + 1);
}

#[test]
fn a_full_disk_is_waited_for_and_what_is_stored_can_be_read_meanwhile() {
    let memory = Memory::default();
    let (spool, _, listener) = open(&memory, SpoolConfig { max_unwritten_bytes: 1_000_000, ..config() });
    append(&spool, 0..10, 1000);
    listener.wait(|heard| heard.stored == 10);
    let length = memory.disk().bytes().len() as u64;
    memory.disk().capacity = Some(length);
    let mut next = 10;
    while spool.append(block(next, 60_000)).is_ok() {
        next += 1;
    }
    let heard = listener.wait(|heard| heard.failed.len() > 3);
    assert!(heard.failed[0].contains("free some space there"), "{heard:?}");
    while let Ok(()) = spool.append(block(next, 60_000)) {
        next += 1;
    }
    assert!(spool.unwritten_bytes() <= 1_000_000, "what waits has a limit");
    eventually(|| spool.read(0, 10_000).is_ok_and(|found| found == blocks(0..10, 1000)));
    let failed = listener.heard().failed.len();
    let heard = listener.wait(|heard| heard.failed.len() > failed + 3);
    assert!(heard.stored < next, "not all of it has room: {heard:?}");
    memory.disk().capacity = None;
    let heard = listener.wait(|heard| heard.stored == next);
    assert!(heard.recovered > 0);
    assert_eq!(spool.read(10, usize::MAX).unwrap(), blocks(10..next, 60_000));
}

#[test]
fn forgetting_makes_room_on_a_disk_that_stays_full() {
    let memory = Memory::default();
    let (spool, _, listener) = open(&memory, config());
    append(&spool, 0..100, 60_000);
    listener.wait(|heard| heard.stored == 100);
    // The disk is as large as the file is, and a little more, so that a probe succeeds.
    let length = memory.disk().bytes().len() as u64;
    memory.disk().capacity = Some(length + 1);
    append(&spool, 100..200, 60_000);
    listener.wait(|heard| !heard.failed.is_empty());
    spool.forget(100);
    let heard = listener.wait(|heard| heard.stored == 200);
    // A probe is no recovery. What the first write after it makes room for may not be all of it.
    assert!((1..=2).contains(&heard.recovered) && heard.freed > 0, "{heard:?}");
    assert_eq!(spool.read(0, usize::MAX).unwrap(), blocks(100..200, 60_000));
}

#[test]
fn whichever_step_fails_blocks_are_stored_once_the_disk_works_again() {
    for steps in 0..40 {
        let memory = Memory::default();
        let (spool, contents, listener) = open(&memory, config());
        append(&spool, 0..5, 100);
        listener.wait(|heard| heard.stored == 5);
        memory.disk().steps_left = Some(steps);
        let mut next = 5;
        while listener.heard().failed.is_empty() {
            if spool.append(block(next, 100)).is_ok() {
                next += 1;
            }
        }
        spool.mark("late", 9, 9).unwrap();
        memory.disk().steps_left = None;
        let heard = listener.wait(|heard| heard.stored == next && heard.recovered == 1);
        assert!(heard.failed[0].contains("the device is gone"), "{heard:?}");
        assert_eq!(spool.read(0, usize::MAX).unwrap(), blocks(0..next, 100), "after {steps} steps");
        assert_eq!(spool.close(SOON), 0);
        let again = open(&memory, config()).1;
        assert_eq!((again.epoch, again.next, again.readers.len()), (contents.epoch, next, 1));
    }
}

#[test]
fn a_disk_that_could_not_be_read_for_a_while_is_read_again_without_anything_written() {
    let memory = Memory::default();
    let (spool, _, listener) = open(&memory, config());
    // More than the cache holds.
    append(&spool, 0..600, 60_000);
    listener.wait(|heard| heard.stored == 600);
    memory.disk().unreadable = true;
    eventually(|| spool.read(0, usize::MAX).is_err());
    memory.disk().unreadable = false;
    eventually(|| spool.read(300, 60_000).is_ok_and(|found| found == blocks(300..301, 60_000)));
}

#[test]
fn closing_says_how_many_blocks_could_not_be_written() {
    let memory = Memory::default();
    let (spool, _, listener) = open(&memory, config());
    append(&spool, 0..3, 100);
    listener.wait(|heard| heard.stored == 3);
    memory.disk().steps_left = Some(0);
    append(&spool, 3..8, 100);
    listener.wait(|heard| !heard.failed.is_empty());
    assert_eq!(spool.close(Duration::from_millis(50)), 5);
    assert_eq!(spool.append(block(8, 1)).unwrap_err().reason, Refusal::Closed);
    assert_eq!(spool.close(Duration::ZERO), 5, "and says it again");
    memory.disk().steps_left = None;
    eventually(|| memory.is_free());
    assert_eq!(open(&memory, config()).1.next, 3);
}

/// Has the only handle, appends once more when it hears that something is stored, and lets the handle go.
#[derive(Default)]
struct Last(Mutex<Option<Spool>>);

impl Observer for Last {
    fn stored(&self, next: u64) {
        if let Some(spool) = self.0.lock().unwrap().take() {
            append(&spool, next..next + 1, 100);
        }
    }
    fn failed(&self, _: &SpoolError) {}
    fn recovered(&self) {}
    fn freed(&self) {}
}

#[test]
fn an_observer_that_lets_the_last_handle_go_does_not_keep_what_waits_from_being_written() {
    let memory = Memory::default();
    let last = Arc::new(Last::default());
    let mut held = last.0.lock().unwrap();
    let (spool, _) = Spool::open_place(config(), last.clone(), memory.clone(), Backoff::default()).unwrap();
    append(&spool, 0..1, 100);
    *held = Some(spool);
    drop(held);
    eventually(|| memory.is_free());
    assert_eq!(open(&memory, config()).1.next, 2);
}

#[test]
fn a_file_that_lost_what_was_stored_is_not_gone_on_with() {
    let memory = Memory::default();
    let (spool, _, listener) = open(&memory, config());
    append(&spool, 0..3, 100);
    listener.wait(|heard| heard.stored == 3);
    let old = memory.disk().bytes().clone();
    append(&spool, 3..6, 100);
    listener.wait(|heard| heard.stored == 6);
    memory.disk().steps_left = Some(0);
    append(&spool, 6..7, 100);
    listener.wait(|heard| !heard.failed.is_empty());
    {
        let mut disk = memory.disk();
        *disk = Disk::default();
        *disk.bytes() = old;
    }
    let heard =
        listener.wait(|heard| heard.failed.last().is_some_and(|error| error.contains("was stored up to number 6")));
    assert_eq!((heard.stored, heard.recovered), (6, 0));
    assert_eq!(spool.close(Duration::ZERO), 1);
}

/// The power fails at a random step while an owner appends, marks and forgets.
#[test]
fn nothing_that_was_reported_stored_is_lost_when_the_power_fails() {
    let mut lost_in_memory = 0;
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let memory = Memory::default();
        let (spool, contents, listener) = open(&memory, config());
        memory.disk().steps_left = Some(random.u64(..150));
        let (mut next, mut forgotten) = (0, 0);
        while listener.heard().failed.is_empty() {
            // A mark is never behind the blocks that come after it.
            spool.mark("reader", next, 0).unwrap();
            if spool.append(block(next, 10 + next as usize % 90)).is_ok() {
                next += 1;
            }
            if random.u8(..10) == 0 {
                forgotten = random.u64(forgotten..=next);
                spool.forget(forgotten);
            }
        }
        let stored = listener.heard().stored;
        spool.close(Duration::ZERO);
        let left = Memory::new(memory.disk().after_power_failure(&mut random));
        let (spool, again, _) = open(&left, config());
        assert_eq!(again.epoch, contents.epoch);
        assert!((stored..=next).contains(&again.next), "seed {seed}: {stored} stored, {} there", again.next);
        assert!(again.first <= forgotten.max(again.first.min(stored)) && again.first <= again.next);
        let expected: Vec<_> = (again.first..again.next).map(|first| block(first, 10 + first as usize % 90)).collect();
        assert_eq!(spool.read(0, usize::MAX).unwrap(), expected, "seed {seed}");
        let marked = again.readers.first().map_or(0, |reader| reader.position);
        assert!(marked + 1 >= again.next, "seed {seed}: marked {marked}, and {} blocks", again.next);
        lost_in_memory += next - again.next;
    }
    assert!(lost_in_memory > 0, "some were not stored yet when the power failed");
}

/// Ten times what it may hold goes through it: the file stays as large as it became once.
#[test]
fn space_that_was_forgotten_is_used_again() {
    const MAX: u64 = 16 * 1024 * 1024;
    let memory = Memory::default();
    let (spool, _, listener) = open(&memory, SpoolConfig { max_bytes: MAX, ..config() });
    let mut random = fastrand::Rng::with_seed(1);
    let (mut next, mut written, mut after_first) = (0, 0, 0);
    while written < 10 * MAX {
        let size = [200, 3000, 70_000, 140_000][random.usize(..4)];
        match spool.append(block(next, size)) {
            Ok(()) => (next, written) = (next + 1, written + size as u64),
            Err(refused) => {
                assert!(refused.reason.is_passing(), "{refused}");
                listener.wait(|heard| heard.stored == next);
                let freed = listener.heard().freed;
                spool.forget(spool.first() + (next - spool.first()) / 2);
                listener.wait(|heard| heard.freed > freed);
                after_first = if after_first == 0 { memory.disk().bytes().len() as u64 } else { after_first };
            }
        }
    }
    let length = memory.disk().bytes().len() as u64;
    assert!(length < 4 * MAX, "{length} bytes for {MAX}");
    assert!(length <= 2 * after_first, "it was {after_first} bytes when it was full first, and is {length}");
}
