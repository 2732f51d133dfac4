//! Pages in Chromium: as clients that feed our server and take from it, and where they may come from.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::languages::moves_everything_between_clients;
use crate::pages::Pages;
use crate::peer::{COMPLAINTS, COUNT, ClientProgram, Peer, Role};
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
        let own = format!("websocket.origins='{}'", browser.pages.origin());
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
}

impl ClientProgram for Browser {
    fn client(&self, role: Role, url: &str) -> Peer {
        let (page, lines) = self.pages.page(&format!("role={}&url={url}&count={COUNT}", role.name()));
        let profile = tempfile::tempdir().unwrap();
        let mut user_data = OsString::from("--user-data-dir=");
        user_data.push(profile.path());
        // It has a lot to say there even when all is well.
        let complaints = profile.path().join(COMPLAINTS);
        let child = Command::new(&self.program)
            .args(ARGUMENTS)
            .arg(user_data)
            .arg(page)
            .env("TMPDIR", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(complaints).unwrap())
            .spawn()
            .unwrap();
        Peer::new(child, lines, Some(profile))
    }

    fn properties(&self) -> String {
        format!(", websocket.origins='{}'", self.pages.origin())
    }
}
