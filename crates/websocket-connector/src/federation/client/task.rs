//! What a link that is opened from here does: connects, serves, and comes back.

use std::future::{pending, poll_fn};
use std::sync::Arc;

use eventflux_core::EventFluxError;
use eventflux_core::health::ConnectionState;
use eventflux_core::runtime::StopSignal;
use eventflux_federation::Opening;
use eventflux_websocket_wire::Disconnect;
use tokio::time::Instant;

use super::super::arriving::Expected;
use super::super::driver::{Driver, End};
use super::super::renewal::keep_authenticated;
use super::super::servers::Opened;
use super::super::{Peer, Side};
use super::{ClientLink, THE_RECEIVER};
use crate::client::{Next, Reconnect};
use crate::config::ConnectionConfig;
use crate::counters as violations;

/// What a connection was left for.
enum Over {
    Stopped,
    /// A connection to a server that is preferred.
    Better(Box<Opened>),
    /// It ended; with the reason.
    Lost(String),
}

/// See the module.
pub(super) struct Task {
    pub(super) link: Arc<ClientLink>,
    pub(super) reconnect: Reconnect,
    pub(super) connection: ConnectionConfig,
    pub(super) signal: StopSignal,
    /// Whether there was a connection before.
    pub(super) served: bool,
}

impl Task {
    /// `expected`: those who are to hear what the peer says.
    pub(super) async fn run(mut self, expected: Expected) {
        tokio::select! {
            biased;
            () = self.signal.stopped() => return,
            () = expected.arrived() => {}
        }
        if let Err(error) = self.attempts().await {
            log::error!("{error}; giving up after attempt {}", self.reconnect.failures().max(1));
            self.link.state(ConnectionState::Failed, &error.to_string());
            self.link.place.fail(&error);
        }
    }

    async fn attempts(&mut self) -> Result<(), EventFluxError> {
        let link = self.link.clone();
        let (mut better, mut unstable) = (None, None);
        loop {
            let attempt = match better.take() {
                Some(opened) => Ok(opened),
                None => tokio::select! {
                    biased;
                    () = self.signal.stopped() => return Ok(()),
                    attempt = link.servers.connect(unstable) => attempt,
                },
            };
            let error = match attempt {
                Err(error) => error,
                Ok(opened) => {
                    self.reconnect.connected(Instant::now());
                    let endpoint = link.servers.endpoint(opened.server);
                    unstable = Some(opened.server);
                    match self.serve(opened, &endpoint).await {
                        Over::Stopped => return Ok(()),
                        Over::Better(opened) => {
                            better = Some(*opened);
                            continue;
                        }
                        Over::Lost(reason) => {
                            EventFluxError::ConnectionUnavailable { endpoint, reason, retryable: true }
                        }
                    }
                }
            };
            match self.reconnect.ended(Instant::now()) {
                Next::GiveUp => return Err(error),
                Next::Wait(pause) => {
                    // One that was up for long is as good as before.
                    unstable = unstable.filter(|_| self.reconnect.failures() > 0);
                    let attempt = self.reconnect.failures() + 1;
                    log::warn!("{error}; attempt {attempt} in {}ms", pause.as_millis());
                    link.state(ConnectionState::Reconnecting, &error.to_string());
                    if !self.signal.sleep(pause).await {
                        return Ok(());
                    }
                    link.place.counters().attempts.increment();
                }
            }
        }
    }

    /// Serves one connection, to its end or until there is a better one.
    async fn serve(&mut self, opened: Opened, endpoint: &str) -> Over {
        let Opened { connection, agreed, server } = opened;
        let opening = Opening { connection: endpoint.to_owned(), agreed, receiver: Some(THE_RECEIVER.to_owned()) };
        let peer = Peer { connection: endpoint.into(), user: None, address: None };
        let side = match Side::new(&self.link.place, opening, peer) {
            Ok(side) => side,
            Err(ending) => {
                connection.close(ending.code, &ending.reason, Instant::now() + self.connection.close_timeout).await;
                return Over::Lost(ending.reason);
            }
        };
        self.connected(agreed, endpoint);
        let mut driver = Driver::new(connection, side, &self.connection);
        let link = &self.link;
        let renewal = async {
            match link.servers.token_file(server) {
                Some(file) => keep_authenticated(&link.place, endpoint, file).await,
                None => pending().await,
            }
        };
        let end = tokio::select! {
            biased;
            end = poll_fn(|cx| driver.poll(cx)) => end,
            () = self.signal.stopped() => End::Stopped,
            opened = link.servers.better_than(server) => {
                log::info!("{} can be reached again; leaving {endpoint}", link.servers.endpoint(opened.server));
                driver.conclude(1000, "", Instant::now() + self.connection.close_timeout).await;
                return Over::Better(Box::new(opened));
            }
            never = renewal => match never {},
        };
        self.ended(driver, end, endpoint).await.map_or(Over::Stopped, Over::Lost)
    }

    fn connected(&mut self, agreed: bool, endpoint: &str) {
        let link = &self.link;
        link.state(ConnectionState::Connected, endpoint);
        let kind = if agreed { "with acknowledgements" } else { "without acknowledgements: the peer knows none" };
        log::info!("connected to {endpoint}, {kind}");
        if self.served {
            link.members().reporters.values().for_each(|reporter| reporter.context().metrics.reconnects.increment());
        }
        self.served = true;
    }

    /// Says goodbye where that makes sense; why it ended, or `None` when that was asked for.
    async fn ended(&self, mut driver: Driver, end: End, endpoint: &str) -> Option<String> {
        let limit = Instant::now() + self.connection.close_timeout;
        let (code, reason, result) = match end {
            End::Stopped => {
                let by = self.link.stop_by.get().map_or(limit, |by| limit.min(*by));
                driver.conclude(1000, "", by).await;
                return None;
            }
            End::Link(ending) => (Some(ending.code), ending.reason.clone(), ending.reason),
            End::Dead(reason) => (None, String::new(), reason.to_owned()),
            End::Disconnected(Disconnect::Lost(reason)) => {
                driver.lost();
                return Some(reason);
            }
            End::Disconnected(Disconnect::Violation { code, reason }) => (Some(code), reason.clone(), reason),
            End::Disconnected(closed) => {
                if matches!(closed, Disconnect::Closed { code: Some(1009), .. }) {
                    driver.refused_as_too_large();
                }
                tokio::select! {
                    () = driver.closed(limit) => {}
                    () = self.signal.stopped() => {}
                }
                return Some(closed.describe());
            }
        };
        if code.is_none_or(|code| !matches!(code, 1000 | 1001 | 1012)) {
            let registry =
                self.link.members().reporters.values().next().map(|reporter| reporter.context().registry.clone());
            if let Some(registry) = registry {
                violations::violation(&registry, endpoint, code);
            }
        }
        match code {
            None => driver.lost(),
            Some(code) => tokio::select! {
                () = driver.conclude(code, &reason, limit) => {}
                () = self.signal.stopped() => {}
            },
        }
        Some(result)
    }
}
