//! tokio-websockets: its stream and sink. Its read buffer cannot be set; it sends at most 32 messages with each system
//! call.

use std::net::TcpStream as StdStream;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Config, Message, ServerBuilder, WebSocketStream};

use super::{Peer, asynchronous, batches, ended_early, failed};
use crate::error::BenchError;
use crate::wire::job::{Job, Side, Tally};

/// More than a batch: only the flush sends.
const FLUSH_THRESHOLD_BYTES: usize = 128 * 1024;

/// The library's entry.
pub(super) struct TokioWebsockets;

impl Peer for TokioWebsockets {
    async fn receive(stream: StdStream, job: &Job) -> Result<Tally, BenchError> {
        let mut socket = open(stream, job).await?;
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
        let mut socket = open(stream, job).await?;
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

async fn open(stream: StdStream, job: &Job) -> Result<WebSocketStream<tokio::io::BufStream<TcpStream>>, BenchError> {
    let config = Config::default().flush_threshold(super::env("TWF",FLUSH_THRESHOLD_BYTES));
    let stream = tokio::io::BufStream::with_capacity(super::env("TWR",0),super::env("TWW",0),asynchronous(stream)?);
    match job.side {
        Side::Server => {
            let (_, socket) = ServerBuilder::new().config(config).accept(stream).await.map_err(failed("handshake"))?;
            Ok(socket)
        }
        Side::Client => {
            let builder = ClientBuilder::new().config(config).uri("ws://127.0.0.1/").map_err(failed("handshake"))?;
            let (socket, _) = builder.connect_on(stream).await.map_err(failed("handshake"))?;
            Ok(socket)
        }
    }
}
