//! The checks for sinks.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use eventflux_core::{
    ConnectorContext, ConnectorRole, EventFluxError, PayloadWriter, Sink, health::ConnectionState, metrics::Metrics,
};

use super::{
    SinkHarness, SinkPeer, SinkRecorder,
    properties::{self, Table},
    report::{Check, ensure, timed, within},
    secrets::{self, Inspector},
    source::{linger, numbered, numbers},
};
use crate::{runtime, sequence};

/// Payloads of the checks that count and compare.
const PAYLOADS: u64 = 500;

/// Payload size of the check that fills a sink, bytes.
const LARGE_PAYLOAD_BYTES: usize = 64 << 10;

/// A sink that has taken this many large payloads (256 MiB) without becoming unready is unbounded.
const MOST_LARGE_PAYLOADS: usize = 4096;

/// What a stop may take beyond its deadline.
const STOP_SLACK: Duration = Duration::from_millis(500);

type Harness = dyn SinkHarness;
type Outcome = Result<(), String>;

pub(super) const CHECKS: &[Check<Harness>] = &[
    property_check("base_properties_work", |h| {
        with_table(h, properties::base_properties_work)
    }),
    property_check("a_missing_required_property_is_named", |h| {
        with_table(h, properties::a_missing_required_property_is_named)
    }),
    property_check("an_unknown_property_is_refused_with_the_nearest", |h| {
        with_table(h, properties::an_unknown_property_is_refused_with_the_nearest)
    }),
    property_check("an_invalid_value_is_refused_with_key_value_and_what_is_allowed", |h| {
        with_table(
            h,
            properties::an_invalid_value_is_refused_with_key_value_and_what_is_allowed,
        )
    }),
    property_check("every_property_is_documented_and_its_values_parse", |h| {
        with_table(h, properties::every_property_is_documented_and_its_values_parse)
    }),
    property_check("no_allowed_value_makes_the_factory_panic", |h| {
        with_table(h, properties::no_allowed_value_makes_the_factory_panic)
    }),
    Check {
        name: "starts_and_stops",
        skip: always,
        run: starts_and_stops,
    },
    Check {
        name: "stopping_before_the_start_is_harmless",
        skip: always,
        run: stopping_before_the_start_is_harmless,
    },
    Check {
        name: "stopping_twice_is_harmless",
        skip: always,
        run: stopping_twice_is_harmless,
    },
    Check {
        name: "a_second_start_is_refused",
        skip: always,
        run: a_second_start_is_refused,
    },
    Check {
        name: "a_start_after_a_stop_is_refused",
        skip: always,
        run: a_start_after_a_stop_is_refused,
    },
    Check {
        name: "a_clone_is_independent",
        skip: always,
        run: a_clone_is_independent,
    },
    Check {
        name: "delivers_everything",
        skip: always,
        run: delivers_everything,
    },
    Check {
        name: "keeps_the_order",
        skip: needs_order,
        run: keeps_the_order,
    },
    Check {
        name: "delivers_what_it_accepted_before_stop_returns",
        skip: always,
        run: delivers_before_stop_returns,
    },
    Check {
        name: "a_publish_after_stop_is_refused",
        skip: always,
        run: a_publish_after_stop_is_refused,
    },
    Check {
        name: "accounts_for_every_payload_of_an_absent_peer",
        skip: needs_peer,
        run: accounts_for_every_payload_of_an_absent_peer,
    },
    Check {
        name: "stop_while_connecting_returns_in_time",
        skip: needs_peer,
        run: stop_while_connecting_returns_in_time,
    },
    Check {
        name: "stop_during_backoff_returns_at_once",
        skip: needs_reconnect,
        run: stop_during_backoff_returns_at_once,
    },
    Check {
        name: "reconnects_after_the_connection_is_cut",
        skip: needs_reconnect,
        run: reconnects_after_the_connection_is_cut,
    },
    Check {
        name: "delivers_when_the_peer_comes_up_later",
        skip: needs_reconnect,
        run: delivers_when_the_peer_comes_up_later,
    },
    Check {
        name: "connectivity_is_told_truthfully",
        skip: needs_peer,
        run: connectivity_is_told_truthfully,
    },
    Check {
        name: "is_not_ready_while_the_peer_takes_nothing",
        skip: needs_backpressure,
        run: is_not_ready_while_full,
    },
    Check {
        name: "a_panicking_callback_is_contained",
        skip: needs_failure,
        run: a_panicking_callback_is_contained,
    },
    Check {
        name: "secrets_are_never_shown",
        skip: always,
        run: secrets_are_never_shown,
    },
];

const fn property_check(name: &'static str, run: fn(&Harness) -> Outcome) -> Check<Harness> {
    Check {
        name,
        skip: always,
        run,
    }
}

fn with_table(harness: &Harness, check: fn(&Table<'_>) -> Outcome) -> Outcome {
    let factory = harness.factory();
    let peer = harness.peer();
    let create =
        |properties: &eventflux_core::Properties| factory.create_initialized(properties, &context(harness)).map(drop);
    check(&Table {
        own: factory.properties(),
        required: factory.required_parameters(),
        optional: factory.optional_parameters(),
        base: peer.properties(),
        invalid: harness.invalid_values(),
        create: &create,
    })
}

fn always(_: &Harness) -> Option<&'static str> {
    None
}

fn needs_order(harness: &Harness) -> Option<&'static str> {
    (!harness.capabilities().ordered).then_some("it does not keep the order")
}

fn needs_peer(harness: &Harness) -> Option<&'static str> {
    (!harness.capabilities().connects).then_some("it has no peer to connect to")
}

fn needs_reconnect(harness: &Harness) -> Option<&'static str> {
    needs_peer(harness).or((!harness.capabilities().reconnects).then_some("it does not reconnect"))
}

fn needs_backpressure(harness: &Harness) -> Option<&'static str> {
    (!harness.capabilities().backpressure).then_some("it has no backpressure")
}

fn needs_failure(harness: &Harness) -> Option<&'static str> {
    harness.giving_up_properties().is_none().then_some("it never gives up")
}

/// A sink on a fresh peer.
struct Bench<'a> {
    harness: &'a Harness,
    peer: Box<dyn SinkPeer>,
    recorder: Arc<SinkRecorder>,
    context: ConnectorContext,
    sink: Box<dyn Sink>,
}

impl<'a> Bench<'a> {
    fn new(harness: &'a Harness) -> Result<Self, String> {
        Self::with(harness, SinkRecorder::new(), |peer| peer.properties())
    }

    fn with(
        harness: &'a Harness,
        recorder: SinkRecorder,
        properties: impl Fn(&dyn SinkPeer) -> Vec<(String, String)>,
    ) -> Result<Self, String> {
        let peer = harness.peer();
        let context = context(harness);
        let resolved = properties::resolve(harness.factory().properties(), &properties(&*peer));
        let resolved = resolved.map_err(|errors| errors.join("; "))?;
        let sink = harness.factory().create_initialized(&resolved, &context);
        let sink = sink.map_err(|error| format!("it is not created: {error}"))?;
        Ok(Self {
            harness,
            peer,
            recorder: Arc::new(recorder),
            context,
            sink,
        })
    }

    fn start(&self) -> Outcome {
        self.sink
            .start(self.recorder.clone())
            .map_err(|error| format!("start failed: {error}"))
    }

    fn start_connected(&self) -> Outcome {
        let before = self.peer.connections();
        self.start()?;
        self.connected(before + 1)
    }

    fn connected(&self, count: usize) -> Outcome {
        if !self.harness.capabilities().connects {
            return Ok(());
        }
        let what = format!("connection number {count}");
        within(self.arrival(), &what, || self.peer.connections() >= count)
    }

    /// Publishes numbered payloads, waiting for readiness before each as the engine does.
    fn publish(&self, numbers: std::ops::Range<u64>) -> Outcome {
        publish_all(&*self.sink, numbers, self.arrival())
    }

    fn received(&self, count: u64) -> Outcome {
        within(self.arrival(), "", || self.peer.received().len() as u64 >= count).map_err(|late| {
            format!(
                "{count} payloads at the peer (there are {}){late}",
                self.peer.received().len()
            )
        })
    }

    fn state(&self, wanted: ConnectionState) -> Outcome {
        let state = || self.context.health.current().state;
        within(self.arrival(), "", || state() == wanted).map_err(|late| {
            format!(
                "the health state '{}' (it is '{}'){late}",
                wanted.name(),
                state().name()
            )
        })
    }

    /// Stops, in time; gives the number of undelivered payloads.
    fn stop(&self) -> Result<u64, String> {
        let deadline = self.harness.limits().stop;
        timed("stop", deadline + STOP_SLACK, || self.sink.stop(deadline))
    }

    fn stop_promptly(&self) -> Result<u64, String> {
        let limits = self.harness.limits();
        timed("stop", limits.promptly, || self.sink.stop(limits.stop))
    }

    fn arrival(&self) -> Duration {
        self.harness.limits().arrival
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        // Nothing of a failed check may go on under the next one.
        self.peer.resume();
        // A stop that panics while its check unwinds from a panic would end the process.
        if !thread::panicking() {
            self.sink.stop(self.harness.limits().promptly);
        }
    }
}

/// Publishes numbered payloads, waiting for readiness before each as the engine does.
fn publish_all(sink: &dyn Sink, numbers: std::ops::Range<u64>, deadline: Duration) -> Outcome {
    for payload in numbered(numbers) {
        ready(sink, deadline)?;
        sink.publish(&payload)
            .map_err(|error| format!("publish failed: {error}"))?;
    }
    Ok(())
}

fn ready(sink: &dyn Sink, deadline: Duration) -> Outcome {
    if sink.is_ready() {
        return Ok(());
    }
    // The runtime's clock has to be entered before the timer is made.
    let waited = runtime::handle().block_on(async { tokio::time::timeout(deadline, sink.ready()).await });
    waited.map_err(|_| format!("the sink was not ready for {deadline:?}"))
}

fn starts_and_stops(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    let undelivered = bench.stop()?;
    ensure(undelivered == 0, || {
        format!("{undelivered} undelivered payloads without any published")
    })
}

fn stopping_before_the_start_is_harmless(harness: &Harness) -> Outcome {
    let undelivered = Bench::new(harness)?.stop_promptly()?;
    ensure(undelivered == 0, || {
        format!("{undelivered} undelivered payloads without a start")
    })
}

fn stopping_twice_is_harmless(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.stop()?;
    let undelivered = bench.stop_promptly()?;
    ensure(undelivered == 0, || {
        format!("the second stop reports {undelivered} undelivered payloads")
    })
}

fn a_second_start_is_refused(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    let second = bench.sink.start(Arc::new(SinkRecorder::new()));
    bench.stop()?;
    ensure(second.is_err(), || "a second start was accepted".to_owned())
}

fn a_start_after_a_stop_is_refused(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.stop()?;
    let again = bench.sink.start(Arc::new(SinkRecorder::new()));
    ensure(again.is_err(), || {
        "a stopped sink started again; only a clone may".to_owned()
    })
}

fn a_clone_is_independent(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    let (unstarted, later) = (bench.sink.clone_box(), bench.sink.clone_box());
    bench.start_connected()?;
    unstarted.stop(harness.limits().promptly);
    drop(unstarted);
    bench
        .publish(0..10)
        .map_err(|reason| format!("after a clone was stopped, {reason}"))?;
    bench.received(10)?;
    bench.stop()?;
    let before = bench.peer.connections();
    let recorder = Arc::new(SinkRecorder::new());
    later
        .start(recorder)
        .map_err(|error| format!("a clone of a stopped sink did not start: {error}"))?;
    let delivered = bench
        .connected(before + 1)
        .and_then(|()| publish_all(&*later, 10..20, bench.arrival()))
        .and_then(|()| bench.received(20));
    later.stop(harness.limits().stop);
    delivered
}

fn delivers_everything(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.publish(0..PAYLOADS)?;
    publish_batch(&bench, PAYLOADS..2 * PAYLOADS)?;
    bench.received(2 * PAYLOADS)?;
    let mut report = sequence::check(0..2 * PAYLOADS, numbers(&bench.peer.received())?);
    report.out_of_order.clear();
    ensure(report.is_clean(), || report.to_string())
}

fn keeps_the_order(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.publish(0..PAYLOADS)?;
    publish_batch(&bench, PAYLOADS..2 * PAYLOADS)?;
    bench.received(2 * PAYLOADS)?;
    let numbers = numbers(&bench.peer.received())?;
    ensure(numbers.is_sorted(), || {
        sequence::check(0..2 * PAYLOADS, numbers).to_string()
    })
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

fn delivers_before_stop_returns(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.publish(0..PAYLOADS)?;
    let undelivered = bench.stop()?;
    ensure(undelivered == 0, || {
        format!("stop reports {undelivered} undelivered payloads with a peer that takes all")
    })?;
    bench.received(PAYLOADS)
}

fn a_publish_after_stop_is_refused(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.stop()?;
    let published = bench.sink.publish(b"late");
    ensure(published.is_err(), || {
        "a payload was accepted after stop, when nobody delivers it any more".to_owned()
    })
}

fn accounts_for_every_payload_of_an_absent_peer(harness: &Harness) -> Outcome {
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
    let undelivered = bench.stop()?;
    let failed = bench.recorder.failed().len() as u64;
    let (received, dropped) = (
        bench.peer.received().len() as u64,
        bench.context.metrics.dropped.value(),
    );
    ensure(accepted == received + failed + dropped + undelivered, || {
        format!(
            "of {accepted} accepted payloads {received} arrived, {failed} were reported as failed, {dropped} counted as dropped and {undelivered} as undelivered by stop"
        )
    })
}

fn stop_while_connecting_returns_in_time(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.peer.ignore();
    timed("start", harness.limits().promptly, || bench.start())??;
    bench.state(ConnectionState::Connecting)?;
    bench.stop().map(drop)
}

fn stop_during_backoff_returns_at_once(harness: &Harness) -> Outcome {
    let bench = Bench::with(harness, SinkRecorder::new(), |peer| peer.slow_reconnect_properties())?;
    bench.peer.refuse();
    bench.start()?;
    bench.state(ConnectionState::Reconnecting)?;
    bench.stop_promptly().map(drop)
}

fn reconnects_after_the_connection_is_cut(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.publish(0..10)?;
    bench.received(10)?;
    bench.peer.cut();
    bench.connected(2)?;
    bench.publish(10..20)?;
    bench.received(20)
}

fn delivers_when_the_peer_comes_up_later(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench.peer.refuse();
    bench.start()?;
    bench.state(ConnectionState::Reconnecting)?;
    bench.peer.accept();
    bench.connected(1)?;
    bench.publish(0..10)?;
    bench.received(10)
}

fn connectivity_is_told_truthfully(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench
        .sink
        .validate_connectivity()
        .map_err(|error| format!("a reachable peer is reported as: {error}"))?;
    bench.peer.refuse();
    match bench.sink.validate_connectivity() {
        Err(EventFluxError::ConnectionUnavailable { .. }) => Ok(()),
        Err(error) => Err(format!(
            "a refusing peer is reported as another kind of error: {error:?}"
        )),
        Ok(()) => Err("a refusing peer is reported as reachable".to_owned()),
    }
}

fn is_not_ready_while_full(harness: &Harness) -> Outcome {
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
fn fill(bench: &Bench<'_>, payload: &[u8], accepted: &mut u64) -> Result<bool, String> {
    while bench.sink.is_ready() {
        ensure(*accepted < MOST_LARGE_PAYLOADS as u64, || {
            format!("{accepted} payloads of {LARGE_PAYLOAD_BYTES} bytes were accepted while the peer took none")
        })?;
        bench
            .sink
            .publish(payload)
            .map_err(|error| format!("publish failed: {error}"))?;
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

fn a_panicking_callback_is_contained(harness: &Harness) -> Outcome {
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
        within(bench.arrival(), "a report of the failure", || {
            bench.recorder.calls() > 0
        })?;
    }
    within(bench.arrival(), "a refusal after giving up", || {
        bench.sink.publish(b"2").is_err()
    })?;
    bench.stop().map(drop)
}

fn secrets_are_never_shown(harness: &Harness) -> Outcome {
    let own = harness.factory().properties();
    let base = harness.peer().properties();
    for planted in secrets::planted(own, &base, harness.secrets(&*harness.peer())) {
        let inspector = Inspector::new(&planted);
        let peer = harness.peer();
        let mut pairs = peer.properties();
        pairs.retain(|(key, _)| *key != planted.key);
        pairs.push((planted.key.clone(), planted.value.clone()));
        secret_is_hidden(harness, &*peer, &pairs, &inspector)?;
        inspector.inspect_logs()?;
    }
    Ok(())
}

/// A short life with a planted secret: created, started, refused, stopped, and looked at from all sides.
fn secret_is_hidden(
    harness: &Harness,
    peer: &dyn SinkPeer,
    pairs: &[(String, String)],
    inspector: &Inspector<'_>,
) -> Outcome {
    let context = context(harness);
    let properties = match properties::resolve(harness.factory().properties(), pairs) {
        Ok(properties) => properties,
        Err(errors) => return inspector.inspect("an error", &errors.join("; ")),
    };
    inspector.inspect("the properties' Debug output", &format!("{properties:?}"))?;
    let sink = match harness.factory().create_initialized(&properties, &context) {
        Ok(sink) => sink,
        Err(error) => return inspector.inspect("an error", &format!("{error} {error:?}")),
    };
    let recorder = Arc::new(SinkRecorder::new());
    let started = sink.start(recorder.clone());
    inspector.inspect("the Debug output of the sink", &format!("{sink:?}"))?;
    peer.refuse();
    peer.cut();
    let published = sink.publish(b"1");
    let reached = sink.validate_connectivity();
    if harness.capabilities().connects {
        // Whether it gets there is for other checks; here it is only to have something to look at.
        let lost = [ConnectionState::Reconnecting, ConnectionState::Failed];
        let _ = within(harness.limits().arrival, "", || {
            lost.contains(&context.health.current().state)
        });
    }
    linger(harness.limits().observation);
    let health = context.health.current();
    sink.stop(harness.limits().stop);
    for error in [started.err(), published.err(), reached.err()].into_iter().flatten() {
        inspector.inspect("an error", &format!("{error} {error:?}"))?;
    }
    inspector.inspect("a reported failure", &format!("{:?}", recorder.failed()))?;
    inspector.inspect("the health", &format!("{health:?}"))?;
    inspector.inspect("a metric", &format!("{:?}", context.registry))
}

fn context(harness: &Harness) -> ConnectorContext {
    ConnectorContext::new(
        &Metrics::default(),
        ConnectorRole::Sink,
        "Contract",
        harness.factory().name(),
    )
}
