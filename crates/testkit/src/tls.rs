//! Certificates for tests, made on the spot: a certificate authority of our own and a server certificate that is valid,
//! self-signed, expired or for another name, and a client certificate signed by the same authority.
//!
//! TLS runs on rustls here, so a connector built on another library is tested against an implementation it does not
//! share.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tempfile::TempDir;
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
        server::WebPkiClientVerifier,
    },
};

/// The names a good certificate is for.
const LOCAL_NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// The name a wrong certificate is for.
const OTHER_NAME: &str = "elsewhere.example";

/// A certificate authority, a server certificate and a client certificate, with their files.
///
/// Cloning is cheap; the files live until the last clone is dropped.
///
/// ```
/// use eventflux_testkit::{peer::ScriptedPeer, tls::TestCertificates};
///
/// let certificates = TestCertificates::valid();
/// let peer = ScriptedPeer::builder().tls(certificates.clone()).start();
/// assert!(peer.url().starts_with("wss://localhost:"));
/// assert!(certificates.ca_file().exists());
/// ```
#[derive(Clone)]
pub struct TestCertificates {
    inner: Arc<Inner>,
    requires_client: bool,
}

struct Inner {
    ca: Pem,
    server: Pem,
    client: Pem,
    files: TempDir,
}

struct Pem {
    certificate: String,
    certificate_der: CertificateDer<'static>,
    key: String,
    key_der: Vec<u8>,
}

impl TestCertificates {
    /// A server certificate for `localhost` and 127.0.0.1, signed by [`ca_pem`](Self::ca_pem).
    pub fn valid() -> Self {
        Self::issue(ServerCertificate::Valid)
    }

    /// A server certificate that signed itself; [`ca_pem`](Self::ca_pem) is an authority that did not.
    pub fn self_signed() -> Self {
        Self::issue(ServerCertificate::SelfSigned)
    }

    /// A server certificate that was valid in the year 2000 only.
    pub fn expired() -> Self {
        Self::issue(ServerCertificate::Expired)
    }

    /// A valid server certificate, but for `elsewhere.example`.
    pub fn wrong_name() -> Self {
        Self::issue(ServerCertificate::WrongName)
    }

    /// Makes the server ask for a client certificate signed by [`ca_pem`](Self::ca_pem), and refuse clients without.
    pub fn require_client_certificate(mut self) -> Self {
        self.requires_client = true;
        self
    }

    /// The authority's certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.inner.ca.certificate
    }

    /// A file with [`ca_pem`](Self::ca_pem).
    pub fn ca_file(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// The server's certificate, PEM.
    pub fn server_pem(&self) -> &str {
        &self.inner.server.certificate
    }

    /// The server's private key, PKCS #8 PEM.
    pub fn server_key_pem(&self) -> &str {
        &self.inner.server.key
    }

    /// A file with [`server_pem`](Self::server_pem).
    pub fn server_file(&self) -> PathBuf {
        self.file("server.pem")
    }

    /// A file with [`server_key_pem`](Self::server_key_pem).
    pub fn server_key_file(&self) -> PathBuf {
        self.file("server-key.pem")
    }

    /// A client certificate the server accepts, PEM.
    pub fn client_pem(&self) -> &str {
        &self.inner.client.certificate
    }

    /// The client's private key, PKCS #8 PEM.
    pub fn client_key_pem(&self) -> &str {
        &self.inner.client.key
    }

    /// A file with [`client_pem`](Self::client_pem).
    pub fn client_file(&self) -> PathBuf {
        self.file("client.pem")
    }

    /// A file with [`client_key_pem`](Self::client_key_pem).
    pub fn client_key_file(&self) -> PathBuf {
        self.file("client-key.pem")
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let config = self.server_config().unwrap_or_else(|error| panic!("testkit could not set up TLS: {error}"));
        TlsAcceptor::from(Arc::new(config))
    }

    pub(crate) fn connector(&self, present_certificate: bool) -> TlsConnector {
        let config = self
            .client_config(present_certificate)
            .unwrap_or_else(|error| panic!("testkit could not set up TLS: {error}"));
        TlsConnector::from(Arc::new(config))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.inner.files.path().join(name)
    }

    fn issue(kind: ServerCertificate) -> Self {
        let inner = Inner::issue(kind).unwrap_or_else(|error| panic!("testkit could not make certificates: {error}"));
        inner.write_files().unwrap_or_else(|error| panic!("testkit could not write certificate files: {error}"));
        Self { inner: Arc::new(inner), requires_client: false }
    }

    fn server_config(&self) -> Result<ServerConfig, Box<dyn std::error::Error>> {
        let provider = Arc::new(ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let builder = if self.requires_client {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider).build()?;
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        Ok(builder
            .with_single_cert(vec![self.inner.server.certificate_der.clone()], self.inner.server.private_key())?)
    }

    fn client_config(&self, present_certificate: bool) -> Result<ClientConfig, Box<dyn std::error::Error>> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?);
        if !present_certificate {
            return Ok(builder.with_no_client_auth());
        }
        let chain = vec![self.inner.client.certificate_der.clone()];
        Ok(builder.with_client_auth_cert(chain, self.inner.client.private_key())?)
    }

    fn roots(&self) -> Result<RootCertStore, tokio_rustls::rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.inner.ca.certificate_der.clone())?;
        Ok(roots)
    }
}

impl std::fmt::Debug for TestCertificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestCertificates")
            .field("files", &self.inner.files.path())
            .field("requires_client", &self.requires_client)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
enum ServerCertificate {
    Valid,
    SelfSigned,
    Expired,
    WrongName,
}

impl Inner {
    fn issue(kind: ServerCertificate) -> Result<Self, Box<dyn std::error::Error>> {
        let ca_key = KeyPair::generate()?;
        let mut ca_params = named(&[], "EventFlux testkit CA")?;
        ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca_params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_certificate = ca_params.self_signed(&ca_key)?;
        let ca = Pem::new(&ca_certificate, &ca_key);
        let issuer = Issuer::new(ca_params, ca_key);
        Ok(Self { server: Pem::server(kind, &issuer)?, client: Pem::client(&issuer)?, ca, files: tempfile::tempdir()? })
    }

    fn write_files(&self) -> std::io::Result<()> {
        let directory: &Path = self.files.path();
        std::fs::write(directory.join("ca.pem"), &self.ca.certificate)?;
        std::fs::write(directory.join("server.pem"), &self.server.certificate)?;
        std::fs::write(directory.join("server-key.pem"), &self.server.key)?;
        std::fs::write(directory.join("client.pem"), &self.client.certificate)?;
        std::fs::write(directory.join("client-key.pem"), &self.client.key)
    }
}

impl Pem {
    fn new(certificate: &rcgen::Certificate, key: &KeyPair) -> Self {
        Self {
            certificate: certificate.pem(),
            certificate_der: certificate.der().clone(),
            key: key.serialize_pem(),
            key_der: key.serialize_der(),
        }
    }

    fn server(kind: ServerCertificate, issuer: &Issuer<'_, KeyPair>) -> Result<Self, rcgen::Error> {
        let names: &[&str] = if matches!(kind, ServerCertificate::WrongName) { &[OTHER_NAME] } else { &LOCAL_NAMES };
        let mut params = named(names, "EventFlux testkit server")?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if matches!(kind, ServerCertificate::Expired) {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2000, 12, 31);
        }
        let key = KeyPair::generate()?;
        let certificate = match kind {
            ServerCertificate::SelfSigned => params.self_signed(&key)?,
            _ => params.signed_by(&key, issuer)?,
        };
        Ok(Self::new(&certificate, &key))
    }

    fn client(issuer: &Issuer<'_, KeyPair>) -> Result<Self, rcgen::Error> {
        let mut params = named(&[], "EventFlux testkit client")?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        Ok(Self::new(&params.signed_by(&key, issuer)?, &key))
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key_der.clone()).into()
    }
}

fn named(names: &[&str], common_name: &str) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_gives_usable_server_and_client_configurations() {
        let kinds = [
            TestCertificates::valid(),
            TestCertificates::self_signed(),
            TestCertificates::expired(),
            TestCertificates::wrong_name(),
        ];
        for certificates in kinds {
            certificates.acceptor();
            certificates.clone().require_client_certificate().acceptor();
            certificates.connector(true);
        }
    }

    #[test]
    fn the_files_hold_what_the_accessors_return() {
        let certificates = TestCertificates::valid();
        assert_eq!(std::fs::read_to_string(certificates.ca_file()).unwrap(), certificates.ca_pem());
        assert_eq!(std::fs::read_to_string(certificates.server_file()).unwrap(), certificates.server_pem());
        assert_eq!(std::fs::read_to_string(certificates.client_key_file()).unwrap(), certificates.client_key_pem());
    }

    #[test]
    fn debug_output_has_no_private_key() {
        assert!(!format!("{:?}", TestCertificates::valid()).contains("PRIVATE"));
    }
}
