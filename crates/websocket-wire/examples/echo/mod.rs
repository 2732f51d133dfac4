//! What the echo server and the echo client have in common: sending back what comes until the connection ends.

use std::time::Duration;

use eventflux_websocket_wire::deflate::{DeflateConfig, DirectionConfig};
use eventflux_websocket_wire::{Batch, Connection, Disconnect, Message, Progress};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// Compression as good as it gets, for messages of any size. A server of many clients saves memory with a smaller
/// window, or without context takeover.
pub(crate) const DEFLATE: DeflateConfig = DeflateConfig {
    threshold_bytes: 0,
    level: 6,
    send: DirectionConfig { window_bits: 15, context_takeover: true },
    receive: DirectionConfig { window_bits: 15, context_takeover: true },
};

/// Bytes on their way to the peer beyond which nothing more is read from it, so that it cannot make us hold more.
const MAX_UNSENT_BYTES: usize = 4 << 20;

/// How long the peer has to take our Close frame and to answer it.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Sends every message back as what it came, and tells how the connection ended.
///
/// There are no timers here: a peer that falls silent is waited for. `KeepAlive` tells when to ping it, and when to give
/// it up.
pub(crate) async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut connection: Connection<S>) -> Disconnect {
    let mut batch = Batch::default();
    let mut unsent_bytes = 0;
    let end = loop {
        // One call both sends and receives. Without a batch it only sends.
        let room = (unsent_bytes < MAX_UNSENT_BYTES).then_some(&mut batch);
        match connection.drive(room).await {
            Ok(Progress::Flushed) => unsent_bytes = 0,
            Ok(Progress::Received) => {
                for (kind, payload) in batch.iter() {
                    unsent_bytes += payload.len();
                    // Shares the payload with the batch. It goes out with the next call of `drive`.
                    connection.queue(Message::new(kind, payload.clone()));
                }
                batch.clear();
            }
            Err(end) => break end,
        }
    };
    say_goodbye(connection, &end).await;
    end
}

/// Ends a connection as RFC 6455 section 7 wants it, so that the peer learns why.
async fn say_goodbye<S: AsyncRead + AsyncWrite + Unpin>(connection: Connection<S>, end: &Disconnect) {
    let (code, reason) = match end {
        Disconnect::Violation { code, reason } => (*code, reason.as_str()),
        // The answer to the peer's Close has its code; what is given here is for a connection still open.
        Disconnect::Closed { .. } => (1000, ""),
        // Nobody is there to say goodbye to.
        Disconnect::Lost(_) => return,
    };
    connection.close(code, reason, Instant::now() + CLOSE_TIMEOUT).await;
}
