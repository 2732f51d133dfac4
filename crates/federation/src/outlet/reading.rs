//! How links read an outlet.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Entered, Outlet, Reader, State};
use crate::Now;
use crate::signal::Signal;

/// What [`Outlet::read`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// Everything there is was visited, or the visitor had enough.
    Done,
    /// The rest is on its way from the store; the link is rung.
    Loading,
    /// What was asked for is gone; this is the first there is.
    Gone(u64),
}

/// A link that reads for a named receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Joined {
    /// Everything before is acknowledged: by what is known of the receiver, or because it begins there.
    pub(crate) next: u64,
    /// The reader that another link had for that name.
    pub(crate) replaced: bool,
}

/// Bytes that an event is taken to have when nothing is known of it.
const UNKNOWN_BYTES: u64 = 1_024;

/// What [`Outlet::past`] found: the events `from..to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Past {
    /// May be too early where a store holds what memory does not.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// The oldest event there is.
    pub(crate) first: u64,
    /// When that was published, where memory tells.
    pub(crate) first_ms: Option<u64>,
    /// What was published before a restart is still there.
    pub(crate) is_stored: bool,
}

impl Outlet {
    /// A place for a link, behind everything published so far.
    pub(crate) fn attach(&self, signal: &Arc<Signal>) -> u64 {
        let mut state = self.lock();
        let cursor = state.log.next();
        state.readers.insert(Reader { signal: signal.clone(), cursor, reads: true, named: None }) as u64
    }

    /// The reader reads for the receiver `name`, which acknowledges. `None` when there are too many receivers.
    ///
    /// A receiver that was not known begins at the oldest event there is, or, if it wants to, behind the newest.
    pub(crate) fn join(&self, reader: u64, name: &str, latest: bool, now: Now) -> Option<Joined> {
        let mut state = self.lock();
        self.forget_absent(&mut state, Some(name), now);
        let start = match (latest, state.receivers.awaits_first()) {
            (true, _) => state.log.next(),
            // What was dropped before it came was dropped for it.
            (false, true) => 1,
            (false, false) => state.first,
        };
        let attached = state.receivers.attach(name, reader, start, now.unix_ms)?;
        let next = attached.next.unwrap_or(start);
        if let Some(stored) = &state.store {
            stored.store.mark(name, next, now.unix_ms);
        }
        if let Some(other) = attached.replaced.and_then(|other| state.readers.get_mut(other as usize)) {
            other.named = None;
            other.signal.ring();
        }
        let place = state.readers.get_mut(reader as usize)?;
        (place.named, place.reads) = (Some(name.to_owned()), true);
        place.cursor = next;
        // Who begins behind what is kept needs nothing of it, and somebody else may have been forgotten.
        self.enforce(&mut state);
        drop(state);
        self.wake();
        Some(Joined { next, replaced: attached.replaced.is_some() })
    }

    /// The reader reads for nobody any longer, until it joins again.
    pub(crate) fn leave(&self, reader: u64, now_ms: u64) {
        let mut state = self.lock();
        state.receivers.detach(reader, now_ms);
        if let Some(reader) = state.readers.get_mut(reader as usize) {
            (reader.named, reader.reads) = (None, false);
        }
    }

    /// Whether another link reads for the receiver of this reader now.
    pub(crate) fn is_replaced(&self, reader: u64) -> bool {
        self.lock().readers.get(reader as usize).is_some_and(|reader| reader.named.is_none())
    }

    /// Has the reader look again.
    pub(crate) fn ring(&self, reader: u64) {
        if let Some(reader) = self.lock().readers.get(reader as usize) {
            reader.signal.ring();
        }
    }

    /// The link is gone.
    pub(crate) fn detach(&self, reader: u64, now_ms: u64) {
        let mut state = self.lock();
        state.receivers.detach(reader, now_ms);
        if let Some(stored) = &mut state.store {
            stored.loads.forget(reader);
        }
        if state.readers.contains(reader as usize) {
            state.readers.remove(reader as usize);
        }
    }

    /// The oldest event there is, and the number of the next one.
    pub(crate) fn range(&self) -> (u64, u64) {
        let state = self.lock();
        (state.first, state.log.next())
    }

    /// Visits events from `from` on, and remembers where the reader has got to.
    pub(crate) fn read(&self, reader: u64, from: u64, mut visit: impl FnMut(Entered<'_>) -> ControlFlow<()>) -> Read {
        let mut state = self.lock();
        if from < state.first {
            return Read::Gone(state.first);
        }
        let (mut cursor, end) = (from, if state.paused { from } else { state.readable() });
        let mut flow = ControlFlow::Continue(());
        while flow.is_continue() && cursor < end {
            let before = cursor;
            state.visit(reader, cursor, end, &mut |entered| {
                let next = entered.sequence + 1;
                flow = visit(entered);
                // What the visitor had no room for is read again.
                if flow.is_continue() {
                    cursor = next;
                }
                flow
            });
            if cursor == before && flow.is_continue() {
                return state.nothing_visited(reader, &self.config.stream);
            }
        }
        if let Some(place) = state.readers.get_mut(reader as usize) {
            place.cursor = place.cursor.max(cursor);
        }
        Read::Done
    }

    /// The receiver of `reader` has everything before `next`.
    pub(crate) fn acknowledge(&self, reader: u64, next: u64, now: Now) {
        let mut state = self.lock();
        let next = next.min(state.log.next());
        let Some(name) = state.readers.get(reader as usize).and_then(|reader| reader.named.clone()) else { return };
        if !state.receivers.acknowledge(&name, reader, next) {
            return;
        }
        if let Some(stored) = &state.store {
            stored.store.mark(&name, next, now.unix_ms);
        }
        state.now_ms = now.unix_ms;
        self.enforce(&mut state);
        drop(state);
        self.wake();
    }

    /// The first event published at `time_ms` or later; an earlier one where only the store could tell.
    pub(crate) fn since(&self, time_ms: u64) -> u64 {
        self.lock().since(time_ms)
    }

    /// What there is of the events before `end` that were published in a span of time.
    pub(crate) fn past(&self, end: u64, start_ms: Option<u64>, end_ms: Option<u64>) -> Past {
        let state = self.lock();
        let (log, first) = (&state.log, state.first);
        let from = start_ms.map_or(first, |time_ms| state.since(time_ms));
        // Where only the store could tell, this is later.
        let to = end_ms.map_or(end, |time_ms| log.since(time_ms.saturating_add(1)).min(end));
        let in_memory = log.first() <= first;
        let first_ms = in_memory.then(|| log.from(first).next()).flatten().map(|entered| entered.time_ms);
        Past { from, to: to.max(from), first, first_ms, is_stored: state.store.is_some() }
    }

    /// Bytes of the events `from..to`, about.
    pub(crate) fn weight(&self, from: u64, to: u64) -> u64 {
        let state = self.lock();
        let log = &state.log;
        let (events, bytes) = (log.next() - log.first(), log.bytes() as u64);
        let average = bytes.checked_div(events).unwrap_or(UNKNOWN_BYTES).max(1);
        to.saturating_sub(from).saturating_mul(average)
    }

    /// Name, what it acknowledged (everything before), and whether it is connected, of each receiver.
    #[must_use]
    pub fn receivers(&self) -> Vec<(String, u64, bool)> {
        self.lock().receivers.iter().map(|(name, next, connected)| (name.to_owned(), next, connected)).collect()
    }
}

impl State {
    fn since(&self, time_ms: u64) -> u64 {
        let place = self.log.since(time_ms).max(self.first);
        // What memory does not reach may be as late as the first that it does.
        if place == self.log.first() { self.first } else { place }
    }

    /// What it means that there was nothing at a place where there has to be something.
    fn nothing_visited(&mut self, reader: u64, stream: &str) -> Read {
        let Some(stored) = &mut self.store else { return Read::Loading };
        let Some(instead) = stored.loads.lost(reader) else { return Read::Loading };
        stored.loads.forget(reader);
        let first = instead.unwrap_or(self.log.first()).min(self.log.first());
        ::log::error!("stream {stream}: what was stored before event {first} cannot be read");
        Read::Gone(first)
    }

    fn visit(&mut self, reader: u64, from: u64, end: u64, visit: &mut dyn FnMut(Entered<'_>) -> ControlFlow<()>) {
        let in_memory = from >= self.log.first();
        let mut each = |entered: Entered<'_>| match entered.sequence < end {
            true => visit(entered),
            false => ControlFlow::Break(()),
        };
        match &mut self.store {
            Some(stored) if !in_memory => {
                let store = stored.store.clone();
                let _ = stored.loads.from(&*store, reader, from).try_for_each(&mut each);
            }
            Some(stored) => {
                stored.loads.forget(reader);
                let _ = self.log.from(from).try_for_each(&mut each);
            }
            None => drop(self.log.from(from).try_for_each(&mut each)),
        }
    }
}
