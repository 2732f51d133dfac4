//! The admin listener as monitoring systems meet it: real requests to a running process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod exposition;
mod http;
mod links;
mod listener;
mod pages;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use http::{Answer, get};
use support::{DEADLINE, Running};

/// A source without an end, and a sink of these properties.
pub(crate) fn endless(sink: &str) -> String {
    format!(
        "@source(type='generator', generator.rate='50', generator.template='{{\"n\":${{seq}}}}', @map(type='json'))\n\
         CREATE STREAM Numbers (n BIGINT);\n\
         @sink({sink}, @map(type='json'))\n\
         CREATE STREAM Kept (n BIGINT);\n\
         INSERT INTO Kept SELECT n FROM Numbers;\n"
    )
}

/// A running process with an admin listener.
pub(crate) struct Observed {
    pub(crate) running: Running,
    pub(crate) address: SocketAddr,
    /// The files, by the order they were given.
    pub(crate) files: Vec<String>,
    _folder: TempDir,
}

impl Observed {
    /// Runs a file of each of these texts.
    pub(crate) fn run(texts: &[&str], arguments: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let write = |(number, text): (usize, &&str)| {
            let path = folder.path().join(format!("{number}.sql"));
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let files: Vec<_> = texts.iter().enumerate().map(write).collect();
        let mut all = vec!["run", "--admin", "127.0.0.1:0"];
        all.extend(arguments);
        all.extend(files.iter().map(String::as_str));
        let mut running = Running::start(&all, &[("SECRET_TOKEN", "hunter2")]);
        let address = address(&running.expect_stderr("admin listener at "));
        Self { running, address, files, _folder: folder }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        get(self.address, path)
    }

    /// Asks until the answer is as wanted.
    pub(crate) fn get_until(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let answer = self.get(path);
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path} still answers {answer:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The address in a line of the log.
pub(crate) fn address(line: &str) -> SocketAddr {
    let (_, rest) = line.split_once("http://").unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}
