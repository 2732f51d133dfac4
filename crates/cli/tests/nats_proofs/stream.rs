//! A stream that is full, and one that is deleted.

use std::time::{Duration, Instant};

use eventflux_testkit::nats::NatsServer;

use super::node::Node;
use super::operator::Operator;
use super::pipelines::{PRODUCED, STREAM, SUBJECT, read, stored, stored_if_it_exists};
use super::producer::Producer;
use super::sql::{keeper, relay};
use super::tally::text;
use super::watch::Watch;
use super::{RATE, extent, folder, wait_until};

/// Bytes that make an event large.
const PADDING: usize = 8_000;

/// Large events: more than all buffers on the way take, with those of the operating system.
const LARGE_EVENTS: u64 = 4_000;

/// How long the producer gets on no further before it counts as held up.
const HELD_UP: Duration = Duration::from_secs(1);

/// Events before a stream is deleted, and after it.
const PART: u64 = 1_000;

#[test]
fn a_full_stream_holds_the_producer_up_until_there_is_room() {
    let proof = "stream full, then room";
    let (server, folder) = (NatsServer::start(), folder());
    let rounds = extent::kills(3).div_ceil(3);
    let count = LARGE_EVENTS * rounds;
    let small = "nats.stream.retention='workqueue', nats.stream.discard='new', nats.stream.max.bytes='1MiB', \
                 nats.queue.bytes='64KiB', nats.max.in.flight='64'";
    let mut writer = Node::start(folder.path(), "writer.sql", &relay(PRODUCED, &stored(server.address(), small)));
    let producer = Producer::start(writer.listens(), u64::from(u32::MAX), |number| text(&number.to_string(), PADDING));
    producer.allow(count);
    writer.wait_for_health("exceeded");
    let held_at = wait_until_held_up(&producer);
    assert!(held_at < count, "nothing held the producer up");
    let full = Operator::connect(&server).messages(STREAM);

    let out = folder.path().join("out.jsonl");
    let watch = Watch::start(out.clone(), PADDING);
    let mut reader = Node::start(folder.path(), "reader.sql", &keeper(&read(server.address(), ""), &out));
    watch.wait_for(count);
    assert_eq!(producer.finish(), count);
    let retries = writer.metric("eventflux_nats_retries_total", "reason=\"full\"");
    assert!(retries > 0);
    assert!(!writer.health().contains("exceeded"), "{}", writer.health());
    writer.stop();
    reader.stop();
    let verdict = watch.assert_nothing_lost_or_invented(count);
    assert_eq!(verdict.duplicates, 0);
    extent::figures(
        proof,
        &format!(
            "{count} events of {PADDING} bytes, stream full with {full}, producer held up at {held_at}: lost 0, invented 0, \
             duplicates 0, sent again {retries}, longest pause {:.1?}",
            watch.longest_pause()
        ),
    );
}

/// How far the producer has got when it gets on no further.
fn wait_until_held_up(producer: &Producer) -> u64 {
    let (mut sent, mut since) = (producer.sent(), Instant::now());
    wait_until("the producer is held up", || {
        if producer.sent() != sent {
            (sent, since) = (producer.sent(), Instant::now());
        }
        since.elapsed() > HELD_UP
    });
    sent
}

#[test]
fn a_stream_that_was_deleted_is_missed_and_filled_when_somebody_creates_it_again() {
    deleted("stream deleted, created again by hand", false);
}

#[test]
fn a_stream_that_was_deleted_is_created_again_where_that_is_asked_for() {
    deleted("stream deleted, created again by eventflux", true);
}

fn deleted(proof: &str, creates: bool) {
    let (server, folder) = (NatsServer::start(), folder());
    let (operator, out) = (Operator::connect(&server), folder.path().join("out.jsonl"));
    let sink = if creates { stored(server.address(), "") } else { stored_if_it_exists(server.address(), "") };
    if !creates {
        operator.create(STREAM, SUBJECT);
    }
    let mut writer = Node::start(folder.path(), "writer.sql", &relay(PRODUCED, &sink));
    let mut reader = Node::start(folder.path(), "reader.sql", &keeper(&read(server.address(), ""), &out));
    let producer = Producer::start(writer.listens(), RATE, |number| text(&number.to_string(), 0));
    let watch = Watch::start(out, 0);
    let (rounds, mut missed) = (extent::kills(2).div_ceil(2), Duration::ZERO);
    for round in 0..rounds {
        // What is deleted with a stream and was not read is gone, by whoever deleted it: all is read before.
        producer.allow((2 * round + 1) * PART);
        watch.wait_for((2 * round + 1) * PART);
        wait_until("all is acknowledged", || reader.metric("eventflux_nats_unacknowledged", "") == 0);
        operator.delete(STREAM);
        let deleted = Instant::now();
        producer.allow((2 * round + 2) * PART);
        if !creates {
            writer.wait_for_health("no stream takes the subject");
            reader.wait_for_health("reconnecting");
            assert!(writer.metric("eventflux_nats_retries_total", "reason=\"no_stream\"") > 0);
            operator.create(STREAM, SUBJECT);
        }
        watch.wait_for((2 * round + 2) * PART);
        missed = missed.max(deleted.elapsed());
        assert!(operator.exists(STREAM));
    }
    wait_until("all is well again", || writer.is_ready() && reader.is_ready());
    let sent = producer.finish();
    writer.stop();
    reader.stop();
    let verdict = watch.assert_nothing_lost_or_invented(sent);
    extent::figures(
        proof,
        &format!(
            "{sent} events, {rounds} deletions: lost 0, invented 0, duplicates {}, complete again at most {missed:.1?} after it",
            verdict.duplicates
        ),
    );
}
