//! What a client sends.

use std::time::Instant;

use bytes::Bytes;

use super::rate::Verdict;
use super::{Effect, Inbound, Session, State};
use crate::auth::Verb;
use crate::dialects::{ClientMessage, Rejected, Reply, Request};
use crate::pattern::check_name;
use crate::{Ending, Problem};

impl Session {
    /// Takes a message of the client.
    ///
    /// # Errors
    /// When it ends the session.
    pub fn receive(&mut self, message: &Bytes, binary: bool, now: Instant) -> Result<(), Ending> {
        self.now = now;
        self.hub.counters().received.increment();
        if !self.admit(now)? {
            return Ok(());
        }
        if binary && !self.dialect().traits().transparent {
            return Err(Ending::Binary);
        }
        match self.dialect().parse(message) {
            Ok(request) => self.carry_out(request, now),
            Err(Rejected { problem, correlation }) => self.fail(&problem, correlation.as_deref()),
        }
        self.over.map_or(Ok(()), Err)
    }

    /// Whether messages can be passed to the pipeline without [`Session::receive`]: they have no structure, and nobody
    /// limits or forbids them. Then the driver counts them by [`Session::count_received`].
    #[must_use]
    pub fn is_transparent(&self) -> bool {
        let open = matches!(&self.state, State::Open(open) if open.identity.grants.publish.is_none());
        self.dialect().traits().transparent && self.config().rate.is_none() && open
    }

    /// Messages passed on without [`Session::receive`].
    pub fn count_received(&self, messages: usize) {
        self.hub.counters().received.add(messages as u64);
    }

    fn admit(&mut self, now: Instant) -> Result<bool, Ending> {
        let Some(limit) = self.hub.config().rate else { return Ok(true) };
        match self.rate.message(&limit, now) {
            Verdict::Taken => Ok(true),
            Verdict::Refused(retry_after) => {
                self.fail(&Problem::RateLimitExceeded { retry_after }, None);
                Ok(false)
            }
            Verdict::Flood => Err(Ending::Flood),
        }
    }

    fn carry_out(&mut self, request: Request, now: Instant) {
        match request {
            Request::Ping { correlation } => self.reply(&Reply::Pong { correlation: correlation.as_deref() }),
            Request::Pong => {}
            Request::Authenticate { token, correlation } => {
                self.authenticating = Some(correlation);
                self.effects.push_back(Effect::Authenticate(token));
            }
            request if matches!(self.state, State::Unknown { .. }) => {
                self.fail(&Problem::AuthenticationRequired, correlation(&request));
            }
            Request::Subscribe(subscribe) => self.ask_to_subscribe(subscribe, now),
            Request::Unsubscribe { subscriptions, correlation } => {
                self.unsubscribe(&subscriptions, correlation.as_deref(), now);
            }
            Request::Presence { channel, correlation } => self.presence(&channel, correlation.as_deref()),
            Request::Message(message) => self.message(message, now),
        }
    }

    pub(super) fn allowed(&self, verb: Verb, channel: &str) -> Result<(), Problem> {
        match self.identity() {
            Some(identity) if identity.grants.allows(verb, channel) => Ok(()),
            _ => Err(self.denied(channel)),
        }
    }

    pub(super) fn denied(&self, channel: &str) -> Problem {
        Problem::PermissionDenied { channel: channel.to_owned(), user: self.user().map(|user| user.to_string()) }
    }

    fn message(&mut self, message: ClientMessage, now: Instant) {
        match self.inbound(&message, now) {
            Ok(inbound) => self.effects.push_back(Effect::Deliver(inbound)),
            Err(problem) => self.fail(&problem, message.correlation.as_deref()),
        }
    }

    fn inbound(&mut self, message: &ClientMessage, now: Instant) -> Result<Inbound, Problem> {
        if !self.hub.takes(&message.kind) {
            return Err(Problem::UnknownType(message.kind.clone()));
        }
        if let Some(channel) = &message.channel {
            check_name(channel)?;
        }
        self.allowed(Verb::Publish, message.channel.as_deref().unwrap_or(&message.kind))?;
        let request = match message.wants_answer {
            true => Some(self.begin_request(message, now)?),
            false => None,
        };
        Ok(Inbound {
            kind: message.kind.clone(),
            payload: message.payload.clone(),
            channel: message.channel.clone(),
            correlation: message.correlation.clone(),
            request,
        })
    }
}

/// The client's name for a request.
fn correlation(request: &Request) -> Option<&str> {
    match request {
        Request::Authenticate { correlation, .. }
        | Request::Unsubscribe { correlation, .. }
        | Request::Presence { correlation, .. }
        | Request::Ping { correlation } => correlation.as_deref(),
        Request::Subscribe(subscribe) => subscribe.correlation.as_deref(),
        Request::Message(message) => message.correlation.as_deref(),
        Request::Pong => None,
    }
}
