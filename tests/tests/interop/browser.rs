//! Pages in Chromium: as clients that feed our server and take from it, and where they may come from.
//!
//! A page says what happens to it by posting lines to the small web server it came from, so that it can say so also
//! when our server refuses it.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use eventflux_tests::repository;

use crate::languages::moves_everything_between_clients;
use crate::peer::{COUNT, ClientProgram, Peer, Role};
use crate::wire::Wire;
use crate::{DRAIN, free_port, missing, start, works};

/// What Chromium and its siblings are called.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// No window, no traffic of its own, and no sandbox, which root and many containers cannot have: it loads one page of
/// ours.
const ARGUMENTS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-crash-reporter",
    "--disable-extensions",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
];

/// Longest head or body of a request to the web server, bytes.
const MAX_REQUEST_BYTES: u64 = 16 << 20;

/// How long a connection to the web server may be silent; a browser opens some that it never uses.
const SILENCE: Duration = Duration::from_secs(10);

#[test]
fn a_page_in_chromium_feeds_our_server_and_another_takes_from_it() {
    with_browser(|browser| moves_everything_between_clients(browser, browser, Wire::Plain));
}

#[test]
fn a_page_in_chromium_sends_compressed_messages_and_another_takes_them() {
    with_browser(|browser| Wire::COMPRESSED.map(|wire| moves_everything_between_clients(browser, browser, wire)));
}

#[test]
fn a_page_of_another_origin_is_refused_unless_the_server_lists_it_or_takes_any() {
    with_browser(|browser| {
        // The page is of localhost, the server on 127.0.0.1: to a browser these are different hosts.
        let own = format!("websocket.origins='{}'", browser.origin());
        assert!(!lets_in(browser, ""), "by default only pages of the same host get in");
        assert!(!lets_in(browser, "websocket.origins='http://elsewhere.example'"));
        assert!(lets_in(browser, &own), "the page's own origin is listed");
        assert!(lets_in(browser, "websocket.origins='*'"));
    });
}

/// Whether a page gets a connection to a server with these properties.
fn lets_in(browser: &Browser, properties: &str) -> bool {
    let port = free_port();
    let comma = if properties.is_empty() { "" } else { "," };
    let mut pipeline = start(&format!(
        "@source(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:{port}' {comma} {properties}, @map(type='json'))
         CREATE STREAM Received (n BIGINT, text STRING);
         @sink(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:{port}', websocket.path='/out', @map(type='json'))
         CREATE STREAM Served (n BIGINT, text STRING);
         INSERT INTO Served SELECT n, text FROM Received;"
    ));
    let page = browser.client(Role::Collect, &format!("ws://127.0.0.1:{port}/"));
    let first = page.expect("");
    if first == "closed 1006" {
        pipeline.stop(DRAIN);
        return false;
    }
    assert!(first.starts_with("extensions "), "{first}");
    page.expect("connected");
    pipeline.stop(DRAIN);
    assert_eq!(page.expect("closed "), "1001");
    true
}

fn with_browser<T>(test: impl FnOnce(&Browser) -> T) {
    if let Some(browser) = Browser::find() {
        test(&browser);
    }
}

/// Chromium, and the web server its pages come from.
struct Browser {
    program: PathBuf,
    pages: Pages,
}

impl Browser {
    fn find() -> Option<Self> {
        let program = NAMES.iter().map(PathBuf::from).find(|program| works(program, &["--version"]));
        if program.is_none() {
            missing("Chromium");
        }
        Some(Self { program: program?, pages: Pages::serve() })
    }

    /// What its pages send in the header `Origin`.
    fn origin(&self) -> String {
        format!("http://localhost:{}", self.pages.address.port())
    }
}

impl ClientProgram for Browser {
    fn client(&self, role: Role, url: &str) -> Peer {
        let (id, lines) = self.pages.expect_page();
        let page = format!("{}/client.html?role={}&url={url}&count={COUNT}&page={id}", self.origin(), role.name());
        let profile = tempfile::tempdir().unwrap();
        let mut user_data = std::ffi::OsString::from("--user-data-dir=");
        user_data.push(profile.path());
        let child = Command::new(&self.program)
            .args(ARGUMENTS)
            .arg(user_data)
            .arg(page)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // It complains about the desktop it does not find, at length.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Peer::new(child, lines, Some(profile))
    }

    fn properties(&self) -> String {
        format!(", websocket.origins='{}'", self.origin())
    }
}

/// A web server on 127.0.0.1 that has one page, and takes what its instances say.
struct Pages {
    address: SocketAddr,
    listeners: Arc<Mutex<HashMap<String, Sender<String>>>>,
    next: AtomicUsize,
}

impl Pages {
    fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pages =
            Self { address: listener.local_addr().unwrap(), listeners: Arc::default(), next: AtomicUsize::default() };
        let listeners = Arc::clone(&pages.listeners);
        // Ends with the test program: there is one for each test, and it waits without work.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let listeners = Arc::clone(&listeners);
                // A browser that hangs up early is no failure; a page that is missed is.
                thread::spawn(move || answer(&stream, &listeners));
            }
        });
        pages
    }

    /// The number of the next page, and what it will say.
    fn expect_page(&self) -> (usize, mpsc::Receiver<String>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, lines) = mpsc::channel();
        self.listeners.lock().unwrap().insert(id.to_string(), sender);
        (id, lines)
    }
}

/// Answers one request: with the page, or by passing on what it says.
fn answer(stream: &TcpStream, listeners: &Mutex<HashMap<String, Sender<String>>>) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    let mut reader = BufReader::new(stream).take(MAX_REQUEST_BYTES);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let length = content_length(&mut reader)?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let target = request.split(' ').nth(1).unwrap_or_default();
    let (status, kind, file) = if request.starts_with("GET /client.html?") {
        ("200 OK", "text/html", Some("client.html"))
    } else if request.starts_with("GET /messages.mjs ") {
        ("200 OK", "text/javascript", Some("messages.mjs"))
    } else if request.starts_with("POST /said?") {
        let (_, id) = target.rsplit_once("page=").unwrap_or_default();
        if let Some(listener) = listeners.lock().unwrap().get(id) {
            // Nobody listens any more when the test is over.
            String::from_utf8_lossy(&body).lines().try_for_each(|line| listener.send(line.to_owned())).ok();
        }
        ("204 No Content", "text/plain", None)
    } else {
        ("404 Not Found", "text/plain", None)
    };
    let content = match file {
        Some(file) => std::fs::read(repository().join("tests/interop").join(file))?,
        None => Vec::new(),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        content.len()
    );
    let mut writer = stream;
    writer.write_all(head.as_bytes())?;
    writer.write_all(&content)
}

/// Reads the headers to their end.
fn content_length(reader: &mut impl BufRead) -> io::Result<usize> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(length);
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("Content-Length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
}
