//! Messages that wait for the pipeline: bounded by number and by bytes; what does not fit is dropped and counted.

use std::collections::VecDeque;

use async_nats::Message;

/// The messages.
#[derive(Debug)]
pub(super) struct Pending {
    messages: VecDeque<Message>,
    bytes: usize,
    max_messages: usize,
    max_bytes: usize,
    dropped: u64,
}

impl Pending {
    /// Room for so many messages, and so many bytes of payloads.
    pub(super) fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self { messages: VecDeque::new(), bytes: 0, max_messages, max_bytes, dropped: 0 }
    }

    /// Takes a message in, or drops it: those that wait came first. One always finds room where nothing waits.
    pub(super) fn push(&mut self, message: Message) {
        let size = message.payload.len();
        let is_full = self.messages.len() >= self.max_messages || self.bytes + size > self.max_bytes;
        if is_full && !self.messages.is_empty() {
            self.dropped += 1;
            return;
        }
        self.bytes += size;
        self.messages.push_back(message);
    }

    /// The message that waits longest.
    pub(super) fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.payload.len();
        Some(message)
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Bytes of payloads that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages that were dropped since this was asked last.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &'static str) -> Message {
        Message {
            subject: "a".into(),
            reply: None,
            payload: payload.into(),
            headers: None,
            status: None,
            description: None,
            length: payload.len(),
        }
    }

    fn payloads(pending: &mut Pending) -> Vec<bytes::Bytes> {
        std::iter::from_fn(|| pending.pop()).map(|message| message.payload).collect()
    }

    #[test]
    fn what_came_first_stays_and_what_does_not_fit_is_counted() {
        let mut pending = Pending::new(2, 100);
        ["a", "b", "c", "d"].into_iter().for_each(|payload| pending.push(message(payload)));
        assert_eq!((pending.bytes(), pending.take_dropped(), pending.take_dropped()), (2, 2, 0));
        assert_eq!(payloads(&mut pending), ["a", "b"]);
        assert_eq!((pending.is_empty(), pending.bytes()), (true, 0));
    }

    #[test]
    fn bytes_are_bounded_but_a_message_alone_always_fits() {
        let mut pending = Pending::new(10, 4);
        ["12345", "1"].into_iter().for_each(|payload| pending.push(message(payload)));
        assert_eq!(pending.take_dropped(), 1);
        assert_eq!(payloads(&mut pending), ["12345"]);
        ["12", "34", "5"].into_iter().for_each(|payload| pending.push(message(payload)));
        assert_eq!(payloads(&mut pending), ["12", "34"]);
    }
}
