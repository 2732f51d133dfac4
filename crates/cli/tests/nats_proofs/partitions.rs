//! Three processes that share the partitions of a stream; one of them is killed or stands still, again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use eventflux_testkit::nats::NatsServer;

use super::node::Node;
use super::pipelines::{PRODUCED, SUBJECT, WINDOW, connection, stored};
use super::producer::Producer;
use super::{DEADLINE, RATE, extent, folder, wait_until};

/// Among the tests.
const SHORT_KILLS: u64 = 2;

const INSTANCES: usize = 3;
const PARTITIONS: u64 = 16;
const KEYS: u64 = 64;
const LEASE: Duration = Duration::from_secs(2);

/// How long after that the last of its keys is handled again at most: the lease, and what two slow cores take.
const TAKEOVER: Duration = Duration::from_secs(10);

/// What happens to a process.
#[derive(Clone, Copy, PartialEq)]
enum Blow {
    Kill,
    /// It stands still for longer than its leases last, and then goes on as if nothing had been.
    Suspend,
}

#[test]
fn partitions_of_a_killed_process_move_and_keep_the_order_of_every_key() {
    prove("kill -9 of one of three that share partitions", Blow::Kill);
}

#[test]
fn a_process_that_stood_still_goes_on_with_nothing_that_others_took_over() {
    prove("one of three that share partitions stands still", Blow::Suspend);
}

fn prove(proof: &str, blow: Blow) {
    let (mut random, folder) = (extent::random(proof), folder());
    let (server, rounds) = (NatsServer::start(), extent::kills(SHORT_KILLS));
    let mut writer = Node::start(folder.path(), "writer.sql", &writes(&server));
    let files: Vec<_> = (0..INSTANCES).map(|index| folder.path().join(format!("out-{index}.jsonl"))).collect();
    let start =
        |index: usize| Node::start(folder.path(), &format!("reader-{index}.sql"), &reads(&server, &files[index]));
    let mut readers: Vec<_> = (0..INSTANCES).map(start).collect();
    wait_until("each has its share", || has_its_share(&readers));
    let producer = Producer::start(writer.listens(), RATE, event);
    producer.go();
    let mut blows = Vec::new();
    for _ in 0..rounds {
        let sent = producer.sent();
        wait_until("events flow", || producer.sent() > sent + RATE);
        let victim = random.usize(..INSTANCES);
        blows.push(now_us());
        match blow {
            Blow::Kill => readers[victim].kill(),
            Blow::Suspend => readers[victim].suspend(),
        }
        let others =
            || readers.iter().enumerate().filter(|(index, _)| *index != victim).map(|(_, reader)| held(reader));
        wait_until("the others have taken over", || others().sum::<u64>() == PARTITIONS);
        match blow {
            Blow::Kill => readers[victim].start_again(),
            Blow::Suspend => readers[victim].resume(),
        }
        wait_until("each has its share again", || has_its_share(&readers));
    }
    let sent = producer.finish();
    wait_for_all(&files, sent);
    writer.stop();
    readers.iter_mut().for_each(Node::stop);

    let found = judge(&files, sent, &blows);
    assert!(found.takeover < TAKEOVER, "{found:?}");
    assert!(found.torn <= rounds && found.repeated <= (rounds + 1) * INSTANCES as u64 * WINDOW, "{found:?}");
    extent::figures(
        proof,
        &format!(
            "{sent} events of {KEYS} keys, {rounds} times: lost 0, gaps in the order of a key 0, duplicates {} in {} rewinds, \
             taken over after at most {:.1?} (lease {LEASE:?}), longest pause of a key {:.1?}",
            found.repeated, found.rewinds, found.takeover, found.pause
        ),
    );
}

/// The event with this number: the `number / KEYS`th of its key.
fn event(number: u64) -> String {
    format!("{{\"n\":{number},\"symbol\":\"S{}\"}}", number % KEYS)
}

fn writes(server: &NatsServer) -> String {
    let more = format!("nats.stream.subjects='{SUBJECT}.*', partition.by='symbol', partition.count='{PARTITIONS}'");
    format!(
        "@source({PRODUCED})\n@sink({})\nCREATE STREAM Numbers (n BIGINT, symbol STRING);\n",
        stored(server.address(), &more)
    )
}

fn reads(server: &NatsServer, file: &Path) -> String {
    format!(
        "@source(type='nats', {}, nats.subject='{SUBJECT}', nats.stream='NUMBERS', partition.count='{PARTITIONS}', \
         partition.group='proof', partition.lease='{}ms', nats.max.ack.pending='{WINDOW}', @map(type='json'))\n\
         CREATE STREAM Read (n BIGINT, symbol STRING);\n\
         @sink(type='file', file.path='{}', @map(type='json', json.timestamp.format='us'))\n\
         CREATE STREAM Handled (at TIMESTAMP, n BIGINT);\n\
         INSERT INTO Handled SELECT NOW() AS at, n FROM Read;\n",
        connection(server.address()),
        LEASE.as_millis(),
        file.display()
    )
}

fn held(reader: &Node) -> u64 {
    reader.metric("eventflux_nats_partitions_held", "")
}

fn has_its_share(readers: &[Node]) -> bool {
    let held: Vec<_> = readers.iter().map(held).collect();
    held.iter().sum::<u64>() == PARTITIONS && held.iter().all(|held| *held >= PARTITIONS / INSTANCES as u64)
}

fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

#[track_caller]
fn wait_for_all(files: &[PathBuf], sent: u64) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let numbers: BTreeSet<_> = handled(files).0.into_iter().map(|(_, number)| number).collect();
        if numbers.len() as u64 == sent {
            return;
        }
        assert!(Instant::now() < deadline, "{sent} are waited for, and {} have come", numbers.len());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// When each event was handled, in microseconds, in the order of time; and how many lines are none.
fn handled(files: &[PathBuf]) -> (Vec<(u64, u64)>, u64) {
    let (mut all, mut torn) = (Vec::new(), 0);
    for file in files {
        for line in fs::read_to_string(file).unwrap_or_default().lines() {
            let (at, number) = match line.strip_prefix("{\"at\":").and_then(|rest| rest.split_once(",\"n\":")) {
                Some((at, rest)) => (at.parse().ok(), rest.strip_suffix('}').and_then(|number| number.parse().ok())),
                None => (None, None),
            };
            match (at, number) {
                (Some(at), Some(number)) => all.push((at, number)),
                _ => torn += 1,
            }
        }
    }
    // Stable: what one process handled within a microsecond stays in its order.
    all.sort_by_key(|(at, _)| *at);
    (all, torn)
}

#[derive(Debug, Default)]
struct Found {
    /// Events that were handled again.
    repeated: u64,
    /// Times a key went back.
    rewinds: u64,
    torn: u64,
    /// The longest time after a blow until a key was handled again.
    takeover: Duration,
    /// The longest time in which a key was not handled.
    pause: Duration,
}

/// Asserts that each key goes on behind its last event, or goes back; never forward over one that was not handled.
fn judge(files: &[PathBuf], sent: u64, blows: &[u64]) -> Found {
    let (handled, torn) = handled(files);
    let mut found = Found { torn, ..Found::default() };
    let mut keys: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    for (at, number) in handled {
        assert!(number < sent, "{number} was never sent");
        keys.entry(number % KEYS).or_default().push((at, number / KEYS));
    }
    assert_eq!(keys.len() as u64, KEYS);
    for (key, events) in keys {
        assert_eq!(events[0].1, 0, "the first of S{key}");
        let mut highest = 0;
        for pair in events.windows(2) {
            let [(before, last), (at, next)] = [pair[0], pair[1]];
            assert!(next <= last + 1, "S{key}: {last} is followed by {next}");
            found.rewinds += u64::from(next <= last);
            found.repeated += u64::from(next <= highest);
            found.pause = found.pause.max(Duration::from_micros(at - before));
            // A key that was not handled at the time of a blow was, or would have been, with the next event.
            if let Some(blow) = blows.iter().find(|blow| (before..at).contains(*blow)) {
                found.takeover = found.takeover.max(Duration::from_micros(at - blow));
            }
            highest = highest.max(next);
        }
        assert_eq!(highest, (sent - 1 - key) / KEYS, "the last of S{key}");
    }
    found
}
