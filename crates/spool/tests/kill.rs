//! A process that is killed with SIGKILL while it writes: what it reported stored is there.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on panics, and its child reports by printing"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eventflux_spool::{Block, Contents, Observer, Refusal, Spool, SpoolConfig, SpoolError};

const KILLS: u64 = 20;
const DIRECTORY: &str = "EVENTFLUX_SPOOL_OF_THE_CHILD";

/// Prints what is stored, in one write each.
struct Reporter;

impl Observer for Reporter {
    fn stored(&self, next: u64) {
        report("stored", next);
    }
    fn failed(&self, error: &SpoolError) {
        panic!("{error}");
    }
    fn recovered(&self) {}
    fn freed(&self) {}
}

struct Silent;

impl Observer for Silent {
    fn stored(&self, _: u64) {}
    fn failed(&self, _: &SpoolError) {}
    fn recovered(&self) {}
    fn freed(&self) {}
}

fn report(what: &str, number: u64) {
    let line = format!("{what} {number}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// The block that begins with a number: its content and size follow from that.
fn block(first: u64) -> Block {
    let mut random = fastrand::Rng::with_seed(first);
    let count = random.u32(1..50);
    let data: Vec<_> = std::iter::repeat_with(|| random.u8(..)).take(count as usize * 100).collect();
    Block { first, count, data: Bytes::from(data), time_ms: first }
}

fn config(directory: &Path) -> SpoolConfig {
    SpoolConfig { max_bytes: 8 * 1024 * 1024, group: Duration::from_micros(200), ..SpoolConfig::new(directory) }
}

#[test]
#[ignore = "is run by the other test, as a child process"]
fn child() {
    let directory = std::env::var_os(DIRECTORY).unwrap();
    let (spool, contents) = Spool::open(config(Path::new(&directory)), Arc::new(Reporter)).unwrap();
    let mut next = contents.next;
    report("opened", next);
    loop {
        spool.mark("reader", next, next).unwrap();
        match spool.append(block(next)) {
            Ok(()) => next = spool.next(),
            Err(refused) if matches!(refused.reason, Refusal::Full { .. }) => {
                let before = spool.first() + (spool.stored() - spool.first()) / 2;
                report("forgets", before);
                spool.forget(before);
                while !spool.has_room(refused.block.data.len()) {
                    std::thread::yield_now();
                }
            }
            Err(refused) => assert!(refused.reason.is_passing(), "{refused}"),
        }
    }
}

#[test]
fn what_a_process_reported_stored_is_there_after_it_was_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let (mut epoch, mut last, mut forgotten) = (None, 0, 0);
    for kill in 0..KILLS {
        let reported = run_and_kill(directory.path(), &mut random);
        assert!(
            reported.opened.is_none_or(|opened| opened == last),
            "kill {kill}: {reported:?}, and {last} were there"
        );
        forgotten = reported.forgotten.max(forgotten);
        let (spool, contents) = Spool::open(config(directory.path()), Arc::new(Silent)).unwrap();
        assert!(contents.next >= reported.stored, "kill {kill}: {reported:?} and {contents:?}");
        assert!(contents.first <= forgotten, "kill {kill}: what was not forgotten is gone, {contents:?}");
        assert_eq!(*epoch.get_or_insert(contents.epoch), contents.epoch);
        check(&spool, &contents);
        last = contents.next;
    }
    assert!(last > 0 && forgotten > 0, "the children wrote up to {last} and forgot up to {forgotten}");
}

/// Every block is there as it was appended, none twice, none in between missing; marks are as new as the blocks.
fn check(spool: &Spool, contents: &Contents) {
    let mut from = contents.first;
    while from < contents.next {
        for found in spool.read(from, 1024 * 1024).unwrap() {
            assert_eq!(found.first, from);
            assert_eq!(found, block(from));
            from = found.end();
        }
    }
    assert_eq!(from, contents.next);
    let marked = contents.readers.first().map_or(0, |reader| reader.position);
    assert!(marked <= contents.next && marked + 50 >= contents.next, "marked {marked} of {}", contents.next);
}

#[derive(Debug, Default)]
struct Reported {
    opened: Option<u64>,
    stored: u64,
    forgotten: u64,
}

/// Lets a child write until it has reported a random number of commits, or open the spool for a moment, and kills it.
fn run_and_kill(directory: &Path, random: &mut fastrand::Rng) -> Reported {
    let mut child = Killed(start(directory));
    if random.u8(..4) == 0 {
        std::thread::sleep(Duration::from_micros(random.u64(..20_000)));
        child.0.kill().unwrap();
    }
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let (mut reported, mut commits) = (Reported::default(), random.u32(1..60));
    for line in lines.map_while(Result::ok) {
        let mut words = line.split(' ');
        let (what, number) = (words.next().unwrap_or_default(), words.next().and_then(|word| word.parse().ok()));
        match (what, number) {
            ("opened", Some(number)) => reported.opened = Some(number),
            ("forgets", Some(number)) => reported.forgotten = number,
            ("stored", Some(number)) => {
                reported.stored = number;
                commits = commits.saturating_sub(1);
            }
            _ => continue,
        }
        if commits == 0 {
            // What it reported before it was killed is still read.
            child.0.kill().unwrap();
        }
    }
    let status = child.0.wait().unwrap();
    assert_eq!(status.code(), None, "the child ended by itself: {status}, {reported:?}");
    reported
}

fn start(directory: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child", "--exact", "--ignored", "--nocapture"]).env(DIRECTORY, directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Does not outlive the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
