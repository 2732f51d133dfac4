//! The rules of docs/ARCHITECTURE.md that a program can check.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use eventflux_tests::{files, repository, text};
use serde_json::Value;

/// Who may depend on whom in a running system. A crate that is missing here fails the test.
const ARROWS: &[(&str, &[&str])] = &[
    ("eventflux-core", &[]),
    ("eventflux-mappers", &["eventflux-core"]),
    ("eventflux-engine", &["eventflux-core"]),
    ("eventflux-websocket-wire", &["eventflux-core"]),
    ("eventflux-gateway", &["eventflux-core"]),
    ("eventflux-federation", &["eventflux-core", "eventflux-gateway"]),
    (
        "eventflux-websocket-connector",
        &[
            "eventflux-core",
            "eventflux-federation",
            "eventflux-gateway",
            "eventflux-nats",
            "eventflux-spool",
            "eventflux-websocket-wire",
        ],
    ),
    ("eventflux-nats", &["eventflux-core"]),
    ("eventflux-nats-connector", &["eventflux-core", "eventflux-nats"]),
    ("eventflux-local-connectors", &["eventflux-core"]),
    ("eventflux-objectstore-connector", &["eventflux-core"]),
    ("eventflux-udp-connector", &["eventflux-core"]),
    ("eventflux-spool", &[]),
    ("eventflux-testkit", &["eventflux-core"]),
    (
        "eventflux",
        &[
            "eventflux-core",
            "eventflux-engine",
            "eventflux-local-connectors",
            "eventflux-mappers",
            "eventflux-nats-connector",
            "eventflux-objectstore-connector",
            "eventflux-udp-connector",
            "eventflux-websocket-connector",
        ],
    ),
    ("eventflux-tests", &["eventflux-core"]),
    ("eventflux-benches", &["eventflux-websocket-wire"]),
    ("eventflux-gateway-bench", &["eventflux-benches"]),
    ("eventflux-nats-bench", &["eventflux-benches", "eventflux-gateway-bench"]),
    (
        "eventflux-federation-bench",
        &["eventflux-benches", "eventflux-core", "eventflux-testkit", "eventflux-websocket-connector"],
    ),
];

/// Connectors, and the crates of their own protocols.
const CONNECTORS: [(&str, &[&str]); 5] = [
    (
        "eventflux-websocket-connector",
        &["eventflux-federation", "eventflux-gateway", "eventflux-nats", "eventflux-spool", "eventflux-websocket-wire"],
    ),
    ("eventflux-nats-connector", &["eventflux-nats"]),
    ("eventflux-local-connectors", &[]),
    ("eventflux-objectstore-connector", &[]),
    ("eventflux-udp-connector", &[]),
];

/// Crates that know a protocol, a format or SQL: core has to do without them.
const NOT_IN_CORE: [&str; 16] = [
    "tokio-tungstenite",
    "tungstenite",
    "eventflux-websocket-wire",
    "async-nats",
    "native-tls",
    "tokio-native-tls",
    "openssl",
    "tokio-openssl",
    "flate2",
    "zlib-rs",
    "httparse",
    "sqlparser",
    "serde_json",
    "csv",
    "url",
    "clap",
];

/// Where types of tungstenite may be named: the crate around it, and those who play the other side.
const KNOWS_TUNGSTENITE: [&str; 6] = [
    "crates/websocket-wire/src",
    "crates/gateway/tests",
    "crates/cli/tests/nats_proofs",
    "crates/testkit",
    "benches",
    "tests/clients",
];

#[test]
fn crates_depend_on_each_other_only_along_the_arrows() {
    let packages = packages();
    let known: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut problems = Vec::new();
    for (name, dependencies) in &packages {
        let Some(allowed) = known.get(name.as_str()) else {
            problems.push(format!("{name} has no arrows: add it to this test and to docs/ARCHITECTURE.md"));
            continue;
        };
        let ours = dependencies.iter().filter(|dependency| packages.contains_key(&dependency.name));
        for dependency in ours.filter(|dependency| !dependency.for_tests) {
            if !allowed.contains(&dependency.name.as_str()) {
                problems.push(format!("{name} must not depend on {}", dependency.name));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn a_connector_is_tested_without_the_engine_and_without_other_connectors() {
    let packages = packages();
    for (connector, protocols) in CONNECTORS {
        let ours: BTreeSet<_> = packages[connector]
            .iter()
            .map(|dependency| dependency.name.as_str())
            .filter(|name| packages.contains_key(*name))
            .collect();
        let allowed: BTreeSet<_> = ["eventflux-core", "eventflux-testkit"].iter().chain(protocols).copied().collect();
        assert!(ours.is_subset(&allowed), "{connector} depends on {ours:?}");
    }
}

#[test]
fn frames_are_known_to_the_wire_crate_alone() {
    let packages = packages();
    let depends = |name: &str| packages[name].iter().any(|of| of.name.ends_with("tungstenite") && !of.for_tests);
    let running: Vec<_> = packages.keys().filter(|name| depends(name)).collect();
    let known = ["eventflux-benches", "eventflux-federation-bench", "eventflux-testkit", "eventflux-websocket-wire"];
    assert_eq!(running, known);
    let mut problems = Vec::new();
    for path in files(".").iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        if KNOWS_TUNGSTENITE.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        let text = text(path).unwrap_or_default();
        problems.extend(text.lines().filter(|line| names_tungstenite(line)).map(|line| format!("{path:?}: {line}")));
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn nats_is_spoken_by_its_crates_alone() {
    let packages = packages();
    let depends = |name: &str| packages[name].iter().any(|of| of.name == "async-nats" && !of.for_tests);
    let running: Vec<_> = packages.keys().filter(|name| depends(name)).collect();
    // The benches play the other side.
    let known = ["eventflux-federation-bench", "eventflux-nats", "eventflux-nats-bench", "eventflux-nats-connector"];
    assert_eq!(running, known);
}

#[test]
fn the_wire_crate_hands_no_name_of_tungstenite_on() {
    let exported: Vec<_> = files("crates/websocket-wire/src")
        .iter()
        .filter_map(|path| text(path))
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.trim_start().starts_with("pub ") && names_tungstenite(line))
        .collect();
    assert!(exported.is_empty(), "{exported:#?}");
}

#[test]
fn a_line_of_code_that_names_tungstenite_is_told_from_one_that_speaks_of_it() {
    let library = "tungstenite";
    for (line, names) in [
        (format!("use tokio_{library}::WebSocketStream;"), true),
        (format!("    let frame = {library}::protocol::frame::Frame::ping(payload);"), true),
        (format!("use {library} as websocket;"), true),
        (format!("// {library}::Error is not shown"), false),
        (format!("/// {library} masks it"), false),
        (format!("assert!(!enabled(\"{library}::handshake\"));"), false),
        (format!("assert!(!enabled(\"tokio_{library}::handshake\"));"), false),
    ] {
        assert_eq!(names_tungstenite(&line), names, "{line}");
    }
}

#[test]
fn core_knows_no_protocol_no_format_and_no_sql() {
    let core = &packages()["eventflux-core"];
    let found: Vec<_> =
        core.iter().map(|dependency| dependency.name.as_str()).filter(|name| NOT_IN_CORE.contains(name)).collect();
    assert!(found.is_empty(), "eventflux-core depends on {found:?}");
}

#[test]
fn paths_named_in_the_architecture_document_exist() {
    let page = text("docs/ARCHITECTURE.md".as_ref()).unwrap();
    let missing: Vec<_> = inline_code(&page).filter(|code| is_path(code) && !exists(code)).collect();
    assert!(missing.is_empty(), "docs/ARCHITECTURE.md names {missing:?}");
}

#[test]
fn every_crate_is_in_the_code_map() {
    let page = text("docs/ARCHITECTURE.md".as_ref()).unwrap();
    for folder in std::fs::read_dir(repository().join("crates")).unwrap().flatten() {
        let path = format!("`crates/{}`", folder.file_name().to_string_lossy());
        assert!(page.contains(&path), "docs/ARCHITECTURE.md does not mention {path}");
    }
}

#[test]
fn the_repository_speaks_of_itself_alone() {
    // Put together here, so that this file does not contain them.
    let foreign = [
        concat!("/wo", "rk/main"),
        concat!("/wo", "rk/shared"),
        concat!("/tmp", "/briefs"),
        concat!("97c7bf", "139a2700e3"),
        concat!("770353", "15d151f65a"),
        concat!("4469be", "7f1f14d578"),
        concat!("4c8600", "93ec4b0c2a"),
        concat!("fffdb4", "bf58850b3f"),
        concat!("STYLE", ".md"),
        concat!("FAILURES", ".md"),
        concat!("PEERS", ".md"),
    ];
    let mut problems = Vec::new();
    for path in files(".") {
        let Some(text) = text(&path) else { continue };
        let found = foreign.iter().filter(|word| text.contains(**word));
        problems.extend(found.map(|word| format!("{} contains {word}", path.display())));
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

/// Whether a line of code, comments and texts left out, names something of tungstenite or tokio-tungstenite.
fn names_tungstenite(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let outside_texts: String = code.split('"').step_by(2).collect();
    let mut words = outside_texts.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.any(|word| ["tungstenite", "tokio_tungstenite"].contains(&word))
}

struct Dependency {
    name: String,
    for_tests: bool,
}

/// The packages of the workspace with what they declare to depend on.
fn packages() -> BTreeMap<String, Vec<Dependency>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().map(|package| (text_of(&package["name"]), dependencies(package))).collect()
}

fn dependencies(package: &Value) -> Vec<Dependency> {
    let all = package["dependencies"].as_array().unwrap();
    all.iter()
        .map(|dependency| Dependency { name: text_of(&dependency["name"]), for_tests: dependency["kind"] == "dev" })
        .collect()
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// What stands between single backticks, outside fenced blocks.
fn inline_code(page: &str) -> impl Iterator<Item = &str> {
    let prose = page.split("```").step_by(2);
    prose.flat_map(|part| part.split('`').skip(1).step_by(2))
}

/// Whether inline code looks like a path from the root: `crates/core`, `docs/formats.md`, `README.md`.
fn is_path(code: &str) -> bool {
    let plain = code.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let rooted = ["crates/", "docs/", "tests/", "examples/", "scripts/", "benches/", ".ci/"];
    plain && rooted.iter().any(|root| code.starts_with(root))
}

fn exists(path: &str) -> bool {
    repository().join(path).exists()
}
