//! From datagrams to objects: the example, and what happens when objects cannot be written.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use eventflux_core::EventFluxContext;
use eventflux_engine::EventFlux;
use eventflux_testkit::wait::{eventually_blocking, eventually_some_blocking};
use eventflux_tests::repository;
use tempfile::TempDir;

/// How long a step may take.
const DEADLINE: Duration = Duration::from_secs(20);

#[test]
fn the_example_makes_objects_of_datagrams() {
    let folder = TempDir::new().unwrap();
    let sql = fs::read_to_string(repository().join("examples/udp-to-objects.sql")).unwrap();
    let sql = in_place(&sql, &folder.path().join("objects"));
    let mut pipeline = EventFlux::from_sql(&sql, &context()).unwrap();
    pipeline.start().unwrap();
    let address = address(&pipeline);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for reading in [r#"{"sensor":"roof","value":72.5}"#, r#"{"sensor":"roof","value":7}"#, "no JSON"] {
        sender.send_to(reading.as_bytes(), address).unwrap();
    }
    sender.send_to(br#"{"sensor":"../../etc","value":99}"#, address).unwrap();
    sender.send_to(br#"{"sensor":"cellar 1","value":51}"#, address).unwrap();
    let written = eventually_some_blocking(DEADLINE, || {
        let written = contents(folder.path());
        (written.len() == 2).then_some(written)
    });
    pipeline.stop(DEADLINE);
    let [cellar, roof] = &written[..] else { panic!("{written:?}") };
    assert!(cellar.0.contains("/objects/high/cellar 1/") && cellar.1.contains(r#""value":51"#), "{cellar:?}");
    assert!(roof.0.contains("/objects/high/roof/"), "{roof:?}");
    assert!(roof.1.starts_with(r#"{"sensor":"roof","value":72.5,"sender":"127.0.0.1","received":1"#), "{roof:?}");
    assert_eq!(contents(folder.path()).len(), 2, "a value of a column led elsewhere");
}

#[test]
fn what_cannot_be_written_goes_to_the_dead_letters() {
    let folder = TempDir::new().unwrap();
    let (objects, letters) = (folder.path().join("objects"), folder.path().join("letters.jsonl"));
    let sql = format!(
        "@source(type='udp', udp.listen='127.0.0.1:0', @map(type='text'))
         CREATE STREAM Heard (line STRING);
         @sink(type='objectstore', objectstore.url='file:{}', objectstore.batch.events='1', error.strategy='dlq',
               error.dlq.stream='Lost', @map(type='text'))
         CREATE STREAM Kept (line STRING);
         @sink(type='file', file.path='{}', @map(type='json'))
         CREATE STREAM Lost (originalEvent STRING, stage STRING, errorType STRING);
         INSERT INTO Kept SELECT line FROM Heard;",
        objects.display(),
        letters.display()
    );
    let mut pipeline = EventFlux::from_sql(&sql, &context()).unwrap();
    pipeline.start().unwrap();
    // Where the directory of the stream would be. Not by permissions: they do not hold for every user.
    fs::write(objects.join("Kept"), "in the way").unwrap();
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"hello", address(&pipeline)).unwrap();
    eventually_blocking(DEADLINE, || fs::metadata(&letters).is_ok_and(|letters| letters.len() > 0));
    pipeline.stop(DEADLINE);
    let letter = fs::read_to_string(&letters).unwrap();
    assert_eq!(letter, "{\"originalEvent\":\"hello\",\"stage\":\"send\",\"errorType\":\"connection\"}\n");
}

fn context() -> EventFluxContext {
    let mut context = EventFluxContext::new();
    eventflux_mappers::register(&mut context);
    eventflux_local_connectors::register(&mut context);
    eventflux_udp_connector::register(&mut context);
    eventflux_objectstore_connector::register(&mut context);
    context
}

/// The example with another directory, a free port, and less delay.
fn in_place(sql: &str, objects: &Path) -> String {
    let mut placed = sql.to_owned();
    for (there, here) in [
        ("file:./objects'", format!("file:{}'", objects.display())),
        ("udp.listen='127.0.0.1:14550'", "udp.listen='127.0.0.1:0'".to_owned()),
        ("batch.delay='2s'", "batch.delay='10ms'".to_owned()),
    ] {
        assert!(placed.contains(there), "the example does not say {there}");
        placed = placed.replace(there, &here);
    }
    placed
}

/// Where the pipeline's source receives.
fn address(pipeline: &EventFlux) -> SocketAddr {
    eventually_some_blocking(DEADLINE, || {
        let mut details = pipeline.status().into_iter().filter_map(|status| status.health.detail);
        details.find_map(|detail| detail.strip_prefix("udp://")?.parse().ok())
    })
}

/// Path and text of every file below a directory, by path.
fn contents(folder: &Path) -> Vec<(String, String)> {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push((path.display().to_string(), fs::read_to_string(path).unwrap_or_default())),
            }
        }
    }
    found.sort();
    found
}
