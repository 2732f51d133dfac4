//! Requests of the client that wait for the pipeline's answer.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{Inbound, Session};
use crate::Problem;
use crate::dialects::{ClientMessage, Reply};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// In the order of their deadlines: all wait equally long.
    pending: BTreeMap<u64, Pending>,
    last: u64,
}

#[derive(Debug)]
struct Pending {
    kind: String,
    correlation: Option<String>,
    by: Instant,
}

impl Requests {
    /// The earliest time one is given up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.pending.first_key_value().map(|(_, pending)| pending.by)
    }

    fn begin(&mut self, message: &ClientMessage, limit: usize, by: Instant) -> Result<u64, Problem> {
        let is_same = |pending: &Pending| pending.correlation.is_some() && pending.correlation == message.correlation;
        if self.pending.values().any(is_same) {
            return Err(Problem::DuplicateRequest);
        }
        if self.pending.len() >= limit {
            return Err(Problem::Busy);
        }
        self.last += 1;
        let pending = Pending { kind: message.kind.clone(), correlation: message.correlation.clone(), by };
        self.pending.insert(self.last, pending);
        Ok(self.last)
    }
}

impl Session {
    /// Where the answer to `message` goes.
    pub(super) fn begin_request(&mut self, message: &ClientMessage, now: Instant) -> Result<String, Problem> {
        let (limit, by) = (self.config().max_requests, now + self.config().request_timeout);
        let number = self.requests.begin(message, limit, by)?;
        Ok(format!("{}/{number}", self.member.id))
    }

    /// The text of an answer. One that is late, or that nobody waits for, is dropped.
    pub(super) fn answer(&mut self, request: u64, payload: &[u8]) -> Option<String> {
        let Some(pending) = self.requests.pending.remove(&request) else {
            log::debug!("an answer to request {request} of {} comes too late", self.member.id);
            self.hub.counters().late_answers.increment();
            return None;
        };
        let Pending { kind, correlation, .. } = &pending;
        self.dialect().reply(&Reply::Answer { kind, payload, correlation: correlation.as_deref() })
    }

    /// Tells the client that a message is not carried out after all.
    pub(crate) fn reject(&mut self, inbound: &Inbound, problem: &Problem) {
        let number = inbound.request.as_deref().and_then(|request| request.split_once('/')?.1.parse().ok());
        if let Some(number) = number {
            self.requests.pending.remove::<u64>(&number);
        }
        self.fail(problem, inbound.correlation.as_deref());
    }

    pub(super) fn expire_requests(&mut self, now: Instant) {
        if self.requests.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        // An answer that came in time counts, however long the client does not read.
        for (request, payload) in self.member.mailbox.take_answers() {
            if let Some(text) = self.answer(request, &payload) {
                self.tell(text);
            }
        }
        while self.requests.deadline().is_some_and(|deadline| deadline <= now)
            && let Some((_, pending)) = self.requests.pending.pop_first()
        {
            self.fail(&Problem::RequestTimeout, pending.correlation.as_deref());
        }
    }
}
