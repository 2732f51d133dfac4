//! What servers that are away have not acknowledged goes to others.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use eventflux_core::metrics::{Counter, Metrics};
use eventflux_core::runtime::StopSignal;
use eventflux_federation::{Now, Outlet, Transfer};
use tokio::sync::watch;
use tokio::time::sleep;

use super::super::client::THE_RECEIVER;

/// How often it is looked for a server that is there, while none is.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

const TAKEN_OVER: &str = "eventflux_federation_taken_over_total";

/// One of the servers of a pool.
#[derive(Debug, Clone)]
pub(super) struct Server {
    /// Without what may be secret.
    pub(super) endpoint: Arc<str>,
    pub(super) outlet: Arc<Outlet>,
    pub(super) up: watch::Receiver<bool>,
}

/// Sees to one server of a pool.
pub(super) struct Takeover {
    /// Of which is seen to.
    pub(super) index: usize,
    pub(super) servers: Vec<Server>,
    /// How long it may be away.
    pub(super) patience: Duration,
    pub(super) counter: Counter,
}

/// Events that went to another server than first intended.
pub(super) fn counter(metrics: &Metrics, stream: &str) -> Counter {
    metrics.describe(
        TAKEN_OVER,
        "Events that went to another server, because theirs was away; some may have got there before.",
    );
    metrics.counter(TAKEN_OVER, &[("stream", stream)])
}

impl Server {
    pub(super) fn is_up(&self) -> bool {
        *self.up.borrow()
    }
}

impl Takeover {
    /// Goes on until it is told to stop, or the connection is closed for good.
    pub(super) async fn run(self, signal: StopSignal) {
        tokio::select! {
            () = signal.stopped() => {}
            () = self.watch() => {}
        }
    }

    async fn watch(&self) {
        let mut up = self.servers[self.index].up.clone();
        loop {
            // An error says that there will be no connection any more.
            if up.wait_for(|up| !up).await.is_err() {
                return;
            }
            tokio::select! {
                // Who is back is not to be stood in for.
                biased;
                Ok(_) = up.wait_for(|up| *up) => {}
                () = self.absent() => {}
            }
        }
    }

    /// Its server is away. Goes on until it is back, or the one that stands in for it has gone.
    async fn absent(&self) {
        sleep(self.patience).await;
        let server = &self.servers[self.index];
        while server.outlet.unacknowledged() > 0 {
            let Some(other) = self.stand_in() else {
                sleep(LOOK_INTERVAL).await;
                continue;
            };
            let Some(mut transfer) = Transfer::new(&server.outlet, &other.outlet, THE_RECEIVER, Now::read()) else {
                return;
            };
            log::warn!("{} is away; what it has not acknowledged goes to {}", server.endpoint, other.endpoint);
            let mut up = other.up.clone();
            let mut counted = 0;
            tokio::select! {
                () = poll_fn(|cx| {
                    let polled = transfer.poll(cx, Now::read());
                    self.counter.add(transfer.transferred() - counted);
                    counted = transfer.transferred();
                    polled
                }) => return,
                _ = up.wait_for(|up| !up) => {}
            }
        }
        // Nothing of it waits, and nothing more comes while it is away, unless all are.
        sleep(LOOK_INTERVAL).await;
    }

    /// Another one that is there: that which has the least to acknowledge.
    fn stand_in(&self) -> Option<&Server> {
        let others = self.servers.iter().enumerate().filter(|(index, server)| *index != self.index && server.is_up());
        others.map(|(_, server)| server).min_by_key(|server| server.outlet.unacknowledged())
    }
}
