//! One bound socket: accepts, shakes hands, and hands connections to the endpoint of their path.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eventflux_core::metrics::Metrics;
use eventflux_core::{BoxFuture, EventFluxError, runtime};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use super::config::ListenerConfig;
use super::endpoint::{Endpoint, User};
use super::welcome::welcome;
use crate::counters::{self, Refused};
use crate::net::tls_server::{Acceptor, TlsServerConfig};

/// Pauses after a failed `accept` (file descriptors exhausted, say): the first and the longest.
const ACCEPT_PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Clients that may wait to be accepted; the system may have a smaller limit. Who finds no room tries again after a
/// second.
const BACKLOG: u32 = 4096;

/// A bound address and the paths served there.
#[derive(Debug)]
pub(crate) struct Listener {
    address: SocketAddr,
    pub(super) config: ListenerConfig,
    pub(super) tls: Option<Arc<Acceptor>>,
    metrics: Metrics,
    endpoints: Mutex<HashMap<String, Arc<Endpoint>>>,
    stop: watch::Sender<bool>,
    released: watch::Sender<bool>,
}

impl Listener {
    /// Binds and starts to accept.
    ///
    /// # Errors
    /// Why the address cannot be bound, or what is wrong with the certificate.
    pub(super) fn bind(asked: SocketAddr, config: &ListenerConfig, metrics: Metrics) -> Result<Arc<Self>, BindError> {
        let tls = config.tls.as_ref().map(TlsServerConfig::acceptor).transpose()?;
        let runtime = runtime::shared().map_err(io::Error::other)?;
        let _context = runtime.enter();
        let socket = listen(asked)?;
        let listener = Arc::new(Self {
            address: socket.local_addr()?,
            config: config.clone(),
            tls,
            metrics,
            endpoints: Mutex::default(),
            stop: watch::channel(false).0,
            released: watch::channel(false).0,
        });
        log::info!("listening on {}", listener.address);
        runtime.spawn(listener.clone().accept(socket));
        Ok(listener)
    }

    /// The bound address, with the port the system chose.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it speaks TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Counts a client that did not get beyond the handshake.
    pub(super) fn count_refused(&self, why: Refused<'_>) {
        counters::refused(&self.metrics, &self.address.to_string(), why);
    }

    /// The endpoint of a path, made for `user` when nobody is there yet.
    ///
    /// # Errors
    /// Those of [`Endpoint::new`].
    pub(super) fn endpoint(&self, path: &str, user: &User) -> Result<Arc<Endpoint>, EventFluxError> {
        let mut endpoints = self.lock();
        if let Some(endpoint) = endpoints.get(path) {
            return Ok(endpoint.clone());
        }
        let endpoint = Arc::new(Endpoint::new(path, user)?);
        endpoint.report(&user.member.context.reports, self.address);
        let runtime = runtime::shared()?;
        let _context = runtime.enter();
        endpoint.authenticator().prepare();
        endpoints.insert(path.to_owned(), endpoint.clone());
        Ok(endpoint)
    }

    /// The endpoint of a path that is served.
    pub(super) fn served(&self, path: &str) -> Option<Arc<Endpoint>> {
        self.lock().get(path).cloned()
    }

    /// Whether its paths have as many connections together as allowed.
    pub(super) fn is_full(&self) -> bool {
        self.config.max_connections.is_some_and(|limit| {
            let endpoints = self.lock();
            endpoints.values().map(|endpoint| endpoint.clients()).sum::<usize>() >= limit
        })
    }

    /// Whether nothing is served.
    pub(super) fn is_unused(&self) -> bool {
        self.lock().is_empty()
    }

    /// Serves this endpoint no longer; returns whether it was the last.
    pub(super) fn remove(&self, endpoint: &Endpoint) -> bool {
        let mut endpoints = self.lock();
        endpoints.remove(endpoint.path());
        endpoints.is_empty()
    }

    /// Stops accepting and waits until the socket is closed.
    pub(super) async fn release(&self) {
        self.stop.send_replace(true);
        // The sender lives in self.
        let _ = self.released.subscribe().wait_for(|released| *released).await;
        log::info!("{} is released", self.address);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Endpoint>>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn accept(self: Arc<Self>, socket: TcpListener) {
        let handshakes = Arc::new(Semaphore::new(self.config.max_handshakes));
        let mut stop = self.stop.subscribe();
        let mut pause = ACCEPT_PAUSES.0;
        loop {
            let accepted = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                accepted = async {
                    let permit = handshakes.clone().acquire_owned().await;
                    (socket.accept().await, permit)
                } => accepted,
            };
            match accepted {
                (Ok((stream, peer)), permit) => {
                    pause = ACCEPT_PAUSES.0;
                    // In a box, because it is over when the long part begins.
                    let handshake = Box::pin(self.clone().shake_hands(stream, peer, permit));
                    tokio::spawn(async move {
                        if let Some(serving) = handshake.await {
                            serving.await;
                        }
                    });
                }
                (Err(error), _) => {
                    log::warn!("{}: cannot accept: {error}; next try in {}ms", self.address, pause.as_millis());
                    tokio::select! {
                        _ = stop.wait_for(|stop| *stop) => break,
                        () = sleep(pause) => {}
                    }
                    pause = (pause * 2).min(ACCEPT_PAUSES.1);
                }
            }
        }
        drop(socket);
        self.released.send_replace(true);
    }

    /// From an accepted socket to a connection that is served. `permit` counts until the handshake is over.
    async fn shake_hands<P>(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        permit: P,
    ) -> Option<BoxFuture<'static, ()>> {
        let mut stop = self.stop.subscribe();
        let serving = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => None,
            serving = welcome(&self, stream, peer) => serving,
        };
        drop(permit);
        serving
    }
}

fn listen(asked: SocketAddr) -> io::Result<TcpListener> {
    let socket = if asked.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // The port is free again as soon as we leave it. On Windows the option would let others take it meanwhile.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(asked)?;
    socket.listen(BACKLOG)
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub(super) enum BindError {
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something is wrong with the certificate.
    #[error(transparent)]
    Tls(#[from] EventFluxError),
}
