//! A process of the chain: started, suspended, killed, started again.

use std::env;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use super::{DEADLINE, PAUSE, wait_until};

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
}

impl Node {
    /// Runs a file with this text; `name` is that of the file.
    pub(crate) fn start(folder: &Path, name: &str, text: &str) -> Self {
        let file = folder.join(name);
        fs::write(&file, text).unwrap();
        let mut node =
            Self { program: program(folder), log: folder.join(format!("{name}.log")), file, child: None, begins: 0 };
        node.start_again();
        node
    }

    /// Runs the same file once more.
    pub(crate) fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        self.begins = log.metadata().unwrap().len() as usize;
        // Writing beyond a limit of the size of files is then an error, as a full disk is, and does not end the process.
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; exec \"$0\" run --no-progress --admin off \"$1\""])
            .args([&self.program, &self.file]);
        command.current_dir(self.file.parent().unwrap()).env_remove("RUST_LOG").stdin(Stdio::null());
        self.child = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    }

    /// The address that follows `words` in its log.
    #[track_caller]
    pub(crate) fn address(&self, words: &str) -> SocketAddr {
        let line = self.expect(words);
        let (_, rest) = line.split_once(words).unwrap();
        rest.split([' ', '/']).next().unwrap().parse().unwrap_or_else(|_| panic!("no address: {line}"))
    }

    /// Where it listens.
    #[track_caller]
    pub(crate) fn listens(&self) -> SocketAddr {
        self.address("listening on ")
    }

    /// Waits for a line of its log since it was started.
    #[track_caller]
    pub(crate) fn expect(&self, words: &str) -> String {
        let mut found = None;
        wait_until(&format!("'{words}' in {}", self.log.display()), || {
            let log = self.log();
            // The last one may still be written.
            let mut lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            found = lines.find(|line| line.contains(words)).map(|line| line.trim_end().to_owned());
            found.is_some()
        });
        found.unwrap()
    }

    /// What it logged since it was started.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(&self.log).unwrap();
        String::from_utf8_lossy(&log[self.begins..]).into_owned()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "it had ended before it was killed");
    }

    /// Stops it as an operator would; it ends in order, with everything delivered.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        let mut child = self.child.take().unwrap();
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
            }
            thread::sleep(PAUSE);
        };
        assert_eq!(status.code(), Some(0), "{}:\n{}", self.file.display(), self.tail());
        // One that is contained ends a connection and nothing else, and all would come right again.
        assert!(!fs::read_to_string(&self.log).unwrap().contains("panicked"), "{}", self.log.display());
    }

    /// It does nothing from now on, as a process that is starved or stopped does.
    pub(crate) fn suspend(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Files may grow to so many bytes; `None`: as they like.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        prlimit(Some(self.pid()), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    }

    /// The most memory it ever had, in MiB.
    pub(crate) fn peak_mib(&self) -> f64 {
        self.memory_mib("VmHWM:")
    }

    /// The memory it has, in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        self.memory_mib("VmRSS:")
    }

    fn memory_mib(&self, field: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid().as_raw_nonzero())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().unwrap())
    }

    fn tail(&self) -> String {
        let log = String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.tail());
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
