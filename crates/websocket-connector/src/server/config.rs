//! How to listen: what all users of an address share, and what all users of a path share.

use std::time::Duration;

use eventflux_core::{EventFluxError, Properties};
use eventflux_federation::{Reliable, SUBPROTOCOL};

use super::backplane::BackplaneConfig;
use super::gateway::GatewayConfig;
use super::http::HttpConfig;
use super::ineffective::refuse_ineffective;
use crate::access::AccessConfig;
use crate::config::{at_least_one_byte, positive, subprotocols};
use crate::federation::FederationSettings;
use crate::net::forwarded::TrustedProxies;
use crate::net::origin::SitePolicy;
use crate::net::proxy_protocol;
use crate::net::tls_server::TlsServerConfig;

/// Where to listen.
#[derive(Debug, Clone)]
pub(crate) struct ServerConfig {
    /// `host:port` as written.
    pub(crate) listen: String,
    pub(crate) path: String,
    properties: Properties,
}

/// What holds for an address. Everybody who listens there must say the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenerConfig {
    pub(crate) tls: Option<TlsServerConfig>,
    pub(crate) trusted: TrustedProxies,
    pub(crate) proxy_protocol: bool,
    pub(crate) max_handshakes: usize,
    pub(crate) max_head_bytes: usize,
    pub(crate) handshake_timeout: Duration,
    /// Of all paths together.
    pub(crate) max_connections: Option<usize>,
}

/// Who is let in at a path, and how they are served. Everybody at the path must say the same.
#[derive(Debug, Clone)]
pub(crate) struct PathConfig {
    pub(crate) sites: SitePolicy,
    /// In order of preference.
    pub(crate) subprotocols: Vec<String>,
    pub(crate) subprotocol_required: bool,
    /// Over how long goodbyes are spread.
    pub(crate) drain_spread: Duration,
    pub(crate) access: AccessConfig,
    pub(crate) gateway: GatewayConfig,
    pub(super) http: HttpConfig,
    /// How its links behave, when it serves the protocol `federation`.
    pub(crate) federation: Option<FederationSettings>,
    /// What makes it one with the same path of other processes.
    pub(crate) backplane: Option<BackplaneConfig>,
}

impl ServerConfig {
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let path = properties.text("websocket.path")?;
        if !path.starts_with('/') || path.contains(['?', '#', ' ']) || !path.is_ascii() {
            let error = EventFluxError::property("websocket.path", format!("'{path}' is no path"));
            return Err(error.with_hint("it starts with '/' and has no query, for example '/ingest'"));
        }
        // What the place is like is only known with what others say of it; what is wrong here is wrong anyway.
        ListenerConfig::from_properties(properties)?;
        refuse_ineffective(properties, false)?;
        if properties.is_given("websocket.auth") {
            PathConfig::from_properties(properties)?;
        }
        BackplaneConfig::from_properties(properties)?;
        Ok(Self {
            listen: properties.text("websocket.listen")?.to_owned(),
            path: path.to_owned(),
            properties: properties.clone(),
        })
    }

    /// Tries once whether what it depends on can be used: the bus behind its path, as far as it says so itself.
    ///
    /// # Errors
    /// [`EventFluxError::ConnectionUnavailable`] when not.
    pub(crate) fn validate(&self) -> Result<(), EventFluxError> {
        BackplaneConfig::from_properties(&self.properties)?.map_or(Ok(()), |backplane| backplane.validate())
    }

    /// What it says of the place.
    pub(super) fn properties(&self) -> &Properties {
        &self.properties
    }
}

impl ListenerConfig {
    pub(super) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let trusted = TrustedProxies::from_properties(properties)?;
        Ok(Self {
            tls: TlsServerConfig::from_properties(properties)?,
            proxy_protocol: proxy_protocol::from_properties(properties, &trusted)?,
            trusted,
            max_handshakes: properties.integer("websocket.max.handshakes")?,
            max_head_bytes: at_least_one_byte(properties, "websocket.max.head.size")?,
            handshake_timeout: positive(properties, "websocket.handshake.timeout")?,
            max_connections: Some(properties.integer("websocket.max.connections.total")?).filter(|limit| *limit > 0),
        })
    }

    /// The property in which `other` differs, if any.
    pub(crate) fn difference(&self, other: &Self) -> Option<&'static str> {
        let differs = [
            ("websocket.tls.cert.file", self.tls != other.tls),
            ("websocket.trusted.proxies", self.trusted != other.trusted),
            ("websocket.proxy.protocol", self.proxy_protocol != other.proxy_protocol),
            ("websocket.max.handshakes", self.max_handshakes != other.max_handshakes),
            ("websocket.max.head.size", self.max_head_bytes != other.max_head_bytes),
            ("websocket.handshake.timeout", self.handshake_timeout != other.handshake_timeout),
            ("websocket.max.connections.total", self.max_connections != other.max_connections),
        ];
        differs.into_iter().find_map(|(key, differs)| differs.then_some(key))
    }
}

impl PathConfig {
    pub(super) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let mut subprotocols = subprotocols(properties)?;
        let federation = FederationSettings::from_properties(properties)?;
        if federation.as_ref().is_some_and(|settings| settings.link.reliable != Reliable::Off) {
            subprotocols.insert(0, SUBPROTOCOL.to_owned());
        }
        let access = AccessConfig::from_properties(properties)?;
        let backplane = BackplaneConfig::from_properties(properties)?;
        Ok(Self {
            sites: SitePolicy::from_properties(properties)?,
            subprotocols,
            subprotocol_required: properties.flag("websocket.subprotocol.required")?,
            gateway: GatewayConfig::from_properties(properties, &access, backplane.is_some())?,
            backplane,
            http: HttpConfig::from_properties(properties)?,
            federation,
            access,
            drain_spread: properties.duration("websocket.drain.spread")?,
        })
    }

    /// The property in which `other` differs, if any.
    pub(crate) fn difference(&self, other: &Self) -> Option<&'static str> {
        let differs = [
            ("websocket.drain.spread", self.drain_spread != other.drain_spread),
            ("websocket.auth", self.access != other.access),
            ("websocket.origins", self.sites != other.sites),
            ("websocket.subprotocol", self.subprotocols != other.subprotocols),
            ("websocket.subprotocol.required", self.subprotocol_required != other.subprotocol_required),
            ("gateway.backplane", self.backplane != other.backplane),
        ];
        let key = differs.into_iter().find_map(|(key, differs)| differs.then_some(key));
        key.or_else(|| self.gateway.difference(&other.gateway))
            .or_else(|| self.http.difference(&other.http))
            .or_else(|| FederationSettings::differing(self.federation.as_ref(), other.federation.as_ref()))
    }
}
