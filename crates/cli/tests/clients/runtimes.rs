//! Where client programs run: Node, Chromium, Python, k6.

use std::process::{Command, Stdio};

use super::program::Program;
use super::support::{Running, repository};

/// What Chromium and its siblings are called.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Lets Node 20 have a WebSocket of its own, as later versions do by default.
const OWN_WEBSOCKET: &str = "--experimental-websocket";

/// Where a program for browsers runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runtime {
    /// Node, with its own WebSocket.
    NodeOwn,
    /// Node, with that of the library `ws`.
    NodeWs,
    /// Chromium.
    Browser,
}

impl Runtime {
    pub(crate) const ALL: [Self; 3] = [Self::NodeOwn, Self::NodeWs, Self::Browser];

    /// Starts a printed program, and `then` right behind it; `None` where what it needs is missing.
    pub(crate) fn start(self, program: &str, then: &str) -> Option<Program> {
        match self {
            Self::NodeOwn => node_with_own_websocket(&run("node.mjs"), &["own", &printed(program), then]),
            Self::NodeWs => node(&run("node.mjs"), &["ws", &printed(program), then]),
            Self::Browser => page(&printed(program), then),
        }
    }
}

/// Opens a page in Chromium; `more` is for it: see `tests/clients/run/browser.mjs`.
pub(crate) fn page(file: &str, more: &str) -> Option<Program> {
    let Some(browser) = browser() else { return missing("Chromium") };
    node(&run("browser.mjs"), &[&browser, file, more])
}

/// The whole path of the first browser that works.
fn browser() -> Option<String> {
    let folders: Vec<_> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let programs = BROWSERS.into_iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let program = programs.filter(|path| path.is_file()).find(|path| works(Command::new(path).arg("--version")))?;
    Some(program.display().to_string())
}

/// A program that drives others, in `tests/clients/run`.
pub(crate) fn run(name: &str) -> String {
    path(&format!("tests/clients/run/{name}"))
}

/// A printed program.
pub(crate) fn printed(name: &str) -> String {
    path(&format!("tests/clients/{name}"))
}

pub(crate) fn path(name: &str) -> String {
    repository().join(name).display().to_string()
}

fn node(script: &str, arguments: &[&str]) -> Option<Program> {
    node_is_usable().then(|| Program::start(Command::new("node").arg(script).args(arguments)))
}

/// Starts a script in Node that takes no commands.
pub(crate) fn node_script(script: &str, arguments: &[&str]) -> Option<Running> {
    let mut command = Command::new("node");
    command.arg(script).args(arguments).stdin(Stdio::null());
    node_is_usable().then(|| Running::spawn(&mut command))
}

fn node_with_own_websocket(script: &str, arguments: &[&str]) -> Option<Program> {
    let probe = ["-e", "process.exit(globalThis.WebSocket ? 0 : 1)"];
    let flags = [vec![], vec![OWN_WEBSOCKET]];
    let Some(flags) = flags.into_iter().find(|flags| works(Command::new("node").args(flags).args(probe))) else {
        // Not something to install: the Node of the system may be older, and has the library.
        return not_tested("Node's own WebSocket, which comes with version 20.10,");
    };
    node_is_usable().then(|| Program::start(Command::new("node").args(flags).arg(script).args(arguments)))
}

fn node_is_usable() -> bool {
    let packages = "import 'ws'; import 'esbuild'; import 'puppeteer-core'; import 'react-dom'";
    let probe = ["--input-type=module", "-e", packages];
    let usable = works(Command::new("node").args(probe).current_dir(repository().join("tests")));
    if !usable {
        missing::<()>("Node with the packages of tests/package.json");
    }
    usable
}

/// Starts a script in Python.
pub(crate) fn python(script: &str, arguments: &[&str]) -> Option<Running> {
    let installed = repository().join("tests/.venv/bin/python");
    let interpreter = if installed.exists() { installed } else { "python3".into() };
    if !works(Command::new(&interpreter).args(["-c", "import websockets"])) {
        return missing("Python with the package websockets");
    }
    let mut command = Command::new(interpreter);
    command.arg(script).args(arguments);
    // What is printed is seen at once, and nothing is left beside the scripts.
    command.env("PYTHONUNBUFFERED", "1").env("PYTHONUTF8", "1").env("PYTHONDONTWRITEBYTECODE", "1");
    Some(Running::spawn(command.stdin(Stdio::null())))
}

/// Runs the printed load test: with k6 where it is installed, which nothing here does, else in Node with a stand-in for what
/// it imports.
pub(crate) fn load_test(script: &str) -> Option<(Running, LoadTest)> {
    let (mut command, tool) = if works(Command::new("k6").arg("version")) {
        let mut command = Command::new("k6");
        command.args(["run", "--no-usage-report", "--quiet", "--address", "127.0.0.1:0"]).arg(script);
        (command, LoadTest::K6)
    } else {
        if !node_is_usable() {
            return None;
        }
        let mut command = Command::new("node");
        command.arg(run("load.mjs")).arg(script);
        (command, LoadTest::StandIn)
    };
    Some((Running::spawn(command.stdin(Stdio::null())), tool))
}

/// What runs the load test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoadTest {
    K6,
    StandIn,
}

fn works(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Says that a test cannot run; where everything has to be installed, it fails.
fn missing<T>(what: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "{what} is missing: run scripts/test");
    not_tested(&format!("what scripts/test would install: {what}"))
}

fn not_tested<T>(what: &str) -> Option<T> {
    eprintln!("\n*** NOT TESTED: {what} is missing. ***\n");
    None
}
