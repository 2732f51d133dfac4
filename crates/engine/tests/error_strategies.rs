//! Each error strategy at each stage: decode, query, encode, send; and what a source's end leads to.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use eventflux_core::EventFluxError;
use support::{World, eventually, invalid, transient};

const DEADLINE: Duration = Duration::from_secs(5);
const FAST_RETRY: &str = "error.strategy='retry', error.retry.max-attempts='3', error.retry.initial-delay='1ms', error.retry.max-delay='2ms'";

/// A pipeline with these `error.*` properties on its source and on its sink, and a dead-letter stream.
fn sql(source: &str, sink: &str) -> String {
    let list = |properties: &str| if properties.is_empty() { String::new() } else { format!(", {properties}") };
    format!(
        "@source(type='memory'{}) CREATE STREAM Numbers (name STRING, number BIGINT);
         @sink(type='memory'{}) CREATE STREAM Out (name STRING, number BIGINT);
         @sink(type='memory') CREATE STREAM Failed (stage STRING, streamName STRING, errorType STRING,
             attemptCount INT, sourcePosition BIGINT, originalEvent STRING);
         
         INSERT INTO Out SELECT FLAKY(name) AS name, 100 / number AS number FROM Numbers;",
        list(source),
        list(sink)
    )
}

const DLQ: &str = "error.strategy='dlq', error.dlq.stream='Failed'";

#[test]
fn a_message_that_cannot_be_decoded_is_dropped_and_the_others_go_on() {
    let world = World::new();
    let mut pipeline = world.pipeline(&sql("error.strategy='drop'", ""));
    world.send("Numbers", &["a,1", "b,x", "c,2"]).unwrap();
    let summary = pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Out"), ["a,100", "c,50"]);
    assert_eq!((summary.events_in, summary.events_out, summary.dropped, summary.failed), (2, 2, 1, 1));
}

#[test]
fn a_message_that_cannot_be_decoded_reaches_the_dead_letter_stream_with_its_bytes() {
    let world = World::new();
    let mut pipeline = world.pipeline(&sql(DLQ, ""));
    world.send("Numbers", &["a,1", "b,x"]).unwrap();
    let summary = pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Out"), ["a,100"]);
    assert_eq!(world.delivered("Failed"), ["decode,Numbers,mapping,1,2,b,x"]);
    assert_eq!((summary.dead_lettered, summary.dropped), (1, 0));
}

#[test]
fn a_message_that_cannot_be_decoded_stops_the_pipeline_when_asked_to() {
    let world = World::new();
    let pipeline = world.pipeline(&sql("error.strategy='fail'", ""));
    let result = world.send("Numbers", &["b,x", "a,1"]);
    assert!(matches!(result, Err(EventFluxError::Mapping { .. })), "{result:?}");
    assert!(matches!(pipeline.wait(), Err(EventFluxError::Mapping { .. })));
    assert!(world.send("Numbers", &["a,1"]).is_err());
}

#[test]
fn a_transient_fault_of_a_decoder_is_retried_and_order_is_kept() {
    let world = World::new();
    world.fail_on("b,2", 2, transient());
    let mut pipeline = world.pipeline(&sql(FAST_RETRY, ""));
    world.send("Numbers", &["a,1", "b,2", "c,4"]).unwrap();
    assert!(!world.callback("Numbers").is_ready() || world.delivered("Out").len() == 3);
    eventually("everything arrives", || world.delivered("Out").len() == 3);
    assert_eq!(world.delivered("Out"), ["a,100", "b,50", "c,25"]);
    assert_eq!(pipeline.stop(DEADLINE).failed, 0);
}

#[test]
fn used_up_retries_lead_to_the_fallback_with_the_number_of_tries() {
    let world = World::new();
    world.fail_on("b,2", 99, transient());
    let source = format!("{FAST_RETRY}, error.dlq.stream='Failed'");
    let mut pipeline = world.pipeline(&sql(&source, ""));
    world.send("Numbers", &["a,1", "b,2", "c,4"]).unwrap();
    eventually("the others arrive", || world.delivered("Out").len() == 2);
    pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Failed"), ["decode,Numbers,send,4,2,b,2"]);
    assert_eq!(world.delivered("Out"), ["a,100", "c,25"]);
}

#[test]
fn what_no_retry_can_mend_is_not_retried() {
    let world = World::new();
    let source = format!("{FAST_RETRY}, error.retry.fallback-strategy='drop'");
    let mut pipeline = world.pipeline(&sql(&source, ""));
    world.send("Numbers", &["b,x", "c,4"]).unwrap();
    let summary = pipeline.stop(DEADLINE);
    assert_eq!((summary.dropped, world.delivered("Out")), (1, vec!["c,25".to_owned()]));
}

#[test]
fn a_row_without_a_result_is_dropped_or_dead_lettered_as_the_source_says() {
    for (strategy, dropped, dead) in [("error.strategy='drop'", 1, 0), (DLQ, 0, 1)] {
        let world = World::new();
        let mut pipeline = world.pipeline(&sql(strategy, ""));
        world.send("Numbers", &["a,1", "z,0", "c,4"]).unwrap();
        let summary = pipeline.stop(DEADLINE);
        assert_eq!(world.delivered("Out"), ["a,100", "c,25"]);
        assert_eq!((summary.dropped, summary.dead_lettered), (dropped, dead), "{strategy}");
        if dead == 1 {
            assert_eq!(world.delivered("Failed"), [r#"query,Out,query,1,2,{"name":"z","number":0}"#]);
        }
    }
}

#[test]
fn a_row_without_a_result_stops_the_pipeline_when_asked_to() {
    let world = World::new();
    let pipeline = world.pipeline(&sql("error.strategy='fail'", ""));
    assert!(world.send("Numbers", &["z,0"]).is_err());
    let error = pipeline.wait().unwrap_err();
    assert!(error.to_string().contains("division by zero"), "{error}");
}

#[test]
fn a_function_that_fails_for_now_is_retried_and_order_is_kept() {
    let world = World::new();
    world.fail_on("call b", 2, transient());
    let mut pipeline = world.pipeline(&sql(FAST_RETRY, ""));
    world.send("Numbers", &["a,1", "b,2", "c,4"]).unwrap();
    eventually("everything arrives", || world.delivered("Out").len() == 3);
    assert_eq!(world.delivered("Out"), ["a,100", "b,50", "c,25"]);
    assert_eq!(pipeline.stop(DEADLINE).failed, 0);
}

#[test]
fn order_is_kept_when_two_queries_in_a_row_fail_for_now() {
    let world = World::new();
    world.fail_on("call c", 1, transient());
    world.fail_on("call xa", 1, transient());
    let mut pipeline = world.pipeline(&format!(
        "@source(type='memory', {FAST_RETRY}) CREATE STREAM Numbers (name STRING);
         CREATE STREAM Marked (name STRING);
         @sink(type='memory') CREATE STREAM Out (name STRING);
         INSERT INTO Marked SELECT 'x' || FLAKY(name) AS name FROM Numbers;
         INSERT INTO Out SELECT FLAKY(name) AS name FROM Marked;"
    ));
    world.send("Numbers", &["a", "b", "c"]).unwrap();
    eventually("everything arrives", || world.delivered("Out").len() == 3);
    assert_eq!(world.delivered("Out"), ["xa", "xb", "xc"]);
    assert_eq!(pipeline.stop(DEADLINE).failed, 0);
}

#[test]
fn a_row_that_cannot_be_encoded_follows_the_sinks_strategy() {
    for (strategy, dropped, dead) in [("error.strategy='drop'", 1, 0), (DLQ, 0, 1)] {
        let world = World::new();
        world.fail_on("encode b,50", 99, invalid());
        let mut pipeline = world.pipeline(&sql("", strategy));
        world.send("Numbers", &["a,1", "b,2", "c,4"]).unwrap();
        let summary = pipeline.stop(DEADLINE);
        assert_eq!(world.delivered("Out"), ["a,100", "c,25"]);
        assert_eq!((summary.dropped, summary.dead_lettered), (dropped, dead), "{strategy}");
        if dead == 1 {
            assert_eq!(world.delivered("Failed"), [r#"encode,Out,mapping,1,2,{"name":"b","number":50}"#]);
        }
    }
}

#[test]
fn an_encoder_that_fails_for_now_is_retried_and_order_is_kept() {
    let world = World::new();
    world.fail_on("encode b,50", 2, transient());
    let mut pipeline = world.pipeline(&sql("", FAST_RETRY));
    world.send("Numbers", &["a,1", "b,2", "c,4"]).unwrap();
    world.send("Numbers", &["d,5"]).unwrap();
    eventually("everything arrives", || world.delivered("Out").len() == 4);
    assert_eq!(world.delivered("Out"), ["a,100", "b,50", "c,25", "d,20"]);
    assert_eq!(pipeline.stop(DEADLINE).failed, 0);
}

#[test]
fn an_encode_fault_stops_the_pipeline_when_asked_to() {
    let world = World::new();
    world.fail_on("encode b,50", 99, invalid());
    let pipeline = world.pipeline(&sql("", "error.strategy='fail'"));
    assert!(world.send("Numbers", &["b,2"]).is_err());
    assert!(pipeline.wait().is_err());
}

#[test]
fn a_payload_that_cannot_be_sent_follows_the_sinks_strategy() {
    for (strategy, dropped, dead) in [("error.strategy='drop'", 1, 0), (DLQ, 0, 1)] {
        let world = World::new();
        let mut pipeline = world.pipeline(&sql("", strategy));
        world.send("Numbers", &["a,1"]).unwrap();
        world.fail_sink("Out", [transient()]);
        world.send("Numbers", &["b,2", "c,4"]).unwrap();
        let summary = pipeline.stop(DEADLINE);
        assert_eq!(world.delivered("Out"), ["a,100", "c,25"]);
        assert_eq!((summary.dropped, summary.dead_lettered), (dropped, dead), "{strategy}");
        if dead == 1 {
            assert_eq!(world.delivered("Failed"), ["send,Out,send,1,2,b,50"]);
        }
    }
}

#[test]
fn a_payload_that_cannot_be_sent_for_now_is_retried_before_what_follows() {
    let world = World::new();
    world.fail_sink("Out", [transient(), transient()]);
    let mut pipeline = world.pipeline(&sql("", FAST_RETRY));
    world.send("Numbers", &["a,1", "b,2"]).unwrap();
    world.send("Numbers", &["c,4"]).unwrap();
    eventually("everything arrives", || world.delivered("Out").len() == 3);
    assert_eq!(world.delivered("Out"), ["a,100", "b,50", "c,25"]);
    let summary = pipeline.stop(DEADLINE);
    assert_eq!((summary.failed, summary.events_out), (0, 3));
}

#[test]
fn a_send_fault_stops_the_pipeline_by_default_because_it_is_not_the_events_fault() {
    let world = World::new();
    world.fail_sink("Out", [transient()]);
    let pipeline = world.pipeline(&sql("", ""));
    assert!(world.send("Numbers", &["a,1"]).is_err());
    assert!(pipeline.wait().is_err());
}

#[test]
fn what_a_sink_reports_later_follows_the_same_strategy() {
    let world = World::new();
    let mut pipeline = world.pipeline(&sql("", DLQ));
    world.send("Numbers", &["a,1"]).unwrap();
    world.report_failed("Out", "a,100", transient());
    let summary = pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Failed"), ["send,Out,send,1,1,a,100"]);
    assert_eq!((summary.events_out, summary.dead_lettered), (1, 1));
}

#[test]
fn what_a_sink_reports_later_is_retried_when_asked_to() {
    let world = World::new();
    let mut pipeline = world.pipeline(&sql("", FAST_RETRY));
    world.send("Numbers", &["a,1"]).unwrap();
    world.report_failed("Out", "a,100", transient());
    eventually("it is sent again", || world.delivered("Out").len() == 2);
    pipeline.stop(DEADLINE);
}

#[test]
fn what_a_sink_reports_again_and_again_is_dead_lettered_when_its_retries_are_used_up() {
    let world = World::new();
    let mut pipeline = world
        .pipeline(&sql("", &format!("{FAST_RETRY}, error.retry.fallback-strategy='dlq', error.dlq.stream='Failed'")));
    world.send("Numbers", &["a,1"]).unwrap();
    for tries in 1..=4 {
        eventually("it is sent", || world.delivered("Out").len() == tries);
        world.report_last_failed("Out", 0..1, transient());
    }
    eventually("it is given up", || world.delivered("Failed").len() == 1);
    assert!(world.delivered("Failed")[0].contains(",4,"), "{:?}", world.delivered("Failed"));
    pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Out").len(), 4);
}

#[test]
fn a_panic_costs_the_event_that_causes_it_and_nothing_else() {
    let world = World::new();
    let mut pipeline = world.pipeline(&sql(DLQ, DLQ));
    world.send("Numbers", &["a,1", "mapbomb,2", "bomb,4", "sinkbomb,5", "e,10"]).unwrap();
    world.send("Numbers", &["f,20"]).unwrap();
    let summary = pipeline.stop(DEADLINE);
    assert_eq!(
        world.delivered("Out"),
        ["a,100", "a,100", "e,10", "f,5"],
        "what a sink took before its panic comes twice"
    );
    assert_eq!(summary.dead_lettered, 3);
    let stages: Vec<_> =
        world.delivered("Failed").iter().map(|letter| letter.split(',').next().unwrap().to_owned()).collect();
    assert_eq!(stages, ["decode", "query", "send"]);
    assert!(world.delivered("Failed").iter().all(|letter| letter.contains(",panic,")));
}

#[test]
fn a_dead_letter_stream_that_fails_stops_the_pipeline_unless_it_may_drop() {
    for (fallback, fails) in [("", true), (", error.dlq.fallback-strategy='drop'", false)] {
        let world = World::new();
        world.fail_sink("Failed", [transient()]);
        let pipeline = world.pipeline(&sql(&format!("{DLQ}{fallback}"), ""));
        assert_eq!(world.send("Numbers", &["b,x"]).is_err(), fails, "{fallback}");
        drop(pipeline);
    }
}

#[test]
fn a_dead_letter_stream_that_fails_for_now_is_retried_when_asked_to() {
    let world = World::new();
    world.fail_sink("Failed", [transient()]);
    let mut pipeline = world.pipeline(&sql(&format!("{DLQ}, error.dlq.fallback-strategy='retry'"), ""));
    world.send("Numbers", &["b,x"]).unwrap();
    eventually("the letter arrives", || world.delivered("Failed").len() == 1);
    pipeline.stop(DEADLINE);
}

#[test]
fn a_dead_letter_stream_can_be_queried_like_any_other() {
    let world = World::new();
    let mut pipeline = world.pipeline(
        "@source(type='memory', error.strategy='dlq', error.dlq.stream='Failed') CREATE STREAM Tr (n BIGINT);
         @sink(type='memory') CREATE STREAM Out (n BIGINT);
         INSERT INTO Out SELECT n FROM Tr;
         CREATE STREAM Failed (originalEvent STRING, attemptCount BIGINT);
         @sink(type='memory') CREATE STREAM Alarm (text STRING);
         INSERT INTO Alarm SELECT 'bad: ' || originalEvent AS text FROM Failed WHERE attemptCount = 1;",
    );
    world.send("Tr", &["x", "1"]).unwrap();
    pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Alarm"), ["bad: x"]);
}

#[test]
fn a_busy_dead_letter_sink_holds_the_source_back() {
    let world = World::new();
    let mut pipeline = world.pipeline(&sql(DLQ, ""));
    world.sinks_busy.store(true, Ordering::SeqCst);
    assert!(!world.callback("Numbers").is_ready());
    world.sinks_busy.store(false, Ordering::SeqCst);
    assert!(world.callback("Numbers").is_ready());
    pipeline.stop(DEADLINE);
}

#[test]
fn a_source_that_panics_is_started_again_with_its_strategy() {
    let world = World::new();
    let mut pipeline = world
        .pipeline(&sql(&format!("{DLQ}, error.dlq.fallback-strategy='retry', error.retry.initial-delay='1ms'"), ""));
    let panic = EventFluxError::Panic { component: "memory".into(), reason: "oops".into() };
    world.callback("Numbers").on_end(Err(panic));
    eventually("a second start", || world.source_starts.load(Ordering::SeqCst) == 2);
    world.send("Numbers", &["b,x", "a,1"]).unwrap();
    pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Out"), ["a,100"]);
    assert_eq!(world.delivered("Failed").len(), 2, "the panic and the bad message");
}

#[test]
fn a_source_that_gives_up_stops_the_pipeline_by_default() {
    let world = World::new();
    let pipeline = world.pipeline(&sql("", ""));
    let gone = EventFluxError::ConnectionUnavailable { endpoint: "x".into(), reason: "gone".into(), retryable: true };
    world.callback("Numbers").on_end(Err(gone.clone()));
    assert_eq!(pipeline.wait(), Err(gone));
}

#[test]
fn a_source_that_gives_up_is_started_again_a_bounded_number_of_times() {
    let world = World::new();
    let pipeline = world.pipeline(&sql(FAST_RETRY, ""));
    let gone = EventFluxError::ConnectionUnavailable { endpoint: "x".into(), reason: "gone".into(), retryable: true };
    for start in 1..=4 {
        eventually("the next start", || world.source_starts.load(Ordering::SeqCst) == start);
        world.callback("Numbers").on_end(Err(gone.clone()));
    }
    assert_eq!(pipeline.wait(), Err(gone));
}
