//! The server no longer permits what it did, while events flow, and then permits it again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use async_nats::ConnectOptions;
use eventflux_testkit::nats::NatsServer;

use super::node::Node;
use super::operator::Operator;
use super::pipelines::{PRODUCED, STREAM, SUBJECT, WINDOW, read, stored_if_it_exists};
use super::producer::Producer;
use super::sql::{keeper, relay};
use super::tally::text;
use super::watch::Watch;
use super::{RATE, extent, folder, wait_until};

/// Events that are refused before the permission is given back.
const REFUSED: usize = 100;

/// Events that come through before and after.
const PART: u64 = RATE / 2;

const AS_WRITER: &str = "nats.user='writer', nats.password='w'";
const AS_READER: &str = "nats.user='reader', nats.password='r'";

/// Who may publish what: `writer` and `reader` are lists of subjects.
fn users(writer: &str, reader: &str) -> String {
    format!(
        "authorization {{ users [
            {{ user: operator, password: o }},
            {{ user: writer, password: w, permissions {{ publish {{ allow: [{writer}] }}, subscribe: \"_INBOX.>\" }} }},
            {{ user: reader, password: r, permissions {{ publish {{ allow: [{reader}] }}, subscribe: \"_INBOX.>\" }} }}
        ] }}"
    )
}

const WRITES: &str = "\"numbers\", \"$JS.API.>\"";
const READS: &str = "\"$JS.API.>\", \"$JS.ACK.>\"";
const NOTHING: &str = "\"elsewhere\"";

fn start() -> (NatsServer, Operator) {
    let server = NatsServer::start_with(&users(WRITES, READS));
    let options = ConnectOptions::with_user_and_password("operator".to_owned(), "o".to_owned());
    let operator = Operator::connect_with(&server, options);
    operator.create(STREAM, SUBJECT);
    (server, operator)
}

#[test]
fn what_may_not_be_published_any_more_is_reported_and_kept() {
    let proof = "permission to publish revoked, then restored";
    let (folder, (mut server, _operator)) = (folder(), start());
    let [out, refused] = ["out.jsonl", "refused.jsonl"].map(|name| folder.path().join(name));
    let sink = stored_if_it_exists(
        server.address(),
        &format!("{AS_WRITER}, error.strategy='dlq', error.dlq.stream='Refused'"),
    );
    let dead_letters = format!(
        "@sink(type='file', file.path='{}', @map(type='json'))\n\
         CREATE STREAM Refused (originalEvent STRING, errorMessage STRING);\n",
        refused.display()
    );
    let mut writer = Node::start(folder.path(), "writer.sql", &(relay(PRODUCED, &sink) + &dead_letters));
    let mut reader = Node::start(folder.path(), "reader.sql", &keeper(&read(server.address(), AS_READER), &out));
    let producer = Producer::start(writer.listens(), RATE, |number| text(&number.to_string(), 0));
    producer.go();
    let watch = Watch::start(out.clone(), 0);
    watch.wait_for_more(PART);
    let rounds = extent::kills(1).div_ceil(4);
    for _ in 0..rounds {
        let before = numbers(&refused).len();
        server.reload(&users(NOTHING, READS));
        wait_until("events are refused", || numbers(&refused).len() >= before + REFUSED);
        server.reload(&users(WRITES, READS));
        watch.wait_for_more(PART);
    }
    assert!(writer.metric("eventflux_nats_errors_total", "kind=\"permissions\"") > 0);
    let sent = producer.finish();
    let all: BTreeSet<_> = (0..sent).collect();
    wait_until("all are stored or refused", || &numbers(&out) | &numbers(&refused) == all);
    assert!(fs::read_to_string(&refused).unwrap().contains("does not permit to publish to numbers"));
    let dead = writer.metric("eventflux_sink_dead_letters_total", "");
    writer.stop();
    reader.stop();
    let both = (&numbers(&out) & &numbers(&refused)).len();
    assert_eq!(dead, fs::read_to_string(&refused).unwrap().lines().count() as u64);
    extent::figures(
        proof,
        &format!(
            "{sent} events, revoked {rounds} times: lost 0, refused and kept {dead}, of them stored all the same {both}"
        ),
    );
}

#[test]
fn a_reader_that_may_not_read_any_more_says_so_and_goes_on_later() {
    let proof = "permission to read revoked, then restored";
    let (folder, (mut server, _operator)) = (folder(), start());
    let out = folder.path().join("out.jsonl");
    let mut writer =
        Node::start(folder.path(), "writer.sql", &relay(PRODUCED, &stored_if_it_exists(server.address(), AS_WRITER)));
    let mut reader = Node::start(folder.path(), "reader.sql", &keeper(&read(server.address(), AS_READER), &out));
    let producer = Producer::start(writer.listens(), RATE, |number| text(&number.to_string(), 0));
    producer.go();
    let watch = Watch::start(out, 0);
    watch.wait_for_more(PART);
    let rounds = extent::kills(1).div_ceil(4);
    for _ in 0..rounds {
        let before = reader.metric("eventflux_nats_errors_total", "kind=\"permissions\"");
        server.reload(&users(WRITES, NOTHING));
        wait_until("it is said", || reader.metric("eventflux_nats_errors_total", "kind=\"permissions\"") > before);
        wait_until("it gets nothing any more", || producer.sent() > watch.distinct() + PART);
        reader.wait_for_health("does not permit");
        server.reload(&users(WRITES, READS));
        watch.wait_for_more(PART);
    }
    wait_until("all is well again", || reader.is_ready());
    let sent = producer.finish();
    watch.wait_for(sent);
    writer.stop();
    reader.stop();
    let verdict = watch.assert_nothing_lost_or_invented(sent);
    assert!(verdict.duplicates <= rounds * WINDOW, "{verdict:?}");
    extent::figures(
        proof,
        &format!(
            "{sent} events, revoked {rounds} times: lost 0, invented 0, duplicates {}, longest pause {:.1?}",
            verdict.duplicates,
            watch.longest_pause()
        ),
    );
}

/// The numbers of the events in a file: as they are, or within dead letters.
fn numbers(file: &Path) -> BTreeSet<u64> {
    let number = |line: &str| {
        let rest = line.split_once("\"n\":").or_else(|| line.split_once("\\\"n\\\":"))?.1;
        rest.split(',').next()?.parse().ok()
    };
    // The last line may still be written, and the file begins with the first.
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).filter_map(number).collect()
}
