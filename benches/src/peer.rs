//! What the programs written by hand share: two client connections and the loop between them.

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::error::BenchError;

/// Most messages sent with one flush, so that a feed that never pauses does not delay the first of
/// them without end.
const MAX_BATCH_MESSAGES: usize = 4096;

/// Sends what `transform` makes of each message of `feed` to `out`, with one flush for all that are
/// ready, until the feed ends.
///
/// # Errors
/// When a connection fails, or `transform` does.
pub async fn forward(
    feed: &str,
    out: &str,
    mut transform: impl FnMut(Message) -> Result<Option<Message>, BenchError>,
) -> Result<(), BenchError> {
    let failed = BenchError::websocket("forwarding messages");
    let mut out = connect(out).await?;
    let mut feed = connect(feed).await?;
    while let Some(first) = feed.next().await {
        let mut message = Some(first);
        let mut batched = 0;
        while let Some(received) = message {
            if let Some(result) = transform(received.map_err(&failed)?)? {
                out.feed(result).await.map_err(&failed)?;
            }
            batched += 1;
            message = if batched < MAX_BATCH_MESSAGES { feed.next().now_or_never().flatten() } else { None };
        }
        out.flush().await.map_err(&failed)?;
    }
    Ok(())
}

/// Opens a WebSocket with Nagle's algorithm off.
///
/// # Errors
/// When `url` is not a `ws://` URL with a port, or the peer refuses the connection or the handshake.
async fn connect(url: &str) -> Result<WebSocketStream<TcpStream>, BenchError> {
    let address = url
        .strip_prefix("ws://")
        .and_then(|rest| rest.split('/').next())
        .ok_or_else(|| BenchError::Usage(format!("{url} is not a URL; write ws://HOST:PORT/")))?;
    let stream = TcpStream::connect(address).await.map_err(BenchError::io(format!("connecting to {address}")))?;
    stream.set_nodelay(true).map_err(BenchError::io("turning Nagle's algorithm off"))?;
    let (socket, _) = client_async(url, stream).await.map_err(BenchError::websocket("WebSocket handshake"))?;
    Ok(socket)
}
