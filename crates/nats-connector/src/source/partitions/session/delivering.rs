//! From messages to the pipeline, and what it has settled.

use std::time::Instant;

use async_nats::{Message, jetstream};
use eventflux_core::EventFluxError;
use futures_util::{FutureExt, StreamExt};

use super::super::progress::Part;
use super::super::reader::{Meaning, Place};
use super::super::readers::Receiver;
use super::{Session, Waiting};
use crate::sink::partition;
use crate::source::message::{STORED_DELIVERY_BYTES, Stored};

impl Session<'_> {
    pub(super) fn receive_all(&mut self, first: Message) {
        let mut next = Some(first);
        while let Some(message) = next {
            self.receive(message);
            next = self.subscriber.next().now_or_never().flatten();
        }
        self.report.pending(self.readers.iter().map(|(_, reader)| reader.pending).sum());
    }

    fn receive(&mut self, message: Message) {
        let message = jetstream::Message { message, context: self.jetstream.clone() };
        let (receiver, place) = match message.info() {
            Ok(info) => (self.readers.of_consumer(info.consumer), Some(Place::from(&info))),
            // No message of a consumer: the server says something.
            Err(_) => (self.readers.of_subject(&message.subject), None),
        };
        let Some(Receiver { partition, pull }) = receiver else { return };
        let Some(reader) = self.readers.present(partition) else { return };
        let (message, term) = (message.message, reader.term);
        match reader.receive(&message, pull, place, Instant::now()) {
            Meaning::Next { sequence, published_ms } => {
                self.waiting.push_back(Waiting { partition, term, sequence, published_ms, message });
            }
            Meaning::Idle(next) => self.leases.advance([(partition, term, next)]),
            Meaning::Reopen(reason) => self.reopen(partition, term, &reason),
            Meaning::None => {}
        }
    }

    /// Hands over what came, of partitions that are held at this moment.
    pub(super) fn deliver(&mut self) -> Result<(), EventFluxError> {
        let mut parts: Vec<Part> = Vec::new();
        let terms: Vec<_> = self.readers.iter().map(|(partition, reader)| (partition, reader.term)).collect();
        let workable = self.leases.workable(&terms);
        for ((partition, _), is_workable) in terms.into_iter().zip(workable) {
            if !is_workable {
                self.drop_reader(partition);
            }
        }
        while let Some(Waiting { partition, term, sequence, published_ms, message }) = self.waiting.pop_front() {
            partition::refuse_other_count(message.headers.as_ref(), self.config.leases.partitions)?;
            if let Some(reader) = self.readers.of(partition, term) {
                reader.delivered(message.length);
            }
            match parts.iter_mut().find(|part| part.partition == partition) {
                Some(part) => (part.next, part.messages) = (sequence + 1, part.messages + 1),
                None => parts.push(Part { partition, term, next: sequence + 1, messages: 1 }),
            }
            let stream = &*self.config.stream.name;
            let partition = Some(partition);
            self.delivery.push_stored(message, Stored { stream, sequence, published_ms, deliveries: 1, partition });
            if self.delivery.len() >= self.config.fetch_messages || self.delivery.bytes() >= STORED_DELIVERY_BYTES {
                break;
            }
        }
        if parts.is_empty() {
            return Ok(());
        }
        self.delivery.hand_over(&*self.work.callback)?;
        self.progress.push(parts, self.work.callback.settled());
        Ok(())
    }

    pub(super) fn settled(&mut self, parts: &[Part]) {
        self.leases.advance(parts.iter().map(|part| (part.partition, part.term, part.next)));
        for part in parts {
            if let Some(reader) = self.readers.of(part.partition, part.term) {
                reader.settled(part.messages);
            }
            self.release_if_settled(part.partition, part.term);
        }
    }
}
