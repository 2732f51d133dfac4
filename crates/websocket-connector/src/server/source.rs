//! A server source: takes messages from every client of its path, and delivers them from a thread of its own.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use eventflux_core::health::ConnectionState;
use eventflux_core::runtime::{SourceWorker, StopSignal};
use eventflux_core::{ConnectorContext, EventFluxError, SourceCallback};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::ServerConfig;
use super::endpoint::{Item, User};
use super::registry::{Attachment, Registry};
use crate::config::WebSocketSourceConfig;
use crate::deliver::Delivery;

/// Batches that wait for the pipeline before clients are read no further. A batch is what one look at one client's
/// socket brought.
const INBOX_BATCHES: usize = 16;

/// A source that listens; started.
#[derive(Debug)]
pub(crate) struct ServerSource {
    attachment: Attachment,
    worker: SourceWorker,
    stop_by: Arc<OnceLock<Instant>>,
}

impl ServerSource {
    /// Listens, and starts to deliver.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when the address cannot be bound.
    pub(crate) fn start(
        registry: &Arc<Registry>,
        server: &ServerConfig,
        config: &WebSocketSourceConfig,
        context: ConnectorContext,
        callback: Arc<dyn SourceCallback>,
    ) -> Result<Self, EventFluxError> {
        let (inbox, items) = mpsc::channel(INBOX_BATCHES);
        let user = User {
            connection: config.connection,
            admission: Arc::new(server.admission.clone()),
            max_connections: server.max_connections,
            max_connections_per_address: server.max_connections_per_address,
            metrics: context.registry.clone(),
            connections: context.metrics.connections.clone(),
            inbox: Some(inbox),
        };
        let attachment = registry.attach(server, user)?;
        context.health.set(ConnectionState::Listening, attachment.url());
        log::info!("[{}] takes messages at {}", context.stream, attachment.url());
        let stop_by = Arc::<OnceLock<Instant>>::default();
        let task = (stop_by.clone(), config.inflate);
        let worker = SourceWorker::spawn(&format!("ws-{}", context.stream), callback, move |signal, callback| {
            let (stop_by, inflate) = task;
            run(items, Delivery::new(callback, inflate), signal, stop_by, context)
        });
        match worker {
            Ok(worker) => Ok(Self { attachment, worker, stop_by }),
            Err(error) => {
                attachment.detach(Instant::now());
                Err(error)
            }
        }
    }

    /// Delivers what was received, and leaves the path.
    pub(crate) fn stop(&self, deadline: Duration) {
        let by = Instant::now() + deadline;
        let _ = self.stop_by.set(Instant::now() + deadline / 2);
        self.worker.stop(deadline);
        self.attachment.detach(by);
    }
}

async fn run(
    mut items: mpsc::Receiver<Item>,
    mut delivery: Delivery,
    signal: StopSignal,
    stop_by: Arc<OnceLock<Instant>>,
    context: ConnectorContext,
) -> Result<(), EventFluxError> {
    let result = deliver(&mut items, &mut delivery, &signal, &stop_by).await;
    match &result {
        Ok(()) => context.health.set(ConnectionState::Stopped, None),
        Err(error) => context.health.set(ConnectionState::Failed, error.to_string()),
    }
    result
}

async fn deliver(
    items: &mut mpsc::Receiver<Item>,
    delivery: &mut Delivery,
    signal: &StopSignal,
    stop_by: &OnceLock<Instant>,
) -> Result<(), EventFluxError> {
    loop {
        let callback = delivery.callback().clone();
        tokio::select! {
            biased;
            () = signal.stopped() => break,
            () = callback.ready(), if !callback.is_ready() => continue,
            item = items.recv(), if callback.is_ready() => match item {
                Some(item) => hand_over(delivery, item)?,
                None => return Ok(()),
            },
        }
    }
    items.close();
    let by = stop_by.get().copied().unwrap_or_else(Instant::now);
    while let Ok(item) = items.try_recv() {
        let callback = delivery.callback().clone();
        if !callback.is_ready() && timeout_at(by, callback.ready()).await.is_err() {
            break;
        }
        hand_over(delivery, item)?;
    }
    Ok(())
}

fn hand_over(delivery: &mut Delivery, item: Item) -> Result<(), EventFluxError> {
    match item {
        Item::Messages(batch) => delivery.deliver(&batch),
        Item::Bad(error) => delivery.callback().on_error(error, &[]),
    }
}
