//! A peer that writes the bytes it is told to and reads the bytes that come, over TCP or anything like it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use eventflux_testkit::peer::RawFrame;

use super::DEADLINE;

/// The first byte of a whole Close frame.
const CLOSE: u8 = 0x88;

/// Largest head and payload a test reads, in bytes; more is an error of the server.
const MAX_BYTES: usize = 64 << 20;

/// The key of RFC 6455 section 1.3, and the answer to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// One end of a byte stream.
pub struct Raw<S = TcpStream> {
    pub stream: S,
}

impl Raw {
    /// A TCP connection; nothing is sent.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    /// The same over an open stream, with a deadline for each read and write.
    #[track_caller]
    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { stream }
    }

    /// A connection that is upgraded at `path`.
    #[track_caller]
    pub fn upgraded(address: SocketAddr, path: &str) -> Self {
        let mut raw = Self::connect(address);
        raw.upgrade(path, "");
        raw
    }

    /// The next client of a listener; nothing is read.
    #[track_caller]
    pub fn accept(listener: &TcpListener) -> Self {
        Self::over(listener.accept().unwrap().0)
    }

    /// Another handle of the same connection, for another thread.
    #[track_caller]
    pub fn another(&self) -> Self {
        Self { stream: self.stream.try_clone().unwrap() }
    }

    /// Sends one byte after the other, again and again, `pace` apart, until the server says something or ends the
    /// connection; returns all that it says.
    #[track_caller]
    pub fn dribble(&mut self, bytes: &[u8], pace: Duration) -> Vec<u8> {
        self.stream.set_read_timeout(Some(pace)).unwrap();
        let mut answer = [0; 1];
        let begin = Instant::now();
        for byte in bytes.iter().cycle() {
            assert!(begin.elapsed() < DEADLINE, "the server waits for ever");
            // Refused when the server is done with us; what it said before is read below.
            let _ = self.stream.write_all(&[*byte]);
            match self.stream.read(&mut answer) {
                Ok(count) => {
                    self.stream.set_read_timeout(Some(DEADLINE)).unwrap();
                    return [&answer[..count], &self.rest_or_reset()].concat();
                }
                Err(error) if is_timeout(&error) => {}
                Err(_) => return Vec::new(),
            }
        }
        unreachable!("there is nothing to send")
    }

    /// Ends our direction, and expects the server to end its own with nothing more to say.
    #[track_caller]
    pub fn finish(mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(self.rest(), b"", "the server goes on after its end");
    }
}

impl<S: Read + Write> Raw<S> {
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self.stream.flush().unwrap();
    }

    /// Asks for the upgrade with these additional header lines, and returns the head of the answer, which is one.
    #[track_caller]
    pub fn upgrade(&mut self, path: &str, headers: &str) -> String {
        self.send(request(path, headers));
        let head = self.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(header(&head, "Sec-WebSocket-Accept"), Some(ACCEPT), "{head}");
        head
    }

    /// Reads a request and answers it with the upgrade.
    #[track_caller]
    pub fn welcome(&mut self) {
        let request = self.head();
        let key = header(&request, "Sec-WebSocket-Key").unwrap();
        // RFC 6455 section 1.3.
        let hash = openssl::sha::sha1(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes());
        let accept = openssl::base64::encode_block(&hash);
        self.send(format!(
            "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        ));
    }

    /// The head of a request or an answer, its empty line included.
    #[track_caller]
    pub fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.exactly(1));
        }
        String::from_utf8(head).unwrap()
    }

    /// The first byte of the next frame, and its payload.
    #[track_caller]
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        let [first, second] = self.exactly(2)[..] else { unreachable!() };
        assert_eq!(second & 0x80, 0, "a server masks nothing");
        let extended = match second {
            126 => self.exactly(2),
            127 => self.exactly(8),
            length => vec![length],
        };
        let length = extended.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        assert!(length <= MAX_BYTES, "a frame of {length} bytes");
        (first, self.exactly(length))
    }

    /// The code of the Close frame that comes, perhaps behind other frames.
    #[track_caller]
    pub fn close_code(&mut self) -> u16 {
        let begin = Instant::now();
        loop {
            let (first, payload) = self.frame();
            assert!(begin.elapsed() < DEADLINE, "the server goes on for ever");
            if first == CLOSE {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }

    /// All that comes until the other end ends the connection, which it does without a reset.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).unwrap();
        rest
    }

    /// All that comes until the other end ends the connection, whichever way.
    #[track_caller]
    pub fn rest_or_reset(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Err(error) if is_timeout(&error) => panic!("the connection stays open"),
            _ => rest,
        }
    }

    #[track_caller]
    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }
}

/// A proper request for an upgrade, with these additional header lines.
pub fn request(path: &str, headers: &str) -> String {
    request_with_key(path, &format!("Sec-WebSocket-Key: {KEY}\r\n{headers}"))
}

/// The same, without a key.
pub fn request_with_key(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
}

/// The value of a header.
pub fn header<'head>(head: &'head str, name: &str) -> Option<&'head str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// A whole message of a client.
pub fn text(text: impl Into<String>) -> Vec<u8> {
    RawFrame::text(text).masked().encode()
}

/// A read or write that took too long.
fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
