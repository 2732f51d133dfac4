//! A small web server for the page that is a client, and for what it says: it posts a line for each thing that happens, so
//! that it can say so also when our server refuses it.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use eventflux_tests::repository;

/// Longest request, bytes.
const MAX_REQUEST_BYTES: u64 = 16 << 20;

/// How long a connection may be silent; a browser opens some that it never uses.
const SILENCE: Duration = Duration::from_secs(10);

/// Who hears what a page says, by the page's number.
type Listeners = Arc<Mutex<HashMap<String, Sender<String>>>>;

/// A web server on 127.0.0.1.
pub(crate) struct Pages {
    address: SocketAddr,
    listeners: Listeners,
    next: AtomicUsize,
}

impl Pages {
    pub(crate) fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let listeners = Listeners::default();
        let serving = Arc::clone(&listeners);
        // Ends with the test program: there is one for each test, and it waits without work.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let listeners = Arc::clone(&serving);
                // A browser may hang up early. What matters is missed by the test that waits for it.
                thread::spawn(move || answer(&stream, &listeners));
            }
        });
        Self { address, listeners, next: AtomicUsize::default() }
    }

    /// What a page of it sends in the header `Origin`.
    pub(crate) fn origin(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    /// Where a page is that gets this query, and what it will say.
    pub(crate) fn page(&self, query: &str) -> (String, Receiver<String>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let url = format!("{}/client.html?{query}&page={number}", self.origin());
        let (sender, lines) = mpsc::channel();
        self.listeners.lock().unwrap().insert(number, sender);
        (url, lines)
    }
}

/// Answers one request.
fn answer(mut stream: &TcpStream, listeners: &Listeners) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    let (request, body) = read_request(stream)?;
    let (status, kind, content) = if request.starts_with("GET /client.html?") {
        ("200 OK", "text/html", file("client.html")?)
    } else if request.starts_with("GET /messages.mjs ") {
        ("200 OK", "text/javascript", file("messages.mjs")?)
    } else if let Some(target) = request.strip_prefix("POST /said?") {
        pass_on(target, &body, listeners);
        ("204 No Content", "text/plain", String::new())
    } else {
        ("404 Not Found", "text/plain", String::new())
    };
    let length = content.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{content}"
    )
}

/// The first line of a request, and its body.
fn read_request(stream: &TcpStream) -> io::Result<(String, String)> {
    let mut reader = BufReader::new(stream).take(MAX_REQUEST_BYTES);
    let (mut request, mut length) = (String::new(), 0);
    reader.read_line(&mut request)?;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("Content-Length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body)?;
    Ok((request, body))
}

fn pass_on(target: &str, lines: &str, listeners: &Listeners) {
    let number = target.split([' ', '&']).find_map(|part| part.strip_prefix("page=")).unwrap_or_default();
    if let Some(listener) = listeners.lock().unwrap().get(number) {
        // Nobody listens any more when the test is over.
        let _ = lines.lines().try_for_each(|line| listener.send(line.to_owned()));
    }
}

fn file(name: &str) -> io::Result<String> {
    std::fs::read_to_string(repository().join("tests/interop").join(name))
}
