//! What a session waits for: decisions of the auth handler, and messages of its client for the one before.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{AbortHandle, Abortable};
use futures_util::lock::{Mutex, MutexGuard};

use super::WsError;
use super::connection::Connection;
use crate::{Authenticated, Inbound, Problem};

/// How long an auth handler may take for one decision; then it counts as a no.
pub const DECISION_TIMEOUT: Duration = Duration::from_secs(30);

/// The messages of one client, of which one at a time is carried out.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Held while a message is carried out.
    lock: Mutex<()>,
    /// That one, and those that wait.
    count: AtomicUsize,
}

/// A message may be carried out; the next one waits.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    guard: Option<MutexGuard<'a, ()>>,
}

/// An answer that a session waits for. Given when it is dropped, so that no session waits in vain.
#[derive(Debug)]
pub(super) struct Pending<'a> {
    connection: &'a Connection,
    now: Instant,
    answer: Answer,
}

/// What became of an effect.
#[derive(Debug)]
pub(super) enum Answer {
    /// Who the client is.
    Identity(Result<Authenticated, Problem>),
    /// Which channels it may subscribe to.
    Subscriptions(Vec<bool>),
    /// A message that the program does not get, and why.
    Rejected(Inbound, Problem),
    /// A message that the program gets.
    Delivered,
}

impl Turns {
    /// Waits until nothing else is carried out, unless as many wait already as may.
    pub(super) async fn turn(&self, limit: usize) -> Result<Turn<'_>, WsError> {
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        let mut turn = Turn { turns: self, guard: None };
        // One is carried out, the others wait.
        if before > limit {
            return Err(WsError::BufferFull { limit });
        }
        turn.guard = Some(self.lock.lock().await);
        Ok(turn)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.guard.take();
        self.turns.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<'a> Pending<'a> {
    /// `answer` is the one that is given unless there is another one: a no.
    pub(super) fn new(connection: &'a Connection, answer: Answer, now: Instant) -> Self {
        Self { connection, now, answer }
    }

    pub(super) fn answer(mut self, answer: Answer) {
        self.answer = answer;
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let answer = std::mem::replace(&mut self.answer, Answer::Delivered);
        self.connection.settle(answer, self.now);
    }
}

impl Connection {
    /// Waits for a decision; `None` when it takes too long or the connection is closed.
    pub(super) async fn decide<T>(&self, decision: impl Future<Output = T>, now: Instant) -> Option<T> {
        let (handle, registration) = AbortHandle::new_pair();
        self.begin_decision(handle, now + DECISION_TIMEOUT);
        let decided = Abortable::new(decision, registration).await.ok();
        self.end_decision();
        decided
    }
}
