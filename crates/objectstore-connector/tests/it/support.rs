//! A started sink, and how to read a directory of objects back.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use eventflux_core::metrics::Metrics;
use eventflux_core::{
    ConnectorContext, ConnectorRole, EncodedBatch, EventFluxError, PayloadWriter, Properties, Sink, SinkFactory, Ticket,
};
use eventflux_objectstore_connector::{ObjectStoreSinkFactory, SINK_PROPERTIES};
use eventflux_testkit::contract::SinkRecorder;
use eventflux_testkit::wait::eventually_blocking;

/// How long a step may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A sink of the stream `Readings`.
pub(crate) struct Fixture {
    pub(crate) context: ConnectorContext,
    pub(crate) recorder: Arc<SinkRecorder>,
    pub(crate) sink: Box<dyn Sink>,
}

impl Fixture {
    pub(crate) fn new(pairs: &[(&str, &str)]) -> Self {
        let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Sink, "Readings", "objectstore");
        let properties = Properties::from_pairs(SINK_PROPERTIES, pairs.iter().copied()).unwrap();
        let sink = ObjectStoreSinkFactory.create_initialized(&properties, &context).unwrap();
        Self { context, recorder: Arc::new(SinkRecorder::new()), sink }
    }

    pub(crate) fn started(pairs: &[(&str, &str)]) -> Self {
        let fixture = Self::new(pairs);
        fixture.sink.start(fixture.recorder.clone()).unwrap();
        fixture
    }

    /// Waits until everything that was published is written or reported.
    pub(crate) fn settle(&self) {
        self.settled().unwrap();
    }

    pub(crate) fn settled(&self) -> Result<(), EventFluxError> {
        let (settled, sender) = (self.sink.settled(), std::sync::mpsc::sync_channel(1));
        eventflux_core::runtime::shared().unwrap().spawn(async move {
            let _ = sender.0.send(settled.await);
        });
        sender.1.recv_timeout(DEADLINE).unwrap()
    }

    /// The errors with which payloads came back, waited for.
    pub(crate) fn failed(&self, count: usize) -> Vec<(Vec<u8>, EventFluxError)> {
        eventually_blocking(DEADLINE, || self.recorder.failed().len() >= count);
        self.recorder.failed()
    }

    pub(crate) fn count(&self, name: &'static str) -> u64 {
        self.context.registry.counter(name, &[("stream", "Readings")]).value()
    }
}

/// Payloads as the engine numbers them.
pub(crate) fn batch<T: AsRef<[u8]>>(number: u64, payloads: impl IntoIterator<Item = T>) -> EncodedBatch {
    let mut writer = PayloadWriter::default();
    for (position, payload) in payloads.into_iter().enumerate() {
        writer.buffer().extend_from_slice(payload.as_ref());
        writer.finish(position as u64);
    }
    let mut batch = writer.take();
    batch.set_ticket(Ticket { number, row: 0 });
    batch
}

/// All files below a directory, in the order of their names.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The lines of all files below a directory.
pub(crate) fn lines(folder: &Path) -> Vec<String> {
    let texts = files(folder).into_iter().map(|path| fs::read_to_string(path).unwrap());
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}
