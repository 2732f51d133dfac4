//! One connection: its session, what waits for its socket, and why it is closed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::AbortHandle;
use uuid::Uuid;

use super::decision::{Answer, Turns};
use super::heartbeat::{Beat, Heartbeat};
use super::{CloseReason, WebSocketConfig, WsError};
use crate::{Effect, Outgoing, Session};

/// About so many bytes are taken from a session at a time.
const TRANSMIT_BYTES: usize = 16 * 1024;

/// A connection that was added.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: Uuid,
    pub(super) address: SocketAddr,
    pub(super) turns: Turns,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` when it is over.
    session: Option<Session>,
    heartbeat: Heartbeat,
    /// What the session gave.
    taken: VecDeque<Bytes>,
    /// What the program sends.
    sent: VecDeque<String>,
    reason: Option<CloseReason>,
    /// Who waits for something to write.
    waker: Option<Waker>,
    /// The decision that is being made, and until when.
    decision: Option<(AbortHandle, Instant)>,
}

impl Connection {
    pub(super) fn new(id: Uuid, address: SocketAddr, session: Session, now: Instant) -> Arc<Self> {
        let state = State {
            session: Some(session),
            heartbeat: Heartbeat::new(now),
            taken: VecDeque::new(),
            sent: VecDeque::new(),
            reason: None,
            waker: None,
            decision: None,
        };
        Arc::new(Self { id, address, turns: Turns::default(), state: Mutex::new(state) })
    }

    /// Hands a message of the client over.
    pub(super) fn receive(&self, text: &str, now: Instant) -> Result<(), CloseReason> {
        let message = Bytes::copy_from_slice(text.as_bytes());
        self.with(|state| {
            state.heartbeat.heard(now);
            let Some(session) = &mut state.session else { return Ok(()) };
            session.receive(&message, false, now).map_err(CloseReason::from)
        })
    }

    pub(super) fn next_effect(&self) -> Option<Effect> {
        self.with(|state| state.session.as_mut()?.next_effect())
    }

    pub(super) fn heard(&self, now: Instant) {
        self.with(|state| state.heartbeat.heard(now));
    }

    /// Runs `work` on the session, if it is still there.
    ///
    /// # Errors
    /// [`WsError::ConnectionClosed`]
    pub(super) fn session<T>(&self, work: impl FnOnce(&mut Session) -> T) -> Result<T, WsError> {
        self.with(|state| match &mut state.session {
            Some(session) => Ok(work(session)),
            None => Err(closed(state.reason.as_ref())),
        })
    }

    /// Leaves a text of the program.
    pub(super) fn send(&self, text: String, limit: usize) -> Result<(), WsError> {
        self.with(|state| match (&state.session, &state.reason) {
            (Some(_), _) if state.sent.len() >= limit => Err(WsError::BufferFull { limit }),
            (Some(session), _) => {
                session.hub().counters().sent.increment();
                state.sent.push_back(text);
                Ok(())
            }
            (None, reason) => Err(closed(reason.as_ref())),
        })
    }

    /// The next text for the client; `None` when the connection is to be closed.
    pub(super) fn poll_text(&self, context: &Context<'_>, now: Instant) -> Poll<Option<String>> {
        let mut state = self.lock();
        loop {
            if let Some(text) = state.next_text() {
                return Poll::Ready(Some(text));
            }
            let Some(session) = &mut state.session else { return Poll::Ready(None) };
            session.flushed();
            let mut out = Vec::new();
            let transmitted = session.transmit(now, TRANSMIT_BYTES, &mut out);
            if transmitted.is_ok() && out.is_empty() && !session.register(context.waker()) {
                session.shrink(now);
                state.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            state.taken.extend(out.into_iter().map(text));
            if let Err(ending) = transmitted {
                state.end(ending.into(), now);
            }
        }
    }

    /// Looks at the time; the reason to close it, if there is one.
    pub(super) fn tick(&self, now: Instant, config: &WebSocketConfig) -> Option<CloseReason> {
        self.with(|state| {
            if let Some((decision, by)) = &state.decision
                && *by <= now
            {
                decision.abort();
            }
            let session = state.session.as_mut()?;
            if let Err(ending) = session.timers(now) {
                return Some(ending.into());
            }
            match state.heartbeat.beat(now, config) {
                Beat::Nothing => None,
                Beat::Ping => {
                    session.ping();
                    None
                }
                Beat::NoPong => Some(CloseReason::NO_PONG),
                Beat::Idle => Some(CloseReason::IDLE),
            }
        })
    }

    /// Ends the session; what it has to say is still written. Returns whether it was there.
    pub(super) fn close(&self, reason: CloseReason, now: Instant) -> bool {
        self.with(|state| state.end(reason, now))
    }

    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        self.lock().reason.clone()
    }

    /// Answers an effect of the session.
    pub(super) fn settle(&self, answer: Answer, now: Instant) {
        self.with(|state| {
            let Some(session) = &mut state.session else { return };
            let settled = match answer {
                Answer::Identity(result) => session.authenticated(result),
                Answer::Subscriptions(allowed) => {
                    session.authorized(&allowed, now);
                    Ok(())
                }
                Answer::Rejected(inbound, problem) => {
                    session.reject(&inbound, &problem);
                    Ok(())
                }
                Answer::Delivered => Ok(()),
            };
            if let Err(ending) = settled {
                state.end(ending.into(), now);
            }
        });
    }

    /// A decision is made until `by`: then, or when the connection is closed, it is aborted.
    pub(super) fn begin_decision(&self, handle: AbortHandle, by: Instant) {
        self.with(|state| match state.session {
            Some(_) => state.decision = Some((handle, by)),
            None => handle.abort(),
        });
    }

    pub(super) fn end_decision(&self) {
        self.with(|state| state.decision = None);
    }

    /// Works on the state, and wakes who waits for something to write when there is something.
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = work(&mut state);
        let waker = if state.has_something() { state.waker.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_text(&mut self) -> Option<String> {
        let Some(text) = self.taken.pop_front() else { return self.sent.pop_front() };
        // What dialects write is JSON, and payloads are checked before.
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    fn has_something(&self) -> bool {
        !self.sent.is_empty() || self.session.as_ref().is_none_or(Session::has_more)
    }

    fn end(&mut self, reason: CloseReason, now: Instant) -> bool {
        let Some(mut session) = self.session.take() else { return false };
        let mut out = Vec::new();
        // Its last words; that it ends is known.
        let _ = session.transmit(now, TRANSMIT_BYTES, &mut out);
        self.taken.extend(out.into_iter().map(text));
        self.reason = Some(reason);
        if let Some((decision, _)) = self.decision.take() {
            decision.abort();
        }
        true
    }
}

fn closed(reason: Option<&CloseReason>) -> WsError {
    reason.map_or(WsError::ConnectionNotFound, |reason| WsError::ConnectionClosed(reason.clone()))
}

fn text(outgoing: Outgoing) -> Bytes {
    match outgoing {
        Outgoing::Framed(text) | Outgoing::Message { text, .. } => text,
    }
}
