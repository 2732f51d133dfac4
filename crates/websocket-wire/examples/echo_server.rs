//! A WebSocket server that sends every message back, compressed when the client can do that.
//!
//! ```sh
//! cargo run -p eventflux-websocket-wire --example echo_server 127.0.0.1:9001
//! ```
//!
//! It prints the address it listens on; with port 0 the system chooses one.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

mod echo;

use std::error::Error;

use eventflux_websocket_wire::handshake::{Accept, HEAD_DEADLINE, Refusal, UpgradeRequest, refuse};
use eventflux_websocket_wire::{Disconnect, Limits};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: echo_server ADDRESS")?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, client) = listener.accept().await?;
        tokio::spawn(async move {
            match serve(stream).await {
                Ok(end) => eprintln!("{client}: {}", end.describe()),
                Err(error) => eprintln!("{client}: {error}"),
            }
        });
    }
}

/// Serves one client, and tells how its connection ended.
async fn serve(mut stream: TcpStream) -> Result<Disconnect, Box<dyn Error + Send + Sync>> {
    // Otherwise small messages wait for others to share a packet with.
    stream.set_nodelay(true)?;
    let request = timeout(HEAD_DEADLINE, UpgradeRequest::read(&mut stream)).await;
    let request = match request.unwrap_or_else(|_| Err(Refusal::timeout())) {
        Ok(request) => request,
        Err(refusal) => {
            // The client gets to know what was wrong as an HTTP response.
            refuse(stream, &refusal).await;
            return Err(refusal.into());
        }
    };
    let accept = Accept { limits: Limits::default(), subprotocol: None, deflate: Some(echo::DEFLATE) };
    let connected = request.accept(stream, accept).await?;
    Ok(echo::echo(connected.connection).await)
}
