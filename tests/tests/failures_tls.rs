//! TLS that is none, stalls, shows a bad certificate, or ends without a goodbye.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on panics")]

mod support;

use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use eventflux_core::health::ConnectionState;
use eventflux_testkit::peer::frames::{Side, partial_text};
use eventflux_testkit::peer::{RawFrame, Script, ScriptedClient, ScriptedPeer};
use eventflux_testkit::tls::TestCertificates;
use openssl::ssl::{SslAcceptor, SslConnector, SslFiletype, SslMethod, SslStream};
use support::raw::{Raw, request, text};
use support::server::Server;
use support::{Pipeline, QUICK, client, numbers, relay};

/// The begin of a ClientHello: the headers of its record and of itself, and the version.
const HELLO: [u8; 11] = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];

/// The first byte of an alert.
const ALERT: u8 = 0x15;

/// A pipeline that listens with this certificate.
fn secure(certificates: &TestCertificates, properties: &str) -> Server {
    let (certificate, key) = (certificates.server_file(), certificates.server_key_file());
    let files = format!(
        "websocket.tls.cert.file='{}', websocket.tls.key.file='{}'{properties}",
        certificate.display(),
        key.display()
    );
    Server::start_for(&files, &|url| ScriptedClient::builder(url).tls(certificates.clone()).connect().blocking())
}

/// A TLS session of a client.
fn session(server: &Server, certificates: &TestCertificates) -> Raw<SslStream<TcpStream>> {
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_ca_file(certificates.ca_file()).unwrap();
    Raw { stream: connector.build().connect("localhost", server.raw().stream).unwrap() }
}

/// The properties of a client of servers with these certificates.
fn trusting(certificates: &TestCertificates) -> String {
    format!("websocket.tls.ca.file='{}', websocket.close.timeout='300ms', {QUICK}", certificates.ca_file().display())
}

/// A feed whose connections are served one after the other, each by its function. Returns its URL.
fn feed(
    certificates: &TestCertificates,
    serve: impl IntoIterator<Item = fn(Raw<SslStream<TcpStream>>)> + Send + 'static,
) -> (String, JoinHandle<()>) {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_certificate_chain_file(certificates.server_file()).unwrap();
    acceptor.set_private_key_file(certificates.server_key_file(), SslFiletype::PEM).unwrap();
    let acceptor = acceptor.build();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://localhost:{}", listener.local_addr().unwrap().port());
    let serve: Vec<_> = serve.into_iter().collect();
    let serving = std::thread::spawn(move || {
        for serve in serve {
            let mut raw = Raw { stream: acceptor.accept(Raw::accept(&listener).stream).unwrap() };
            raw.welcome();
            serve(raw);
        }
    });
    (url, serving)
}

/// Ends TCP beneath TLS, which nobody is told.
fn cut(raw: Raw<SslStream<TcpStream>>) {
    raw.stream.get_ref().shutdown(Shutdown::Both).unwrap();
}

#[test]
fn whoever_speaks_no_tls_is_closed_without_an_answer() {
    let server = secure(&TestCertificates::valid(), "");
    let plain = [request("/in", "").into_bytes(), b"SSH-2.0-x\r\n".repeat(10), vec![0; 100], text("{\"n\":1}")];
    for bytes in &plain {
        let mut raw = server.raw();
        raw.send(bytes);
        let answer = raw.rest_or_reset();
        assert!(answer.first().is_none_or(|first| *first == ALERT) && answer.len() < 10, "{answer:?}");
        server.serves();
    }
    assert_eq!(server.refused("tls"), plain.len() as u64);
    server.stop();
}

#[test]
fn a_hello_that_stalls_is_closed_at_the_deadline() {
    let certificates = TestCertificates::valid();
    let server = secure(&certificates, ", websocket.handshake.timeout='1s'");
    let mut silent = server.raw();
    let mut half = server.raw();
    half.send(HELLO);
    let mut idle = session(&server, &certificates);
    assert_eq!(server.raw().dribble(&[&HELLO[..], &[0; 400]].concat(), Duration::from_millis(10)), b"");
    server.serves();
    for mut raw in [silent.another(), half] {
        assert_eq!(raw.rest_or_reset(), b"");
    }
    assert!(idle.head().starts_with("HTTP/1.1 408 "));
    assert_eq!(silent.rest_or_reset(), b"");
    assert_eq!(server.refused("tls") + server.refused("late"), 3);
    assert_eq!(server.refused("408"), 1);
    server.stop();
}

#[test]
fn a_client_that_ends_without_close_notify_is_lost_and_what_it_had_said_counts() {
    let certificates = TestCertificates::valid();
    let server = secure(&certificates, "");
    let mut raw = session(&server, &certificates);
    raw.upgrade("/in", "");
    raw.send([text("{\"n\":1}"), partial_text(Side::Client, 10, 100)].concat());
    server.delivers(1);
    cut(raw);
    server.is_left_alone();
    assert_eq!(server.pipeline.metric("eventflux_source_failed_total", "Fed"), 0);
    let logged = server.pipeline.logged("/in client");
    assert!(logged.iter().any(|line| line.contains("without a Close frame")), "{logged:?}");
    server.stop();
}

#[test]
fn a_feed_that_ends_without_close_notify_is_a_gap_and_comes_back() {
    let certificates = TestCertificates::valid();
    let receiver = ScriptedPeer::builder().start();
    let (url, feed) = feed(
        &certificates,
        [
            |mut raw: Raw<SslStream<TcpStream>>| {
                raw.send([RawFrame::text("{\"n\":0}").encode(), partial_text(Side::Server, 10, 100)].concat());
                cut(raw);
            },
            |mut raw: Raw<SslStream<TcpStream>>| {
                raw.send([RawFrame::text("{\"n\":1}").encode(), RawFrame::close(1001, "").encode()].concat());
                raw.stream.shutdown().unwrap();
                raw.rest_or_reset();
            },
            |mut raw: Raw<SslStream<TcpStream>>| {
                raw.send(RawFrame::text("{\"n\":2}").encode());
                raw.rest_or_reset();
            },
        ],
    );
    let pipeline = Pipeline::start(&relay(&url, &trusting(&certificates), receiver.url(), ""));
    assert_eq!(numbers(&receiver.wait_for_messages(3).blocking()), [0, 1, 2]);
    assert_eq!(pipeline.metric("eventflux_source_gaps_total", "Fed"), 2);
    pipeline.stop();
    feed.join().unwrap();
}

#[test]
fn without_close_notify_an_end_is_an_error_where_a_goodbye_is_none() {
    let certificates = TestCertificates::valid();
    let properties = trusting(&certificates).replace(QUICK, "websocket.reconnect='false'");
    for (serve, expected) in [
        ((|raw| cut(raw)) as fn(Raw<SslStream<TcpStream>>), ConnectionState::Failed),
        (
            |mut raw| {
                raw.send(RawFrame::close(1000, "").encode());
                // Also when TCP ends without a goodbye of TLS afterwards.
                cut(raw);
            },
            ConnectionState::Stopped,
        ),
    ] {
        let (url, feed) = feed(&certificates, [serve]);
        let sql = client("source", &url, &properties);
        let pipeline = Pipeline::start(&format!("{sql} CREATE STREAM Fed (n BIGINT);"));
        pipeline.wait_for_state("Fed", expected);
        pipeline.stop();
        feed.join().unwrap();
    }
}

/// Answers whatever comes as a server without TLS does.
fn plain() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        loop {
            let mut raw = Raw::accept(&listener);
            raw.exactly(HELLO.len());
            raw.send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    url
}

#[test]
fn a_server_that_cannot_be_trusted_or_stalls_is_an_error_of_its_stream_only() {
    let peer = |certificates: &TestCertificates| {
        let script = Script::new().accept().send_text("{\"n\":1}");
        ScriptedPeer::builder().tls(certificates.clone()).script(script).start()
    };
    let good = TestCertificates::valid();
    let bad = [TestCertificates::expired(), TestCertificates::self_signed(), TestCertificates::wrong_name()];
    let peers: Vec<_> = bad.iter().map(peer).collect();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("wss://{}", silent.local_addr().unwrap());
    let hasty = format!("{}, websocket.connect.timeout='300ms'", trusting(&good));
    let cases = [
        (peers[0].url(), trusting(&bad[0]), "expired"),
        (peers[1].url(), trusting(&bad[1]), "self-signed"),
        (peers[2].url(), trusting(&bad[2]), "mismatch"),
        (&silent_url, hasty, "no connection within 300ms"),
        (&plain(), trusting(&good), "does not speak TLS"),
    ];
    let good_peer = peer(&good);
    let mut sql = format!("{} CREATE STREAM Good (n BIGINT);", client("source", good_peer.url(), &trusting(&good)));
    for (number, (url, properties, _)) in cases.iter().enumerate() {
        sql += &format!("{} CREATE STREAM S{number} (n BIGINT);", client("source", url, properties));
    }
    let pipeline = Pipeline::start(&sql);
    pipeline.wait_for_metric("eventflux_source_messages_total", "Good", 1);
    for (number, (.., reason)) in cases.iter().enumerate() {
        let stream = format!("S{number}");
        pipeline.wait_for_detail(&stream, reason);
        pipeline.wait_for_state(&stream, ConnectionState::Reconnecting);
        assert_eq!(pipeline.metric("eventflux_source_messages_total", &stream), 0, "{reason}");
    }
    for peer in &peers {
        peer.wait_for_tls_failure().blocking();
        assert!(peer.record().handshakes.is_empty());
    }
    pipeline.wait_for_state("Good", ConnectionState::Connected);
    pipeline.stop();
}
