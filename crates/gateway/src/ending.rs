//! Why the hub ends a connection, and what the client is told.

/// Why a connection ends from our side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The hub stops.
    GoingAway,
    /// The client did not authenticate in time.
    AuthenticationTimeout,
    /// The client's credentials were not accepted.
    AuthenticationFailed,
    /// The client's credentials are no longer valid.
    AuthenticationExpired,
    /// The page that opened the connection is not allowed to.
    Origin,
    /// As many connections as allowed.
    Capacity,
    /// As many connections of the client's address as allowed.
    AddressLimit,
    /// The user has as many connections as allowed.
    UserLimit,
    /// The client went on sending too much.
    Flood,
    /// The client reads too slowly.
    TooSlow,
    /// The client sent a binary message, and the protocol has none.
    Binary,
}

impl Ending {
    /// The close code (RFC 6455 section 7.4, and the registry of RFC 6455 section 11.7): 1001 and 1013 invite the
    /// client to come back, 1008 does not.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::Capacity | Self::AddressLimit => 1013,
            Self::Binary => 1003,
            _ => 1008,
        }
    }

    /// The reason that goes with the code; a stable text.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::GoingAway => "going away",
            Self::AuthenticationTimeout => "authentication timeout",
            Self::AuthenticationFailed => "authentication failed",
            Self::AuthenticationExpired => "authentication expired",
            Self::Origin => "origin not allowed",
            Self::Capacity => "server at capacity",
            Self::AddressLimit => "too many connections from this address",
            Self::UserLimit => "too many connections of this user",
            Self::Flood => "too many messages",
            Self::TooSlow => "too slow",
            Self::Binary => "text messages only",
        }
    }
}
