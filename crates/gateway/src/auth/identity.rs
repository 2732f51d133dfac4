//! What credentials turn out to stand for.

use std::sync::Arc;
use std::time::SystemTime;

use super::{Denied, Grants};

/// The longest name of a user, in bytes.
pub const MAX_USER_BYTES: usize = 256;

/// Who a client is, what it may do, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `None`: nobody in particular.
    pub user: Option<Arc<str>>,
    /// What it may do.
    pub grants: Arc<Grants>,
    /// When the credentials are no longer valid; `None`: they stay valid.
    pub expires: Option<SystemTime>,
}

impl Identity {
    /// Nobody in particular, for as long as the session lasts.
    #[must_use]
    pub fn anonymous(grants: Arc<Grants>) -> Self {
        Self { user: None, grants, expires: None }
    }

    /// Whether the credentials are no longer valid.
    #[must_use]
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// The identity of the session from now on, when its client shows new credentials.
    ///
    /// # Errors
    /// [`Denied::OtherUser`] when they are another user's.
    pub fn renewed(&self, new: Self) -> Result<Self, Denied> {
        if self.user == new.user { Ok(new) } else { Err(Denied::OtherUser) }
    }
}

/// Whether that can be the name of a user: 1 to [`MAX_USER_BYTES`] bytes without control characters, which would be a
/// nuisance in logs.
#[must_use]
pub fn check_user(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_USER_BYTES && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOON: SystemTime = SystemTime::UNIX_EPOCH;

    fn identity(user: &str, expires: Option<SystemTime>) -> Identity {
        Identity { user: Some(user.into()), grants: Arc::default(), expires }
    }

    #[test]
    fn an_identity_ends_when_its_credentials_do() {
        let ends = identity("ann", Some(NOON + Duration::from_secs(1)));
        assert!(!ends.is_expired(NOON) && ends.is_expired(NOON + Duration::from_secs(1)));
        assert!(!identity("ann", None).is_expired(NOON + Duration::from_secs(u32::MAX.into())));
    }

    #[test]
    fn new_credentials_must_be_the_same_users() {
        let later = identity("ann", Some(NOON));
        assert_eq!(identity("ann", None).renewed(later.clone()), Ok(later));
        assert_eq!(identity("ann", None).renewed(identity("bob", None)), Err(Denied::OtherUser));
        assert_eq!(identity("ann", None).renewed(Identity::anonymous(Arc::default())), Err(Denied::OtherUser));
    }

    #[test]
    fn a_name_that_would_break_a_log_is_none() {
        let longest = "x".repeat(MAX_USER_BYTES);
        assert!(check_user("ann@example.com") && check_user("Ann Müller") && check_user(&longest));
        for name in ["", "a\nb", "\u{1b}[31m", &format!("{longest}x")] {
            assert!(!check_user(name), "{name:?}");
        }
    }
}
