//! Columns that a source fills with what it knows about a message.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use eventflux_core::{BoundMetadata, Value};
use eventflux_engine::{EventFlux, Override, SourceFile};
use support::{World, eventually, transient};

const DEADLINE: Duration = Duration::from_secs(5);
const BOUND: &str = "metadata.client='connection', metadata.at='received_time'";

/// A pipeline whose source has these properties.
fn sql(source: &str) -> String {
    format!(
        "@source(type='memory', {source})
         @sink(type='memory') CREATE STREAM Events (client STRING, name STRING, at TIMESTAMP, number BIGINT);
         @sink(type='memory') CREATE STREAM Failed (sourcePosition BIGINT, originalEvent STRING);"
    )
}

fn client(name: &str) -> [Value; 2] {
    [name.into(), Value::Timestamp(0)]
}

#[test]
fn bound_columns_are_filled_beside_the_decoded_ones() {
    let world = World::new();
    let mut pipeline = world.pipeline(&sql(BOUND));
    for _ in 0..2 {
        world.send_with("Events", [("a,1", &client("c1")), ("b,2", &client("c2"))]).unwrap();
    }
    pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Events"), ["c1,a,epoch,1", "c2,b,epoch,2", "c1,a,epoch,1", "c2,b,epoch,2"]);
}

#[test]
fn the_source_is_told_which_fields_are_bound() {
    let world = World::new();
    world.pipeline(&sql(BOUND));
    assert_eq!(world.bound("Events"), BoundMetadata::new([0, 1]));
    world.pipeline("@source(type='memory') @sink(type='memory') CREATE STREAM Events (name STRING);");
    assert!(world.bound("Events").is_empty());
}

#[test]
fn a_field_that_stands_for_many_names_fills_a_column_for_each() {
    let world = World::new();
    let sql = "@source(type='memory', metadata.a='header.Trace', metadata.c='header.Region', metadata.d='header.Trace')
               @sink(type='memory') CREATE STREAM Events (a STRING, b STRING, c STRING, d STRING);";
    let mut pipeline = world.pipeline(sql);
    let headers = [Value::Null, Value::Null, Value::Null, Value::Null, "t1".into(), "eu".into()];
    world.send_with("Events", [("x", &headers)]).unwrap();
    pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Events"), ["t1,x,eu,t1"]);
    assert_eq!(world.bound("Events").named(), [(4, "Trace".to_owned()), (5, "Region".to_owned())]);
    let error = EventFlux::from_sql(&sql.replace("header.Trace", "header."), &world.context()).unwrap_err().to_string();
    assert!(error.contains("no metadata 'header.'"), "{error}");
}

#[test]
fn one_field_may_fill_several_columns() {
    let world = World::new();
    let sql = "@source(type='memory', metadata.a='connection', metadata.c='connection')
               @sink(type='memory') CREATE STREAM Events (a STRING, b STRING, c STRING);";
    let mut pipeline = world.pipeline(sql);
    world.send_with("Events", [("x", &client("c1"))]).unwrap();
    pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Events"), ["c1,x,c1"]);
    assert_eq!(world.bound("Events"), BoundMetadata::new([0]));
}

#[test]
fn what_a_source_does_not_say_is_null() {
    let world = World::new();
    let mut pipeline = world.pipeline(&sql(BOUND));
    world.send("Events", &["a,1"]).unwrap();
    world.send_with("Events", [("b,2", &[Value::Null, Value::Timestamp(0)]), ("c,3", &["c3".into()])]).unwrap();
    pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Events"), ["-,a,-,1", "-,b,epoch,2", "c3,c,-,3"]);
}

#[test]
fn metadata_nobody_asked_for_changes_nothing() {
    let world = World::new();
    let mut pipeline =
        world.pipeline("@source(type='memory') @sink(type='memory') CREATE STREAM Events (name STRING);");
    world.send_with("Events", [("a", &client("c1"))]).unwrap();
    pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Events"), ["a"]);
}

#[test]
fn metadata_stay_with_their_messages_when_some_fail() {
    let world = World::new();
    let mut pipeline = world.pipeline(&sql(&format!("{BOUND}, error.strategy='dlq', error.dlq.stream='Failed'")));
    world.send_with("Events", [("a,x", &client("c1")), ("b,2", &client("c2")), ("mapbomb,3", &client("c3"))]).unwrap();
    world.send_with("Events", [("d,4", &client("c4")), ("mapbomb,5", &client("c5")), ("f,6", &client("c6"))]).unwrap();
    pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Events"), ["c2,b,epoch,2", "c4,d,epoch,4", "c6,f,epoch,6"]);
    assert_eq!(world.delivered("Failed"), ["1,a,x", "3,mapbomb,3", "5,mapbomb,5"]);
}

#[test]
fn metadata_stay_with_their_messages_when_decoding_is_tried_again() {
    let world = World::new();
    world.fail_on("b,2", 2, transient());
    let retry = "error.strategy='retry', error.retry.initial-delay='1ms', error.retry.max-delay='2ms'";
    let mut pipeline = world.pipeline(&sql(&format!("{BOUND}, {retry}")));
    world.send_with("Events", [("a,1", &client("c1")), ("b,2", &client("c2")), ("c,3", &client("c3"))]).unwrap();
    eventually("everything arrives", || world.delivered("Events").len() == 3);
    pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Events"), ["c1,a,epoch,1", "c2,b,epoch,2", "c3,c,epoch,3"]);
}

#[test]
fn a_source_that_is_started_again_keeps_its_columns() {
    let world = World::new();
    let restart = "error.strategy='retry', error.retry.initial-delay='1ms', error.retry.max-delay='2ms'";
    let mut pipeline = world.pipeline(&sql(&format!("{BOUND}, {restart}")));
    world.callback("Events").on_end(Err(transient()));
    eventually("a second start", || world.source_starts.load(Ordering::SeqCst) == 2);
    world.send_with("Events", [("a,1", &client("c1"))]).unwrap();
    pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Events"), ["c1,a,epoch,1"]);
}

#[test]
fn queries_and_templates_read_metadata_like_any_column() {
    let world = World::new();
    let sql = "@source(type='memory', metadata.client='connection') CREATE STREAM Asked (client STRING, n BIGINT);
               @sink(type='memory', memory.user='${client}', @map(type='line', exclude='client'))
               CREATE STREAM Answers (client STRING, double BIGINT);
               INSERT INTO Answers SELECT client, n * 2 AS double FROM Asked;";
    let mut pipeline = world.pipeline(sql);
    world.send_with("Asked", [("1", &client("c1")), ("2", &client("c2"))]).unwrap();
    pipeline.stop(DEADLINE);
    assert_eq!(world.routed("Answers"), ["-/c1 2", "-/c2 4"]);
}

#[test]
fn a_message_cannot_say_who_sent_it() {
    let world = World::new();
    let sql = "@source(type='memory', metadata.client='connection', @map(type='json'))
               @sink(type='memory') CREATE STREAM Events (client STRING, n BIGINT);";
    let mut pipeline = world.pipeline(sql);
    world.send_with("Events", [(r#"{"client":"root","n":1}"#, &client("c1"))]).unwrap();
    pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Events"), ["c1,1"]);
}

#[test]
fn every_event_of_a_message_has_its_metadata() {
    let world = World::new();
    let sql = "@source(type='memory', metadata.client='connection', @map(type='json'))
               @sink(type='memory') CREATE STREAM Events (n BIGINT, client STRING);";
    let mut pipeline = world.pipeline(sql);
    let messages = [("[]", &client("c0")[..]), (r#"[{"n":1},{"n":2}]"#, &client("c1")), (r#"{"n":3}"#, &client("c2"))];
    world.send_with("Events", messages).unwrap();
    pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Events"), ["1,c1", "2,c1", "3,c2"]);
}

#[test]
fn a_stream_may_be_of_metadata_alone() {
    let world = World::new();
    let sql = "@source(type='memory', metadata.client='connection', @map(type='json'))
               @sink(type='memory') CREATE STREAM Events (client STRING);";
    let mut pipeline = world.pipeline(sql);
    world
        .send_with("Events", [("{}", &client("c1")), (r#"{"n":2"#, &client("c2")), (r#"[{},{}]"#, &client("c3"))])
        .unwrap();
    pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Events"), ["c1", "c3", "c3"], "and still a message has to be JSON");
}

#[test]
fn metadata_can_be_bound_from_outside() {
    let (world, text) = (World::new(), sql("metadata.client='${env:NO_SUCH_VARIABLE_FOR_METADATA:connection}'"));
    let given = [Override::parse("Events.metadata.at=received_time").unwrap()];
    let mut pipeline = EventFlux::from_file(SourceFile::new("f.sql", text), &given, &world.context()).unwrap();
    pipeline.start().unwrap();
    world.send_with("Events", [("a,1", &client("c1"))]).unwrap();
    pipeline.stop(DEADLINE);
    assert_eq!(world.delivered("Events"), ["c1,a,epoch,1"]);
}

#[test]
fn mistakes_name_their_place_their_reason_and_the_way_out() {
    let cases = [
        (
            "@source(type='memory', metadata.cleint='connection')",
            "1:24 property 'metadata.cleint': the stream has no column 'cleint' (did you mean 'metadata.client'?)",
        ),
        (
            "@source(type='memory', metadata.client='conection')",
            "1:40 property 'metadata.client': a memory source has no metadata 'conection' \
             (did you mean 'connection'? its metadata are connection, received_time, attempt, header.*)",
        ),
        (
            "@source(type='memory', metadata.client='user')",
            "1:40 property 'metadata.client': a memory source has no metadata 'user' \
             (its metadata are connection, received_time, attempt, header.*)",
        ),
        (
            "@source(type='memory', metadata.client='received_time')",
            "1:40 property 'metadata.client': 'received_time' is TIMESTAMP, and the column 'client' is STRING \
             (declare the column as client TIMESTAMP)",
        ),
        (
            "@source(type='mute', metadata.client='connection')",
            "1:22 property 'metadata.client': a mute source has no metadata (remove it)",
        ),
        (
            "@source(type='memory', metadata.client='connection', metadata.client='user')",
            "1:54 the property `metadata.client` appears twice in `@source`",
        ),
        (
            "@sink(type='memory', metadata.client='connection')",
            "1:22 property 'metadata.client': is for sources: a sink has no metadata to fill a column with (remove it)",
        ),
    ];
    for (annotation, expected) in cases {
        let found = World::new().mistakes(&format!("{annotation} CREATE STREAM S (client STRING, n BIGINT);"));
        assert_eq!(found.len(), 1, "{annotation}\n{found:#?}");
        assert!(found[0].starts_with(expected), "{annotation}\n found: {}\nwanted: {expected}", found[0]);
    }
}

#[test]
fn mistakes_about_metadata_come_with_all_others() {
    let annotation = "@source(type='memory', metadata.x='connection', metadata.client='nothing', memory.delay='soon')";
    let found = World::new().mistakes(&format!("{annotation} CREATE STREAM S (client STRING, n BIGINT);"));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("metadata.x") && found[1].contains("memory.delay"), "{found:#?}");
}
