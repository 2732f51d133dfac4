//! Sources and sinks under test, with everything around them that records.

use std::sync::Arc;
use std::time::Duration;

use eventflux_core::health::ConnectionState;
use eventflux_core::metrics::Metrics;
use eventflux_core::{
    ConnectorContext, ConnectorRole, EncodedBatch, EventFluxContext, EventFluxError, PayloadWriter, Properties, Sink,
    Source,
};
use eventflux_testkit::contract::{OnDelivery, SinkRecorder, SourceRecorder};
use eventflux_testkit::wait::eventually_blocking;

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// What "at once" means.
pub(crate) const PROMPTLY: Duration = Duration::from_secs(1);

/// Quick reconnects, so that tests need not wait.
pub(crate) const QUICK: [(&str, &str); 2] =
    [("websocket.reconnect.delay.ms", "5"), ("websocket.reconnect.max.delay.ms", "20")];

/// The registry a program would have; its sources and sinks share listeners.
pub(crate) struct Registry(EventFluxContext);

/// A source with its recorder.
pub(crate) struct TestSource {
    pub(crate) source: Box<dyn Source>,
    pub(crate) recorder: Arc<SourceRecorder>,
    pub(crate) context: ConnectorContext,
}

/// A sink with its recorder.
pub(crate) struct TestSink {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) recorder: Arc<SinkRecorder>,
    pub(crate) context: ConnectorContext,
}

impl Registry {
    pub(crate) fn new() -> Self {
        let mut context = EventFluxContext::new();
        eventflux_websocket_connector::register(&mut context);
        Self(context)
    }

    /// A source that is not started.
    pub(crate) fn source(&self, raw: &[(&str, &str)]) -> TestSource {
        let factory = self.0.source_factory("websocket").unwrap();
        let properties = Properties::from_pairs(factory.properties(), raw.iter().copied()).unwrap();
        let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Source, "In", "websocket");
        TestSource {
            source: factory.create_initialized(&properties, &context).unwrap(),
            recorder: Arc::new(SourceRecorder::new(OnDelivery::Take)),
            context,
        }
    }

    /// Why there is no such sink.
    pub(crate) fn try_sink(&self, raw: &[(&str, &str)]) -> Result<(), EventFluxError> {
        let factory = self.0.sink_factory("websocket").unwrap();
        let properties = Properties::from_pairs(factory.properties(), raw.iter().copied())?;
        let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Sink, "Out", "websocket");
        factory.create_initialized(&properties, &context).map(drop)
    }

    /// A sink that is not started.
    pub(crate) fn sink(&self, raw: &[(&str, &str)]) -> TestSink {
        let factory = self.0.sink_factory("websocket").unwrap();
        let properties = Properties::from_pairs(factory.properties(), raw.iter().copied()).unwrap();
        let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Sink, "Out", "websocket");
        TestSink {
            sink: factory.create_initialized(&properties, &context).unwrap(),
            recorder: Arc::new(SinkRecorder::new()),
            context,
        }
    }
}

/// A started source that connects to `url`, with quick reconnects unless `raw` turns them off.
pub(crate) fn source(url: &str, raw: &[(&str, &str)]) -> TestSource {
    let quick = if raw.contains(&("websocket.reconnect", "false")) { &[][..] } else { &QUICK[..] };
    let mut source = Registry::new().source(&[&[("websocket.url", url)], quick, raw].concat());
    source.start().unwrap();
    source
}

/// A started sink that connects to `url`, with quick reconnects.
pub(crate) fn sink(url: &str, raw: &[(&str, &str)]) -> TestSink {
    let sink = Registry::new().sink(&[&[("websocket.url", url)], &QUICK[..], raw].concat());
    sink.start().unwrap();
    sink
}

/// A batch of texts.
pub(crate) fn batch<T: AsRef<[u8]>>(payloads: impl IntoIterator<Item = T>) -> EncodedBatch {
    let mut writer = PayloadWriter::default();
    for (index, payload) in payloads.into_iter().enumerate() {
        writer.buffer().extend_from_slice(payload.as_ref());
        writer.finish(index as u64);
    }
    writer.take()
}

impl TestSource {
    pub(crate) fn start(&mut self) -> Result<(), EventFluxError> {
        self.source.start(self.recorder.clone())
    }

    #[track_caller]
    pub(crate) fn wait_for_state(&self, state: ConnectionState) {
        let health = self.context.health.clone();
        eventually_blocking(DEADLINE, || health.current().state == state);
    }

    #[track_caller]
    pub(crate) fn wait_for_messages(&self, expected: &[&str]) {
        eventually_blocking(DEADLINE, || self.recorder.count() >= expected.len());
        let messages = self.recorder.messages();
        let texts: Vec<_> = messages.iter().map(|message| String::from_utf8_lossy(message)).collect();
        assert_eq!(texts, expected);
    }

    /// Waits for the end the source reports by itself.
    #[track_caller]
    pub(crate) fn wait_for_end(&self) -> Result<(), EventFluxError> {
        eventually_blocking(DEADLINE, || !self.recorder.ends().is_empty());
        self.recorder.ends().remove(0)
    }

    pub(crate) fn stop(&mut self) {
        self.source.stop(DEADLINE);
    }

    pub(crate) fn detail(&self) -> String {
        self.context.health.current().detail.unwrap_or_default()
    }
}

impl TestSink {
    pub(crate) fn start(&self) -> Result<(), EventFluxError> {
        self.sink.start(self.recorder.clone())
    }

    #[track_caller]
    pub(crate) fn wait_for_state(&self, state: ConnectionState) {
        let health = self.context.health.clone();
        eventually_blocking(DEADLINE, || health.current().state == state);
    }

    pub(crate) fn stop(&self) -> u64 {
        self.sink.stop(DEADLINE)
    }

    pub(crate) fn detail(&self) -> String {
        self.context.health.current().detail.unwrap_or_default()
    }
}
