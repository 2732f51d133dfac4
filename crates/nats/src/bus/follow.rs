//! Following a stream for as long as the bus lives: whenever the consumer, the stream or the connection was lost, it is
//! opened again.

use std::pin::pin;
use std::time::Duration;

use eventflux_core::backoff::{Backoff, Growth};
use eventflux_core::health::ConnectionState;

use super::pull::{Lost, Puller};
use crate::{Connection, Observer};

/// Pauses between attempts to open a stream: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// Who reads a stream.
pub(super) trait Reader: Send {
    /// What it reads, for logs.
    fn name(&self) -> &str;

    /// Finds the stream, or creates it, and begins to read where it stopped. Dropped when the connection is lost.
    fn open(&mut self) -> impl Future<Output = Result<Puller, Lost>> + Send;

    /// Reads what is next. Dropped when the connection is lost.
    fn read(&mut self, puller: &mut Puller) -> impl Future<Output = Result<(), Lost>> + Send;
}

/// Never ends.
pub(super) async fn follow(connection: Connection, observer: Observer, mut reader: impl Reader) {
    let mut backoff = Backoff::new(RETRY.0, RETRY.1, Growth::Exponential);
    let mut trouble = Trouble { observer, shown: None };
    loop {
        let mut reconnected = pin!(connection.reconnected());
        let attempt = attempt(&mut reader, &mut backoff, &mut trouble);
        let lost = tokio::select! {
            () = &mut reconnected => continue,
            lost = attempt => lost,
        };
        if !connection.is_connected() {
            reconnected.await;
            continue;
        }
        log::debug!("[{}] reads {} again: {}", trouble.observer.stream, reader.name(), lost.0);
        tokio::select! {
            () = reconnected => {}
            () = tokio::time::sleep(backoff.next_equal_jitter()) => {}
        }
    }
}

/// Reads until something is lost.
async fn attempt(reader: &mut impl Reader, backoff: &mut Backoff, trouble: &mut Trouble) -> Lost {
    let mut puller = match reader.open().await {
        Ok(puller) => puller,
        Err(lost) => {
            trouble.show(reader.name(), &lost);
            return lost;
        }
    };
    trouble.clear(reader.name());
    loop {
        if let Err(lost) = reader.read(&mut puller).await {
            return lost;
        }
        backoff.reset();
    }
}

/// Why a stream cannot be read, for as long as it cannot.
struct Trouble {
    observer: Observer,
    /// What is shown, and what was shown before.
    shown: Option<(String, Option<String>)>,
}

impl Trouble {
    fn show(&mut self, name: &str, lost: &Lost) {
        let text = format!("{name} cannot be read: {}; trying again", lost.0);
        let Observer { stream, health, .. } = &self.observer;
        let detail = health.current().detail;
        let known = self.shown.take();
        if known.as_ref().is_none_or(|(shown, _)| *shown != text) {
            log::warn!("[{stream}] {text}");
        }
        let before = match known {
            Some((shown, before)) if detail.as_ref() == Some(&shown) => before,
            _ => detail,
        };
        health.explain(ConnectionState::Connected, text.clone());
        self.shown = Some((text, before));
    }

    fn clear(&mut self, name: &str) {
        let Some((shown, before)) = self.shown.take() else { return };
        log::info!("[{}] {name} can be read again", self.observer.stream);
        if self.observer.health.current().detail.as_ref() == Some(&shown) {
            self.observer.health.explain(ConnectionState::Connected, before);
        }
    }
}
