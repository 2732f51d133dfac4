//! Why credentials are not accepted.

use std::time::Duration;

use crate::Problem;

/// What every client is told whose credentials are wrong, whatever is wrong with them.
const INVALID: &str = "Invalid credentials";

/// Why credentials are not accepted. The text is for logs: it has nothing of the credentials in it. What a client is told
/// is [`Denied::problem`], which does not say what would have been accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// There are none.
    #[error("no credentials")]
    Missing,
    /// Nobody has this token, or this name and password; or the service that was asked says no.
    #[error("unknown token, user or password")]
    Unknown,
    /// They are no credentials of the kind that is accepted here.
    #[error("malformed credentials")]
    Malformed,
    /// They are no longer valid.
    #[error("expired")]
    Expired,
    /// They are not valid yet.
    #[error("not valid yet (nbf)")]
    NotYet,
    /// They are not signed by whom they should be.
    #[error("wrong signature")]
    Signature,
    /// They are signed in a way that is not accepted.
    #[error("signed with an algorithm that is not accepted here")]
    Algorithm,
    /// They are signed with a key that is not known.
    #[error("signed with an unknown key (kid)")]
    Key,
    /// They say something wrong, or do not say what they must; with the claim.
    #[error("claim '{0}' is missing, malformed or not for this place")]
    Claim(&'static str),
    /// They would give rights that a name like this must not have in one of the configured patterns.
    #[error("the name of the user cannot be put into the patterns of its grants")]
    UserName,
    /// They are another user's than those the session began with.
    #[error("the credentials are another user's than those before")]
    OtherUser,
    /// Whether they are valid cannot be found out now.
    #[error("the service that knows cannot be asked")]
    Unavailable,
    /// Too many failures from this address.
    #[error("too many failures from this address")]
    LockedOut {
        /// When the next attempt is looked at.
        retry_after: Duration,
    },
}

impl Denied {
    /// A stable name for metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unknown => "unknown",
            Self::Malformed => "malformed",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Signature => "signature",
            Self::Algorithm => "algorithm",
            Self::Key => "key",
            Self::Claim(_) => "claims",
            Self::UserName => "user_name",
            Self::OtherUser => "other_user",
            Self::Unavailable => "unavailable",
            Self::LockedOut { .. } => "locked_out",
        }
    }

    /// What the client is told.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Missing => Problem::AuthenticationRequired,
            Self::Unavailable => Problem::AuthenticationFailed("Temporarily unavailable".to_owned()),
            Self::LockedOut { .. } => Problem::AuthenticationFailed("Too many attempts".to_owned()),
            _ => Problem::AuthenticationFailed(INVALID.to_owned()),
        }
    }

    /// The HTTP status that says so before an upgrade: 401, 429 or 503.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Unavailable => 503,
            Self::LockedOut { .. } => 429,
            _ => 401,
        }
    }

    /// Whether it counts as an attempt to guess: neither silence nor our own trouble does.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Missing | Self::Unavailable | Self::LockedOut { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKED: Denied = Denied::LockedOut { retry_after: Duration::from_secs(1) };

    #[test]
    fn a_client_is_told_the_same_whatever_is_wrong_with_its_credentials() {
        use Denied::*;
        for denied in
            [Unknown, Malformed, Expired, NotYet, Signature, Algorithm, Key, Claim("sub"), UserName, OtherUser]
        {
            let told = denied.problem();
            assert_eq!(told, Problem::AuthenticationFailed("Invalid credentials".to_owned()), "{denied:?}");
            assert_eq!((denied.status(), denied.is_failure()), (401, true), "{denied:?}");
        }
    }

    #[test]
    fn silence_and_our_own_trouble_are_no_failures_of_the_client() {
        for (denied, status) in [(Denied::Missing, 401), (Denied::Unavailable, 503), (LOCKED, 429)] {
            assert_eq!((denied.status(), denied.is_failure()), (status, false), "{denied:?}");
        }
        assert_eq!(Denied::Missing.problem(), Problem::AuthenticationRequired);
    }
}
