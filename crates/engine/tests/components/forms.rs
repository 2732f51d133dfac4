//! The forms a file may have, and components that are switched off.

use crate::stand_in::{convert, plan, remarks};

const UDP: &str =
    r#"{"type": "input", "name": "udp", "config": {"port": 1, "ports": {"outputs": [{"name": "o", "subject": "s"}]}}}"#;
const STORE: &str =
    r#"{"type": "storage", "name": "objectstore", "config": {"ports": {"inputs": [{"name": "i", "subject": "s"}]}}}"#;

#[test]
fn components_by_key_as_a_list_and_alone_come_to_the_same() {
    let by_key = convert(&format!(r#"{{"components": {{"a": {UDP}, "b": {STORE}}}}}"#));
    assert_eq!(convert(&format!(r#"{{"components": [{UDP}, {STORE}]}}"#)), by_key);
    assert_eq!(convert(&format!("[{UDP}, {STORE}]")), by_key);
    let alone = convert(UDP);
    assert!(alone.contains("@source(") && !alone.contains("@sink("), "{alone}");
    assert_eq!(convert(&format!("[{UDP}]")), alone);
}

#[test]
fn json_is_recognised_by_its_name_or_its_beginning() {
    for name in ["edge.json", "edge.JSON", "edge", "edge.sql"] {
        let file = eventflux_engine::SourceFile::new(name, format!("\u{feff} \n[{UDP}]"));
        assert!(eventflux_engine::components::is_component_file(&file), "{name}");
    }
    let sql = eventflux_engine::SourceFile::new("edge.sql", "-- {}\nCREATE STREAM S (a INT);");
    assert!(!eventflux_engine::components::is_component_file(&sql));
}

#[test]
fn a_component_that_is_not_enabled_is_left_out() {
    let off = r#"{"type": "output", "name": "carrier pigeon", "enabled": false, "config": {"loft": 7}}"#;
    let sql = convert(&format!(r#"{{"components": {{"a": {UDP}, "off": {off}, "b": {STORE}}}}}"#));
    assert_eq!(sql, convert(&format!("[{UDP}, {STORE}]")));
    let on = UDP.replace("\"input\"", "\"input\", \"enabled\": true");
    assert_eq!(convert(&format!("[{on}, {STORE}]")), sql);
    assert_eq!(
        remarks(&UDP.replace("\"input\"", "\"input\", \"enabled\": \"no\"")),
        [
            "1:30 /enabled: 'enabled': a text is not allowed (use true or false)",
            "warning: 1:118 /config/ports/outputs/0/subject: nothing in this file reads stream 's'"
        ][..1]
    );
}

#[test]
fn a_file_without_an_input_plans_and_says_so() {
    let pipeline = plan(STORE).unwrap();
    assert!(!pipeline.has_sources());
    assert_eq!(
        remarks(STORE),
        ["warning: 1:101 /config/ports/inputs/0/subject: nothing in this file writes to stream 's'"]
    );
}

#[test]
fn several_outputs_get_every_message_and_nothing_else_does() {
    let two = UDP.replace(
        r#"[{"name": "o", "subject": "s"}]"#,
        r#"[{"name": "o", "subject": "s"}, {"name": "p", "subject": "udp"}]"#,
    );
    let sql = convert(&two);
    // The stream in between has a name that no subject has.
    assert!(sql.contains("CREATE STREAM \"udp_\" (payload JSON);"), "{sql}");
    for subject in ["s", "udp"] {
        assert!(sql.contains(&format!("INSERT INTO \"{subject}\"\nSELECT payload\nFROM \"udp_\";")), "{sql}");
    }
}

#[test]
fn several_inputs_share_the_place_a_sink_serves() {
    let text = r#"{"type": "output", "name": "websocket", "config": {"http_port": 1,
        "ports": {"inputs": [{"name": "a", "subject": "x"}, {"name": "b", "subject": "y"}]}}}"#;
    let sql = convert(text);
    assert_eq!(sql.matches("websocket.listen='0.0.0.0:1'").count(), 2, "{sql}");
}

#[test]
fn subjects_are_those_of_nats_where_a_server_is_named_and_a_port_asks() {
    let nats = |text: &str| text.replace("\"subject\"", "\"type\": \"nats\", \"subject\"");
    let file =
        |components: &str| format!(r#"{{"nats": {{"url": "nats://127.0.0.1:4222"}}, "components": [{components}]}}"#);
    let statement = "@sink(\n    type='nats',\n    nats.url='nats://127.0.0.1:4222',\n    nats.subject='s',";
    let written = convert(&file(&format!("{}, {STORE}", nats(UDP))));
    assert!(written.contains(statement) && written.contains("type='objectstore'"), "{written}");
    let read = convert(&file(&nats(STORE)));
    assert!(read.contains(&statement.replace("@sink", "@source")), "{read}");
    let neither = convert(&file(&format!("{UDP}, {STORE}")));
    assert!(!neither.contains("nats"), "{neither}");
    assert_eq!(
        remarks(&file(&format!("{}, {STORE}", nats(UDP)))),
        [
            "1:2 /nats: this build has no connector 'nats' (remove it: subjects then connect the components of this file)"
        ]
    );
}
