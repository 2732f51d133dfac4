//! Component files on the command line: check, run and convert.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use support::{DEADLINE, Running, eventflux, free_port, repository};

const EDGE: &str = "examples/federation/edge-config.json";
const CLOUD: &str = "examples/federation/cloud-config.json";

/// A file of that text, and the folder that holds it.
fn written(text: &str) -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pipeline.json");
    fs::write(&path, text).unwrap();
    (folder, path.display().to_string())
}

#[test]
fn mistakes_have_place_and_pointer_and_exit_with_2() {
    let text = fs::read_to_string(repository().join(EDGE)).unwrap();
    let (_folder, path) =
        written(&text.replace("\"http_port\": 8080", "\"http_prot\": 8080").replace("\">\"", "\"gt\""));
    for arguments in [["check", &*path], ["run", &*path], ["convert", &*path]] {
        let output = eventflux(&arguments);
        assert_eq!(output.code, Some(2), "{output:?}");
        assert_eq!(output.stdout, "", "{arguments:?}");
        for part in [
            format!("{path}:17:53"),
            "^ /components/filter/config/criteria/operator".to_owned(),
            format!("{path}:28:9"),
            "^ /components/ws_out/config/http_prot".to_owned(),
            "did you mean 'http_port'?".to_owned(),
            "'http_port' is required with mode 'server', and missing".to_owned(),
        ] {
            assert!(output.stderr.contains(&part), "{arguments:?}: no {part} in:\n{}", output.stderr);
        }
    }
}

#[test]
fn a_file_without_an_input_has_nothing_to_run() {
    let (_folder, path) = written(r#"{"components": {}}"#);
    let output = eventflux(&["run", &path]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("nothing to run: no component is an input"), "{}", output.stderr);
}

#[test]
fn a_component_file_is_converted_to_sql_that_reads_well() {
    let output = eventflux(&["convert", EDGE]);
    assert_eq!((output.code, &*output.stderr), (Some(0), ""));
    assert!(
        output.stdout.starts_with("-- Converted from examples/federation/edge-config.json.\n\n@source(\n"),
        "{}",
        output.stdout
    );
    assert!(output.stdout.ends_with("WHERE JSON_COMPARE(payload, '$.value', 50) > 0;\n"), "{}", output.stdout);
    let cloud = eventflux(&["convert", CLOUD]);
    assert!(cloud.stdout.contains("websocket.url='ws://edge-instance:8080/federation'"), "{}", cloud.stdout);
}

#[test]
fn sql_is_not_converted() {
    let output = eventflux(&["convert", "examples/first.sql"]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("this is no component file"), "{}", output.stderr);
}

#[test]
fn the_printed_files_and_what_they_are_converted_to_have_no_mistakes() {
    let output = eventflux(&["check", EDGE, CLOUD]);
    assert_eq!((output.code, &*output.stderr), (Some(0), ""));
    assert_eq!(output.stdout, format!("{EDGE}: ok\n{CLOUD}: ok\n"));
    for file in [EDGE, CLOUD] {
        let (_folder, path) = written(&eventflux(&["convert", file]).stdout);
        let sql = path.replace(".json", ".sql");
        fs::rename(&path, &sql).unwrap();
        let output = eventflux(&["check", &sql]);
        assert_eq!((output.code, &*output.stderr), (Some(0), ""), "{file}");
    }
}

#[test]
fn the_printed_files_carry_datagrams_from_the_edge_into_the_store_of_the_cloud() {
    let folder = TempDir::new().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let port = free_port();
    let objects = folder.path().join("objects");
    // Ports of this test's own, and a folder of its own that fills sooner.
    let edge = fs::read_to_string(repository().join(EDGE)).unwrap();
    let edge = edge.replace("\"port\": 14550", &format!("\"port\": {udp}"));
    let edge = edge.replace("\"http_port\": 8080", &format!("\"http_port\": {port}"));
    let cloud = fs::read_to_string(repository().join(CLOUD)).unwrap();
    let cloud = cloud.replace("edge-instance:8080", &format!("127.0.0.1:{port}"));
    let store = format!("\"url\": \"file:{}\", \"batch\": {{\"delay\": \"50ms\"}},", objects.display());
    let cloud =
        cloud.replace("\"ports\": {\n          \"inputs\"", &format!("{store} \"ports\": {{\n          \"inputs\""));
    assert!(cloud.contains(&store), "{cloud}");
    let files = [("edge.json", edge), ("cloud.json", cloud)].map(|(name, text)| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    });
    let mut running = Running::start(&["run", &files[0], &files[1]], &[]);
    running.expect_stderr("connected to ws://127.0.0.1");
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for message in ["{\"value\": 10}", "{\"value\": 60}", "nonsense", "{\"value\":\n70}"] {
        sender.send_to(message.as_bytes(), ("127.0.0.1", udp)).unwrap();
    }
    let deadline = Instant::now() + DEADLINE;
    let mut stored = Vec::new();
    while stored != ["{\"value\": 60}", "{\"value\": 70}"] {
        assert!(Instant::now() < deadline, "stored: {stored:?}");
        thread::sleep(Duration::from_millis(20));
        stored = lines(&objects);
        // A link whose receiver is cut off before it acknowledged may bring a message again, never another one.
        stored.sort_unstable();
        stored.dedup();
    }
    running.signal_until_the_end("INT");
}

/// The lines of all objects below a folder.
fn lines(folder: &Path) -> Vec<String> {
    let mut folders = vec![folder.to_owned()];
    let mut lines = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().map(|entry| -> PathBuf { entry.unwrap().path() }) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "jsonl") {
                lines.extend(fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned));
            }
        }
    }
    lines
}

/// Configs that have every field between them, each with the `type` and `name` of its component.
const EVERY_FIELD: [(&str, &str, &str); 9] = [
    (
        "input",
        "udp",
        r#""port": 0, "bind": "127.0.0.1", "max_datagram_size": 1500, "receive_buffer_size": "1MiB",
        "backpressure": {"queue_size": 10, "on_full": "block"}"#,
    ),
    (
        "input",
        "websocket_input",
        r#""mode": "server", "server": {"http_port": 0, "bind": "127.0.0.1", "path": "/ingest", "max_connections": 5,
        "enable_compression": true}, "auth": {"type": "bearer", "bearer_token_env": "CARGO_PKG_NAME"}"#,
    ),
    (
        "input",
        "websocket_input",
        r#""mode": "server", "server": {"http_port": 0}, "auth": {"type": "basic", "basic_auth":
        {"username_env": "CARGO_PKG_NAME", "password_env": "CARGO_PKG_NAME"}}, "bidirectional": {"enabled": false}"#,
    ),
    (
        "input",
        "websocket_input",
        r#""mode": "client", "client": {"url": "ws://127.0.0.1:1/x", "reconnect": {"enabled": true, "max_retries": 10,
        "initial_interval": "1s", "max_interval": "60s", "multiplier": 2.0}},
        "auth": {"type": "bearer", "bearer_token_env": "CARGO_PKG_NAME"},
        "bidirectional": {"enabled": true, "request_timeout": "5s", "max_concurrent_requests": 10},
        "backpressure": {"enabled": true, "queue_size": 1000, "on_full": "drop_newest"}"#,
    ),
    (
        "input",
        "websocket_input",
        r#""mode": "client", "client": {"url": "ws://127.0.0.1:1/x", "reconnect": {"enabled": false}}, "backpressure": {"enabled": false},
        "auth": {"type": "basic", "basic_auth": {"username_env": "CARGO_PKG_NAME", "password_env": "CARGO_PKG_NAME"}}"#,
    ),
    (
        "output",
        "websocket",
        r#""http_port": 0, "bind": "127.0.0.1", "path": "/x", "max_connections": 5, "enable_compression": true,
        "auth": {"type": "bearer", "bearer_token_env": "CARGO_PKG_NAME"},
        "bidirectional": {"request_timeout": "5s", "max_concurrent_requests": 10}"#,
    ),
    (
        "output",
        "websocket",
        r#""url": "ws://127.0.0.1:1/x", "reconnect": {"max_retries": 3, "initial_interval": "1s", "max_interval": "60s"},
        "auth": {"type": "bearer", "bearer_token_env": "CARGO_PKG_NAME"}, "bidirectional": {"enabled": false}"#,
    ),
    ("output", "websocket", r#""http_port": 0, "mode": "server", "bidirectional": {"enabled": false}"#),
    (
        "storage",
        "objectstore",
        r#""url": "file:./objects", "path": "measurements", "batch": {"size": "1MiB", "events": 100, "delay": "1s"}"#,
    ),
];

#[test]
fn every_field_is_known_to_the_connector_it_is_for() {
    for (category, name, config) in EVERY_FIELD {
        let ports = if category == "input" {
            r#""outputs": [{"name": "ws_data", "subject": "data"}]"#
        } else {
            r#""inputs": [{"name": "in", "subject": "data"}]"#
        };
        let component =
            format!(r#"{{"type": "{category}", "name": "{name}", "config": {{{config}, "ports": {{{ports}}}}}}}"#);
        let (_folder, path) = written(&component);
        let output = eventflux(&["check", &path]);
        assert_eq!(output.code, Some(0), "{component}\n{}", output.stderr);
    }
}

#[test]
fn data_requests_and_replies_share_a_place() {
    let ports = r#""outputs": [{"name": "ws_data", "subject": "d"}, {"name": "ws_control", "subject": "c"}]"#;
    for end in [
        r#""mode": "server", "server": {"http_port": 0, "path": "/ingest"}"#,
        r#""mode": "client", "client": {"url": "ws://127.0.0.1:1/x"}"#,
    ] {
        let (_folder, path) = written(&format!(
            r#"{{"type": "input", "name": "websocket_input", "config": {{{end}, "ports": {{{ports}}}}}}}"#
        ));
        let output = eventflux(&["check", &path]);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
    }
}

#[test]
fn the_kinds_of_components_are_listed() {
    let output = eventflux(&["components"]);
    assert_eq!(output.code, Some(0));
    for name in [
        "`udp` (input)",
        "`websocket_input` (input)",
        "`json_filter` (processor)",
        "`websocket` (output)",
        "`objectstore` (storage)",
    ] {
        assert!(output.stdout.contains(&format!("### {name}")), "{name}: {}", output.stdout);
    }
}
