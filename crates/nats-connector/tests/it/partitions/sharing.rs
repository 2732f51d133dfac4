//! Who holds which partition, and what comes again.

use super::*;

#[test]
fn one_source_reads_all_partitions_with_the_order_of_each_key_and_goes_on_where_it_stopped() {
    let bench = Bench::start();
    bench.publish(0..50, 8);
    let url = bench.server.url();
    let mut first = reader(&url, "8");
    let texts = first.wait_for(50 * KEYS);
    assert_complete(&by_key(&texts), 50);
    assert_eq!(held(&first), 8);
    let detail = first.context.health.current().detail.unwrap();
    assert_eq!(detail, "holds partitions 0-7 of 8; 1 instance");
    for message in 0..texts.len() {
        let subject = first.metadata(message, "subject").unwrap();
        let partition = first.metadata(message, "partition").unwrap();
        assert_eq!(format!("Int({})", subject.rsplit_once('.').unwrap().1), partition);
    }
    assert_eq!(first.metadata(0, "stream").as_deref(), Some("TRADES"));
    first.source.stop(DEADLINE);
    bench.publish(50..60, 8);
    let second = reader(&url, "8");
    assert_eq!(by_key(&second.wait_for(10 * KEYS))["K7"], (50..60).collect::<Vec<_>>());
    assert_eq!(second.recorder.count(), 10 * KEYS, "nothing comes twice after a clean stop");
}

#[test]
fn sources_share_partitions_and_what_a_dead_one_held_moves_with_the_order_of_each_key() {
    const NUMBERS: usize = 150;
    let bench = Bench::start();
    let proxy = ChaosProxy::start(bench.server.address());
    let (near, far) = (bench.server.url(), format!("nats://{}", proxy.address()));
    let doomed = reader(&far, "9");
    waits_to_hold(&doomed, 9);
    let others = [reader(&near, "9"), reader(&near, "9")];
    others.iter().for_each(|other| waits_to_hold(other, 3));
    waits_to_hold(&doomed, 3);
    bench.publish(0..NUMBERS / 3, 9);
    eventually_blocking(DEADLINE, || {
        others.iter().chain([&doomed]).map(|source| source.recorder.count()).sum::<usize>() >= NUMBERS / 3 * KEYS
    });
    let stored = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| bench.publish(NUMBERS / 3..NUMBERS, 9));
        eventually_blocking(DEADLINE, || doomed.recorder.count() > NUMBERS / 3 * KEYS / 9);
        let stored: Vec<_> = (0..9).map(|partition| bench.record(partition)["position"].as_u64().unwrap()).collect();
        // No goodbye comes through.
        proxy.blackhole();
        let began = Instant::now();
        eventually_blocking(LEASE + DEADLINE, || others.iter().map(held).sum::<u64>() == 9);
        let taken = began.elapsed();
        assert!(taken < LEASE + Duration::from_secs(2), "{taken:?}");
        publishing.join().unwrap();
        stored
    });
    let complete = || {
        let texts: Vec<_> = others.iter().chain([&doomed]).flat_map(TestSource::texts).collect();
        by_key(&texts).values().all(|numbers| (0..NUMBERS).all(|number| numbers.contains(&number)))
    };
    eventually_blocking(DEADLINE, complete);
    assert_eq!(held(&doomed), 0, "it stopped by itself");
    let before = sequences(&doomed);
    for (sequence, partition) in others.iter().flat_map(sequences) {
        let is_repeated = before.contains_key(&sequence);
        assert!(!is_repeated || sequence >= stored[partition], "{sequence} of {partition} was stored: {stored:?}");
    }
    let doomed = by_key(&doomed.texts());
    for other in &others {
        for (key, numbers) in by_key(&other.texts()) {
            // It may have held the partition, given it away to one that is alive, and had it back: never backwards.
            assert!(numbers.is_sorted(), "{key}: {numbers:?}");
            let begun = doomed.get(&key).and_then(|numbers| numbers.last());
            let is_taken_over = begun.is_some_and(|last| numbers.iter().any(|number| number > last));
            let is_behind = begun.is_none_or(|last| numbers.iter().all(|number| number > last));
            assert!(is_taken_over || is_behind, "{key}: {numbers:?} after {begun:?}");
        }
    }
}

#[test]
fn what_is_not_settled_comes_again_and_what_is_settled_does_not() {
    let bench = Bench::start();
    let proxy = ChaosProxy::start(bench.server.address());
    let url = format!("nats://{}", proxy.address());
    let raw = [&[("nats.url", &*url)], &QUICK[..], &properties("1", &[])].concat();
    let mut first = Registry::new().source(&raw, &[]);
    first.recorder.settle(Ok(2));
    first.start().unwrap();
    for payload in ["a", "b", "c", "d"] {
        bench.store("trades.x.0", &[payload]);
        eventually_blocking(DEADLINE, || first.texts().last().is_some_and(|last| last == payload));
    }
    bench.waits_for_position(0, 3);
    proxy.blackhole();
    let second = reader(&bench.server.url(), "1");
    assert_eq!(second.wait_for(2), ["c", "d"]);
    assert_eq!(bench.record(0)["position"].as_u64().map(|position| position >= 3), Some(true));
}

#[test]
fn a_partition_is_not_given_away_before_what_was_begun_is_settled() {
    let bench = Bench::start();
    let url = bench.server.url();
    let raw = [&[("nats.url", &*url)], &QUICK[..], &properties("2", &[])].concat();
    let mut first = Registry::new().source(&raw, &[]);
    first.recorder.settle(Ok(0));
    first.start().unwrap();
    waits_to_hold(&first, 2);
    bench.store("trades.x.0", &["a"]);
    bench.store("trades.x.1", &["b"]);
    first.wait_for(2);
    let second = reader(&url, "2");
    eventually_blocking(DEADLINE, || counted(&second.context, "eventflux_nats_partitions_members", None) == 1);
    let begun = Instant::now();
    eventually_blocking(LEASE + DEADLINE, || begun.elapsed() > LEASE && held(&first) == 2);
    assert_eq!(held(&second), 0);
    first.recorder.settle(Ok(usize::MAX));
    waits_to_hold(&second, 1);
    waits_to_hold(&first, 1);
    bench.store("trades.x.0", &["c"]);
    bench.store("trades.x.1", &["d"]);
    eventually_blocking(DEADLINE, || first.recorder.count() + second.recorder.count() == 4);
    assert_eq!((first.recorder.count(), second.recorder.count()), (3, 1), "nothing came twice");
}

/// A pipeline that takes as long for a delivery as the test wants.
struct Slow {
    deliveries: Mutex<Vec<usize>>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

impl SourceCallback for Slow {
    fn on_data(&self, _: &[u8]) -> Result<(), EventFluxError> {
        self.deliveries.lock().unwrap().push(1);
        // The test ends when it does not say so.
        let _ = self.go_on.lock().unwrap().recv();
        Ok(())
    }

    fn on_error(&self, error: EventFluxError, _: &[u8]) -> Result<(), EventFluxError> {
        Err(error)
    }

    fn on_end(&self, _: Result<(), EventFluxError>) {}
}

#[test]
fn a_delivery_that_takes_longer_than_a_lease_does_not_cost_the_partition() {
    let bench = Bench::start();
    let url = bench.server.url();
    let raw = [&[("nats.url", &*url)], &QUICK[..], &properties("1", &[])].concat();
    let mut slow = Registry::new().source(&raw, &[]);
    let (go_on, told) = mpsc::channel();
    let pipeline = Arc::new(Slow { deliveries: Mutex::default(), go_on: Mutex::new(told) });
    slow.source.start(pipeline.clone()).unwrap();
    waits_to_hold(&slow, 1);
    bench.store("trades.x.0", &["a"]);
    eventually_blocking(DEADLINE, || pipeline.deliveries.lock().unwrap().len() == 1);
    let other = reader(&url, "1");
    let began = Instant::now();
    eventually_blocking(DEADLINE, || began.elapsed() > 2 * LEASE);
    assert_eq!((held(&other), other.recorder.count()), (0, 0));
    go_on.send(()).unwrap();
    bench.waits_for_position(0, 2);
    drop(go_on);
    slow.source.stop(DEADLINE);
    waits_to_hold(&other, 1);
    bench.store("trades.x.0", &["b"]);
    assert_eq!(other.wait_for(1), ["b"]);
}

#[test]
fn nats_that_is_away_for_longer_than_a_lease_stops_the_source_which_then_goes_on() {
    let bench = Bench::start();
    bench.publish(0..5, 4);
    let source = reader(&bench.server.url(), "4");
    source.wait_for(5 * KEYS);
    (0..4)
        .for_each(|partition| eventually_blocking(DEADLINE, || bench.record(partition)["position"].as_u64() > Some(1)));
    bench.server.kill();
    waits_to_hold(&source, 0);
    bench.server.restart();
    waits_to_hold(&source, 4);
    bench.publish(5..10, 4);
    let complete = || by_key(&source.texts()).values().all(|numbers| numbers.contains(&9));
    eventually_blocking(DEADLINE, complete);
    for (key, mut numbers) in by_key(&source.texts()) {
        numbers.dedup();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1] || pair[1] < pair[0]), "{key}: {numbers:?}");
        assert_eq!(numbers.last(), Some(&9));
    }
}

#[test]
fn a_short_interruption_costs_nothing_and_repeats_nothing() {
    let bench = Bench::start();
    let proxy = ChaosProxy::start(bench.server.address());
    let source = reader(&format!("nats://{}", proxy.address()), "4");
    waits_to_hold(&source, 4);
    bench.publish(0..5, 4);
    source.wait_for(5 * KEYS);
    proxy.reset();
    bench.publish(5..10, 4);
    assert_complete(&by_key(&source.wait_for(10 * KEYS)), 10);
    assert_eq!(counted(&source.context, "eventflux_nats_partitions_moved_total", None), 4, "all are held throughout");
}

#[test]
fn what_is_delivered_and_not_settled_is_bounded() {
    let bench = Bench::start();
    let payloads: Vec<_> = (0..500).map(|number| number.to_string()).collect();
    bench.store("trades.x.0", &payloads.iter().map(String::as_str).collect::<Vec<_>>());
    let more = [("nats.max.ack.pending", "100"), ("nats.fetch.messages", "20")];
    let url = bench.server.url();
    let raw = [&[("nats.url", &*url)], &QUICK[..], &properties("1", &more)].concat();
    let mut source = Registry::new().source(&raw, &[]);
    source.recorder.settle(Ok(0));
    source.start().unwrap();
    source.wait_for(100);
    bench.waits_for_position(0, 1);
    assert!((100..120).contains(&source.recorder.count()), "{}", source.recorder.count());
    source.recorder.settle(Ok(usize::MAX));
    assert_eq!(source.wait_for(500), payloads);
}

#[test]
fn what_waits_for_the_pipeline_is_bounded_by_bytes_too() {
    let bench = Bench::start();
    let payloads: Vec<_> = (0..100).map(|number| format!("{number:10240}")).collect();
    let url = bench.server.url();
    let raw = [&[("nats.url", &*url)], &QUICK[..], &properties("1", &[("nats.fetch.bytes", "64KiB")])].concat();
    let mut source = Registry::new().source(&raw, &[]);
    bench.store("trades.x.0", &payloads.iter().map(String::as_str).collect::<Vec<_>>());
    source.recorder.close_gate();
    source.start().unwrap();
    let pending = || counted(&source.context, "eventflux_nats_partitions_pending", None);
    eventually_blocking(DEADLINE, || (1..100).contains(&pending()));
    let began = Instant::now();
    // Longer than a pull waits at the server.
    eventually_blocking(DEADLINE, || began.elapsed() > Duration::from_millis(1_500));
    assert!((70..100).contains(&pending()), "{}", pending());
    source.recorder.open_gate();
    assert_eq!(source.wait_for(100), payloads);
}

#[test]
fn a_source_that_begins_again_is_done_when_it_is_told_to_stop_and_not_later() {
    let bench = Bench::start();
    let url = bench.server.url();
    let raw = [&[("nats.url", &*url)], &QUICK[..], &properties("1", &[])].concat();
    let mut source = Registry::new().source(&raw, &[]);
    source.recorder.settle(Ok(0));
    source.start().unwrap();
    bench.store("trades.x.0", &["a"]);
    source.wait_for(1);
    let consumers =
        || block_on(async { bench.jetstream.get_stream("TRADES").await.unwrap().cached_info().state.consumer_count });
    eventually_blocking(DEADLINE, || consumers() == 1);
    // Another session is needed, and the present one waits for what is not settled.
    block_on(async {
        let store = bench.jetstream.get_key_value("eventflux-leases-g").await.unwrap();
        let record = serde_json::json!({"owner": null, "position": 1, "epoch": u64::MAX, "write": 1});
        store.put("partition.0", record.to_string().into()).await.unwrap();
    });
    eventually_blocking(DEADLINE, || held(&source) == 0);
    let began = Instant::now();
    source.source.stop(Duration::from_secs(1));
    eventually_blocking(DEADLINE, || !source.recorder.ends().is_empty());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn a_thousand_partitions_are_held_by_one_source() {
    let bench = Bench::start();
    let source = source(&bench.server.url(), &properties("1024", &[("partition.lease", "5s")]));
    waits_to_hold(&source, 1024);
    bench.publish(0..20, 1024);
    assert_complete(&by_key(&source.wait_for(20 * KEYS)), 20);
    let began = Instant::now();
    // Longer than a lease: all are renewed in time.
    eventually_blocking(DEADLINE, || began.elapsed() > Duration::from_secs(6));
    assert_eq!(held(&source), 1024);
    assert_eq!(counted(&source.context, "eventflux_nats_partitions_moved_total", None), 1024);
}
