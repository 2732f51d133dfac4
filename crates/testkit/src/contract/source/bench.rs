//! A source under test on its peer, and what the checks do with it.

use std::{sync::Arc, thread, time::Duration};

use eventflux_core::{ConnectorContext, ConnectorRole, Source, health::ConnectionState, metrics::Metrics};

use super::{Harness, Outcome};
use crate::{
    contract::{
        Feed, OnDelivery, SourcePeer, SourceRecorder,
        numbers::{numbered, numbers},
        properties,
        report::{ensure, never, timed, within},
    },
    sequence,
};

/// What a stop may take beyond its deadline.
const STOP_SLACK: Duration = Duration::from_millis(500);

/// A source on a fresh peer.
pub(super) struct Bench<'a> {
    pub(super) harness: &'a Harness,
    pub(super) peer: Arc<dyn SourcePeer>,
    pub(super) recorder: Arc<SourceRecorder>,
    pub(super) context: ConnectorContext,
    pub(super) source: Box<dyn Source>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(harness: &'a Harness) -> Result<Self, String> {
        Self::with(harness, OnDelivery::Take, |peer| peer.properties())
    }

    pub(super) fn with(
        harness: &'a Harness,
        on_delivery: OnDelivery,
        properties: impl Fn(&dyn SourcePeer) -> Vec<(String, String)>,
    ) -> Result<Self, String> {
        let peer: Arc<dyn SourcePeer> = Arc::from(harness.peer());
        let context = context(harness);
        let source = create(harness, &properties(&*peer), &context)?;
        Ok(Self { harness, peer, recorder: Arc::new(SourceRecorder::new(on_delivery)), context, source })
    }

    /// Gives a source that reads its messages at the start `count` of them now.
    pub(super) fn feed_before_start(&self, count: u64) {
        if self.harness.capabilities().feed == Feed::BeforeStart {
            self.peer.send(&numbered(0..count));
        }
    }

    pub(super) fn start(&mut self) -> Outcome {
        self.source.start(self.recorder.clone()).map_err(|error| format!("start failed: {error}"))
    }

    /// Starts and waits for the connection, if there is one to wait for.
    pub(super) fn start_connected(&mut self) -> Outcome {
        let before = self.peer.connections();
        self.start()?;
        self.connected(before + 1)
    }

    /// Starts with `count` messages, sent before or after as the source can take them. A peer may block while nobody
    /// reads, so a live one sends on a thread of its own.
    pub(super) fn start_with(&mut self, count: u64) -> Outcome {
        self.feed_before_start(count);
        self.start_connected()?;
        if self.harness.capabilities().feed == Feed::Live {
            self.send_aside(0..count);
        }
        Ok(())
    }

    pub(super) fn send_aside(&self, numbers: std::ops::Range<u64>) {
        let peer = Arc::clone(&self.peer);
        thread::spawn(move || peer.send(&numbered(numbers)));
    }

    pub(super) fn connected(&self, count: usize) -> Outcome {
        if !self.harness.capabilities().connects {
            return Ok(());
        }
        let what = format!("connection number {count}");
        within(self.arrival(), &what, || self.peer.connections() >= count)
    }

    pub(super) fn arrived(&self, count: u64) -> Outcome {
        let what = || format!("{count} messages (there are {})", self.recorder.count());
        within(self.arrival(), "", || self.recorder.count() as u64 >= count).map_err(|late| what() + &late)
    }

    pub(super) fn state(&self, wanted: ConnectionState) -> Outcome {
        let state = || self.context.health.current().state;
        within(self.arrival(), "", || state() == wanted)
            .map_err(|late| format!("the health state '{}' (it is '{}'){late}", wanted.name(), state().name()))
    }

    /// Stops, in time.
    pub(super) fn stop(&mut self) -> Outcome {
        let deadline = self.harness.limits().stop;
        timed("stop", deadline + STOP_SLACK, || self.source.stop(deadline))
    }

    pub(super) fn stop_promptly(&mut self) -> Outcome {
        let limits = self.harness.limits();
        timed("stop", limits.promptly, || self.source.stop(limits.stop))
    }

    pub(super) fn ended_once(&self) -> Outcome {
        within(self.arrival(), "on_end", || !self.recorder.ends().is_empty())?;
        never(self.harness.limits().observation, || {
            let ends = self.recorder.ends();
            (ends.len() != 1).then(|| format!("on_end was called {} times: {ends:?}", ends.len()))
        })
    }

    /// Every message arrived exactly once, in order if that is promised.
    pub(super) fn complete(&self, count: u64) -> Outcome {
        let numbers = numbers(&self.recorder.messages())?;
        let mut report = sequence::check(0..count, numbers);
        report.out_of_order.clear();
        ensure(report.is_clean(), || report.to_string())
    }

    pub(super) fn arrival(&self) -> Duration {
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

pub(super) fn context(harness: &Harness) -> ConnectorContext {
    ConnectorContext::new(&Metrics::default(), ConnectorRole::Source, "Contract", harness.factory().name())
}

pub(super) fn create(
    harness: &Harness,
    pairs: &[(String, String)],
    context: &ConnectorContext,
) -> Result<Box<dyn Source>, String> {
    let properties = properties::resolve(harness.factory().properties(), pairs).map_err(|errors| errors.join("; "))?;
    harness.factory().create_initialized(&properties, context).map_err(|error| format!("it is not created: {error}"))
}
