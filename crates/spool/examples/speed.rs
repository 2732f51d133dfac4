//! Measures a spool on a disk: `cargo run --release -p eventflux-spool --example speed -- [directory] [message bytes]`.
//!
//! For blocks of 1 to 1000 messages: how many messages a second are on the disk, in how many commits, and how long a block
//! takes from being appended to being reported. Then how fast they are read again, forgotten, and opened.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that prints, and that cannot go on when something fails"
)]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use eventflux_spool::{Block, Observer, Spool, SpoolConfig, SpoolError};

const SECONDS: u64 = 3;

#[derive(Default)]
struct Progress {
    stored: Mutex<u64>,
    changed: Condvar,
    commits: AtomicU64,
    freed: AtomicU64,
}

impl Observer for Progress {
    fn stored(&self, next: u64) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        *self.stored.lock().unwrap() = next;
        self.changed.notify_all();
    }
    fn failed(&self, error: &SpoolError) {
        println!("{error}");
    }
    fn recovered(&self) {}
    fn freed(&self) {
        self.freed.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_all();
    }
}

impl Progress {
    fn wait(&self, next: u64) {
        drop(self.changed.wait_while(self.stored.lock().unwrap(), |stored| *stored < next).unwrap());
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let temporary = tempfile::tempdir().unwrap();
    let directory = arguments.next().map_or_else(|| temporary.path().to_owned(), Into::into);
    let message = arguments.next().map_or(200, |bytes| bytes.parse().unwrap());
    println!("messages of {message} bytes below {}", directory.display());
    println!(
        "{:>14} {:>12} {:>9} {:>10} {:>10} {:>10}",
        "messages/block", "messages/s", "MB/s", "commits/s", "blocks/c", "latency"
    );
    for count in [1, 10, 100, 1000] {
        write(&directory.join(format!("blocks-of-{count}")), count, message);
    }
    for count in [1, 100, 1000] {
        again(&directory.join(format!("filled-by-{count}")), count, message);
    }
}

/// Appends as fast as there is room, and forgets what is stored when the log is half full.
fn write(directory: &Path, count: u32, message: usize) {
    let progress = Arc::new(Progress::default());
    let (spool, contents) = Spool::open(SpoolConfig::new(directory), progress.clone()).unwrap();
    let data = bytes::Bytes::from(vec![b'x'; message * count as usize]);
    let (started, mut next) = (Instant::now(), contents.next);
    while started.elapsed() < Duration::from_secs(SECONDS) {
        while spool.append(Block { first: next, count, data: data.clone(), time_ms: 0 }).is_err() {
            if spool.bytes() > 512 * 1024 * 1024 {
                spool.forget(spool.stored());
            }
            let stored = progress.stored.lock().unwrap();
            drop(progress.changed.wait_timeout(stored, Duration::from_millis(50)).unwrap());
        }
        next += u64::from(count);
    }
    progress.wait(next);
    let seconds = started.elapsed().as_secs_f64();
    let commits = progress.commits.load(Ordering::Relaxed);
    let messages = (next - contents.next) as f64;
    println!(
        "{count:>14} {:>12.0} {:>9.1} {:>10.0} {:>10.0} {:>7.2} ms",
        messages / seconds,
        messages * message as f64 / seconds / 1e6,
        commits as f64 / seconds,
        messages / f64::from(count) / commits as f64,
        latency(&spool, &progress, count, &data).as_secs_f64() * 1e3
    );
}

/// The middle of 200 times from appending one block to hearing that it is stored, with nothing else to do.
fn latency(spool: &Spool, progress: &Progress, count: u32, data: &bytes::Bytes) -> Duration {
    let mut times: Vec<_> = (0..200)
        .map(|_| {
            let (started, first) = (Instant::now(), spool.next());
            spool.append(Block { first, count, data: data.clone(), time_ms: 0 }).unwrap();
            progress.wait(first + u64::from(count));
            started.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

/// Fills half a gigabyte, opens it again, reads it, and forgets it.
fn again(directory: &Path, count: u32, message: usize) {
    let progress = Arc::new(Progress::default());
    let (spool, contents) = Spool::open(SpoolConfig::new(directory), progress.clone()).unwrap();
    let data = bytes::Bytes::from(vec![b'x'; message * count as usize]);
    let mut next = contents.next;
    while spool.bytes() < 512 * 1024 * 1024 {
        match spool.append(Block { first: next, count, data: data.clone(), time_ms: 0 }) {
            Ok(()) => next += u64::from(count),
            Err(_) => progress.wait(spool.stored() + 1),
        }
    }
    assert_eq!(spool.close(Duration::from_secs(60)), 0);
    let bytes = spool.bytes() as f64 / 1e6;
    let file = || on_disk(&directory.join("spool.redb")) / 1e6;
    print!("{bytes:.0} MB in blocks of {count}: a file of {:.0} MB", file());
    let started = Instant::now();
    let (spool, contents) = Spool::open(SpoolConfig::new(directory), progress.clone()).unwrap();
    print!(", opened in {:.2} s", started.elapsed().as_secs_f64());
    let (started, mut from) = (Instant::now(), contents.first);
    while from < contents.next {
        from = spool.read(from, 1024 * 1024).unwrap().last().unwrap().end();
    }
    print!(", read with {:.0} MB/s", bytes / started.elapsed().as_secs_f64());
    let started = Instant::now();
    spool.forget(contents.next);
    while spool.bytes() > 0 {
        let stored = progress.stored.lock().unwrap();
        drop(progress.changed.wait_timeout(stored, Duration::from_millis(10)).unwrap());
    }
    println!(", forgotten with {:.0} MB/s: {:.0} MB", bytes / started.elapsed().as_secs_f64(), file());
}

/// The bytes that a file takes on the disk: it may be longer.
fn on_disk(file: &Path) -> f64 {
    let metadata = std::fs::metadata(file).unwrap();
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::blocks(&metadata) as f64 * 512.0;
    #[cfg(not(unix))]
    return metadata.len() as f64;
}
