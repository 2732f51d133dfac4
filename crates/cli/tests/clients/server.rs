//! The binary, serving an example.

use std::time::Duration;

use eventflux_testkit::wait::eventually_blocking;

use super::http;
use super::port::Port;
use super::support::{Running, free_port};

/// A running example.
pub(crate) struct Server {
    running: Running,
    admin: std::net::SocketAddr,
    start: Start,
    port: Option<Port>,
}

/// What is needed to start it again.
#[derive(Clone)]
struct Start {
    arguments: Vec<String>,
    environment: Vec<(&'static str, &'static str)>,
}

impl Server {
    /// Runs an example as it is, at the port it names.
    #[track_caller]
    pub(crate) fn as_printed(
        file: &str,
        port: u16,
        sets: &[&str],
        environment: &[(&'static str, &'static str)],
    ) -> Self {
        let lock = Port::take(port);
        let sets = sets.iter().map(|set| (*set).to_owned()).collect();
        Self { port: Some(lock), ..Self::run(file, sets, environment) }
    }

    /// Runs an example at a port that was free a moment ago, and says which. `streams` are those that name an address.
    #[track_caller]
    pub(crate) fn anywhere(file: &str, streams: &[&str]) -> (Self, u16) {
        let port = free_port();
        let sets = streams.iter().map(|stream| format!("{stream}.websocket.listen=127.0.0.1:{port}")).collect();
        (Self::run(file, sets, &[]), port)
    }

    fn run(file: &str, sets: Vec<String>, environment: &[(&'static str, &'static str)]) -> Self {
        let arguments = ["run", "--admin", "127.0.0.1:0"].map(str::to_owned).into_iter();
        let sets = sets.into_iter().flat_map(|set| ["--set".to_owned(), set]);
        let arguments = arguments.chain(sets).chain([file.to_owned()]).collect();
        Self::begin(Start { arguments, environment: environment.to_vec() })
    }

    fn begin(start: Start) -> Self {
        let arguments: Vec<_> = start.arguments.iter().map(String::as_str).collect();
        let mut running = Running::start(&arguments, &start.environment);
        let line = running.expect_stderr("admin listener at ");
        let (_, rest) = line.split_once("http://").unwrap();
        let admin = rest.split_whitespace().next().unwrap().parse().unwrap();
        running.expect_stderr("listening on ");
        Self { running, admin, start, port: None }
    }

    /// Waits for a line that the example writes.
    pub(crate) fn expect_stdout(&mut self, part: &str) -> String {
        self.running.expect_stdout(part)
    }

    /// Waits for a line of its log.
    pub(crate) fn expect_stderr(&mut self, part: &str) -> String {
        self.running.expect_stderr(part)
    }

    /// The sum of a metric over all its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = http::get(self.admin, "/metrics").body;
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        page.lines().filter(of_name).map(value).sum()
    }

    /// Waits until such a sum has come this far.
    #[track_caller]
    pub(crate) fn wait_for_metric(&self, name: &str, at_least: f64, deadline: Duration) {
        eventually_blocking(deadline, || self.metric(name) >= at_least);
    }

    /// Ends it as an operator would.
    #[track_caller]
    pub(crate) fn stop(self) -> Stopped {
        self.running.signal("TERM");
        let output = self.running.finish();
        assert_eq!(output.code, Some(0), "{output:?}");
        // One that is contained ends a connection and nothing else, and clients come back.
        assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
        Stopped { start: self.start, port: self.port }
    }
}

/// A server that was there, and keeps its port.
pub(crate) struct Stopped {
    start: Start,
    port: Option<Port>,
}

impl Stopped {
    #[track_caller]
    pub(crate) fn start(self) -> Server {
        Server { port: self.port, ..Server::begin(self.start) }
    }
}
