//! The do-nothing relay: what the WebSocket library alone costs, without parsing or filtering.

use tokio_tungstenite::tungstenite::Message;

use crate::error::BenchError;
use crate::peer::forward;

/// Passes every message from `feed` to `out` until the feed ends.
///
/// # Errors
/// When a connection fails.
pub async fn run(feed: &str, out: &str) -> Result<(), BenchError> {
    forward(feed, out, |message| {
        let is_data = matches!(message, Message::Text(_) | Message::Binary(_));
        Ok(is_data.then_some(message))
    })
    .await
}
