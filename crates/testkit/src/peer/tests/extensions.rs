//! permessage-deflate between scripts.

use bytes::Bytes;

use super::*;

const OFFER: &str = "permessage-deflate; client_max_window_bits";
const WORDS: &str = "the same words, the same words, the same words";

/// A server that gives this answer and then goes on, and a client that makes the offer.
fn agreed(answer: &str, more: impl FnOnce(Script) -> Script) -> (ScriptedPeer, ClientBuilder) {
    let script = more(Script::new().choose_extensions(answer).accept());
    let peer = ScriptedPeer::builder().script(script).start();
    let client = ScriptedClient::builder(peer.url()).extensions(OFFER);
    (peer, client)
}

#[tokio::test]
async fn compressed_messages_go_both_ways_and_are_recorded_with_their_size() {
    for answer in [
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; client_max_window_bits=9; server_max_window_bits=8",
    ] {
        let send =
            |script: Script| script.send_compressed(WORDS).send_text("plain").send_compressed(Bytes::from(WORDS));
        let (peer, client) = agreed(answer, send);
        let client = client.connect().await;
        assert_eq!(client.extensions(), Some(answer));
        client.play(send(Script::new()).expect_messages(3).close(1000, "")).await;
        peer.finish().await;

        assert_eq!(peer.record().handshakes[0].extensions().as_deref(), Some(OFFER));
        for record in [peer.record(), client.record()] {
            let messages: Vec<Message> = record.messages_of(0).cloned().collect();
            assert_eq!(messages, [WORDS.into(), "plain".into(), Bytes::from(WORDS).into()]);
            assert_eq!(record.compressed_messages(), 2);
            assert_eq!(record.messages[1].compressed_bytes, None);
        }
        let sent = peer.record().messages[0].compressed_bytes.unwrap();
        assert!(sent < WORDS.len(), "{answer}: {sent} bytes");
    }
}

#[tokio::test]
async fn the_context_is_kept_or_not_as_agreed_for_each_side() {
    let twice = |script: Script| script.send_compressed(WORDS).send_compressed(WORDS);
    let (peer, client) = agreed("permessage-deflate; server_no_context_takeover", twice);
    let client = client.connect().await;
    client.play(twice(Script::new()).expect_messages(2).close(1000, "")).await;
    peer.finish().await;
    let sizes = |record: Record| [0, 1].map(|index: usize| record.messages[index].compressed_bytes.unwrap());
    let ([first, second], [again, later]) = (sizes(client.record()), sizes(peer.record()));
    assert_eq!(first, second);
    assert!(later < again, "{later} after {again}");
}

#[tokio::test]
async fn without_an_agreement_nothing_may_be_compressed() {
    let peer = ScriptedPeer::builder().start();
    let client = ScriptedClient::builder(peer.url()).extensions(OFFER).connect().await;
    assert_eq!(client.extensions(), None);
    let refused = client.play(Script::new().send_compressed(WORDS)).result().await.unwrap_err();
    assert!(refused.contains("not agreed upon"), "{refused}");
    client.send_frame(RawFrame::text(WORDS).compressed().masked()).await;
    client.expect_close(1002).await;
    assert!(peer.finish().result().await.unwrap_err().contains("0b100"));
}

#[tokio::test]
async fn an_answer_that_does_not_fit_the_offer_is_noticed() {
    for (answer, reason) in [
        ("permessage-deflate; server_max_window_bits=99", "has the value"),
        ("permessage-deflate; client_max_window_bits", "has the value"),
        ("permessage-bzip2", "not offered"),
    ] {
        let (_peer, client) = agreed(answer, |script| script);
        let refused = client.attempt().await.unwrap_err();
        assert!(refused.to_string().contains(reason), "{refused}");
    }
}

#[tokio::test]
async fn what_a_client_may_not_send_compressed_is_refused() {
    for violation in frames::deflate_violations(Side::Client) {
        let (peer, client) = agreed("permessage-deflate", |script| script);
        let client = client.connect().await;
        client.send_raw(violation.bytes).await;
        client.expect_close(violation.close_code).await;
        let failure = peer.finish().result().await.unwrap_err();
        assert!(failure.contains("broke the protocol"), "{}: {failure}", violation.name);
    }
}
