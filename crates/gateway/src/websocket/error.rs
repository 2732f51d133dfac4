//! What can go wrong, and why connections end.

use std::borrow::Cow;
use std::fmt;

use eventflux_core::escape_control;

use crate::{Ending, Problem};

/// The longest reason of a Close frame, in bytes (RFC 6455 section 5.5: 125, less two of the code).
const MAX_REASON_BYTES: usize = 123;

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WsError {
    /// There are as many connections as allowed, in all or of this address.
    #[error("as many connections as allowed (max_connections, max_connections_per_ip)")]
    ConnectionLimit,
    /// A connection of that id exists already.
    #[error("a connection of this id exists already")]
    DuplicateConnection,
    /// There is no connection of that id, or no longer.
    #[error("no connection of this id, or no longer")]
    ConnectionNotFound,
    /// The connection is closed, and why.
    #[error("the connection is closed: {0}")]
    ConnectionClosed(CloseReason),
    /// The manager takes no more connections in.
    #[error("the manager is shutting down")]
    ShuttingDown,
    /// The client has to authenticate first.
    #[error("the client has to authenticate first")]
    AuthenticationRequired,
    /// The credentials were not accepted; with the reason of the auth handler, which the client is not told.
    #[error("authentication failed: {0}")]
    AuthenticationFailed(String),
    /// The client may not use that channel.
    #[error("permission denied for '{channel}'")]
    PermissionDenied {
        /// The channel.
        channel: String,
        /// Who was denied, when known.
        user: Option<String>,
    },
    /// The connection has as many subscriptions as allowed.
    #[error("as many subscriptions as allowed (max_subscriptions_per_connection)")]
    SubscriptionLimitExceeded,
    /// The channel has as many subscribers as allowed.
    #[error("'{channel}' has as many subscribers as allowed (max_subscribers_per_channel)")]
    ChannelFull {
        /// The channel.
        channel: String,
    },
    /// That is no name of a channel; with the reason.
    #[error("invalid channel: {0}")]
    InvalidChannel(String),
    /// The message cannot be sent like this; with the reason.
    #[error("invalid message: {0}")]
    InvalidMessage(String),
    /// A client's message is too large; the connection is closed.
    #[error("a message of {bytes} bytes, at most {limit} are allowed (max_message_size)")]
    MessageTooLarge {
        /// Its size.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// As many messages of the connection wait as may.
    #[error("{limit} messages of this connection wait already (buffer_size)")]
    BufferFull {
        /// How many may.
        limit: usize,
    },
    /// Anything else that the protocol can refuse.
    #[error("{0}")]
    Refused(Problem),
}

/// Why a connection is closed: what a Close frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseReason {
    code: u16,
    reason: Cow<'static, str>,
}

impl CloseReason {
    /// The connection has served its purpose.
    pub const NORMAL: Self = Self::of(1000, "");
    /// The client sent a message that is no text, and the protocol has none.
    pub const TEXT_ONLY: Self = Self::of(1003, "text messages only");
    /// The client sent a larger message than is allowed.
    pub const TOO_LARGE: Self = Self::of(1009, "message too large");
    /// Nothing was heard of the client for longer than is allowed.
    pub const IDLE: Self = Self::of(1008, "connection timeout");
    /// The client did not answer a ping in time.
    pub const NO_PONG: Self = Self::of(1008, "pong timeout");

    /// A code of RFC 6455 section 7.4 and a reason. What of it a frame has no room for is cut off.
    #[must_use]
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        let mut reason = reason.into();
        if reason.len() > MAX_REASON_BYTES {
            let fits = (0..=MAX_REASON_BYTES).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
            reason = Cow::Owned(reason[..fits].to_owned());
        }
        Self { code, reason }
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The reason; at most 123 bytes.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    const fn of(code: u16, reason: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason) }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.reason {
            "" => write!(f, "{}", self.code),
            reason => write!(f, "{} {}", self.code, escape_control(reason)),
        }
    }
}

impl From<Ending> for CloseReason {
    fn from(ending: Ending) -> Self {
        Self::of(ending.code(), ending.reason())
    }
}

impl From<Problem> for WsError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::ConnectionLimit => Self::ConnectionLimit,
            Problem::DuplicateConnection => Self::DuplicateConnection,
            Problem::ConnectionNotFound => Self::ConnectionNotFound,
            Problem::AuthenticationRequired => Self::AuthenticationRequired,
            Problem::AuthenticationFailed(reason) => Self::AuthenticationFailed(reason),
            Problem::PermissionDenied { channel, user } => Self::PermissionDenied { channel, user },
            Problem::SubscriptionLimitExceeded { .. } => Self::SubscriptionLimitExceeded,
            Problem::ChannelFull { channel } => Self::ChannelFull { channel },
            Problem::InvalidChannel(reason) => Self::InvalidChannel(reason),
            Problem::InvalidMessage(reason) => Self::InvalidMessage(reason),
            other => Self::Refused(other),
        }
    }
}

/// What a client that wants to connect is refused with.
impl From<Ending> for WsError {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Capacity | Ending::AddressLimit | Ending::UserLimit => Self::ConnectionLimit,
            Ending::GoingAway => Self::ShuttingDown,
            ending => Self::ConnectionClosed(ending.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_a_frame_has_no_room_for_is_cut_between_two_characters() {
        let reason = CloseReason::new(4000, "ä".repeat(100));
        assert_eq!(reason.reason(), "ä".repeat(61));
        assert_eq!(CloseReason::new(1000, "bye").to_string(), "1000 bye");
    }

    #[test]
    fn problems_of_the_protocol_are_the_errors_of_the_same_name() {
        let channel = || "a".to_owned();
        for (problem, error) in [
            (Problem::ConnectionLimit, WsError::ConnectionLimit),
            (Problem::DuplicateConnection, WsError::DuplicateConnection),
            (Problem::ConnectionNotFound, WsError::ConnectionNotFound),
            (Problem::AuthenticationFailed("x".to_owned()), WsError::AuthenticationFailed("x".to_owned())),
            (Problem::SubscriptionLimitExceeded { limit: 1 }, WsError::SubscriptionLimitExceeded),
            (
                Problem::PermissionDenied { channel: channel(), user: None },
                WsError::PermissionDenied { channel: channel(), user: None },
            ),
            (Problem::ChannelFull { channel: channel() }, WsError::ChannelFull { channel: channel() }),
            (Problem::Busy, WsError::Refused(Problem::Busy)),
        ] {
            assert_eq!(WsError::from(problem), error);
        }
    }
}
