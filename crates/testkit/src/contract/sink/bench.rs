//! A sink under test on its peer, and what the checks do with it.

use std::{sync::Arc, thread, time::Duration};

use eventflux_core::{ConnectorContext, ConnectorRole, Sink, health::ConnectionState, metrics::Metrics};

use super::{Harness, Outcome};
use crate::{
    contract::{
        SinkPeer, SinkRecorder,
        numbers::numbered,
        properties,
        report::{timed, within},
    },
    runtime,
};

/// What a stop may take beyond its deadline.
const STOP_SLACK: Duration = Duration::from_millis(500);

/// A sink on a fresh peer.
pub(super) struct Bench<'a> {
    pub(super) harness: &'a Harness,
    pub(super) peer: Box<dyn SinkPeer>,
    pub(super) recorder: Arc<SinkRecorder>,
    pub(super) context: ConnectorContext,
    pub(super) sink: Box<dyn Sink>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(harness: &'a Harness) -> Result<Self, String> {
        Self::with(harness, SinkRecorder::new(), |peer| peer.properties())
    }

    pub(super) fn with(
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
        Ok(Self { harness, peer, recorder: Arc::new(recorder), context, sink })
    }

    pub(super) fn start(&self) -> Outcome {
        self.sink.start(self.recorder.clone()).map_err(|error| format!("start failed: {error}"))
    }

    pub(super) fn start_connected(&self) -> Outcome {
        let before = self.peer.connections();
        self.start()?;
        self.connected(before + 1)
    }

    pub(super) fn connected(&self, count: usize) -> Outcome {
        if !self.harness.capabilities().connects {
            return Ok(());
        }
        let what = format!("connection number {count}");
        within(self.arrival(), &what, || self.peer.connections() >= count)
    }

    /// Publishes numbered payloads, waiting for readiness before each as the engine does.
    pub(super) fn publish(&self, numbers: std::ops::Range<u64>) -> Outcome {
        publish_all(&*self.sink, numbers, self.arrival())
    }

    pub(super) fn received(&self, count: u64) -> Outcome {
        within(self.arrival(), "", || self.peer.received_count() as u64 >= count)
            .map_err(|late| format!("{count} payloads at the peer (there are {}){late}", self.peer.received_count()))
    }

    pub(super) fn state(&self, wanted: ConnectionState) -> Outcome {
        let state = || self.context.health.current().state;
        within(self.arrival(), "", || state() == wanted)
            .map_err(|late| format!("the health state '{}' (it is '{}'){late}", wanted.name(), state().name()))
    }

    /// Stops, in time; gives the number of undelivered payloads.
    pub(super) fn stop(&self) -> Result<u64, String> {
        self.stop_within(self.harness.limits().stop)
    }

    pub(super) fn stop_within(&self, deadline: Duration) -> Result<u64, String> {
        timed("stop", deadline + STOP_SLACK, || self.sink.stop(deadline))
    }

    pub(super) fn stop_promptly(&self) -> Result<u64, String> {
        let limits = self.harness.limits();
        timed("stop", limits.promptly, || self.sink.stop(limits.stop))
    }

    pub(super) fn arrival(&self) -> Duration {
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
pub(super) fn publish_all(sink: &dyn Sink, numbers: std::ops::Range<u64>, deadline: Duration) -> Outcome {
    for payload in numbered(numbers) {
        ready(sink, deadline)?;
        sink.publish(&payload).map_err(|error| format!("publish failed: {error}"))?;
    }
    Ok(())
}

pub(super) fn ready(sink: &dyn Sink, deadline: Duration) -> Outcome {
    if sink.is_ready() {
        return Ok(());
    }
    // The runtime's clock has to be entered before the timer is made.
    let waited = runtime::handle().block_on(async { tokio::time::timeout(deadline, sink.ready()).await });
    waited.map_err(|_| format!("the sink was not ready for {deadline:?}"))
}

pub(super) fn context(harness: &Harness) -> ConnectorContext {
    ConnectorContext::new(&Metrics::default(), ConnectorRole::Sink, "Contract", harness.factory().name())
}
