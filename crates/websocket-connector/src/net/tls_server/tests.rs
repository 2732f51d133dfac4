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
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::net::properties::{TLS_CA, TLS_KEY, TLS_SKIP_VERIFY};
use crate::net::tls_client::{TlsClient, TlsClientConfig, TlsError};

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

#[tokio::test]
async fn bytes_pass_both_ways_at_once_and_each_direction_ends_on_its_own() {
    let certificates = TestCertificates::valid();
    let acceptor = acceptor(&Files::of(&certificates), &[]);
    let (server, client) = session(&acceptor, &client_trusting(&certificates)).await;
    assert_eq!(server.tcp().peer_addr().unwrap(), client.tcp().local_addr().unwrap());
    let payload: Arc<[u8]> = (0..1_000_000_u32).flat_map(u32::to_be_bytes).collect();
    let exchange = |mut stream: ByteStream| {
        let payload = Arc::clone(&payload);
        async move {
            let (mut reader, mut writer) = tokio::io::split(&mut stream);
            let mut received = Vec::new();
            let send = async {
                writer.write_all(&payload).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let (read, ()) = tokio::join!(reader.read_to_end(&mut received), send);
            read.unwrap();
            assert!(received == *payload);
        }
    };
    timeout(DEADLINE, async { tokio::join!(exchange(server), exchange(client)) }).await.unwrap();
}

#[tokio::test]
async fn a_shut_down_direction_ends_tcp_too() {
    let certificates = TestCertificates::valid();
    let acceptor = acceptor(&Files::of(&certificates), &[]);
    for server_ends in [true, false] {
        let (server, client) = session(&acceptor, &client_trusting(&certificates)).await;
        let (mut ending, other) = if server_ends { (server, client) } else { (client, server) };
        ending.shutdown().await.unwrap();
        let ended = async {
            let mut bytes = [0; 1024];
            loop {
                other.tcp().readable().await.unwrap();
                match other.tcp().try_read(&mut bytes) {
                    Ok(0) => return,
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
                }
            }
        };
        timeout(DEADLINE, ended).await.unwrap();
    }
}

#[tokio::test]
async fn bad_certificates_are_refused_with_the_reason_and_the_listener_learns_of_it() {
    for (certificates, why) in [
        (TestCertificates::self_signed(), "signed certificate)"),
        (TestCertificates::expired(), "certificate has expired)"),
        (TestCertificates::wrong_name(), "ostname mismatch)"),
    ] {
        let acceptor = acceptor(&Files::of(&certificates), &[]);
        let (server, refused) = handshake(&acceptor, &client_trusting(&certificates)).await;
        let refused = refused.unwrap_err();
        assert!(!refused.is_retryable());
        match refused {
            TlsError::ServerCertificate(reason) => {
                assert!(reason.starts_with("certificate verify failed (") && reason.ends_with(why), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(server.unwrap_err(), AcceptError::ServerCertificate(_)));
    }
}

#[tokio::test]
async fn an_unknown_authority_is_refused_and_no_check_at_all_can_be_asked_for() {
    let certificates = TestCertificates::valid();
    let acceptor = acceptor(&Files::of(&certificates), &[]);
    let (_, refused) = handshake(&acceptor, &client_trusting(&TestCertificates::valid())).await;
    assert!(matches!(refused.unwrap_err(), TlsError::ServerCertificate(_)));
    session(&acceptor, &client(&[(TLS_SKIP_VERIFY.key, "true")])).await;
}

#[test]
fn a_certificate_out_of_date_is_used_with_a_warning() {
    let logs = LogCapture::start();
    let files = Files::of(&TestCertificates::expired());
    acceptor(&files, &[]);
    files.logs(&logs).assert_logged(log::Level::Warn, "'EventFlux testkit server' has expired on Dec 31");
}

#[tokio::test]
async fn a_required_certificate_lets_in_only_clients_that_have_a_good_one() {
    let (certificates, others) = (TestCertificates::valid(), TestCertificates::valid());
    let ca = certificates.ca_file();
    let acceptor =
        acceptor(&Files::of(&certificates), &[(TLS_CLIENT_CA.key, text(&ca)), (TLS_CLIENT_AUTH.key, "require")]);
    let (mut server, mut client) = session(&acceptor, &client_with_certificate(&certificates, &certificates)).await;
    assert_eq!(client_name(&server).as_deref(), Some("EventFlux testkit client"));
    talk(&mut client, &mut server).await;
    for (client, reason) in [
        (client_trusting(&certificates), "peer did not return a certificate"),
        (client_with_certificate(&certificates, &others), "certificate verify failed (unable to get local issuer"),
    ] {
        let (server, client) = handshake(&acceptor, &client).await;
        match server.unwrap_err() {
            AcceptError::ClientCertificate(text) => assert!(text.contains(reason), "{text}"),
            other => panic!("{other:?}"),
        }
        // With TLS 1.3 the client's handshake was over before the server had seen the certificate.
        let error = timeout(DEADLINE, client.unwrap().read_u8()).await.unwrap().unwrap_err();
        assert!(matches!(TlsError::in_io(&error), Some(TlsError::ClientCertificate(_))), "{error}");
    }
}

#[tokio::test]
async fn a_requested_certificate_may_be_missing_but_not_be_bad() {
    let (certificates, others) = (TestCertificates::valid(), TestCertificates::valid());
    let ca = certificates.ca_file();
    let acceptor =
        acceptor(&Files::of(&certificates), &[(TLS_CLIENT_CA.key, text(&ca)), (TLS_CLIENT_AUTH.key, "request")]);
    let (server, _client) = session(&acceptor, &client_with_certificate(&certificates, &certificates)).await;
    assert!(client_name(&server).is_some());
    let (server, _client) = session(&acceptor, &client_trusting(&certificates)).await;
    assert_eq!(client_name(&server), None);
    let (server, _client) = handshake(&acceptor, &client_with_certificate(&certificates, &others)).await;
    assert!(matches!(server.unwrap_err(), AcceptError::ClientCertificate(_)));
}

#[tokio::test]
async fn changed_files_are_used_for_new_connections_and_old_ones_stay() {
    let (first, second) = (TestCertificates::valid(), TestCertificates::valid());
    let files = Files::of(&first);
    let acceptor = acceptor(&files, &[]);
    let (mut old_server, mut old_client) = session(&acceptor, &client_trusting(&first)).await;
    files.replace(second.server_pem(), second.server_key_pem(), 1);
    session(&acceptor, &client_trusting(&second)).await;
    let (_, refused) = handshake(&acceptor, &client_trusting(&first)).await;
    assert!(matches!(refused.unwrap_err(), TlsError::ServerCertificate(_)));
    talk(&mut old_client, &mut old_server).await;
    talk(&mut old_server, &mut old_client).await;
}

#[tokio::test]
async fn a_changed_file_of_authorities_is_taken_up() {
    let (certificates, others) = (TestCertificates::valid(), TestCertificates::valid());
    let files = Files::of(&certificates);
    files.write("ca.pem", others.ca_pem(), 0);
    let ca = files.path("ca.pem");
    let acceptor = acceptor(&files, &[(TLS_CLIENT_CA.key, text(&ca)), (TLS_CLIENT_AUTH.key, "require")]);
    let client = client_with_certificate(&certificates, &certificates);
    let (server, _client) = handshake(&acceptor, &client).await;
    assert!(matches!(server.unwrap_err(), AcceptError::ClientCertificate(_)));
    files.write("ca.pem", &format!("{}{}", others.ca_pem(), certificates.ca_pem()), 1);
    session(&acceptor, &client).await;
}

#[tokio::test]
async fn a_bad_new_pair_is_reported_once_and_the_old_one_stays_until_a_good_one_comes() {
    let logs = LogCapture::start();
    let (first, second) = (TestCertificates::valid(), TestCertificates::valid());
    let files = Files::of(&first);
    let acceptor = acceptor(&files, &[]);
    files.replace(second.server_pem(), first.server_key_pem(), 1);
    for _ in 0..3 {
        session(&acceptor, &client_trusting(&first)).await;
    }
    let errors = files.logs(&logs).at_least(log::Level::Error).lines();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].message.contains("does not fit"), "{errors:?}");
    fs::remove_file(files.path("key.pem")).unwrap();
    session(&acceptor, &client_trusting(&first)).await;
    assert_eq!(files.logs(&logs).at_least(log::Level::Error).lines().len(), 2);
    files.replace(second.server_pem(), second.server_key_pem(), 2);
    session(&acceptor, &client_trusting(&second)).await;
    files.logs(&logs).assert_logged(log::Level::Info, "in use for new connections");
}

#[tokio::test]
async fn files_are_not_looked_at_more_often_than_they_should_be() {
    let (first, second) = (TestCertificates::valid(), TestCertificates::valid());
    let files = Files::of(&first);
    let acceptor = acceptor(&files, &[]).config.acceptor_that_looks_every(Duration::from_secs(3600)).unwrap();
    files.replace(second.server_pem(), second.server_key_pem(), 1);
    session(&acceptor, &client_trusting(&first)).await;
}

#[tokio::test]
async fn a_client_that_says_nothing_or_half_a_hello_is_given_up_at_the_deadline() {
    let acceptor = acceptor(&Files::of(&TestCertificates::valid()), &[]);
    // A handshake record of 512 bytes, of which four come.
    for sent in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"] {
        let (mut near, far) = tcp_pair().await;
        near.write_all(sent).await.unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_millis(20);
        assert_eq!(acceptor.accept(far, deadline).await.unwrap_err(), AcceptError::Late);
        assert!(near.read_u8().await.is_err(), "the connection is closed");
    }
}

#[tokio::test]
async fn what_is_not_tls_is_refused_as_such() {
    let acceptor = acceptor(&Files::of(&TestCertificates::valid()), &[]);
    for sent in [&b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..], b"CONNECT h:1 HTTP/1.1\r\n\r\n", b"SSH-2.0-OpenSSH\r\n"] {
        let (mut near, far) = tcp_pair().await;
        near.write_all(sent).await.unwrap();
        let error = acceptor.accept(far, soon()).await.unwrap_err();
        assert!(matches!(error, AcceptError::NotTls(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_is_told_from_one_that_is_wrong() {
    let acceptor = acceptor(&Files::of(&TestCertificates::valid()), &[]);
    let (near, far) = tcp_pair().await;
    drop(near);
    let error = acceptor.accept(far, soon()).await.unwrap_err();
    assert!(matches!(error, AcceptError::Gone(_)), "{error:?}");
}

#[tokio::test]
async fn a_client_learns_that_the_server_does_not_speak_tls() {
    let (near, mut far) = tcp_pair().await;
    far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    let error = client(&[]).connect("localhost", near).await.unwrap_err();
    assert!(matches!(error, TlsError::NotTls(_)), "{error:?}");
}

#[tokio::test]
async fn tls_1_2_is_the_oldest_version() {
    let acceptor = acceptor(&Files::of(&TestCertificates::valid()), &[]);
    for (version, accepted) in [(SslVersion::TLS1_1, false), (SslVersion::TLS1_2, true), (SslVersion::TLS1_3, true)] {
        let mut builder = SslConnector::builder(SslMethod::tls()).unwrap();
        builder.set_verify(SslVerifyMode::NONE);
        // Else OpenSSL itself would not say hello with an old version.
        builder.set_security_level(0);
        builder.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
        builder.set_min_proto_version(Some(version)).unwrap();
        builder.set_max_proto_version(Some(version)).unwrap();
        let ssl = builder.build().configure().unwrap().verify_hostname(false).into_ssl("localhost").unwrap();
        let (near, far) = tcp_pair().await;
        let mut client = SslStream::new(ssl, near).unwrap();
        let (server, _) = tokio::join!(acceptor.accept(far, soon()), Pin::new(&mut client).connect());
        assert_eq!(server.is_ok(), accepted, "{version:?} {server:?}");
    }
}

#[test]
fn settings_without_effect_are_refused() {
    let file = "/x.pem";
    for (raw, property, reason) in [
        (&[(TLS_CERT.key, file)][..], TLS_KEY.key, "is needed with websocket.tls.cert.file"),
        (&[(TLS_KEY.key, file)], TLS_CERT.key, "is needed with websocket.tls.key.file"),
        (&[(TLS_CLIENT_CA.key, file)], TLS_CLIENT_CA.key, "has no effect without websocket.tls.cert.file"),
        (&[(TLS_CLIENT_AUTH.key, "require")], TLS_CLIENT_AUTH.key, "has no effect without websocket.tls.cert.file"),
        (
            &[(TLS_CERT.key, file), (TLS_KEY.key, file), (TLS_CLIENT_AUTH.key, "request")],
            TLS_CLIENT_CA.key,
            "is needed with websocket.tls.client.auth='request'",
        ),
        (
            &[(TLS_CERT.key, file), (TLS_KEY.key, file), (TLS_CLIENT_CA.key, file)],
            TLS_CLIENT_CA.key,
            "has no effect with websocket.tls.client.auth='none'",
        ),
    ] {
        let error = server_config(raw).unwrap_err().to_string();
        assert!(error.starts_with(&format!("property '{property}': {reason}")), "{error}");
    }
    assert_eq!(server_config(&[]).unwrap(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_a_client_sends_first_ends_in_an_error(hello in proptest::collection::vec(any::<u8>(), 0..600), record: bool) {
        let start: &[u8] = if record { b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03" } else { b"" };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let acceptor = acceptor(&Files::of(&TestCertificates::valid()), &[]);
            let (mut near, far) = tcp_pair().await;
            near.write_all(&[start, &hello].concat()).await.unwrap();
            near.shutdown().await.unwrap();
            let error = acceptor.accept(far, soon()).await.unwrap_err();
            assert!(error != AcceptError::Late, "{error:?}");
        });
    }
}
