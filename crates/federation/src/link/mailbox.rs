//! Where others reach a link from any thread.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Command;
use super::command::{Answer, Asking};
use crate::Ending;
use crate::signal::Signal;

/// See the module. What waits is bounded: a close, and as many questions and answers as may be under way.
#[derive(Debug)]
pub(crate) struct Mailbox {
    connection: Arc<str>,
    signal: Arc<Signal>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    commands: VecDeque<Command>,
    /// Requests to the peer that have no reply yet, those among the commands included.
    asked: usize,
    /// Numbers of the peer's requests that the pipeline has not answered yet.
    unanswered: HashSet<u64>,
    /// The link is gone.
    closed: bool,
}

/// Why a question is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// As many are under way as allowed.
    Busy,
    /// The link is gone.
    Closed,
}

impl Mailbox {
    pub(crate) fn new(connection: &str) -> Self {
        Self { connection: connection.into(), signal: Arc::default(), state: Mutex::default() }
    }

    /// The connection's name.
    pub(crate) fn connection(&self) -> &Arc<str> {
        &self.connection
    }

    pub(crate) fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }

    /// Has the link end. The first reason counts.
    pub(crate) fn close(&self, ending: Ending) {
        let mut state = self.lock();
        let is_asked = state.commands.iter().any(|command| matches!(command, Command::Close(_)));
        if !is_asked && !state.closed {
            state.commands.push_back(Command::Close(ending));
        }
        drop(state);
        self.signal.ring();
    }

    /// Has the link ask its peer; [`Mailbox::asked_less`] when that is over.
    pub(crate) fn ask(&self, max: usize, asking: impl FnOnce() -> Asking) -> Result<(), NoRoom> {
        let mut state = self.lock();
        if state.closed {
            return Err(NoRoom::Closed);
        }
        if state.asked >= max {
            return Err(NoRoom::Busy);
        }
        state.asked += 1;
        state.commands.push_back(Command::Ask(asking()));
        drop(state);
        self.signal.ring();
        Ok(())
    }

    /// So many questions are no longer under way.
    pub(crate) fn asked_less(&self, count: usize) {
        let mut state = self.lock();
        state.asked = state.asked.saturating_sub(count);
    }

    /// The pipeline has been given the request of that number.
    pub(crate) fn await_answer(&self, number: u64) {
        self.lock().unanswered.insert(number);
    }

    /// Has the link answer its peer; `false` when nobody waits for that answer.
    pub(crate) fn answer(&self, answer: Answer) -> bool {
        let mut state = self.lock();
        let is_awaited = state.unanswered.remove(&answer.number) && !state.closed;
        if is_awaited {
            state.commands.push_back(Command::Answer(answer));
            drop(state);
            self.signal.ring();
        }
        is_awaited
    }

    /// The request is answered by others; `false` when the pipeline's answer is already on its way.
    pub(crate) fn answered_otherwise(&self, number: u64) -> bool {
        self.lock().unanswered.remove(&number)
    }

    pub(crate) fn pop(&self) -> Option<Command> {
        self.lock().commands.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().commands.is_empty()
    }

    /// Takes nothing any more; what has not been done.
    pub(crate) fn shut(&self) -> VecDeque<Command> {
        let mut state = self.lock();
        state.closed = true;
        state.unanswered.clear();
        std::mem::take(&mut state.commands)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
