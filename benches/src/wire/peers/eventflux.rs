//! This project's layer, with the settings it comes with.

use std::net::TcpStream as StdStream;

use bytes::Bytes;
use eventflux_websocket_wire::deflate::{DeflateConfig, DirectionConfig};
use eventflux_websocket_wire::handshake::{Accept, ClientRequest, UpgradeRequest, connect};
use eventflux_websocket_wire::{Batch, Connection, Disconnect, Limits, Message, Progress};
use tokio::net::TcpStream;
use url::Url;

use super::{Peer, asynchronous, batches, failed};
use crate::error::BenchError;
use crate::wire::framing::LEVEL;
use crate::wire::job::{Job, Side, Tally};

/// As the peers compress: messages of any size, the largest window, takeover in both directions.
const DEFLATE: DeflateConfig = DeflateConfig {
    threshold_bytes: 0,
    level: LEVEL,
    send: DirectionConfig { window_bits: 15, context_takeover: true },
    receive: DirectionConfig { window_bits: 15, context_takeover: true },
};

/// The library's entry.
pub(super) struct Eventflux;

impl Peer for Eventflux {
    async fn receive(stream: StdStream, job: &Job) -> Result<Tally, BenchError> {
        let mut connection = open(stream, job).await?;
        let mut tally = Tally::default();
        let mut batch = Batch::default();
        job.begin(1)?;
        while tally.messages < job.messages {
            connection.drive(Some(&mut batch)).await.map_err(disconnected)?;
            batch.messages.iter().for_each(|message| tally.count(message));
            batch.clear();
        }
        Ok(tally)
    }

    async fn send(stream: StdStream, job: &Job, messages: &[String]) -> Result<(), BenchError> {
        let mut connection = open(stream, job).await?;
        let messages: Vec<Bytes> = messages.iter().map(|message| Bytes::from(message.clone())).collect();
        job.begin(1)?;
        for batch in batches(&messages, job.messages, job.batch) {
            batch.for_each(|message| connection.queue(Message::text(message.clone())));
            flush(&mut connection).await?;
        }
        Ok(())
    }

    async fn echo(stream: TcpStream, deflate: bool) -> Result<(), BenchError> {
        let mut connection = accept(stream, deflate).await?;
        let mut batch = Batch::default();
        loop {
            match connection.drive(Some(&mut batch)).await {
                Ok(_) => batch.messages.drain(..).for_each(|message| connection.queue(Message::text(message))),
                Err(Disconnect::Closed { .. }) => return Ok(()),
                Err(disconnect) => return Err(disconnected(disconnect)),
            }
            batch.clear();
        }
    }
}

async fn flush(connection: &mut Connection<TcpStream>) -> Result<(), BenchError> {
    while connection.has_unsent() {
        match connection.drive(None).await.map_err(disconnected)? {
            Progress::Flushed | Progress::Received => {}
        }
    }
    Ok(())
}

async fn open(stream: StdStream, job: &Job) -> Result<Connection<TcpStream>, BenchError> {
    let stream = asynchronous(stream)?;
    match job.side {
        Side::Server => accept(stream, job.deflate).await,
        Side::Client => {
            let url = Url::parse("ws://127.0.0.1/").map_err(failed("handshake"))?;
            let deflate = job.deflate.then_some(DEFLATE);
            let request = ClientRequest { url: &url, headers: &[], subprotocols: &[], deflate };
            let connected = connect(stream, request, Limits::default()).await.map_err(failed("handshake"))?;
            Ok(connected.connection)
        }
    }
}

async fn accept(mut stream: TcpStream, deflate: bool) -> Result<Connection<TcpStream>, BenchError> {
    let request = UpgradeRequest::read(&mut stream).await.map_err(failed("handshake"))?;
    let accept = Accept { limits: Limits::default(), subprotocol: None, deflate: deflate.then_some(DEFLATE) };
    let connected = request.accept(stream, accept).await.map_err(failed("handshake"))?;
    Ok(connected.connection)
}

fn disconnected(disconnect: Disconnect) -> BenchError {
    BenchError::Protocol(disconnect.describe())
}
