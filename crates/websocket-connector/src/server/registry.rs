//! Who listens where. Held by the factories, so that every source and sink they make can share a listener.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eventflux_core::health::{ConnectionState, HealthReporter};
use eventflux_core::{EventFluxError, PropertySpec};
use tokio::time::{Instant, timeout_at};

use super::config::ServerConfig;
use super::declarations::{Declaration, Declarations, Place, disagreement};
use super::endpoint::{Endpoint, Member, User};
use super::listener::{BindError, Listener};
use crate::blocking;
use crate::federation::ClientLinks;

const LISTEN: &str = "websocket.listen";

/// How long the accept loop may take to end once asked; it has nothing to wait for.
const RELEASE_LIMIT: Duration = Duration::from_secs(1);

/// All listeners of the sources and sinks made by one pair of factories, by the address they asked for.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    listeners: Mutex<HashMap<SocketAddr, Arc<Listener>>>,
    declarations: Declarations,
    links: ClientLinks,
}

/// One source or sink at one path. Must be detached.
#[derive(Debug)]
pub(crate) struct Attachment {
    registry: Arc<Registry>,
    asked: SocketAddr,
    listener: Arc<Listener>,
    endpoint: Arc<Endpoint>,
    user: u64,
}

impl Registry {
    /// Takes note of what a source or sink says of its place, before anybody starts.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when another one says otherwise.
    pub(crate) fn declare(
        &self,
        server: &ServerConfig,
        specs: &'static [PropertySpec],
    ) -> Result<Arc<Declaration>, EventFluxError> {
        self.declarations.add(&server.listen, &server.path, server.properties(), specs)
    }

    /// The connections that are opened, and shared by name.
    pub(crate) fn links(&self) -> &ClientLinks {
        &self.links
    }

    /// Joins the path, and binds the address when nobody has yet.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when the address cannot be bound.
    pub(crate) fn attach(
        self: &Arc<Self>,
        server: &ServerConfig,
        declaration: &Declaration,
        member: Member,
    ) -> Result<Attachment, EventFluxError> {
        let Place { listener: config, path, connection } = self.declarations.place(declaration)?;
        let user = User { connection, path, member };
        let asked = resolve(&server.listen)?;
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let listener = match listeners.get(&asked) {
            Some(listener) => match listener.config.difference(&config) {
                None => listener.clone(),
                Some(key) => return Err(disagreement(key, &server.listen)),
            },
            None => {
                let bound = Listener::bind(asked, &config, user.member.context.registry.clone());
                let listener = bound.map_err(|error| cannot_bind(&server.listen, error))?;
                listeners.insert(asked, listener.clone());
                listener
            }
        };
        let joined = listener.endpoint(&server.path, &user).and_then(|endpoint| {
            let user = endpoint.join(user).map_err(|key| disagreement(key, &server.path))?;
            Ok((endpoint, user))
        });
        match joined {
            Ok((endpoint, user)) => Ok(Attachment { registry: self.clone(), asked, listener, endpoint, user }),
            Err(error) => {
                // Nobody is left behind at a listener of which nobody knows.
                if listener.is_unused() {
                    listeners.remove(&asked);
                    let _ = blocking::run(async move { listener.release().await }, RELEASE_LIMIT);
                }
                Err(error)
            }
        }
    }
}

impl Attachment {
    /// Where clients connect to.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.listener.is_secure() { "wss" } else { "ws" };
        format!("{scheme}://{}{}", self.listener.address(), self.endpoint.path())
    }

    /// The health of this source or sink tells from now on how the path is.
    pub(crate) fn show(&self, health: &HealthReporter) {
        match self.endpoint.backplane() {
            Some(backplane) => backplane.show(self.user, health, self.url()),
            None => health.set(ConnectionState::Listening, self.url()),
        }
    }

    /// The path's connections.
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Leaves the path. The last one at a path says goodbye to its clients, the last one at a listener releases the
    /// port. Blocks until that is done, at most until `by`.
    pub(crate) fn detach(&self, by: Instant) {
        {
            let mut listeners = self.registry.listeners.lock().unwrap_or_else(PoisonError::into_inner);
            if !self.endpoint.leave(self.user) {
                return;
            }
            self.endpoint.stop(by);
            // Under the lock, so that whoever attaches next finds the port free.
            if self.listener.remove(&self.endpoint) {
                listeners.remove(&self.asked);
                let listener = self.listener.clone();
                let _ = blocking::run(async move { listener.release().await }, RELEASE_LIMIT);
            }
        }
        let endpoint = self.endpoint.clone();
        let left = by.saturating_duration_since(Instant::now());
        // A tenth is left for the goodbye to the other processes.
        let emptied_by = if endpoint.backplane().is_some() { by - left / 10 } else { by };
        let _ = blocking::run(async move { timeout_at(emptied_by, endpoint.emptied()).await.is_ok() }, left);
        if let Some(backplane) = self.endpoint.backplane() {
            backplane.stop(by.saturating_duration_since(Instant::now()));
        }
    }
}

fn resolve(listen: &str) -> Result<SocketAddr, EventFluxError> {
    let text = if listen.starts_with(':') { format!("0.0.0.0{listen}") } else { listen.to_owned() };
    let error = |reason: String| {
        EventFluxError::property(LISTEN, format!("'{listen}' is no address of this machine: {reason}"))
            .with_hint("write 127.0.0.1:8080, or 0.0.0.0:8080 for all addresses")
    };
    let mut addresses = text.to_socket_addrs().map_err(|reason| error(reason.to_string()))?;
    addresses.next().ok_or_else(|| error("the name has no address".to_owned()))
}

fn cannot_bind(listen: &str, error: BindError) -> EventFluxError {
    let error = match error {
        BindError::Io(error) => error,
        BindError::Tls(error) => return error,
    };
    let (reason, hint) = match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            ("is already in use", "choose another port, or stop the program that listens there")
        }
        std::io::ErrorKind::PermissionDenied => ("may not be bound", "ports below 1024 need a privilege"),
        _ => ("cannot be bound", "write an address of this machine, or 0.0.0.0 for all"),
    };
    EventFluxError::property(LISTEN, format!("'{listen}' {reason}: {error}")).with_hint(hint)
}
