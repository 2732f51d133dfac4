//! Our requests to the peer, and what becomes of them.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::command::Asking;
use super::methods::{Code, Refusal, json};
use super::waiting::Waiting;
use super::{Details, Link, ReplyDetails};
use crate::envelope::{Content, Envelope, Kind};
use crate::requests::{Failure, MAX_REQUEST_TIMEOUT, Reply, Request};

/// Ids of requests without a reply in time that are remembered, to tell a late reply from an invented one.
const MAX_LATE_IDS: usize = 1_024;

/// Requests under way on one connection, by id.
#[derive(Debug, Default)]
pub(super) struct Questions {
    waiting: Waiting<String, Question>,
    late: VecDeque<String>,
}

#[derive(Debug)]
struct Question {
    request: Request,
    since: Instant,
}

/// What a reply says of itself.
#[derive(Deserialize)]
struct ReplyStatus {
    #[serde(default)]
    status: Option<String>,
}

impl Questions {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.earliest()
    }

    fn remember_late(&mut self, id: String) {
        if self.late.len() == MAX_LATE_IDS {
            self.late.pop_front();
        }
        self.late.push_back(id);
    }

    /// Whether a reply to that came too late; each one is late once.
    fn is_late(&mut self, id: &str) -> bool {
        let place = self.late.iter().position(|late| late == id);
        place.and_then(|place| self.late.remove(place)).is_some()
    }
}

impl Link {
    /// Sends a request.
    pub(super) fn ask(&mut self, asking: Asking) {
        #[derive(Serialize)]
        struct Payload<'a> {
            method: &'a str,
            params: &'a RawValue,
        }
        let Asking { id, request } = asking;
        // It was checked before it came here.
        let Ok(params) = serde_json::from_slice(&request.params) else { return };
        let payload = json(&Payload { method: &request.method, params });
        self.federation.counters().requests_sent.increment(&request.method);
        self.tell_as(Kind::Request, &id, &payload);
        let timeout = request.timeout.unwrap_or(self.federation.config().request_timeout).min(MAX_REQUEST_TIMEOUT);
        self.questions.waiting.insert(id, self.now.at + timeout, Question { request, since: self.now.at });
    }

    /// Takes a reply of the peer.
    pub(super) fn replied(&mut self, envelope: Envelope) {
        let id = std::str::from_utf8(&envelope.id).unwrap_or_default().to_owned();
        let counters = self.federation.counters();
        let Some(question) = self.questions.waiting.remove(&id) else {
            let counter = if self.questions.is_late(&id) { &counters.late_replies } else { &counters.unknown_replies };
            counter.increment();
            return;
        };
        let status = status(&envelope);
        counters.replies_received.increment(status);
        counters.request_durations.add(&question.request.method, self.now.at.saturating_duration_since(question.since));
        self.tell_asker(question, Ok(envelope), id, status);
    }

    /// Gives up what has not been answered in time.
    pub(super) fn expire_questions(&mut self) {
        while let Some((id, question)) = self.questions.waiting.pop_due(self.now.at) {
            self.federation.counters().request_timeouts.increment();
            self.questions.remember_late(id.clone());
            self.tell_asker(question, Err(Failure::Timeout), id, Failure::Timeout.label());
        }
    }

    /// There will be no replies any more, nor to what has not been sent yet.
    pub(super) fn fail_questions(&mut self, unsent: impl Iterator<Item = Asking>) {
        let since = self.now.at;
        let unsent = unsent.map(|Asking { id, request }| (id, Question { request, since }));
        let questions: Vec<_> = self.questions.waiting.drain().chain(unsent).collect();
        for (id, question) in questions {
            self.tell_asker(question, Err(Failure::Disconnected), id, Failure::Disconnected.label());
        }
    }

    /// Tells whoever asked, and the pipeline.
    fn tell_asker(&mut self, question: Question, outcome: Result<Envelope, Failure>, id: String, status: &'static str) {
        let Question { request, since } = question;
        let duration = self.now.at.saturating_duration_since(since);
        self.mailbox.asked_less(1);
        if self.federation.wants().replies {
            let envelope = outcome.clone().unwrap_or_else(|failure| self.missing_reply(&id, failure));
            let (method, correlation) = (request.method.clone(), request.correlation.clone());
            let details = ReplyDetails { method, correlation, status, duration };
            self.inbound.pass(envelope, Details::Reply(details));
        }
        (request.then)(Reply {
            connection: self.mailbox.connection().clone(),
            id,
            method: request.method,
            correlation: request.correlation,
            outcome: outcome.map(|envelope| envelope.payload),
            status,
            duration,
        });
    }

    /// What the pipeline gets in place of a reply.
    fn missing_reply(&self, id: &str, failure: Failure) -> Envelope {
        let code = match failure {
            Failure::Timeout => Code::Timeout,
            Failure::Disconnected => Code::Disconnected,
            Failure::Busy => Code::Busy,
        };
        Envelope {
            kind: Kind::Reply,
            id: Bytes::copy_from_slice(id.as_bytes()),
            timestamp: Some(self.now.unix_ms),
            payload: Refusal::new(code, failure.to_string()).payload(),
            content: Content::Json,
            replayed: false,
        }
    }
}

fn status(envelope: &Envelope) -> &'static str {
    let read = || serde_json::from_slice::<ReplyStatus>(&envelope.payload).ok()?.status;
    let status = if envelope.content == Content::Json { read() } else { None };
    match status.as_deref() {
        Some("ok") => "ok",
        Some("error") => "error",
        _ => "other",
    }
}
