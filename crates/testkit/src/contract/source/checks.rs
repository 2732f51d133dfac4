//! What each check does with a source.

use std::sync::Arc;

use eventflux_core::{EventFluxError, health::ConnectionState};

use super::{Harness, Outcome, bench::Bench};
use crate::{
    contract::{
        Feed, OnDelivery, SourceRecorder,
        numbers::{numbered, numbers},
        report::{ensure, linger, never, timed, within},
    },
    sequence,
};

/// Messages of the checks that count and compare.
const MESSAGES: u64 = 500;

/// Messages of the check that stops the pipeline: enough for several batches.
const MANY_MESSAGES: u64 = 5_000;

pub(super) fn starts_stops_and_ends_once(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.feed_before_start(1);
    bench.start_connected()?;
    bench.stop()?;
    bench.ended_once()?;
    match &bench.recorder.ends()[0] {
        Ok(()) => Ok(()),
        Err(error) => Err(format!("a stop ended the source with an error: {error}")),
    }
}

pub(super) fn stopping_before_the_start_is_harmless(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.stop_promptly()?;
    ensure(bench.recorder.ends().is_empty(), || "on_end was called without a start".to_owned())
}

pub(super) fn stopping_twice_is_harmless(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.feed_before_start(1);
    bench.start_connected()?;
    bench.stop()?;
    bench.stop_promptly()?;
    bench.ended_once()
}

pub(super) fn a_second_start_is_refused(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.feed_before_start(1);
    bench.start_connected()?;
    let second = bench.source.start(Arc::new(SourceRecorder::new(OnDelivery::Take)));
    bench.stop()?;
    ensure(second.is_err(), || "a second start was accepted".to_owned())
}

pub(super) fn a_start_after_a_stop_is_refused(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.feed_before_start(1);
    bench.start_connected()?;
    bench.stop()?;
    let again = bench.source.start(Arc::new(SourceRecorder::new(OnDelivery::Take)));
    ensure(again.is_err(), || "a stopped source started again; only a clone may".to_owned())
}

pub(super) fn a_clone_is_independent(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.feed_before_start(MESSAGES);
    let mut unstarted = bench.source.clone_box();
    let mut later = bench.source.clone_box();
    bench.start_connected()?;
    unstarted.stop(harness.limits().promptly);
    drop(unstarted);
    ensure(bench.recorder.ends().iter().all(Result::is_ok), || "stopping a clone broke the original".to_owned())?;
    bench.stop()?;
    // The original is stopped; its clone is not.
    let started = Arc::new(SourceRecorder::new(OnDelivery::Take));
    let before = bench.peer.connections();
    later.start(started.clone()).map_err(|error| format!("a clone of a stopped source did not start: {error}"))?;
    let arrived = bench.connected(before + 1).and_then(|()| match harness.capabilities().feed {
        Feed::Own => Ok(()),
        feed => {
            if feed == Feed::Live {
                bench.peer.send(&numbered(0..MESSAGES));
            }
            within(bench.arrival(), "messages of a clone", || started.count() as u64 >= MESSAGES)
        }
    });
    later.stop(harness.limits().stop);
    arrived
}

pub(super) fn delivers_everything(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.start_with(MESSAGES)?;
    bench.arrived(MESSAGES)?;
    bench.stop()?;
    bench.complete(MESSAGES)
}

pub(super) fn keeps_the_order(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.start_with(MESSAGES)?;
    bench.arrived(MESSAGES)?;
    let numbers = numbers(&bench.recorder.messages())?;
    ensure(numbers.is_sorted(), || sequence::check(0..MESSAGES, numbers).to_string())
}

pub(super) fn delivers_what_was_sent_before_a_clean_close(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.peer.send(&numbered(0..MESSAGES));
    bench.peer.close();
    bench.arrived(MESSAGES)?;
    bench.complete(MESSAGES)
}

pub(super) fn delivers_nothing_after_stop(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.send_aside(0..MANY_MESSAGES);
    bench.arrived(1)?;
    bench.stop()?;
    let stopped_at = bench.recorder.deliveries();
    bench.send_aside(MANY_MESSAGES..MANY_MESSAGES + 10);
    never(harness.limits().observation, || {
        let now = bench.recorder.deliveries();
        (now != stopped_at).then(|| format!("{} deliveries after stop had returned", now - stopped_at))
    })
}

pub(super) fn stop_while_connecting_returns_in_time(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.peer.ignore();
    timed("start", harness.limits().promptly, || bench.start())??;
    bench.state(ConnectionState::Connecting)?;
    bench.stop()?;
    bench.ended_once()
}

pub(super) fn stop_during_backoff_returns_at_once(harness: &Harness) -> Outcome {
    let mut bench = Bench::with(harness, OnDelivery::Take, |peer| peer.slow_reconnect_properties())?;
    bench.peer.refuse();
    bench.start()?;
    bench.state(ConnectionState::Reconnecting)?;
    bench.stop_promptly()?;
    bench.ended_once()
}

pub(super) fn reconnects_after_the_connection_is_cut(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.peer.send(&numbered(0..10));
    bench.arrived(10)?;
    bench.peer.cut();
    bench.connected(2)?;
    bench.peer.send(&numbered(10..20));
    bench.arrived(20)?;
    bench.complete(20)
}

pub(super) fn connects_when_the_peer_comes_up_later(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.peer.refuse();
    bench.start()?;
    bench.state(ConnectionState::Reconnecting)?;
    bench.peer.accept();
    bench.connected(1)?;
    bench.peer.send(&numbered(0..10));
    bench.arrived(10)
}

pub(super) fn connectivity_is_told_truthfully(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.source.validate_connectivity().map_err(|error| format!("a reachable peer is reported as: {error}"))?;
    bench.peer.refuse();
    match bench.source.validate_connectivity() {
        Err(EventFluxError::ConnectionUnavailable { .. }) => Ok(()),
        Err(error) => Err(format!("a refusing peer is reported as another kind of error: {error:?}")),
        Ok(()) => Err("a refusing peer is reported as reachable".to_owned()),
    }
}

pub(super) fn waits_until_ready(harness: &Harness) -> Outcome {
    let mut bench = Bench::with(harness, OnDelivery::TakeAndCloseGate, |peer| peer.properties())?;
    bench.start_with(MANY_MESSAGES)?;
    bench.arrived(1)?;
    never(harness.limits().observation, || {
        let count = bench.recorder.deliveries_while_closed();
        (count > 0).then(|| format!("{count} deliveries while the pipeline was not ready"))
    })?;
    bench.recorder.open_gate();
    bench.arrived(MANY_MESSAGES)?;
    bench.complete(MANY_MESSAGES)
}

pub(super) fn stop_while_not_ready_returns_in_time(harness: &Harness) -> Outcome {
    let mut bench = Bench::with(harness, OnDelivery::TakeAndCloseGate, |peer| peer.properties())?;
    bench.start_with(MANY_MESSAGES)?;
    bench.arrived(1)?;
    // Long enough for the source to be waiting; a stop that comes before that proves less, and is right all the same.
    linger(harness.limits().observation);
    bench.stop()?;
    bench.ended_once()
}

pub(super) fn a_refused_delivery_ends_the_source(harness: &Harness) -> Outcome {
    let mut bench = Bench::with(harness, OnDelivery::Fail, |peer| peer.properties())?;
    bench.start_with(MESSAGES)?;
    bench.ended_once()?;
    let deliveries = bench.recorder.deliveries();
    ensure(deliveries == 1, || format!("{} more deliveries after a refused one", deliveries - 1))?;
    bench.stop()
}

pub(super) fn acknowledges_only_what_was_taken(harness: &Harness) -> Outcome {
    let mut taking = Bench::new(harness)?;
    taking.start_with(MESSAGES)?;
    taking.arrived(MESSAGES)?;
    let peer = Arc::clone(&taking.peer);
    within(taking.arrival(), "acknowledgement of what was taken", || peer.acknowledged() as u64 >= MESSAGES)?;
    let mut refusing = Bench::with(harness, OnDelivery::Fail, |peer| peer.properties())?;
    refusing.start_with(MESSAGES)?;
    refusing.ended_once()?;
    let acknowledged = refusing.peer.acknowledged();
    ensure(acknowledged == 0, || format!("{acknowledged} messages were acknowledged that nobody took"))
}

pub(super) fn acknowledges_only_what_is_settled(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.recorder.settle(Ok(0));
    bench.start_with(MESSAGES)?;
    bench.arrived(1)?;
    linger(harness.limits().observation);
    let acknowledged = bench.peer.acknowledged();
    ensure(acknowledged == 0, || format!("{acknowledged} messages were acknowledged and not settled"))?;
    bench.recorder.settle(Ok(MESSAGES as usize));
    let peer = Arc::clone(&bench.peer);
    within(bench.arrival(), "acknowledgement of what is settled", || peer.acknowledged() as u64 >= MESSAGES)
}

pub(super) fn a_panicking_callback_is_contained(harness: &Harness) -> Outcome {
    let mut bench = Bench::with(harness, OnDelivery::Panic, |peer| peer.properties())?;
    bench.start_with(MESSAGES)?;
    bench.ended_once()?;
    ensure(bench.recorder.ends()[0].is_err(), || "a panic ended the source without an error".to_owned())?;
    bench.stop()
}
