//! One bound socket: accepts, shakes hands, and hands connections to the endpoint of their path.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eventflux_core::runtime;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::connection;
use super::endpoint::Endpoint;
use crate::transport::{ByteStream, HEAD_DEADLINE, Limits, Refusal, ServerRequest, refuse};

/// Handshakes at the same time; further clients wait in the kernel's backlog.
const MAX_HANDSHAKES: usize = 1024;

/// Pauses after a failed `accept` (file descriptors exhausted, say): the first and the longest.
const ACCEPT_PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Read buffer of a server connection. There are many of them, and clients send little.
const READ_BUFFER_BYTES: usize = 8 * 1024;

/// A bound address and the paths served there.
#[derive(Debug)]
pub(crate) struct Listener {
    address: SocketAddr,
    endpoints: Mutex<HashMap<String, Arc<Endpoint>>>,
    stop: watch::Sender<bool>,
    released: watch::Sender<bool>,
}

impl Listener {
    /// Binds and starts to accept.
    pub(super) fn bind(asked: SocketAddr) -> io::Result<Arc<Self>> {
        let socket = std::net::TcpListener::bind(asked)?;
        socket.set_nonblocking(true)?;
        let runtime = runtime::shared().map_err(io::Error::other)?;
        let _context = runtime.enter();
        let socket = TcpListener::from_std(socket)?;
        let listener = Arc::new(Self {
            address: socket.local_addr()?,
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

    /// The endpoint of a path, made when nobody has yet.
    pub(super) fn endpoint(&self, path: &str) -> Arc<Endpoint> {
        let mut endpoints = self.lock();
        endpoints.entry(path.to_owned()).or_insert_with(|| Arc::new(Endpoint::new(path))).clone()
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
        let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
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
                (Ok((stream, _)), permit) => {
                    pause = ACCEPT_PAUSES.0;
                    let listener = self.clone();
                    tokio::spawn(async move { listener.welcome(stream, permit).await });
                }
                (Err(error), _) => {
                    log::warn!("{}: cannot accept: {error}; next try in {}ms", self.address, pause.as_millis());
                    sleep(pause).await;
                    pause = (pause * 2).min(ACCEPT_PAUSES.1);
                }
            }
        }
        drop(socket);
        self.released.send_replace(true);
    }

    /// From an accepted socket to a served connection. `permit` counts until the handshake is over.
    async fn welcome<P>(&self, stream: TcpStream, permit: P) {
        let mut stop = self.stop.subscribe();
        let handshake = async {
            let mut stream = ByteStream::Plain(stream);
            match timeout(HEAD_DEADLINE, ServerRequest::read(&mut stream)).await {
                Ok(Ok(request)) => self.route(request, stream).await,
                Ok(Err(Refusal::Gone)) => None,
                Ok(Err(Refusal::Status(status, reason))) => {
                    refuse(stream, status, reason).await;
                    None
                }
                Err(_) => {
                    refuse(stream, 408, "no request came in time").await;
                    None
                }
            }
        };
        let admitted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => None,
            admitted = handshake => admitted,
        };
        drop(permit);
        if let Some((connection, seat)) = admitted {
            connection::serve(connection, seat).await;
        }
    }

    async fn route(
        &self,
        request: ServerRequest,
        stream: ByteStream,
    ) -> Option<(crate::transport::Connection, super::endpoint::Seat)> {
        let endpoint = self.lock().get(&request.path).cloned();
        let Some(endpoint) = endpoint else {
            refuse(stream, 404, "nothing is served at this path").await;
            return None;
        };
        let Some(seat) = Endpoint::admit(&endpoint) else {
            refuse(stream, 503, "too many connections").await;
            return None;
        };
        if let ByteStream::Plain(tcp) = &stream {
            // A socket that refuses the option works all the same.
            let _ = tcp.set_nodelay(seat.config().nodelay);
        }
        let limits =
            Limits { max_message_bytes: seat.config().max_message_bytes, read_buffer_bytes: READ_BUFFER_BYTES };
        let connection = timeout(HEAD_DEADLINE, request.accept(stream, limits)).await.ok()?.ok()?;
        Some((connection, seat))
    }
}
