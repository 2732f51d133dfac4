//! What a server does not permit.

use std::fmt;

use eventflux_core::escape_control;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Most violations that wait for one who wants to know of them.
pub const MAX_VIOLATIONS: usize = 256;

/// What was not permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// To publish a message; it is gone.
    Publish,
    /// To subscribe; nothing will come.
    Subscribe,
}

/// Something that the server does not permit, as it said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What was not permitted.
    pub operation: Operation,
    /// The subject of which.
    pub subject: String,
}

impl Violation {
    /// Reads what a server says: `Permissions Violation for Publish to "a.b"`, `Permissions Violation for Subscription to
    /// "a.b" using queue "q"`. `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = strip_prefix(text, "permissions violation for ")?;
        let (operation, rest) = match strip_prefix(rest, "publish to ") {
            Some(rest) => (Operation::Publish, rest),
            None => (Operation::Subscribe, strip_prefix(rest, "subscription to ")?),
        };
        let subject = rest.strip_prefix('"')?.split('"').next()?;
        Some(Self { operation, subject: subject.to_owned() })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = match self.operation {
            Operation::Publish => "publish to",
            Operation::Subscribe => "subscribe to",
        };
        write!(f, "the server does not permit to {operation} {}", escape_control(&self.subject))
    }
}

/// Resolves when one is about one of these subjects.
pub(crate) async fn of_subject(mut violations: broadcast::Receiver<Violation>, subjects: &[String]) -> Violation {
    loop {
        match violations.recv().await {
            Ok(violation) if subjects.contains(&violation.subject) => return violation,
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn strip_prefix<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_is_understood() {
        let violation = |operation, subject: &str| Some(Violation { operation, subject: subject.to_owned() });
        for (text, expected) in [
            ("Permissions Violation for Publish to \"a.b\"", violation(Operation::Publish, "a.b")),
            ("permissions violation for subscription to \"a.>\"", violation(Operation::Subscribe, "a.>")),
            ("Permissions Violation for Subscription to \"a\" using queue \"q\"", violation(Operation::Subscribe, "a")),
            ("Permissions Violation", None),
            ("Authorization Violation", None),
            ("Permissions Violation for Publish to a", None),
        ] {
            assert_eq!(Violation::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_subject_cannot_break_lines_of_a_log() {
        let violation = Violation { operation: Operation::Publish, subject: "a\nb".to_owned() };
        assert!(!violation.to_string().contains('\n'));
    }
}
