//! The network between NATS and both ends of a chain is cut and worse: swallows everything, stands still, resets connections.

use std::thread;
use std::time::Duration;

use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::proxy::ChaosProxy;
use fastrand::Rng;

use super::node::Node;
use super::operator::Operator;
use super::pipelines::{PRODUCED, STREAM, WINDOW, read, stored};
use super::producer::Producer;
use super::sql::{keeper, relay};
use super::tally::text;
use super::watch::Watch;
use super::{RATE, extent, folder, weather};

/// Among the tests.
const SHORT_SECONDS: u64 = 5;

/// How long the network swallows everything: longer than a connection takes to notice, and its successor to be tried.
const SWALLOWS_MS: std::ops::Range<u64> = 1_500..2_500;

#[test]
fn a_network_that_is_cut_between_nats_and_both_ends_loses_nothing() {
    let proof = "network cut between NATS and both ends";
    let (mut random, folder) = (extent::random(proof), folder());
    let (server, time) = (NatsServer::start(), Duration::from_secs(extent::seconds(SHORT_SECONDS)));
    let out = folder.path().join("out.jsonl");
    let proxies = [ChaosProxy::start(server.address()), ChaosProxy::start(server.address())];
    let mut writer = Node::start(folder.path(), "writer.sql", &relay(PRODUCED, &stored(proxies[0].address(), "")));
    let mut reader = Node::start(folder.path(), "reader.sql", &keeper(&read(proxies[1].address(), ""), &out));
    let producer = Producer::start(writer.listens(), RATE, |number| text(&number.to_string(), 0));
    producer.go();
    let watch = Watch::start(out, 0);
    watch.wait_for_more(RATE / 10);
    let (first, second) = thread::scope(|scope| {
        let seed = random.u64(..);
        let first = scope.spawn({
            let proxy = &proxies[0];
            move || disturb(proxy, &mut Rng::with_seed(seed), time)
        });
        let second = disturb(&proxies[1], &mut random, time);
        (first.join().unwrap(), second)
    });
    watch.wait_for_more(RATE / 10);
    let sent = producer.finish();
    watch.wait_for(sent);
    writer.stop();
    reader.stop();
    let verdict = watch.assert_nothing_lost_or_invented(sent);
    assert_eq!(Operator::connect(&server).messages(STREAM), sent, "stored twice or not at all");
    let connections = proxies.map(|proxy| proxy.traffic().connections);
    assert!(verdict.duplicates <= connections[1] * WINDOW, "{verdict:?}");
    extent::figures(
        proof,
        &format!(
            "{sent} events, {} connections (writer: {first}; reader: {second}): lost 0, invented 0, duplicates {}, stored twice 0, longest pause {:.1?}",
            connections[0] + connections[1],
            verdict.duplicates,
            watch.longest_pause()
        ),
    );
}

/// First swallows everything for a while, then does what it likes.
fn disturb(proxy: &ChaosProxy, random: &mut Rng, time: Duration) -> String {
    proxy.blackhole();
    weather::pass(random, SWALLOWS_MS);
    proxy.reset();
    proxy.resume().blocking();
    weather::storm(proxy, random, time).described()
}
