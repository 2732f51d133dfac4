//! How much an outlet keeps, and what goes first.

use super::{FullPolicy, Outlet, OutletConfig, State, Stored};
use crate::Now;

/// Of what a full store keeps, so much goes at once when the oldest make room.
const STORE_SHARE: u64 = 16;

impl Outlet {
    /// Waits no longer for receivers that have been away for too long, but for the one that is `coming`.
    pub(super) fn forget_absent(&self, state: &mut State, coming: Option<&str>, now: Now) {
        state.now_ms = now.unix_ms;
        for forgotten in state.receivers.forget_absent(coming, now.unix_ms) {
            log::warn!(
                "stream {}: receiver '{}' has been away for too long and is forgotten",
                self.config.stream,
                forgotten.escape_debug()
            );
            if let Some(stored) = &state.store {
                stored.store.unmark(&forgotten);
            }
        }
    }

    /// Forgets what is not needed, and keeps to the limits.
    pub(super) fn enforce(&self, state: &mut State) {
        state.forget_acknowledged(&self.config);
        match state.store {
            Some(_) => self.enforce_in_store(state),
            None => self.enforce_in_memory(state),
        }
    }

    fn enforce_in_memory(&self, state: &mut State) {
        // Nobody is waited for: what is kept is for whoever comes first.
        let rolls = state.receivers.is_empty() || self.config.full == FullPolicy::DropOldest;
        while rolls && state.log.bytes() > self.config.memory() && state.log.has_older_chunks() {
            let Some(first) = state.log.forget_oldest_chunk() else { return };
            self.count_lost(state, first);
            state.first = first;
        }
    }

    fn enforce_in_store(&self, state: &mut State) {
        let rolls = state.receivers.is_empty() || self.config.full == FullPolicy::DropOldest;
        let Some(stored) = &mut state.store else { return };
        if rolls && !stored.makes_room && !stored.store.has_room() {
            let first = state.first + (stored.next.saturating_sub(state.first)).div_ceil(STORE_SHARE);
            stored.store.forget(first);
            stored.makes_room = true;
            self.count_lost(state, first);
            state.first = first;
            state.log.forget(first);
        }
        self.trim_memory(state);
    }

    /// With a store, in memory is what is not stored yet, and of the rest as much as there is room for.
    fn trim_memory(&self, state: &mut State) {
        let safe = state.readable();
        while state.log.bytes() > self.config.memory() && state.log.first() < safe {
            if state.log.oldest_chunk_next().is_none_or(|chunk_next| chunk_next > safe) {
                return;
            }
            state.log.forget_oldest_chunk();
        }
    }

    /// Counts what is before `first` and has not been acknowledged.
    fn count_lost(&self, state: &State, first: u64) {
        match state.receivers.low() {
            None => self.counters.unheard.add(first.saturating_sub(state.first)),
            Some(low) => self.counters.dropped.add(first.saturating_sub(low.max(state.first))),
        }
    }
}

impl State {
    fn store_has_room(&self) -> bool {
        self.store.as_ref().is_none_or(|stored| stored.store.has_room())
    }

    /// Whether what is published now is taken.
    pub(super) fn takes(&self, config: &OutletConfig) -> bool {
        match config.full {
            FullPolicy::Block => true,
            FullPolicy::DropNewest => self.has_room(config),
            // What waits to be stored cannot make room.
            FullPolicy::DropOldest => self.store.as_ref().is_none_or(|stored| stored.has_memory(config)),
        }
    }

    pub(super) fn has_room(&self, config: &OutletConfig) -> bool {
        if self.receivers.is_empty() {
            // The oldest make room.
            return self.store.as_ref().is_none_or(|stored| stored.has_memory(config));
        }
        match &self.store {
            Some(stored) => stored.store.has_room() && stored.has_memory(config),
            None => self.log.bytes() <= config.memory(),
        }
    }

    /// Forgets what every receiver has acknowledged, and what is too old to be replayed.
    fn forget_acknowledged(&mut self, config: &OutletConfig) {
        let Some(low) = self.receivers.low() else { return };
        // What an unstored batch waits for is not given away before.
        let low = low.min(self.readable());
        let history = config.history;
        let oldest_ms = self.now_ms.saturating_sub(history.age.as_millis() as u64);
        while let Some(chunk) = self.log.oldest_chunk()
            && chunk.next() <= low
        {
            let events = self.log.next() - chunk.next();
            let bytes = self.log.bytes() - chunk.memory();
            let is_history = events < history.events && bytes < history.bytes && chunk.last_ms() >= oldest_ms;
            // It never takes room away from what is published.
            if is_history && self.log.bytes() <= config.memory() && self.store_has_room() {
                break;
            }
            self.log.forget_oldest_chunk();
        }
        // The same in the store. Its history is what memory holds, and no more.
        let first = self.log.first().min(low).max(self.first);
        if first > self.first {
            self.first = first;
            if let Some(stored) = &self.store {
                stored.store.forget(first);
            }
        }
    }
}

impl Stored {
    /// Whether more may wait to be stored.
    fn has_memory(&self, config: &OutletConfig) -> bool {
        self.store.unwritten_bytes() <= config.queue_bytes
    }
}

impl OutletConfig {
    /// Bytes kept in memory.
    pub(super) fn memory(&self) -> usize {
        self.queue_bytes.saturating_add(self.history.bytes)
    }
}
