//! What was received and waits for the pipeline. No I/O, no clock.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;

/// What happens when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FullPolicy {
    /// What waited longest is dropped.
    DropOldest,
    /// What arrives is dropped.
    DropNewest,
    /// Nothing more is read.
    Block,
}

/// What may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Number of datagrams; at least 1.
    pub datagrams: usize,
    /// Their bytes; at least those of the largest datagram.
    pub bytes: usize,
    /// What happens then.
    pub full: FullPolicy,
}

/// One datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Datagram {
    pub(crate) data: Bytes,
    pub(crate) sender: SocketAddr,
    /// When it was read, in microseconds since the Unix epoch.
    pub(crate) received: i64,
    /// Whether it is larger than a message may be.
    pub(crate) is_too_large: bool,
}

/// Datagrams in the order in which they came.
#[derive(Debug)]
pub(crate) struct Queue {
    limits: QueueLimits,
    waiting: VecDeque<Datagram>,
    bytes: usize,
}

impl Queue {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self { limits, waiting: VecDeque::new(), bytes: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the next datagram is to be left with the operating system.
    pub(crate) fn blocks(&self) -> bool {
        self.limits.full == FullPolicy::Block
            && (self.waiting.len() >= self.limits.datagrams || self.bytes >= self.limits.bytes)
    }

    /// Puts a datagram in; returns how many were dropped for want of room. Where nothing is to be dropped, the caller
    /// asks [`Queue::blocks`] first; one datagram that exceeds the bytes is taken then.
    pub(crate) fn push(&mut self, datagram: Datagram) -> u64 {
        let mut dropped = 0;
        match self.limits.full {
            FullPolicy::DropNewest if !self.has_room(datagram.data.len()) => return 1,
            FullPolicy::DropOldest => {
                while !self.has_room(datagram.data.len()) && self.pop().is_some() {
                    dropped += 1;
                }
            }
            FullPolicy::DropNewest | FullPolicy::Block => {}
        }
        self.bytes += datagram.data.len();
        self.waiting.push_back(datagram);
        dropped
    }

    /// Takes the first ones that are messages, at most `most`; none when the first one is too large.
    pub(crate) fn take_messages(&mut self, most: usize) -> impl Iterator<Item = Datagram> {
        let messages = self.waiting.iter().take(most).take_while(|datagram| !datagram.is_too_large);
        let (count, bytes) = messages.fold((0, 0), |(count, bytes), next| (count + 1, bytes + next.data.len()));
        self.bytes -= bytes;
        self.waiting.drain(..count)
    }

    /// Takes the first one if it is too large.
    pub(crate) fn take_too_large(&mut self) -> Option<Datagram> {
        let is_next = self.waiting.front().is_some_and(|datagram| datagram.is_too_large);
        if is_next { self.pop() } else { None }
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.waiting.len() < self.limits.datagrams && self.bytes + bytes <= self.limits.bytes
    }

    fn pop(&mut self) -> Option<Datagram> {
        let datagram = self.waiting.pop_front()?;
        self.bytes -= datagram.data.len();
        Some(datagram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(text: &'static str) -> Datagram {
        let sender = SocketAddr::from(([127, 0, 0, 1], 1));
        Datagram { data: Bytes::from_static(text.as_bytes()), sender, received: 0, is_too_large: false }
    }

    fn too_large(text: &'static str) -> Datagram {
        Datagram { is_too_large: true, ..datagram(text) }
    }

    fn queue(full: FullPolicy) -> Queue {
        Queue::new(QueueLimits { datagrams: 3, bytes: 10, full })
    }

    fn texts(queue: &mut Queue) -> Vec<String> {
        queue.take_messages(100).map(|datagram| String::from_utf8(datagram.data.to_vec()).unwrap()).collect()
    }

    #[test]
    fn the_oldest_make_room_by_number_and_by_bytes() {
        let mut queue = queue(FullPolicy::DropOldest);
        let dropped: u64 = ["a", "b", "c", "d"].into_iter().map(|text| queue.push(datagram(text))).sum();
        assert_eq!((dropped, queue.len(), queue.bytes()), (1, 3, 3));
        assert_eq!(queue.push(datagram("12345678")), 1, "b, for the number");
        assert_eq!(queue.push(datagram("90")), 2, "c for the number, d for the bytes");
        assert_eq!(texts(&mut queue), ["12345678", "90"]);
        assert_eq!((queue.bytes(), queue.is_empty()), (0, true));
    }

    #[test]
    fn the_newest_is_dropped_and_a_smaller_one_still_fits() {
        let mut queue = queue(FullPolicy::DropNewest);
        assert_eq!(queue.push(datagram("12345678")), 0);
        assert_eq!(queue.push(datagram("123")), 1);
        assert_eq!(queue.push(datagram("12")), 0);
        assert_eq!(texts(&mut queue), ["12345678", "12"]);
    }

    #[test]
    fn it_blocks_by_number_and_by_bytes_and_drops_nothing() {
        let mut queue = queue(FullPolicy::Block);
        for text in ["a", "b", "c"] {
            assert!(!queue.blocks());
            assert_eq!(queue.push(datagram(text)), 0);
        }
        assert!(queue.blocks());
        assert_eq!(queue.take_messages(1).count(), 1);
        assert!(!queue.blocks());
        assert_eq!(queue.push(datagram("123456789")), 0, "the last one may exceed the bytes");
        assert!(queue.blocks());
    }

    #[test]
    fn a_datagram_that_is_too_large_keeps_its_place() {
        let mut queue = queue(FullPolicy::DropOldest);
        for next in [datagram("a"), too_large("bbb"), datagram("c")] {
            queue.push(next);
        }
        assert_eq!(queue.take_too_large(), None);
        assert_eq!(texts(&mut queue), ["a"]);
        assert_eq!(texts(&mut queue), Vec::<String>::new());
        assert_eq!(queue.take_too_large().map(|datagram| datagram.data), Some(Bytes::from_static(b"bbb")));
        assert_eq!(queue.bytes(), 1);
        assert_eq!(texts(&mut queue), ["c"]);
    }
}
