//! Requests of the peer: carried out here, or handed to the pipeline.

use std::collections::HashSet;
use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use super::command::{Answer, Handle};
use super::methods::{self, Call, Code, Method, Order, Params, Refusal, StatusReport};
use super::waiting::Waiting;
use super::{Details, Effect, Link, RequestDetails};
use crate::Now;
use crate::envelope::{Content, Envelope, Kind, Malformed};
use crate::requests::{MAX_REQUEST_TIMEOUT, Status};

/// Requests that are not answered at once, by the number that this end gave them.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    waiting: Waiting<u64, Task>,
    /// The ids that the peer gave them.
    ids: HashSet<String>,
    last: u64,
    effect: Option<Effect>,
}

#[derive(Debug)]
struct Task {
    id: String,
    method: String,
    performer: Performer,
}

/// Who is to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Performer {
    Pipeline,
    Driver,
}

impl Tasks {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.earliest()
    }

    fn begin(&mut self, id: &str, method: &str, performer: Performer, deadline: Instant) -> u64 {
        self.last += 1;
        self.ids.insert(id.to_owned());
        let task = Task { id: id.to_owned(), method: method.to_owned(), performer };
        self.waiting.insert(self.last, deadline, task);
        self.last
    }

    fn keep(&mut self, number: u64, task: Task, deadline: Instant) {
        self.waiting.insert(number, deadline, task);
    }

    fn finish(&mut self, number: u64) -> Option<Task> {
        let task = self.waiting.remove(&number)?;
        self.ids.remove(&task.id);
        Some(task)
    }
}

impl Link {
    /// The next thing that the driver is to do for the link; to be asked after [`Link::receive`].
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.tasks.effect.take()
    }

    /// The answer to [`Effect::Authenticate`]: whether the token is good, or why not, for the peer. `false` when the time
    /// for it is over: the peer has been told so, and the token is not to count.
    pub fn authenticated(&mut self, ticket: u64, outcome: Result<(), String>, now: Now) -> bool {
        self.now = now;
        let Some(task) = self.tasks.finish(ticket) else { return false };
        let payload = match outcome {
            Ok(()) => methods::authenticated(),
            Err(reason) => Refusal::new(Code::Forbidden, reason).payload(),
        };
        self.stirred = true;
        self.tell_as(Kind::Reply, &task.id, &payload);
        true
    }

    /// Takes a request of the peer.
    pub(super) fn requested(&mut self, envelope: Envelope) {
        let id = std::str::from_utf8(&envelope.id).unwrap_or_default().to_owned();
        let answer = match self.perform(&id, envelope) {
            Ok(None) => return,
            Ok(Some(payload)) => payload,
            Err(refusal) => refusal.payload(),
        };
        self.tell_as(Kind::Reply, &id, &answer);
    }

    /// Answers a request that is none, where it says what it is the reply to.
    pub(super) fn refuse_malformed(&mut self, malformed: &Malformed) {
        if let (Some(Kind::Request), Some(id)) = (malformed.kind, &malformed.id) {
            let refusal = match self.federation.config().control {
                true => Refusal::invalid(malformed.reason.to_string()),
                false => disabled(),
            };
            self.tell_as(Kind::Reply, id, &refusal.payload());
        }
    }

    /// The payload of the reply; `None` when it comes later.
    fn perform(&mut self, id: &str, envelope: Envelope) -> Result<Option<Bytes>, Refusal> {
        if !self.federation.config().control {
            return Err(disabled());
        }
        let call = Call::read(&envelope)?;
        self.federation.counters().requests_received.increment(&call.method);
        if self.tasks.ids.contains(id) {
            return Err(Refusal::new(Code::DuplicateId, "a request of this id is under way on this connection"));
        }
        let Some(method) = Method::from_name(&call.method) else {
            let method = call.method;
            return self.leave_to_pipeline(id, method, envelope);
        };
        let params = Params::read(call.params);
        self.pass_request(method.name(), redacted(method, &envelope), None);
        let params = params?;
        match method {
            Method::Backpressure => methods::backpressure(params, &mut self.selection, self.now),
            Method::Subscribe => {
                let streams: Vec<_> = self.outbound.names().into_iter().map(|name| name.stream).collect();
                methods::subscribe(params, &mut self.selection, &streams)
            }
            Method::Unsubscribe => methods::unsubscribe(params, &mut self.selection),
            Method::Announce => methods::announce(params, &mut self.selection, self.federation.config(), self.now),
            Method::Replay => self.replay(params),
            Method::Status => self.status(params),
            Method::Authenticate => return self.authenticate(id, params).map(|()| None),
        }
        .map(Some)
    }

    fn replay(&mut self, params: Params) -> Result<Bytes, Refusal> {
        let order = Order::read(params)?;
        let place = &self.federation;
        let (bytes, started_ms) = (place.replay_bytes(), place.started().unix_ms);
        self.outbound.replay(&order, place.config(), bytes, started_ms, self.now).map(|ordered| methods::ok(&ordered))
    }

    fn status(&self, params: Params) -> Result<Bytes, Refusal> {
        params.finish("none")?;
        let uptime = self.now.at.saturating_duration_since(self.federation.started().at);
        Ok(methods::ok(&StatusReport::new(self.selection.meter(), self.outbound.waiting(), uptime, self.now.at)))
    }

    fn authenticate(&mut self, id: &str, params: Params) -> Result<(), Refusal> {
        let token = methods::token(params)?;
        // One after the other: with two at once it is not clear which one holds.
        if self.tasks.waiting.values().any(|task| task.performer == Performer::Driver) {
            return Err(Refusal::new(Code::Busy, "another token is being looked at"));
        }
        let ticket = self.begin(id, Method::Authenticate.name(), Performer::Driver)?;
        self.tasks.effect = Some(Effect::Authenticate { ticket, token });
        Ok(())
    }

    /// A method that only the pipeline can know.
    fn leave_to_pipeline(&mut self, id: &str, method: String, envelope: Envelope) -> Result<Option<Bytes>, Refusal> {
        if !self.federation.wants().requests {
            return Err(Method::unknown(&method));
        }
        let number = self.begin(id, &method, Performer::Pipeline)?;
        self.mailbox.await_answer(number);
        let handle = Handle { place: self.federation.nonce(), link: self.number, number };
        self.pass_request(&method, envelope, Some(handle));
        Ok(None)
    }

    /// The number of a request that is answered later.
    fn begin(&mut self, id: &str, method: &str, performer: Performer) -> Result<u64, Refusal> {
        let config = self.federation.config();
        if self.tasks.waiting.len() >= config.max_requests {
            let message =
                format!("{} requests of this connection are under way, and no more are taken", config.max_requests);
            return Err(Refusal::new(Code::Busy, message));
        }
        let timeout = config.request_timeout.min(MAX_REQUEST_TIMEOUT);
        Ok(self.tasks.begin(id, method, performer, self.now.at + timeout))
    }

    fn pass_request(&mut self, method: &str, envelope: Envelope, handle: Option<Handle>) {
        if self.federation.wants().requests {
            let handle = handle.map(|handle| handle.to_string());
            let details = RequestDetails { method: method.to_owned(), handled: handle.is_none(), handle };
            self.inbound.pass(envelope, Details::Request(details));
        }
    }

    /// Sends the pipeline's reply.
    pub(super) fn answer(&mut self, answer: &Answer) {
        let Some(task) = self.tasks.finish(answer.number) else { return };
        let payload = match answer.status {
            // It was checked before it came here.
            Status::Ok => methods::ok(&serde_json::from_slice::<&RawValue>(&answer.payload).ok()),
            Status::Error => failed(&answer.payload),
        };
        self.tell_as(Kind::Reply, &task.id, &payload);
    }

    /// Answers what nobody else has answered in time.
    pub(super) fn expire_tasks(&mut self) {
        while let Some((number, task)) = self.tasks.waiting.pop_due(self.now.at) {
            if task.performer == Performer::Pipeline && !self.mailbox.answered_otherwise(number) {
                // The answer has just come to the mailbox.
                self.tasks.keep(number, task, self.now.at + MAX_REQUEST_TIMEOUT);
                continue;
            }
            self.tasks.ids.remove(&task.id);
            if task.performer == Performer::Driver {
                self.tasks.effect = None;
            }
            let message =
                format!("'{}' was not answered in time; whether it has been carried out is not known", task.method);
            self.tell_as(Kind::Reply, &task.id, &Refusal::new(Code::Timeout, message).payload());
        }
    }
}

/// What the pipeline sees of a request that is answered here: no tokens.
fn redacted(method: Method, envelope: &Envelope) -> Envelope {
    let payload = match method {
        Method::Authenticate => Bytes::from_static(b"{\"method\":\"authenticate\"}"),
        _ => envelope.payload.clone(),
    };
    Envelope { payload, content: Content::Json, ..envelope.clone() }
}

/// The payload of a reply to what the pipeline could not do.
fn failed(error: &[u8]) -> Bytes {
    let refusal = |message: &str| Refusal::new(Code::Failed, message).payload();
    match serde_json::from_slice(error) {
        Ok(Value::Object(mut error)) => {
            error.entry("code").or_insert_with(|| "failed".into());
            error.entry("message").or_insert_with(|| "the request failed".into());
            methods::error(&error)
        }
        Ok(Value::String(message)) => refusal(&message),
        _ => refusal("the request failed"),
    }
}

fn disabled() -> Refusal {
    Refusal::new(Code::Disabled, "requests are switched off at this end")
}
