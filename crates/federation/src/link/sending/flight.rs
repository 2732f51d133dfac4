//! What is sent and not acknowledged.

use std::collections::VecDeque;

use crate::link::hello::WindowSize;

/// What is sent and not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Flight {
    pub(super) portions: VecDeque<Portion>,
    pub(super) events: u64,
    pub(super) bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Portion {
    /// Behind its last event.
    pub(super) next: u64,
    pub(super) events: u64,
    pub(super) bytes: u64,
    pub(super) largest: Largest,
}

/// The largest event of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Largest {
    pub(super) bytes: u64,
    pub(super) sequence: u64,
}

impl Portion {
    /// A notice that nothing comes before `next`: it is acknowledged like events.
    pub(super) fn gap(next: u64) -> Self {
        Self { next, ..Self::default() }
    }

    /// An event behind the others.
    pub(super) fn add(&mut self, sequence: u64, payload: usize) {
        self.next = sequence + 1;
        self.events += 1;
        self.bytes += WindowSize::share(payload);
        self.largest = self.largest.max(Largest { bytes: payload as u64, sequence });
    }
}

impl Flight {
    pub(super) fn push(&mut self, portion: Portion) {
        self.events += portion.events;
        self.bytes += portion.bytes;
        self.portions.push_back(portion);
    }

    pub(super) fn taken(&mut self, next: u64) {
        while let Some(portion) = self.portions.front()
            && portion.next <= next
        {
            self.events -= portion.events;
            self.bytes -= portion.bytes;
            self.portions.pop_front();
        }
    }
}
