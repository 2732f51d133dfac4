//! The `eventflux` command as its users meet it: exit codes, messages, signals, progress.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::thread;

use tempfile::TempDir;

use support::{Running, eventflux, free_port};

/// What a pipeline's file, and what it needs, are written to.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// Writes a file and returns its path.
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

#[test]
fn the_version_is_printed() {
    let output = eventflux(&["version"]);
    assert_eq!(output.code, Some(0));
    assert_eq!(output.stdout, concat!("eventflux ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn exit_codes_are_part_of_the_help() {
    for arguments in [&["--help"][..], &["run", "--help"], &["check", "--help"]] {
        let output = eventflux(arguments);
        assert_eq!(output.code, Some(0));
        assert!(output.stdout.contains("Exit codes:"), "{}", output.stdout);
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in [
        &["fly"][..],
        &["run"],
        &["check", "no/such/file.sql"],
        &["run", "no/such/file.sql"],
        &["run", "--drain-timeout", "soon", "examples/quickstart.sql"],
        &["--log-level", "loud", "version"],
    ] {
        let output = eventflux(arguments);
        assert_eq!(output.code, Some(2), "{arguments:?}: {output:?}");
        assert!(output.stderr.contains("error: "), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_file_without_mistakes_is_ok() {
    let output = eventflux(&["check", "examples/quickstart.sql"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(output.stdout, "examples/quickstart.sql: ok\n");
}

#[test]
fn check_reports_ten_mistakes_of_ten_each_at_its_place() {
    let output = eventflux(&["check", "tests/fixtures/ten_mistakes.sql"]);
    let expected = [
        ("3:14", "websockt"),
        ("6:65", "websocket.recconect"),
        ("9:94", "soon"),
        ("12:104", "Nowhere"),
        ("15:36", "STRNG"),
        ("20:71", "Tradse"),
        ("22:40", "prize"),
        ("24:35", "TIMESTAMP"),
        ("26:59", "STRING"),
        ("28:78", "GROUP BY"),
    ];
    let places: Vec<_> = output.stderr.lines().filter_map(|line| line.trim().strip_prefix("--> ")).collect();
    let wanted: Vec<_> = expected.map(|(place, _)| format!("tests/fixtures/ten_mistakes.sql:{place}")).to_vec();
    assert_eq!(places, wanted, "{}", output.stderr);
    for (_, word) in expected {
        assert!(output.stderr.contains(word), "{word}: {}", output.stderr);
    }
    assert_eq!(output.stderr.matches("error: ").count(), 10, "{}", output.stderr);
    assert_eq!(output.code, Some(2));
}

#[test]
fn every_file_is_checked_even_when_the_first_one_is_wrong() {
    let output = eventflux(&["check", "tests/fixtures/ten_mistakes.sql", "examples/quickstart.sql"]);
    assert_eq!(output.code, Some(2));
    assert_eq!(output.stdout, "examples/quickstart.sql: ok\n");
}

#[test]
fn nothing_is_started_when_one_of_the_files_has_a_mistake() {
    let files = Files::new();
    let made = files.0.path().join("made.jsonl");
    let good = files.write("good.sql", &counting(&format!("type='file', file.path='{}'", made.display())));
    let output = eventflux(&["run", &good, "tests/fixtures/ten_mistakes.sql"]);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(!made.exists());
}

#[test]
fn a_file_without_a_source_is_not_run() {
    let files = Files::new();
    let empty = files.write("empty.sql", "");
    let idle = files.write("idle.sql", "@sink(type='blackhole') CREATE STREAM Kept (n INT);");
    for file in [empty, idle] {
        let output = eventflux(&["run", &file]);
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains(&format!("{file}: nothing to run: no stream has a source")), "{output:?}");
    }
}

#[test]
fn a_pipeline_whose_sources_are_finite_ends_with_a_summary_and_0() {
    let files = Files::new();
    let sql = files.write("count.sql", &counting("type='blackhole'"));
    let output = eventflux(&["run", &sql]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let summary = output.stderr.lines().find(|line| line.contains(" ended after ")).unwrap();
    assert!(summary.starts_with(&sql) && summary.contains("in 10, out 10, dropped 0, failed 0"), "{summary}");
    assert!(output.stderr.contains("source Numbers (generator): in 10"), "{}", output.stderr);
    assert!(output.stderr.contains("sink Kept (blackhole): out 10"), "{}", output.stderr);
}

#[test]
fn a_pipeline_that_fails_exits_with_1_and_the_others_go_on() {
    let files = Files::new();
    let sql = counting("type='blackhole'").replace("SELECT n", "SELECT 1 / (n - n) AS n");
    let fails = files.write("fails.sql", &sql.replace("type='generator'", "type='generator', error.strategy='fail'"));
    let works = files.write("works.sql", &counting("type='blackhole'"));
    let output = eventflux(&["run", &fails, &works]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains(&format!("error: {fails}: failed: ")), "{}", output.stderr);
    assert!(output.stderr.contains(&format!("{works} ended after ")), "{}", output.stderr);
}

#[test]
fn a_fault_of_a_sink_is_not_blamed_on_its_source() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let files = Files::new();
    let sink = format!("type='websocket', websocket.url='ws://127.0.0.1:{port}/', websocket.reconnect='false'");
    let output = eventflux(&["run", &files.write("down.sql", &endless(&sink))]);
    assert_eq!(output.code, Some(1), "{output:?}");
    let source = output.stderr.lines().find(|line| line.contains("source ") && line.contains("(generator): in "));
    assert!(source.unwrap().contains("failed 0"), "{}", output.stderr);
    assert!(!output.stderr.contains("generator source of stream"), "{}", output.stderr);
}

#[test]
fn an_address_in_use_is_named_and_exits_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let files = Files::new();
    let sink = format!("type='websocket', websocket.mode='server', websocket.listen='{address}'");
    let output = eventflux(&["run", &files.write("taken.sql", &counting(&sink))]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("cannot start: "), "{}", output.stderr);
    assert!(output.stderr.contains(&address.to_string()), "{}", output.stderr);
}

#[test]
fn the_quickstart_shows_trades_and_a_signal_ends_it_with_a_summary() {
    for signal in ["INT", "TERM"] {
        let mut running = quickstart();
        running.expect_stdout("USDT");
        running.signal(signal);
        let output = running.finish();
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(output.stderr.contains("stopping: "), "{}", output.stderr);
        let summary = output.stderr.lines().find(|line| line.contains("quickstart.sql ended after ")).unwrap();
        assert!(summary.contains("dropped 0, failed 0"), "{summary}");
    }
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    // A server that accepts and never answers: what was published waits for it until the drain timeout.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let files = Files::new();
    let sink = format!("type='websocket', websocket.url='ws://{}/'", silent.local_addr().unwrap());
    let sql = endless(&sink).replace("CREATE STREAM Kept", "@sink(type='log')\nCREATE STREAM Kept");
    let mut running = Running::start(&["run", "--drain-timeout", "10m", &files.write("endless.sql", &sql)], &[]);
    let (_client, _) = silent.accept().unwrap();
    running.expect_stdout("0");
    running.signal("INT");
    running.expect_stderr("a second signal stops at once");
    // One that comes right behind the first counts as the same.
    running.signal_until_the_end("INT");
    assert_eq!(running.finish().code, Some(130));
}

#[test]
fn a_property_given_on_the_command_line_replaces_the_one_in_the_file() {
    let files = Files::new();
    let sql = files.write("count.sql", &counting("type='blackhole'"));
    let output = eventflux(&["run", "--set", "Numbers.generator.count=3", &sql]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stderr.contains("in 3, out 3"), "{}", output.stderr);
}

#[test]
fn a_property_given_on_the_command_line_has_to_exist() {
    let files = Files::new();
    let sql = files.write("count.sql", &counting("type='blackhole'"));
    for (given, hint) in [("Numbers.generator.cuont=3", "generator.count"), ("Numbes.generator.count=3", "Numbers")] {
        let output = eventflux(&["check", "--set", given, &sql]);
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains(hint), "{}", output.stderr);
    }
}

#[test]
fn secrets_appear_nowhere_even_when_everything_is_logged() {
    // A server that hangs up at once.
    let rude = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/?token=hunter2", rude.local_addr().unwrap());
    thread::spawn(move || rude.incoming().for_each(drop));
    let files = Files::new();
    let sink = format!(
        "type='websocket', websocket.url='{url}', websocket.reconnect.delay.ms='1', \
         websocket.headers.Authorization='${{env:SECRET_TOKEN}}'"
    );
    let sql = files.write("secret.sql", &endless(&sink));
    let arguments = ["--log-level", "trace", "run", "--drain-timeout", "1s", &*sql];
    let output = Running::start(&arguments, &[("SECRET_TOKEN", "hunter2")]).finish();
    assert_eq!(output.code, Some(1), "the sink gives up: {output:?}");
    assert!(output.stderr.contains("127.0.0.1"), "the endpoint is named: {output:?}");
    assert!(!output.stderr.contains("hunter2") && !output.stdout.contains("hunter2"), "{output:?}");
}

#[test]
fn progress_is_plain_lines_where_there_is_no_terminal() {
    let files = Files::new();
    let sql = files.write("endless.sql", &counting("type='blackhole'").replace("generator.count='10',", ""));
    let mut running = Running::start(&["run", "--progress-interval", "100ms", &sql], &[]);
    let line = running.expect_stderr("/s)");
    assert!(line.contains("  in ") && line.contains("  out ") && line.contains("dropped 0  failed 0"), "{line}");
    assert!(!line.contains('\u{1b}') && !line.contains('\r'), "{line:?}");
    running.signal("INT");
    assert_eq!(running.finish().code, Some(0));
}

#[test]
fn quiet_prints_nothing_when_all_is_well() {
    let files = Files::new();
    let output = eventflux(&["run", "--quiet", &files.write("count.sql", &counting("type='blackhole'"))]);
    assert_eq!((output.code, &*output.stderr, &*output.stdout), (Some(0), "", ""));
}

#[test]
fn connectors_are_listed_and_explained() {
    let list = eventflux(&["connectors"]);
    assert_eq!(list.code, Some(0));
    for name in ["websocket", "replay", "generator", "log", "file", "blackhole", "json", "text", "bytes", "csv"] {
        assert!(list.stdout.contains(&format!("\n  {name} ")), "{name}: {}", list.stdout);
    }
    let one = eventflux(&["connectors", "websocket"]);
    assert!(one.stdout.contains("websocket.url") && one.stdout.contains("error.strategy"), "{}", one.stdout);
}

#[test]
fn an_unknown_connector_gets_the_nearest_name() {
    let output = eventflux(&["connectors", "websokcet"]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("did you mean 'websocket'?"), "{}", output.stderr);
}

#[test]
fn connectors_are_described_as_json_for_programs() {
    let output = eventflux(&["connectors", "websocket", "--format", "json"]);
    let value: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let properties = value["source"]["properties"].as_array().unwrap();
    let url = properties.iter().find(|property| property["key"] == "websocket.url").unwrap();
    assert_eq!(url["required"], true);
    assert_eq!(url["type"], "url");
}

/// A pipeline that counts to ten, as fast as it can, into a sink of these properties.
fn counting(sink: &str) -> String {
    format!(
        "@source(type='generator', generator.count='10', generator.rate='max', \
         generator.template='{{\"n\":${{seq}}}}', @map(type='json'))\n\
         CREATE STREAM Numbers (n BIGINT);\n\
         @sink({sink}, @map(type='json'))\n\
         CREATE STREAM Kept (n BIGINT);\n\
         INSERT INTO Kept SELECT n FROM Numbers;\n"
    )
}

/// The same without an end, at a leisurely pace.
fn endless(sink: &str) -> String {
    counting(sink).replace("generator.count='10', generator.rate='max',", "generator.rate='20',")
}

/// The quickstart on ports of its own.
fn quickstart() -> Running {
    let (feed, served) = (free_port(), free_port());
    let sets = [
        format!("Exchange.websocket.listen=127.0.0.1:{feed}"),
        format!("Trades.websocket.url=ws://127.0.0.1:{feed}/trades"),
        format!("LargeTrades.websocket.listen=127.0.0.1:{served}"),
    ];
    let mut arguments = vec!["run", "examples/quickstart.sql"];
    sets.iter().for_each(|set| arguments.extend(["--set", set]));
    Running::start(&arguments, &[])
}
