//! One attempt to connect: name, TCP, TLS, handshake, all within one deadline.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use eventflux_core::{EventFluxError, Secret, env, runtime};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_native_tls::TlsConnector;
use url::Host;

use super::ConnectError;
use crate::config::{ClientConfig, ConnectionConfig, TargetUrl};
use crate::transport::{ByteStream, Connection, Limits, UpgradeRequest, upgrade};

/// Read buffer of a client connection: large enough to save system calls on a busy feed, small enough that clearing it
/// before each read costs little on a quiet one.
const READ_BUFFER_BYTES: usize = 32 * 1024;

/// How long a validated connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

/// Everything an attempt needs, read once at start: files, environment, headers.
#[derive(Debug)]
pub(crate) struct Connector {
    url: TargetUrl,
    headers: Vec<(String, Secret)>,
    subprotocols: Vec<String>,
    timeout: Duration,
    tls: Option<TlsConnector>,
    limits: Limits,
    nodelay: bool,
}

impl Connector {
    /// Reads certificates and environment variables.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names the file or variable.
    pub(crate) fn new(client: &ClientConfig, connection: &ConnectionConfig) -> Result<Self, EventFluxError> {
        let mut headers = client.headers.clone();
        if let Some(value) = client.auth.header(&env::process)? {
            headers.push(("Authorization".to_owned(), value));
        }
        if client.tls.as_ref().is_some_and(|tls| tls.skip_verify) {
            log::warn!("{}: certificates are not verified (websocket.tls.skip.verify)", client.url);
        }
        Ok(Self {
            url: client.url.clone(),
            headers,
            subprotocols: client.subprotocols.clone(),
            timeout: client.connect_timeout,
            tls: client.tls.as_ref().map(|tls| tls.connector()).transpose()?,
            limits: Limits { max_message_bytes: connection.max_message_bytes, read_buffer_bytes: READ_BUFFER_BYTES },
            nodelay: connection.nodelay,
        })
    }

    /// The endpoint, which prints redacted.
    pub(crate) fn endpoint(&self) -> &TargetUrl {
        &self.url
    }

    /// Tries once. Dropping the future ends the attempt.
    ///
    /// # Errors
    /// Why there is no connection.
    pub(crate) async fn connect(&self) -> Result<Connection, ConnectError> {
        timeout(self.timeout, self.attempt()).await.unwrap_or(Err(ConnectError::Timeout(self.timeout)))
    }

    /// Connects once and says goodbye, blocking; for `validate_connectivity`.
    ///
    /// # Errors
    /// Why there is no connection.
    pub(crate) fn validate(self) -> Result<(), EventFluxError> {
        let endpoint = self.url.clone();
        let limit = self.timeout + GOODBYE;
        let attempt = async move {
            let connection = self.connect().await.map_err(|error| error.at(&self.url))?;
            connection.close(1000, "", Instant::now() + GOODBYE).await;
            Ok(())
        };
        let timeout = || Err(ConnectError::Timeout(limit).at(&endpoint));
        crate::blocking::run(attempt, limit)?.unwrap_or_else(timeout)
    }

    async fn attempt(&self) -> Result<Connection, ConnectError> {
        let tcp = self.tcp().await?;
        // A socket that refuses the option works all the same.
        let _ = tcp.set_nodelay(self.nodelay);
        let stream = match &self.tls {
            None => ByteStream::Plain(tcp),
            Some(tls) => {
                let session = tls.connect(&self.host_name(), tcp).await;
                ByteStream::Tls(Box::new(session.map_err(|error| tls_error(&error))?))
            }
        };
        let request = UpgradeRequest { url: self.url.url(), headers: &self.headers, subprotocols: &self.subprotocols };
        let (connection, subprotocol) = upgrade(stream, request, self.limits).await?;
        if subprotocol.is_none() && !self.subprotocols.is_empty() {
            log::warn!("{}: the server chose none of the subprotocols {:?}", self.url, self.subprotocols);
        }
        Ok(connection)
    }

    /// Tries all addresses, each with its share of the time that is left, so that a dead one does not use up all of it.
    async fn tcp(&self) -> Result<TcpStream, ConnectError> {
        let deadline = Instant::now() + self.timeout;
        let addresses = self.addresses().await?;
        let mut last = ConnectError::Name("it has no address".to_owned());
        for (index, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = ConnectError::Tcp(error.to_string()),
                Err(_) => last = ConnectError::Tcp(format!("{address} does not answer")),
            }
        }
        Err(last)
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, ConnectError> {
        let port = self.url.url().port_or_known_default().unwrap_or(80);
        let name = match self.url.url().host() {
            Some(Host::Ipv4(ip)) => return Ok(vec![(IpAddr::V4(ip), port).into()]),
            Some(Host::Ipv6(ip)) => return Ok(vec![(IpAddr::V6(ip), port).into()]),
            Some(Host::Domain(name)) => name.to_owned(),
            None => return Err(ConnectError::Name("the URL has no host".to_owned())),
        };
        // On the shared threads: a look-up blocks one, and must not hold up the end of the source's own runtime.
        let threads = runtime::shared().map_err(|error| ConnectError::Name(error.to_string()))?;
        let lookup = threads.spawn(async move { lookup_host((name, port)).await.map(Iterator::collect) });
        match lookup.await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(ConnectError::Name(error.to_string())),
            Err(error) => Err(ConnectError::Name(error.to_string())),
        }
    }

    /// The host without the brackets of an IPv6 address.
    fn host_name(&self) -> String {
        match self.url.url().host() {
            Some(Host::Ipv6(ip)) => ip.to_string(),
            Some(host) => host.to_string(),
            None => String::new(),
        }
    }
}

/// OpenSSL and the systems' libraries have no error kind in common: whether the certificate is to blame is in the text.
fn tls_error(error: &native_tls::Error) -> ConnectError {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let text = inner.to_string();
        if !reason.contains(&text) {
            reason = format!("{reason}: {text}");
        }
        source = inner.source();
    }
    let lower = reason.to_ascii_lowercase();
    let certificate = lower.contains("certificate") || lower.contains("hostname mismatch");
    ConnectError::Tls { reason, certificate }
}
