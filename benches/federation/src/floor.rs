//! Both ends of nothing but a WebSocket library.

use bytes::BytesMut;
use eventflux_benches::clock::monotonic_ns;
use eventflux_benches::control::{Gate, Latency, emit};
use eventflux_benches::error::BenchError;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config, client_async_with_config};

use crate::ask::interview;
use crate::event::Event;
use crate::job::{End, Job, Questions};
use crate::ledger::Ledger;
use crate::message::Messages;
use crate::ours::wait_for_the_end;

/// Plays one end until the runner ends the process.
pub(crate) fn run(job: &Job, gate: &Gate) -> Result<(), BenchError> {
    runtime()?.block_on(async {
        match (&job.url, job.end) {
            (Some(url), End::Sender) => send(connect(url).await?, job, gate).await,
            (Some(url), End::Receiver) => receive(connect(url).await?, job).await,
            (None, End::Sender) => send(accept().await?, job, gate).await,
            (None, End::Receiver) => receive(accept().await?, job).await,
        }
    })?;
    wait_for_the_end()
}

/// Sends back whatever comes, until the runner ends the process.
pub(crate) fn echo() -> Result<(), BenchError> {
    runtime()?.block_on(async {
        let mut stream = accept().await?;
        while let Some(message) = stream.next().await {
            let message = message.map_err(BenchError::websocket("receiving"))?;
            stream.send(message).await.map_err(BenchError::websocket("sending"))?;
        }
        Ok(())
    })
}

/// Asks who echoes.
pub(crate) fn ask(questions: &Questions, gate: &Gate) -> Result<Latency, BenchError> {
    let runtime = runtime()?;
    let mut stream = runtime.block_on(connect(&questions.url))?;
    gate.wait();
    interview(questions, || {
        runtime.block_on(async {
            let question = Message::text(questions.params.as_str());
            stream.send(question).await.map_err(BenchError::websocket("sending"))?;
            let answer = stream.next().await.ok_or_else(|| BenchError::Protocol("the connection ended".to_owned()))?;
            answer.map(Message::into_data).map_err(BenchError::websocket("receiving"))
        })
    })
}

fn runtime() -> Result<Runtime, BenchError> {
    Builder::new_current_thread().enable_io().build().map_err(BenchError::io("starting a runtime"))
}

async fn accept() -> Result<WebSocketStream<TcpStream>, BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(BenchError::io("binding a port"))?;
    let address = listener.local_addr().map_err(BenchError::io("looking at a port"))?;
    emit(&Event::Listening { url: format!("ws://{address}/") })?;
    emit(&Event::Ready)?;
    let (stream, _) = listener.accept().await.map_err(BenchError::io("accepting"))?;
    stream.set_nodelay(true).map_err(BenchError::io("setting up a connection"))?;
    accept_async_with_config(stream, Some(config())).await.map_err(BenchError::websocket("the handshake"))
}

async fn connect(url: &str) -> Result<WebSocketStream<TcpStream>, BenchError> {
    let address = url.trim_start_matches("ws://").trim_end_matches('/');
    let stream = TcpStream::connect(address).await.map_err(BenchError::io("connecting"))?;
    stream.set_nodelay(true).map_err(BenchError::io("setting up a connection"))?;
    let handshake = client_async_with_config(url, stream, Some(config())).await;
    let (stream, _) = handshake.map_err(BenchError::websocket("the handshake"))?;
    emit(&Event::Ready)?;
    Ok(stream)
}

/// A flush is asked for where a batch ends, and only there.
fn config() -> WebSocketConfig {
    WebSocketConfig::default().write_buffer_size(1 << 20).max_write_buffer_size(usize::MAX)
}

async fn send(mut stream: WebSocketStream<TcpStream>, job: &Job, gate: &Gate) -> Result<(), BenchError> {
    gate.wait();
    emit(&Event::Started { at_ns: monotonic_ns() })?;
    let mut messages = Messages::new(job.message_bytes());
    let mut buffer = BytesMut::new();
    let mut sent = 0;
    while sent < job.messages {
        let count = (job.messages - sent).min(job.batch as u64);
        for _ in 0..count {
            messages.write(&mut buffer);
            let text = text(buffer.split().freeze())?;
            stream.feed(Message::Text(text)).await.map_err(BenchError::websocket("sending"))?;
        }
        stream.flush().await.map_err(BenchError::websocket("sending"))?;
        sent += count;
    }
    emit(&Event::Settled { at_ns: monotonic_ns() })
}

async fn receive(mut stream: WebSocketStream<TcpStream>, job: &Job) -> Result<(), BenchError> {
    let mut ledger = Ledger::new(job.messages, job.parts);
    let mut left = job.messages;
    while left > 0 {
        let message = stream.next().await.ok_or_else(|| BenchError::Protocol("the connection ended".to_owned()))?;
        let message = message.map_err(BenchError::websocket("receiving"))?;
        ledger.take([&message.into_data()[..]].into_iter())?;
        left -= 1;
    }
    Ok(())
}

fn text(bytes: Bytes) -> Result<Utf8Bytes, BenchError> {
    Utf8Bytes::try_from(bytes).map_err(|error| BenchError::Protocol(error.to_string()))
}
