//! A process of the binary: started, killed, started again, and asked how it is.

use std::env;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use super::{http, wait_until};

/// Lines of its log that are shown when a test fails.
const SHOWN_LINES: usize = 40;

/// See the module. Killed when it is dropped.
pub(crate) struct Node {
    program: PathBuf,
    file: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    /// What the log had when the process was started.
    begins: usize,
    admin: Option<SocketAddr>,
}

impl Node {
    /// Runs a file with this text; `name` is that of the file. Returns when all of it is connected or listens.
    #[track_caller]
    pub(crate) fn start(folder: &Path, name: &str, text: &str) -> Self {
        let file = folder.join(name);
        fs::write(&file, text).unwrap();
        let log = folder.join(format!("{name}.log"));
        let mut node = Self { program: program(folder), log, file, child: None, begins: 0, admin: None };
        node.start_again();
        wait_until(&format!("{name} is ready"), || node.is_ready());
        node
    }

    /// Runs the same file once more.
    #[track_caller]
    pub(crate) fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        self.begins = log.metadata().unwrap().len() as usize;
        let mut command = Command::new(&self.program);
        command.args(["run", "--no-progress", "--admin", "127.0.0.1:0"]).arg(&self.file);
        command.current_dir(self.file.parent().unwrap()).env_remove("RUST_LOG").stdin(Stdio::null());
        self.child = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        self.admin = Some(self.address("admin listener at http://"));
    }

    /// Where it listens.
    #[track_caller]
    pub(crate) fn listens(&self) -> SocketAddr {
        self.address("listening on ")
    }

    /// Whether everything in it is connected or listens.
    pub(crate) fn is_ready(&self) -> bool {
        http::get(self.admin.unwrap(), "/ready").status == 200
    }

    /// What it says about its connectors.
    pub(crate) fn health(&self) -> String {
        http::get(self.admin.unwrap(), "/health").body
    }

    /// Waits until it says that about one of its connectors.
    #[track_caller]
    pub(crate) fn wait_for_health(&self, words: &str) {
        wait_until(&format!("'{words}' in the health of {}", self.file.display()), || self.health().contains(words));
    }

    /// The sum of the series of a metric that have `label` among their labels; all of them when it is empty.
    pub(crate) fn metric(&self, name: &str, label: &str) -> u64 {
        let page = http::get(self.admin.unwrap(), "/metrics").body;
        let is_meant = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])) && line.contains(label)
        };
        page.lines().filter(is_meant).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "it had ended before it was killed");
    }

    /// It does nothing from now on, as a process that is starved or a machine that hangs.
    pub(crate) fn suspend(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Stops it as an operator would; it ends in order, with everything delivered.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        let mut child = self.child.take().unwrap();
        let mut status = None;
        wait_until(&format!("{} ends", self.file.display()), || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(0), "{}:\n{}", self.file.display(), self.tail());
        // One that is contained ends a connection and nothing else, and all would come right again.
        assert!(!fs::read_to_string(&self.log).unwrap().contains("panicked"), "{}", self.log.display());
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    /// The address that follows `words` in its log.
    #[track_caller]
    fn address(&self, words: &str) -> SocketAddr {
        let mut found = None;
        wait_until(&format!("'{words}' in {}", self.log.display()), || {
            let log = fs::read(&self.log).unwrap();
            let log = String::from_utf8_lossy(&log[self.begins..]);
            // The last line may still be written.
            let mut lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            found = lines.find_map(|line| Some(line.split_once(words)?.1.split([' ', '/', '\n']).next()?.to_owned()));
            found.is_some()
        });
        found.unwrap().parse().unwrap()
    }

    fn tail(&self) -> String {
        let log = String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.tail());
        }
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The binary, by a name of its own: a process that is started again is the same program, whatever is built meanwhile.
fn program(folder: &Path) -> PathBuf {
    let program = folder.join("eventflux");
    if !program.exists() {
        let built = env::var_os("EVENTFLUX_PROVE_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_eventflux").into());
        // One on another disk cannot have two names.
        fs::hard_link(&built, &program).or_else(|_| fs::copy(&built, &program).map(drop)).unwrap();
    }
    program
}
