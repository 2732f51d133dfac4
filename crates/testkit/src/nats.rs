//! A real nats-server for a test: a process of its own at an ephemeral port, with JetStream in a temporary directory.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::wait;

/// Where its program is, when it is not among those the shell finds.
pub const PROGRAM_VARIABLE: &str = "EVENTFLUX_NATS_SERVER";

/// How long it may take to be ready.
const READY: Duration = Duration::from_secs(20);

/// A running nats-server. Dropping it kills the process and removes its files.
///
/// It keeps its port and its files when it is killed and started again.
#[derive(Debug)]
pub struct NatsServer {
    port: u16,
    directory: TempDir,
    config: String,
    process: Mutex<Option<Child>>,
}

impl NatsServer {
    /// A server with JetStream that lets everybody in.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same, with more in its configuration file: `authorization { ... }`, `tls { ... }`, `max_payload: 4096`.
    /// Port, host and the directory of JetStream are there already.
    #[must_use]
    pub fn start_with(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        let server = Self { port: free_port(), directory, config: config.to_owned(), process: Mutex::new(None) };
        server.restart();
        server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// `nats://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// Where its files are: for certificates and credentials, too.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Kills it, as a crash would: nothing is flushed that it had not flushed.
    pub fn kill(&self) {
        if let Some(mut process) = self.lock().take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again with its files, after [`kill`](Self::kill). Returns when it is ready.
    ///
    /// # Panics
    /// When there is no such program, or it is not ready in time.
    #[track_caller]
    pub fn restart(&self) {
        self.kill();
        let mut last = String::new();
        // Somebody else may have taken the port meanwhile.
        for _ in 0..5 {
            match self.spawn() {
                Ok(process) => {
                    *self.lock() = Some(process);
                    return;
                }
                Err(error) => last = error,
            }
        }
        panic!("nats-server does not start: {last}");
    }

    /// Changes the configuration, and has the running process read it: for permissions that are revoked.
    pub fn reload(&mut self, config: &str) {
        config.clone_into(&mut self.config);
        self.write_config();
        self.signal("HUP");
    }

    /// Stops the process without ending it, as a machine that hangs.
    ///
    /// # Panics
    /// When it goes on running.
    #[track_caller]
    pub fn pause(&self) {
        self.signal("STOP");
        // The signal is sent, not taken: threads that are on another core run on for a while.
        if let Some(id) = self.lock().as_ref().map(Child::id) {
            wait::eventually_blocking(READY, || has_stopped(id));
        }
    }

    /// Lets a stopped process go on.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Tells its clients that it is about to shut down, and lets them go one after the other ("lame duck mode").
    pub fn retire(&self) {
        self.signal("USR2");
    }

    fn signal(&self, name: &str) {
        if let Some(process) = &*self.lock() {
            let id = process.id().to_string();
            let status = Command::new("kill").args([&format!("-{name}"), &id]).status();
            assert!(status.is_ok_and(|status| status.success()), "kill -{name} {id} failed");
        }
    }

    fn write_config(&self) -> PathBuf {
        let path = self.directory.path().join("nats.conf");
        let store = self.directory.path().join("store");
        let text = format!(
            "host: 127.0.0.1\nport: {}\njetstream {{ store_dir: '{}' }}\n{}\n",
            self.port,
            store.display(),
            self.config
        );
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    fn spawn(&self) -> Result<Child, String> {
        let path = self.write_config();
        let program = program();
        let mut process = Command::new(&program)
            .arg("--config")
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error} (scripts/test installs it)", program.display()))?;
        let log = process.stderr.take().ok_or("no log")?;
        let (ready, is_ready) = std::sync::mpsc::channel();
        // Reads on until the process ends, so that it never waits for its log.
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                let _ = ready.send(line);
            }
        });
        let deadline = Instant::now() + READY;
        let mut lines = Vec::new();
        while let Ok(line) = is_ready.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if line.contains("Server is ready") {
                return Ok(process);
            }
            lines.push(line);
        }
        let _ = process.kill();
        let _ = process.wait();
        Err(lines.join("\n"))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where its program is: what [`PROGRAM_VARIABLE`] says, or where it is usually.
pub fn program() -> PathBuf {
    std::env::var_os(PROGRAM_VARIABLE).map_or_else(find, PathBuf::from)
}

/// Debian puts it where users other than root do not look.
fn find() -> PathBuf {
    let installed = PathBuf::from("/usr/sbin/nats-server");
    if installed.exists() { installed } else { PathBuf::from("nats-server") }
}

/// Whether no thread of a process runs, as far as the system tells.
fn has_stopped(process: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return true };
    let states = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    // `id (name) state ...`; a name may have any characters.
    states.into_iter().all(|stat| stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 't'])))
}

fn free_port() -> u16 {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound.unwrap_or_else(|error| panic!("no free port: {error}")).port()
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_server_answers_and_does_again_after_it_was_killed() {
        let server = NatsServer::start();
        let hello = |server: &NatsServer| {
            let mut line = String::new();
            BufReader::new(TcpStream::connect(server.address()).unwrap()).read_line(&mut line).unwrap();
            line
        };
        assert!(hello(&server).contains("\"jetstream\":true"));
        server.kill();
        assert!(TcpStream::connect(server.address()).is_err());
        server.restart();
        assert!(hello(&server).starts_with("INFO {"));
    }
}
