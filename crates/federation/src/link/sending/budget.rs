//! How much may be sent in one pass.

use super::{Sending, State};
use crate::link::hello::WindowSize;

/// How much may be sent now.
pub(in crate::link) struct Budget {
    events: u64,
    /// Of this pass.
    bytes: u64,
    /// That the receiver has room for; `None` when that does not matter, or when it has room for any one payload.
    window: Option<u64>,
    is_empty: bool,
    /// Bytes of a message that the receiver takes at most.
    max_message: u64,
}

impl Budget {
    pub(super) fn new(sending: &Sending, window: Option<WindowSize>, max_bytes: usize, allowance: u64) -> Self {
        let bytes = max_bytes.max(1) as u64;
        let (events, window) = match (sending.state, window) {
            // What goes out again is not acknowledged.
            _ if sending.replay.is_some() => (allowance, None),
            (State::Acknowledged, Some(window)) => (
                window.events.saturating_sub(sending.flight.events).min(allowance),
                Some(window.bytes.saturating_sub(sending.flight.bytes)),
            ),
            _ => (allowance, None),
        };
        Self { events, bytes, window, is_empty: sending.flight.bytes == 0, max_message: u64::MAX }
    }

    pub(super) fn for_messages_of(self, max_message: u64) -> Self {
        Self { max_message, ..self }
    }

    /// Whether a message is too large for the receiver.
    pub(in crate::link) fn is_oversized(&self, bytes: usize) -> bool {
        bytes as u64 > self.max_message
    }

    pub(in crate::link) fn is_spent(&self) -> bool {
        self.events == 0 || self.bytes == 0
    }

    /// Whether the receiver has room for a payload. One that is larger than the window goes alone.
    pub(super) fn has_room(&self, payload: usize) -> bool {
        self.is_empty || self.window.is_none_or(|window| WindowSize::share(payload) <= window)
    }

    pub(in crate::link) fn spend(&mut self, payload: usize) {
        self.events -= 1;
        self.bytes = self.bytes.saturating_sub((payload as u64).max(1));
        self.window = self.window.map(|window| window.saturating_sub(WindowSize::share(payload)));
        self.is_empty = false;
    }
}
