//! Waiting for a condition with a deadline, instead of sleeping and hoping.
//!
//! [`eventually`] polls a closure. The peers, proxies and collectors return a [`Wait`], which is woken by the event
//! itself; `.await` it or, in a test without a runtime, call [`Wait::blocking`].
//!
//! Deadlines are in real time even under `tokio::time::pause`. When one passes, the panic names the line that waited.

use std::{
    future::{Future, IntoFuture},
    panic::Location,
    pin::Pin,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::runtime;

/// How long the wait helpers wait unless told otherwise with [`Wait::within`].
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

/// Pause between two looks at a polled condition.
pub const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Waits until `condition` is true, looking every [`POLL_INTERVAL`].
///
/// # Panics
/// When `deadline` has passed and the condition is still false.
///
/// ```
/// # use std::{sync::atomic::{AtomicU32, Ordering}, time::Duration};
/// # tokio_test::block_on(async {
/// let count = AtomicU32::new(0);
/// eventflux_testkit::wait::eventually(Duration::from_secs(1), || count.fetch_add(1, Ordering::Relaxed) > 3).await;
/// # });
/// ```
#[track_caller]
pub fn eventually(deadline: Duration, mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    eventually_some(deadline, move || condition().then_some(()))
}

/// Waits until `condition` gives a value, and returns it.
///
/// # Panics
/// When `deadline` has passed and there is still no value.
#[track_caller]
pub fn eventually_some<T>(deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> impl Future<Output = T> {
    let mut poll = Poll::start(deadline);
    async move {
        loop {
            if let Some(value) = poll.look(&mut condition) {
                return value;
            }
            // The pause runs on testkit's own clock, so a paused test clock does not make it spin.
            let _ = runtime::handle().spawn(tokio::time::sleep(POLL_INTERVAL)).await;
        }
    }
}

/// [`eventually`] for tests without a runtime; blocks the thread.
///
/// # Panics
/// When `deadline` has passed and the condition is still false.
#[track_caller]
pub fn eventually_blocking(deadline: Duration, mut condition: impl FnMut() -> bool) {
    eventually_some_blocking(deadline, move || condition().then_some(()));
}

/// [`eventually_some`] for tests without a runtime; blocks the thread.
///
/// # Panics
/// When `deadline` has passed and there is still no value.
#[track_caller]
pub fn eventually_some_blocking<T>(deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let mut poll = Poll::start(deadline);
    loop {
        if let Some(value) = poll.look(&mut condition) {
            return value;
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Something that will happen, or fail, within a deadline: `.await` it or call [`blocking`](Self::blocking).
///
/// Both panic when the deadline passes or the thing fails; [`result`](Self::result) and
/// [`blocking_result`](Self::blocking_result) return the reason instead.
#[must_use = "nothing is waited for until this is awaited or `blocking` is called"]
pub struct Wait<T> {
    what: String,
    deadline: Duration,
    location: &'static Location<'static>,
    outcome: Outcome<T>,
    progress: Box<dyn Fn() -> String + Send + Sync>,
}

type Outcome<T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send>>;

impl<T: Send + 'static> Wait<T> {
    /// `what` completes "waited for ..."; `progress` tells, when it failed, what was seen until then.
    #[track_caller]
    pub(crate) fn new(
        what: impl Into<String>,
        outcome: impl Future<Output = Result<T, String>> + Send + 'static,
        progress: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        Self {
            what: what.into(),
            deadline: DEFAULT_DEADLINE,
            location: Location::caller(),
            outcome: Box::pin(outcome),
            progress: Box::new(progress),
        }
    }

    /// Waits at most this long instead of [`DEFAULT_DEADLINE`].
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Waits, blocking the thread. Works inside and outside of a runtime.
    ///
    /// # Panics
    /// When the deadline passes or the thing fails.
    pub fn blocking(self) -> T {
        self.blocking_result().unwrap_or_else(|reason| panic!("{reason}"))
    }

    /// Waits, blocking the thread.
    ///
    /// # Errors
    /// The message [`blocking`](Self::blocking) would panic with.
    pub fn blocking_result(self) -> Result<T, String> {
        let (sender, receiver) = mpsc::sync_channel(1);
        runtime::handle().spawn(async move {
            // The receiver is gone only when the waiting thread is.
            let _ = sender.send(self.run().await);
        });
        receiver.recv().unwrap_or_else(|_| Err("testkit's runtime stopped while a test waited".to_owned()))
    }

    /// Waits without panicking.
    ///
    /// # Errors
    /// The message awaiting it would panic with.
    pub async fn result(self) -> Result<T, String> {
        let task = runtime::handle().spawn(self.run());
        task.await.unwrap_or_else(|error| Err(format!("a wait inside testkit failed: {error}")))
    }

    async fn run(self) -> Result<T, String> {
        let failure = match tokio::time::timeout(self.deadline, self.outcome).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(reason)) => reason,
            Err(_) => format!("it did not happen within {:?}", self.deadline),
        };
        let progress = (self.progress)();
        let seen = if progress.is_empty() { String::new() } else { format!("; seen: {progress}") };
        Err(format!("{}: waited for {}, but {failure}{seen}", self.location, self.what))
    }
}

impl<T: Send + 'static> IntoFuture for Wait<T> {
    type Output = T;
    type IntoFuture = Pin<Box<dyn Future<Output = T> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.result().await.unwrap_or_else(|reason| panic!("{reason}")) })
    }
}

impl<T> std::fmt::Debug for Wait<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wait").field("what", &self.what).field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// One polled condition: when it started, who asked, how often it was looked at.
struct Poll {
    started: Instant,
    deadline: Duration,
    location: &'static Location<'static>,
    looks: u64,
}

impl Poll {
    #[track_caller]
    fn start(deadline: Duration) -> Self {
        Self { started: Instant::now(), deadline, location: Location::caller(), looks: 0 }
    }

    fn look<T>(&mut self, condition: &mut impl FnMut() -> Option<T>) -> Option<T> {
        // Taken before the look: a condition that becomes true while it is evaluated late still counts.
        let late = self.started.elapsed() >= self.deadline;
        self.looks += 1;
        let value = condition();
        if value.is_none() && late {
            panic!(
                "{}: the condition is still not met after {:?} (looked {} times)",
                self.location, self.deadline, self.looks
            );
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[tokio::test]
    async fn eventually_returns_as_soon_as_the_condition_holds() {
        let mut looks = 0;
        let value = eventually_some(Duration::from_secs(5), || {
            looks += 1;
            (looks == 3).then_some("third")
        })
        .await;
        assert_eq!(value, "third");
    }

    #[test]
    fn a_condition_that_never_holds_panics_with_the_line_that_waited() {
        let line = line!() + 2;
        let panic = catch_unwind(|| {
            eventually_blocking(Duration::from_millis(5), || false);
        });
        let message = *panic.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains(&format!("wait.rs:{line}")), "{message}");
        assert!(message.contains("5ms"), "{message}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_does_not_shorten_the_deadline() {
        let started = Instant::now();
        eventually(Duration::from_secs(5), || started.elapsed() >= Duration::from_millis(20)).await;
    }

    #[test]
    fn a_wait_says_what_it_waited_for_and_what_it_saw() {
        let wait: Wait<()> = Wait::new("two messages", std::future::pending(), || "one message".to_owned());
        let panic = catch_unwind(AssertUnwindSafe(|| wait.within(Duration::from_millis(5)).blocking()));
        let message = *panic.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("waited for two messages"), "{message}");
        assert!(message.contains("seen: one message"), "{message}");
    }

    #[tokio::test]
    async fn a_wait_gives_its_value_when_awaited() {
        assert_eq!(Wait::new("seven", async { Ok(7) }, String::new).await, 7);
    }
}
