//! The vocabulary of scripts. What the steps do is in the conversation.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{extensions::EXTENSIONS, frames::RawFrame, message::Message};

/// How long a waiting step waits, unless the script says [`Script::within`].
pub(super) const DEFAULT_STEP_DEADLINE: Duration = Duration::from_secs(5);

/// What one end of a connection does, step by step.
///
/// Handshake steps are for servers and come before all that needs a connection. A script without them accepts at its
/// first step, unless that is [`stall`](Self::stall), [`reset`](Self::reset) or [`hang_up`](Self::hang_up); a delay or a
/// wait for a signal before a handshake step delays the handshake. After the last step the connection stays open, is read, recorded and kept alive, until the other end closes it or the peer is dropped.
///
/// A step that expects something fails when something else comes, when the connection ends first, or when its deadline
/// passes ([`within`](Self::within), 5 s by default). A failed step ends the script and drops the connection;
/// [`ScriptedPeer::finish`](super::ScriptedPeer::finish) reports it. Pings are answered, closes are answered, and
/// everything is read all the time, unless the script says otherwise.
#[derive(Debug, Clone, Default)]
pub struct Script {
    pub(super) steps: Vec<Step>,
    deadline: Option<Duration>,
}

/// Handshake steps, for servers.
impl Script {
    /// An empty script: accepts, and stays connected.
    pub fn new() -> Self {
        Self::default()
    }

    /// Expects the request's path and query.
    pub fn expect_path(self, path: impl Into<String>) -> Self {
        self.step(Action::ExpectPath(path.into()))
    }

    /// Expects a request header with this value; names are compared without case.
    pub fn expect_header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.step(Action::ExpectHeader(name.into(), value.into()))
    }

    /// Expects that the request does not have this header.
    pub fn expect_no_header(self, name: impl Into<String>) -> Self {
        self.step(Action::ExpectNoHeader(name.into()))
    }

    /// Expects the client to offer this subprotocol, among others perhaps.
    pub fn expect_subprotocol(self, token: impl Into<String>) -> Self {
        self.step(Action::ExpectSubprotocol(token.into()))
    }

    /// Adds a header to the response; it replaces one the response would have, `Sec-WebSocket-Accept` for example.
    pub fn respond_header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.step(Action::RespondHeader(name.into(), value.into()))
    }

    /// Chooses this subprotocol in the response, whether the client offered it or not.
    pub fn choose_subprotocol(self, token: impl Into<String>) -> Self {
        self.respond_header("Sec-WebSocket-Protocol", token)
    }

    /// Answers this in `Sec-WebSocket-Extensions`, whether the client offered it or not. When it names
    /// `permessage-deflate`, messages may be compressed, with the parameters it gives.
    pub fn choose_extensions(self, answer: impl Into<String>) -> Self {
        self.respond_header(EXTENSIONS, answer)
    }

    /// Accepts the handshake with 101.
    pub fn accept(self) -> Self {
        self.step(Action::Accept(None))
    }

    /// Accepts the handshake and sends a first message in the same write, so that both arrive in one packet.
    pub fn accept_with_first_message(self, message: impl Into<Message>) -> Self {
        self.step(Action::Accept(Some(message.into())))
    }

    /// Answers the handshake with this status and body and hangs up.
    pub fn reject(self, status: u16, body: impl Into<String>) -> Self {
        self.reject_with_headers(status, [], body)
    }

    /// [`reject`](Self::reject) with response headers: a `Location`, a `Retry-After`.
    pub fn reject_with_headers<'a>(
        self,
        status: u16,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        body: impl Into<String>,
    ) -> Self {
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.step(Action::Reject { status, headers, body: body.into() })
    }

    /// Answers the handshake with these bytes, whatever they are, and goes on as if it had been accepted, without
    /// extensions.
    pub fn respond_raw(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Action::RespondRaw(bytes.into()))
    }
}

/// Steps that send.
impl Script {
    /// Sends a text message.
    pub fn send_text(self, text: impl Into<String>) -> Self {
        self.step(Action::Send(Message::Text(text.into())))
    }

    /// Sends a binary message.
    pub fn send_binary(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Action::Send(Message::Binary(bytes.into())))
    }

    /// Sends messages, as many as possible with one write.
    pub fn send_all<M: Into<Message>>(self, messages: impl IntoIterator<Item = M>) -> Self {
        self.step(Action::SendAll(messages.into_iter().map(Into::into).collect()))
    }

    /// Sends a message compressed by permessage-deflate as agreed upon; fails when it was not. For a compressed frame
    /// against the agreement, see [`RawFrame::compressed`].
    pub fn send_compressed(self, message: impl Into<Message>) -> Self {
        self.step(Action::SendCompressed(message.into()))
    }

    /// Sends a frame as it is: a client has to mask it itself.
    pub fn send_frame(self, frame: RawFrame) -> Self {
        self.step(Action::SendRaw(frame.encode().into()))
    }

    /// Sends bytes as they are. See [`frames`](super::frames) for malformed ones.
    pub fn send_raw(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Action::SendRaw(bytes.into()))
    }

    /// Sends a ping and waits for its pong; what else arrives is kept for later steps.
    pub fn ping(self, payload: impl Into<Bytes>) -> Self {
        self.step(Action::Ping(payload.into()))
    }

    /// Sends this many pings without waiting for any pong.
    pub fn flood_pings(self, count: usize) -> Self {
        self.step(Action::FloodPings(count))
    }
}

/// Steps that wait.
impl Script {
    /// Expects the next message to be this text.
    pub fn expect_text(self, text: impl Into<String>) -> Self {
        self.step(Action::Expect(Expected::Exactly(Message::Text(text.into()))))
    }

    /// Expects the next message to be these bytes, as a binary message.
    pub fn expect_binary(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Action::Expect(Expected::Exactly(Message::Binary(bytes.into()))))
    }

    /// Expects the next message to satisfy `matches`; `what` describes it in the failure.
    pub fn expect(self, what: impl Into<String>, matches: impl Fn(&Message) -> bool + Send + Sync + 'static) -> Self {
        self.step(Action::Expect(Expected::Matching(what.into(), Arc::new(matches))))
    }

    /// Waits for this many messages, whatever they are.
    pub fn expect_messages(self, count: usize) -> Self {
        self.step(Action::ExpectMany(count))
    }

    /// Expects the other end to close with this code. Messages before the close are recorded and skipped.
    pub fn expect_close(self, code: u16) -> Self {
        self.step(Action::ExpectClose(code))
    }

    /// Expects the other end to go away: by a close with any code, by hanging up or by a reset.
    pub fn expect_end(self) -> Self {
        self.step(Action::ExpectEnd)
    }

    /// Does nothing but read for this long.
    pub fn delay(self, delay: Duration) -> Self {
        self.step(Action::Delay(delay))
    }

    /// Waits until the test calls [`ScriptedPeer::signal`](super::ScriptedPeer::signal) with this name. A signal stays
    /// set: a later wait for the same name, on any connection, passes at once.
    pub fn wait_for_signal(self, name: impl Into<String>) -> Self {
        self.step(Action::AwaitSignal(name.into()))
    }

    /// The deadline of the steps that follow.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

/// Steps that end the connection, or change how it is treated.
impl Script {
    /// Sends a close frame, waits for the answer, hangs up.
    pub fn close(self, code: u16, reason: impl Into<String>) -> Self {
        self.step(Action::Close { code, reason: reason.into() })
    }

    /// Resets the TCP connection (RST): what is under way is lost.
    pub fn reset(self) -> Self {
        self.step(Action::Reset)
    }

    /// Ends the TCP connection (FIN) without a close frame.
    pub fn hang_up(self) -> Self {
        self.step(Action::HangUp)
    }

    /// Ends our direction only (FIN), and goes on reading until the other end goes away.
    pub fn half_close(self) -> Self {
        self.step(Action::HalfClose)
    }

    /// Neither reads nor writes any more, but keeps the connection open. As the first step: never answers the
    /// handshake.
    pub fn stall(self) -> Self {
        self.step(Action::Stall)
    }

    /// Stops reading: the other end's data fills the kernel's buffers, then blocks it.
    pub fn stop_reading(self) -> Self {
        self.step(Action::Reading(Pace::Stopped))
    }

    /// Reads at most this many bytes per second, in portions of a tenth of that.
    pub fn read_slowly(self, bytes_per_second: usize) -> Self {
        self.step(Action::Reading(Pace::Slow { bytes_per_second }))
    }

    /// Reads as fast as possible again.
    pub fn resume_reading(self) -> Self {
        self.step(Action::Reading(Pace::Full))
    }

    /// Answers no ping from here on.
    pub fn ignore_pings(self) -> Self {
        self.step(Action::IgnorePings)
    }

    /// Answers no close frame from here on, and stays connected after one.
    pub fn ignore_close(self) -> Self {
        self.step(Action::IgnoreClose)
    }

    fn step(mut self, action: Action) -> Self {
        self.steps.push(Step { action, deadline: self.deadline.unwrap_or(DEFAULT_STEP_DEADLINE) });
        self
    }
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) action: Action,
    pub(super) deadline: Duration,
}

impl Step {
    /// How long the step may take: its deadline, and before that the delay it consists of.
    pub(super) fn limit(&self) -> Duration {
        match &self.action {
            Action::Delay(delay) => self.deadline + *delay,
            _ => self.deadline,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Action {
    ExpectPath(String),
    ExpectHeader(String, String),
    ExpectNoHeader(String),
    ExpectSubprotocol(String),
    RespondHeader(String, String),
    Accept(Option<Message>),
    Reject { status: u16, headers: Vec<(String, String)>, body: String },
    RespondRaw(Bytes),
    Send(Message),
    SendCompressed(Message),
    SendAll(Arc<[Message]>),
    SendRaw(Bytes),
    Ping(Bytes),
    FloodPings(usize),
    Expect(Expected),
    ExpectMany(usize),
    ExpectClose(u16),
    ExpectEnd,
    Delay(Duration),
    AwaitSignal(String),
    Close { code: u16, reason: String },
    Reset,
    HangUp,
    HalfClose,
    Stall,
    Reading(Pace),
    IgnorePings,
    IgnoreClose,
}

impl Action {
    /// Whether the step belongs to the handshake; every other one needs it to be done.
    pub(super) fn is_handshake(&self) -> bool {
        matches!(
            self,
            Self::ExpectPath(_)
                | Self::ExpectHeader(..)
                | Self::ExpectNoHeader(_)
                | Self::ExpectSubprotocol(_)
                | Self::RespondHeader(..)
                | Self::Accept(_)
                | Self::Reject { .. }
                | Self::RespondRaw(_)
        )
    }

    /// Whether the step, when it comes first, happens before the handshake.
    pub(super) fn is_abrupt(&self) -> bool {
        matches!(self, Self::Reset | Self::HangUp | Self::Stall)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expect(expected) => write!(f, "expect {expected}"),
            Self::SendAll(messages) => write!(f, "send {} messages", messages.len()),
            Self::SendRaw(bytes) => write!(f, "send {} raw bytes", bytes.len()),
            Self::RespondRaw(bytes) => write!(f, "respond with {} raw bytes", bytes.len()),
            other => write!(f, "{other:?}"),
        }
    }
}

#[derive(Clone)]
pub(super) enum Expected {
    Exactly(Message),
    Matching(String, Arc<dyn Fn(&Message) -> bool + Send + Sync>),
}

impl Expected {
    pub(super) fn matches(&self, message: &Message) -> bool {
        match self {
            Self::Exactly(expected) => expected == message,
            Self::Matching(_, matches) => matches(message),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(message) => write!(f, "{message:?}"),
            Self::Matching(what, _) => f.write_str(what),
        }
    }
}

impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How fast a connection is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    Full,
    Slow { bytes_per_second: usize },
    Stopped,
}
