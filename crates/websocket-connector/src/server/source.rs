//! A server source: takes messages from every client of its path, and delivers them from a thread of its own.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use eventflux_core::health::ConnectionState;
use eventflux_core::runtime::{SourceWorker, StopSignal};
use eventflux_core::{BoundMetadata, ConnectorContext, EventFluxError, MessageMetadata, SourceCallback};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::ServerConfig;
use super::declarations::Declaration;
use super::endpoint::{Inbox, Item, Member};
use super::metadata::{self, METADATA};
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
        declaration: &Declaration,
        config: &WebSocketSourceConfig,
        context: ConnectorContext,
        callback: Arc<dyn SourceCallback>,
    ) -> Result<Self, EventFluxError> {
        let (inbox, items) = mpsc::channel(INBOX_BATCHES);
        let inbox = Inbox { items: inbox, accepts: Arc::new(config.accepts.clone()) };
        let member = Member { context: context.clone(), inbox: Some(inbox) };
        let attachment = registry.attach(server, declaration, member)?;
        attachment.show(&context.health);
        log::info!("[{}] takes messages at {}", context.stream, attachment.url());
        let stop_by = Arc::<OnceLock<Instant>>::default();
        let task = (stop_by.clone(), config.inflate);
        let worker = SourceWorker::spawn(&format!("ws-{}", context.stream), callback, move |signal, callback| {
            let (stop_by, inflate) = task;
            let receiver = Receiver { delivery: Delivery::new(callback, inflate), bound: context.metadata.clone() };
            run(items, receiver, signal, stop_by, context)
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
    mut delivery: Receiver,
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
    delivery: &mut Receiver,
    signal: &StopSignal,
    stop_by: &OnceLock<Instant>,
) -> Result<(), EventFluxError> {
    let callback = delivery.callback().clone();
    let mut held = None;
    loop {
        let is_ready = callback.is_ready();
        if is_ready && let Some(item) = held.take() {
            delivery.hand_over(item)?;
            continue;
        }
        tokio::select! {
            biased;
            () = signal.stopped() => break,
            () = callback.ready(), if !is_ready => {}
            // The pipeline may have become full while nothing came, so what comes is held until it is looked at again.
            item = items.recv(), if is_ready => match item {
                Some(item) => held = Some(item),
                None => return Ok(()),
            },
        }
    }
    items.close();
    let by = stop_by.get().copied().unwrap_or_else(Instant::now);
    // Whoever has been promised room for a message by now still gets it.
    loop {
        let next = match held.take() {
            Some(item) => Some(item),
            None => timeout_at(by, items.recv()).await.ok().flatten().or_else(|| items.try_recv().ok()),
        };
        let Some(item) = next else { break };
        if !callback.is_ready() && timeout_at(by, callback.ready()).await.is_err() {
            break;
        }
        delivery.hand_over(item)?;
    }
    Ok(())
}

/// Hands what was received to the pipeline, with the metadata that columns are bound to.
struct Receiver {
    delivery: Delivery,
    bound: BoundMetadata,
}

impl Receiver {
    fn callback(&self) -> &Arc<dyn SourceCallback> {
        self.delivery.callback()
    }

    fn hand_over(&mut self, item: Item) -> Result<(), EventFluxError> {
        match item {
            Item::Messages(batch, _) if self.bound.is_empty() => self.delivery.deliver(&batch, None),
            Item::Messages(batch, sender) => {
                let metadata = MessageMetadata::new(METADATA, metadata::of_payload(&sender));
                self.delivery.deliver(&batch, Some(&metadata))
            }
            Item::Inbound(messages, _) if self.bound.is_empty() => {
                let payloads: Vec<_> = messages.iter().map(|message| message.payload.clone()).collect();
                self.callback().on_batch(&payloads)
            }
            Item::Inbound(messages, sender) => {
                let payloads: Vec<_> = messages.iter().map(|message| message.payload.clone()).collect();
                let of = |message| MessageMetadata::new(METADATA, metadata::of_message(message, &sender));
                let metadata: Vec<_> = messages.iter().map(of).collect();
                self.callback().on_batch_with(&payloads, &metadata)
            }
            Item::Bad(error) => self.callback().on_error(error, &[]),
        }
    }
}
