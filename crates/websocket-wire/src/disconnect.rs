//! How a connection ended.

/// How a connection ended. A clean end is none of our errors, and a caller can tell them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disconnect {
    /// The peer said goodbye.
    Closed {
        /// Its close code (RFC 6455 section 7.4); none when its Close frame was empty.
        code: Option<u16>,
        /// Its reason, as it came; [`Disconnect::describe`] escapes it.
        reason: String,
    },
    /// The stream ended or failed without a goodbye.
    Lost(String),
    /// The peer broke the protocol or a limit.
    Violation {
        /// The code to close with.
        code: u16,
        /// What it did.
        reason: String,
    },
}

impl Disconnect {
    /// The reason in words, safe to log: what the peer wrote is escaped.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Closed { code: None, .. } => "closed by the peer without a code".to_owned(),
            Self::Closed { code: Some(code), reason } if reason.is_empty() => format!("closed by the peer with {code}"),
            Self::Closed { code: Some(code), reason } => {
                format!("closed by the peer with {code} '{}'", reason.escape_debug())
            }
            Self::Lost(reason) => reason.clone(),
            Self::Violation { code, reason } => format!("{reason} (closing with {code})"),
        }
    }

    pub(crate) fn violation(code: u16, reason: impl Into<String>) -> Self {
        Self::Violation { code, reason: reason.into() }
    }
}
