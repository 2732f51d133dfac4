//! Our WebSocket source and sink against software we did not write: the Python library `websockets` and the Node
//! library `ws`, as servers and as clients, and a page in Chromium as a client. All of them are willing to compress.
//!
//! The programs and the page are in `tests/interop`; `scripts/test` installs what they need. Without it these tests say
//! so loudly and do nothing, except where the environment variable CI is set: there they fail.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on panics, or says why it does nothing"
)]

mod browser;
mod languages;
mod pages;
mod peer;
mod wire;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use eventflux_core::EventFluxContext;
use eventflux_engine::EventFlux;
use eventflux_tests::repository;

/// How long a pipeline may drain.
const DRAIN: Duration = Duration::from_secs(10);

fn start(sql: &str) -> EventFlux {
    let mut context = EventFluxContext::new();
    eventflux_mappers::register(&mut context);
    eventflux_websocket_connector::register(&mut context);
    let mut pipeline = EventFlux::from_sql(sql, &context).unwrap_or_else(|error| panic!("{}", error.render(false)));
    pipeline.start().unwrap();
    pipeline
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whether a program runs to its end with success.
fn works(program: &Path, arguments: &[&str]) -> bool {
    let status = Command::new(program)
        .args(arguments)
        .current_dir(repository().join("tests"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Says that a test cannot run; where everything has to be installed, it fails.
fn missing(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} is missing: run scripts/test");
    eprintln!("\n*** NOT TESTED: {what} is missing. Run scripts/test, which installs it. ***\n");
}
