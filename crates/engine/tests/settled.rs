//! When a source learns that what it delivered is safe.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use eventflux_core::{BoxFuture, EventFluxError};
use support::{World, eventually, invalid, transient};
use tokio_test::{assert_pending, assert_ready_ok, task};

const DEADLINE: Duration = Duration::from_secs(5);
const FAST_RETRY: &str = "error.strategy='retry', error.retry.max-attempts='3', error.retry.initial-delay='1ms', error.retry.max-delay='2ms'";
/// What waits for another try does so until the end of the test.
const SLOW_RETRY: &str = "error.strategy='retry', error.retry.initial-delay='1h', error.retry.max-delay='1h'";
const DLQ: &str = "error.strategy='dlq', error.dlq.stream='Failed'";
const DROP: &str = "error.strategy='drop'";

type Settled = BoxFuture<'static, Result<(), EventFluxError>>;

/// `Numbers` feeds `Out` and, but for those below 10, `Large`.
fn sql(source: &str, sink: &str) -> String {
    let list = |properties: &str| if properties.is_empty() { String::new() } else { format!(", {properties}") };
    format!(
        "@source(type='memory'{}) CREATE STREAM Numbers (name STRING, number BIGINT);
         @sink(type='memory'{}) CREATE STREAM Out (name STRING, number BIGINT);
         @sink(type='memory') CREATE STREAM Large (name STRING, number BIGINT);
         @sink(type='memory') CREATE STREAM Failed (stage STRING, originalEvent STRING);
         INSERT INTO Out SELECT FLAKY(name) AS name, number FROM Numbers;
         INSERT INTO Large SELECT name, number FROM Numbers WHERE number >= 10;",
        list(source),
        list(sink)
    )
}

fn settled(world: &Arc<World>) -> Settled {
    world.callback("Numbers").settled()
}

/// What a call comes to, when nothing holds it back.
fn outcome(settled: Settled) -> Result<(), EventFluxError> {
    tokio_test::block_on(async { tokio::time::timeout(Duration::from_secs(10), settled).await }).unwrap()
}

/// Polls until it is ready: for what another thread has to do.
fn becomes_ready<T>(what: &str, settled: &mut task::Spawn<impl Future<Output = T>>) -> T {
    let (settled, result) = (RefCell::new(settled), RefCell::new(None));
    eventually(what, || {
        if let Poll::Ready(value) = settled.borrow_mut().poll() {
            result.replace(Some(value));
        }
        result.borrow().is_some()
    });
    result.into_inner().unwrap()
}

#[test]
fn what_no_sink_holds_back_is_settled_at_once() {
    let world = World::new();
    let mut pipeline = world.pipeline(&sql("", ""));
    assert_ready_ok!(task::spawn(settled(&world)).poll());
    world.send("Numbers", &["a,1", "b,20"]).unwrap();
    assert_ready_ok!(task::spawn(settled(&world)).poll());
    pipeline.stop(DEADLINE);
}

#[test]
fn it_waits_for_every_sink_and_filtered_events_are_settled() {
    let world = World::new();
    world.settle("Out", Ok(0));
    world.settle("Large", Ok(0));
    let _pipeline = world.pipeline(&sql("", ""));
    world.send("Numbers", &["a,1"]).unwrap();
    let mut small = task::spawn(settled(&world));
    assert_pending!(small.poll());
    world.settle("Out", Ok(1));
    assert!(small.is_woken());
    assert_ready_ok!(small.poll());
    world.send("Numbers", &["b,20"]).unwrap();
    let mut large = task::spawn(settled(&world));
    world.settle("Out", Ok(2));
    assert_pending!(large.poll());
    world.settle("Large", Ok(1));
    assert_ready_ok!(large.poll());
}

#[test]
fn the_worst_of_the_sinks_counts() {
    let world = World::new();
    world.settle("Out", Ok(0));
    world.settle("Large", Ok(0));
    let _pipeline = world.pipeline(&sql("", ""));
    world.send("Numbers", &["b,20"]).unwrap();
    let held = settled(&world);
    let gone = EventFluxError::ConnectionUnavailable { endpoint: "x".into(), reason: "gone".into(), retryable: false };
    world.settle("Large", Err(gone.clone()));
    world.settle("Out", Ok(1));
    assert_eq!(outcome(held), Err(gone));
}

#[test]
fn the_mark_is_set_by_the_call_and_later_deliveries_do_not_delay_it() {
    let world = World::new();
    world.settle("Out", Ok(0));
    let _pipeline = world.pipeline(&sql("", ""));
    let mut calls = Vec::new();
    for number in 1..=100 {
        world.send("Numbers", &[&format!("a,{}", number % 10)]).unwrap();
        calls.push(task::spawn(settled(&world)));
    }
    // Not one of them was polled before everything was delivered.
    world.settle("Out", Ok(60));
    for (index, call) in calls.iter_mut().enumerate() {
        assert_eq!(call.poll().is_ready(), index < 60, "call {index}");
    }
}

#[test]
fn what_waits_for_another_try_is_not_settled() {
    for fault in ["a,1", "call a", "encode a,1"] {
        let world = World::new();
        world.fail_on(fault, 2, transient());
        let mut pipeline = world.pipeline(&sql(FAST_RETRY, FAST_RETRY));
        world.send("Numbers", &["a,1", "b,2"]).unwrap();
        assert_eq!(outcome(settled(&world)), Ok(()), "{fault}");
        assert_eq!(world.delivered("Out"), ["a,1", "b,2"], "{fault}");
        pipeline.stop(DEADLINE);
    }
}

#[test]
fn a_payload_that_could_not_be_sent_is_settled_once_it_is() {
    let world = World::new();
    world.settle("Out", Ok(0));
    world.fail_sink("Out", [transient(), transient()]);
    let _pipeline = world.pipeline(&sql("", FAST_RETRY));
    world.send("Numbers", &["a,1"]).unwrap();
    let mut held = task::spawn(settled(&world));
    assert_pending!(held.poll());
    eventually("it is sent", || world.delivered("Out").len() == 1);
    assert_pending!(held.poll());
    world.settle("Out", Ok(1));
    becomes_ready("settled", &mut held).unwrap();
}

#[test]
fn what_came_later_and_waits_for_another_try_delays_nothing() {
    let world = World::new();
    world.settle("Out", Ok(0));
    let _pipeline = world.pipeline(&sql("", SLOW_RETRY));
    world.send("Numbers", &["a,1"]).unwrap();
    let mut first = task::spawn(settled(&world));
    assert_pending!(first.poll());
    world.send("Numbers", &["b,2"]).unwrap();
    world.report_last_failed("Out", 0..1, transient());
    world.send("Numbers", &["c,3"]).unwrap();
    let mut second = task::spawn(settled(&world));
    world.settle("Out", Ok(2));
    assert_ready_ok!(first.poll());
    assert_pending!(second.poll());
}

#[test]
fn what_a_sink_reports_is_settled_when_the_next_try_is() {
    let world = World::new();
    world.settle("Out", Ok(0));
    let _pipeline = world.pipeline(&sql("", FAST_RETRY));
    world.send("Numbers", &["a,1", "b,2"]).unwrap();
    let mut held = task::spawn(settled(&world));
    assert_pending!(held.poll());
    world.report_last_failed("Out", 1..2, transient());
    eventually("it is sent again", || world.delivered("Out") == ["a,1", "b,2", "b,2"]);
    world.settle("Out", Ok(2));
    assert_pending!(held.poll(), "the first promise of the sink is not that of the second try");
    world.settle("Out", Ok(3));
    becomes_ready("settled", &mut held).unwrap();
}

#[test]
fn what_a_sink_handed_back_is_waited_for_whatever_it_says_of_the_rest() {
    let world = World::new();
    world.settle("Out", Ok(0));
    let mut pipeline = world.pipeline(&sql("", SLOW_RETRY));
    world.send("Numbers", &["a,1"]).unwrap();
    let mut held = task::spawn(settled(&world));
    assert_pending!(held.poll());
    world.report_last_failed("Out", 0..1, transient());
    world.settle("Out", Err(transient()));
    assert_pending!(held.poll(), "it has another try");
    pipeline.stop(Duration::ZERO);
    assert_eq!(outcome(Box::pin(held.into_inner())), Err(EventFluxError::Stopped));
}

#[test]
fn an_event_in_the_dead_letter_stream_is_settled_with_the_sinks_of_that_stream() {
    for source_fails in [true, false] {
        let world = World::new();
        world.settle("Failed", Ok(0));
        world.fail_on(if source_fails { "a,1" } else { "encode a,1" }, 1, invalid());
        let _pipeline = world.pipeline(&sql(DLQ, DLQ));
        world.send("Numbers", &["a,1"]).unwrap();
        let mut held = task::spawn(settled(&world));
        assert_pending!(held.poll());
        assert_eq!(world.delivered("Failed").len(), 1);
        world.settle("Failed", Ok(1));
        assert_ready_ok!(held.poll());
    }
}

#[test]
fn a_dead_letter_of_a_payload_that_failed_after_the_call_counts_too() {
    let world = World::new();
    world.settle("Out", Ok(0));
    world.settle("Failed", Ok(0));
    let _pipeline = world.pipeline(&sql("", DLQ));
    world.send("Numbers", &["a,1"]).unwrap();
    let mut held = task::spawn(settled(&world));
    assert_pending!(held.poll());
    world.report_last_failed("Out", 0..1, transient());
    world.settle("Out", Ok(1));
    assert_pending!(held.poll());
    assert_eq!(world.delivered("Failed"), ["send,a,1"]);
    world.settle("Failed", Ok(1));
    assert_ready_ok!(held.poll());
}

#[test]
fn a_dead_letter_that_waits_for_another_try_is_not_settled() {
    for (retry, comes) in [(FAST_RETRY, true), (SLOW_RETRY, false)] {
        let world = World::new();
        world.fail_sink("Failed", [transient()]);
        let mut pipeline = world.pipeline(&format!(
            "@source(type='memory', {DLQ}) @sink(type='memory') CREATE STREAM Numbers (number BIGINT);
             @sink(type='memory', {retry}) CREATE STREAM Failed (stage STRING, originalEvent STRING);"
        ));
        world.send("Numbers", &["x"]).unwrap();
        let mut held = task::spawn(settled(&world));
        if comes {
            becomes_ready("the letter", &mut held).unwrap();
            assert_eq!(world.delivered("Failed"), ["decode,x"]);
        } else {
            assert_pending!(held.poll());
        }
        pipeline.stop(Duration::ZERO);
    }
}

#[test]
fn what_a_strategy_drops_is_settled() {
    let world = World::new();
    world.settle("Out", Ok(0));
    world.fail_on("encode b,2", 1, invalid());
    let _pipeline = world.pipeline(&sql(DROP, DROP));
    world.send("Numbers", &["a,x", "b,2"]).unwrap();
    assert_ready_ok!(task::spawn(settled(&world)).poll());
}

#[test]
fn a_fault_of_the_pipeline_is_the_answer() {
    let world = World::new();
    world.settle("Out", Ok(0));
    let _pipeline = world.pipeline(&sql("", "error.strategy='fail'"));
    world.send("Numbers", &["a,1"]).unwrap();
    let mut held = task::spawn(settled(&world));
    assert_pending!(held.poll());
    world.report_last_failed("Out", 0..1, transient());
    world.settle("Out", Ok(1));
    assert_eq!(becomes_ready("the fault", &mut held), Err(transient()));
    assert_eq!(outcome(settled(&world)), Err(transient()));
}

#[test]
fn a_stop_ends_the_wait_and_nothing_that_was_given_up_is_settled() {
    // A message, a row and a payload that wait for another try; and a sink that has not settled.
    for fault in ["a,1", "call a", "encode a,1", ""] {
        let world = World::new();
        world.fail_on(fault, 99, transient());
        if fault.is_empty() {
            world.settle("Out", Ok(0));
        }
        let mut pipeline = world.pipeline(&sql(SLOW_RETRY, SLOW_RETRY));
        world.send("Numbers", &["a,1"]).unwrap();
        let mut held = task::spawn(settled(&world));
        assert_pending!(held.poll(), "{fault}");
        pipeline.stop(Duration::ZERO);
        assert!(held.is_woken(), "{fault}");
        assert_eq!(outcome(Box::pin(held.into_inner())), Err(EventFluxError::Stopped), "{fault}");
        assert_eq!(outcome(settled(&world)), Err(EventFluxError::Stopped), "{fault}");
    }
}

#[test]
fn the_end_of_the_sources_does_not_end_the_wait() {
    let world = World::new();
    world.settle("Out", Ok(0));
    let pipeline = world.pipeline(&sql("", ""));
    world.send("Numbers", &["a,1"]).unwrap();
    let mut held = task::spawn(settled(&world));
    world.callback("Numbers").on_end(Ok(()));
    pipeline.wait().unwrap();
    assert_pending!(held.poll());
    world.settle("Out", Ok(1));
    assert_ready_ok!(held.poll());
}

#[test]
fn a_sink_that_panics_is_an_answer_too() {
    for when in ["called", "polled"] {
        let world = World::new();
        world.panic_in_settled(when);
        let _pipeline = world.pipeline(&sql("", ""));
        world.send("Numbers", &["a,1"]).unwrap();
        let error = outcome(settled(&world)).unwrap_err();
        assert!(matches!(error, EventFluxError::Panic { .. }), "{error}");
        assert!(error.to_string().contains(&format!("met {when}")), "{error}");
    }
}
