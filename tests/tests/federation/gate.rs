//! A sink that takes nothing until it is opened, so that what waits for the pipeline can be looked at.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use eventflux_core::{
    BoxFuture, ConnectorContext, EventFluxContext, EventFluxError, Properties, PropertySpec, Sink, SinkCallback,
    SinkFactory,
};
use tokio::sync::watch;

/// Opens the sinks of type `gate`; copies share them.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    open: watch::Sender<bool>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Gate {
    /// A closed one, known to the registry.
    pub(super) fn register(context: &mut EventFluxContext) -> Self {
        let gate = Self { open: watch::Sender::new(false), taken: Arc::default() };
        context.add_sink_factory(gate.clone());
        gate
    }

    pub(super) fn open(&self) {
        self.open.send_replace(true);
    }

    /// What has come through.
    pub(super) fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }
}

impl SinkFactory for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn doc(&self) -> &'static str {
        "Takes nothing until it is opened."
    }

    fn supported_formats(&self) -> &'static [&'static str] {
        &["json"]
    }

    fn properties(&self) -> &'static [PropertySpec] {
        &[]
    }

    fn create_initialized(&self, _: &Properties, _: &ConnectorContext) -> Result<Box<dyn Sink>, EventFluxError> {
        Ok(Box::new(self.clone()))
    }
}

impl Sink for Gate {
    fn start(&self, _: Arc<dyn SinkCallback>) -> Result<(), EventFluxError> {
        Ok(())
    }

    fn publish(&self, payload: &[u8]) -> Result<(), EventFluxError> {
        self.taken.lock().unwrap().push(String::from_utf8_lossy(payload).into_owned());
        Ok(())
    }

    fn is_ready(&self) -> bool {
        *self.open.borrow()
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // The sender lives in self.
            let _ = self.open.subscribe().wait_for(|open| *open).await;
        })
    }

    fn stop(&self, _: Duration) -> u64 {
        0
    }

    fn clone_box(&self) -> Box<dyn Sink> {
        Box::new(self.clone())
    }
}
