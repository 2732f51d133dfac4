//! A source of links: takes what its inlet has, delivers it from a thread of its own, and says when it has been taken.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::health::ConnectionState;
use eventflux_core::runtime::{SourceWorker, StopSignal};
use eventflux_core::{BoundMetadata, BoxFuture, ConnectorContext, EventFluxError, SourceCallback};
use eventflux_federation::{Arrival, Receipt};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::time::{Instant, timeout_at};

use super::{Delivered, Inlet, metadata};

/// Deliveries that wait to be settled at most; then nothing more is delivered.
const MAX_SETTLING: usize = 1_024;

/// What becomes of receipts, in order.
type Settling = FuturesOrdered<BoxFuture<'static, Result<(), EventFluxError>>>;

/// See the module.
#[derive(Debug)]
pub(crate) struct FederatedSource {
    inlet: Arc<Inlet>,
    worker: SourceWorker,
    stop_by: Arc<OnceLock<Instant>>,
}

impl FederatedSource {
    /// Starts to deliver what the inlet has.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub(crate) fn start(inlet: Arc<Inlet>, callback: Arc<dyn SourceCallback>) -> Result<Self, EventFluxError> {
        let stop_by = Arc::<OnceLock<Instant>>::default();
        let (taken, by) = (inlet.clone(), stop_by.clone());
        let name = format!("ws-{}", inlet.context().stream);
        let worker = SourceWorker::spawn(&name, callback, move |signal, callback| async move {
            let context = taken.context().clone();
            let bound = context.metadata.clone();
            let mut delivery = Delivery { inlet: taken, callback, bound, settling: Settling::new() };
            let result = delivery.run(&signal, &by).await;
            delivery.inlet.close();
            report(&context, &result);
            result
        })?;
        Ok(Self { inlet, worker, stop_by })
    }

    /// Delivers what was received, and ends.
    pub(crate) fn stop(&self, deadline: Duration) {
        let _ = self.stop_by.set(Instant::now() + deadline);
        self.worker.stop(deadline);
        self.inlet.close();
    }
}

fn report(context: &ConnectorContext, result: &Result<(), EventFluxError>) {
    match result {
        Ok(()) => context.health.set(ConnectionState::Stopped, None),
        Err(error) => context.health.set(ConnectionState::Failed, error.to_string()),
    }
}

struct Delivery {
    inlet: Arc<Inlet>,
    callback: Arc<dyn SourceCallback>,
    bound: BoundMetadata,
    settling: Settling,
}

impl Delivery {
    async fn run(&mut self, signal: &StopSignal, stop_by: &OnceLock<Instant>) -> Result<(), EventFluxError> {
        let (callback, inlet) = (self.callback.clone(), self.inlet.clone());
        loop {
            let is_ready = callback.is_ready() && self.settling.len() < MAX_SETTLING;
            tokio::select! {
                biased;
                () = signal.stopped() => break,
                Some(settled) = self.settling.next(), if !self.settling.is_empty() => settled?,
                () = callback.ready(), if !is_ready && self.settling.len() < MAX_SETTLING => {}
                item = inlet.next(), if is_ready => match item {
                    Some(item) => self.hand_over(item)?,
                    None => return inlet.ending(),
                },
            }
        }
        inlet.close();
        self.drain(stop_by.get().copied().unwrap_or_else(Instant::now)).await
    }

    /// What has been received is delivered, and settled as far as there is time.
    async fn drain(&mut self, by: Instant) -> Result<(), EventFluxError> {
        while let Some(item) = self.inlet.try_next() {
            if !self.callback.is_ready() && timeout_at(by, self.callback.ready()).await.is_err() {
                break;
            }
            self.hand_over(item)?;
        }
        while let Ok(Some(settled)) = timeout_at(by, self.settling.next()).await {
            settled?;
        }
        Ok(())
    }

    fn hand_over(&mut self, mut item: Delivered) -> Result<(), EventFluxError> {
        let mut payloads = Vec::with_capacity(item.left().len());
        let mut metadata = Vec::new();
        for arrival in item.left() {
            match arrival {
                Arrival::Message { payload, .. } => {
                    payloads.push(payload.clone());
                    if !self.bound.is_empty() {
                        metadata.push(metadata::of(&item, arrival));
                    }
                }
                Arrival::Malformed(message, malformed) => {
                    self.pass(&mut payloads, &mut metadata)?;
                    let reason = format!("no message of federation: {malformed}");
                    self.callback.on_error(EventFluxError::mapping(None, reason), message)?;
                }
            }
        }
        self.pass(&mut payloads, &mut metadata)?;
        if let Some(receipt) = item.receipt.take() {
            self.acknowledge(receipt);
        }
        Ok(())
    }

    fn pass(
        &self,
        payloads: &mut Vec<Bytes>,
        metadata: &mut Vec<eventflux_core::MessageMetadata>,
    ) -> Result<(), EventFluxError> {
        if payloads.is_empty() {
            return Ok(());
        }
        let passed = match self.bound.is_empty() {
            true => self.callback.on_batch(payloads),
            false => self.callback.on_batch_with(payloads, metadata),
        };
        self.inlet.counters().published.add(payloads.len() as u64);
        payloads.clear();
        metadata.clear();
        passed
    }

    fn acknowledge(&mut self, receipt: Receipt) {
        if !self.inlet.config().settled {
            return receipt.taken();
        }
        // The mark is taken now; waiting for it can go on behind later deliveries.
        let settled = self.callback.settled();
        self.settling.push_back(Box::pin(async move {
            settled.await?;
            receipt.taken();
            Ok(())
        }));
    }
}
