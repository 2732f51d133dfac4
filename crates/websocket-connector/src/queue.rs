//! Payloads that wait to be sent: bounded by bytes, with a policy for what does not fit.
//!
//! Batches are shared, not copied; a payload is dropped or sent by moving an index. Knows no thread and no socket.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use eventflux_core::{EncodedBatch, EventFluxError, Properties};
use eventflux_websocket_wire::{Message, MessageKind};

use crate::config::at_least_one_byte;

/// What a payload costs besides its bytes, so that empty payloads are bounded too.
pub(crate) const PAYLOAD_OVERHEAD_BYTES: usize = 16;

/// What happens when a queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FullPolicy {
    /// Accept, and say that it is full.
    Block,
    /// Drop the payloads that wait longest.
    DropOldest,
    /// Drop the payloads that came last.
    DropNewest,
}

/// Size and policy of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueConfig {
    pub(crate) max_bytes: usize,
    pub(crate) full: FullPolicy,
}

/// Some payloads of one batch, in order.
#[derive(Debug, Clone)]
pub(crate) struct Slice {
    kind: MessageKind,
    batch: Arc<EncodedBatch>,
    rows: Range<usize>,
    /// Which push it came with, counted from 1; a part has the number of the whole.
    number: u64,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct PayloadQueue {
    slices: VecDeque<Slice>,
    payloads: usize,
    cost: usize,
    pushes: u64,
}

impl QueueConfig {
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        const FULL: &str = "websocket.queue.full";
        Ok(Self {
            max_bytes: at_least_one_byte(properties, "websocket.queue.bytes")?,
            full: FullPolicy::parse(FULL, properties.text(FULL)?)?,
        })
    }
}

impl FullPolicy {
    /// # Errors
    /// [`EventFluxError::Configuration`] for a word that is no policy.
    fn parse(key: &str, text: &str) -> Result<Self, EventFluxError> {
        match text {
            "block" => Ok(Self::Block),
            "drop_oldest" => Ok(Self::DropOldest),
            "drop_newest" => Ok(Self::DropNewest),
            other => Err(EventFluxError::property(key, format!("'{other}' is not allowed"))),
        }
    }
}

impl Slice {
    /// All payloads of a batch, to be sent as `kind`.
    pub(crate) fn whole(batch: Arc<EncodedBatch>, kind: MessageKind) -> Self {
        Self { kind, rows: 0..batch.len(), batch, number: 0 }
    }

    /// Number of payloads.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Which push it came with.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The payloads as messages, sharing the batch's buffer.
    pub(crate) fn messages(&self) -> impl Iterator<Item = Message> {
        self.rows.clone().map(|row| self.message(row))
    }

    fn message(&self, row: usize) -> Message {
        Message::new(self.kind, self.batch.shared(row))
    }

    /// The payloads as a batch of their own.
    pub(crate) fn to_batch(&self) -> EncodedBatch {
        self.batch.slice(self.rows.clone())
    }

    /// Splits off the largest payload: those before it, itself, those behind it.
    pub(crate) fn split_largest(&self) -> Option<[Self; 3]> {
        let row = self.rows.clone().max_by_key(|row| self.batch.payload(*row).len())?;
        let part = |rows| Self { rows, ..self.clone() };
        Some([part(self.rows.start..row), part(row..row + 1), part(row + 1..self.rows.end)])
    }

    /// Size of the largest payload, in bytes.
    pub(crate) fn largest_bytes(&self) -> usize {
        self.rows.clone().map(|row| self.batch.payload(row).len()).max().unwrap_or(0)
    }

    /// What the payloads count against a queue's size, in bytes.
    pub(crate) fn cost(&self) -> usize {
        if self.len() == self.batch.len() {
            return self.batch.bytes() + self.len() * PAYLOAD_OVERHEAD_BYTES;
        }
        self.rows.clone().map(|row| self.cost_of(row)).sum()
    }

    fn cost_of(&self, row: usize) -> usize {
        self.batch.payload(row).len() + PAYLOAD_OVERHEAD_BYTES
    }
}

impl PayloadQueue {
    /// Payloads that wait.
    pub(crate) fn len(&self) -> usize {
        self.payloads
    }

    /// Bytes that wait, with the overhead of each payload.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// How often something was pushed.
    pub(crate) fn pushes(&self) -> u64 {
        self.pushes
    }

    /// Number of the push of what waits longest.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.slices.front().map(Slice::number)
    }

    /// Takes a batch in. `in_flight`: what was taken out and counts all the same, because it is not sent yet. Returns the
    /// payloads the policy dropped, of this batch or of earlier ones.
    pub(crate) fn push(&mut self, config: QueueConfig, mut slice: Slice, in_flight: usize) -> usize {
        self.pushes += 1;
        slice.number = self.pushes;
        let mut dropped = 0;
        let mut cost = slice.cost();
        let over = (self.cost + in_flight + cost).saturating_sub(config.max_bytes);
        match config.full {
            FullPolicy::DropNewest if over > 0 => {
                let free = cost.saturating_sub(over);
                cost = 0;
                let fits = slice.rows.clone().take_while(|row| {
                    let more = slice.cost_of(*row);
                    let fits = cost + more <= free;
                    cost += if fits { more } else { 0 };
                    fits
                });
                let kept = fits.count();
                dropped = slice.len() - kept;
                slice.rows.end = slice.rows.start + kept;
            }
            _ => {}
        }
        if slice.len() > 0 {
            self.payloads += slice.len();
            self.cost += cost;
            self.slices.push_back(slice);
        }
        if config.full == FullPolicy::DropOldest {
            dropped = self.drop_oldest(config.max_bytes.saturating_sub(in_flight));
        }
        dropped
    }

    /// Puts payloads back that were taken and not sent; they will be the first again.
    pub(crate) fn put_back(&mut self, slices: impl DoubleEndedIterator<Item = Slice>) {
        for slice in slices.rev().filter(|slice| slice.len() > 0) {
            self.payloads += slice.len();
            self.cost += slice.cost();
            self.slices.push_front(slice);
        }
    }

    /// Takes payloads out, at most `bytes` of them together, or one that is larger by itself: what is small does not wait
    /// until something large behind it is sent.
    pub(crate) fn take(&mut self, bytes: usize, taken: &mut Vec<Slice>) -> usize {
        let mut total = 0;
        let fits = |total, cost| total == 0 || total + cost <= bytes;
        while let Some(front) = self.slices.front_mut()
            && fits(total, front.cost_of(front.rows.start))
        {
            let mut part = front.clone();
            part.rows.end = part.rows.start;
            while part.rows.end < front.rows.end && fits(total, front.cost_of(part.rows.end)) {
                total += front.cost_of(part.rows.end);
                part.rows.end += 1;
            }
            front.rows.start = part.rows.end;
            if front.len() == 0 {
                self.slices.pop_front();
            }
            self.payloads -= part.len();
            taken.push(part);
        }
        self.cost -= total;
        total
    }

    /// Takes everything out.
    pub(crate) fn take_all(&mut self) -> Vec<Slice> {
        self.payloads = 0;
        self.cost = 0;
        self.slices.drain(..).collect()
    }

    /// Drops from the front until the rest fits; the last payload stays, however large.
    fn drop_oldest(&mut self, max_bytes: usize) -> usize {
        let before = self.payloads;
        while self.cost > max_bytes
            && self.payloads > 1
            && let Some(front) = self.slices.front_mut()
        {
            self.cost -= front.cost_of(front.rows.start);
            self.payloads -= 1;
            front.rows.start += 1;
            if front.len() == 0 {
                self.slices.pop_front();
            }
        }
        before - self.payloads
    }
}

#[cfg(test)]
mod tests {
    use eventflux_core::PayloadWriter;
    use proptest::prelude::*;

    use super::*;

    /// A payload of the given length costs 16 more.
    fn batch(first: u64, lengths: &[usize]) -> Slice {
        let mut writer = PayloadWriter::default();
        for (index, length) in lengths.iter().enumerate() {
            writer.buffer().extend(std::iter::repeat_n(b'x', *length));
            writer.finish(first + index as u64);
        }
        Slice::whole(Arc::new(writer.take()), MessageKind::Text)
    }

    fn config(max_bytes: usize, full: FullPolicy) -> QueueConfig {
        QueueConfig { max_bytes, full }
    }

    fn positions(queue: &mut PayloadQueue) -> Vec<u64> {
        let slices = queue.take_all();
        slices.iter().flat_map(|slice| slice.rows.clone().map(|row| slice.batch.position(row))).collect()
    }

    #[test]
    fn a_blocking_queue_takes_all_and_says_when_it_is_full() {
        let (config, mut queue) = (config(60, FullPolicy::Block), PayloadQueue::default());
        assert_eq!(queue.push(config, batch(0, &[4, 4]), 0), 0);
        assert!(queue.cost() < 60);
        assert_eq!(queue.push(config, batch(2, &[4]), 0), 0);
        assert_eq!(queue.cost(), 60);
        assert_eq!(positions(&mut queue), [0, 1, 2]);
        assert_eq!((queue.len(), queue.cost()), (0, 0));
    }

    #[test]
    fn the_oldest_make_room_for_the_newest() {
        let (config, mut queue) = (config(60, FullPolicy::DropOldest), PayloadQueue::default());
        assert_eq!(queue.push(config, batch(0, &[4, 4, 4]), 0), 0);
        assert_eq!(queue.push(config, batch(3, &[4, 4]), 0), 2);
        assert_eq!(positions(&mut queue), [2, 3, 4]);
        assert_eq!(queue.push(config, batch(5, &[4, 100]), 0), 1);
        assert_eq!(positions(&mut queue), [6]);
    }

    #[test]
    fn the_newest_are_dropped_when_that_is_the_policy() {
        let (config, mut queue) = (config(60, FullPolicy::DropNewest), PayloadQueue::default());
        assert_eq!(queue.push(config, batch(0, &[4, 4]), 0), 0);
        assert_eq!(queue.push(config, batch(2, &[4, 4]), 0), 1);
        assert_eq!(queue.push(config, batch(4, &[4]), 0), 1);
        assert_eq!(positions(&mut queue), [0, 1, 2]);
        assert_eq!(queue.push(config, batch(0, &[4]), 60), 1);
    }

    #[test]
    fn what_is_put_back_comes_first_again() {
        let (config, mut queue) = (config(1000, FullPolicy::Block), PayloadQueue::default());
        queue.push(config, batch(0, &[4, 4, 4]), 0);
        let mut taken = Vec::new();
        assert_eq!(queue.take(40, &mut taken), 40);
        assert_eq!((queue.len(), queue.cost()), (1, 20));
        queue.put_back(taken.into_iter());
        assert_eq!(queue.cost(), 60);
        assert_eq!(positions(&mut queue), [0, 1, 2]);
    }

    #[test]
    fn what_is_small_does_not_wait_for_what_is_large_and_behind_it() {
        let (config, mut queue) = (config(1000, FullPolicy::Block), PayloadQueue::default());
        queue.push(config, batch(0, &[4, 4, 500, 4]), 0);
        let taken = |queue: &mut PayloadQueue| {
            let mut taken = Vec::new();
            queue.take(100, &mut taken);
            taken.iter().map(Slice::len).sum::<usize>()
        };
        assert_eq!([taken(&mut queue), taken(&mut queue), taken(&mut queue), taken(&mut queue)], [2, 1, 1, 0]);
    }

    #[test]
    fn parts_of_a_push_have_its_number() {
        let (config, mut queue) = (config(1000, FullPolicy::Block), PayloadQueue::default());
        queue.push(config, batch(0, &[4, 4, 4]), 0);
        queue.push(config, batch(3, &[4]), 0);
        let mut taken = Vec::new();
        queue.take(59, &mut taken);
        assert_eq!((taken[0].number(), queue.oldest(), queue.pushes()), (1, Some(1), 2));
        queue.take(20, &mut taken);
        assert_eq!(queue.oldest(), Some(2));
        assert!(taken[1].split_largest().unwrap().iter().all(|part| part.number() == 1));
        queue.take_all();
        assert_eq!((queue.oldest(), queue.pushes()), (None, 2));
    }

    #[test]
    fn the_largest_payload_can_be_singled_out() {
        let [before, largest, behind] = batch(0, &[1, 9, 2]).split_largest().unwrap();
        assert_eq!((before.len(), largest.to_batch().position(0), behind.len()), (1, 1, 1));
        assert!(batch(0, &[]).split_largest().is_none());
    }

    proptest! {
        #[test]
        fn every_payload_is_kept_in_order_or_counted(
            pushes in proptest::collection::vec(proptest::collection::vec(0_usize..50, 0..6), 0..20),
            max_bytes in 1_usize..400,
            policy in proptest::sample::select(vec![FullPolicy::Block, FullPolicy::DropOldest, FullPolicy::DropNewest]),
        ) {
            let (config, mut queue) = (config(max_bytes, policy), PayloadQueue::default());
            let (mut next, mut dropped) = (0, 0);
            for lengths in &pushes {
                dropped += queue.push(config, batch(next, lengths), 0);
                next += lengths.len() as u64;
            }
            prop_assert_eq!(queue.len() + dropped, next as usize);
            if policy == FullPolicy::DropNewest {
                prop_assert!(queue.cost() <= max_bytes);
            }
            let kept = positions(&mut queue);
            prop_assert!(kept.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(queue.cost(), 0);
        }
    }
}
