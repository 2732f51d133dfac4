//! One connection: its session, what waits for its socket, and why it is closed.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use eventflux_core::Secret;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::lock::{Mutex as TurnLock, MutexGuard as TurnGuard};
use uuid::Uuid;

use super::heartbeat::{Beat, Heartbeat};
use super::{CloseReason, WebSocketConfig, WsError};
use crate::auth::Denied;
use crate::{Authenticated, Effect, Inbound, Outgoing, Problem, Session};

/// About so many bytes are taken from a session at a time.
const TRANSMIT_BYTES: usize = 16 * 1024;

/// How long an auth handler may take for one decision; then it counts as a no.
pub const DECISION_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection that wants to be added.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// A name for it, unlike any other.
    pub id: Uuid,
    /// Where the client is; beyond proxies, as far as they are trusted.
    pub addr: SocketAddr,
    pub(super) token: Option<Secret>,
}

/// A connection that was added.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: Uuid,
    pub(super) address: SocketAddr,
    /// Held while a message is carried out: the next one waits.
    turn: TurnLock<()>,
    turns: AtomicUsize,
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

/// The answer to an effect of a session. Given when it is dropped, so that a session never waits for one in vain.
#[derive(Debug)]
pub(super) struct Pending<'a> {
    connection: &'a Connection,
    now: Instant,
    pub(super) answer: Answer,
}

#[derive(Debug)]
pub(super) enum Answer {
    Identity(Result<Authenticated, Problem>),
    Subscriptions(Vec<bool>),
    /// Whether a message is for the program: the reason why not.
    Message(Inbound, Option<Problem>),
}

/// A message may be carried out; the next one waits.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a AtomicUsize,
    guard: Option<TurnGuard<'a, ()>>,
}

impl ConnectionInfo {
    /// A connection of that address, with an id of its own.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # futures_executor::block_on(async {
    /// # use eventflux_gateway::websocket::{WebSocketConfig, WebSocketManager};
    /// # let manager = WebSocketManager::new(WebSocketConfig::default());
    /// use eventflux_gateway::websocket::ConnectionInfo;
    /// use std::net::SocketAddr;
    ///
    /// let addr: SocketAddr = "127.0.0.1:12345".parse()?;
    /// let info = ConnectionInfo::new(addr);
    /// let conn_id = info.id;
    ///
    /// let sender = manager.add_connection(conn_id, info).await?;
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        Self { id: Uuid::new_v4(), addr, token: None }
    }

    /// With the token that the client brought: in the query of its address, in a header.
    #[must_use]
    pub fn with_token(self, token: impl Into<String>) -> Self {
        Self { token: Some(Secret::new(token)), ..self }
    }

    /// The same address for the same client, however it is written.
    pub(super) fn address(&self) -> IpAddr {
        self.addr.ip().to_canonical()
    }
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
        let turn = TurnLock::new(());
        Arc::new(Self { id, address, turn, turns: AtomicUsize::new(0), state: Mutex::new(state) })
    }

    /// Waits until nothing else is carried out for it, unless as many wait already as may.
    pub(super) async fn turn(&self, limit: usize) -> Result<Turn<'_>, WsError> {
        let waiting = self.turns.fetch_add(1, Ordering::Relaxed);
        let mut turn = Turn { turns: &self.turns, guard: None };
        // One is carried out, the others wait.
        if waiting > limit {
            return Err(WsError::BufferFull { limit });
        }
        turn.guard = Some(self.turn.lock().await);
        Ok(turn)
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

    /// An answer that the session waits for: no, unless another one is given.
    pub(super) fn pending(&self, answer: Answer, now: Instant) -> Pending<'_> {
        Pending { connection: self, now, answer }
    }

    /// Waits for a decision; `None` when it takes too long or the connection is closed.
    pub(super) async fn decide<T>(&self, decision: impl Future<Output = T>, now: Instant) -> Option<T> {
        let (handle, registration) = AbortHandle::new_pair();
        self.with(|state| match state.session {
            Some(_) => state.decision = Some((handle, now + DECISION_TIMEOUT)),
            None => handle.abort(),
        });
        let decided = Abortable::new(decision, registration).await.ok();
        self.with(|state| state.decision = None);
        decided
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
        Some(String::from_utf8(text.into()).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
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

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let unanswered = Answer::Identity(Err(Denied::Unavailable.problem()));
        let answer = std::mem::replace(&mut self.answer, unanswered);
        self.connection.with(|state| {
            let Some(session) = &mut state.session else { return };
            let settled = match answer {
                Answer::Identity(result) => session.authenticated(result),
                Answer::Subscriptions(allowed) => {
                    session.authorized(&allowed, self.now);
                    Ok(())
                }
                Answer::Message(inbound, refusal) => {
                    refusal.iter().for_each(|problem| session.reject(&inbound, problem));
                    Ok(())
                }
            };
            if let Err(ending) = settled {
                state.end(ending.into(), self.now);
            }
        });
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.guard.take();
        self.turns.fetch_sub(1, Ordering::Relaxed);
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
