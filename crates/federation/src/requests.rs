//! Requests to peers and replies to theirs, as the rest of the program sees them. The links carry them out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::Federation;
use crate::envelope::check_json;
use crate::link::{Answer, Asking, Handle, Mailbox, NoRoom};

/// Bytes of the name of a method.
pub const MAX_METHOD_BYTES: usize = 128;

/// The longest that a reply can be awaited.
pub const MAX_REQUEST_TIMEOUT: Duration = Duration::from_secs(24 * 3_600);

/// Whom to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To<'a> {
    /// The peer of every connection.
    All,
    /// The peer of the connection of that name.
    Connection(&'a str),
}

/// Gets each reply, on the thread of the connection's driver: it must not block, and must not call [`Federation`].
pub type Then = Arc<dyn Fn(Reply) + Send + Sync>;

/// A question to peers.
#[derive(Clone)]
pub struct Request {
    /// What is asked for.
    pub method: String,
    /// A JSON object; nothing counts as an empty one.
    pub params: Bytes,
    /// How long a reply is awaited; [`FederationConfig::request_timeout`](crate::FederationConfig::request_timeout) where
    /// it is not said.
    pub timeout: Option<Duration>,
    /// Comes back with each reply; the peer does not see it.
    pub correlation: Option<Arc<str>>,
    /// Called once for each peer that was asked, whatever becomes of it.
    pub then: Then,
}

/// What became of a request to one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The connection's name.
    pub connection: Arc<str>,
    /// The request's id on that connection.
    pub id: String,
    /// What was asked for.
    pub method: String,
    /// What the request brought with it.
    pub correlation: Option<Arc<str>>,
    /// The payload of the reply as it was received, JSON; or why there is none.
    pub outcome: Result<Bytes, Failure>,
    /// What the reply says of itself: `ok`, `error`, or `other` for anything else; [`Failure::label`] where there is none.
    pub status: &'static str,
    /// Since the request was sent.
    pub duration: Duration,
}

/// Why there is no reply. The peer may have done what it was asked in all cases but [`Failure::Busy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Failure {
    /// It did not come in time.
    #[error("no reply in time: whether the peer has carried the request out is not known")]
    Timeout,
    /// The connection ended.
    #[error("the connection ended before a reply came: whether the peer has carried the request out is not known")]
    Disconnected,
    /// Too many requests are under way on the connection; this one was not sent.
    #[error("too many requests are under way on the connection: this one was not sent")]
    Busy,
}

impl Failure {
    /// What a counter and a status call it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Disconnected => "disconnected",
            Self::Busy => "busy",
        }
    }
}

/// Why a request is not sent to anybody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Nobody is connected.
    #[error("no peer is connected")]
    NotConnected,
    /// There is no connection of that name.
    #[error("there is no connection '{0}'")]
    NoSuchConnection(String),
    /// As many requests as allowed are under way on every connection that is meant.
    #[error("as many requests are under way as a connection may have; try again when replies have come")]
    Busy,
    /// Requests are switched off here.
    #[error("requests are switched off at this end")]
    Disabled,
    /// It is no request; with the reason.
    #[error("{0}")]
    Invalid(String),
}

/// How a request of a peer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It was carried out: the payload is its result.
    Ok,
    /// It was not: the payload is an object with `code` and `message`, or a text, which becomes the message.
    Error,
}

/// Why a reply goes to nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// There is no such request any more: it has been answered, it was not answered in time, or its connection ended.
    #[error("no request '{0}' waits for a reply: it has been answered, the time is over, or its connection has ended")]
    NoSuchRequest(String),
    /// The payload is not JSON, or too long; with the reason. The request still waits.
    #[error("the payload of a reply is none: {0}")]
    Invalid(String),
}

impl Federation {
    /// Asks peers. Returns how many: [`Request::then`] is called as often, from the threads of their connections; for
    /// those that have too many requests under way it is called with [`Failure::Busy`] before this returns.
    ///
    /// # Errors
    /// When nobody is asked; [`Request::then`] is not called then.
    pub fn request(&self, to: To<'_>, request: Request) -> Result<usize, RequestError> {
        if !self.config().control {
            return Err(RequestError::Disabled);
        }
        let request = checked(request, self.config().max_request_bytes())?;
        let (mut asked, mut busy) = (0, Vec::new());
        for mailbox in self.addressed(to)? {
            match mailbox.ask(self.config().max_requests, || Asking::new(request.clone())) {
                Ok(()) => asked += 1,
                Err(NoRoom::Busy) => busy.push(mailbox),
                // The connection has just ended.
                Err(NoRoom::Closed) => {}
            }
        }
        match (asked, busy.is_empty()) {
            (0, true) => Err(RequestError::NotConnected),
            (0, false) => Err(RequestError::Busy),
            _ => {
                let count = asked + busy.len();
                busy.iter().for_each(|mailbox| Asking::new(request.clone()).fail(mailbox.connection(), Failure::Busy));
                Ok(count)
            }
        }
    }

    /// Answers a request that was passed on to the pipeline with this handle
    /// ([`RequestDetails::handle`](crate::RequestDetails::handle)).
    ///
    /// # Errors
    /// When nothing is sent, with the reason.
    pub fn reply(&self, handle: &str, status: Status, payload: &Bytes) -> Result<(), ReplyError> {
        let max_bytes = self.config().max_request_bytes();
        if payload.len() > max_bytes {
            return Err(ReplyError::Invalid(format!("it has {} bytes, {max_bytes} are allowed", payload.len())));
        }
        check_json(payload).map_err(|reason| ReplyError::Invalid(format!("it has to be JSON: {reason}")))?;
        let no_such_request = || ReplyError::NoSuchRequest(handle.to_owned());
        let parsed = Handle::parse(handle).filter(|parsed| parsed.place == self.nonce()).ok_or_else(no_such_request)?;
        let mailbox = self.mailbox(parsed.link).ok_or_else(no_such_request)?;
        let answer = Answer { number: parsed.number, status, payload: payload.clone() };
        if mailbox.answer(answer) { Ok(()) } else { Err(no_such_request()) }
    }

    /// The connections that are meant.
    fn addressed(&self, to: To<'_>) -> Result<Vec<Arc<Mailbox>>, RequestError> {
        let mut mailboxes = self.mailboxes();
        if let To::Connection(name) = to {
            mailboxes.retain(|mailbox| **mailbox.connection() == *name);
        }
        match (mailboxes.is_empty(), to) {
            (false, _) => Ok(mailboxes),
            (true, To::All) => Err(RequestError::NotConnected),
            (true, To::Connection(name)) => Err(RequestError::NoSuchConnection(name.to_owned())),
        }
    }
}

/// A request that a link can send as it is.
fn checked(mut request: Request, max_bytes: usize) -> Result<Request, RequestError> {
    let bytes = request.method.len();
    if !(1..=MAX_METHOD_BYTES).contains(&bytes) {
        return Err(RequestError::Invalid(format!(
            "a method has a name of 1 to {MAX_METHOD_BYTES} bytes, not of {bytes}"
        )));
    }
    let method = request.method.escape_debug().to_string();
    let invalid = |reason: String| Err(RequestError::Invalid(format!("request '{method}': {reason}")));
    if request.timeout.is_some_and(|timeout| timeout > MAX_REQUEST_TIMEOUT) {
        return invalid(format!("a reply can be awaited for at most {} seconds", MAX_REQUEST_TIMEOUT.as_secs()));
    }
    if request.params.is_empty() {
        request.params = Bytes::from_static(b"{}");
    }
    if request.params.len() > max_bytes {
        return invalid(format!("its params have {} bytes, {max_bytes} are allowed", request.params.len()));
    }
    if let Err(reason) = check_json(&request.params) {
        return invalid(format!("its params are not JSON: {reason}"));
    }
    if !request.params.trim_ascii_start().starts_with(b"{") {
        return invalid("its params have to be a JSON object".to_owned());
    }
    Ok(request)
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What the params of an 'authenticate' say is secret.
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("params", &format_args!("{} bytes", self.params.len()))
            .field("timeout", &self.timeout)
            .field("correlation", &self.correlation)
            .finish_non_exhaustive()
    }
}
