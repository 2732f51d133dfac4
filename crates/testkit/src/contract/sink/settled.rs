//! What a sink promises by `settled`.

use std::time::Duration;

use super::{
    Harness, Outcome,
    bench::{Bench, ready},
    checks::{LARGE_PAYLOAD_BYTES, fill},
};
use crate::{contract::report::ensure, runtime};

/// Payloads of the check that waits for all of them.
const PAYLOADS: u64 = 200;

pub(super) fn settles_what_it_accepted(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    let before = within(bench.arrival(), bench.sink.settled());
    ensure(before == Some(Ok(())), || format!("a sink that has accepted nothing settles with {before:?}"))?;
    bench.start_connected()?;
    bench.publish(0..PAYLOADS)?;
    let early = bench.sink.settled();
    bench.publish(PAYLOADS..2 * PAYLOADS)?;
    let late = bench.sink.settled();
    for settled in [late, early] {
        let settled = within(bench.arrival(), settled);
        ensure(settled == Some(Ok(())), || format!("with a peer that takes all it settles with {settled:?}"))?;
    }
    let failed = bench.recorder.failed().len();
    ensure(failed == 0, || format!("{failed} payloads were settled and reported as failed"))
}

pub(super) fn settles_neither_early_nor_late(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.publish(0..10)?;
    // Not polled before everything else has been accepted.
    let before = bench.sink.settled();
    bench.received(10)?;
    bench.peer.pause();
    let (payload, mut accepted) = (vec![b'7'; LARGE_PAYLOAD_BYTES], 0);
    while fill(&bench, &payload, &mut accepted)? {}
    let before = within(bench.arrival(), before);
    ensure(before == Some(Ok(())), || format!("what came later kept it from settling: {before:?}"))?;
    let mut held = bench.sink.settled();
    let early = within(harness.limits().observation, held.as_mut());
    ensure(early.is_none(), || format!("it settles with {early:?} while the peer takes nothing"))?;
    bench.peer.resume();
    let settled = within(bench.arrival(), held);
    ensure(settled == Some(Ok(())), || format!("after the peer took everything it settles with {settled:?}"))?;
    ready(&*bench.sink, bench.arrival())?;
    bench.received(10 + accepted)
}

pub(super) fn settles_nothing_it_gives_up(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.peer.refuse();
    bench.start()?;
    bench.publish(0..1)?;
    let settled = bench.sink.settled();
    let undelivered = bench.stop_within(harness.limits().promptly)?;
    match within(harness.limits().promptly, settled) {
        None => Err("it says nothing after a stop".to_owned()),
        Some(Ok(())) if undelivered > 0 => Err(format!("it settled, and stop counts {undelivered} as undelivered")),
        Some(_) => Ok(()),
    }
}

/// What it comes to within that time.
fn within<T>(limit: Duration, settled: impl Future<Output = T>) -> Option<T> {
    // The runtime's clock has to be entered before the timer is made.
    runtime::handle().block_on(async { tokio::time::timeout(limit, settled).await.ok() })
}
