//! Programs that know the printed envelopes of federation and nothing else, at either end of a connection of ours.

use std::fs;

use tempfile::TempDir;

use super::runtimes::{node_script, printed, python};
use super::support::{Running, eventflux, free_port, repository};

/// Where a pipeline listens.
const LISTENS: &str = "websocket.mode='server', websocket.listen='127.0.0.1:0', websocket.path='/federation'";

/// What starts a program.
type Start = fn(&str, &[&str]) -> Option<Running>;

/// One of each language.
const PROGRAMS: [(&str, Start); 2] = [("federation/peer.py", python), ("federation/peer.mjs", node_script)];

/// A pipeline that sends, takes, asks and hears answers over the connections of one place.
fn pipeline(place: &str) -> String {
    let link = |role: &str, more: &str| {
        format!("@{role}(type='websocket', {place}, websocket.protocol='federation'{more}, @map(type='json'))")
    };
    format!(
        r#"@source(type='generator', generator.rate='200', @map(type='json'), generator.template='{{"sensor_id":"temp-${{int:1:9}}","type":"${{choice:sensor,telemetry,alarm}}","region":"${{choice:us-west,eu-north}}","severity":"${{choice:info,warning,error}}","value":${{float:0:100:1}},"unit":"celsius"}}')
        {} CREATE STREAM Sensors (sensor_id STRING, type STRING, region STRING, severity STRING, value DOUBLE, unit STRING);
        {} @sink(type='log', @map(type='json')) CREATE STREAM Taken (id STRING, sensor_id STRING, value DOUBLE, unit STRING);
        @source(type='generator', generator.template='{{"verbose":true}}', generator.rate='5', @map(type='json'))
        {} CREATE STREAM Questions (verbose BOOL);
        {} @sink(type='log', @map(type='json')) CREATE STREAM Answers (outcome STRING, asked STRING, result JSON);"#,
        link("sink", ", websocket.history.events='1000'"),
        link("source", ", metadata.id='id'"),
        link("sink", ", websocket.send='request', websocket.method='inventory', error.strategy='drop'"),
        link("source", ", websocket.accept='reply', metadata.outcome='status', metadata.asked='method'"),
    )
}

/// The binary runs this.
fn run(folder: &TempDir, sql: &str) -> Running {
    let file = folder.path().join("pipeline.sql");
    fs::write(&file, sql).unwrap();
    Running::start(&["run", "--admin", "off", file.to_str().unwrap()], &[])
}

/// The program is content, and the pipeline has got what it said.
#[track_caller]
fn understand_each_other(mut ours: Running, theirs: Running) {
    for id in ["data-001", "data-002"] {
        let taken = ours.expect_stdout(id);
        assert!(taken.contains(r#""sensor_id":"temp-01""#) && taken.contains(r#""unit":"celsius""#), "{taken}");
    }
    let answer = ours.expect_stdout(r#""outcome":"ok""#);
    assert!(answer.contains(r#""asked":"inventory""#) && answer.contains(r#""sensors":9"#), "{answer}");
    let output = theirs.finish();
    assert_eq!((output.code, output.stdout.contains("done")), (Some(0), true), "{output:?}");
    ours.signal("TERM");
    // What was published since the program has gone is delivered to nobody, and its end says so.
    let output = ours.finish();
    assert!(!output.stderr.contains("panicked"), "{output:?}");
}

#[test]
fn who_knows_only_the_envelopes_connects() {
    for (program, start) in PROGRAMS {
        let folder = TempDir::new().unwrap();
        let mut ours = run(&folder, &pipeline(LISTENS));
        let line = ours.expect_stderr("listening on ");
        let (_, address) = line.split_once("listening on ").unwrap();
        let url = format!("ws://{}/federation", address.split([' ', '/']).next().unwrap());
        let Some(theirs) = start(&printed(program), &["client", &url]) else { continue };
        understand_each_other(ours, theirs);
    }
}

#[test]
fn who_knows_only_the_envelopes_is_connected_to() {
    for (program, start) in PROGRAMS {
        let Some(mut theirs) = start(&printed(program), &["server"]) else { continue };
        let line = theirs.expect_stdout("listening at ");
        let port = line.rsplit(' ').next().unwrap();
        let place = format!("websocket.url='ws://127.0.0.1:{port}/federation', websocket.connection='streamkit'");
        let folder = TempDir::new().unwrap();
        let ours = run(&folder, &pipeline(&place));
        understand_each_other(ours, theirs);
    }
}

#[test]
fn the_two_pipelines_of_the_example_are_linked_and_the_hub_hears_of_the_edge() {
    let (port, folder) = (free_port(), TempDir::new().unwrap());
    // The same at another port, and asked more often.
    let files = ["edge.sql", "hub.sql"].map(|name| {
        let text = fs::read_to_string(repository().join("examples/federation").join(name)).unwrap();
        let text = text.replace("127.0.0.1:8090", &format!("127.0.0.1:{port}"));
        let file = folder.path().join(name);
        fs::write(&file, text.replace("generator.rate='0.1'", "generator.rate='5'")).unwrap();
        file.display().to_string()
    });
    let arguments = ["run", "--admin", "off", &files[0], &files[1]];
    let mut running = Running::start(&arguments, &[]);
    let first = running.expect_stdout(r#""id":"Sensors/"#);
    assert!(first.contains(r#"/1","sensor":"temp-"#), "{first}");
    let inventory = running.expect_stdout(r#""outcome":"ok""#);
    assert!(inventory.contains(r#""firmware":"4.2.1""#) && inventory.contains(r#""sensors":9"#), "{inventory}");
    let status = eventflux(&["request", &format!("ws://127.0.0.1:{port}/edges"), "status"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(status.stdout.contains("uptime_seconds"), "{status:?}");
    running.signal("TERM");
    let output = running.finish();
    assert_eq!((output.code, output.stderr.contains("panicked")), (Some(0), false), "{output:?}");
}
