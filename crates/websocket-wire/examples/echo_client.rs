//! A WebSocket client that sends every message back: the client side of the Autobahn suite, which tests WebSocket
//! implementations (`scripts/autobahn` runs it).
//!
//! ```sh
//! cargo run -p eventflux-websocket-wire --example echo_client ws://127.0.0.1:9001
//! ```
//!
//! The suite is the server. It is asked for the number of its cases, runs one on each connection, and writes its reports
//! when asked to.

#![allow(clippy::print_stderr, reason = "a program talks to its user")]

mod echo;

use std::error::Error;

use eventflux_websocket_wire::handshake::{ClientRequest, HEAD_DEADLINE, connect};
use eventflux_websocket_wire::{Batch, Connection, Limits};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use url::Url;

/// What the reports call us.
const AGENT: &str = env!("CARGO_PKG_NAME");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let suite = std::env::args().nth(1).ok_or("usage: echo_client URL")?;
    let suite = Url::parse(&suite)?;
    for case in 1..=case_count(&suite).await? {
        // What fails here is in the reports too, and the cases after it are to be run.
        match open(&suite, &format!("/runCase?case={case}&agent={AGENT}")).await {
            Ok(connection) => eprintln!("case {case}: {}", echo::echo(connection).await.describe()),
            Err(error) => eprintln!("case {case}: {error}"),
        }
    }
    let connection = open(&suite, &format!("/updateReports?agent={AGENT}")).await?;
    echo::echo(connection).await;
    Ok(())
}

/// The suite sends the number as a text message.
async fn case_count(suite: &Url) -> Result<usize, Box<dyn Error>> {
    let mut connection = open(suite, "/getCaseCount").await?;
    let mut batch = Batch::default();
    while batch.messages.is_empty() {
        // What is left when there is no message are answered pings and the like.
        batch.clear();
        connection.drive(Some(&mut batch)).await.map_err(|end| end.describe())?;
    }
    connection.close(1000, "", Instant::now() + echo::CLOSE_TIMEOUT).await;
    Ok(str::from_utf8(&batch.messages[0])?.parse()?)
}

/// Dials, and becomes the client of a connection to `path` of the suite.
async fn open(suite: &Url, path: &str) -> Result<Connection<TcpStream>, Box<dyn Error>> {
    let url = suite.join(path)?;
    let addresses = url.socket_addrs(|| None)?;
    let stream = TcpStream::connect(&addresses[..]).await?;
    // Otherwise small messages wait for others to share a packet with.
    stream.set_nodelay(true)?;
    let request = ClientRequest { url: &url, headers: &[], subprotocols: &[], deflate: Some(echo::DEFLATE) };
    let connected = timeout(HEAD_DEADLINE, connect(stream, request, Limits::default())).await??;
    Ok(connected.connection)
}
