//! Objects as files below a directory.

use std::fs;
use std::path::{Path, PathBuf};

use eventflux_core::health::ConnectionState;
use eventflux_core::{EventFluxError, FaultClass, Properties, TextValues};
use eventflux_objectstore_connector::SINK_PROPERTIES;
use eventflux_testkit::wait::eventually_blocking;
use tempfile::TempDir;

use crate::support::{DEADLINE, Fixture, batch, files, lines};

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("objects")
    }

    fn url(&self) -> String {
        format!("file:{}", self.path().display())
    }

    fn sink(&self, more: &[(&str, &str)]) -> Fixture {
        let url = self.url();
        let mut pairs = vec![("objectstore.url", &*url)];
        pairs.extend(more);
        Fixture::started(&pairs)
    }
}

fn relative<'a>(path: &'a Path, folder: &Folder) -> Vec<&'a str> {
    path.strip_prefix(folder.path()).unwrap().iter().map(|part| part.to_str().unwrap()).collect()
}

#[test]
fn an_object_is_named_after_stream_day_hour_and_time() {
    let folder = Folder::new();
    let fixture = folder.sink(&[("objectstore.batch.events", "2")]);
    fixture.sink.publish_batch(&batch(1, ["a", "b"])).unwrap();
    fixture.settle();
    let [file] = &files(&folder.path())[..] else { panic!("{:?}", files(&folder.path())) };
    assert_eq!(fs::read_to_string(file).unwrap(), "a\nb\n");
    let [stream, day, hour, name] = relative(file, &folder)[..] else { panic!("{file:?}") };
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    assert_eq!((stream, digits(day), digits(hour)), ("Readings", 8, 2), "{file:?}");
    let begin = format!("{}T{hour}", day.replace('-', ""));
    assert!(name.starts_with(&begin) && name.ends_with(".jsonl"), "{file:?}");
    assert_eq!(fixture.count("eventflux_objectstore_objects_total"), 1);
    assert_eq!(fixture.count("eventflux_objectstore_bytes_total"), 4);
}

#[test]
fn what_waits_becomes_an_object_after_the_delay() {
    let folder = Folder::new();
    let fixture = folder.sink(&[("objectstore.batch.delay", "10ms")]);
    fixture.sink.publish(b"a").unwrap();
    fixture.sink.publish(b"b").unwrap();
    fixture.settle();
    assert_eq!(lines(&folder.path()), ["a", "b"]);
}

#[test]
fn a_stop_writes_what_waits() {
    let folder = Folder::new();
    let fixture = folder.sink(&[("objectstore.batch.delay", "1h"), ("objectstore.sync", "none")]);
    fixture.sink.publish_batch(&batch(1, ["a", "b"])).unwrap();
    assert_eq!(files(&folder.path()), Vec::<PathBuf>::new());
    assert_eq!((fixture.sink.stop(DEADLINE), fixture.sink.stop(DEADLINE)), (0, 0));
    assert_eq!(lines(&folder.path()), ["a", "b"]);
    assert_eq!(fixture.context.health.current().state, ConnectionState::Stopped);
    assert_eq!(fixture.sink.publish(b"c"), Err(EventFluxError::Stopped));
}

#[test]
fn columns_choose_the_path_and_lead_nowhere_else() {
    let folder = Folder::new();
    let properties = [("objectstore.path", "of/${sensor}"), ("objectstore.path.time", "")];
    let fixture = folder.sink(&properties);
    let template = Properties::from_pairs(SINK_PROPERTIES, properties).unwrap();
    let template = template.template("objectstore.path").unwrap().unwrap();
    let paths = TextValues::from_iter(["of/roof", "of/cellar", "of/roof", "of/../../out", "of/x"]);
    let payloads = batch(1, ["a", "b", "c", "d", "e"]).with_texts(&template, paths);
    let failure = fixture.sink.publish_batch(&payloads).unwrap_err();
    assert_eq!((failure.row, failure.error.class()), (3, FaultClass::Invalid));
    assert!(failure.error.to_string().contains("objectstore.path: 'of/../../out'"), "{}", failure.error);
    fixture.sink.publish_batch(&payloads.tail(4)).unwrap();
    assert_eq!(fixture.sink.stop(DEADLINE), 0);
    assert_eq!(lines(&folder.path().join("of/roof")), ["a", "c"]);
    assert_eq!(lines(&folder.path().join("of/cellar")), ["b"]);
    assert_eq!(lines(&folder.path().join("of/x")), ["e"]);
    assert_eq!(files(folder.0.path()).len(), 3);
}

#[test]
fn payloads_that_are_no_text_stand_behind_their_length() {
    let folder = Folder::new();
    let fixture = folder.sink(&[("objectstore.framing", "length")]);
    fixture.sink.publish_batch(&batch(1, [&b"a\n"[..], b"\0"])).unwrap();
    fixture.sink.stop(DEADLINE);
    let [file] = &files(&folder.path())[..] else { panic!("{:?}", files(&folder.path())) };
    assert_eq!(fs::read(file).unwrap(), b"\0\0\0\x02a\n\0\0\0\x01\0");
    assert_eq!(file.extension().unwrap(), "bin");
}

#[test]
fn a_directory_that_cannot_be_written_is_a_fault_that_passes_and_nothing_is_doubled() {
    let folder = Folder::new();
    let fixture = folder.sink(&[("objectstore.batch.events", "2")]);
    // Not by permissions: they do not hold for every user.
    fs::write(folder.path().join("Readings"), "in the way").unwrap();
    fixture.sink.publish_batch(&batch(1, ["a"])).unwrap();
    fixture.sink.publish_batch(&batch(2, ["b"])).unwrap();
    let failed = fixture.failed(2);
    let payloads: Vec<_> = failed.iter().map(|(payload, _)| &payload[..]).collect();
    assert_eq!(payloads, [b"a", b"b"]);
    let (_, error) = &failed[0];
    assert!(error.is_retryable() && error.to_string().starts_with(folder.path().to_str().unwrap()), "{error}");
    eventually_blocking(DEADLINE, || fixture.context.health.current().state == ConnectionState::Reconnecting);
    assert_eq!(fixture.count("eventflux_objectstore_failures_total"), 1);
    fs::remove_file(folder.path().join("Readings")).unwrap();
    fixture.sink.publish_batch(&batch(1, ["a", "b"])).unwrap();
    fixture.settle();
    assert_eq!(lines(&folder.path()), ["a", "b"]);
    assert_eq!(files(&folder.path()).len(), 1);
    eventually_blocking(DEADLINE, || fixture.context.health.current().state == ConnectionState::Connected);
}

#[test]
fn a_directory_that_is_removed_is_made_again() {
    let folder = Folder::new();
    let fixture = folder.sink(&[("objectstore.batch.events", "1")]);
    fixture.sink.publish(b"a").unwrap();
    fixture.settle();
    fs::remove_dir_all(folder.path().join("Readings")).unwrap();
    fixture.sink.publish(b"b").unwrap();
    fixture.settle();
    assert_eq!(lines(&folder.path()), ["b"]);
}

#[test]
fn a_place_is_tried_out_without_leaving_anything() {
    let folder = Folder::new();
    let url = folder.url();
    let fixture = Fixture::new(&[("objectstore.url", &url)]);
    fixture.sink.validate_connectivity().unwrap();
    assert!(!folder.path().exists());
    fs::write(folder.path(), "in the way").unwrap();
    let error = fixture.sink.validate_connectivity().unwrap_err();
    assert!(matches!(error, EventFluxError::ConnectionUnavailable { retryable: false, .. }), "{error:?}");
    let error = fixture.sink.start(fixture.recorder.clone()).unwrap_err().to_string();
    assert!(error.starts_with("property 'objectstore.url': the directory '"), "{error}");
}

#[test]
fn everything_under_way_is_settled_as_lost_when_a_stop_has_no_time() {
    let folder = Folder::new();
    let fixture = folder.sink(&[("objectstore.batch.delay", "1h")]);
    fixture.settle();
    drop(fixture);
    let never_started = Fixture::new(&[("objectstore.url", &folder.url())]);
    assert_eq!(never_started.settled(), Ok(()));
    assert_eq!(never_started.sink.stop(DEADLINE), 0);
}
