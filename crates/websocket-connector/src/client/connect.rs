//! One attempt to connect: name, TCP, TLS, handshake, all within one deadline.

use std::sync::Arc;
use std::time::Duration;

use eventflux_core::{EventFluxError, Secret, env};
use eventflux_websocket_wire::deflate::DeflateConfig;
use eventflux_websocket_wire::handshake::{self, ClientRequest};
use eventflux_websocket_wire::{Connection, Limits};
use tokio::time::{Instant, timeout};
use url::Host;

use super::ConnectError;
use crate::auth::{Authorization, TokenFile};
use crate::config::{ClientConfig, ConnectionConfig, TargetUrl};
use crate::net::dial::Dialer;
use crate::net::stream::ByteStream;
use crate::net::tls_client::TlsClient;

/// How long a validated connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

/// Everything an attempt needs, read once at start: files, environment, headers. Only a file with a token is read again.
#[derive(Debug)]
pub(crate) struct Connector {
    url: TargetUrl,
    headers: Vec<(String, Secret)>,
    authorization: Authorization,
    /// Those that were configured.
    subprotocols: Vec<String>,
    offered: Vec<String>,
    subprotocol_required: bool,
    timeout: Duration,
    dialer: Dialer,
    tls: Option<TlsClient>,
    limits: Limits,
    deflate: Option<DeflateConfig>,
}

impl Connector {
    /// Reads certificates and environment variables.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names the file or variable.
    pub(crate) fn new(client: &ClientConfig, connection: &ConnectionConfig) -> Result<Self, EventFluxError> {
        // Of several servers some may be without TLS.
        let tls = client.tls.as_ref().filter(|_| client.url.is_secure());
        if tls.is_some_and(|tls| tls.skip_verify) {
            log::warn!("{}: certificates are not verified (websocket.tls.skip.verify)", client.url);
        }
        Ok(Self {
            url: client.url.clone(),
            headers: client.headers.clone(),
            authorization: client.auth.authorization(&env::process)?,
            subprotocols: client.subprotocols.clone(),
            offered: client.subprotocols.clone(),
            subprotocol_required: client.subprotocol_required,
            timeout: client.connect_timeout,
            dialer: Dialer::new(&client.dial, client.url.url(), &env::process)?,
            tls: tls.map(|tls| tls.client()).transpose()?,
            limits: connection.limits,
            deflate: connection.deflate,
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
    pub(crate) async fn connect(&self) -> Result<Connection<ByteStream>, ConnectError> {
        Ok(self.connect_agreeing().await?.0)
    }

    /// As [`Connector::connect`], with the subprotocol that the server chose.
    ///
    /// # Errors
    /// Why there is no connection.
    pub(crate) async fn connect_agreeing(&self) -> Result<(Connection<ByteStream>, Option<String>), ConnectError> {
        timeout(self.timeout, self.attempt()).await.unwrap_or(Err(ConnectError::Timeout(self.timeout)))
    }

    /// Offers a subprotocol before those that were configured; a server that does not choose it is no worse for it.
    #[must_use]
    pub(crate) fn offering(mut self, subprotocol: &str) -> Self {
        self.offered.insert(0, subprotocol.to_owned());
        self
    }

    /// Connects once and says goodbye, blocking; of several servers to the first that can be reached. For
    /// `validate_connectivity`.
    ///
    /// # Errors
    /// Why there is no connection; of several servers to the last.
    pub(crate) fn validate(client: &ClientConfig, connection: &ConnectionConfig) -> Result<(), EventFluxError> {
        let mut result = Err(EventFluxError::Stopped);
        for server in client.servers() {
            result = Self::new(&server, connection)?.validate_this();
            if result.is_ok() {
                return result;
            }
        }
        result
    }

    fn validate_this(self) -> Result<(), EventFluxError> {
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

    /// The file that the token comes from, when it comes from one.
    pub(crate) fn token_file(&self) -> Option<&Arc<TokenFile>> {
        match &self.authorization {
            Authorization::File(file) => Some(file),
            Authorization::None | Authorization::Fixed(_) => None,
        }
    }

    async fn attempt(&self) -> Result<(Connection<ByteStream>, Option<String>), ConnectError> {
        let tcp = self.dialer.dial(Instant::now() + self.timeout).await?;
        let stream = match &self.tls {
            None => ByteStream::Plain(tcp),
            Some(tls) => tls.connect(&self.host_name(), tcp).await?,
        };
        let mut headers = self.headers.clone();
        headers.extend(self.authorization.value().await.map(|value| ("Authorization".to_owned(), value)));
        let request = ClientRequest {
            url: self.url.url(),
            headers: &headers,
            subprotocols: &self.offered,
            deflate: self.deflate,
        };
        let connected = handshake::connect(stream, request, self.limits).await?;
        if connected.subprotocol.is_none() && !self.subprotocols.is_empty() {
            if self.subprotocol_required {
                return Err(ConnectError::NoSubprotocol);
            }
            log::warn!("{}: the server chose none of the subprotocols {:?}", self.url, self.subprotocols);
        }
        if self.deflate.is_some() && connected.deflate.is_none() {
            log::info!("{}: the server does not compress (permessage-deflate)", self.url);
        }
        Ok((connected.connection, connected.subprotocol))
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
