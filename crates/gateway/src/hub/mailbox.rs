//! What reaches a session from outside its own task.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;

use super::config::{FullPolicy, QueueLimits, Retention};
use crate::Ending;

/// What an item costs besides its bytes.
const ITEM_OVERHEAD_BYTES: usize = 64;

/// Channels whose losses are told one by one; those of further ones are told together.
const MAX_GAPS: usize = 16;

/// Where publishers, other sessions and the hub leave what is for one session, and wake it.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    contents: Mutex<Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    post: Post,
    bytes: usize,
    /// Events that were dropped, ever.
    missed: u64,
    waker: Option<Waker>,
}

/// What a session finds.
#[derive(Debug, Default)]
pub(crate) struct Post {
    /// Cursors that have something to read.
    pub(crate) ready: Vec<u32>,
    /// Events for this session alone, and replies.
    pub(crate) items: VecDeque<Item>,
    pub(crate) notices: Vec<Notice>,
    /// Events that were dropped, by channel.
    pub(crate) gaps: Vec<(Arc<str>, u64)>,
    pub(crate) ending: Option<Ending>,
}

/// A text for one session.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) text: Text,
    pub(crate) binary: bool,
    /// Of an event: its channel and key. A reply has none, and is never dropped.
    pub(crate) event: Option<(Arc<str>, u64)>,
    /// Of an event of a channel with a history: its number there.
    pub(crate) number: Option<u64>,
}

#[derive(Debug, Clone)]
pub(crate) enum Text {
    /// The whole text.
    Whole(Bytes),
    /// A text that ends differently for each subscription.
    Personal { shared: Bytes, subscription: Arc<str> },
}

/// Something a session has to see to.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The pipeline answers a request.
    Answer {
        /// Number of the request.
        request: u64,
        /// JSON text.
        payload: Bytes,
    },
}

impl Item {
    /// A reply.
    pub(crate) fn reply(text: String) -> Self {
        Self { text: Text::Whole(text.into()), binary: false, event: None, number: None }
    }

    fn cost(&self) -> usize {
        ITEM_OVERHEAD_BYTES
            + match &self.text {
                Text::Whole(text) => text.len(),
                Text::Personal { shared, .. } => shared.len(),
            }
    }
}

impl Mailbox {
    /// A cursor has something to read.
    pub(crate) fn ready(&self, cursor: u32) {
        let mut contents = self.lock();
        contents.post.ready.push(cursor);
        contents.wake();
    }

    /// Leaves an event; what happens when there are too many is up to `retention`. Returns whether it was taken.
    pub(crate) fn push(&self, item: Item, retention: &Retention) -> bool {
        let mut contents = self.lock();
        let missed = contents.missed;
        let ends = contents.post.ending.is_none();
        let taken = contents.push(item, &retention.queue);
        contents.wake();
        retention.losses.dropped.add(contents.missed - missed);
        retention.losses.evicted.add(u64::from(ends && contents.post.ending.is_some()));
        taken
    }

    /// Leaves a notice.
    pub(crate) fn notify(&self, notice: Notice) {
        let mut contents = self.lock();
        contents.post.notices.push(notice);
        contents.wake();
    }

    /// Ends the session.
    pub(crate) fn end(&self, ending: Ending) {
        let mut contents = self.lock();
        contents.post.ending.get_or_insert(ending);
        contents.wake();
    }

    /// Moves what is there to `post`, items only up to about `room` bytes; returns whether something is left.
    pub(crate) fn take(&self, post: &mut Post, room: usize) -> bool {
        let mut contents = self.lock();
        post.ready.append(&mut contents.post.ready);
        post.notices.append(&mut contents.post.notices);
        post.gaps.append(&mut contents.post.gaps);
        post.ending = post.ending.or(contents.post.ending);
        let mut taken = 0;
        while taken <= room {
            let Some(item) = contents.post.items.pop_front() else { break };
            taken += item.cost();
            post.items.push_back(item);
        }
        contents.bytes = contents.bytes.saturating_sub(taken);
        if contents.post.items.is_empty() {
            // An idle session holds no memory for items.
            contents.post.items = VecDeque::new();
        }
        !contents.post.items.is_empty()
    }

    /// Who is woken by what comes; `true` when something is there already.
    pub(crate) fn register(&self, waker: &Waker) -> bool {
        let mut contents = self.lock();
        match &mut contents.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        !contents.post.is_empty()
    }

    /// Number of items that wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().post.items.len()
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        self.lock().post.ending
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn push(&mut self, item: Item, limits: &QueueLimits) -> bool {
        let cost = item.cost();
        if self.post.ending.is_some() {
            return false;
        }
        if self.is_full(cost, limits) && !self.make_room(&item, cost, limits) {
            return false;
        }
        self.bytes += cost;
        self.post.items.push_back(item);
        true
    }

    fn is_full(&self, cost: usize, limits: &QueueLimits) -> bool {
        self.bytes + cost > limits.bytes || self.post.items.len() >= limits.events()
    }

    /// Applies the policy; returns whether the item may come in.
    fn make_room(&mut self, item: &Item, cost: usize, limits: &QueueLimits) -> bool {
        let Some((channel, key)) = &item.event else {
            // A client that asks and does not read.
            self.post.ending = Some(Ending::TooSlow);
            return false;
        };
        match limits.full {
            FullPolicy::Disconnect => {
                self.post.ending = Some(Ending::TooSlow);
                false
            }
            FullPolicy::DropNewest => {
                self.missed(channel.clone());
                false
            }
            FullPolicy::DropOldest => {
                self.drop_oldest(cost, limits);
                true
            }
            FullPolicy::Conflate => {
                self.conflate(channel, *key);
                self.drop_oldest(cost, limits);
                true
            }
        }
    }

    fn drop_oldest(&mut self, cost: usize, limits: &QueueLimits) {
        let mut index = 0;
        while self.is_full(cost, limits) && index < self.post.items.len() {
            if self.post.items[index].event.is_some() {
                self.remove(index);
            } else {
                index += 1;
            }
        }
    }

    /// Drops the event of the same key that waits, if there is one.
    fn conflate(&mut self, channel: &Arc<str>, key: u64) {
        let same = |item: &Item| key != 0 && item.event.as_ref().is_some_and(|event| (&event.0, event.1) == (channel, key));
        if let Some(index) = self.post.items.iter().position(same) {
            self.remove(index);
        }
    }

    fn remove(&mut self, index: usize) {
        let Some(item) = self.post.items.remove(index) else { return };
        self.bytes = self.bytes.saturating_sub(item.cost());
        if let Some((channel, _)) = item.event {
            self.missed(channel);
        }
    }

    fn missed(&mut self, channel: Arc<str>) {
        self.missed += 1;
        let gaps = &mut self.post.gaps;
        let full = gaps.len() >= MAX_GAPS;
        match gaps.iter_mut().find(|(known, _)| *known == channel) {
            Some((_, missed)) => *missed += 1,
            None if full => gaps[MAX_GAPS - 1].1 += 1,
            None => gaps.push((channel, 1)),
        }
    }
}

impl Post {
    /// Gives memory back that is not needed while nothing happens.
    pub(crate) fn shrink(&mut self) {
        self.ready.shrink_to_fit();
        self.items.shrink_to_fit();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty()
            && self.items.is_empty()
            && self.notices.is_empty()
            && self.gaps.is_empty()
            && self.ending.is_none()
    }
}
