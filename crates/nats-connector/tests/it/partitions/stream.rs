//! What becomes of partitions when something becomes of their stream.

use super::*;

#[test]
fn keys_are_put_where_the_server_itself_would_put_them() {
    let mapping = r#"mappings = { "mapped.*": "own.{{wildcard(1)}}.{{partition(16,1)}}" }"#;
    let server = NatsServer::start_with(mapping);
    let client = TestClient::connect(&server);
    let (own, ours) = (client.subscribe("own.>"), client.subscribe("ours.>"));
    let sink =
        sink(&server.url(), &[("nats.subject", "ours.${key}"), ("partition.by", "key"), ("partition.count", "16")]);
    let keys: Vec<_> = (0..200).map(|key| format!("SYM-{key}-é")).collect();
    for key in &keys {
        client.publish(&format!("mapped.{key}"), key.clone());
        let subject = format!("ours.{key}");
        sink.publish(&[(key, &[("nats.subject", &subject), ("partition.by", key)])]).unwrap();
    }
    sink.settle().unwrap();
    let subjects = |messages: Vec<async_nats::Message>| -> Vec<String> {
        let tails = messages.iter().map(|message| message.subject.split_once('.').unwrap().1.to_owned());
        tails.collect()
    };
    let (mut own, mut ours) = (subjects(own.wait_for(200)), subjects(ours.wait_for(200)));
    own.sort_unstable();
    ours.sort_unstable();
    assert_eq!(own, ours);
}

#[test]
fn a_stream_that_is_deleted_and_made_again_is_read_from_its_beginning() {
    let bench = Bench::start();
    bench.store("trades.x.0", &["a", "b", "c"]);
    let source = reader(&bench.server.url(), "1");
    source.wait_for(3);
    bench.waits_for_position(0, 4);
    block_on(bench.jetstream.delete_stream("TRADES")).unwrap();
    source.wait_for_state(ConnectionState::Reconnecting);
    assert!(source.context.health.current().detail.is_some());
    bench.create();
    bench.store("trades.x.0", &["d"]);
    assert_eq!(source.wait_for(4), ["a", "b", "c", "d"]);
    source.wait_for_state(ConnectionState::Connected);
}

#[test]
fn a_stream_that_is_replaced_at_once_is_read_from_its_beginning() {
    let bench = Bench::start();
    bench.store("trades.x.0", &["a", "b", "c"]);
    let proxy = ChaosProxy::start(bench.server.address());
    let source = reader(&format!("nats://{}", proxy.address()), "1");
    source.wait_for(3);
    bench.waits_for_position(0, 4);
    // The source sees both at once, and its connection lasts.
    proxy.freeze();
    block_on(async {
        bench.jetstream.delete_stream("TRADES").await.unwrap();
        let config = Config { name: "TRADES".to_owned(), subjects: vec!["trades.>".to_owned()], ..Config::default() };
        bench.jetstream.create_stream(config).await.unwrap();
    });
    bench.store("trades.x.0", &["d", "e"]);
    proxy.resume().blocking();
    assert_eq!(source.wait_for(5), ["a", "b", "c", "d", "e"]);
}

#[test]
fn a_stream_that_is_older_than_what_the_positions_are_of_is_read_all_the_same() {
    let bench = Bench::start();
    let url = bench.server.url();
    bench.store("trades.x.0", &["a", "b"]);
    let mut first = reader(&url, "2");
    first.wait_for(2);
    bench.waits_for_position(0, 3);
    let epoch = bench.record(0)["epoch"].as_u64().unwrap();
    first.source.stop(DEADLINE);
    for partition in 0..2 {
        let record = serde_json::json!({"owner": null, "position": 900, "epoch": epoch + 1_000, "write": 1});
        block_on(async {
            let store = bench.jetstream.get_key_value("eventflux-leases-g").await.unwrap();
            store.put(format!("partition.{partition}"), record.to_string().into()).await.unwrap();
        });
    }
    let logs = LogCapture::start().containing("the stream is older");
    let second = reader(&url, "2");
    waits_to_hold(&second, 2);
    assert_eq!(second.wait_for(2), ["a", "b"]);
    bench.store("trades.x.1", &["c"]);
    assert_eq!(second.wait_for(3), ["a", "b", "c"]);
    assert_eq!((0..2).map(|partition| bench.record(partition)["epoch"].as_u64()).collect::<Vec<_>>(), [Some(epoch); 2]);
    assert_eq!(logs.lines().len(), 1);
    // Another one neither minds nor begins again.
    let third = reader(&url, "2");
    waits_to_hold(&third, 1);
    bench.store("trades.x.0", &["d"]);
    bench.store("trades.x.1", &["e"]);
    eventually_blocking(DEADLINE, || second.recorder.count() + third.recorder.count() == 5);
}

#[test]
fn messages_that_were_removed_before_they_were_read_are_a_gap() {
    let bench = Bench::start();
    bench.store("trades.x.0", &["a", "b"]);
    let url = bench.server.url();
    let mut first = reader(&url, "1");
    first.wait_for(2);
    first.source.stop(DEADLINE);
    bench.store("trades.x.0", &["c", "d", "e"]);
    block_on(async { bench.jetstream.get_stream("TRADES").await.unwrap().purge().sequence(5).await }).unwrap();
    let logs = LogCapture::start().containing("messages may be missing");
    let second = reader(&url, "1");
    assert_eq!(second.wait_for(1), ["e"]);
    assert_eq!(second.context.metrics.gaps.value(), 1);
    assert_eq!(logs.lines().len(), 1);
}

#[test]
fn a_partition_without_messages_does_not_fall_behind_the_stream() {
    let bench = Bench::start();
    let url = bench.server.url();
    let mut first = reader(&url, "2");
    bench.store("trades.x.0", &["a", "b", "c"]);
    first.wait_for(3);
    bench.waits_for_position(1, 4);
    first.source.stop(DEADLINE);
    block_on(async { bench.jetstream.get_stream("TRADES").await.unwrap().purge().await }).unwrap();
    let second = reader(&url, "2");
    waits_to_hold(&second, 2);
    bench.store("trades.x.1", &["d"]);
    assert_eq!(second.wait_for(1), ["d"]);
    assert_eq!(second.context.metrics.gaps.value(), 0);
}

#[test]
fn partitions_that_nobody_has_read_begin_where_it_is_said() {
    let bench = Bench::start();
    bench.store("trades.x.0", &["a", "b", "c"]);
    let url = bench.server.url();
    let begins = |group: &'static str, more: &[(&'static str, &'static str)]| {
        let source = source(&url, &properties("1", &[more, &[("partition.group", group)]].concat()));
        waits_to_hold(&source, 1);
        source
    };
    let new = begins("new", &[("nats.start", "new")]);
    let sources = [
        (begins("all", &[]), &["a", "b", "c", "d"][..]),
        (begins("last", &[("nats.start", "last")]), &["c", "d"]),
        (begins("sequence", &[("nats.start", "sequence"), ("nats.start.sequence", "2")]), &["b", "c", "d"]),
        (begins("past", &[("nats.start", "time"), ("nats.start.time", "2020-01-01T00:00:00Z")]), &["a", "b", "c", "d"]),
    ];
    bench.store("trades.x.0", &["d"]);
    assert_eq!(new.wait_for(1), ["d"]);
    for (source, expected) in sources {
        assert_eq!(source.wait_for(expected.len()), expected);
    }
}

#[test]
fn a_message_that_is_larger_than_the_share_of_its_partition_comes() {
    let bench = Bench::start();
    let large = "x".repeat(200_000);
    bench.store("trades.x.0", &["a", &large, "b"]);
    let source = source(&bench.server.url(), &properties("1", &[("nats.fetch.bytes", "10KiB")]));
    assert_eq!(source.wait_for(3), ["a", &large, "b"]);
}

#[test]
fn a_stream_that_forgets_what_was_read_is_refused() {
    let bench = Bench::without_stream();
    let config = Config {
        name: "TRADES".to_owned(),
        subjects: vec!["trades.>".to_owned()],
        retention: RetentionPolicy::WorkQueue,
        ..Config::default()
    };
    block_on(bench.jetstream.create_stream(config)).unwrap();
    let source = reader(&bench.server.url(), "1");
    source.wait_for_state(ConnectionState::Failed);
    let ends = source.recorder.ends();
    let error = ends[0].as_ref().unwrap_err().to_string();
    assert!(error.contains("'nats.stream'") && error.contains("workqueue"), "{error}");
}

#[test]
fn a_source_that_counts_on_fewer_partitions_than_there_are_ends_instead_of_missing_some() {
    let bench = Bench::start();
    bench.publish(0..1, 16);
    let reader = reader(&bench.server.url(), "8");
    reader.wait_for_state(ConnectionState::Failed);
    eventually_blocking(DEADLINE, || !reader.recorder.ends().is_empty());
    let error = reader.recorder.ends()[0].as_ref().unwrap_err().to_string();
    assert!(error.contains("'partition.count'") && error.contains("'16'"), "{error}");
}

#[test]
fn a_stream_is_created_with_the_subjects_of_all_partitions() {
    let bench = Bench::without_stream();
    let source = source(&bench.server.url(), &properties("2", &[("nats.stream.create", "true")]));
    waits_to_hold(&source, 2);
    let stream = block_on(bench.jetstream.get_stream("TRADES")).unwrap();
    assert_eq!(stream.cached_info().config.subjects, ["trades.*.*"]);
    bench.store("trades.x.1", &["a"]);
    assert_eq!(source.wait_for(1), ["a"]);
}
