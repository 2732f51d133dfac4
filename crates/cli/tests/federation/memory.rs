//! A receiver that takes nothing costs memory that is configured, in its own process and in the sender's, however much there
//! is to send; and when it goes on, everything comes.
//!
//! ```text
//! sends as fast as it can -> relays (window) -> keeps
//! ```

use std::time::{Duration, Instant};

use eventflux_testkit::proxy::ChaosProxy;

use super::node::Node;
use super::sql::{Role, keeper, link, numbers, relay, settled_link};
use super::tally::Tally;
use super::{DEADLINE, PAUSE, extent, folder, wait_for_all};

/// What neither process may ever have, with windows of up to 4 MiB and sinks that keep up to 8 MiB.
const MAX_MIB: f64 = 120.0;

/// Of the text of each event; with it, one is about 1 KiB.
const PADDING: usize = 960;

/// Of about 1 KiB each: more than the largest window and everything else on the way hold together.
const EVENTS: u64 = 24_000;

/// The same for the larger windows.
const MANY_EVENTS: u64 = 240_000;

/// Bytes that do not move for so long have come to a stop.
const STANDSTILL: Duration = Duration::from_secs(1);

/// How long a process does nothing at all.
const SUSPENDED: Duration = Duration::from_secs(2);

#[test]
fn a_receiver_that_takes_nothing_costs_what_is_configured() {
    for (window, retain) in [("256KiB", "1MiB"), ("4MiB", "8MiB")] {
        let (sender, receiver) = prove(window, retain, EVENTS);
        assert!(sender < MAX_MIB && receiver < MAX_MIB, "window {window}: {sender} and {receiver} MiB");
    }
}

#[test]
#[ignore = "figures for windows that take more memory"]
fn larger_windows_cost_what_is_configured() {
    for (window, retain) in [("1MiB", "1MiB"), ("1MiB", "64MiB"), ("16MiB", "32MiB"), ("64MiB", "128MiB")] {
        prove(window, retain, MANY_EVENTS);
    }
}

/// The most memory that the sender and the receiver, which relays, ever had, in MiB. `retain`: what the sender keeps that is
/// not acknowledged.
fn prove(window: &str, retain: &str, events: u64) -> (f64, f64) {
    let folder = folder();
    let out = folder.path().join("out.jsonl");
    let retains = |bytes: &str| format!("websocket.retain.bytes='{bytes}'");
    // Nothing else is to limit what is under way.
    let window_only = format!(
        "websocket.link.window.bytes='{window}', websocket.link.window.events='1000000', websocket.queue.size='1000000'"
    );
    let start = |name: &str, text: &str| Node::start(folder.path(), name, text);
    // One that is suspended says nothing for longer than others usually wait.
    let patient = |properties: String| properties.replace("pong.timeout='800ms'", "pong.timeout='30s'");
    let mut keeper = start("keeper.sql", &patient(keeper(&settled_link(Role::Listens, ""), &out)));
    let to_keeper = ChaosProxy::start(keeper.listens());
    to_keeper.refuse().blocking();
    let sink = link(Role::Connects(to_keeper.address()), &retains("1MiB"));
    let mut relay = start("relay.sql", &patient(relay(&settled_link(Role::Listens, &window_only), &sink)));
    let to_relay = ChaosProxy::start(relay.listens());
    // One that connects waits for its receiver from the beginning; one that listens would make room until somebody comes.
    let sink = link(Role::Connects(to_relay.address()), &retains(retain));
    let mut sender = start("sender.sql", &patient(numbers("max", events, PADDING, &sink)));
    let arrived = standstill(&to_relay);
    let resident = [&sender, &relay].map(Node::resident_mib);
    to_keeper.resume().blocking();
    let mut tally = Tally::new(&out, events, PADDING);
    wait_for_all(&mut tally, events / 4);
    keeper.suspend();
    standstill(&to_keeper);
    std::thread::sleep(SUSPENDED);
    keeper.resume();
    wait_for_all(&mut tally, events);
    let peaks = [&sender, &relay].map(Node::peak_mib);
    keeper.stop();
    relay.stop();
    sender.stop();
    tally.assert_exact();
    extent::figures(
        "memory",
        &format!(
            "window {window}, sender keeps {retain}: {:.1} MiB had come when nothing moved; sender {:.0} MiB, receiver {:.0} MiB; at most {:.0} and {:.0} MiB",
            arrived as f64 / 1_048_576.0,
            resident[0],
            resident[1],
            peaks[0],
            peaks[1]
        ),
    );
    (peaks[0], peaks[1])
}

/// Waits until hardly anything goes through any more: pings do. How much has gone to whoever listens.
fn standstill(proxy: &ChaosProxy) -> u64 {
    const PINGS_BYTES: u64 = 256;
    let deadline = Instant::now() + DEADLINE;
    let (mut since, mut bytes) = (Instant::now(), u64::MAX);
    let passed = || proxy.traffic().to_client_bytes + proxy.traffic().to_upstream_bytes;
    while since.elapsed() < STANDSTILL || passed() < 64 * 1024 {
        let now = passed();
        if now.abs_diff(bytes) > PINGS_BYTES {
            (since, bytes) = (Instant::now(), now);
        }
        assert!(Instant::now() < deadline, "it never comes to a stop: {:?}", proxy.traffic());
        std::thread::sleep(PAUSE);
    }
    proxy.traffic().to_upstream_bytes
}
