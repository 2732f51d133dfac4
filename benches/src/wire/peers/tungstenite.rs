//! tokio-tungstenite: its stream and sink. Its write buffer is larger than a batch as it comes.

use std::net::TcpStream as StdStream;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config, client_async_with_config};

use super::{Peer, asynchronous, batches, ended_early};
use crate::error::BenchError;
use crate::wire::job::{Job, Side, Tally};

/// Half of what it comes with: as fast, or a little faster.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// The smallest read buffer its documentation suggests.
const LEAN_READ_BUFFER_BYTES: usize = 4 * 1024;

/// The library's entry.
pub(super) struct TokioTungstenite;

impl Peer for TokioTungstenite {
    async fn receive(stream: StdStream, job: &Job) -> Result<Tally, BenchError> {
        let failed = BenchError::websocket("receiving");
        let mut socket = open(stream, job).await?;
        let mut tally = Tally::default();
        job.begin(1)?;
        while tally.messages < job.messages {
            match socket.next().await.ok_or_else(ended_early)?.map_err(&failed)? {
                Message::Text(text) => tally.count(text.as_bytes()),
                _ => return Err(ended_early()),
            }
        }
        Ok(tally)
    }

    async fn send(stream: StdStream, job: &Job, messages: &[String]) -> Result<(), BenchError> {
        let failed = BenchError::websocket("sending");
        let mut socket = open(stream, job).await?;
        let messages: Vec<Utf8Bytes> = messages.iter().map(|message| message.as_str().into()).collect();
        job.begin(1)?;
        for batch in batches(&messages, job.messages, job.batch) {
            for message in batch {
                socket.feed(Message::Text(message.clone())).await.map_err(&failed)?;
            }
            socket.flush().await.map_err(&failed)?;
        }
        Ok(())
    }

    async fn echo(stream: TcpStream, _deflate: bool) -> Result<(), BenchError> {
        let failed = BenchError::websocket("echoing");
        let config = WebSocketConfig::default().read_buffer_size(LEAN_READ_BUFFER_BYTES);
        let mut socket = accept_async_with_config(stream, Some(config)).await.map_err(&failed)?;
        while let Some(message) = socket.next().await {
            socket.send(message.map_err(&failed)?).await.map_err(&failed)?;
        }
        Ok(())
    }
}

async fn open(stream: StdStream, job: &Job) -> Result<WebSocketStream<TcpStream>, BenchError> {
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    let stream = asynchronous(stream)?;
    let failed = BenchError::websocket("handshake");
    match job.side {
        Side::Server => accept_async_with_config(stream, Some(config)).await.map_err(failed),
        Side::Client => {
            let opened = client_async_with_config("ws://127.0.0.1/", stream, Some(config)).await;
            opened.map(|(socket, _)| socket).map_err(failed)
        }
    }
}
