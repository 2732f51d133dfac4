//! Both ends of our TLS against each other, over loopback.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use eventflux_core::PropertySpec;
use eventflux_testkit::log_capture::LogCapture;
use eventflux_testkit::tls::TestCertificates;
use openssl::ssl::{SslConnector, SslMethod, SslVersion};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::*;
use crate::net::properties::{TLS_CA, TLS_KEY, TLS_SKIP_VERIFY};
use crate::net::tls_client::{TlsClient, TlsClientConfig, TlsError};

mod handshakes;
mod reload;

const DEADLINE: Duration = Duration::from_secs(10);

const CLIENT: &[PropertySpec] = &[MODE.default("client"), TLS_CA, TLS_CERT, TLS_KEY, TLS_SKIP_VERIFY];
const SERVER: &[PropertySpec] = &[MODE.default("server"), TLS_CERT, TLS_KEY, TLS_CLIENT_CA, TLS_CLIENT_AUTH];
const MODE: PropertySpec = PropertySpec::new("websocket.mode", eventflux_core::PropertyKind::Text, "Role.");

/// Certificate and key files that can be replaced.
struct Files(TempDir);

impl Files {
    fn of(certificates: &TestCertificates) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.replace(certificates.server_pem(), certificates.server_key_pem(), 0);
        files
    }

    /// `change` sets the files' times apart, however fast the test is.
    fn replace(&self, certificate: &str, key: &str, change: u64) {
        self.write("cert.pem", certificate, change);
        self.write("key.pem", key, change);
    }

    fn write(&self, name: &str, content: &str, change: u64) {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + change);
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn properties(&self) -> [(&'static str, String); 2] {
        [(TLS_CERT.key, "cert.pem"), (TLS_KEY.key, "key.pem")]
            .map(|(key, name)| (key, text(&self.path(name)).to_owned()))
    }

    fn logs(&self, logs: &LogCapture) -> LogCapture {
        logs.containing(self.0.path().to_str().unwrap())
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn server_config(raw: &[(&str, &str)]) -> Result<Option<TlsServerConfig>, EventFluxError> {
    TlsServerConfig::from_properties(&Properties::from_pairs(SERVER, raw.iter().copied()).unwrap())
}

/// An acceptor that looks at its files before every handshake.
fn acceptor(files: &Files, more: &[(&str, &str)]) -> Arc<Acceptor> {
    let own = files.properties();
    let raw: Vec<_> = own.iter().map(|(key, value)| (*key, value.as_str())).chain(more.iter().copied()).collect();
    server_config(&raw).unwrap().unwrap().acceptor_that_looks_every(Duration::ZERO).unwrap()
}

fn client(raw: &[(&str, &str)]) -> TlsClient {
    let properties = Properties::from_pairs(CLIENT, raw.iter().copied()).unwrap();
    TlsClientConfig::from_properties(&properties, true).unwrap().client().unwrap()
}

fn client_trusting(certificates: &TestCertificates) -> TlsClient {
    client(&[(TLS_CA.key, text(&certificates.ca_file()))])
}

/// A client that trusts `trusted` and has the certificate of `own`.
fn client_with_certificate(trusted: &TestCertificates, own: &TestCertificates) -> TlsClient {
    client(&[
        (TLS_CA.key, text(&trusted.ca_file())),
        (TLS_CERT.key, text(&own.client_file())),
        (TLS_KEY.key, text(&own.client_key_file())),
    ])
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (client.unwrap(), accepted.unwrap().0)
}

fn soon() -> tokio::time::Instant {
    tokio::time::Instant::now() + DEADLINE
}

/// What both ends say of a handshake.
async fn handshake(
    acceptor: &Arc<Acceptor>,
    client: &TlsClient,
) -> (Result<ByteStream, AcceptError>, Result<ByteStream, TlsError>) {
    let (near, far) = tcp_pair().await;
    tokio::join!(acceptor.accept(far, soon()), client.connect("localhost", near))
}

async fn session(acceptor: &Arc<Acceptor>, client: &TlsClient) -> (ByteStream, ByteStream) {
    let (server, client) = handshake(acceptor, client).await;
    (server.unwrap(), client.unwrap())
}

async fn talk(from: &mut ByteStream, to: &mut ByteStream) {
    from.write_all(b"ping").await.unwrap();
    from.flush().await.unwrap();
    let mut received = [0; 4];
    timeout(DEADLINE, to.read_exact(&mut received)).await.unwrap().unwrap();
    assert_eq!(&received, b"ping");
}

/// What both ends say when the server refuses the client's certificate. With TLS 1.3 the client learns of it after its
/// handshake, and after it has begun to send.
async fn refusal_of_certificate(acceptor: &Arc<Acceptor>, client: &TlsClient) -> (AcceptError, std::io::Error) {
    let (near, far) = tcp_pair().await;
    let talk = async {
        let mut client = client.connect("localhost", near).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        client.read_u8().await.unwrap_err()
    };
    let (refused, told) = timeout(DEADLINE, async { tokio::join!(acceptor.accept(far, soon()), talk) }).await.unwrap();
    (refused.unwrap_err(), told)
}
