//! Messages that are broken, hostile or poisonous: each reaches its error strategy, and the others go on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::io::Write;

use eventflux_core::health::ConnectionState;
use eventflux_core::{Column, DataType, FunctionError, ScalarFunction, ValueRef};
use eventflux_testkit::peer::frames::{RawFrame, TEXT};
use eventflux_testkit::peer::{Message, Script, ScriptedPeer};
use eventflux_testkit::wait::eventually_blocking;
use serde_json::Value;
use support::{
    DEADLINE, DLQ, Pipeline, QUICK, client, context, dead_letters, messages, numbers, received, relay, sending,
};

/// A feed of these messages, and where events and dead letters arrive.
struct Bench {
    feed: ScriptedPeer,
    receiver: ScriptedPeer,
    failed: ScriptedPeer,
}

impl Bench {
    fn new(messages: impl IntoIterator<Item = impl Into<Message>>) -> Self {
        Self::playing([Script::new().accept().send_all(messages)])
    }

    fn playing(scripts: impl IntoIterator<Item = Script>) -> Self {
        let feed = scripts.into_iter().fold(ScriptedPeer::builder(), |feed, script| feed.script(script));
        Self { feed: feed.start(), receiver: ScriptedPeer::builder().start(), failed: ScriptedPeer::builder().start() }
    }

    /// `Fed (columns)` through `select` into `Out (out)`; what fails goes to `Failed`.
    fn sql(&self, properties: &str, columns: &str, out: &str, select: &str) -> String {
        format!(
            "{} CREATE STREAM Fed ({columns});
             {} CREATE STREAM Out ({out});
             {}
             INSERT INTO Out SELECT {select} FROM Fed;",
            client("source", self.feed.url(), &format!("{QUICK}, {properties}")),
            client("sink", self.receiver.url(), ""),
            dead_letters(self.failed.url(), ""),
        )
    }

    fn letters(&self, count: usize) -> Vec<Value> {
        received(&self.failed, count)
    }
}

const DEEP: usize = 128;

/// An object of `depth` levels with the number `n`.
fn nested(n: u64, depth: usize) -> String {
    format!("{{\"n\":{n},\"deep\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1))
}

#[test]
fn every_broken_message_becomes_a_dead_letter_with_its_reason_and_the_others_go_on() {
    let deep = nested(0, DEEP + 1);
    let broken = [
        ("", "the message is empty"),
        ("{\"n\":1", "ends too early"),
        ("{\"n\":1}x", "unexpected text after the end"),
        ("\u{feff}{\"n\":1}", "byte order mark"),
        (&*deep, "json.max.depth"),
        ("{\"n\":NaN}", "expected a value"),
        ("{\"n\":Infinity}", "expected a value"),
        ("{\"n\":1,\"price\":1e400}", "out of range"),
        ("{\"n\":1,\"other\":1e400}", "out of range"),
        ("{\"n\":9223372036854775808}", "column n"),
        ("{\"n\":18446744073709551616}", "column n"),
        ("{\"n\":1.5}", "it has a fraction"),
        ("{\"n\":\"1\"}", "column n"),
        ("{\"n\":true}", "column n"),
        ("{\"n\":1,\"price\":\"2\"}", "column price"),
        ("{\"n\":1,\"text\":5}", "column text"),
        ("{\"n\":1,\"other\":\"\\ud800\"}", "surrogate"),
        ("{\"n\":1,\"text\":\"a\u{1b}[31mb\"}", "control character"),
        ("7", "where an event should be"),
        ("[{\"n\":1},7]", "where an event should be"),
    ];
    let good = broken.len() as u64;
    let all = broken.iter().zip(0..good).flat_map(|((text, _), n)| [(*text).to_owned(), nested(n, DEEP)]);
    let bench = Bench::new(all);
    let sql = bench.sql(DLQ, "n BIGINT, price DOUBLE, text STRING", "n BIGINT", "n");
    let pipeline = Pipeline::start(&sql);
    assert_eq!(numbers(&bench.receiver.wait_for_messages(broken.len()).blocking()), (0..good).collect::<Vec<_>>());
    for ((letter, (text, reason)), index) in bench.letters(broken.len()).iter().zip(broken).zip(0..) {
        let message = letter["errorMessage"].as_str().unwrap();
        assert!(message.contains(reason), "{text}: {message}");
        assert_eq!(letter["originalEvent"], text);
        assert_eq!((&letter["stage"], &letter["errorType"]), (&"decode".into(), &"mapping".into()));
        assert_eq!((&letter["sourcePosition"], &letter["attemptCount"]), (&(2 * index + 1).into(), &1.into()));
    }
    assert_eq!(pipeline.metric("eventflux_source_failed_total", "Fed"), good);
    assert_eq!(pipeline.metric("eventflux_source_dead_letters_total", "Fed"), good);
    assert_eq!(pipeline.metric("eventflux_source_gaps_total", "Fed"), 0);
    let summary = pipeline.stop();
    assert_eq!((summary.events_in, summary.dropped), (good, 0));
}

#[test]
fn numbers_and_nested_values_go_through_without_a_digit_lost() {
    let sent = [
        r#"{"n":9007199254740993,"d":0.1,"j":{"big":18446744073709551616,"exact":0.10}}"#,
        r#"{"n":9223372036854775807,"d":1e+308,"j":[1.50,-0.0]}"#,
        r#"{"n":-9223372036854775808,"d":5e-324,"j":123456789012345678901234567890}"#,
    ];
    let bench = Bench::new(sent);
    let columns = "n BIGINT, d DOUBLE, j JSON";
    let pipeline = Pipeline::start(&bench.sql(DLQ, columns, columns, "*"));
    let arrived = bench.receiver.wait_for_messages(sent.len()).blocking();
    let texts: Vec<_> = arrived.iter().filter_map(Message::as_text).collect();
    assert_eq!(texts, sent);
    assert_eq!(pipeline.stop().failed, 0);
}

#[test]
fn nulls_and_missing_values_follow_their_declared_rule() {
    let sent = [r#"{"n":1,"s":"x"}"#, r#"{"n":2,"s":null}"#, r#"{"n":3}"#];
    for (rule, arriving, failing) in [
        ("json.on.missing='null'", &[1, 2, 3][..], &[][..]),
        ("json.on.missing='error'", &[1, 2], &["s is missing"]),
        ("json.on.null='error'", &[1, 3], &["s is null"]),
        ("json.on.missing='error', json.on.null='error'", &[1], &["s is null", "s is missing"]),
    ] {
        let bench = Bench::new(sent);
        let properties = format!("{DLQ}, @map(type='json', {rule})");
        let pipeline = Pipeline::start(&bench.sql(&properties, "n BIGINT, s STRING", "n BIGINT, s STRING", "*"));
        let events = bench.receiver.wait_for_messages(arriving.len()).blocking();
        assert_eq!(numbers(&events), arriving, "{rule}");
        for (letter, reason) in bench.letters(failing.len()).iter().zip(failing) {
            let message = letter["errorMessage"].as_str().unwrap();
            assert!(message.contains(reason), "{rule}: {message}");
        }
        assert_eq!(pipeline.metric("eventflux_source_failed_total", "Fed"), failing.len() as u64, "{rule}");
        pipeline.stop();
    }
}

#[test]
fn columns_that_differ_by_case_stay_apart_and_the_last_of_repeated_keys_counts() {
    let bench = Bench::new([r#"{"T":1700000000000,"t":12345,"s":"first","s":"last"}"#]);
    let columns = "t BIGINT, T BIGINT, s STRING";
    let pipeline = Pipeline::start(&bench.sql(DLQ, columns, columns, "t + 1 AS t, T, s"));
    let event = received(&bench.receiver, 1).remove(0);
    assert_eq!(event, serde_json::json!({"t": 12346, "T": 1_700_000_000_000_u64, "s": "last"}));
    pipeline.stop();
}

#[test]
fn arithmetic_without_a_result_is_a_defined_error_of_its_row() {
    for (expression, reason) in [
        ("10 / n", "division by zero"),
        ("10 % n", "division by zero"),
        ("CAST(1.5 / n AS BIGINT)", "division by zero"),
        ("9223372036854775807 + (n + 1)", "out of range"),
        ("CAST(1e308 * (10 - n) AS BIGINT)", "out of range"),
    ] {
        let bench = Bench::new(["{\"n\":0}", "{\"n\":10}"]);
        let sql = bench.sql(DLQ, "n BIGINT", "n BIGINT", &format!("CASE WHEN n = 0 THEN {expression} ELSE n END AS n"));
        let pipeline = Pipeline::start(&sql);
        assert_eq!(numbers(&bench.receiver.wait_for_messages(1).blocking()), [10], "{expression}");
        let letter = bench.letters(1).remove(0);
        assert!(letter["errorMessage"].as_str().unwrap().contains(reason), "{expression}: {letter}");
        assert_eq!((&letter["stage"], &letter["originalEvent"]), (&"query".into(), &"{\"n\":0}".into()));
        assert_eq!(pipeline.metric("eventflux_source_failed_total", "Fed"), 1);
        pipeline.stop();
    }
}

#[test]
fn line_breaks_and_terminal_codes_of_a_peer_are_escaped_in_logs() {
    let forged = "{\"n\":\"\\r\\nFATAL \\u001b[31mforged\"}";
    let feed = ScriptedPeer::builder()
        .script(
            Script::new()
                .accept()
                .send_text(forged)
                .send_text("{\"n\":\n\"\u{7f}\u{9b}x\"}")
                .close(1008, "bye\r\nFATAL \u{1b}[2J"),
        )
        .script(Script::new().reject(403, "no\r\n\u{1b}[2J"))
        .script(sending(0..1))
        .start();
    let receiver = ScriptedPeer::builder().start();
    let pipeline = Pipeline::start(&relay(feed.url(), QUICK, receiver.url(), ""));
    receiver.wait_for_messages(1).blocking();
    let here = feed.address().port().to_string();
    let lines = pipeline.logged(&here);
    assert!(lines.iter().any(|line| line.contains("bye\\r\\nFATAL")), "the reason is logged, escaped: {lines:?}");
    assert_eq!(pipeline.metric("eventflux_source_dropped_total", "Fed"), 2);
    pipeline.stop();
}

#[test]
fn bytes_that_are_no_text_reach_the_dead_letters_exactly() {
    let bench = Bench::playing([
        sending(0..1)
            .send_binary(&b"{\"w\":\"\xff\"}"[..])
            .send_frame(RawFrame::new(TEXT, &b"{\"n\":\"\xc3\x28\"}"[..])),
        sending(1..2),
    ]);
    let sql = bench.sql(DLQ, "n BIGINT", "n BIGINT", "n").replace("originalEvent STRING", "originalEvent BYTES");
    let pipeline = Pipeline::start(&sql);
    assert_eq!(numbers(&bench.receiver.wait_for_messages(2).blocking()), [0, 1]);
    let letters = bench.letters(2);
    assert_eq!((&letters[0]["stage"], &letters[0]["originalEvent"]), (&"decode".into(), &"eyJ3Ijoi/yJ9".into()));
    assert_eq!(letters[1]["stage"], "receive", "{letters:?}");
    assert!(bench.feed.record().closes.iter().any(|close| close.code == Some(1007)));
    assert_eq!(pipeline.metric("eventflux_source_failed_total", "Fed"), 2);
    pipeline.stop();
}

#[test]
fn a_compressed_bomb_is_a_dead_letter_and_the_connection_stays() {
    let gzip = |data: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    };
    let script = Script::new()
        .accept()
        .send_binary(gzip(b"{\"n\":0}"))
        .send_binary(gzip(&vec![b'['; 32 << 20]))
        .send_binary("no gzip")
        .send_binary(gzip(b"{\"n\":1}"));
    let bench = Bench::playing([script]);
    let properties = format!("{DLQ}, websocket.compression='gzip', websocket.compression.max.size='64KiB'");
    let pipeline = Pipeline::start(&bench.sql(&properties, "n BIGINT", "n BIGINT", "n"));
    assert_eq!(numbers(&bench.receiver.wait_for_messages(2).blocking()), [0, 1]);
    let letters = bench.letters(2);
    assert!(
        letters[0]["errorMessage"].as_str().unwrap().contains("websocket.compression.max.size"),
        "{}",
        letters[0]["errorMessage"]
    );
    assert_eq!((&letters[1]["stage"], &letters[1]["originalEvent"]), (&"receive".into(), &"no gzip".into()));
    assert_eq!(pipeline.metric("eventflux_source_gaps_total", "Fed"), 0);
    pipeline.stop();
}

#[test]
fn a_message_over_the_limit_is_a_dead_letter_and_the_feed_is_resumed() {
    let bench = Bench::playing([
        sending(0..1).send_text(format!("{{\"n\":1,\"s\":\"{}\"}}", "x".repeat(2000))).expect_close(1009),
        sending(2..3),
    ]);
    let properties = format!("{DLQ}, websocket.max.message.size='1000'");
    let pipeline = Pipeline::start(&bench.sql(&properties, "n BIGINT", "n BIGINT", "n"));
    assert_eq!(numbers(&bench.receiver.wait_for_messages(2).blocking()), [0, 2]);
    let letter = bench.letters(1).remove(0);
    assert_eq!(letter["stage"], "receive");
    assert!(letter["errorMessage"].as_str().unwrap().contains("1009"), "{letter}");
    assert_eq!(pipeline.metric("eventflux_source_gaps_total", "Fed"), 1);
    assert_eq!(pipeline.metric("eventflux_source_dead_letters_total", "Fed"), 1);
    pipeline.stop();
}

/// `TRAP(n)`: n, but 13 fails for now whenever it comes, and 66 panics.
struct Trap;

impl ScalarFunction for Trap {
    fn name(&self) -> &'static str {
        "TRAP"
    }

    fn return_type(&self, _: &[Option<DataType>]) -> Result<DataType, String> {
        Ok(DataType::Long)
    }

    fn call(&self, arguments: &[ValueRef<'_>], result: &mut Column) -> Result<(), FunctionError> {
        assert_ne!(arguments[0], ValueRef::Long(66), "a panic on purpose");
        if arguments[0] == ValueRef::Long(13) {
            return Err(FunctionError::transient("never today"));
        }
        result.push(arguments[0]);
        Ok(())
    }
}

fn trapping(bench: &Bench, strategy: &str, prepare: impl FnOnce(&mut eventflux_engine::EventFlux)) -> Pipeline {
    let mut context = context();
    context.add_function(Trap);
    let sql = bench.sql(strategy, "n BIGINT", "n BIGINT", "TRAP(n) AS n");
    Pipeline::start_with(&sql, &context, prepare)
}

#[test]
fn a_poison_message_is_a_dead_letter_after_its_tries_and_the_order_is_kept() {
    let bench = Bench::new(messages(10..20));
    let retry = "error.strategy='retry', error.retry.max-attempts='3', error.retry.initial-delay='1ms', \
         error.retry.max-delay='2ms', error.dlq.stream='Failed'";
    let pipeline = trapping(&bench, retry, |_| ());
    let others: Vec<u64> = (10..20).filter(|number| *number != 13).collect();
    assert_eq!(numbers(&bench.receiver.wait_for_messages(others.len()).blocking()), others);
    let letter = bench.letters(1).remove(0);
    assert_eq!((&letter["attemptCount"], &letter["originalEvent"]), (&4.into(), &"{\"n\":13}".into()));
    assert_eq!((&letter["stage"], &letter["sourcePosition"]), (&"query".into(), &4.into()));
    assert_eq!(pipeline.metric("eventflux_source_retries_total", "Fed"), 3);
    assert_eq!(pipeline.metric("eventflux_source_dead_letters_total", "Fed"), 1);
    pipeline.stop();
}

#[test]
fn panics_of_functions_and_subscribers_cost_their_event_only() {
    let bench = Bench::new(messages(64..69));
    let pipeline = trapping(&bench, DLQ, |flux| flux.subscribe("Out", |_| panic!("a panic on purpose")).unwrap());
    assert_eq!(numbers(&bench.receiver.wait_for_messages(4).blocking()), [64, 65, 67, 68]);
    let letter = bench.letters(1).remove(0);
    assert_eq!((&letter["errorType"], &letter["originalEvent"]), (&"panic".into(), &"{\"n\":66}".into()));
    pipeline.wait_for_state("Fed", ConnectionState::Connected);
    assert_eq!(pipeline.metric("eventflux_source_failed_total", "Fed"), 1);
    assert_eq!(bench.feed.record().connections, 1);
    pipeline.stop();
}

#[test]
fn a_dead_letter_sink_that_is_down_holds_the_feed_back_and_delivers_later() {
    const COUNT: usize = 20_000;
    let bench = Bench::new(vec!["broken"; COUNT]);
    bench.failed.refuse_connections().blocking();
    let sql = bench.sql(DLQ, "n BIGINT", "n BIGINT", "n");
    let patient = format!("{QUICK}, websocket.reconnect.max.attempts='-1', websocket.queue.bytes='4KiB'");
    let sql = sql.replace(&dead_letters(bench.failed.url(), ""), &dead_letters(bench.failed.url(), &patient));
    let pipeline = Pipeline::start(&sql);
    pipeline.wait_for_metric("eventflux_sink_queue_bytes", "Failed", 4096);
    assert!(pipeline.metric("eventflux_source_messages_total", "Fed") < COUNT as u64, "the feed was not held back");
    bench.failed.accept_connections().blocking();
    let letters = bench.letters(COUNT);
    assert!(letters.iter().zip(1..).all(|(letter, position)| letter["sourcePosition"] == position));
    assert_eq!(pipeline.stop().dead_lettered, COUNT as u64);
}

#[test]
fn a_dead_letter_sink_that_gives_up_fails_the_pipeline() {
    let bench = Bench::new(["broken", "{\"n\":1}"]);
    bench.failed.refuse_connections().blocking();
    let sql = bench.sql(DLQ, "n BIGINT", "n BIGINT", "n");
    let hasty = format!("{QUICK}, websocket.reconnect.max.attempts='2'");
    let sql = sql.replace(&dead_letters(bench.failed.url(), ""), &dead_letters(bench.failed.url(), &hasty));
    let pipeline = Pipeline::start(&sql);
    let error = pipeline.flux.wait().unwrap_err();
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
    eventually_blocking(DEADLINE, || pipeline.metric("eventflux_sink_failed_total", "Failed") == 1);
    pipeline.stop();
}
