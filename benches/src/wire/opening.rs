//! The opening handshake of both roles (RFC 6455 section 4), blocking: for the counterpart, and for systems whose
//! library has none that works on a plain stream.

use std::io::{Read, Write};
use std::net::TcpStream;

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::error::BenchError;

/// Asks for compression, and agrees to it: a full window and takeover in both directions.
const EXTENSION_LINE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// Longest request or answer, in bytes.
const MAX_HEAD_BYTES: usize = 4096;

/// Opens a connection as a client.
///
/// # Errors
/// When the server refuses, or does not compress although it should.
pub(super) fn connect(stream: &mut TcpStream, deflate: bool) -> Result<(), BenchError> {
    request(stream, deflate)?;
    response(stream, deflate)
}

/// The first half of [`connect`].
///
/// # Errors
/// When the connection fails.
pub(super) fn request(stream: &mut TcpStream, deflate: bool) -> Result<(), BenchError> {
    let address = stream.peer_addr().map_err(BenchError::io("asking for the peer's address"))?;
    let extension = if deflate { EXTENSION_LINE } else { "" };
    let head = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extension}\r\n"
    );
    write(stream, &head)
}

/// The second half of [`connect`].
///
/// # Errors
/// As [`connect`].
pub(super) fn response(stream: &mut TcpStream, deflate: bool) -> Result<(), BenchError> {
    let head = read_head(stream)?;
    if !head.starts_with("HTTP/1.1 101 ") {
        return Err(BenchError::Protocol(format!("the server refuses: {head}")));
    }
    agreed(&head, deflate)
}

/// Opens a connection as a server.
///
/// # Errors
/// When the request is none, or does not offer compression although it should.
pub(super) fn accept(stream: &mut TcpStream, deflate: bool) -> Result<(), BenchError> {
    let head = answer(&read_head(stream)?, deflate)?;
    write(stream, &head)
}

/// The answer to a client's request.
///
/// # Errors
/// As [`accept`].
pub(super) fn answer(request: &str, deflate: bool) -> Result<String, BenchError> {
    agreed(request, deflate)?;
    let key = value(request, "sec-websocket-key")
        .ok_or_else(|| BenchError::Protocol(format!("no WebSocket request: {request}")))?;
    let extension = if deflate { EXTENSION_LINE } else { "" };
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n{extension}\r\n",
        derive_accept_key(key.as_bytes())
    ))
}

/// Whether compression is named where it should be, and only there: nothing must be measured under the wrong name.
fn agreed(head: &str, deflate: bool) -> Result<(), BenchError> {
    let named = value(head, "sec-websocket-extensions").is_some_and(|value| value.contains("permessage-deflate"));
    if named == deflate {
        return Ok(());
    }
    Err(BenchError::Protocol(format!("compression should be {deflate} and is {named}: {head}")))
}

fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then(|| value.trim()))
}

fn read_head(stream: &mut TcpStream) -> Result<String, BenchError> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut part = [0; MAX_HEAD_BYTES];
        let read = stream.read(&mut part).map_err(BenchError::io("reading a handshake"))?;
        head.extend_from_slice(&part[..read]);
        // Neither side sends anything behind its head before the runner says so.
        if read == 0 || head.len() > MAX_HEAD_BYTES {
            return Err(BenchError::Protocol("a handshake does not end where it should".into()));
        }
    }
    String::from_utf8(head).map_err(|_| BenchError::Protocol("a handshake is not UTF-8".into()))
}

fn write(stream: &mut TcpStream, head: &str) -> Result<(), BenchError> {
    stream.write_all(head.as_bytes()).map_err(BenchError::io("writing a handshake"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    fn open(client: bool, server: bool) -> (Result<(), BenchError>, Result<(), BenchError>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connecting = thread::spawn(move || connect(&mut TcpStream::connect(address).unwrap(), client));
        let accepted = accept(&mut listener.accept().unwrap().0, server);
        (connecting.join().unwrap(), accepted)
    }

    #[test]
    fn both_sides_agree_on_compression_or_none() {
        for deflate in [false, true] {
            let (connected, accepted) = open(deflate, deflate);
            connected.unwrap();
            accepted.unwrap();
        }
    }

    #[test]
    fn a_side_that_wants_something_else_fails_the_run() {
        assert!(open(true, false).1.is_err());
        assert!(open(false, true).1.is_err());
    }
}
