//! The server between two processes is killed, or one of the processes, again and again while events flow.
//!
//! ```text
//! producer -> writer -> stream of NATS -> reader -> file, acknowledged when the disk has it
//! ```

use std::ops::Range;
use std::path::Path;

use eventflux_testkit::nats::NatsServer;

use super::node::Node;
use super::operator::Operator;
use super::pipelines::{PRODUCED, STREAM, WINDOW, connection, read, stored};
use super::producer::Producer;
use super::sql::{keeper, relay};
use super::tally::text;
use super::watch::Watch;
use super::{extent, folder, weather};

/// Among the tests.
const SHORT_KILLS: u64 = 3;

/// Events per second: enough for batches, and for something to be under way at each moment.
const RATE: u64 = 5_000;

/// How long events flow between two kills, in milliseconds: also within one batch.
const FLOWING_MS: Range<u64> = 100..700;

/// How long the server is away.
const AWAY_MS: Range<u64> = 50..700;

/// Events that have to come through between two kills.
const BETWEEN: u64 = 50;

/// The chain of the module.
struct Chain {
    writer: Node,
    reader: Node,
    producer: Producer,
    watch: Watch,
}

impl Chain {
    fn start(folder: &Path, server: &NatsServer) -> Self {
        let out = folder.join("out.jsonl");
        let writer = Node::start(folder, "writer.sql", &relay(PRODUCED, &stored(server.address(), "")));
        let reader = Node::start(folder, "reader.sql", &keeper(&read(server.address(), ""), &out));
        let producer = Producer::start(writer.listens(), RATE, |number| text(&number.to_string(), 0));
        producer.go();
        let watch = Watch::start(out, 0);
        Self { writer, reader, producer, watch }
    }
}

#[test]
fn a_server_that_is_killed_loses_nothing_it_acknowledged() {
    let proof = "server killed, WebSocket to stream to file";
    let (mut random, folder) = (extent::random(proof), folder());
    let (server, kills) = (NatsServer::start(), extent::kills(SHORT_KILLS));
    let Chain { mut writer, mut reader, producer, watch } = Chain::start(folder.path(), &server);
    let mut forgotten = 0;
    for _ in 0..kills {
        watch.wait_for_more(BETWEEN);
        weather::pass(&mut random, FLOWING_MS);
        server.kill();
        weather::pass(&mut random, AWAY_MS);
        // It writes down now and then how far a consumer is. What it has forgotten is seen before the reader is back.
        reader.suspend();
        server.restart();
        forgotten += watch.distinct().saturating_sub(Operator::connect(&server).acknowledged(STREAM, "reader"));
        reader.resume();
    }
    watch.wait_for_more(BETWEEN);
    let sent = producer.finish();
    watch.wait_for(sent);
    let resent = writer.metric("eventflux_nats_retries_total", "");
    writer.stop();
    reader.stop();
    let verdict = watch.assert_nothing_lost_or_invented(sent);
    let stored = Operator::connect(&server).messages(STREAM);
    assert!(verdict.duplicates <= forgotten + kills * WINDOW, "{verdict:?}, {forgotten} forgotten");
    // Ids: what was sent again and was there already is not stored again.
    assert_eq!(stored, sent, "stored twice or not at all");
    extent::figures(
        proof,
        &format!(
            "{sent} events, {kills} kills: lost 0, invented 0, duplicates {} (acknowledgements forgotten by \
             the server {forgotten}), stored twice 0, sent again {resent}, longest pause {:.1?}",
            verdict.duplicates,
            watch.longest_pause()
        ),
    );
}

#[test]
fn a_reader_that_is_killed_goes_on_with_what_it_had_not_acknowledged() {
    let proof = "kill -9 of the reader of a stream";
    let (mut random, folder) = (extent::random(proof), folder());
    let (server, kills) = (NatsServer::start(), extent::kills(SHORT_KILLS));
    let Chain { mut writer, mut reader, producer, watch } = Chain::start(folder.path(), &server);
    for _ in 0..kills {
        watch.wait_for_more(BETWEEN);
        weather::pass(&mut random, FLOWING_MS);
        reader.kill();
        reader.start_again();
    }
    watch.wait_for_more(BETWEEN);
    let sent = producer.finish();
    watch.wait_for(sent);
    writer.stop();
    reader.stop();
    let verdict = watch.assert_nothing_lost_or_invented(sent);
    assert!(verdict.duplicates <= kills * WINDOW && verdict.torn <= kills, "{verdict:?}");
    extent::figures(
        proof,
        &format!(
            "{sent} events, {kills} kills: lost 0, invented 0, duplicates {} (window {WINDOW} each), torn lines {}, longest pause {:.1?}",
            verdict.duplicates,
            verdict.torn,
            watch.longest_pause()
        ),
    );
}

#[test]
fn what_moves_events_from_stream_to_stream_may_be_killed() {
    let proof = "kill -9 between two streams";
    let (mut random, folder) = (extent::random(proof), folder());
    let (server, kills) = (NatsServer::start(), extent::kills(SHORT_KILLS));
    let out = folder.path().join("out.jsonl");
    let mut writer = Node::start(folder.path(), "writer.sql", &relay(PRODUCED, &stored(server.address(), "")));
    let to_copies = format!(
        "type='nats', {}, nats.subject='copies', nats.stream='COPIES', nats.stream.create='true', @map(type='json')",
        connection(server.address())
    );
    let mut mover = Node::start(folder.path(), "mover.sql", &relay(&read(server.address(), ""), &to_copies));
    let copies = read(server.address(), "").replace(STREAM, "COPIES");
    let mut reader = Node::start(folder.path(), "reader.sql", &keeper(&copies, &out));
    let producer = Producer::start(writer.listens(), RATE, |number| text(&number.to_string(), 0));
    producer.go();
    let watch = Watch::start(out, 0);
    for _ in 0..kills {
        watch.wait_for_more(BETWEEN);
        weather::pass(&mut random, FLOWING_MS);
        mover.kill();
        mover.start_again();
    }
    watch.wait_for_more(BETWEEN);
    let sent = producer.finish();
    watch.wait_for(sent);
    [&mut writer, &mut mover, &mut reader].into_iter().for_each(Node::stop);
    let verdict = watch.assert_nothing_lost_or_invented(sent);
    assert!(verdict.duplicates <= kills * WINDOW, "{verdict:?}");
    extent::figures(
        proof,
        &format!(
            "{sent} events, {kills} kills: lost 0, invented 0, duplicates {} (window {WINDOW} each), longest pause {:.1?}",
            verdict.duplicates,
            watch.longest_pause()
        ),
    );
}
