//! Opens connections, many at once: TCP, handshake, subscription. Blocking: nothing is measured yet.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use eventflux_benches::error::BenchError;
use memchr::memmem;
use socket2::{Domain, Socket, Type};

use super::codec::{self, Item};
use super::deframer::Deframer;
use super::greeting::{self, Part, Step};
use crate::job::{Job, Language};

/// Connections under way at once.
const AT_ONCE: usize = 64;

/// Longest wait for the gateway to be ready.
const READY_DEADLINE: Duration = Duration::from_secs(10);

/// Time between two tries to reach a gateway that is not ready.
const RETRY: Duration = Duration::from_millis(10);

/// Longest wait for an answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

/// Longest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Receive buffer asked for on connections that are never read, in bytes: they should fill soon.
const FROZEN_BUFFER_BYTES: usize = 4096;

/// A connection that has subscribed.
#[derive(Debug)]
pub(super) struct Opened {
    /// The connection.
    pub(super) stream: TcpStream,
    /// What is spoken on it.
    pub(super) language: Language,
    /// Takes frames off what comes, where NATS speaks in them.
    pub(super) deframer: Option<Deframer>,
    /// What came behind the last answer.
    pub(super) rest: Vec<u8>,
}

/// Waits until the gateway lets publishers and subscribers in; it may listen before that.
///
/// # Errors
/// When it does not.
pub(super) fn await_readiness(job: &Job) -> Result<(), BenchError> {
    let start = Instant::now();
    for part in [Part::Publisher, Part::Subscriber(0)] {
        while let Err(error) = open(job, &[part]) {
            if start.elapsed() > READY_DEADLINE {
                return Err(error);
            }
            thread::sleep(RETRY);
        }
    }
    Ok(())
}

/// Opens a connection for each of `parts`.
///
/// # Errors
/// When the gateway refuses one, or does not answer.
pub(super) fn open(job: &Job, parts: &[Part]) -> Result<Vec<Opened>, BenchError> {
    let mut opened = Vec::with_capacity(parts.len());
    for parts in parts.chunks(AT_ONCE) {
        let mut dials = parts.iter().map(|part| Dial::new(job, *part)).collect::<Result<Vec<_>, _>>()?;
        dials.iter_mut().try_for_each(Dial::await_welcome)?;
        let steps = dials.iter().map(|dial| dial.steps.len()).max().unwrap_or(0);
        for step in 0..steps {
            dials.iter_mut().try_for_each(|dial| dial.say(step))?;
            dials.iter_mut().try_for_each(|dial| dial.hear(step))?;
        }
        opened.extend(dials.into_iter().map(Dial::opened));
    }
    Ok(opened)
}

/// A connection that is being opened.
struct Dial {
    stream: TcpStream,
    part: Part,
    language: Language,
    deframer: Option<Deframer>,
    steps: Vec<Step>,
    received: Vec<u8>,
}

impl Dial {
    /// Connects and asks.
    fn new(job: &Job, part: Part) -> Result<Self, BenchError> {
        let (address, language) = job.place(part == Part::Publisher);
        let stream = connect(address, part).map_err(BenchError::io(format!("connecting to {address}")))?;
        let steps = greeting::steps(job, part);
        let mut dial = Self { stream, part, language, deframer: None, steps, received: Vec::new() };
        let asking = match language {
            Language::WebSocket(_) | Language::NatsWebSocket => greeting::request(address, part),
            Language::Nats => greeting::nats(part),
        };
        dial.write(asking.as_bytes())?;
        Ok(dial)
    }

    /// Waits for the answer to what was asked.
    fn await_welcome(&mut self) -> Result<(), BenchError> {
        match self.language {
            Language::WebSocket(_) => self.await_upgrade(),
            Language::Nats => self.await_text(b"PONG\r\n").map(drop),
            Language::NatsWebSocket => {
                self.await_upgrade()?;
                let mut deframer = Deframer::default();
                let kept = deframer.strip(&mut self.received)?;
                self.received.truncate(kept);
                self.deframer = Some(deframer);
                self.write(&codec::framed(greeting::nats(self.part).as_bytes()))?;
                self.await_text(b"PONG\r\n").map(drop)
            }
        }
    }

    /// Waits until a WebSocket is open.
    fn await_upgrade(&mut self) -> Result<(), BenchError> {
        let head = self.await_text(b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&head);
        let welcome = head.starts_with("HTTP/1.1 101 ");
        if welcome { Ok(()) } else { Err(BenchError::Protocol(format!("the gateway refuses: {head}"))) }
    }

    fn opened(self) -> Opened {
        Opened { stream: self.stream, language: self.language, deframer: self.deframer, rest: self.received }
    }

    fn say(&mut self, step: usize) -> Result<(), BenchError> {
        let Some(step) = self.steps.get(step) else { return Ok(()) };
        let mut bytes = Vec::new();
        codec::write_message(self.language, &mut bytes, step.say.as_bytes());
        self.write(&bytes)
    }

    /// Waits for the message that a step wants to hear; others before it are not looked at.
    fn hear(&mut self, step: usize) -> Result<(), BenchError> {
        let Some(hear) = self.steps.get(step).and_then(|step| step.hear) else { return Ok(()) };
        loop {
            while let Some((item, length)) = codec::next(self.language, &self.received)? {
                let heard = match item {
                    Item::Message(message) => memmem::find(message, hear.as_bytes()).is_some(),
                    Item::Close(payload) => {
                        let reason = String::from_utf8_lossy(payload);
                        return Err(BenchError::Protocol(format!("closed ({reason}) instead of saying {hear}")));
                    }
                    Item::Ping(_) | Item::Other => false,
                };
                self.received.drain(..length);
                if heard {
                    return Ok(());
                }
            }
            self.read(hear)?;
        }
    }

    /// Takes what comes up to and with `end`.
    fn await_text(&mut self, end: &[u8]) -> Result<Vec<u8>, BenchError> {
        loop {
            if let Some(position) = memmem::find(&self.received, end) {
                let rest = self.received.split_off(position + end.len());
                return Ok(std::mem::replace(&mut self.received, rest));
            }
            self.read("a handshake")?;
        }
    }

    fn read(&mut self, wanted: &str) -> Result<(), BenchError> {
        let mut part = [0; 4096];
        let read = self.stream.read(&mut part).map_err(BenchError::io(format!("waiting for {wanted}")))?;
        let kept = self.deframer.as_mut().map_or(Ok(read), |deframer| deframer.strip(&mut part[..read]))?;
        self.received.extend_from_slice(&part[..kept]);
        if read == 0 || self.received.len() > MAX_ANSWER_BYTES {
            let got = String::from_utf8_lossy(&self.received);
            let got: String = got.chars().take(200).collect();
            return Err(BenchError::Protocol(format!("waited for {wanted} and got {got:?}")));
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BenchError> {
        self.stream.write_all(bytes).map_err(BenchError::io("asking the gateway"))
    }
}

fn connect(address: SocketAddr, part: Part) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if part == Part::Frozen {
        socket.set_recv_buffer_size(FROZEN_BUFFER_BYTES)?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(ANSWER_DEADLINE))?;
    socket.connect(&address.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    use crate::job::{Audience, Protocol, Task, Work};

    /// Answers one client with `answers`, one after each of what it says.
    fn gateway(answers: &'static [&'static [u8]]) -> Job {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            for answer in answers {
                assert!(client.read(&mut [0; 4096]).unwrap() > 0);
                client.write_all(answer).unwrap();
            }
        });
        Job {
            address,
            language: Language::WebSocket(Protocol::Channels),
            entrance: None,
            work: Work { subscribers: 1, frozen: 0, audience: Audience::Everyone, task: Task::Idle { first: 1 } },
        }
    }

    #[test]
    fn what_comes_with_the_last_answer_is_kept() {
        let job = gateway(&[
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x02hi",
            b"\x81\x14\"subscribe_response\"\x81\x01x",
        ]);
        let opened = open(&job, &[Part::Subscriber(0)]).unwrap();
        assert_eq!(opened[0].rest, b"\x81\x01x");
    }

    #[test]
    fn frames_are_taken_off_what_nats_says_in_them() {
        let mut job = gateway(&[
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x82\x09INFO {}\r\n",
            b"\x82\x03PON\x82\x05G\r\nMS\x82\x01G",
        ]);
        job.language = Language::NatsWebSocket;
        let opened = open(&job, &[Part::Subscriber(0)]).unwrap();
        assert_eq!(opened[0].rest, b"MSG");
        assert!(opened[0].deframer.is_some());
    }

    #[test]
    fn a_gateway_that_refuses_at_first_is_asked_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut job = gateway(&[]);
        (job.address, job.language) = (listener.local_addr().unwrap(), Language::WebSocket(Protocol::Raw));
        let answers = ["404 Not Found", "101 Switching Protocols", "101 Switching Protocols"];
        let serving = thread::spawn(move || {
            for answer in answers {
                let (mut client, _) = listener.accept().unwrap();
                assert!(client.read(&mut [0; 4096]).unwrap() > 0);
                client.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).unwrap();
            }
        });
        await_readiness(&job).unwrap();
        serving.join().unwrap();
    }

    #[test]
    fn a_refusal_is_told_with_the_gateways_words() {
        let job = gateway(&[b"HTTP/1.1 503 Service Unavailable\r\n\r\n"]);
        let error = open(&job, &[Part::Subscriber(0)]).unwrap_err().to_string();
        assert!(error.contains("503 Service Unavailable"), "{error}");
    }

    #[test]
    fn a_gateway_that_closes_instead_of_answering_is_an_error() {
        let job = gateway(&[b"HTTP/1.1 101 Switching Protocols\r\n\r\n", b"\x88\x02\x03\xf0"]);
        let error = open(&job, &[Part::Subscriber(0)]).unwrap_err().to_string();
        assert!(error.contains("subscribe_response"), "{error}");
    }
}
