//! `orders.sql`: keyed work on several instances.

use std::collections::{BTreeMap, BTreeSet};

use eventflux_testkit::nats::NatsServer;

use super::instance::{Client, Instance};

const FILE: &str = "examples/nats/orders.sql";
const SYMBOLS: usize = 40;

/// Sends orders, one of each symbol after the other.
fn send(client: &Client, numbers: std::ops::Range<usize>) {
    for number in numbers {
        client.send(&format!(r#"{{"id":"o-{number}","symbol":"S{}","quantity":1}}"#, number % SYMBOLS));
    }
}

/// The number of the order in a line of the `log` sink.
fn number(line: &str) -> Option<usize> {
    line.split_once(r#""id":"o-"#)?.1.split_once('"')?.0.parse().ok()
}

/// Asserts that what one instance handled is in order for each symbol, once each.
fn assert_order(stdout: &str) {
    let mut last = BTreeMap::new();
    for number in stdout.lines().filter_map(number) {
        let before = last.insert(number % SYMBOLS, number);
        assert!(before.is_none_or(|before| before < number), "{before:?}, then {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_share_the_orders_and_one_goes_on_with_all_of_them_when_the_other_is_killed() {
    let server = NatsServer::start();
    let mut survivor = Instance::start(&[FILE], &server.url());
    let mut victim = Instance::start(&[FILE], &server.url());
    let producer = survivor.connect("/orders");
    let (mut sent, mut shares) = (0, [BTreeSet::new(), BTreeSet::new()]);
    // Until each has a share of the partitions.
    while shares.iter().any(BTreeSet::is_empty) {
        send(&producer, sent..sent + SYMBOLS);
        sent += SYMBOLS;
        while shares[0].union(&shares[1]).count() < sent {
            for (instance, share) in [&mut survivor, &mut victim].into_iter().zip(&mut shares) {
                share.extend(instance.running.stdout_so_far().lines().filter_map(number));
            }
            tokio::task::yield_now().await;
        }
    }
    victim.running.signal("KILL");
    let of_victim = victim.running.finish();

    let mut missing: BTreeSet<_> = (sent..sent + 400).collect();
    send(&producer, sent..sent + 400);
    while !missing.is_empty() {
        missing.remove(&number(&survivor.running.expect_stdout(r#""id":"o-"#)).unwrap());
    }
    assert_order(&of_victim.stdout);
    assert_order(&survivor.stop().stdout);
}
