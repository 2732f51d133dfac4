//! An open connection of the crowd, not blocking.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

use eventflux_benches::error::BenchError;

use super::codec::{self, Item};
use super::deframer::Deframer;
use super::dial::Opened;
use super::message::{Finder, Mark};
use crate::job::Language;

/// Whether a connection goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Status {
    /// It does.
    Open,
    /// It has ended, as the text says.
    Ended(String),
}

/// A connection with what waits on its two sides.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    language: Language,
    /// Where NATS speaks in frames.
    deframer: Option<Deframer>,
    finder: Finder,
    /// The beginning of an item whose end has not come.
    incomplete: Vec<u8>,
    /// What is to be sent; the part before `sent` is.
    outbox: Vec<u8>,
    sent: usize,
}

impl Connection {
    /// Goes on with what was opened.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn new(opened: Opened) -> Result<Self, BenchError> {
        let Opened { stream, language, deframer, rest } = opened;
        stream.set_nonblocking(true).map_err(BenchError::io("making a socket non-blocking"))?;
        let finder = Finder::default();
        Ok(Self { stream, language, deframer, finder, incomplete: rest, outbox: Vec::new(), sent: 0 })
    }

    /// Reads once what has come, into a buffer that many connections share, and hands the marks of complete messages to
    /// `take`. Answers pings.
    ///
    /// # Errors
    /// When what came is not of the connection's language.
    pub(super) fn receive(&mut self, buffer: &mut [u8], mut take: impl FnMut(Mark)) -> Result<Status, BenchError> {
        let kept = self.incomplete.len();
        let Some(room) = buffer.get_mut(kept..).filter(|room| !room.is_empty()) else {
            return Err(BenchError::Protocol(format!("a message of more than {kept} bytes")));
        };
        let read = match (&self.stream).read(room) {
            Ok(0) => return Ok(Status::Ended("without a goodbye".into())),
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(Status::Open);
            }
            Err(error) => return Ok(Status::Ended(error.to_string())),
        };
        let read = match &mut self.deframer {
            None => read,
            Some(deframer) => {
                let kept = deframer.strip(&mut room[..read])?;
                if deframer.is_closed() {
                    return Ok(Status::Ended("with a goodbye".into()));
                }
                kept
            }
        };
        buffer[..kept].copy_from_slice(&self.incomplete);
        self.incomplete.clear();
        let mut rest = &buffer[..kept + read];
        while let Some((item, length)) = codec::next(self.language, rest)? {
            match item {
                Item::Message(message) => {
                    if let Some(mark) = self.finder.find(message) {
                        take(mark);
                    }
                }
                Item::Ping(payload) => self.send(&codec::pong(self.language, payload))?,
                Item::Close(payload) => return Ok(Status::Ended(farewell(payload))),
                Item::Other => {}
            }
            rest = &rest[length..];
        }
        self.incomplete.extend_from_slice(rest);
        Ok(Status::Open)
    }

    /// Puts a message to what waits to be sent; [`flush`](Self::flush) sends it.
    pub(super) fn queue(&mut self, payload: &[u8]) {
        codec::write_message(self.language, &mut self.outbox, payload);
    }

    /// Bytes that wait to be sent.
    pub(super) fn unsent(&self) -> usize {
        self.outbox.len() - self.sent
    }

    /// Sends as much as the kernel takes.
    ///
    /// # Errors
    /// When the connection has failed.
    pub(super) fn flush(&mut self) -> Result<(), BenchError> {
        while self.sent < self.outbox.len() {
            match (&self.stream).write(&self.outbox[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(BenchError::io("sending to the gateway")(error)),
            }
        }
        self.outbox.drain(..self.sent);
        self.sent = 0;
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), BenchError> {
        self.outbox.extend_from_slice(bytes);
        self.flush()
    }
}

fn farewell(payload: &[u8]) -> String {
    match payload {
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            format!("with code {code}: {}", String::from_utf8_lossy(reason))
        }
        _ => "with a goodbye".to_owned(),
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    use super::super::message;
    use crate::job::{MESSAGE_BYTES, Protocol};

    fn pair(rest: &[u8]) -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let language = Language::WebSocket(Protocol::Raw);
        let connection = Connection::new(Opened { stream, language, deframer: None, rest: rest.to_vec() }).unwrap();
        (connection, listener.accept().unwrap().0)
    }

    /// The numbers of the messages that come until there are `count`.
    fn numbers(connection: &mut Connection, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        let mut buffer = vec![0; 4096];
        while numbers.len() < count {
            assert_eq!(connection.receive(&mut buffer, |mark| numbers.push(mark.number)).unwrap(), Status::Open);
        }
        numbers
    }

    fn frame(number: u64) -> Vec<u8> {
        let mut frame = vec![0x81, 126, 0, MESSAGE_BYTES as u8];
        message::write(&mut frame, number, 0, 0, MESSAGE_BYTES);
        frame
    }

    #[test]
    fn messages_are_put_together_from_what_came_at_different_times() {
        let bytes = [frame(1), frame(2), frame(3)].concat();
        let (mut connection, mut gateway) = pair(&bytes[..10]);
        gateway.write_all(&bytes[10..300]).unwrap();
        assert_eq!(numbers(&mut connection, 1), [1]);
        gateway.write_all(&bytes[300..]).unwrap();
        assert_eq!(numbers(&mut connection, 2), [2, 3]);
    }

    #[test]
    fn pings_are_answered() {
        let (mut connection, mut gateway) = pair(b"");
        gateway.write_all(&[b"\x89\x02hi".to_vec(), frame(1)].concat()).unwrap();
        numbers(&mut connection, 1);
        let mut pong = [0; 8];
        gateway.read_exact(&mut pong).unwrap();
        assert_eq!(pong[..2], [0x8a, 0x82]);
    }

    #[test]
    fn a_goodbye_ends_it() {
        let (mut connection, mut gateway) = pair(b"");
        gateway.write_all(b"\x88\x07\x03\xf0limit").unwrap();
        let mut status = Status::Open;
        while status == Status::Open {
            status = connection.receive(&mut [0; 64], |_| {}).unwrap();
        }
        assert_eq!(status, Status::Ended("with code 1008: limit".into()));
    }
}
