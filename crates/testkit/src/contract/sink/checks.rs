//! What each check does with a sink.

use std::{sync::Arc, thread, time::Instant};

use eventflux_core::{EventFluxError, PayloadWriter, health::ConnectionState};

use super::{
    Harness, Outcome,
    bench::{Bench, publish_all, ready},
};
use crate::{
    contract::{
        SinkRecorder,
        numbers::{numbered, numbers},
        report::{ensure, timed, within},
    },
    sequence,
};

/// Payloads of the checks that count and compare.
const PAYLOADS: u64 = 500;

/// Payload size of the check that fills a sink, bytes.
pub(super) const LARGE_PAYLOAD_BYTES: usize = 64 << 10;

/// A sink that has taken this many large payloads (256 MiB) without becoming unready is unbounded.
const MOST_LARGE_PAYLOADS: usize = 4096;

pub(super) fn starts_and_stops(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    let undelivered = bench.stop()?;
    ensure(undelivered == 0, || format!("{undelivered} undelivered payloads without any published"))
}

pub(super) fn stopping_before_the_start_is_harmless(harness: &Harness) -> Outcome {
    let undelivered = Bench::new(harness)?.stop_promptly()?;
    ensure(undelivered == 0, || format!("{undelivered} undelivered payloads without a start"))
}

pub(super) fn stopping_twice_is_harmless(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.stop()?;
    let undelivered = bench.stop_promptly()?;
    ensure(undelivered == 0, || format!("the second stop reports {undelivered} undelivered payloads"))
}

pub(super) fn a_second_start_is_refused(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    let second = bench.sink.start(Arc::new(SinkRecorder::new()));
    bench.stop()?;
    ensure(second.is_err(), || "a second start was accepted".to_owned())
}

pub(super) fn a_start_after_a_stop_is_refused(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.stop()?;
    let again = bench.sink.start(Arc::new(SinkRecorder::new()));
    ensure(again.is_err(), || "a stopped sink started again; only a clone may".to_owned())
}

pub(super) fn a_clone_is_independent(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    let (unstarted, later) = (bench.sink.clone_box(), bench.sink.clone_box());
    bench.start_connected()?;
    unstarted.stop(harness.limits().promptly);
    drop(unstarted);
    bench.publish(0..10).map_err(|reason| format!("after a clone was stopped, {reason}"))?;
    bench.received(10)?;
    bench.stop()?;
    let before = bench.peer.connections();
    let recorder = Arc::new(SinkRecorder::new());
    later.start(recorder).map_err(|error| format!("a clone of a stopped sink did not start: {error}"))?;
    let delivered = bench
        .connected(before + 1)
        .and_then(|()| publish_all(&*later, 10..20, bench.arrival()))
        .and_then(|()| bench.received(20));
    later.stop(harness.limits().stop);
    delivered
}

pub(super) fn delivers_everything(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.publish(0..PAYLOADS)?;
    publish_batch(&bench, PAYLOADS..2 * PAYLOADS)?;
    bench.received(2 * PAYLOADS)?;
    let mut report = sequence::check(0..2 * PAYLOADS, numbers(&bench.peer.received())?);
    report.out_of_order.clear();
    ensure(report.is_clean(), || report.to_string())
}

pub(super) fn keeps_the_order(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.publish(0..PAYLOADS)?;
    publish_batch(&bench, PAYLOADS..2 * PAYLOADS)?;
    bench.received(2 * PAYLOADS)?;
    let numbers = numbers(&bench.peer.received())?;
    ensure(numbers.is_sorted(), || sequence::check(0..2 * PAYLOADS, numbers).to_string())
}

fn publish_batch(bench: &Bench<'_>, numbers: std::ops::Range<u64>) -> Outcome {
    let mut writer = PayloadWriter::default();
    for (position, payload) in numbered(numbers).iter().enumerate() {
        writer.buffer().extend_from_slice(payload);
        writer.finish(position as u64);
    }
    ready(&*bench.sink, bench.arrival())?;
    bench
        .sink
        .publish_batch(&writer.take())
        .map_err(|failure| format!("publish_batch failed at payload {}: {}", failure.row, failure.error))
}

pub(super) fn delivers_before_stop_returns(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.publish(0..PAYLOADS)?;
    let undelivered = bench.stop()?;
    ensure(undelivered == 0, || format!("stop reports {undelivered} undelivered payloads with a peer that takes all"))?;
    bench.received(PAYLOADS)
}

pub(super) fn a_publish_after_stop_is_refused(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.stop()?;
    let published = bench.sink.publish(b"late");
    ensure(published.is_err(), || "a payload was accepted after stop, when nobody delivers it any more".to_owned())
}

pub(super) fn accounts_for_every_payload_of_an_absent_peer(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.peer.refuse();
    bench.start()?;
    let mut accepted = 0;
    for payload in numbered(0..PAYLOADS) {
        if !bench.sink.is_ready() {
            break;
        }
        let published = timed("publish", harness.limits().promptly, || bench.sink.publish(&payload))?;
        accepted += u64::from(published.is_ok());
    }
    // It has something left to deliver, so it takes what it is given.
    let undelivered = bench.stop_within(harness.limits().promptly)?;
    let failed = bench.recorder.failed().len() as u64;
    let (received, dropped) = (bench.peer.received_count() as u64, bench.context.metrics.dropped.value());
    ensure(accepted == received + failed + dropped + undelivered, || {
        format!(
            "of {accepted} accepted payloads {received} arrived, {failed} were reported as failed, {dropped} counted as dropped and {undelivered} as undelivered by stop"
        )
    })
}

pub(super) fn stop_while_connecting_returns_in_time(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.peer.ignore();
    timed("start", harness.limits().promptly, || bench.start())??;
    bench.state(ConnectionState::Connecting)?;
    bench.stop().map(drop)
}

pub(super) fn stop_during_backoff_returns_at_once(harness: &Harness) -> Outcome {
    let bench = Bench::with(harness, SinkRecorder::new(), |peer| peer.slow_reconnect_properties())?;
    bench.peer.refuse();
    bench.start()?;
    bench.state(ConnectionState::Reconnecting)?;
    bench.stop_promptly().map(drop)
}

pub(super) fn reconnects_after_the_connection_is_cut(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.publish(0..10)?;
    bench.received(10)?;
    bench.peer.cut();
    bench.connected(2)?;
    bench.publish(10..20)?;
    bench.received(20)
}

pub(super) fn delivers_when_the_peer_comes_up_later(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.peer.refuse();
    bench.start()?;
    bench.state(ConnectionState::Reconnecting)?;
    bench.peer.accept();
    bench.connected(1)?;
    bench.publish(0..10)?;
    bench.received(10)
}

pub(super) fn connectivity_is_told_truthfully(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.sink.validate_connectivity().map_err(|error| format!("a reachable peer is reported as: {error}"))?;
    bench.peer.refuse();
    match bench.sink.validate_connectivity() {
        Err(EventFluxError::ConnectionUnavailable { .. }) => Ok(()),
        Err(error) => Err(format!("a refusing peer is reported as another kind of error: {error:?}")),
        Ok(()) => Err("a refusing peer is reported as reachable".to_owned()),
    }
}

pub(super) fn is_not_ready_while_full(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.peer.pause();
    let payload = vec![b'7'; LARGE_PAYLOAD_BYTES];
    let mut accepted = 0;
    // A sink whose queue is drained into the kernel's buffers becomes ready again for a while: full is what stays so.
    while fill(&bench, &payload, &mut accepted)? {}
    bench.peer.resume();
    ready(&*bench.sink, bench.arrival())?;
    bench.received(accepted)
}

/// Publishes until the sink is not ready; whether it became ready again within the observation time.
pub(super) fn fill(bench: &Bench<'_>, payload: &[u8], accepted: &mut u64) -> Result<bool, String> {
    while bench.sink.is_ready() {
        ensure(*accepted < MOST_LARGE_PAYLOADS as u64, || {
            format!("{accepted} payloads of {LARGE_PAYLOAD_BYTES} bytes were accepted while the peer took none")
        })?;
        bench.sink.publish(payload).map_err(|error| format!("publish failed: {error}"))?;
        *accepted += 1;
    }
    let started = Instant::now();
    while started.elapsed() < bench.harness.limits().observation {
        if bench.sink.is_ready() {
            return Ok(true);
        }
        thread::sleep(crate::wait::POLL_INTERVAL);
    }
    Ok(false)
}

pub(super) fn a_panicking_callback_is_contained(harness: &Harness) -> Outcome {
    let giving_up = harness.giving_up_properties().unwrap_or_default();
    let bench = Bench::with(harness, SinkRecorder::panicking(), |peer| {
        let mut pairs = peer.properties();
        pairs.retain(|(key, _)| giving_up.iter().all(|(other, _)| other != key));
        pairs.extend(giving_up.iter().cloned());
        pairs
    })?;
    bench.peer.refuse();
    bench.start()?;
    // Accepted while it still tries; one that has given up already refuses, which is as good.
    let accepted = bench.sink.publish(b"1").is_ok();
    if accepted {
        within(bench.arrival(), "a report of the failure", || bench.recorder.calls() > 0)?;
    }
    within(bench.arrival(), "a refusal after giving up", || bench.sink.publish(b"2").is_err())?;
    bench.stop().map(drop)
}
