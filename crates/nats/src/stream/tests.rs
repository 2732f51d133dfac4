use std::time::Duration;

use super::*;
use crate::properties::STREAM;

fn read(name: &str, pairs: &[(&str, &str)]) -> Result<StreamConfig, EventFluxError> {
    let properties = Properties::from_pairs(STREAM, pairs.iter().copied())?;
    StreamConfig::from_properties(name, &properties, &["orders.*".to_owned()])
}

fn creation(pairs: &[(&str, &str)]) -> Result<Creation, EventFluxError> {
    read("S", &[&[("nats.stream.create", "true")], pairs].concat()).map(|config| config.create.unwrap())
}

#[track_caller]
fn assert_refused(refused: Result<impl std::fmt::Debug, EventFluxError>, property: &str, text: &str) {
    let error = refused.unwrap_err();
    assert!(matches!(&error, EventFluxError::Configuration { property: Some(key), .. } if key == property), "{error}");
    assert!(error.to_string().contains(text), "{error}");
}

#[test]
fn a_stream_is_created_as_it_is_described() {
    assert_eq!(read("S", &[]).unwrap(), StreamConfig { name: "S".to_owned(), create: None });
    let defaults = Creation {
        subjects: vec!["orders.*".to_owned()],
        memory: false,
        replicas: 1,
        retention: Retention::Limits,
        max_age: Some(Duration::from_secs(86_400)),
        max_bytes: Some(1 << 30),
        max_messages: None,
        discard_new: false,
        duplicate_window: Duration::from_secs(120),
    };
    assert_eq!(creation(&[]).unwrap(), defaults);
    let described = creation(&[
        ("nats.stream.subjects", "a.>, b"),
        ("nats.stream.storage", "memory"),
        ("nats.stream.replicas", "3"),
        ("nats.stream.retention", "workqueue"),
        ("nats.stream.max.age", "0s"),
        ("nats.stream.max.bytes", "0"),
        ("nats.stream.max.messages", "7"),
        ("nats.stream.discard", "new"),
        ("nats.stream.duplicate.window", "5m"),
    ]);
    let expected = Creation {
        subjects: vec!["a.>".to_owned(), "b".to_owned()],
        memory: true,
        replicas: 3,
        retention: Retention::WorkQueue,
        max_age: None,
        max_bytes: None,
        max_messages: Some(7),
        discard_new: true,
        duplicate_window: Duration::from_secs(300),
    };
    assert_eq!(described.unwrap(), expected);
    assert_eq!(creation(&[("nats.stream.retention", "interest")]).unwrap().retention, Retention::Interest);
}

#[test]
fn the_duplicate_window_is_no_longer_than_the_age() {
    let (age, window) = ("nats.stream.max.age", "nats.stream.duplicate.window");
    assert_eq!(creation(&[(age, "30s")]).unwrap().duplicate_window, Duration::from_secs(30));
    assert_refused(creation(&[(age, "30s"), (window, "1m")]), window, age);
    assert_eq!(creation(&[(age, "0s"), (window, "1h")]).unwrap().duplicate_window, Duration::from_secs(3600));
    assert_refused(creation(&[(window, "0s")]), window, "more than nothing");
}

#[test]
fn names_and_subjects_that_no_server_takes_are_refused() {
    for bad in ["", "a b", "a.b", "a*", ">", "a/b", "a\\b", "a\tb", &"x".repeat(MAX_NAME_BYTES + 1)] {
        assert_refused(read(bad, &[]), "nats.stream", "a stream");
    }
    assert!(read("ORDERS-2_é", &[]).is_ok());
    for bad in ["", "a,", "a b", "a..b", "a.>.b"] {
        assert_refused(creation(&[("nats.stream.subjects", bad)]), "nats.stream.subjects", "");
    }
}

#[test]
fn every_difference_to_a_stream_that_exists_is_named_and_an_order_of_subjects_is_none() {
    let wanted = creation(&[("nats.stream.subjects", "a,b")]).unwrap();
    let same = Config { subjects: vec!["b".to_owned(), "a".to_owned()], ..wanted.config("S") };
    assert_eq!(wanted.differences(&same), Vec::<String>::new());
    let other = creation(&[
        ("nats.stream.subjects", "a"),
        ("nats.stream.storage", "memory"),
        ("nats.stream.replicas", "3"),
        ("nats.stream.retention", "workqueue"),
        ("nats.stream.max.age", "0s"),
        ("nats.stream.max.bytes", "0"),
        ("nats.stream.max.messages", "7"),
        ("nats.stream.discard", "new"),
        ("nats.stream.duplicate.window", "5m"),
    ]);
    let differences = wanted.differences(&other.unwrap().config("S"));
    let named: Vec<_> = differences.iter().map(|difference| difference.split(' ').next().unwrap()).collect();
    let keys: Vec<_> = STREAM.iter().map(|spec| spec.key).filter(|key| *key != "nats.stream.create").collect();
    assert_eq!(named, keys);
    assert!(differences.contains(&"nats.stream.max.bytes is none, not 1073741824".to_owned()), "{differences:?}");
}
