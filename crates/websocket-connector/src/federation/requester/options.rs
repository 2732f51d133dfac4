//! How a requester connects: properties, as those of a source that connects.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use eventflux_core::{EventFluxError, Properties};

use crate::SOURCE_PROPERTIES;
use crate::config::{ClientConfig, ConnectionConfig, Mode};

/// The properties that have an effect here, besides those that begin with one of the [`EFFECTIVE_BEGINNINGS`].
const EFFECTIVE: &[&str] = &[
    "websocket.address.family",
    "websocket.close.timeout",
    "websocket.connect.timeout",
    "websocket.encoding",
    "websocket.idle.timeout",
    "websocket.max.fragments",
    "websocket.max.message.size",
    "websocket.max.pings",
    "websocket.max.requests",
    "websocket.message.timeout",
    "websocket.nodelay",
    "websocket.ping.interval",
    "websocket.pong.timeout",
    "websocket.proxy.url",
    "websocket.request.timeout",
    "websocket.subprotocol",
    "websocket.subprotocol.required",
    "websocket.tcp.keepalive",
    "websocket.write.timeout",
];

/// See [`EFFECTIVE`].
const EFFECTIVE_BEGINNINGS: &[&str] = &["auth.", "websocket.permessage-deflate", "websocket.tls."];

/// How to connect, and how long to wait. The default is that of the properties.
///
/// Values may contain `${env:NAME}`, as in a pipeline's file. Their debug form shows none of them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RequesterOptions {
    properties: Vec<(String, String)>,
}

impl RequesterOptions {
    /// Shows a token in the handshake.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// Sends a header with the handshake.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        self.property(&format!("websocket.headers.{name}"), value)
    }

    /// Trusts the certificates (PEM) of these authorities besides the system's.
    #[must_use]
    pub fn ca_file(self, path: &Path) -> Self {
        self.property("websocket.tls.ca.file", &path.to_string_lossy())
    }

    /// Trusts any certificate. For tests only: anybody on the way can read and change everything.
    #[must_use]
    pub fn skip_verify(self) -> Self {
        self.property("websocket.tls.skip.verify", "true")
    }

    /// How long to wait for a reply; 5 seconds otherwise.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.property("websocket.request.timeout", &format!("{}ms", timeout.as_millis()))
    }

    /// Sets any property by which a source connects: `websocket.connect.timeout`, `websocket.encoding`,
    /// `websocket.tls.cert.file`, `websocket.proxy.url`, `auth.bearer_token_env`, and so on.
    #[must_use]
    pub fn property(mut self, key: &str, value: &str) -> Self {
        self.properties.push((key.to_owned(), value.to_owned()));
        self
    }

    /// # Errors
    /// [`EventFluxError::Configuration`] for a property that is wrong, or makes no sense for who only asks.
    pub(super) fn resolve(&self, url: &str) -> Result<(ClientConfig, ConnectionConfig), EventFluxError> {
        const FIXED: [(&str, &str); 2] = [("websocket.protocol", "federation"), ("websocket.reconnect", "false")];
        let given = || self.properties.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let has_no_effect = |key: &str| {
            let is_declared = SOURCE_PROPERTIES.iter().any(|spec| spec.key == key);
            // What is not declared is refused below, with the key that was meant.
            is_declared
                && !(EFFECTIVE.contains(&key) || EFFECTIVE_BEGINNINGS.iter().any(|begin| key.starts_with(begin)))
        };
        if let Some((key, _)) = given().find(|(key, _)| has_no_effect(key)) {
            let error = EventFluxError::property(key, "has no effect for who only asks");
            return Err(error.with_hint("remove it"));
        }
        let raw = FIXED.into_iter().chain([("websocket.url", url)]).chain(given());
        let properties = Properties::from_pairs(SOURCE_PROPERTIES, raw)?;
        match Mode::from_properties(&properties)? {
            Mode::Client(client) => Ok((*client, ConnectionConfig::from_properties(&properties)?)),
            // The mode cannot be given.
            Mode::Server(_) => Err(EventFluxError::Stopped),
        }
    }
}

impl fmt::Debug for RequesterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.properties.iter().map(|(key, _)| key)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_properties_and_show_no_values() {
        let options = RequesterOptions::default()
            .bearer("hunter2")
            .timeout(Duration::from_millis(1_500))
            .property("websocket.encoding", "cbor");
        assert!(!format!("{options:?}").contains("hunter2"), "{options:?}");
        let (client, _) = options.resolve("ws://h/federation").unwrap();
        let link = client.federation.unwrap().link;
        assert_eq!(link.request_timeout, Duration::from_millis(1_500));
        assert_eq!(link.encoding, eventflux_federation::envelope::Encoding::Cbor);
        assert_eq!(client.headers.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |options: RequesterOptions, url: &str| options.resolve(url).unwrap_err().to_string();
        let none = RequesterOptions::default;
        assert!(error(none(), "http://h/").contains("websocket.url"));
        assert!(error(none().property("websocket.encodng", "cbor"), "ws://h/").contains("websocket.encoding"));
        for key in ["websocket.mode", "websocket.url", "websocket.pool.urls", "websocket.streams", "websocket.link"] {
            let error = error(none().property(key, "x"), "ws://h/");
            assert!(error.contains(key) && error.contains("no effect"), "{error}");
        }
        assert!(error(none().skip_verify(), "ws://h/").contains("websocket.tls.skip.verify"));
        assert!(error(none().timeout(Duration::ZERO), "ws://h/").contains("websocket.request.timeout"));
    }

    #[test]
    fn what_has_an_effect_is_declared() {
        let is_declared = |key: &&str| SOURCE_PROPERTIES.iter().any(|spec| spec.key == *key);
        assert!(EFFECTIVE.iter().all(is_declared));
        let begins = |begin: &&str| SOURCE_PROPERTIES.iter().any(|spec| spec.key.starts_with(*begin));
        assert!(EFFECTIVE_BEGINNINGS.iter().all(begins));
    }
}
