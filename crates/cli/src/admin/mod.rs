//! The admin listener: metrics, health, readiness and statistics of the process, by HTTP.
//!
//! It only answers questions; nothing can be changed through it. It has a thread of its own, so that it answers while
//! everything else is busy, and one request per connection, so that every connection ends within
//! [`connection::CONNECTION_TIMEOUT`], whatever its client does.

mod address;
mod connection;
mod health;
mod prometheus;
mod routes;
mod stats;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use eventflux_core::runtime::StopSignal;
use tokio::net;
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, watch};

pub(crate) use address::Address;
use routes::Routes;

use crate::process::Process;

/// Largest number of connections at a time; the next ones wait in the system's backlog until one has ended.
const MAX_CONNECTIONS: u32 = 64;

/// Time for the connections that are open when the process ends.
const GOODBYE: Duration = Duration::from_secs(1);

/// Pause before the next try when the system gives us no connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Admin {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Listens at `address`; `None` when that is off.
    ///
    /// # Errors
    /// Why it cannot listen there.
    pub(crate) fn start(address: &Address, process: &Arc<Process>) -> Result<Option<Self>, String> {
        let Address::At { host, port } = address else {
            return Ok(None);
        };
        let refused = |error: io::Error| {
            format!("the admin listener cannot listen at {host}:{port}: {error}; give another address to --admin")
        };
        let listener = TcpListener::bind((host.as_str(), *port)).map_err(refused)?;
        Self::serve(listener, process).map(Some).map_err(refused)
    }

    fn serve(listener: TcpListener, process: &Arc<Process>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, signal) = StopSignal::new();
        let routes = Arc::new(Routes::new(process.clone(), is_local(address)));
        let run = move || {
            runtime.block_on(async {
                match net::TcpListener::from_std(listener) {
                    Ok(listener) => accept_all(listener, routes, signal).await,
                    Err(error) => log::error!("the admin listener cannot be used: {error}"),
                }
            });
            // A report that never comes to an end must not keep the process from ending.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("eventflux-admin".to_owned()).spawn(run)?;
        log::info!("admin listener at http://{address} (/metrics, /health, /ready, /stats)");
        if !is_local(address) {
            log::warn!("the admin listener at {address} answers other machines, and asks nobody for a password");
        }
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the admin listener panicked");
        }
    }
}

async fn accept_all(listener: net::TcpListener, routes: Arc<Routes>, signal: StopSignal) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS as usize));
    let mut failed = false;
    loop {
        let accept = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = signal.stopped() => break,
            accepted = accept => accepted,
        };
        match accepted {
            Ok((mut stream, _)) => {
                failed = false;
                let routes = routes.clone();
                tokio::spawn(async move {
                    connection::serve(&mut stream, &routes).await;
                    drop((stream, slot));
                });
            }
            Err(error) => {
                if !std::mem::replace(&mut failed, true) {
                    log::warn!("the admin listener cannot accept: {error}; it goes on trying");
                }
                signal.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // What is not answered by then is not answered.
    let _ = tokio::time::timeout(GOODBYE, slots.acquire_many(MAX_CONNECTIONS)).await;
}

/// Whether only this machine can reach the address.
fn is_local(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
