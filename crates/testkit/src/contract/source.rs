//! The checks for sources.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use eventflux_core::{
    ConnectorContext, ConnectorRole, EventFluxError, Source, health::ConnectionState, metrics::Metrics,
};

use super::{
    Feed, OnDelivery, SourceHarness, SourcePeer, SourceRecorder,
    properties::{self, Table},
    report::{Check, ensure, never, timed, within},
    secrets::{self, Inspector},
};
use crate::sequence;

/// Messages of the checks that count and compare.
const MESSAGES: u64 = 500;

/// Messages of the check that stops the pipeline: enough for several batches.
const MANY_MESSAGES: u64 = 5_000;

/// What a stop may take beyond its deadline.
const STOP_SLACK: Duration = Duration::from_millis(500);

type Harness = dyn SourceHarness;
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
        name: "starts_stops_and_ends_once",
        skip: always,
        run: starts_stops_and_ends_once,
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
        skip: needs_messages,
        run: delivers_everything,
    },
    Check {
        name: "keeps_the_order",
        skip: needs_order,
        run: keeps_the_order,
    },
    Check {
        name: "delivers_what_was_sent_before_a_clean_close",
        skip: needs_live_peer,
        run: delivers_what_was_sent_before_a_clean_close,
    },
    Check {
        name: "delivers_nothing_after_stop",
        skip: needs_live_feed,
        run: delivers_nothing_after_stop,
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
        skip: needs_live_reconnect,
        run: reconnects_after_the_connection_is_cut,
    },
    Check {
        name: "connects_when_the_peer_comes_up_later",
        skip: needs_live_reconnect,
        run: connects_when_the_peer_comes_up_later,
    },
    Check {
        name: "connectivity_is_told_truthfully",
        skip: needs_peer,
        run: connectivity_is_told_truthfully,
    },
    Check {
        name: "waits_until_the_pipeline_is_ready",
        skip: needs_backpressure,
        run: waits_until_ready,
    },
    Check {
        name: "stop_while_the_pipeline_is_not_ready_returns_in_time",
        skip: needs_backpressure,
        run: stop_while_not_ready_returns_in_time,
    },
    Check {
        name: "a_refused_delivery_ends_the_source",
        skip: needs_messages,
        run: a_refused_delivery_ends_the_source,
    },
    Check {
        name: "acknowledges_only_what_was_taken",
        skip: needs_acknowledgement,
        run: acknowledges_only_what_was_taken,
    },
    Check {
        name: "a_panicking_callback_is_contained",
        skip: needs_messages,
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

fn needs_messages(harness: &Harness) -> Option<&'static str> {
    (harness.capabilities().feed == Feed::Own).then_some("its messages are its own")
}

fn needs_live_feed(harness: &Harness) -> Option<&'static str> {
    (harness.capabilities().feed != Feed::Live).then_some("nothing can be sent while it runs")
}

fn needs_order(harness: &Harness) -> Option<&'static str> {
    needs_messages(harness).or((!harness.capabilities().ordered).then_some("it does not keep the order"))
}

fn needs_peer(harness: &Harness) -> Option<&'static str> {
    (!harness.capabilities().connects).then_some("it has no peer to connect to")
}

fn needs_live_peer(harness: &Harness) -> Option<&'static str> {
    needs_peer(harness).or(needs_live_feed(harness))
}

fn needs_reconnect(harness: &Harness) -> Option<&'static str> {
    needs_peer(harness).or((!harness.capabilities().reconnects).then_some("it does not reconnect"))
}

fn needs_live_reconnect(harness: &Harness) -> Option<&'static str> {
    needs_reconnect(harness).or(needs_live_feed(harness))
}

fn needs_backpressure(harness: &Harness) -> Option<&'static str> {
    needs_messages(harness).or((!harness.capabilities().backpressure).then_some("it has no backpressure"))
}

fn needs_acknowledgement(harness: &Harness) -> Option<&'static str> {
    needs_messages(harness).or((!harness.capabilities().acknowledges).then_some("it does not acknowledge"))
}

/// A source on a fresh peer.
struct Bench<'a> {
    harness: &'a Harness,
    peer: Arc<dyn SourcePeer>,
    recorder: Arc<SourceRecorder>,
    context: ConnectorContext,
    source: Box<dyn Source>,
}

impl<'a> Bench<'a> {
    fn new(harness: &'a Harness) -> Result<Self, String> {
        Self::with(harness, OnDelivery::Take, |peer| peer.properties())
    }

    fn with(
        harness: &'a Harness,
        on_delivery: OnDelivery,
        properties: impl Fn(&dyn SourcePeer) -> Vec<(String, String)>,
    ) -> Result<Self, String> {
        let peer: Arc<dyn SourcePeer> = Arc::from(harness.peer());
        let context = context(harness);
        let source = create(harness, &properties(&*peer), &context)?;
        Ok(Self {
            harness,
            peer,
            recorder: Arc::new(SourceRecorder::new(on_delivery)),
            context,
            source,
        })
    }

    /// Gives a source that reads its messages at the start `count` of them now.
    fn feed_before_start(&self, count: u64) {
        if self.harness.capabilities().feed == Feed::BeforeStart {
            self.peer.send(&numbered(0..count));
        }
    }

    fn start(&mut self) -> Outcome {
        self.source
            .start(self.recorder.clone())
            .map_err(|error| format!("start failed: {error}"))
    }

    /// Starts and waits for the connection, if there is one to wait for.
    fn start_connected(&mut self) -> Outcome {
        let before = self.peer.connections();
        self.start()?;
        self.connected(before + 1)
    }

    /// Starts with `count` messages, sent before or after as the source can take them. A peer may block while nobody
    /// reads, so a live one sends on a thread of its own.
    fn start_with(&mut self, count: u64) -> Outcome {
        self.feed_before_start(count);
        self.start_connected()?;
        if self.harness.capabilities().feed == Feed::Live {
            self.send_aside(0..count);
        }
        Ok(())
    }

    fn send_aside(&self, numbers: std::ops::Range<u64>) {
        let peer = Arc::clone(&self.peer);
        thread::spawn(move || peer.send(&numbered(numbers)));
    }

    fn connected(&self, count: usize) -> Outcome {
        if !self.harness.capabilities().connects {
            return Ok(());
        }
        let what = format!("connection number {count}");
        within(self.arrival(), &what, || self.peer.connections() >= count)
    }

    fn arrived(&self, count: u64) -> Outcome {
        let what = || format!("{count} messages (there are {})", self.recorder.count());
        within(self.arrival(), "", || self.recorder.count() as u64 >= count).map_err(|late| what() + &late)
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

    /// Stops, in time.
    fn stop(&mut self) -> Outcome {
        let deadline = self.harness.limits().stop;
        timed("stop", deadline + STOP_SLACK, || self.source.stop(deadline))
    }

    fn stop_promptly(&mut self) -> Outcome {
        let limits = self.harness.limits();
        timed("stop", limits.promptly, || self.source.stop(limits.stop))
    }

    fn ended_once(&self) -> Outcome {
        within(self.arrival(), "on_end", || !self.recorder.ends().is_empty())?;
        never(self.harness.limits().observation, || {
            let ends = self.recorder.ends();
            (ends.len() != 1).then(|| format!("on_end was called {} times: {ends:?}", ends.len()))
        })
    }

    /// Every message arrived exactly once, in order if that is promised.
    fn complete(&self, count: u64) -> Outcome {
        let numbers = numbers(&self.recorder.messages())?;
        let mut report = sequence::check(0..count, numbers);
        report.out_of_order.clear();
        ensure(report.is_clean(), || report.to_string())
    }

    fn arrival(&self) -> Duration {
        self.harness.limits().arrival
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        // Nothing of a failed check may go on under the next one.
        self.recorder.open_gate();
        // A stop that panics while its check unwinds from a panic would end the process.
        if !thread::panicking() {
            self.source.stop(self.harness.limits().promptly);
        }
    }
}

fn starts_stops_and_ends_once(harness: &Harness) -> Outcome {
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

fn stopping_before_the_start_is_harmless(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.stop_promptly()?;
    ensure(bench.recorder.ends().is_empty(), || {
        "on_end was called without a start".to_owned()
    })
}

fn stopping_twice_is_harmless(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.feed_before_start(1);
    bench.start_connected()?;
    bench.stop()?;
    bench.stop_promptly()?;
    bench.ended_once()
}

fn a_second_start_is_refused(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.feed_before_start(1);
    bench.start_connected()?;
    let second = bench.source.start(Arc::new(SourceRecorder::new(OnDelivery::Take)));
    bench.stop()?;
    ensure(second.is_err(), || "a second start was accepted".to_owned())
}

fn a_start_after_a_stop_is_refused(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.feed_before_start(1);
    bench.start_connected()?;
    bench.stop()?;
    let again = bench.source.start(Arc::new(SourceRecorder::new(OnDelivery::Take)));
    ensure(again.is_err(), || {
        "a stopped source started again; only a clone may".to_owned()
    })
}

fn a_clone_is_independent(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.feed_before_start(MESSAGES);
    let mut unstarted = bench.source.clone_box();
    let mut later = bench.source.clone_box();
    bench.start_connected()?;
    unstarted.stop(harness.limits().promptly);
    drop(unstarted);
    ensure(bench.recorder.ends().iter().all(Result::is_ok), || {
        "stopping a clone broke the original".to_owned()
    })?;
    bench.stop()?;
    // The original is stopped; its clone is not.
    let started = Arc::new(SourceRecorder::new(OnDelivery::Take));
    let before = bench.peer.connections();
    later
        .start(started.clone())
        .map_err(|error| format!("a clone of a stopped source did not start: {error}"))?;
    let arrived = bench
        .connected(before + 1)
        .and_then(|()| match harness.capabilities().feed {
            Feed::Own => Ok(()),
            feed => {
                if feed == Feed::Live {
                    bench.peer.send(&numbered(0..MESSAGES));
                }
                within(bench.arrival(), "messages of a clone", || {
                    started.count() as u64 >= MESSAGES
                })
            }
        });
    later.stop(harness.limits().stop);
    arrived
}

fn delivers_everything(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.start_with(MESSAGES)?;
    bench.arrived(MESSAGES)?;
    bench.stop()?;
    bench.complete(MESSAGES)
}

fn keeps_the_order(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.start_with(MESSAGES)?;
    bench.arrived(MESSAGES)?;
    let numbers = numbers(&bench.recorder.messages())?;
    ensure(numbers.is_sorted(), || {
        sequence::check(0..MESSAGES, numbers).to_string()
    })
}

fn delivers_what_was_sent_before_a_clean_close(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.start_connected()?;
    bench.peer.send(&numbered(0..MESSAGES));
    bench.peer.close();
    bench.arrived(MESSAGES)?;
    bench.complete(MESSAGES)
}

fn delivers_nothing_after_stop(harness: &Harness) -> Outcome {
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

fn stop_while_connecting_returns_in_time(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.peer.ignore();
    timed("start", harness.limits().promptly, || bench.start())??;
    bench.state(ConnectionState::Connecting)?;
    bench.stop()?;
    bench.ended_once()
}

fn stop_during_backoff_returns_at_once(harness: &Harness) -> Outcome {
    let mut bench = Bench::with(harness, OnDelivery::Take, |peer| peer.slow_reconnect_properties())?;
    bench.peer.refuse();
    bench.start()?;
    bench.state(ConnectionState::Reconnecting)?;
    bench.stop_promptly()?;
    bench.ended_once()
}

fn reconnects_after_the_connection_is_cut(harness: &Harness) -> Outcome {
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

fn connects_when_the_peer_comes_up_later(harness: &Harness) -> Outcome {
    let mut bench = Bench::new(harness)?;
    bench.peer.refuse();
    bench.start()?;
    bench.state(ConnectionState::Reconnecting)?;
    bench.peer.accept();
    bench.connected(1)?;
    bench.peer.send(&numbered(0..10));
    bench.arrived(10)
}

fn connectivity_is_told_truthfully(harness: &Harness) -> Outcome {
    let bench = Bench::new(harness)?;
    bench
        .source
        .validate_connectivity()
        .map_err(|error| format!("a reachable peer is reported as: {error}"))?;
    bench.peer.refuse();
    match bench.source.validate_connectivity() {
        Err(EventFluxError::ConnectionUnavailable { .. }) => Ok(()),
        Err(error) => Err(format!(
            "a refusing peer is reported as another kind of error: {error:?}"
        )),
        Ok(()) => Err("a refusing peer is reported as reachable".to_owned()),
    }
}

fn waits_until_ready(harness: &Harness) -> Outcome {
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

fn stop_while_not_ready_returns_in_time(harness: &Harness) -> Outcome {
    let mut bench = Bench::with(harness, OnDelivery::TakeAndCloseGate, |peer| peer.properties())?;
    bench.start_with(MANY_MESSAGES)?;
    bench.arrived(1)?;
    // Long enough for the source to be waiting; a stop that comes before that proves less, and is right all the same.
    linger(harness.limits().observation);
    bench.stop()?;
    bench.ended_once()
}

fn a_refused_delivery_ends_the_source(harness: &Harness) -> Outcome {
    let mut bench = Bench::with(harness, OnDelivery::Fail, |peer| peer.properties())?;
    bench.start_with(MESSAGES)?;
    bench.ended_once()?;
    let deliveries = bench.recorder.deliveries();
    ensure(deliveries == 1, || {
        format!("{} more deliveries after a refused one", deliveries - 1)
    })?;
    bench.stop()
}

fn acknowledges_only_what_was_taken(harness: &Harness) -> Outcome {
    let mut taking = Bench::new(harness)?;
    taking.start_with(MESSAGES)?;
    taking.arrived(MESSAGES)?;
    let peer = Arc::clone(&taking.peer);
    within(taking.arrival(), "acknowledgement of what was taken", || {
        peer.acknowledged() as u64 >= MESSAGES
    })?;
    let mut refusing = Bench::with(harness, OnDelivery::Fail, |peer| peer.properties())?;
    refusing.start_with(MESSAGES)?;
    refusing.ended_once()?;
    let acknowledged = refusing.peer.acknowledged();
    ensure(acknowledged == 0, || {
        format!("{acknowledged} messages were acknowledged that nobody took")
    })
}

fn a_panicking_callback_is_contained(harness: &Harness) -> Outcome {
    let mut bench = Bench::with(harness, OnDelivery::Panic, |peer| peer.properties())?;
    bench.start_with(MESSAGES)?;
    bench.ended_once()?;
    ensure(bench.recorder.ends()[0].is_err(), || {
        "a panic ended the source without an error".to_owned()
    })?;
    bench.stop()
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
    peer: &dyn SourcePeer,
    pairs: &[(String, String)],
    inspector: &Inspector<'_>,
) -> Outcome {
    let context = context(harness);
    let properties = match properties::resolve(harness.factory().properties(), pairs) {
        Ok(properties) => properties,
        Err(errors) => return inspector.inspect("an error", &errors.join("; ")),
    };
    inspector.inspect("the properties' Debug output", &format!("{properties:?}"))?;
    let mut source = match harness.factory().create_initialized(&properties, &context) {
        Ok(source) => source,
        Err(error) => return inspector.inspect("an error", &format!("{error} {error:?}")),
    };
    let recorder = Arc::new(SourceRecorder::new(OnDelivery::Take));
    let started = source.start(recorder.clone());
    inspector.inspect("the Debug output of the source", &format!("{source:?}"))?;
    peer.refuse();
    peer.cut();
    let reached = source.validate_connectivity();
    if harness.capabilities().connects {
        // Whether it gets there is for other checks; here it is only to have something to look at.
        let lost = [ConnectionState::Reconnecting, ConnectionState::Failed];
        let _ = within(harness.limits().arrival, "", || {
            lost.contains(&context.health.current().state)
        });
    }
    linger(harness.limits().observation);
    let health = context.health.current();
    source.stop(harness.limits().stop);
    let ends = recorder.ends().into_iter().filter_map(Result::err);
    for error in [started.err(), reached.err()].into_iter().flatten().chain(ends) {
        inspector.inspect("an error", &format!("{error} {error:?}"))?;
    }
    inspector.inspect("the health", &format!("{health:?}"))?;
    inspector.inspect("a metric", &format!("{:?}", context.registry))
}

/// Time for a refused connection to be noticed and logged. Not a synchronisation: nothing depends on its length.
pub(super) fn linger(duration: Duration) {
    let started = Instant::now();
    while started.elapsed() < duration {
        thread::sleep(crate::wait::POLL_INTERVAL);
    }
}

fn context(harness: &Harness) -> ConnectorContext {
    ConnectorContext::new(
        &Metrics::default(),
        ConnectorRole::Source,
        "Contract",
        harness.factory().name(),
    )
}

fn create(
    harness: &Harness,
    pairs: &[(String, String)],
    context: &ConnectorContext,
) -> Result<Box<dyn Source>, String> {
    let properties = properties::resolve(harness.factory().properties(), pairs).map_err(|errors| errors.join("; "))?;
    harness
        .factory()
        .create_initialized(&properties, context)
        .map_err(|error| format!("it is not created: {error}"))
}

/// Messages that are numbers as text.
pub(super) fn numbered(numbers: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    numbers.map(|number| number.to_string().into_bytes()).collect()
}

/// The numbers in such messages.
pub(super) fn numbers(messages: &[Vec<u8>]) -> Result<Vec<u64>, String> {
    let number = |message: &Vec<u8>| {
        let text = std::str::from_utf8(message).ok()?;
        text.trim_end().parse().ok()
    };
    messages
        .iter()
        .map(|message| number(message).ok_or_else(|| format!("a message nobody sent: {}", message.escape_ascii())))
        .collect()
}
