//! What only a connection shows, not its codec alone.

use super::*;

#[tokio::test]
async fn an_end_behind_a_message_is_reported_though_nothing_more_comes() {
    let limits = Limits::default();
    for (last, expected) in [
        (&[0x88, 2, 0x03, 0xe8][..], Disconnect::Closed { code: Some(1000), reason: String::new() }),
        (&[0x88, 1, 0], Disconnect::Violation { code: 1002, reason: String::new() }),
    ] {
        let (stream, mut peer) = tokio::io::duplex(64);
        peer.write_all(&[b"\x81\x02hi", last].concat()).await.unwrap();
        let mut connection = Connection::new(stream, BytesMut::new(), Role::Client, limits, None);
        let mut batch = Batch::default();
        assert_eq!(connection.drive(Some(&mut batch)).await, Ok(Progress::Received));
        assert_eq!(batch.messages, ["hi"]);
        let ended = loop {
            // An answer to the Close is sent in between.
            if let Err(ended) = connection.drive(Some(&mut batch)).await {
                break ended;
            }
        };
        match (ended, expected) {
            (Disconnect::Violation { code, .. }, Disconnect::Violation { code: expected, .. }) => {
                assert_eq!(code, expected);
            }
            (ended, expected) => assert_eq!(ended, expected),
        }
    }
}

/// A peer that sends the smallest of frames without end.
struct Endless;

impl AsyncRead for Endless {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let pongs = buffer.remaining() / 2;
        buffer.put_slice(&[0x8a, 0].repeat(pongs));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_peer_that_never_pauses_leaves_other_tasks_their_turn() {
    let mut connection = Connection::new(Endless, BytesMut::new(), Role::Client, Limits::default(), None);
    let busy = tokio::spawn(async move {
        let mut batch = Batch::default();
        for _ in 0..500 {
            connection.drive(Some(&mut batch)).await.unwrap();
            batch.clear();
        }
    });
    tokio::task::yield_now().await;
    assert!(!busy.is_finished(), "500 batches in one turn");
    busy.await.unwrap();
}

/// A connection that was reset: nothing can be written, and what came before is found a moment later, if it is.
struct Reset {
    came_before: Option<&'static [u8]>,
    is_known: bool,
}

impl AsyncRead for Reset {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        match this.came_before {
            Some(bytes) if this.is_known => buffer.put_slice(bytes),
            came_before => {
                this.is_known = true;
                if came_before.is_some() {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Reset {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

async fn end_of_reset(came_before: Option<&'static [u8]>) -> Disconnect {
    let stream = Reset { came_before, is_known: false };
    let mut connection = Connection::new(stream, BytesMut::new(), Role::Client, Limits::default(), None);
    connection.queue(Message::text("refused"));
    connection.drive(Some(&mut Batch::default())).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_is_found_after_a_write_failed_tells_why_it_did() {
    let ended = end_of_reset(Some(&[0x88, 2, 0x03, 0xf1])).await;
    assert_eq!(ended, Disconnect::Closed { code: Some(1009), reason: String::new() });
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_is_the_end_when_the_peer_said_nothing_before() {
    let ended = tokio::time::timeout(2 * LAST_WORDS, end_of_reset(None)).await.unwrap();
    assert!(matches!(ended, Disconnect::Lost(_)), "{ended:?}");
}
