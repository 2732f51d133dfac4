//! What waits for one source: bounded by events, with a policy for those that nobody would send again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eventflux_core::{ConnectorContext, EventFluxError};
use eventflux_federation::FullPolicy;
use tokio::sync::Notify;

use super::InletConfig;
use super::items::Delivered;

/// See the module.
#[derive(Debug)]
pub(crate) struct Inlet {
    config: InletConfig,
    context: ConnectorContext,
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

impl Inlet {
    pub(crate) fn new(config: InletConfig, context: ConnectorContext) -> Arc<Self> {
        Arc::new(Self { config, context, queue: Mutex::default(), room: Notify::new(), filled: Notify::new() })
    }

    pub(crate) fn config(&self) -> &InletConfig {
        &self.config
    }

    pub(crate) fn context(&self) -> &ConnectorContext {
        &self.context
    }

    /// Events that wait.
    pub(crate) fn depth(&self) -> usize {
        self.lock().events
    }

    /// Takes messages, or gives them back: then there is no room, and whoever sent them has to wait.
    pub(crate) fn offer(&self, item: Delivered) -> Result<(), Delivered> {
        let mut queue = self.lock();
        if queue.closed {
            // What is on a link waits until the source has left: to say now that it is not taken would end the term of
            // what is still to be settled. Then its receipt is dropped with it.
            return if item.receipt.is_none() || queue.left { Ok(()) } else { Err(item) };
        }
        let full = queue.events >= self.config.size;
        // What is on a link is sent again, so nothing of it needs to be dropped.
        if full && (item.receipt.is_some() || self.config.full == FullPolicy::Block) {
            return Err(item);
        }
        match item.receipt.is_none() && self.config.full != FullPolicy::Block {
            true => self.squeeze(&mut queue, item),
            false => queue.push(item),
        }
        drop(queue);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits until there is room.
    pub(crate) async fn put(self: Arc<Self>, mut item: Delivered) {
        loop {
            let room = self.room.notified();
            match self.offer(item) {
                Ok(()) => return,
                Err(back) => item = back,
            }
            room.await;
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

    /// Makes room, or leaves out what has none.
    fn squeeze(&self, queue: &mut Queue, mut item: Delivered) {
        let (size, count) = (self.config.size, item.left().len());
        let mut excess = (queue.events + count).saturating_sub(size);
        self.context.metrics.dropped.add(excess as u64);
        if self.config.full == FullPolicy::DropNewest {
            let kept: Arc<[_]> = item.left()[..count - excess.min(count)].into();
            item = Delivered { arrivals: kept, dropped: 0, ..item };
            if item.arrivals.is_empty() {
                return;
            }
        } else {
            queue.push(item);
            while excess > 0
                && let Some(first) = queue.items.front_mut()
            {
                let here = first.left().len();
                if first.receipt.is_some() {
                    // Of a link: it stays, and more than the limit wait for a while.
                    return;
                }
                let dropped = excess.min(here);
                first.dropped += dropped;
                queue.events -= dropped;
                excess -= dropped;
                if dropped == here {
                    queue.items.pop_front();
                }
            }
            return;
        }
        queue.push(item);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, item: Delivered) {
        self.events += item.left().len();
        self.items.push_back(item);
    }
}
