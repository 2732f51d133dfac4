//! A sink whose events go to several servers, each to one.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use eventflux_core::runtime::{self, StopSignal};
use eventflux_core::{BoxFuture, ConnectorContext, EncodedBatch, EventFluxError, RowFailure, SinkCallback, Template};
use eventflux_federation::health::Mode;
use futures_util::future::{select_all, try_join_all};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Share;
use super::takeover::{self, Server, Takeover};
use crate::federation::{ClientMember, Observed, Outflow, OutflowConfig};

/// Time for what is left of each server while the sink stops, however much the others have taken.
const LAST_CHANCE: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Debug)]
pub(in super::super) struct Balance {
    parts: Vec<Part>,
    share: Share,
    context: ConnectorContext,
    /// Ends what sees to servers that are away.
    stop: watch::Sender<bool>,
}

/// One server.
#[derive(Debug)]
struct Part {
    outflow: Outflow,
    server: Server,
    _observed: Observed,
}

impl Balance {
    /// # Errors
    /// Those of [`Outflow::start`].
    pub(in super::super) fn start(
        members: &[ClientMember],
        share: &Share,
        config: &OutflowConfig,
        context: ConnectorContext,
        callback: &Arc<dyn SinkCallback>,
    ) -> Result<Self, EventFluxError> {
        let part = |member: &ClientMember| Part::start(member, config, &context, callback.clone());
        let parts = members.iter().map(part).collect::<Result<Vec<_>, _>>()?;
        let (stop, signal) = StopSignal::new();
        if let Share::Least(patience) = share {
            let servers: Vec<_> = parts.iter().map(|part| part.server.clone()).collect();
            let counter = takeover::counter(&context.registry, &context.stream);
            for index in 0..servers.len() {
                let (servers, counter) = (servers.clone(), counter.clone());
                let takeover = Takeover { index, servers, patience: *patience, counter };
                runtime::shared()?.spawn(takeover.run(signal.clone()));
            }
        }
        Ok(Self { parts, share: share.clone(), context, stop })
    }

    /// Publishes payloads.
    ///
    /// # Errors
    /// The first that cannot be sent; those before it are published.
    pub(in super::super) fn publish(&self, batch: &EncodedBatch) -> Result<(), RowFailure> {
        if let Some(error) = self.parts.iter().find_map(|part| part.outflow.failure()) {
            return Err(RowFailure { row: 0, error });
        }
        // All of them take the same payloads.
        let bad = self.parts.first().and_then(|part| part.outflow.first_bad(batch));
        let good = bad.as_ref().map_or(batch.len(), |failure| failure.row);
        match &self.share {
            Share::Least(_) => {
                if let Some(part) = self.least() {
                    part.outflow.append((0..good).map(|row| batch.payload(row)));
                }
            }
            Share::Key(key) => self.publish_by_key(batch, good, key),
        }
        self.context.metrics.queue_bytes.set(self.parts.iter().map(|part| part.server.outlet.bytes() as u64).sum());
        bad.map_or(Ok(()), Err)
    }

    fn publish_by_key(&self, batch: &EncodedBatch, good: usize, key: &Template) {
        let count = self.parts.len() as u64;
        let of: Vec<_> = (0..good).map(|row| (hash(key.text(batch, row)) % count) as usize).collect();
        for (index, part) in self.parts.iter().enumerate() {
            let rows = (0..good).filter(|row| of[*row] == index);
            if rows.clone().next().is_some() {
                part.outflow.append(rows.map(|row| batch.payload(row)));
            }
        }
    }

    /// The one that gets the next events: of those that are connected, or else of all, that with room and the least to
    /// acknowledge.
    fn least(&self) -> Option<&Part> {
        let someone = self.parts.iter().any(|part| part.server.is_up());
        let candidates = self.parts.iter().filter(|part| !someone || part.server.is_up());
        candidates.min_by_key(|part| (!part.outflow.is_ready(), part.server.outlet.unacknowledged()))
    }

    /// Whether there is room for more.
    pub(in super::super) fn is_ready(&self) -> bool {
        match &self.share {
            Share::Least(_) => self.least().is_none_or(|part| part.outflow.is_ready()),
            // Whose event comes next is not known.
            Share::Key(_) => self.parts.iter().all(|part| part.outflow.is_ready()),
        }
    }

    /// Resolves when there is room, or the sink is stopped.
    pub(in super::super) async fn ready(&self) {
        let mut ups: Vec<_> = self.parts.iter().map(|part| part.server.up.clone()).collect();
        loop {
            ups.iter_mut().for_each(|up| drop(up.borrow_and_update()));
            let room = poll_fn(|cx| {
                self.parts.iter().for_each(|part| part.server.outlet.register_room(cx.waker()));
                if self.is_ready() { Poll::Ready(()) } else { Poll::Pending }
            });
            tokio::select! {
                () = room => return,
                // Another one may be the least now.
                _ = select_all(ups.iter_mut().map(|up| Box::pin(up.changed()))) => {}
            }
        }
    }

    /// Resolves when everything published so far is stored, or acknowledged, by whichever server.
    pub(in super::super) fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        let settled = try_join_all(self.parts.iter().map(|part| part.outflow.settled()));
        Box::pin(async move { settled.await.map(drop) })
    }

    /// Waits until everything is stored, or sent to who is connected; returns the events that are neither. What was going
    /// from one server to another counts at both.
    pub(in super::super) fn stop(&self, deadline: Duration) -> u64 {
        self.stop.send_replace(true);
        let by = Instant::now() + deadline;
        let left = |part: &Part| part.outflow.stop(by.saturating_duration_since(Instant::now()).max(LAST_CHANCE));
        let undelivered = self.parts.iter().map(left).sum();
        self.context.metrics.queue_bytes.set(0);
        undelivered
    }
}

impl Part {
    fn start(
        member: &ClientMember,
        config: &OutflowConfig,
        context: &ConnectorContext,
        callback: Arc<dyn SinkCallback>,
    ) -> Result<Self, EventFluxError> {
        let endpoint = member.endpoint();
        let mut config = config.clone();
        if config.outlet.stream.is_empty() {
            config.outlet.stream.clone_from(&context.stream);
        }
        if let Some(spool) = &mut config.spool {
            // Each has numbers, and receivers, of its own.
            spool.directory.push(utf8_percent_encode(&endpoint, NON_ALPHANUMERIC).to_string());
        }
        let own = member.context().unwrap_or_else(|| context.clone());
        let outflow = Outflow::start(member.place(), &config, own, callback)?;
        let server = Server { endpoint: endpoint.into(), outlet: outflow.outlet().clone(), up: member.watch() };
        Ok(Self { _observed: outflow.observed(Mode::Client), outflow, server })
    }
}

/// FNV-1a: the same for all versions and machines, so that a key stays where it is.
fn hash(key: &str) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    key.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_where_they_are() {
        // The values that the algorithm's authors print.
        assert_eq!(
            (hash(""), hash("a"), hash("foobar")),
            (0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c, 0x8594_4171_f739_67e8)
        );
    }

    #[test]
    fn keys_are_spread() {
        let mut counts = [0; 3];
        (0..3_000).for_each(|key| counts[(hash(&format!("device-{key}")) % 3) as usize] += 1);
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
    }
}
