//! The driver over an in-memory stream: what is handed over when, and how connections end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::time::Duration;

use bytes::BytesMut;
use eventflux_websocket_wire::{Batch, Connection, Disconnect, Limits, Message, Progress, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, timeout};

const LATER: Duration = Duration::from_secs(60);

fn client(received: &[u8]) -> (Connection<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(64 * 1024);
    (Connection::new(ours, BytesMut::from(received), Role::Client, Limits::default(), None), theirs)
}

async fn receive(connection: &mut Connection<DuplexStream>) -> Result<Vec<bytes::Bytes>, Disconnect> {
    let mut batch = Batch::default();
    while connection.drive(Some(&mut batch)).await? != Progress::Received {}
    Ok(std::mem::take(&mut batch.messages))
}

async fn is_silent(connection: &mut Connection<DuplexStream>) -> bool {
    timeout(LATER, connection.drive(Some(&mut Batch::default()))).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn what_came_with_the_handshake_is_received_first() {
    let (mut connection, mut peer) = client(b"\x81\x01a\x81\x01");
    peer.write_all(b"b").await.unwrap();
    assert_eq!(receive(&mut connection).await.unwrap(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_violation_is_told_after_what_came_before_it_without_waiting_for_more() {
    let (mut connection, mut peer) = client(b"");
    peer.write_all(b"\x81\x01a\xc1\x01b").await.unwrap();
    assert_eq!(receive(&mut connection).await.unwrap(), ["a"]);
    for _ in 0..2 {
        let ended = timeout(LATER, receive(&mut connection)).await.unwrap().unwrap_err();
        assert!(matches!(ended, Disconnect::Violation { code: 1002, .. }), "{ended:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_after_the_peers_goodbye_is_never_called_flushed() {
    let (mut connection, mut peer) = client(b"");
    peer.write_all(b"\x81\x01a\x88\x02\x03\xe8").await.unwrap();
    assert_eq!(receive(&mut connection).await.unwrap(), ["a"]);
    connection.queue(Message::text("too late"));
    for batch in [None, Some(&mut Batch::default())] {
        let ended = connection.drive(batch).await;
        assert_eq!(ended, Err(Disconnect::Closed { code: Some(1000), reason: String::new() }));
    }
}

#[tokio::test(start_paused = true)]
async fn the_begin_of_a_message_is_told_once_and_so_is_its_end() {
    let (mut connection, mut peer) = client(b"");
    assert!(is_silent(&mut connection).await);
    peer.write_all(b"\x81\x03a").await.unwrap();
    assert_eq!(receive(&mut connection).await.unwrap().len(), 0);
    assert!(connection.is_mid_message());
    peer.write_all(b"b").await.unwrap();
    assert!(is_silent(&mut connection).await);
    peer.write_all(b"c").await.unwrap();
    assert_eq!(receive(&mut connection).await.unwrap(), ["abc"]);
    assert!(!connection.is_mid_message());
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_full_goes_on_where_it_stopped() {
    let (mut connection, mut peer) = client(b"");
    peer.write_all(&b"\x81\x01x".repeat(5000)).await.unwrap();
    let mut count = 0;
    while count < 5000 {
        count += timeout(LATER, receive(&mut connection)).await.unwrap().unwrap().len();
    }
    assert_eq!(count, 5000);
    assert!(is_silent(&mut connection).await);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_heard_all_the_same() {
    let (mut connection, mut peer) = client(b"");
    connection.queue(Message::binary(vec![0; 1 << 20]));
    peer.write_all(b"\x81\x01a").await.unwrap();
    assert_eq!(receive(&mut connection).await.unwrap(), ["a"]);
    assert!(connection.has_unsent());
    let mut taken = vec![0; 1 << 20];
    let (flushed, _) = tokio::join!(connection.drive(None), peer.read_exact(&mut taken));
    assert_eq!(flushed, Ok(Progress::Flushed));
    assert!(!connection.has_unsent() && connection.chunks_sent() > 1);
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_sends_what_is_under_way_waits_for_the_answer_and_ends_the_stream() {
    let (connection, mut peer) = client(b"");
    let goodbye = tokio::spawn(connection.close(1001, "going", Instant::now() + LATER));
    let mut close = [0; 13];
    peer.read_exact(&mut close).await.unwrap();
    assert_eq!(close[..2], [0x88, 0x80 | 7]);
    peer.write_all(b"\x81\x01x\x88\x02\x03\xe9").await.unwrap();
    // Our direction is ended, and then so is the peer's.
    assert_eq!(peer.read(&mut close).await.unwrap(), 0);
    drop(peer);
    goodbye.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_to_a_peer_that_is_gone_or_silent_ends_at_its_deadline() {
    let (connection, _peer) = client(b"");
    let started = Instant::now();
    connection.close(1000, "", started + Duration::from_secs(5)).await;
    assert_eq!(started.elapsed().as_secs(), 5);
    let (connection, peer) = client(b"");
    drop(peer);
    timeout(Duration::from_secs(5), connection.close(1000, "", Instant::now() + LATER)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_peers_goodbye_is_answered() {
    let (mut connection, mut peer) = client(b"");
    peer.write_all(b"\x81\x01a\x88\x02\x03\xe8").await.unwrap();
    assert_eq!(receive(&mut connection).await.unwrap(), ["a"]);
    let ended = receive(&mut connection).await.unwrap_err();
    assert_eq!(ended, Disconnect::Closed { code: Some(1000), reason: String::new() });
    let goodbye = tokio::spawn(connection.close(1000, "", Instant::now() + LATER));
    let mut answer = Vec::new();
    peer.read_to_end(&mut answer).await.unwrap();
    assert_eq!((answer.len(), &answer[..2]), (8, &[0x88, 0x82][..]));
    drop(peer);
    goodbye.await.unwrap();
}
