//! yawc. Its server handshake works on hyper's streams; the speed of plain ones is measured with another.

use std::net::TcpStream as StdStream;

use bytes::Bytes;
use futures_util::SinkExt;
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use yawc::{CompressionLevel, Frame, OpCode, Options, Role, UpgradeFut, WebSocket};

use super::{Peer, batches, ended_early, failed, hyper_server, opened};
use crate::error::BenchError;
use crate::wire::framing::LEVEL;
use crate::wire::job::{Job, Side, Tally};

/// Buffers of its own benchmark, or larger: more than a batch, so that only the flush sends.
const BUFFER_BYTES: usize = 128 * 1024;

/// Small buffers for idle connections.
const LEAN_BUFFER_BYTES: usize = 1024;

/// The library's entry.
pub(super) struct Yawc;

impl Peer for Yawc {
    async fn receive(stream: StdStream, job: &Job) -> Result<Tally, BenchError> {
        let mut socket = open(stream, job)?;
        let mut tally = Tally::default();
        job.begin(1)?;
        while tally.messages < job.messages {
            let frame = socket.next_frame().await.map_err(failed("receiving"))?;
            if frame.opcode() != OpCode::Text {
                return Err(ended_early());
            }
            tally.count(frame.payload());
        }
        Ok(tally)
    }

    async fn send(stream: StdStream, job: &Job, messages: &[String]) -> Result<(), BenchError> {
        let mut socket = open(stream, job)?;
        let messages: Vec<Bytes> = messages.iter().map(|message| Bytes::from(message.clone())).collect();
        job.begin(1)?;
        for batch in batches(&messages, job.messages, job.batch) {
            for message in batch {
                socket.feed(Frame::text(message.clone())).await.map_err(failed("sending"))?;
            }
            socket.flush().await.map_err(failed("sending"))?;
        }
        Ok(())
    }

    async fn echo(stream: TcpStream, deflate: bool) -> Result<(), BenchError> {
        let options =
            options(deflate).with_read_buffer_capacity(LEAN_BUFFER_BYTES).with_write_buffer_capacity(LEAN_BUFFER_BYTES);
        hyper_server::serve(stream, |request| {
            let upgraded = WebSocket::upgrade_with_options(request, options.clone());
            let (response, upgrading) = upgraded.map_err(failed("handshake"))?;
            spawn_local(async move {
                if let Err(error) = answer(upgrading).await {
                    eprintln!("{error}");
                }
            });
            Ok(response)
        })
        .await
    }
}

async fn answer(upgrading: UpgradeFut) -> Result<(), BenchError> {
    let mut socket = upgrading.await.map_err(failed("handshake"))?;
    loop {
        let frame = socket.next_frame().await.map_err(failed("receiving"))?;
        match frame.opcode() {
            OpCode::Close => return Ok(()),
            _ => socket.send(frame).await.map_err(failed("sending"))?,
        }
    }
}

fn open(stream: StdStream, job: &Job) -> Result<WebSocket<TcpStream>, BenchError> {
    let role = match job.side {
        Side::Client => Role::Client,
        Side::Server => Role::Server,
    };
    let options = options(job.deflate)
        .with_read_buffer_capacity(BUFFER_BYTES)
        .with_write_buffer_capacity(BUFFER_BYTES)
        .with_backpressure_boundary(BUFFER_BYTES);
    let extensions = job.deflate.then_some("permessage-deflate");
    WebSocket::from_stream_with_extensions(opened(stream, job)?, role, extensions, options)
        .map_err(failed("opening a WebSocket"))
}

/// It checks UTF-8 only when told to, and compresses messages of any size.
fn options(deflate: bool) -> Options {
    let options = Options::default().with_utf8();
    if deflate { options.with_compression_level(CompressionLevel::new(LEVEL)) } else { options }
}
