//! A process of the binary that runs examples, and clients of what it serves.

use std::net::SocketAddr;

use eventflux_testkit::peer::ScriptedClient;
use eventflux_testkit::wait::eventually_blocking;

use super::http;
use super::support::{DEADLINE, Output, Running, free_port};

/// One instance, ready.
pub(crate) struct Instance {
    pub(crate) running: Running,
    admin: SocketAddr,
    port: u16,
}

impl Instance {
    /// Runs files with that server, at a port of its own.
    #[track_caller]
    pub(crate) fn start(files: &[&str], nats: &str) -> Self {
        Self::start_with(files, nats, &[])
    }

    /// The same, with more environment variables.
    #[track_caller]
    pub(crate) fn start_with(files: &[&str], nats: &str, more: &[(&str, &str)]) -> Self {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let mut environment = vec![("NATS_URL", nats), ("LISTEN", &listen)];
        environment.extend_from_slice(more);
        let arguments = [&["run", "--no-progress", "--admin", "127.0.0.1:0"], files].concat();
        let mut running = Running::start(&arguments, &environment);
        let line = running.expect_stderr("admin listener at ");
        let (_, rest) = line.split_once("http://").unwrap();
        let admin = rest.split_whitespace().next().unwrap().parse().unwrap();
        eventually_blocking(DEADLINE, || http::get(admin, "/ready").status == 200);
        Self { running, admin, port }
    }

    /// A client at `path`.
    #[track_caller]
    pub(crate) fn connect(&self, path: &str) -> Client {
        Client(ScriptedClient::connect(format!("ws://127.0.0.1:{}{path}", self.port)).blocking())
    }

    /// The sum of a metric over all its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = http::get(self.admin, "/metrics").body;
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        page.lines().filter(of_name).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Ends it as an operator does.
    #[track_caller]
    pub(crate) fn stop(self) -> Output {
        self.running.signal("TERM");
        let output = self.running.finish();
        assert_eq!(output.code, Some(0), "{output:?}");
        output
    }
}

/// A client of one path.
pub(crate) struct Client(ScriptedClient);

impl Client {
    #[track_caller]
    pub(crate) fn send(&self, text: &str) {
        self.0.send_text(text).blocking();
    }

    /// Waits for a message with that in it.
    #[track_caller]
    pub(crate) fn expect(&self, part: &str) -> String {
        let wanted = part.to_owned();
        let found = self.0.wait_for(format!("a message with {part}"), move |record| {
            record
                .messages_of(0)
                .filter_map(|message| message.as_text())
                .find(|text| text.contains(&wanted))
                .map(str::to_owned)
        });
        found.within(DEADLINE).blocking()
    }

    /// What has come so far.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.record().messages_of(0).filter_map(|message| message.as_text()).map(str::to_owned).collect()
    }
}

/// Publishes to a server, until it has them.
pub(crate) async fn publish(client: &async_nats::Client, messages: &[(&str, &str)]) {
    for (subject, payload) in messages {
        client.publish((*subject).to_owned(), (*payload).to_owned().into()).await.unwrap();
    }
    client.flush().await.unwrap();
}
