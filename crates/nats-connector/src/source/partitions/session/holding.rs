//! What is held: partitions that come and go.

use eventflux_nats::leases::{Change, Term};

use super::super::reader::Reader;
use super::{End, Session};

impl Session<'_> {
    pub(super) fn changed(&mut self, changes: Vec<Change>) -> Option<End> {
        let mut end = None;
        for change in changes {
            match change {
                Change::Acquired { partition, term, position } => {
                    self.report.moved.increment();
                    self.drop_reader(partition);
                    self.readers.insert(partition, Reader::new(term, position));
                    self.closed.push_back((partition, term));
                }
                Change::Release { partition, term } => self.release(partition, term),
                Change::Lost { partition, term } => {
                    if self.readers.of(partition, term).is_some() {
                        self.report.moved.increment();
                        self.drop_reader(partition);
                    }
                }
                Change::Outdated { epoch } => end = Some(End::Outdated(epoch)),
            }
        }
        self.show();
        end
    }

    fn release(&mut self, partition: u32, term: Term) {
        match self.readers.of(partition, term) {
            Some(reader) => {
                reader.is_releasing = true;
                reader.drop_waiting();
                let consumer = self.readers.close(partition);
                consumer.into_iter().for_each(|name| self.forget_consumer(name));
                self.waiting.retain(|waiting| (waiting.partition, waiting.term) != (partition, term));
                self.release_if_settled(partition, term);
            }
            None => self.leases.release(partition, term),
        }
    }

    pub(super) fn release_if_settled(&mut self, partition: u32, term: Term) {
        let is_done = self.readers.of(partition, term).is_some_and(|reader| reader.is_releasing && reader.is_settled());
        if is_done {
            self.report.moved.increment();
            self.drop_reader(partition);
            self.leases.release(partition, term);
            self.show();
        }
    }

    pub(super) fn drop_reader(&mut self, partition: u32) {
        if let Some(name) = self.readers.close(partition) {
            self.forget_consumer(name);
        }
        if self.readers.remove(partition).is_some() {
            self.waiting.retain(|waiting| waiting.partition != partition);
        }
    }
}
