//! The one task that calls the listener.

use std::sync::Arc;

use bytes::Bytes;
use eventflux_core::EventFluxError;
use tokio::sync::mpsc;

use super::Listener;
use super::shared::Shared;
use crate::publisher::Outcome;

/// Most lots that wait for the listener; a lot is what was read at once, and no larger than what a reader asks for.
const MAX_LOTS: usize = 8;

/// Something to tell the listener.
#[derive(Debug)]
pub(super) enum Told {
    /// The log begins: its epoch, and the last number that is gone.
    Begin(String, u64),
    /// An entry and its number.
    Entry(u64, Bytes),
    /// The past is over.
    CaughtUp,
    /// What became of an entry of ours.
    Outcome(Outcome),
    /// What another process says: of what, who, and the value.
    Present(String, String, Option<Bytes>),
}

/// See the module.
pub(super) struct Teller {
    listener: Arc<dyn Listener>,
    shared: Arc<Shared>,
    lots: mpsc::Receiver<Vec<Told>>,
}

impl Teller {
    pub(super) fn new(listener: Arc<dyn Listener>, shared: Arc<Shared>) -> (mpsc::Sender<Vec<Told>>, Self) {
        let (tell, lots) = mpsc::channel(MAX_LOTS);
        (tell, Self { listener, shared, lots })
    }

    /// Ends when nobody has anything to tell any more.
    pub(super) async fn run(mut self) -> Self {
        while let Some(lot) = self.lots.recv().await {
            let outcome = lot.iter().rev().find_map(Told::number);
            for told in lot {
                self.tell(told);
            }
            if let Some(number) = outcome {
                self.shared.settle(number);
            }
            // Others of the runtime have their turn, however much there is to tell.
            tokio::task::yield_now().await;
        }
        self
    }

    /// After the end: what had no outcome has failed.
    pub(super) fn fail_rest(&self, error: &EventFluxError) {
        for number in self.shared.unsettled() {
            self.listener.failed(number, error.clone());
            self.shared.settle(number);
        }
    }

    fn tell(&self, told: Told) {
        match told {
            Told::Begin(epoch, before) => self.listener.begin(&epoch, before),
            Told::Entry(sequence, payload) => self.listener.entry(sequence, &payload),
            Told::CaughtUp => self.listener.caught_up(),
            Told::Outcome(Outcome::Stored { number, .. }) => self.listener.stored(number),
            Told::Outcome(Outcome::Failed { number, error }) => self.listener.failed(number, error),
            Told::Present(key, instance, value) => self.listener.present(&key, &instance, value.as_ref()),
        }
    }
}

impl Told {
    /// The number of the entry of ours of which it tells the outcome.
    fn number(&self) -> Option<u64> {
        match self {
            Self::Outcome(Outcome::Stored { number, .. } | Outcome::Failed { number, .. }) => Some(*number),
            _ => None,
        }
    }
}
