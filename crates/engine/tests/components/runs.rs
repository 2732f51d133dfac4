//! The two configurations of the guide, as printed, and what comes out of them.

use std::time::Duration;

use eventflux_engine::{EventFlux, Override, SourceFile};

use crate::stand_in::{context, remarks};
use crate::support::{World, eventually};

const EDGE: &str = include_str!("../../../../examples/federation/edge-config.json");
const CLOUD: &str = include_str!("../../../../examples/federation/cloud-config.json");

/// The example of the configuration schema.
const SCHEMA: &str = include_str!("schema.json");

#[test]
fn the_printed_files_are_without_mistakes_and_warnings() {
    assert_eq!(remarks(EDGE), Vec::<String>::new());
    assert_eq!(remarks(CLOUD), Vec::<String>::new());
}

#[test]
fn messages_above_the_threshold_pass_the_edge_as_they_came() {
    let world = World::new();
    let file = SourceFile::new("edge-config.json", EDGE);
    let mut edge = EventFlux::from_file(file, &[], &context(&world)).unwrap();
    edge.start().unwrap();
    let messages = [
        r#"{"value": 60, "unit":"celsius"}"#,
        r#"{"value":50}"#,
        r#"{"value":"60"}"#,
        r#"{"unit":"celsius"}"#,
        r#"[{"value":70}]"#,
        r#"{"value":50.5}"#,
    ];
    world.send("raw.data", &messages).unwrap();
    eventually("two messages", || world.delivered("filtered.data").len() == 2);
    assert_eq!(world.delivered("filtered.data"), [r#"{"value": 60, "unit":"celsius"}"#, r#"{"value":50.5}"#]);
    let summary = edge.stop(Duration::from_secs(5));
    assert_eq!((summary.events_in, summary.events_out, summary.failed), (6, 2, 0));
}

#[test]
fn what_is_not_json_is_counted_by_the_error_strategy() {
    let world = World::new();
    let file = SourceFile::new("edge-config.json", EDGE);
    let mut edge = EventFlux::from_file(file, &[], &context(&world)).unwrap();
    edge.start().unwrap();
    world.send("raw.data", &["not json", r#"{"value":99}"#]).unwrap();
    eventually("the good message", || world.delivered("filtered.data").len() == 1);
    let summary = edge.stop(Duration::from_secs(5));
    assert_eq!((summary.failed, summary.dropped), (1, 1));
}

#[test]
fn the_cloud_stores_any_json_it_gets() {
    let world = World::new();
    let file = SourceFile::new("cloud-config.json", CLOUD);
    let mut cloud = EventFlux::from_file(file, &[], &context(&world)).unwrap();
    cloud.start().unwrap();
    let messages = ["[1, 2]", "\"text\"", "7", "{\n \"a\":{\"b\":1.50}\r\n}"];
    world.send("federated.data", &messages).unwrap();
    eventually("all messages", || world.delivered("federated.data").len() == messages.len());
    // Each is a line of an object.
    assert_eq!(world.delivered("federated.data"), ["[1, 2]", "\"text\"", "7", "{  \"a\":{\"b\":1.50}  }"]);
    cloud.stop(Duration::from_secs(5));
}

#[test]
fn the_schemas_example_warns_of_what_has_no_effect_and_of_subjects_that_nobody_reads() {
    // Its token comes from a variable that has to be set.
    let text = SCHEMA.replace("WS_INGEST_TOKEN", "CARGO_PKG_NAME");
    let expected = [
        "warning: 11:7 /config/server/read_buffer_size: 'server.read_buffer_size' has no effect: buffers belong to threads and not to connections (remove it)",
        "warning: 12:7 /config/server/write_buffer_size: 'server.write_buffer_size' has no effect: buffers belong to threads and not to connections (remove it)",
        "warning: 48:22 /config/ports/outputs/0/subject: nothing in this file reads stream 'federated.data'",
        "warning: 54:22 /config/ports/outputs/1/subject: nothing in this file reads stream 'federated.control.request'",
        "warning: 54:22 /config/ports/outputs/1/subject: nothing in this file reads stream 'federated.control.reply'",
    ];
    assert_eq!(remarks(&text), expected);
}

#[test]
fn properties_from_outside_name_a_subject_in_quotes() {
    let world = World::new();
    let given = Override::parse("\"raw.data\".udp.listen=127.0.0.1:0").unwrap();
    let file = SourceFile::new("edge-config.json", EDGE);
    assert!(EventFlux::from_file(file.clone(), &[given], &context(&world)).is_ok());
    let given = Override::parse("\"raw.dta\".udp.listen=127.0.0.1:0").unwrap();
    let mistakes = EventFlux::from_file(file, &[given], &context(&world)).unwrap_err();
    assert!(mistakes.to_string().contains("did you mean 'raw.data'?"), "{mistakes}");
}
