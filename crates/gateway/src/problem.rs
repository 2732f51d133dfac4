//! What can go wrong between a client and the hub.

use std::time::Duration;

/// Why the hub does not do what a client asks for. The message is for the client: it names no other client, and does
/// not tell whether something the client may not see exists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// As many connections as allowed: of the process, of the address or of the user.
    #[error("Connection limit reached")]
    ConnectionLimit,
    /// A connection of that id exists already.
    #[error("Connection already exists")]
    DuplicateConnection,
    /// There is no connection of that id.
    #[error("Connection not found")]
    ConnectionNotFound,
    /// The client has to authenticate first.
    #[error("Authentication required")]
    AuthenticationRequired,
    /// The client's credentials are not accepted.
    #[error("Authentication failed: {0}")]
    AuthenticationFailed(String),
    /// The client did not authenticate in time.
    #[error("Authentication timeout")]
    AuthenticationTimeout,
    /// The client's credentials are no longer valid.
    #[error("Authentication expired")]
    AuthenticationExpired,
    /// The client may not do this on that channel.
    #[error("Permission denied for '{channel}'")]
    PermissionDenied {
        /// The channel as the client wrote it.
        channel: String,
        /// Who asked, when known.
        user: Option<String>,
    },
    /// The connection has as many subscriptions as allowed.
    #[error("Subscription limit exceeded: at most {limit} per connection")]
    SubscriptionLimitExceeded {
        /// The limit.
        limit: usize,
    },
    /// The channel has as many subscribers as allowed, or there are as many channels as allowed.
    #[error("'{channel}' takes no more subscribers")]
    ChannelFull {
        /// The channel as the client wrote it.
        channel: String,
    },
    /// Too many messages.
    #[error("Rate limit exceeded")]
    RateLimitExceeded {
        /// When the next message is taken.
        retry_after: Duration,
    },
    /// The message is no message of the protocol; with the reason.
    #[error("Invalid message format: {0}")]
    InvalidMessage(String),
    /// The protocol, or the pipeline, knows no messages of this type.
    #[error("Unknown message type")]
    UnknownType(String),
    /// That is no channel name or pattern; with the reason.
    #[error("Invalid channel: {0}")]
    InvalidChannel(String),
    /// That is no filter; with the reason and, for SQL, the column.
    #[error("Invalid filter: {0}")]
    InvalidFilter(String),
    /// There is no such subscription.
    #[error("Not subscribed to '{0}'")]
    NotSubscribed(String),
    /// A request of that correlation id waits for its answer already.
    #[error("A request of this correlation id is pending")]
    DuplicateRequest,
    /// As many requests wait for an answer as allowed.
    #[error("Too many pending requests")]
    Busy,
    /// Nothing answered the request in time; whether it was carried out is not known.
    #[error("No answer in time")]
    RequestTimeout,
    /// The client can do this, but not here; with the reason.
    #[error("{0}")]
    Unsupported(String),
}

impl Problem {
    /// A stable name for programs and metrics, like `rate_limit_exceeded`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ConnectionLimit => "connection_limit",
            Self::DuplicateConnection => "duplicate_connection",
            Self::ConnectionNotFound => "connection_not_found",
            Self::AuthenticationRequired => "authentication_required",
            Self::AuthenticationFailed(_) => "authentication_failed",
            Self::AuthenticationTimeout => "authentication_timeout",
            Self::AuthenticationExpired => "authentication_expired",
            Self::PermissionDenied { .. } => "permission_denied",
            Self::SubscriptionLimitExceeded { .. } => "subscription_limit_exceeded",
            Self::ChannelFull { .. } => "channel_full",
            Self::RateLimitExceeded { .. } => "rate_limit_exceeded",
            Self::InvalidMessage(_) => "invalid_message",
            Self::UnknownType(_) => "unknown_type",
            Self::InvalidChannel(_) => "invalid_channel",
            Self::InvalidFilter(_) => "invalid_filter",
            Self::NotSubscribed(_) => "not_subscribed",
            Self::DuplicateRequest => "duplicate_request",
            Self::Busy => "busy",
            Self::RequestTimeout => "request_timeout",
            Self::Unsupported(_) => "unsupported",
        }
    }

    /// How long the client should wait before it tries again, when that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimitExceeded { retry_after } => Some(*retry_after),
            _ => None,
        }
    }
}
