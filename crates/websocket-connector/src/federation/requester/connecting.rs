//! The connection of a requester, from its beginning to its end.

use std::future::{pending, poll_fn};
use std::sync::Arc;

use eventflux_core::metrics::Metrics;
use eventflux_core::runtime::{self, StopSignal};
use eventflux_core::{ConnectorContext, ConnectorRole, EventFluxError};
use eventflux_federation::{Counters, FederationConfig, FullPolicy, Opening, Reliable, SUBPROTOCOL, Wants};
use eventflux_websocket_wire::Disconnect;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::driver::{Driver, End};
use super::super::renewal::keep_authenticated;
use super::super::{Inlet, InletConfig, Peer, Place, Side};
use super::{Ended, Requester, RequesterOptions};
use crate::client::Connector;
use crate::config::ConnectionConfig;

/// Events that wait to be taken.
const MAX_WAITING: usize = 1_024;

/// What a connection has to bring.
struct Task {
    connector: Connector,
    connection: ConnectionConfig,
    place: Arc<Place>,
    inlet: Arc<Inlet>,
    ended: Arc<Ended>,
}

/// Connects; `follows`: events are wanted, and come to the inlet.
pub(super) async fn connect(
    url: &str,
    options: &RequesterOptions,
    follows: bool,
) -> Result<(Requester, Arc<Inlet>), EventFluxError> {
    let (client, connection) = options.resolve(url)?;
    let link = client.federation.as_ref().map(|settings| settings.link.clone()).unwrap_or_default();
    // Who acknowledges is waited for when he has gone: whoever looks in does not.
    let reliable = if follows { Reliable::Off } else { Reliable::Prefer };
    let name = format!("requester-{}", uuid::Uuid::new_v4().simple());
    let place = Place::new(FederationConfig { name, reliable, ..link }, Counters::default());
    let mut connector = Connector::new(&client, &connection)?;
    if reliable != Reliable::Off {
        connector = connector.offering(SUBPROTOCOL);
    }
    let inlet = inlet();
    if follows {
        place.add_inlet(inlet.clone());
    }
    // Replies are taken from the beginning.
    place.begin();
    let endpoint = connector.endpoint().to_string();
    let ended = Arc::<Ended>::default();
    let (stop, signal) = StopSignal::new();
    let (sender, connected) = oneshot::channel();
    let task = Task { connector, connection, place: place.clone(), inlet: inlet.clone(), ended: ended.clone() };
    runtime::shared()?.spawn(task.run(signal, sender));
    connected.await.unwrap_or(Err(EventFluxError::Stopped))?;
    Ok((Requester { endpoint, place, stop, ended }, inlet))
}

fn inlet() -> Arc<Inlet> {
    let wants = Wants { data: true, ..Wants::default() };
    let config = InletConfig { wants, size: MAX_WAITING, full: FullPolicy::Block, settled: false };
    // Nobody looks at its metrics.
    Inlet::new(config, ConnectorContext::new(&Metrics::default(), ConnectorRole::Source, "requester", "websocket"))
}

impl Task {
    /// Tells `connected` how the attempt went, and serves the connection to its end.
    async fn run(self, signal: StopSignal, connected: oneshot::Sender<Result<(), EventFluxError>>) {
        let attempt = tokio::select! {
            biased;
            // Who waited for it has gone.
            () = signal.stopped() => return,
            attempt = self.begin() => attempt,
        };
        match attempt {
            Err(error) => drop(connected.send(Err(error))),
            Ok(mut driver) => {
                let _ = connected.send(Ok(()));
                let renewal = async {
                    match self.connector.token_file() {
                        Some(file) => {
                            keep_authenticated(&self.place, &self.connector.endpoint().to_string(), file).await
                        }
                        None => pending().await,
                    }
                };
                let end = tokio::select! {
                    biased;
                    end = poll_fn(|cx| driver.poll(cx)) => end,
                    () = signal.stopped() => End::Stopped,
                    never = renewal => match never {},
                };
                self.end(driver, end).await;
            }
        }
    }

    async fn begin(&self) -> Result<Driver, EventFluxError> {
        let endpoint = self.connector.endpoint();
        let attempt = self.connector.connect_agreeing().await;
        let (connection, subprotocol) = attempt.map_err(|error| error.at(endpoint))?;
        let opening = Opening {
            connection: endpoint.to_string(),
            agreed: subprotocol.as_deref() == Some(SUBPROTOCOL),
            receiver: None,
        };
        let peer = Peer { connection: opening.connection.as_str().into(), user: None, address: None };
        // Nothing is required of the peer.
        let side = Side::new(&self.place, opening, peer).map_err(|_| EventFluxError::Stopped)?;
        Ok(Driver::new(connection, side, &self.connection))
    }

    async fn end(&self, driver: Driver, end: End) {
        let (code, reason) = match end {
            End::Stopped => (Some(1000), String::new()),
            End::Link(ending) => (Some(ending.code), ending.reason),
            End::Dead(reason) => (None, reason.to_owned()),
            End::Disconnected(Disconnect::Lost(reason)) => (None, reason),
            End::Disconnected(Disconnect::Violation { code, reason }) => (Some(code), reason),
            End::Disconnected(closed) => {
                self.ended.because(closed.describe());
                (Some(1000), String::new())
            }
        };
        if !reason.is_empty() {
            self.ended.because(reason.clone());
        }
        match code {
            None => driver.lost(),
            Some(code) => driver.conclude(code, &reason, Instant::now() + self.connection.close_timeout).await,
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.inlet.close();
        self.ended.is_gone.send_replace(true);
    }
}
