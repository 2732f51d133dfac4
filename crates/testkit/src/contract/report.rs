//! Running checks and reporting all of them.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::wait::POLL_INTERVAL;

/// One check of the contract against a harness.
pub(super) struct Check<H: ?Sized> {
    pub(super) name: &'static str,
    /// Why the connector need not pass it, if so.
    pub(super) skip: fn(&H) -> Option<&'static str>,
    pub(super) run: fn(&H) -> Result<(), String>,
}

/// What came of every check.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The connector, for the message.
    pub connector: String,
    /// Names of the checks that passed.
    pub passed: Vec<&'static str>,
    /// Names of the checks that do not apply, each with the reason.
    pub skipped: Vec<(&'static str, &'static str)>,
    /// The checks that failed.
    pub failed: Vec<Failure>,
}

/// A check that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Name of the check.
    pub check: &'static str,
    /// What was expected and what happened.
    pub reason: String,
}

impl Report {
    /// Whether the check of this name failed.
    pub fn has_failed(&self, check: &str) -> bool {
        self.failed.iter().any(|failure| failure.check == check)
    }

    /// Asserts that nothing failed.
    ///
    /// # Panics
    /// With all failures.
    #[track_caller]
    pub fn assert_kept(&self) {
        assert!(self.failed.is_empty(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = (self.passed.len(), self.failed.len(), self.skipped.len());
        write!(f, "{}: {} checks passed, {} failed, {} skipped", self.connector, counts.0, counts.1, counts.2)?;
        for failure in &self.failed {
            write!(f, "\n  FAILED {}: {}", failure.check, failure.reason)?;
        }
        for (check, reason) in &self.skipped {
            write!(f, "\n  skipped {check}: {reason}")?;
        }
        Ok(())
    }
}

/// Runs the wanted checks one after the other, each on a thread of its own so that one that hangs is left behind.
pub(super) fn run<H: ?Sized + Send + Sync + 'static>(
    connector: String,
    harness: &Arc<H>,
    checks: &'static [Check<H>],
    limit: Duration,
    wanted: impl Fn(&str) -> bool,
) -> Report {
    let mut report = Report { connector, ..Report::default() };
    for check in checks.iter().filter(|check| wanted(check.name)) {
        if let Some(reason) = (check.skip)(harness) {
            report.skipped.push((check.name, reason));
            continue;
        }
        match run_one(harness, check, limit) {
            Ok(()) => report.passed.push(check.name),
            Err(reason) => report.failed.push(Failure { check: check.name, reason }),
        }
    }
    report
}

fn run_one<H: ?Sized + Send + Sync + 'static>(
    harness: &Arc<H>,
    check: &'static Check<H>,
    limit: Duration,
) -> Result<(), String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let harness = Arc::clone(harness);
    let spawned = thread::Builder::new().name("contract".to_owned()).spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| (check.run)(&harness)));
        let outcome = outcome.unwrap_or_else(|panic| Err(format!("a panic: {}", crate::panic_text(&*panic))));
        // The receiver is gone when the check took too long; its verdict has been given then.
        let _ = sender.send(outcome);
    });
    if let Err(error) = spawned {
        return Err(format!("no thread to run it: {error}"));
    }
    receiver.recv_timeout(limit).unwrap_or_else(|_| Err(format!("it still hangs after {limit:?}")))
}

/// Waits until `condition` holds.
pub(super) fn within(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Result<(), String> {
    let started = Instant::now();
    loop {
        let late = started.elapsed() >= deadline;
        if condition() {
            return Ok(());
        }
        if late {
            return Err(format!("{what}: not within {deadline:?}"));
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Looks for `duration` whether `condition` is ever violated.
pub(super) fn never(duration: Duration, mut violated: impl FnMut() -> Option<String>) -> Result<(), String> {
    let started = Instant::now();
    while started.elapsed() < duration {
        if let Some(violation) = violated() {
            return Err(violation);
        }
        thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

/// Runs `action` and complains when it takes longer than `limit`.
pub(super) fn timed<T>(what: &str, limit: Duration, action: impl FnOnce() -> T) -> Result<T, String> {
    let started = Instant::now();
    let value = action();
    let took = started.elapsed();
    if took <= limit { Ok(value) } else { Err(format!("{what} took {took:?}, longer than {limit:?}")) }
}

/// `Err` with the text unless the condition holds.
pub(super) fn ensure(condition: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(otherwise()) }
}

/// Time for a refused connection to be noticed and logged. Not a synchronisation: nothing depends on its length.
pub(super) fn linger(duration: Duration) {
    let started = Instant::now();
    while started.elapsed() < duration {
        thread::sleep(POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKS: &[Check<str>] = &[
        Check { name: "passes", skip: |_| None, run: |_| Ok(()) },
        Check { name: "fails", skip: |_| None, run: |harness| Err(format!("wrong with {harness}")) },
        Check { name: "panics", skip: |_| None, run: |_| panic!("on {}", "purpose") },
        Check {
            name: "hangs",
            skip: |_| None,
            run: |_| loop {
                thread::park()
            },
        },
        Check { name: "does not apply", skip: |_| Some("it is a test"), run: |_| Err("it was run".to_owned()) },
    ];

    #[test]
    fn a_report_has_every_check_whatever_became_of_it() {
        let harness: Arc<str> = Arc::from("me");
        let report = run("a connector".to_owned(), &harness, CHECKS, Duration::from_millis(200), |_| true);
        assert_eq!(report.passed, ["passes"]);
        assert_eq!(report.skipped, [("does not apply", "it is a test")]);
        let text = report.to_string();
        for line in [
            "a connector: 1 checks passed, 3 failed, 1 skipped",
            "FAILED fails: wrong with me",
            "FAILED panics: a panic: on purpose",
            "FAILED hangs: it still hangs after 200ms",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    #[should_panic(expected = "FAILED fails")]
    fn a_failed_check_fails_the_test() {
        let harness: Arc<str> = Arc::from("me");
        run("a connector".to_owned(), &harness, CHECKS, Duration::from_secs(5), |name| name == "fails").assert_kept();
    }
}
