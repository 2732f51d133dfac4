//! The first connection, and what the library is told so that it makes the others.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{
    Client, ConnectError, ConnectErrorKind, ConnectOptions, ReconnectToServer, Server, ServerAddr, rustls,
};
use eventflux_core::EventFluxError;
use eventflux_core::health::ConnectionState;

use super::monitor::{Attempt, Monitor, name_of};
use super::plan::Next;
use super::{Observer, Shared, auth, files};
use crate::ConnectionConfig;

/// Most commands that wait for the connection; whoever publishes more waits.
const COMMANDS: usize = 2_048;

/// Most messages that wait in a subscription; further ones are dropped, and counted as those of a slow consumer.
const SUBSCRIPTION: usize = 65_536;

/// See [`Connection::open`](super::Connection::open).
pub(super) async fn open(
    config: &ConnectionConfig,
    observer: &Observer,
) -> Result<(Client, Arc<Monitor>), EventFluxError> {
    observer.health.set(ConnectionState::Connecting, config.servers.join(", "));
    files::check(config).await?;
    let monitor = Arc::new(Monitor::new(config, observer));
    let addresses = addresses(config)?;
    let names: Vec<_> = addresses.iter().map(name_of).collect();
    let mut retryable = true;
    loop {
        let Next::Try(_, pause) = monitor.next_first(&names) else {
            return Err(monitor.first_given_up(retryable));
        };
        tokio::time::sleep(pause).await;
        match options(config, observer, &monitor).connect(&addresses[..]).await {
            Ok(client) => {
                monitor.begin(client.statistics());
                return Ok((client, monitor));
            }
            Err(error) => {
                retryable = is_retryable(&error);
                monitor.first_failed(&error.to_string());
            }
        }
    }
}

/// Has the connection go to another server when its own is about to shut down.
pub(super) fn leave_lame_ducks(shared: &Arc<Shared>) {
    shared.monitor.attach(Arc::downgrade(shared));
}

/// See [`Connection::validate`](super::Connection::validate).
pub(super) fn validate(config: &ConnectionConfig) -> Result<(), EventFluxError> {
    let config = config.clone();
    // A thread of its own: the caller may be one of a runtime, which must not block.
    let attempt = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| EventFluxError::configuration(format!("no runtime: {error}")))?;
        let deadline = config.connect_timeout;
        let opened = runtime.block_on(async { tokio::time::timeout(deadline, try_once(&config)).await });
        runtime.shutdown_background();
        opened.unwrap_or_else(|_| {
            let reason = format!("no connection within {}ms", deadline.as_millis());
            Err(unavailable(&config, reason, true))
        })
    });
    attempt.join().unwrap_or_else(|panic| Err(eventflux_core::runtime::panicked("nats", &*panic)))
}

/// Every server, until one takes us.
async fn try_once(config: &ConnectionConfig) -> Result<(), EventFluxError> {
    files::check(config).await?;
    let options = common_options(config).name("eventflux check").reconnect_delay_callback(|_| Duration::ZERO);
    let opened = options.connect(&addresses(config)?[..]).await;
    opened.map(drop).map_err(|error| unavailable(config, error.to_string(), is_retryable(&error)))
}

fn unavailable(config: &ConnectionConfig, reason: String, retryable: bool) -> EventFluxError {
    EventFluxError::ConnectionUnavailable { endpoint: config.servers.join(", "), reason, retryable }
}

fn addresses(config: &ConnectionConfig) -> Result<Vec<ServerAddr>, EventFluxError> {
    let parsed = config.servers.iter().map(|server| server.parse());
    parsed.collect::<Result<_, _>>().map_err(|_| EventFluxError::property("nats.url", "has an entry that is no URL"))
}

fn options(config: &ConnectionConfig, observer: &Observer, monitor: &Arc<Monitor>) -> ConnectOptions {
    let name = config.name.clone().unwrap_or_else(|| format!("eventflux {}", observer.stream));
    let (events, task) = (Arc::clone(monitor), Task(Arc::clone(monitor)));
    common_options(config)
        .name(name)
        .ping_interval(config.ping_interval)
        .custom_inbox_prefix(&config.inbox_prefix)
        .client_capacity(COMMANDS)
        .subscription_capacity(SUBSCRIPTION)
        .max_reconnects(None)
        .reconnect_to_server_callback(move |servers, _| choose(Arc::clone(&task.0), servers))
        .event_callback(move |event| {
            events.on(event);
            std::future::ready(())
        })
}

fn common_options(config: &ConnectionConfig) -> ConnectOptions {
    let auth = Arc::new(config.auth.clone());
    let options = ConnectOptions::with_auth_callback(move |nonce| auth::answer(Arc::clone(&auth), nonce));
    with_tls(options.connection_timeout(config.connect_timeout), config)
}

fn with_tls(mut options: ConnectOptions, config: &ConnectionConfig) -> ConnectOptions {
    let tls = &config.tls;
    // Servers that are learned from others come without a scheme.
    let all = config.servers.iter().all(|server| server.starts_with("tls://"));
    options = options.require_tls(tls.required || all);
    if tls.first {
        options = options.tls_first();
    }
    if let Some(ca) = &tls.ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let Some((certificate, key)) = &tls.identity {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    options
}

/// Belongs to the library's task, and is dropped with it, however that ends.
struct Task(Arc<Monitor>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.task_ended();
    }
}

/// Asked by the library for each attempt.
async fn choose(monitor: Arc<Monitor>, servers: Vec<Server>) -> Option<ReconnectToServer> {
    match monitor.next(&servers).await {
        Attempt::At(addr, pause) if monitor.pause(pause).await => {
            Some(ReconnectToServer { addr, delay: Some(Duration::ZERO) })
        }
        Attempt::Any => None,
        Attempt::At(..) | Attempt::End => end_task().await,
    }
}

/// The library goes on trying when everybody has dropped the connection, and has no way to be told of it. Unwinding ends its
/// task, quietly, and with it everything that waits for the connection.
async fn end_task() -> ! {
    if cfg!(panic = "unwind") {
        std::panic::resume_unwind(Box::new("nobody wants the connection any more"));
    }
    std::future::pending().await
}

/// Whether it may succeed without a change of configuration. Who may connect is said on servers: that may be mended there.
fn is_retryable(error: &ConnectError) -> bool {
    match error.kind() {
        ConnectErrorKind::Io => !is_certificate_error(error),
        ConnectErrorKind::Dns
        | ConnectErrorKind::TimedOut
        | ConnectErrorKind::MaxReconnects
        | ConnectErrorKind::AuthorizationViolation => true,
        ConnectErrorKind::ServerParse | ConnectErrorKind::Authentication | ConnectErrorKind::Tls => false,
    }
}

fn is_certificate_error(error: &ConnectError) -> bool {
    let io = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    let tls = io.and_then(|io| io.get_ref()).and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}
