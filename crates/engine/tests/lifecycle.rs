//! Start, flow, backpressure, end and stop of whole pipelines.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use eventflux_core::{EventFluxError, Value};
use support::{World, eventually};

const DEADLINE: Duration = Duration::from_secs(5);
const CHAIN: &str = "
    @source(type='memory') CREATE STREAM Tr (name STRING, number BIGINT);
    CREATE STREAM Middle (number BIGINT, name STRING);
    @sink(type='memory') CREATE STREAM Out (name STRING, number BIGINT);
    @sink(type='memory') CREATE STREAM Big (name STRING);
    INSERT INTO Middle SELECT number + 1 AS number, name FROM Tr;
    INSERT INTO Out SELECT * FROM Middle;
    SELECT name FROM Middle AS m WHERE m.number > 10 INSERT INTO Big;
";

#[test]
fn events_flow_through_chains_to_several_sinks_matched_by_name() {
    let world = World::new();
    let mut pipeline = world.pipeline(CHAIN);
    world.send("Tr", &["a,1", "b,10"]).unwrap();
    let summary = pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Out"), ["a,2", "b,11"]);
    assert_eq!(world.delivered("Big"), ["b"]);
    assert_eq!((summary.events_in, summary.events_out), (2, 3));
    assert_eq!(summary.to_string(), "in 2, out 3, dropped 0, failed 0, dead letters 0, undelivered 0");
}

#[test]
fn sinks_start_before_sources_and_stop_after_them() {
    let world = World::new();
    world.pipeline(CHAIN).stop(DEADLINE);
    let order = world.order.lock().unwrap().clone();
    let index = |what: &str| order.iter().position(|entry| entry == what).unwrap();
    assert!(index("start sink Out") < index("start source Tr"));
    assert!(index("stop source Tr") < index("stop sink Out"));
}

#[test]
fn a_pipeline_ends_when_every_source_is_exhausted() {
    let world = World::new();
    let mut pipeline = world.pipeline(CHAIN);
    world.send("Tr", &["a,1"]).unwrap();
    world.callback("Tr").on_end(Ok(()));
    assert_eq!(pipeline.wait(), Ok(()));
    assert_eq!(pipeline.stop(DEADLINE).events_out, 1);
}

#[test]
fn a_stopper_ends_the_wait_and_a_stopped_pipeline_takes_nothing() {
    let world = World::new();
    let mut pipeline = world.pipeline(CHAIN);
    let stopper = pipeline.stopper();
    std::thread::spawn(move || stopper.request());
    assert_eq!(pipeline.wait(), Ok(()));
    let first = pipeline.stop(DEADLINE);
    assert_eq!(pipeline.stop(DEADLINE), first);
    assert_eq!(world.send("Tr", &["a,1"]), Err(EventFluxError::Stopped));
}

#[test]
fn a_busy_sink_makes_the_source_wait_until_it_is_ready() {
    let world = World::new();
    let mut pipeline = world.pipeline(CHAIN);
    let callback = world.callback("Tr");
    world.sinks_busy.store(true, Ordering::SeqCst);
    assert!(!callback.is_ready());
    let waiting = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(callback.ready());
        callback.is_ready()
    });
    world.sinks_busy.store(false, Ordering::SeqCst);
    assert!(waiting.join().unwrap());
    pipeline.stop(DEADLINE);
}

#[test]
fn waiting_for_a_busy_sink_ends_when_the_pipeline_fails() {
    let world = World::new();
    let pipeline = world.pipeline(CHAIN);
    world.sinks_busy.store(true, Ordering::SeqCst);
    let callback = world.callback("Tr");
    let waiting = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(callback.ready());
    });
    let broken = EventFluxError::Panic { component: "x".into(), reason: "y".into() };
    world.callback("Tr").on_end(Err(broken.clone()));
    assert_eq!(pipeline.wait(), Err(broken));
    waiting.join().unwrap();
}

#[test]
fn programs_push_events_and_are_held_back_by_busy_sinks() {
    let world = World::new();
    let mut pipeline = world.pipeline(CHAIN);
    let input = pipeline.input("Middle").unwrap();
    input.send(&[Value::Long(42), "pushed".into()]).unwrap();
    assert!(input.send(&["wrong".into(), "types".into()]).is_err());
    assert!(pipeline.input("Nowhere").is_err());
    world.sinks_busy.store(true, Ordering::SeqCst);
    let pushing = std::thread::spawn(move || input.send(&[Value::Long(43), "later".into()]));
    world.sinks_busy.store(false, Ordering::SeqCst);
    pushing.join().unwrap().unwrap();
    let summary = pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Out"), ["pushed,42", "later,43"]);
    assert_eq!(summary.events_in, 2);
}

#[test]
fn what_waits_for_another_try_is_delivered_before_the_stop() {
    let world = World::new();
    let sql = CHAIN.replace("@sink(type='memory') CREATE STREAM Out", "@sink(type='memory', error.strategy='retry', error.retry.initial-delay='1ms', error.retry.max-attempts='50', error.retry.max-delay='1ms') CREATE STREAM Out");
    world.fail_sink("Out", std::iter::repeat_n(support::transient(), 10));
    let mut pipeline = world.pipeline(&sql);
    world.send("Tr", &["a,1"]).unwrap();
    let summary = pipeline.stop(DEADLINE);
    assert_eq!((world.delivered("Out"), summary.undelivered), (vec!["a,2".to_owned()], 0));
}

#[test]
fn what_cannot_be_delivered_by_the_deadline_is_counted() {
    let world = World::new();
    let sql = CHAIN.replace("@sink(type='memory') CREATE STREAM Out", "@sink(type='memory', error.strategy='retry', error.retry.initial-delay='1h', error.retry.max-delay='1h') CREATE STREAM Out");
    world.fail_sink("Out", [support::transient()]);
    let mut pipeline = world.pipeline(&sql);
    world.send("Tr", &["a,1", "b,2"]).unwrap();
    let summary = pipeline.stop(Duration::from_millis(50));
    assert_eq!((summary.undelivered, summary.events_out), (2, 0));
}

#[test]
fn status_shows_every_source_and_sink() {
    let world = World::new();
    let mut pipeline = world.pipeline(CHAIN);
    let names: Vec<_> =
        pipeline.status().iter().map(|s| format!("{} {} {}", s.role.name(), s.connector, s.stream)).collect();
    assert_eq!(names, ["source memory Tr", "sink memory Out", "sink memory Big"]);
    world.send("Tr", &["a,1"]).unwrap();
    assert_eq!(pipeline.status()[0].metrics.events.value(), 1);
    let samples = pipeline.metrics().samples();
    assert!(samples.iter().any(|sample| sample.name == "eventflux_source_events_total" && sample.value == 1));
    pipeline.stop(DEADLINE);
}

#[test]
fn two_sources_of_one_stream_keep_their_own_order() {
    let world = World::new();
    let mut pipeline = world.pipeline(
        "@source(type='memory') CREATE STREAM A (n BIGINT);
         @source(type='memory') CREATE STREAM B (n BIGINT);
         CREATE STREAM Both (n BIGINT);
         @sink(type='memory') CREATE STREAM Out (n BIGINT);
         INSERT INTO Both SELECT n FROM A; INSERT INTO Both SELECT n FROM B; INSERT INTO Out SELECT n FROM Both;",
    );
    let feed = |stream: &'static str, first: i64| {
        let world = world.clone();
        std::thread::spawn(move || {
            for number in 0..500 {
                world.send(stream, &[&(first + number).to_string()]).unwrap();
            }
        })
    };
    let feeders = [feed("A", 0), feed("B", 1_000)];
    feeders.into_iter().for_each(|feeder| feeder.join().unwrap());
    pipeline.stop(DEADLINE);
    let numbers: Vec<i64> = world.delivered("Out").iter().map(|text| text.parse().unwrap()).collect();
    for first in [0, 1_000] {
        let own: Vec<_> = numbers.iter().copied().filter(|n| (first..first + 500).contains(n)).collect();
        assert_eq!(own, (first..first + 500).collect::<Vec<_>>());
    }
}

#[test]
fn a_hundred_pipelines_live_in_one_process() {
    let worlds: Vec<_> = (0..100).map(|_| World::new()).collect();
    let mut pipelines: Vec<_> = worlds.iter().map(|world| world.pipeline(CHAIN)).collect();
    for world in &worlds {
        world.send("Tr", &["a,1"]).unwrap();
    }
    for pipeline in &mut pipelines {
        assert_eq!(pipeline.stop(DEADLINE).events_out, 1);
    }
    eventually("all delivered", || worlds.iter().all(|world| world.delivered("Out").len() == 1));
}

#[test]
fn two_sinks_of_one_type_on_one_stream_are_counted_apart() {
    let world = World::new();
    let mut pipeline = world.pipeline(
        "@source(type='memory') CREATE STREAM Tr (n BIGINT);
         @sink(type='memory') @sink(type='memory') CREATE STREAM Out (n BIGINT);
         INSERT INTO Out SELECT n FROM Tr;",
    );
    world.send("Tr", &["1", "2"]).unwrap();
    let connectors: Vec<_> =
        pipeline.status().iter().map(|s| (s.connector.clone(), s.metrics.events.value())).collect();
    assert_eq!(connectors, [("memory".into(), 2), ("memory".into(), 2), ("memory-2".into(), 2)]);
    assert_eq!(pipeline.stop(DEADLINE).events_out, 4);
}
