//! tokio-websockets: its stream and sink. Its read buffer is small and cannot be set, and it writes at most 32 messages
//! with each call, so it gets a buffered stream. Its server handshake does not flush, so there is another for that.

use std::net::TcpStream as StdStream;

use futures_util::{SinkExt, StreamExt};
use tokio::io::BufStream;
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Config, Message, ServerBuilder, WebSocketStream};

use super::{Peer, batches, ended_early, failed, opened};
use crate::error::BenchError;
use crate::wire::job::{Job, Side, Tally};

/// Read buffer, in bytes.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// More than a batch: only the flush sends.
const WRITE_BUFFER_BYTES: usize = 128 * 1024;

/// The library's entry.
pub(super) struct TokioWebsockets;

impl Peer for TokioWebsockets {
    async fn receive(stream: StdStream, job: &Job) -> Result<Tally, BenchError> {
        let mut socket = open(stream, job)?;
        let mut tally = Tally::default();
        job.begin(1)?;
        while tally.messages < job.messages {
            let message = socket.next().await.ok_or_else(ended_early)?.map_err(failed("receiving"))?;
            if !message.is_text() {
                return Err(ended_early());
            }
            tally.count(message.as_payload());
        }
        Ok(tally)
    }

    async fn send(stream: StdStream, job: &Job, messages: &[String]) -> Result<(), BenchError> {
        let mut socket = open(stream, job)?;
        let messages: Vec<Message> = messages.iter().map(|message| Message::text(message.clone())).collect();
        job.begin(1)?;
        for batch in batches(&messages, job.messages, job.batch) {
            for message in batch {
                socket.feed(message.clone()).await.map_err(failed("sending"))?;
            }
            socket.flush().await.map_err(failed("sending"))?;
        }
        Ok(())
    }

    async fn echo(stream: TcpStream, _deflate: bool) -> Result<(), BenchError> {
        let (_, mut socket) = ServerBuilder::new().accept(stream).await.map_err(failed("handshake"))?;
        while let Some(message) = socket.next().await {
            let message = message.map_err(failed("receiving"))?;
            socket.send(message).await.map_err(failed("sending"))?;
        }
        Ok(())
    }
}

fn open(stream: StdStream, job: &Job) -> Result<WebSocketStream<BufStream<TcpStream>>, BenchError> {
    let stream = BufStream::with_capacity(READ_BUFFER_BYTES, WRITE_BUFFER_BYTES, opened(stream, job)?);
    let config = Config::default().flush_threshold(WRITE_BUFFER_BYTES);
    Ok(match job.side {
        Side::Server => ServerBuilder::new().config(config).serve(stream),
        Side::Client => ClientBuilder::new().config(config).take_over(stream),
    })
}
