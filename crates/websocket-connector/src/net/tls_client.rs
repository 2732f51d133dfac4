//! TLS for `wss://` endpoints, through the system's library (or the vendored OpenSSL): TLS 1.2 or later.
//!
//! The end that listens is [`super::tls_server`].

use std::error::Error;
use std::io;

use eventflux_core::{EventFluxError, Properties};
use native_tls::{Certificate, Protocol};
use openssl::error::ErrorStack;
use tokio::net::TcpStream;

use super::pem::{IdentityFiles, PemFile, reasons};
use super::properties::{TLS_CA, TLS_CERT, TLS_KEY, TLS_SKIP_VERIFY};
use super::stream::ByteStream;
use super::tls_failure::{Cause, cause};

/// What to trust and how to identify ourselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsClientConfig {
    ca: Option<PemFile>,
    identity: Option<IdentityFiles>,
    /// Whether any certificate will do.
    pub(crate) skip_verify: bool,
}

/// Makes TLS sessions over TCP connections. The files were read when it was made.
#[derive(Debug, Clone)]
pub(crate) struct TlsClient(tokio_native_tls::TlsConnector);

/// Why there is no TLS session, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TlsError {
    /// The server's certificate is expired, for another name, or signed by nobody we trust.
    #[error("the server's certificate is not accepted: {0}")]
    ServerCertificate(String),
    /// The server wants a certificate of ours, or not this one.
    #[error("the server does not accept our certificate, or wants one: {0}")]
    ClientCertificate(String),
    /// What the server sent is not TLS.
    #[error("the server does not speak TLS: {0}")]
    NotTls(String),
    /// Something else.
    #[error("{0}")]
    Other(String),
}

impl TlsClientConfig {
    /// `secure` tells whether the URL is `wss://`.
    ///
    /// # Errors
    /// When certificate and key are not both given, or TLS is configured for a `ws://` URL.
    pub(crate) fn from_properties(properties: &Properties, secure: bool) -> Result<Self, EventFluxError> {
        let keys = [TLS_CA.key, TLS_CERT.key, TLS_KEY.key, TLS_SKIP_VERIFY.key];
        if let Some(key) = keys.into_iter().find(|key| !secure && properties.is_given(key)) {
            let hint = "write wss:// in websocket.url, or remove it";
            return Err(EventFluxError::property(key, "has no effect on a ws:// URL").with_hint(hint));
        }
        Ok(Self {
            ca: PemFile::from_properties(properties, TLS_CA.key),
            identity: IdentityFiles::from_properties(properties)?,
            skip_verify: properties.flag(TLS_SKIP_VERIFY.key)?,
        })
    }

    /// Reads the files.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names the file and what is wrong with it.
    pub(crate) fn client(&self) -> Result<TlsClient, EventFluxError> {
        let mut builder = native_tls::TlsConnector::builder();
        builder.min_protocol_version(Some(Protocol::Tlsv12));
        if let Some(ca) = &self.ca {
            for certificate in ca.certificates()? {
                let certificate = certificate
                    .to_der()
                    .map_err(|error| reasons(&error))
                    .and_then(|der| Certificate::from_der(&der).map_err(|error| error.to_string()));
                let unusable = |reason| ca.error(&format!("holds a certificate that cannot be used: {reason}"));
                builder.add_root_certificate(certificate.map_err(unusable)?);
            }
        }
        if let Some(files) = &self.identity {
            builder.identity(native_identity(files)?);
        }
        if self.skip_verify {
            builder.danger_accept_invalid_certs(true).danger_accept_invalid_hostnames(true);
        }
        let connector =
            builder.build().map_err(|error| EventFluxError::configuration(format!("TLS cannot be set up: {error}")))?;
        Ok(TlsClient(connector.into()))
    }
}

impl TlsClient {
    /// Shakes hands with the server of that name (or IP address, without brackets). Has no deadline of its own.
    ///
    /// # Errors
    /// Why there is no session. With TLS 1.3 a server that refuses our certificate does so later, with the
    /// first read: an error of the kind [`io::ErrorKind::PermissionDenied`] then.
    pub(crate) async fn connect(&self, host: &str, tcp: TcpStream) -> Result<ByteStream, TlsError> {
        let session = self.0.connect(host, tcp).await.map_err(|error| TlsError::of_handshake(&error))?;
        Ok(ByteStream::TlsClient(Box::new(session)))
    }
}

impl TlsError {
    /// Whether a later attempt may succeed without a change of configuration.
    pub(crate) fn is_retryable(&self) -> bool {
        matches!(self, Self::Other(_))
    }

    /// An error of reading from an established session, with [`TlsError::ClientCertificate`] inside and the kind
    /// [`io::ErrorKind::PermissionDenied`] when it is that. With TLS 1.3 a server refuses our certificate after the
    /// handshake is over for us: it shows with the first read.
    pub(super) fn explain(error: io::Error) -> io::Error {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<openssl::ssl::Error>());
        match tls.and_then(|tls| tls.ssl_error()).map(|stack| Self::new(cause(stack), reasons(stack))) {
            Some(refusal @ Self::ClientCertificate(_)) => io::Error::new(io::ErrorKind::PermissionDenied, refusal),
            _ => error,
        }
    }

    fn of_handshake(error: &native_tls::Error) -> Self {
        let text = error.to_string();
        let Some(stack) = error.source().and_then(|source| source.downcast_ref::<ErrorStack>()) else {
            return Self::guess(with_sources(error, text));
        };
        // native-tls keeps the result of the verification to itself, but ends its text with it.
        let detail = text.strip_prefix(&stack.to_string()).unwrap_or_default();
        Self::new(cause(stack), format!("{}{detail}", reasons(stack)))
    }

    /// The libraries of macOS and Windows have no error kind in common with OpenSSL: there, and only there, whether a
    /// certificate is to blame is read from the text.
    fn guess(reason: String) -> Self {
        let lower = reason.to_ascii_lowercase();
        if lower.contains("certificate") || lower.contains("hostname mismatch") {
            Self::ServerCertificate(reason)
        } else {
            Self::Other(reason)
        }
    }

    fn new(cause: Cause, reason: String) -> Self {
        match cause {
            Cause::PeerCertificate => Self::ServerCertificate(reason),
            Cause::OwnCertificate => Self::ClientCertificate(reason),
            Cause::NotTls => Self::NotTls(reason),
            Cause::Gone | Cause::Other => Self::Other(reason),
        }
    }
}

/// The identity as native-tls wants it: the key in PKCS #8, whatever its file has.
fn native_identity(files: &IdentityFiles) -> Result<native_tls::Identity, EventFluxError> {
    let identity = files.read()?;
    let chain: Result<Vec<_>, ErrorStack> = identity.chain.iter().map(|certificate| certificate.to_pem()).collect();
    let pem = chain.and_then(|chain| Ok((chain.concat(), identity.key.private_key_to_pem_pkcs8()?)));
    let unusable = |reason: String| files.key.error(&format!("cannot be used: {reason}"));
    let (chain, key) = pem.map_err(|error| unusable(reasons(&error)))?;
    native_tls::Identity::from_pkcs8(&chain, &key).map_err(|error| unusable(error.to_string()))
}

fn with_sources(error: &native_tls::Error, mut text: String) -> String {
    let mut source = error.source();
    while let Some(inner) = source {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use eventflux_core::PropertySpec;
    use eventflux_testkit::tls::TestCertificates;
    use openssl::pkey::PKey;

    use super::*;

    const SPECS: &[PropertySpec] = &[
        PropertySpec::new("websocket.mode", eventflux_core::PropertyKind::Text, "Role.").default("client"),
        TLS_CA,
        TLS_CERT,
        TLS_KEY,
        TLS_SKIP_VERIFY,
    ];

    fn config(raw: &[(&str, &str)], secure: bool) -> Result<TlsClientConfig, EventFluxError> {
        TlsClientConfig::from_properties(&Properties::from_pairs(SPECS, raw.iter().copied()).unwrap(), secure)
    }

    #[test]
    fn tls_settings_of_a_plain_url_are_refused() {
        for (key, value) in
            [(TLS_CA.key, "/x"), (TLS_CERT.key, "/x"), (TLS_KEY.key, "/x"), (TLS_SKIP_VERIFY.key, "true")]
        {
            let error = config(&[(key, value)], false).unwrap_err().to_string();
            assert!(error.starts_with(&format!("property '{key}': has no effect on a ws:// URL")), "{error}");
        }
        assert!(config(&[], false).is_ok());
    }

    #[test]
    fn each_unusable_file_is_named_with_its_property() {
        let certificates = TestCertificates::valid();
        let (cert, key) = (certificates.client_file(), certificates.server_key_file());
        let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
        for (raw, property, reason) in [
            (&[(TLS_CA.key, key)][..], TLS_CA.key, "holds no PEM certificate"),
            (&[(TLS_CERT.key, cert), (TLS_KEY.key, key)], TLS_KEY.key, "does not fit the certificate"),
        ] {
            let error = config(raw, true).unwrap().client().unwrap_err().to_string();
            assert!(error.starts_with(&format!("property '{property}': '{key}'")) && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_key_need_not_be_pkcs8() {
        let certificates = TestCertificates::valid();
        let key = PKey::private_key_from_pem(certificates.client_key_pem().as_bytes()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ec.pem");
        fs::write(&path, key.ec_key().unwrap().private_key_to_pem().unwrap()).unwrap();
        let cert = certificates.client_file();
        let raw = [(TLS_CERT.key, cert.to_str().unwrap()), (TLS_KEY.key, path.to_str().unwrap())];
        config(&raw, true).unwrap().client().unwrap();
    }

    #[test]
    fn where_there_is_only_text_a_certificate_in_it_is_to_blame() {
        let untrusted = TlsError::guess("The certificate was not trusted.".to_owned());
        assert!(matches!(untrusted, TlsError::ServerCertificate(_)) && !untrusted.is_retryable());
        assert!(TlsError::guess("connection closed via error".to_owned()).is_retryable());
    }
}
