//! TLS for `wss://`, through the system's library (or the vendored OpenSSL).

use std::fs;

use eventflux_core::{EventFluxError, Properties};
use native_tls::{Certificate, Identity, Protocol, TlsConnector};

const CA: &str = "websocket.tls.ca.file";
const CERT: &str = "websocket.tls.cert.file";
const KEY: &str = "websocket.tls.key.file";
const SKIP_VERIFY: &str = "websocket.tls.skip.verify";

/// What to trust and how to identify ourselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsConfig {
    ca_file: Option<String>,
    /// Certificate and key.
    identity: Option<(String, String)>,
    /// Whether any certificate will do.
    pub(crate) skip_verify: bool,
}

impl TlsConfig {
    /// # Errors
    /// When certificate and key are not both given, or TLS is configured for a `ws://` URL.
    pub(crate) fn from_properties(properties: &Properties, secure: bool) -> Result<Self, EventFluxError> {
        if let Some(key) = [CA, CERT, KEY, SKIP_VERIFY].into_iter().find(|key| !secure && properties.is_given(key)) {
            let hint = "write wss:// in websocket.url, or remove it";
            return Err(EventFluxError::property(key, "has no effect on a ws:// URL").with_hint(hint));
        }
        let text = |key| properties.optional_text(key).map(str::to_owned);
        let identity = match (text(CERT), text(KEY)) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => return Err(EventFluxError::property(KEY, format!("is needed with {CERT}"))),
            (None, Some(_)) => return Err(EventFluxError::property(CERT, format!("is needed with {KEY}"))),
        };
        Ok(Self { ca_file: text(CA), identity, skip_verify: properties.flag(SKIP_VERIFY)? })
    }

    /// Reads the files and makes the connector. TLS 1.2 or later.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names the file and what is wrong with it.
    pub(crate) fn connector(&self) -> Result<tokio_native_tls::TlsConnector, EventFluxError> {
        let mut builder = TlsConnector::builder();
        builder.min_protocol_version(Some(Protocol::Tlsv12));
        if let Some(file) = &self.ca_file {
            let certificates = Certificate::stack_from_pem(&read(CA, file)?)
                .map_err(|error| bad(CA, file, &format!("is not a PEM certificate: {error}")))?;
            if certificates.is_empty() {
                return Err(bad(CA, file, "holds no PEM certificate"));
            }
            for certificate in certificates {
                builder.add_root_certificate(certificate);
            }
        }
        if let Some((cert, key)) = &self.identity {
            let identity = Identity::from_pkcs8(&read(CERT, cert)?, &read(KEY, key)?)
                .map_err(|error| bad(KEY, key, &format!("does not fit {cert}, or is not PKCS #8: {error}")))?;
            builder.identity(identity);
        }
        if self.skip_verify {
            builder.danger_accept_invalid_certs(true).danger_accept_invalid_hostnames(true);
        }
        let connector =
            builder.build().map_err(|error| EventFluxError::configuration(format!("TLS cannot be set up: {error}")))?;
        Ok(connector.into())
    }
}

fn read(property: &str, file: &str) -> Result<Vec<u8>, EventFluxError> {
    fs::read(file).map_err(|error| bad(property, file, &format!("cannot be read: {error}")))
}

fn bad(property: &str, file: &str, reason: &str) -> EventFluxError {
    EventFluxError::property(property, format!("'{file}' {reason}"))
}
