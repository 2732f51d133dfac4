//! A network that misbehaves at random, until its time is over.

use std::collections::BTreeMap;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use eventflux_testkit::proxy::{ChaosProxy, Direction};
use fastrand::Rng;

/// Pause between two disturbances, in milliseconds.
const CALM_MS: Range<u64> = 0..400;

/// How often each disturbance happened.
#[derive(Debug, Default)]
pub(crate) struct Happened(BTreeMap<&'static str, u32>);

impl Happened {
    /// In words, for whoever collects figures.
    pub(crate) fn described(&self) -> String {
        let parts: Vec<_> = self.0.iter().map(|(what, times)| format!("{what} {times}")).collect();
        parts.join(", ")
    }
}

/// Disturbs all connections of the proxy for so long; then all is well again.
pub(crate) fn storm(proxy: &ChaosProxy, random: &mut Rng, time: Duration) -> Happened {
    let (end, mut happened) = (Instant::now() + time, Happened::default());
    while Instant::now() < end {
        *happened.0.entry(disturb(proxy, random)).or_default() += 1;
        proxy.resume().blocking();
        pass(random, CALM_MS);
    }
    happened
}

/// One disturbance from its beginning to its end; what it was.
fn disturb(proxy: &ChaosProxy, random: &mut Rng) -> &'static str {
    match random.u8(..10) {
        0 => {
            proxy.reset();
            "reset"
        }
        1 => {
            proxy.half_close(if random.bool() { Direction::ToUpstream } else { Direction::ToClient });
            "half-closed"
        }
        // What went in is gone, so the connection is too.
        2 => {
            proxy.blackhole();
            pass(random, 300..2_500);
            proxy.reset();
            "swallowed, then reset"
        }
        // From a hiccup to longer than a peer may be silent.
        3 => {
            proxy.freeze();
            pass(random, 50..2_500);
            "frozen"
        }
        4 => {
            proxy.refuse().blocking();
            proxy.reset();
            pass(random, 50..1_000);
            "reset, then refused"
        }
        5 => {
            proxy.stop_accepting().blocking();
            proxy.reset();
            pass(random, 50..1_000);
            "reset, then not accepted"
        }
        6 => {
            proxy.slice(random.usize(1..=50));
            pass(random, 100..1_000);
            "sliced"
        }
        7 => {
            proxy.bandwidth(Some(random.u64(2_000..60_000)));
            pass(random, 200..1_500);
            "throttled"
        }
        8 => {
            proxy.latency(Duration::from_millis(random.u64(1..250)));
            pass(random, 200..1_500);
            "late"
        }
        _ => {
            proxy.latency(Duration::from_millis(random.u64(1..50)));
            proxy.slice(random.usize(1..=50));
            pass(random, 100..800);
            proxy.reset();
            "late, sliced, then reset"
        }
    }
}

/// Lets a random time pass: that of a disturbance, which nobody could tell us the end of.
pub(crate) fn pass(random: &mut Rng, range_ms: Range<u64>) {
    thread::sleep(Duration::from_millis(random.u64(range_ms)));
}
