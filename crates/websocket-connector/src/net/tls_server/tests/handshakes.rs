//! Who gets a session and who does not.

use super::*;

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
        let (refused, told) = refusal_of_certificate(&acceptor, &client).await;
        match refused {
            AcceptError::ClientCertificate(text) => assert!(text.contains(reason), "{text}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(told.kind(), std::io::ErrorKind::PermissionDenied, "{told}");
        let inside = told.get_ref().and_then(|inner| inner.downcast_ref());
        assert!(matches!(inside, Some(TlsError::ClientCertificate(_))), "{told}");
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
    let (refused, _) = refusal_of_certificate(&acceptor, &client_with_certificate(&certificates, &others)).await;
    assert!(matches!(refused, AcceptError::ClientCertificate(_)));
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
