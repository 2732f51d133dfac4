//! fastwebsockets. Its handshake works on hyper's streams; the speed of plain ones is measured with another. It sends
//! every frame with its own write, so it gets a buffered writer.

use std::net::TcpStream as StdStream;

use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, Role, WebSocket};
use tokio::io::BufWriter;
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use super::{Peer, batches, ended_early, failed, hyper_server, opened};
use crate::error::BenchError;
use crate::wire::job::{Job, Side, Tally};

/// More than a batch: only the flush sends.
const WRITE_BUFFER_BYTES: usize = 128 * 1024;

/// The library's entry.
pub(super) struct Fastwebsockets;

impl Peer for Fastwebsockets {
    async fn receive(stream: StdStream, job: &Job) -> Result<Tally, BenchError> {
        let socket = WebSocket::after_handshake(opened(stream, job)?, role(job.side));
        let mut socket = FragmentCollector::new(socket);
        let mut tally = Tally::default();
        job.begin(1)?;
        while tally.messages < job.messages {
            let frame = socket.read_frame().await.map_err(failed("receiving"))?;
            if frame.opcode != OpCode::Text {
                return Err(ended_early());
            }
            tally.count(&frame.payload);
        }
        Ok(tally)
    }

    async fn send(stream: StdStream, job: &Job, messages: &[String]) -> Result<(), BenchError> {
        let stream = BufWriter::with_capacity(WRITE_BUFFER_BYTES, opened(stream, job)?);
        let mut socket = WebSocket::after_handshake(stream, role(job.side));
        job.begin(1)?;
        for batch in batches(messages, job.messages, job.batch) {
            for message in batch {
                let frame = Frame::text(Payload::Borrowed(message.as_bytes()));
                socket.write_frame(frame).await.map_err(failed("sending"))?;
            }
            socket.flush().await.map_err(failed("sending"))?;
        }
        Ok(())
    }

    async fn echo(stream: TcpStream, _deflate: bool) -> Result<(), BenchError> {
        hyper_server::serve(stream, |request| {
            let (response, upgrading) = upgrade(request).map_err(failed("handshake"))?;
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
    let mut socket = FragmentCollector::new(upgrading.await.map_err(failed("handshake"))?);
    loop {
        let frame = socket.read_frame().await.map_err(failed("receiving"))?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            _ => socket.write_frame(frame).await.map_err(failed("sending"))?,
        }
    }
}

fn role(side: Side) -> Role {
    match side {
        Side::Client => Role::Client,
        Side::Server => Role::Server,
    }
}
