//! A client that knows no more of HTTP and of server-sent events than the tests need.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use url::Url;

use crate::support::DEADLINE;

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Event {
    pub(super) id: Option<String>,
    pub(super) data: String,
}

/// A stream of events, as a browser's `EventSource` reads it.
pub(super) struct EventStream<S = TcpStream> {
    stream: S,
    received: Vec<u8>,
    pub(super) head: String,
    /// What a browser would send when it comes back.
    pub(super) last_id: String,
    pub(super) retry_ms: Option<u64>,
    pub(super) heartbeats: usize,
}

/// Connects to the address of a `ws://` URL.
pub(super) fn connect(url: &str) -> TcpStream {
    let url = Url::parse(url).unwrap();
    let stream = TcpStream::connect((url.host_str().unwrap(), url.port().unwrap())).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

pub(super) fn path(url: &str) -> String {
    Url::parse(url).unwrap().path().to_owned()
}

/// A whole request, with its body.
pub(super) fn request(url: &str, method: &str, query: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let host = url.split('/').nth(2).unwrap();
    let mut text = format!("{method} {}{query} HTTP/1.1\r\nHost: {host}\r\n", path(url));
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if method == "POST" && !headers.iter().any(|(name, _)| matches!(*name, "Content-Length" | "Transfer-Encoding")) {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    [text.as_bytes(), b"\r\n", body].concat()
}

/// Sends what there is, and reads the answer to its end.
pub(super) fn exchange(url: &str, request: &[u8]) -> Answer {
    let mut stream = connect(url);
    stream.write_all(request).unwrap();
    answer(stream)
}

/// Reads an answer to its end.
pub(super) fn answer(mut stream: impl Read) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

pub(super) fn get(url: &str, query: &str, headers: &[(&str, &str)]) -> Answer {
    let headers = [&[("Accept", "text/event-stream")], headers].concat();
    exchange(url, &request(url, "GET", query, &headers, b""))
}

pub(super) fn post(url: &str, query: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let is_typed = headers.iter().any(|(name, _)| *name == "Content-Type");
    let json = [("Content-Type", "application/json")];
    let headers = if is_typed { headers.to_vec() } else { [&json[..], headers].concat() };
    exchange(url, &request(url, "POST", query, &headers, body.as_bytes()))
}

impl Answer {
    /// The code of an error.
    pub(super) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        body["error"]["code"].as_str().unwrap().to_owned()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let values = head.split("\r\n").filter_map(|line| line.split_once(": "));
    values.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

impl EventStream {
    /// Opens a stream, and waits for what comes before the first event.
    pub(super) fn open(url: &str, query: &str, headers: &[(&str, &str)]) -> Self {
        Self::over(connect(url), url, query, headers)
    }

    /// Ends our direction.
    pub(super) fn leave(&self) {
        self.stream.shutdown(Shutdown::Both).unwrap();
    }

    /// Says more, though nothing is expected.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }
}

impl<S: Read + Write> EventStream<S> {
    pub(super) fn over(mut stream: S, url: &str, query: &str, headers: &[(&str, &str)]) -> Self {
        let headers = [&[("Accept", "text/event-stream")], headers].concat();
        stream.write_all(&request(url, "GET", query, &headers, b"")).unwrap();
        let mut events = Self {
            stream,
            received: Vec::new(),
            head: String::new(),
            last_id: String::new(),
            retry_ms: None,
            heartbeats: 0,
        };
        events.head = events.block(b"\r\n\r\n").unwrap().to_ascii_lowercase();
        assert!(events.head.starts_with("http/1.1 200 "), "{}", events.head);
        // The first block has no data.
        let first = events.block(b"\n\n").unwrap();
        assert_eq!(events.read_block(&first), None);
        events
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The next event; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block(b"\n\n")?;
            if let Some(event) = self.read_block(&block) {
                return Some(event);
            }
        }
    }

    /// The texts of the next events.
    pub(super) fn texts(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.next().unwrap().data).collect()
    }

    /// The texts of all further events.
    pub(super) fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.next()).map(|event| event.data).collect()
    }

    pub(super) fn wait_for_heartbeats(&mut self, count: usize) {
        while self.heartbeats < count {
            let block = self.block(b"\n\n").unwrap();
            assert_eq!(self.read_block(&block), None);
        }
    }

    fn read_block(&mut self, block: &str) -> Option<Event> {
        let mut event = Event::default();
        let mut lines = Vec::new();
        for line in block.lines() {
            match line.split_once(": ") {
                Some(("id", id)) => {
                    self.last_id = id.to_owned();
                    event.id = Some(id.to_owned());
                }
                Some(("data", text)) => lines.push(text),
                Some(("retry", ms)) => self.retry_ms = Some(ms.parse().unwrap()),
                None if line == ":" => self.heartbeats += 1,
                None if line.is_empty() => {}
                other => panic!("no line of an event: {line:?} {other:?}"),
            }
        }
        event.data = lines.join("\n");
        (!lines.is_empty()).then_some(event)
    }

    /// Up to the next `end`; `None` when the stream ends before.
    fn block(&mut self, end: &[u8]) -> Option<String> {
        let by = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = self.received.windows(end.len()).position(|window| window == end) {
                let block = self.received.drain(..at + end.len()).collect();
                return Some(String::from_utf8(block).unwrap());
            }
            assert!(Instant::now() < by, "nothing came in time");
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
