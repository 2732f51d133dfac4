//! What waits for one source: bounded by events, with a policy for those that nobody would send again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eventflux_core::{ConnectorContext, EventFluxError};
use eventflux_federation::{Arrival, FullPolicy};
use tokio::sync::Notify;

use super::InletConfig;
use super::input_metrics::InputCounters;
use super::items::Delivered;

/// See the module.
#[derive(Debug)]
pub(crate) struct Inlet {
    config: InletConfig,
    context: ConnectorContext,
    counters: InputCounters,
    queue: Mutex<Queue>,
    /// Somebody may put something in.
    room: Notify,
    /// Something is there.
    filled: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Delivered>,
    events: usize,
    /// The source takes nothing any more.
    closed: bool,
    /// The source has left its place.
    left: bool,
    /// Why nothing will come any more.
    fault: Option<EventFluxError>,
}

/// What waits for room.
struct Held<'a> {
    inlet: &'a Inlet,
    item: Option<Delivered>,
}

impl Inlet {
    pub(crate) fn new(config: InletConfig, context: ConnectorContext) -> Arc<Self> {
        let counters = InputCounters::of(&context);
        Arc::new(Self {
            config,
            context,
            counters,
            queue: Mutex::default(),
            room: Notify::new(),
            filled: Notify::new(),
        })
    }

    pub(crate) fn config(&self) -> &InletConfig {
        &self.config
    }

    pub(crate) fn context(&self) -> &ConnectorContext {
        &self.context
    }

    pub(super) fn counters(&self) -> &InputCounters {
        &self.counters
    }

    /// Events that wait.
    pub(crate) fn depth(&self) -> usize {
        self.lock().events
    }

    /// Takes messages, or gives back those for which there is no room: whoever sent them has to wait.
    pub(crate) fn offer(&self, item: Delivered) -> Result<(), Delivered> {
        self.counters.received.add(messages(item.left()));
        self.take(item)
    }

    fn take(&self, item: Delivered) -> Result<(), Delivered> {
        let mut queue = self.lock();
        if queue.closed {
            return self.take_no_more(&queue, item);
        }
        let room = self.config.size.saturating_sub(queue.events);
        let left = match (&item.receipt, self.config.full) {
            // What is on a link is sent again, so nothing of it needs to be dropped.
            (Some(_), _) if room == 0 => Some(item),
            (Some(_), _) => {
                queue.push(item);
                None
            }
            (None, FullPolicy::DropOldest) => {
                queue.push(item);
                self.drop_oldest(&mut queue);
                None
            }
            (None, policy) => {
                let (fits, left) = item.split(room);
                fits.into_iter().for_each(|fits| queue.push(fits));
                match policy {
                    FullPolicy::DropNewest => {
                        left.iter().for_each(|left| self.count_dropped(left.left()));
                        None
                    }
                    _ => left,
                }
            }
        };
        drop(queue);
        self.filled.notify_one();
        left.map_or(Ok(()), Err)
    }

    fn take_no_more(&self, queue: &Queue, item: Delivered) -> Result<(), Delivered> {
        // What is on a link waits until the source has left: to say now that it is not taken would end the term of
        // what is still to be settled. Then its receipt is dropped with it.
        if item.receipt.is_some() {
            return if queue.left { Ok(()) } else { Err(item) };
        }
        self.counters.stopping.add(messages(item.left()));
        Ok(())
    }

    /// Waits until there is room. What has found none is given up with the future.
    pub(crate) async fn put(self: Arc<Self>, item: Delivered) {
        let mut held = Held { inlet: &self, item: Some(item) };
        loop {
            let room = self.room.notified();
            held.item = held.item.take().and_then(|item| self.take(item).err());
            if held.item.is_none() {
                return;
            }
            room.await;
        }
    }

    /// The connection ended before there was room.
    pub(super) fn give_up(&self, item: &Delivered) {
        // What is on a link is sent again.
        if item.receipt.is_none() {
            self.context.metrics.dropped.add(item.left().len() as u64);
            self.counters.disconnected.add(messages(item.left()));
        }
    }

    /// What waits longest; `None` when the inlet is closed and empty.
    pub(crate) async fn next(&self) -> Option<Delivered> {
        loop {
            let filled = self.filled.notified();
            if let Some(item) = self.try_next() {
                return Some(item);
            }
            if self.lock().closed {
                return None;
            }
            filled.await;
        }
    }

    /// What waits longest.
    pub(crate) fn try_next(&self) -> Option<Delivered> {
        let mut queue = self.lock();
        let item = queue.items.pop_front()?;
        queue.events -= item.left().len();
        drop(queue);
        self.room.notify_waiters();
        Some(item)
    }

    /// Nothing will come any more. What waits can still be taken out.
    pub(crate) fn fail(&self, fault: EventFluxError) {
        self.lock().fault.get_or_insert(fault);
        self.close();
    }

    /// How it ended.
    pub(crate) fn ending(&self) -> Result<(), EventFluxError> {
        self.lock().fault.clone().map_or(Ok(()), Err)
    }

    /// Takes nothing more. What waits can still be taken out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.room.notify_waiters();
        self.filled.notify_one();
    }

    /// The source has left its place: nobody waits for it.
    pub(crate) fn leave(&self) {
        self.lock().left = true;
        self.close();
    }

    /// Makes room for what has been put in.
    fn drop_oldest(&self, queue: &mut Queue) {
        while let Some(excess) = queue.events.checked_sub(self.config.size).filter(|excess| *excess > 0)
            && let Some(first) = queue.items.front_mut()
        {
            if first.receipt.is_some() {
                // Of a link: it stays, and more than the limit wait for a while.
                return;
            }
            let dropped = excess.min(first.left().len());
            self.count_dropped(&first.left()[..dropped]);
            first.dropped += dropped;
            queue.events -= dropped;
            if first.left().is_empty() {
                queue.items.pop_front();
            }
        }
    }

    fn count_dropped(&self, arrivals: &[Arrival]) {
        self.context.metrics.dropped.add(arrivals.len() as u64);
        self.counters.queue_full.add(messages(arrivals));
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.item.iter().for_each(|item| self.inlet.give_up(item));
    }
}

/// How many of them are envelopes.
fn messages(arrivals: &[Arrival]) -> u64 {
    arrivals.iter().filter(|arrival| matches!(arrival, Arrival::Message { .. })).count() as u64
}

impl Queue {
    fn push(&mut self, item: Delivered) {
        self.events += item.left().len();
        self.items.push_back(item);
    }
}
