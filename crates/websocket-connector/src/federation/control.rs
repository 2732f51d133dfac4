//! A sink whose events are requests to peers, or replies to theirs.

use std::sync::Arc;

use eventflux_core::{ConnectorContext, EncodedBatch, EventFluxError, RowFailure, Template};
use eventflux_federation::health::Mode;
use eventflux_federation::{ReplyError, Request, RequestError, Status, To};

use super::{ControlConfig, Observed, Place};

/// See the module.
#[derive(Debug)]
pub(crate) struct ControlFlow {
    place: Arc<Place>,
    config: ControlConfig,
    context: ConnectorContext,
}

impl ControlFlow {
    pub(crate) fn new(place: &Arc<Place>, config: &ControlConfig, context: ConnectorContext) -> Self {
        place.begin();
        Self { place: place.clone(), config: config.clone(), context }
    }

    /// Shows it until what this returns is dropped.
    pub(super) fn observed(&self, mode: Mode) -> Observed {
        Observed::control(&self.place, mode, &self.context)
    }

    /// Asks or answers, at most once for each payload.
    ///
    /// # Errors
    /// The first that cannot be sent; those behind it are not tried.
    pub(crate) fn publish(&self, batch: &EncodedBatch) -> Result<(), RowFailure> {
        (0..batch.len()).try_for_each(|row| {
            let sent = match &self.config {
                ControlConfig::Requests { method, to, correlation } => self.ask(batch, row, method, to, correlation),
                ControlConfig::Replies { request, status } => self.answer(batch, row, request, status),
            };
            sent.map_err(|error| RowFailure { row, error })
        })
    }

    fn ask(
        &self,
        batch: &EncodedBatch,
        row: usize,
        method: &Template,
        to: &Option<Template>,
        correlation: &Option<Template>,
    ) -> Result<(), EventFluxError> {
        let to = to.as_ref().map(|to| to.text(batch, row));
        let stream = self.context.stream.clone();
        let request = Request {
            method: method.text(batch, row).to_owned(),
            params: batch.shared(row),
            timeout: None,
            correlation: correlation.as_ref().map(|correlation| correlation.text(batch, row).into()),
            // What became of it goes to the sources that accept replies, and is counted.
            then: Arc::new(move |reply| {
                if let Err(failure) = &reply.outcome {
                    log::warn!(
                        "[{stream}] request '{}' to {}: {failure}",
                        reply.method.escape_debug(),
                        reply.connection
                    );
                }
            }),
        };
        let asked = self.place.federation().request(to.map_or(To::All, To::Connection), request);
        asked.map(drop).map_err(|error| {
            let retryable = matches!(error, RequestError::NotConnected | RequestError::Busy);
            EventFluxError::Send { reason: error.to_string(), retryable }
        })
    }

    fn answer(
        &self,
        batch: &EncodedBatch,
        row: usize,
        request: &Template,
        status: &Template,
    ) -> Result<(), EventFluxError> {
        let status = if status.text(batch, row) == "ok" { Status::Ok } else { Status::Error };
        let replied = self.place.federation().reply(request.text(batch, row), status, &batch.shared(row));
        replied.map_err(|error: ReplyError| EventFluxError::Send { reason: error.to_string(), retryable: false })
    }
}
