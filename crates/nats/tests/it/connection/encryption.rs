//! TLS: asked for by us, by the server, before its greeting, with certificates of both sides.

use std::sync::Arc;

use eventflux_core::health::ConnectionState;
use eventflux_nats::connection::ERRORS;
use eventflux_nats::{Connection, ConnectionConfig};
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::tls::TestCertificates;
use futures_util::StreamExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{config, count, eager, observer, open, shows, within};

fn server_with(certificates: &TestCertificates, more: &str) -> NatsServer {
    let (certificate, key) = (certificates.server_file(), certificates.server_key_file());
    let ca = certificates.ca_file();
    NatsServer::start_with(&format!(
        "tls {{ cert_file: '{}', key_file: '{}', ca_file: '{}' {more} }}",
        certificate.display(),
        key.display(),
        ca.display()
    ))
}

/// Gives up after one attempt.
fn once(url: &str, pairs: &[(&str, &str)]) -> ConnectionConfig {
    eager(url, &[pairs, &[("nats.reconnect.max.attempts", "1")]].concat())
}

async fn assert_works(config: &ConnectionConfig, name: &str) {
    let connection = open(config, &observer(name)).await.unwrap();
    assert_eq!(Connection::validate(config), Ok(()));
    let mut subscription = connection.client().subscribe("a").await.unwrap();
    connection.client().publish("a", "in private".into()).await.unwrap();
    assert_eq!(within(subscription.next()).await.unwrap().payload, "in private");
}

async fn assert_refused(config: &ConnectionConfig, name: &str, reason: &str) {
    let observer = observer(name);
    let error = open(config, &observer).await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains(reason), "{error}");
    assert_eq!(count(&observer, ERRORS, "connect"), 1);
}

#[tokio::test]
async fn a_server_whose_certificate_is_trusted() {
    let certificates = TestCertificates::valid();
    let (server, ca) = (server_with(&certificates, ""), certificates.ca_file());
    let trusted = ("nats.tls.ca", ca.to_str().unwrap());
    assert_works(&once(&server.url(), &[trusted]), "Trusted").await;
    let tls_url = server.url().replace("nats://", "tls://");
    assert_works(&once(&tls_url, &[trusted, ("nats.tls", "true")]), "TrustedScheme").await;
    let by_name = format!("tls://localhost:{}", server.address().port());
    assert_works(&once(&by_name, &[trusted]), "TrustedName").await;
}

#[tokio::test]
async fn servers_that_are_not_who_they_say_are_refused_with_the_reason() {
    let own = TestCertificates::valid();
    let cases = [
        (TestCertificates::valid(), own.ca_file(), "invalid peer certificate"),
        (TestCertificates::self_signed(), own.ca_file(), "invalid peer certificate"),
    ];
    for (certificates, ca, reason) in cases {
        let server = server_with(&certificates, "");
        let config = once(&server.url(), &[("nats.tls.ca", ca.to_str().unwrap())]);
        assert_refused(&config, "NotTrusted", reason).await;
        let error = open(&config, &observer("NotTrustedKind")).await.unwrap_err();
        assert!(!error.is_retryable(), "certificates do not become valid by waiting");
    }
    for (certificates, reason) in
        [(TestCertificates::expired(), "expired"), (TestCertificates::wrong_name(), "not valid for name")]
    {
        let server = server_with(&certificates, "");
        let ca = certificates.ca_file();
        let config = once(&server.url(), &[("nats.tls.ca", ca.to_str().unwrap())]);
        assert_refused(&config, "NotValid", reason).await;
    }
}

#[tokio::test]
async fn certificates_of_the_system_do_not_vouch_for_a_private_server() {
    let server = server_with(&TestCertificates::valid(), "");
    assert_refused(&once(&server.url(), &[]), "NotPublic", "invalid peer certificate").await;
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_not_talked_to_when_it_has_to() {
    let (server, certificates) = (NatsServer::start(), TestCertificates::valid());
    let ca = certificates.ca_file();
    let (ca, tls_url) = (("nats.tls.ca", ca.to_str().unwrap()), server.url().replace("nats://", "tls://"));
    for config in [once(&server.url(), &[("nats.tls", "true")]), once(&server.url(), &[ca]), once(&tls_url, &[])] {
        let error = open(&config, &observer("Plain")).await.unwrap_err();
        assert!(matches!(error, eventflux_core::EventFluxError::ConnectionUnavailable { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_ours() {
    let certificates = TestCertificates::valid();
    let server = server_with(&certificates, ", verify: true");
    let files = [certificates.ca_file(), certificates.client_file(), certificates.client_key_file()];
    let [ca, certificate, key] = files.each_ref().map(|file| file.to_str().unwrap());
    let identity = [("nats.tls.ca", ca), ("nats.tls.cert", certificate), ("nats.tls.key", key)];
    assert_works(&once(&server.url(), &identity), "Identified").await;
    let without = open(&once(&server.url(), &[("nats.tls.ca", ca)]), &observer("Unidentified")).await;
    assert!(without.is_err());
    let stranger = TestCertificates::valid();
    let files = [stranger.client_file(), stranger.client_key_file()];
    let [certificate, key] = files.each_ref().map(|file| file.to_str().unwrap());
    let strange = [("nats.tls.ca", ca), ("nats.tls.cert", certificate), ("nats.tls.key", key)];
    assert!(open(&once(&server.url(), &strange), &observer("Stranger")).await.is_err());
}

#[tokio::test]
async fn certificates_are_read_again_for_each_connect() {
    let certificates = TestCertificates::valid();
    let (server, observer) = (server_with(&certificates, ", verify: true"), observer("Renewal"));
    let files = [certificates.ca_file(), certificates.client_file(), certificates.client_key_file()];
    let [ca, certificate, key] = files.each_ref().map(|file| file.to_str().unwrap());
    let identity = [("nats.tls.ca", ca), ("nats.tls.cert", certificate), ("nats.tls.key", key)];
    let connection = open(&eager(&server.url(), &identity), &observer).await.unwrap();
    let away = certificates.client_file().with_extension("away");
    std::fs::rename(certificates.client_file(), &away).unwrap();
    let reconnected = connection.reconnected();
    server.restart();
    shows(&observer, ConnectionState::Reconnecting, "TLS error").await;
    certificates.renew();
    within(reconnected).await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_errors_of_configuration() {
    let (directory, certificates) = (tempfile::tempdir().unwrap(), TestCertificates::valid());
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    let (absent, ca) = (directory.path().join("absent.pem"), certificates.ca_file());
    let [empty, absent, ca] = [&empty, &absent, &ca].map(|file| file.to_str().unwrap());
    for (key, pairs) in [
        ("nats.tls.ca", vec![("nats.tls.ca", absent)]),
        ("nats.tls.ca", vec![("nats.tls.ca", empty)]),
        ("nats.tls.cert", vec![("nats.tls.cert", absent), ("nats.tls.key", absent)]),
        ("nats.tls.key", vec![("nats.tls.cert", ca), ("nats.tls.key", empty)]),
    ] {
        let config = config(&[&[("nats.url", "nats://127.0.0.1:1")], &pairs[..]].concat());
        let error = open(&config, &observer("Files")).await.unwrap_err();
        assert_eq!(error.error_type(), "configuration");
        assert!(error.to_string().contains(&format!("'{key}'")) && error.to_string().contains(".pem"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_begins_before_the_greeting_where_servers_want_that() {
    let (server, certificates) = (NatsServer::start(), TestCertificates::valid());
    let address = encrypt_before(&certificates, &server).await;
    let ca = certificates.ca_file();
    let trusted = ("nats.tls.ca", ca.to_str().unwrap());
    let url = format!("nats://{address}");
    assert_works(&once(&url, &[trusted, ("nats.tls.first", "true")]), "HandshakeFirst").await;
    // A server that waits for TLS does not greet.
    let greeted = once(&url, &[trusted, ("nats.connect.timeout", "200ms")]);
    assert_refused(&greeted, "GreetingFirst", "timed out").await;
}

/// Takes TLS connections, and hands them on to a server that knows nothing of TLS: to clients a server that wants TLS
/// before its greeting, which the one that is tested with cannot do itself.
async fn encrypt_before(certificates: &TestCertificates, server: &NatsServer) -> std::net::SocketAddr {
    let certificate = CertificateDer::from_pem_slice(certificates.server_pem().as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(certificates.server_key_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let (acceptor, upstream) = (TlsAcceptor::from(Arc::new(config)), server.address());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut server = TcpStream::connect(upstream).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    address
}
