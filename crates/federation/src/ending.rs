//! Why a link ends by our will.

/// A close code (RFC 6455 section 7.4) and a text for the peer; nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Ending {
    /// The close code: 1001, 1012 and 1013 invite the peer to come back.
    pub code: u16,
    /// What is wrong.
    pub reason: String,
}

impl Ending {
    /// The peer did what the protocol does not allow.
    pub(crate) fn violation(reason: impl Into<String>) -> Self {
        Self { code: 1002, reason: reason.into() }
    }

    /// The peer asks for more than it may have.
    pub(crate) fn policy(reason: impl Into<String>) -> Self {
        Self { code: 1008, reason: reason.into() }
    }

    /// The peer is to come back and go on where it was.
    pub(crate) fn again(reason: impl Into<String>) -> Self {
        Self { code: 1012, reason: reason.into() }
    }
}
