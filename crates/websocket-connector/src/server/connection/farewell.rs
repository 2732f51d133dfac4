//! The end of a connection: what is left goes where it belongs, and the client hears why.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use eventflux_core::EventFluxError;
use eventflux_gateway::{Effect, Ending};
use eventflux_websocket_wire::{Connection, Disconnect, Progress};
use tokio::time::Instant;

use super::super::endpoint::Item;
use crate::net::stream::ByteStream;

use super::driver::{CHUNK_BYTES, Driver, End};

/// How long sources may take to accept what is left of a connection that is over.
const REPORT_LIMIT: Duration = Duration::from_secs(2);

/// How long what was said last may take before the goodbye.
const FAREWELL_LIMIT: Duration = Duration::from_millis(500);

impl Driver {
    /// Says goodbye as it befits the end.
    pub(super) async fn finish(self: Pin<Box<Self>>, end: End) {
        let name = self.name();
        let mut driver = *Pin::into_inner(self);
        driver.leave().await;
        let goodbye_by = Instant::now() + driver.seat.config().close_timeout;
        let (code, reason, by) = match end {
            End::Ended(Ending::GoingAway) => {
                let by = driver.seat.endpoint().stop_by().map_or(goodbye_by, |by| by.min(goodbye_by));
                (1001, "going away".to_owned(), by)
            }
            End::Ended(ending) => {
                log::warn!("{name} closed: {}", ending.reason());
                (ending.code(), ending.reason().to_owned(), goodbye_by)
            }
            End::Unlinked(ending) => {
                log::warn!("{name} closed: {ending}");
                (ending.code, ending.reason, goodbye_by)
            }
            End::Dead(reason) => {
                log::info!("{name} dropped: {reason}");
                driver.seat.count_violation(None);
                driver.disconnected();
                return;
            }
            End::Evicted(reason) => {
                log::warn!("{name} closed: {reason}");
                (1008, reason.to_owned(), goodbye_by)
            }
            End::Disconnected(disconnect) => {
                log::info!("{name}: {}", disconnect.describe());
                driver.report(&disconnect).await;
                match disconnect {
                    Disconnect::Lost(_) => return driver.disconnected(),
                    Disconnect::Closed { .. } => (1000, String::new(), goodbye_by),
                    Disconnect::Violation { code, reason } => (code, reason, goodbye_by),
                }
            }
        };
        // 1012: for a reason of ours.
        if !matches!(code, 1000 | 1001 | 1012) {
            driver.seat.count_violation(Some(code));
        }
        driver.conclude();
        let Self { connection, session, seat, side, .. } = driver;
        if let Some(mut side) = side {
            side.disconnected();
        }
        let flush_by = Instant::now() + FAREWELL_LIMIT.min(by.saturating_duration_since(Instant::now()));
        // Out of the hub before the goodbye: who does not answer it takes nobody's place.
        drop(session);
        close(connection, (code, &reason), flush_by, by).await;
        drop(seat);
    }

    /// Ends the subscriptions, which the sources may want to hear of, behind what they have yet to take.
    pub(super) async fn leave(&mut self) {
        self.hand_over().await;
        self.session.leave(std::time::Instant::now());
        let mut inbound = Vec::new();
        while let Some(effect) = self.session.next_effect() {
            if let Effect::Deliver(message) = effect {
                inbound.push(message);
            }
        }
        self.pass_inbound(inbound);
        self.hand_over().await;
    }

    /// Whoever waits for a reply of the peer hears that there will be none.
    fn disconnected(&mut self) {
        if let Some(side) = &mut self.side {
            side.disconnected();
        }
    }

    /// What has been taken of a link is acknowledged before the goodbye.
    fn conclude(&mut self) {
        if let Some(side) = &mut self.side {
            side.conclude();
            let connection = &mut self.connection;
            let _ = side.transmit(CHUNK_BYTES, |message| connection.queue(message));
        }
    }

    /// Waits until the sources have taken what waits for them, but not for ever.
    pub(super) async fn hand_over(&mut self) {
        let taken = poll_fn(|cx| {
            self.poll_handing_over(cx);
            if self.waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        });
        let _ = tokio::time::timeout(REPORT_LIMIT, taken).await;
    }

    /// A message that never became one goes to the sources' error strategies.
    pub(super) async fn report(&mut self, disconnect: &Disconnect) {
        let Disconnect::Violation { code: 1007 | 1009, .. } = disconnect else {
            return;
        };
        let error = EventFluxError::mapping(None, disconnect.describe());
        for inbox in self.seat.endpoint().inboxes().iter() {
            let _ = tokio::time::timeout(REPORT_LIMIT, inbox.items.send(Item::Bad(error.clone()))).await;
        }
    }
}

/// Sends what is queued, the reason for the end perhaps, and says goodbye.
async fn close(mut connection: Connection<ByteStream>, (code, reason): (u16, &str), flush_by: Instant, by: Instant) {
    if connection.has_unsent() {
        let flush = async {
            while let Ok(progress) = connection.drive(None).await {
                if progress == Progress::Flushed {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout_at(flush_by, flush).await;
    }
    connection.close(code, reason, by).await;
}
