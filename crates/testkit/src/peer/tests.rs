mod extensions;

use std::time::{Duration, Instant};

use super::*;
use crate::tls::TestCertificates;

async fn failure_of(script: Script, client: Script) -> String {
    let peer = ScriptedPeer::builder().script(script).start();
    if let Ok(connection) = ScriptedClient::builder(peer.url()).attempt().await {
        // What the client makes of a failing peer is not the point here.
        let _ = connection.play(client).result().await;
    }
    peer.finish().result().await.unwrap_err()
}

#[tokio::test]
async fn a_script_that_is_followed_finishes_and_everything_is_recorded() {
    let peer = ScriptedPeer::builder()
        .script(
            Script::new()
                .expect_path("/feed?x=1")
                .expect_header("X-Api-Key", "k1")
                .expect_no_header("Authorization")
                .expect_subprotocol("v2")
                .choose_subprotocol("v2")
                .accept()
                .expect_text("hello")
                .send_binary("world")
                .ping("still there?")
                .expect_close(1000),
        )
        .start();
    let client = ScriptedClient::builder(format!("{}/feed?x=1", peer.url()))
        .header("X-Api-Key", "k1")
        .subprotocol("v1, v2")
        .connect()
        .await;
    assert_eq!(client.subprotocol(), Some("v2"));
    client.play(Script::new().send_text("hello").expect_binary("world")).await;
    client.wait_for("a ping", |record| (record.pings == 1).then_some(())).await;
    client.close(1000, "bye").await;
    peer.finish().await;

    let record = peer.record();
    assert_eq!((record.connections, record.open, record.pongs), (1, 0, 1));
    assert_eq!(record.handshakes[0].path, "/feed?x=1");
    assert_eq!(record.closes, [ReceivedClose { connection: 0, code: Some(1000), reason: "bye".into() }]);
    assert_eq!(peer.messages(), ["hello".into()]);
}

#[tokio::test]
async fn a_wrong_message_is_reported_with_what_was_expected_and_what_came() {
    let failure = failure_of(Script::new().expect_text("a"), Script::new().send_text("b")).await;
    assert!(failure.contains("step 1 (expect text \"a\"): got text \"b\""), "{failure}");
}

#[tokio::test]
async fn a_missing_message_is_reported_at_the_steps_deadline() {
    let script = Script::new().within(Duration::from_millis(20)).expect_text("a");
    let failure = failure_of(script, Script::new().expect_end()).await;
    assert!(failure.contains("did not happen within 20ms"), "{failure}");
}

#[tokio::test]
async fn a_wrong_header_path_or_subprotocol_is_reported() {
    for (script, expected) in [
        (Script::new().expect_header("X-Key", "k"), "there is no such header"),
        (Script::new().expect_header("Upgrade", "h2c"), "is \"websocket\""),
        (Script::new().expect_path("/other"), "the path is \"/\""),
        (Script::new().expect_subprotocol("v1"), "offers []"),
        (Script::new().expect_no_header("Host"), "is there"),
    ] {
        let failure = failure_of(script, Script::new()).await;
        assert!(failure.contains(expected), "{failure}");
    }
}

#[tokio::test]
async fn an_early_end_of_the_connection_is_reported() {
    let failure = failure_of(Script::new().expect_text("a"), Script::new().close(1001, "off")).await;
    assert!(failure.contains("closed by the other end with 1001 \"off\""), "{failure}");
}

#[tokio::test]
async fn a_panicking_predicate_is_reported_and_contained() {
    let script = Script::new().expect("a number", |message| message.as_text().unwrap().parse::<u32>().unwrap() > 0);
    let failure = failure_of(script, Script::new().send_text("x")).await;
    assert!(failure.contains("a panic: called `Result::unwrap()`"), "{failure}");
}

#[tokio::test]
async fn an_unused_script_is_reported() {
    let peer = ScriptedPeer::builder().script(Script::new()).script(Script::new()).start();
    let _client = ScriptedClient::connect(peer.url()).await;
    let failure = peer.finish_within(Duration::from_millis(50)).result().await.unwrap_err();
    assert!(failure.contains("only 1 of 2 scripts were used"), "{failure}");
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_refused_and_reported() {
    let violations = frames::violations(Side::Client);
    for violation in &violations {
        let peer = ScriptedPeer::builder().start();
        let client = ScriptedClient::connect(peer.url()).await;
        client.send_raw(violation.bytes.clone()).await;
        client.expect_close(violation.close_code).await;
        let failure = peer.finish().result().await.unwrap_err();
        assert!(failure.contains("broke the protocol"), "{}: {failure}", violation.name);
    }
}

#[tokio::test]
#[should_panic(expected = "dropped after failures")]
async fn a_peer_dropped_without_finish_still_fails_the_test() {
    let peer = ScriptedPeer::builder().script(Script::new().expect_text("a")).start();
    let client = ScriptedClient::connect(peer.url()).await;
    // The peer may hang up before the client knows that all is written.
    let _ = client.send_text("b").result().await;
    crate::wait::eventually(Duration::from_secs(5), || !peer.common_failed().is_empty()).await;
}

#[tokio::test]
async fn connections_get_their_scripts_in_order_and_the_last_one_is_repeated() {
    let peer = ScriptedPeer::builder()
        .script(Script::new().send_text("first"))
        .script(Script::new().send_text("later"))
        .start();
    for expected in ["first", "later", "later"] {
        ScriptedClient::connect(peer.url()).await.expect_text(expected).await;
    }
    peer.finish().await;
}

#[tokio::test]
async fn a_rejected_handshake_has_status_headers_and_body() {
    let script = Script::new().reject_with_headers(503, [("Retry-After", "7")], "come back later");
    let peer = ScriptedPeer::builder().script(script).start();
    let Err(Refused::Http(answer)) = ScriptedClient::builder(peer.url()).attempt().await else { panic!("accepted") };
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("7")));
    assert_eq!(answer.body, "come back later");
    peer.finish().await;
}

#[tokio::test]
async fn a_first_message_in_the_packet_of_the_handshake_is_read() {
    let peer = ScriptedPeer::builder().script(Script::new().accept_with_first_message("early")).start();
    ScriptedClient::connect(peer.url()).await.expect_text("early").await;
}

#[tokio::test]
async fn a_wrong_accept_key_and_a_subprotocol_nobody_offered_are_noticed() {
    let wrong_key = Script::new().respond_header("Sec-WebSocket-Accept", "bm9uc2Vuc2U=").accept();
    let uninvited = Script::new().choose_subprotocol("v9").accept();
    for (script, expected) in [(wrong_key, "wrong Sec-WebSocket-Accept"), (uninvited, "not offered")] {
        let peer = ScriptedPeer::builder().script(script).start();
        let refused = ScriptedClient::builder(peer.url()).attempt().await.unwrap_err();
        assert!(refused.to_string().contains(expected), "{refused}");
    }
}

#[tokio::test]
async fn an_invalid_request_is_answered_with_400_and_reported() {
    let peer = ScriptedPeer::builder().script(Script::new().accept()).start();
    let request = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n";
    let refused = ScriptedClient::builder(peer.url()).raw_request(request).attempt().await.unwrap_err();
    assert!(refused.to_string().contains("400"), "{refused}");
    assert!(peer.finish().result().await.unwrap_err().contains("no Connection header"));
}

#[tokio::test]
async fn a_stalled_handshake_never_answers() {
    let peer = ScriptedPeer::builder().script(Script::new().stall()).start();
    let attempt = ScriptedClient::builder(peer.url()).attempt();
    attempt.within(Duration::from_millis(50)).result().await.unwrap_err();
    peer.finish().await;
}

#[tokio::test]
async fn the_ways_to_end_a_connection_look_different_from_the_other_end() {
    let ending = async |script: Script| {
        let peer = ScriptedPeer::builder().script(script).start();
        ScriptedClient::connect(peer.url()).await.wait_for_end().await
    };
    assert!(matches!(ending(Script::new().accept().reset()).await, Ending::Failed(_)));
    assert_eq!(ending(Script::new().accept().hang_up()).await, Ending::HungUp);
    assert_eq!(
        ending(Script::new().close(1012, "restart")).await,
        Ending::Closed { code: Some(1012), reason: "restart".into() }
    );
    let refused = ScriptedPeer::builder().script(Script::new().hang_up()).start();
    assert!(ScriptedClient::builder(refused.url()).attempt().await.is_err());
}

#[tokio::test]
async fn a_signal_releases_the_script() {
    let peer = ScriptedPeer::builder().script(Script::new().wait_for_signal("go").send_text("gone")).start();
    let client = ScriptedClient::connect(peer.url()).await;
    client.wait_for_messages(1).within(Duration::from_millis(30)).result().await.unwrap_err();
    peer.signal("go");
    client.expect_text("gone").await;
}

#[tokio::test]
async fn steps_can_be_played_on_open_connections() {
    let peer = ScriptedPeer::builder().start();
    let clients = [ScriptedClient::connect(peer.url()).await, ScriptedClient::connect(peer.url()).await];
    peer.play(0, Script::new().send_text("only you")).await;
    peer.play_on_all(Script::new().send_text("both")).await;
    clients[0].play(Script::new().expect_text("only you").expect_text("both")).await;
    clients[1].expect_text("both").await;
    assert!(peer.play(7, Script::new()).result().await.unwrap_err().contains("no such open connection"));
}

#[tokio::test]
async fn cut_resets_open_connections_and_new_ones_are_accepted() {
    let peer = ScriptedPeer::builder().script(Script::new().wait_for_signal("never")).start();
    let client = ScriptedClient::connect(peer.url()).await;
    peer.cut();
    assert!(matches!(client.wait_for_end().await, Ending::Failed(_)));
    peer.finish().await;
    ScriptedClient::connect(peer.url()).await;
}

#[tokio::test]
async fn a_peer_refuses_and_accepts_again_on_the_same_port() {
    let peer = ScriptedPeer::builder().start();
    peer.refuse_connections().await;
    assert!(matches!(ScriptedClient::builder(peer.url()).attempt().await, Err(Refused::Failed(_))));
    peer.accept_connections().await;
    ScriptedClient::connect(peer.url()).await;
}

#[tokio::test]
async fn pings_are_answered_unless_the_script_ignores_them() {
    let peer = ScriptedPeer::builder().script(Script::new().accept().ignore_pings()).start();
    let client = ScriptedClient::connect(peer.url()).await;
    let unanswered = client.play(Script::new().within(Duration::from_millis(50)).ping("p")).result().await;
    assert!(unanswered.unwrap_err().contains("did not happen"));

    let answering = ScriptedPeer::builder().start();
    ScriptedClient::connect(answering.url()).await.play(Script::new().flood_pings(5000).ping("last")).await;
    assert_eq!(answering.record().pings, 5001);
}

#[tokio::test]
async fn an_ignored_close_is_not_answered() {
    let peer = ScriptedPeer::builder().script(Script::new().accept().ignore_close()).start();
    let client = ScriptedClient::connect(peer.url()).await;
    let close = Script::new().within(Duration::from_millis(50)).close(1000, "");
    assert!(client.play(close).result().await.is_err());
    assert_eq!(peer.wait_for_close().await.code, Some(1000));
    assert_eq!(peer.record().open, 1);
}

#[tokio::test]
async fn a_peer_that_does_not_read_blocks_the_sender() {
    let peer = ScriptedPeer::builder().receive_buffer(4096).script(Script::new().accept().stop_reading()).start();
    let client = ScriptedClient::connect(peer.url()).await;
    let flood = Script::new().within(Duration::from_millis(200)).send_text("x".repeat(32 << 20));
    assert!(client.play(flood).result().await.unwrap_err().contains("did not happen"));
    assert!(peer.messages().is_empty());
    peer.play(0, Script::new().resume_reading()).await;
    assert_eq!(peer.wait_for_messages(1).await.len(), 1);
}

#[tokio::test]
async fn a_slow_reader_takes_its_time() {
    let peer = ScriptedPeer::builder().script(Script::new().accept().read_slowly(10_000)).start();
    let client = ScriptedClient::connect(peer.url()).await;
    let started = Instant::now();
    client.send_text("x".repeat(4_000)).await;
    peer.wait_for_messages(1).await;
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
}

#[test]
fn peers_and_clients_work_in_a_test_without_a_runtime() {
    let peer = ScriptedPeer::builder().script(Script::new().expect_text("a")).start();
    let client = ScriptedClient::connect(peer.url()).blocking();
    client.send_text("a").blocking();
    peer.finish().blocking();
}

#[tokio::test]
async fn a_valid_certificate_is_accepted_and_the_connection_works() {
    let certificates = TestCertificates::valid();
    let peer = ScriptedPeer::builder().tls(certificates.clone()).script(Script::new().send_text("secret")).start();
    let client = ScriptedClient::builder(peer.url()).tls(certificates).connect().await;
    client.expect_text("secret").await;
    client.close(1000, "").await;
    peer.finish().await;
}

#[tokio::test]
async fn self_signed_expired_and_misnamed_certificates_are_refused_with_the_reason() {
    for (certificates, reason) in [
        (TestCertificates::self_signed(), "UnknownIssuer"),
        (TestCertificates::expired(), "expired"),
        (TestCertificates::wrong_name(), "not valid for name"),
    ] {
        let peer = ScriptedPeer::builder().tls(certificates.clone()).start();
        let refused = ScriptedClient::builder(peer.url()).tls(certificates).attempt().await.unwrap_err();
        assert!(refused.to_string().contains(reason), "{refused}");
        peer.wait_for_tls_failure().await;
    }
}

#[tokio::test]
async fn a_required_client_certificate_decides_who_gets_in() {
    let certificates = TestCertificates::valid().require_client_certificate();
    let peer = ScriptedPeer::builder().tls(certificates.clone()).start();
    let builder = ScriptedClient::builder(peer.url()).tls(certificates);
    builder.clone().client_certificate().connect().await;
    builder.attempt().await.unwrap_err();
    assert!(peer.wait_for_tls_failure().await.contains("certificate"));
}

#[tokio::test]
async fn a_client_certificate_of_another_authority_is_refused() {
    let (certificates, strangers) = (TestCertificates::valid().require_client_certificate(), TestCertificates::valid());
    let peer = ScriptedPeer::builder().tls(certificates.clone()).start();
    let builder = ScriptedClient::builder(peer.url()).tls(certificates.clone());
    builder.clone().client_certificate_of(strangers).attempt().await.unwrap_err();
    let failure = peer.wait_for_tls_failure().await;
    assert!(failure.contains("invalid peer certificate"), "{failure}");
    let client = builder.client_certificate_of(certificates.renew()).connect().await;
    assert_eq!(client.server_certificate(), Some(certificates.server_der()));
}
