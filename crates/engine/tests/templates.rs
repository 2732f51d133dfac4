//! Templates in a sink's properties, and columns that are only for them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use eventflux_core::EventFluxError;
use support::{World, eventually, invalid, transient};

const DEADLINE: Duration = Duration::from_secs(5);
const FAST_RETRY: &str = "error.strategy='retry', error.retry.max-attempts='3', error.retry.initial-delay='1ms', error.retry.max-delay='2ms'";
const DLQ: &str = "error.strategy='dlq', error.dlq.stream='Failed'";

/// A pipeline whose sink has these properties.
fn sql(sink: &str) -> String {
    format!(
        "@source(type='memory') @sink(type='memory', {sink}) CREATE STREAM Out (name STRING, number BIGINT);
         @sink(type='memory') CREATE STREAM Failed (stage STRING, errorMessage STRING, originalEvent STRING);"
    )
}

/// Runs a pipeline and returns where its payloads went.
fn routed(sink: &str, messages: &[&str]) -> Vec<String> {
    let world = World::new();
    let mut pipeline = world.pipeline(&sql(sink));
    world.send("Out", messages).unwrap();
    pipeline.stop(DEADLINE);
    world.routed("Out")
}

#[test]
fn each_payload_comes_with_the_texts_of_its_row() {
    let sink = "memory.channel='c.${name}.${number}', memory.user='${name}'";
    assert_eq!(routed(sink, &["a,1", "b,2"]), ["c.a.1/a a,1", "c.b.2/b b,2"]);
}

#[test]
fn a_template_without_columns_is_the_same_for_every_row() {
    assert_eq!(routed("memory.channel='all'", &["a,1", "-,2"]), ["all/- a,1", "all/- -,2"]);
    assert_eq!(routed("memory.channel='$${name}'", &["a,1"]), ["${name}/- a,1"]);
}

#[test]
fn a_null_in_a_template_is_a_failure_of_that_row_alone() {
    for (strategy, dropped, dead) in [("error.strategy='drop'", 1, 0), (DLQ, 0, 1)] {
        let world = World::new();
        let mut pipeline = world.pipeline(&sql(&format!("memory.channel='c.${{name}}', {strategy}")));
        world.send("Out", &["a,1", "-,2", "c,3"]).unwrap();
        let summary = pipeline.stop(DEADLINE);
        assert_eq!(world.routed("Out"), ["c.a/- a,1", "c.c/- c,3"]);
        assert_eq!((summary.dropped, summary.dead_lettered), (dropped, dead));
        if dead == 1 {
            let letter =
                r#"encode,column name: NULL has no text, and memory.channel needs one,{"name":null,"number":2}"#;
            assert_eq!(world.delivered("Failed"), [letter]);
        }
    }
}

#[test]
fn texts_stay_with_their_payloads_when_rows_between_fail() {
    let world = World::new();
    world.fail_on("encode b,2", 9, invalid());
    let mut pipeline =
        world.pipeline(&sql("memory.channel='${name}', memory.user='u${number}', error.strategy='drop'"));
    world.send("Out", &["a,1", "b,2", "c,3", "-,4", "e,5", "f,-"]).unwrap();
    assert_eq!(pipeline.stop(DEADLINE).dropped, 3);
    assert_eq!(world.routed("Out"), ["a/u1 a,1", "c/u3 c,3", "e/u5 e,5"]);
}

#[test]
fn texts_stay_with_their_payloads_when_encoding_is_tried_again() {
    let world = World::new();
    world.fail_on("encode b,2", 2, transient());
    let mut pipeline = world
        .pipeline(&sql(&format!("memory.channel='${{name}}', {FAST_RETRY}, error.retry.fallback-strategy='drop'")));
    world.send("Out", &["-,0", "a,1", "b,2", "c,3"]).unwrap();
    world.send("Out", &["d,4"]).unwrap();
    eventually("everything arrives", || world.delivered("Out").len() == 4);
    pipeline.stop(DEADLINE);
    assert_eq!(world.routed("Out"), ["a/- a,1", "b/- b,2", "c/- c,3", "d/- d,4"]);
}

#[test]
fn texts_stay_with_their_payloads_when_sending_is_tried_again() {
    let world = World::new();
    let mut pipeline = world.pipeline(&sql(&format!("memory.channel='${{name}}', {FAST_RETRY}")));
    world.send("Out", &["a,1"]).unwrap();
    world.fail_sink("Out", [transient(), transient()]);
    world.send("Out", &["b,2", "c,3"]).unwrap();
    eventually("everything arrives", || world.delivered("Out").len() == 3);
    pipeline.stop(DEADLINE);
    assert_eq!(world.routed("Out"), ["a/- a,1", "b/- b,2", "c/- c,3"]);
}

#[test]
fn texts_stay_with_their_payloads_after_a_payload_that_fails() {
    let world = World::new();
    let mut pipeline = world.pipeline(&sql("memory.channel='${name}', error.strategy='drop'"));
    world.fail_sink("Out", [EventFluxError::Send { reason: "no".into(), retryable: false }]);
    world.send("Out", &["a,1", "b,2", "c,3"]).unwrap();
    pipeline.stop(DEADLINE);
    assert_eq!(world.routed("Out"), ["b/- b,2", "c/- c,3"]);
}

#[test]
fn texts_stay_with_their_payloads_when_a_sink_panics() {
    let world = World::new();
    let mut pipeline = world.pipeline(&sql("memory.channel='${name}', error.strategy='drop'"));
    world.send("Out", &["a,1", "sinkbomb,2", "c,3"]).unwrap();
    assert_eq!(pipeline.stop(DEADLINE).dropped, 1);
    assert_eq!(world.routed("Out"), ["a/- a,1", "a/- a,1", "c/- c,3"], "what came before the panic comes twice");
}

#[test]
fn texts_stay_with_payloads_that_a_sink_reports_later() {
    let world = World::new();
    let mut pipeline = world.pipeline(&sql(&format!("memory.channel='${{name}}', {FAST_RETRY}")));
    world.send("Out", &["a,1", "b,2", "c,3"]).unwrap();
    world.report_last_failed("Out", 1..3, transient());
    eventually("they are sent again", || world.delivered("Out").len() == 5);
    pipeline.stop(DEADLINE);
    assert_eq!(world.routed("Out")[3..], ["b/- b,2", "c/- c,3"]);
}

#[test]
fn a_payload_that_lost_its_text_is_not_sent_to_nowhere() {
    let world = World::new();
    let sink = format!("memory.channel='${{name}}', {FAST_RETRY}, error.dlq.stream='Failed'");
    let mut pipeline = world.pipeline(&sql(&sink));
    world.send("Out", &["a,1"]).unwrap();
    world.report_failed("Out", "a,1", transient());
    pipeline.stop(DEADLINE);
    assert_eq!(world.routed("Out"), ["a/- a,1"]);
    assert_eq!(world.delivered("Failed"), ["send,busy,a,1"]);
}

#[test]
fn excluded_columns_are_for_templates_only() {
    let sink = "memory.channel='${name}', @map(type='line', exclude='name')";
    assert_eq!(routed(sink, &["a,1", "b,2"]), ["a/- 1", "b/- 2"]);
}

#[test]
fn a_dead_letter_of_an_encoder_has_the_excluded_columns_too() {
    let world = World::new();
    world.fail_on("encode 2", 9, invalid());
    let mut pipeline = world.pipeline(&sql(&format!("@map(type='line', exclude='name'), {DLQ}")));
    world.send("Out", &["a,1", "b,2"]).unwrap();
    pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Out"), ["1"]);
    assert_eq!(world.delivered("Failed"), [r#"encode,bad,{"name":"b","number":2}"#]);
}

#[test]
fn every_format_leaves_excluded_columns_out() {
    for (map, payload) in [
        ("type='json', exclude='name'", r#"{"number":1,"at":null}"#),
        ("type='csv', exclude='name, at'", "1"),
        ("type='text', exclude='at', text.template='<${name}>'", "<a>"),
    ] {
        let world = World::new();
        let mut pipeline = world.pipeline(&format!(
            "@source(type='memory') @sink(type='memory', @map({map}))
             CREATE STREAM Out (name STRING, number BIGINT, at TIMESTAMP);"
        ));
        world.send("Out", &["a,1,-"]).unwrap();
        pipeline.stop(DEADLINE);
        assert_eq!(world.delivered("Out"), [payload], "{map}");
    }
}

#[test]
fn the_other_spelling_knows_exclude_as_well() {
    let world = World::new();
    let sql = "CREATE STREAM Out (name STRING, number BIGINT) WITH (type='sink', extension='memory', format='line',
                   \"memory.channel\"='${name}', exclude='name');
               @source(type='memory') CREATE STREAM Numbers (name STRING, number BIGINT);
               INSERT INTO Out SELECT * FROM Numbers;";
    let mut pipeline = world.pipeline(sql);
    world.send("Numbers", &["a,1"]).unwrap();
    pipeline.stop(DEADLINE);
    assert_eq!(world.routed("Out"), ["a/- 1"]);
}

#[test]
fn mistakes_name_their_place_their_reason_and_the_way_out() {
    let cases = [
        (
            "@sink(type='memory', memory.channel='c.${nam}')",
            "1:37 property 'memory.channel': the stream has no column 'nam' (did you mean 'name'?)",
        ),
        (
            "@sink(type='memory', memory.channel='${x}')",
            "1:37 property 'memory.channel': the stream has no column 'x' (its columns are name, number)",
        ),
        (
            "@sink(type='memory', memory.channel='c.${name')",
            "1:37 property 'memory.channel': 'c.${name' is not allowed (use text in which ${column} stands for",
        ),
        (
            "@source(type='memory', memory.pattern='${name}')",
            "1:39 property 'memory.pattern': names a column, and only a sink has rows",
        ),
        (
            "@sink(type='memory', @map(type='line', exclude='nmae'))",
            "1:48 property 'exclude': the stream has no column 'nmae' (did you mean 'name'?)",
        ),
        (
            "@sink(type='memory', @map(type='line', exclude='name, name'))",
            "1:48 property 'exclude': names the column 'name' twice",
        ),
        (
            "@sink(type='memory', @map(type='line', exclude='number,name'))",
            "1:48 property 'exclude': leaves no column for the payload (leave at least one",
        ),
        (
            "@sink(type='memory', @map(type='text', exclude='name', text.template='${name}'))",
            "1:70 property 'text.template': the stream has no column 'name' \
             (did you mean 'number'? of the stream the format has the columns number)",
        ),
        (
            "@source(type='memory', @map(type='line', exclude='name'))",
            "1:42 property 'exclude': is for sinks (remove it",
        ),
    ];
    for (annotation, expected) in cases {
        let found = World::new().mistakes(&format!("{annotation} CREATE STREAM S (name STRING, number BIGINT);"));
        assert_eq!(found.len(), 1, "{annotation}\n{found:#?}");
        assert!(found[0].starts_with(expected), "{annotation}\n found: {}\nwanted: {expected}", found[0]);
    }
    let with = "CREATE STREAM S (a STRING, b STRING) WITH (type='sink', extension='memory', exclude='a');";
    let found = World::new().mistakes(with);
    assert_eq!(found, ["1:77 the property `exclude` needs a format in `WITH` (add format='...')"]);
}
