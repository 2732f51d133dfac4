//! Where others reach a link from any thread.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Command;
use crate::signal::Signal;

/// Commands that wait for a link at most.
const MAX_COMMANDS: usize = 1_024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Mailbox {
    connection: Arc<str>,
    signal: Arc<Signal>,
    commands: Mutex<VecDeque<Command>>,
}

impl Mailbox {
    pub(crate) fn new(connection: &str) -> Self {
        Self { connection: connection.into(), signal: Arc::default(), commands: Mutex::default() }
    }

    /// The connection's name.
    pub(crate) fn connection(&self) -> &Arc<str> {
        &self.connection
    }

    pub(crate) fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }

    /// Gives the link something to do; gives it back when too much waits.
    pub(crate) fn push(&self, command: Command) -> Result<(), Command> {
        let mut commands = self.lock();
        if commands.len() >= MAX_COMMANDS {
            return Err(command);
        }
        commands.push_back(command);
        drop(commands);
        self.signal.ring();
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<Command> {
        self.lock().pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Command>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
