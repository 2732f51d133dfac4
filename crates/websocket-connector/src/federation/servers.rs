//! The servers that a link can lead to: one, or several that stand in for each other.

use std::future::pending;
use std::time::Duration;

use eventflux_core::EventFluxError;
use eventflux_federation::SUBPROTOCOL;
use eventflux_websocket_wire::Connection;
use tokio::time::sleep;

use crate::auth::TokenFile;
use crate::client::Connector;
use crate::config::{ClientConfig, ConnectionConfig};
use crate::net::stream::ByteStream;

/// In order of preference; at least one.
#[derive(Debug)]
pub(super) struct Servers {
    connectors: Vec<Connector>,
    /// How often those before the one that is connected are tried; never when there is none.
    failback: Option<Duration>,
}

/// A connection that has just been opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) connection: Connection<ByteStream>,
    /// Whether the server speaks of acknowledgements too.
    pub(super) agreed: bool,
    /// Which server it leads to.
    pub(super) server: usize,
}

impl Servers {
    /// Reads files and environment variables. `offer`: whether to offer acknowledgements.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names the file or variable.
    pub(super) fn new(
        client: &ClientConfig,
        connection: &ConnectionConfig,
        offer: bool,
    ) -> Result<Self, EventFluxError> {
        let connector = |client: ClientConfig| {
            let connector = Connector::new(&client, connection)?;
            Ok(if offer { connector.offering(SUBPROTOCOL) } else { connector })
        };
        let connectors = client.servers().into_iter().map(connector).collect::<Result<_, EventFluxError>>()?;
        let failback = client.pool.as_ref().map(|pool| pool.failback).filter(|failback| !failback.is_zero());
        Ok(Self { connectors, failback })
    }

    /// What it is called, without what may be secret.
    pub(super) fn endpoint(&self, server: usize) -> String {
        self.connectors[server].endpoint().to_string()
    }

    /// What they are called together.
    pub(super) fn endpoints(&self) -> String {
        let endpoints: Vec<_> = self.connectors.iter().map(|connector| connector.endpoint().to_string()).collect();
        endpoints.join(", ")
    }

    /// Where the token for that server comes from, when it may change.
    pub(super) fn token_file(&self, server: usize) -> Option<&TokenFile> {
        self.connectors[server].token_file().map(|file| &**file)
    }

    /// Connects to the first that can be reached. One that lets us in and hangs up (`unstable`) comes last, so that it does
    /// not keep the others from being tried.
    ///
    /// # Errors
    /// Why the last of them cannot be reached, when none can.
    pub(super) async fn connect(&self, unstable: Option<usize>) -> Result<Opened, EventFluxError> {
        let others = (0..self.connectors.len()).filter(|server| Some(*server) != unstable);
        self.first_of(others.chain(unstable)).await
    }

    /// Waits until one can be reached that comes before `server`; for ever, where that is not wanted.
    pub(super) async fn better_than(&self, server: usize) -> Opened {
        let Some(pause) = self.failback.filter(|_| server > 0) else { return pending().await };
        loop {
            sleep(pause).await;
            match self.first_of(0..server).await {
                Ok(opened) => return opened,
                Err(error) => log::debug!("{error}; {} stays", self.endpoint(server)),
            }
        }
    }

    async fn first_of(&self, servers: impl Iterator<Item = usize>) -> Result<Opened, EventFluxError> {
        let mut failed: Option<EventFluxError> = None;
        for server in servers {
            if let Some(error) = failed {
                log::warn!("{error}; trying {}", self.endpoint(server));
            }
            match self.connectors[server].connect_agreeing().await {
                Ok((connection, subprotocol)) => {
                    return Ok(Opened { connection, agreed: subprotocol.as_deref() == Some(SUBPROTOCOL), server });
                }
                Err(error) => failed = Some(error.at(self.connectors[server].endpoint())),
            }
        }
        // There is at least one.
        Err(failed.unwrap_or(EventFluxError::Stopped))
    }
}
