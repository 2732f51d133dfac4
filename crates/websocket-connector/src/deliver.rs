//! Handing received messages to the pipeline: decompressed when asked, in order, bad ones to the error strategy.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use eventflux_core::{EventFluxError, MessageMetadata, SourceCallback};
use eventflux_websocket_wire::Batch;

use crate::compression::Inflate;

/// Where a source's messages go.
pub(crate) struct Delivery {
    callback: Arc<dyn SourceCallback>,
    inflate: Option<Inflate>,
    inflated: Vec<Bytes>,
}

impl Delivery {
    /// Delivers to `callback`; binary messages are decompressed first when `inflate` is given.
    pub(crate) fn new(callback: Arc<dyn SourceCallback>, inflate: Option<Inflate>) -> Self {
        Self { callback, inflate, inflated: Vec::new() }
    }

    /// The pipeline.
    #[inline]
    pub(crate) fn callback(&self) -> &Arc<dyn SourceCallback> {
        &self.callback
    }

    /// Hands a batch over, as one delivery unless a message in it is bad; all messages have the same metadata.
    ///
    /// # Errors
    /// What the pipeline answered: deliver nothing more.
    #[inline]
    pub(crate) fn deliver(&mut self, batch: &Batch, metadata: Option<&MessageMetadata>) -> Result<(), EventFluxError> {
        match self.inflate {
            Some(inflate) if !batch.binary.is_empty() => self.deliver_inflated(inflate, batch, metadata),
            _ if batch.messages.is_empty() => Ok(()),
            _ => pass(&*self.callback, &batch.messages, metadata),
        }
    }

    fn deliver_inflated(
        &mut self,
        inflate: Inflate,
        batch: &Batch,
        metadata: Option<&MessageMetadata>,
    ) -> Result<(), EventFluxError> {
        let mut binary = batch.binary.iter().copied().peekable();
        for (index, message) in batch.messages.iter().enumerate() {
            if binary.next_if_eq(&index).is_none() {
                self.inflated.push(message.clone());
                continue;
            }
            match inflate.inflate(message) {
                Ok(inflated) => self.inflated.push(inflated),
                Err(error) => {
                    self.hand_over(metadata)?;
                    self.callback.on_error(error, message)?;
                }
            }
        }
        self.hand_over(metadata)
    }

    fn hand_over(&mut self, metadata: Option<&MessageMetadata>) -> Result<(), EventFluxError> {
        if self.inflated.is_empty() {
            return Ok(());
        }
        let result = pass(&*self.callback, &self.inflated, metadata);
        self.inflated.clear();
        result
    }
}

#[inline]
fn pass(
    callback: &dyn SourceCallback,
    messages: &[Bytes],
    metadata: Option<&MessageMetadata>,
) -> Result<(), EventFluxError> {
    match metadata {
        None => callback.on_batch(messages),
        // Copies share it.
        Some(metadata) => callback.on_batch_with(messages, &vec![metadata.clone(); messages.len()]),
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("inflate", &self.inflate).finish_non_exhaustive()
    }
}
