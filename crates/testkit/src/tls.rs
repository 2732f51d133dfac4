//! Certificates for tests, made on the spot: a certificate authority of our own and a server certificate that is valid,
//! self-signed, expired or for another name, and a client certificate signed by the same authority. All can be renewed
//! while somebody uses their files.
//!
//! TLS runs on rustls here, so a connector built on another library is tested against an implementation it does not
//! share.

use std::{io::Write as _, path::PathBuf, sync::Arc};

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
    authority: Arc<Authority>,
    server: Pem,
    client: Pem,
    files: Arc<TempDir>,
}

/// What signs.
struct Authority {
    ca: Pem,
    issuer: Issuer<'static, KeyPair>,
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

    /// A valid server certificate and a client certificate that take the place of these: signed by the same authority,
    /// with new keys, written into the same files. Each file is replaced at once and never half written, a key before
    /// its certificate. What `self` returns stays as it was, apart from what the files hold.
    pub fn renew(&self) -> Self {
        let renewed = Inner::signed(ServerCertificate::Valid, &self.inner.authority, &self.inner.files);
        Self { requires_client: self.requires_client, ..Self::written(renewed) }
    }

    /// The authority's certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.inner.authority.ca.certificate
    }

    /// A file with [`ca_pem`](Self::ca_pem).
    pub fn ca_file(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// The server's certificate, PEM.
    pub fn server_pem(&self) -> &str {
        &self.inner.server.certificate
    }

    /// The server's certificate, DER: what a client sees of it.
    pub fn server_der(&self) -> &[u8] {
        &self.inner.server.certificate_der
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

    /// For a client that trusts this authority and presents the client certificate of `presented`.
    pub(crate) fn connector(&self, presented: Option<&Self>) -> TlsConnector {
        let config =
            self.client_config(presented).unwrap_or_else(|error| panic!("testkit could not set up TLS: {error}"));
        TlsConnector::from(Arc::new(config))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.inner.files.path().join(name)
    }

    fn issue(kind: ServerCertificate) -> Self {
        Self::written(Inner::issue(kind))
    }

    fn written(inner: Result<Inner, Box<dyn std::error::Error>>) -> Self {
        let inner = inner.unwrap_or_else(|error| panic!("testkit could not make certificates: {error}"));
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

    fn client_config(&self, presented: Option<&Self>) -> Result<ClientConfig, Box<dyn std::error::Error>> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?);
        let Some(presented) = presented else {
            return Ok(builder.with_no_client_auth());
        };
        let client = &presented.inner.client;
        Ok(builder.with_client_auth_cert(vec![client.certificate_der.clone()], client.private_key())?)
    }

    fn roots(&self) -> Result<RootCertStore, tokio_rustls::rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.inner.authority.ca.certificate_der.clone())?;
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

impl Authority {
    fn new() -> Result<Self, rcgen::Error> {
        let ca_key = KeyPair::generate()?;
        let mut ca_params = named(&[], "EventFlux testkit CA")?;
        ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca_params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_certificate = ca_params.self_signed(&ca_key)?;
        let ca = Pem::new(&ca_certificate, &ca_key);
        Ok(Self { ca, issuer: Issuer::new(ca_params, ca_key) })
    }
}

impl Inner {
    fn issue(kind: ServerCertificate) -> Result<Self, Box<dyn std::error::Error>> {
        Self::signed(kind, &Arc::new(Authority::new()?), &Arc::new(tempfile::tempdir()?))
    }

    fn signed(
        kind: ServerCertificate,
        authority: &Arc<Authority>,
        files: &Arc<TempDir>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let issuer = &authority.issuer;
        let (server, client) = (Pem::server(kind, issuer)?, Pem::client(issuer)?);
        Ok(Self { authority: Arc::clone(authority), server, client, files: Arc::clone(files) })
    }

    fn write_files(&self) -> std::io::Result<()> {
        self.write_file("ca.pem", &self.authority.ca.certificate)?;
        self.write_file("server-key.pem", &self.server.key)?;
        self.write_file("server.pem", &self.server.certificate)?;
        self.write_file("client-key.pem", &self.client.key)?;
        self.write_file("client.pem", &self.client.certificate)
    }

    /// Puts a new file in the place of the old one, so that nobody reads half of it.
    fn write_file(&self, name: &str, text: &str) -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(self.files.path())?;
        file.write_all(text.as_bytes())?;
        file.persist(self.files.path().join(name))?;
        Ok(())
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
    // All authorities made here have the same name: this tells which of them signed.
    params.use_authority_key_identifier_extension = true;
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
            certificates.connector(Some(&certificates));
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
    fn renewed_certificates_take_the_place_of_the_old_ones_in_the_same_files() {
        let old = TestCertificates::valid().require_client_certificate();
        let new = old.renew();
        assert_eq!((new.ca_pem(), new.server_file()), (old.ca_pem(), old.server_file()));
        assert_ne!(new.server_der(), old.server_der());
        let read = |file| std::fs::read_to_string(file).unwrap();
        assert_eq!(read(old.server_file()), new.server_pem());
        assert_eq!(read(old.server_key_file()), new.server_key_pem());
        assert_eq!(read(old.client_file()), new.client_pem());
        assert!(new.requires_client);
    }

    #[test]
    fn debug_output_has_no_private_key() {
        assert!(!format!("{:?}", TestCertificates::valid()).contains("PRIVATE"));
    }
}
