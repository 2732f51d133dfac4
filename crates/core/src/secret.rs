//! Values that must not be seen.

use std::fmt;

/// Text that prints as `***`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself; for the wire only, never for a message.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The URL without what may be secret in it: user information, query and fragment.
///
/// `wss://user:pw@host/path?token=x` becomes `wss://***@host/path?***`. Text that is no URL is cut the same way.
pub fn redact_url(url: &str) -> String {
    let without_fragment = url.split('#').next().unwrap_or_default();
    let (location, query) = match without_fragment.split_once('?') {
        Some((location, _)) => (location, "?***"),
        None => (without_fragment, ""),
    };
    let (scheme, rest) = match location.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), location),
    };
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => format!("***@{host}"),
        None if has_bad_port(authority) => return format!("{scheme}***"),
        None => authority.to_owned(),
    };
    format!("{scheme}{authority}{path}{query}")
}

/// Whether something that is no port stands where one should: then it may be a password that `/`, `?` or `#` cut short.
fn has_bad_port(authority: &str) -> bool {
    let behind_address = authority.rsplit_once(']').map_or(authority, |(_, port)| port);
    behind_address.split_once(':').is_some_and(|(_, port)| !port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redacted_url_tells_the_place_and_nothing_secret() {
        for (url, shown) in [
            ("wss://user:pw@host:1/a/b?token=x#y", "wss://***@host:1/a/b?***"),
            ("ws://host/a", "ws://host/a"),
            ("ws://host?x=1@2/3", "ws://host?***"),
            ("ws://a@b@host/p@q", "ws://***@host/p@q"),
            ("token@nonsense", "***@nonsense"),
            ("wss://[::1]:9443/ws/btcusdt@trade", "wss://[::1]:9443/ws/btcusdt@trade"),
            ("http://user:pa/ss@host", "http://***"),
            ("http://user:p?w@host", "http://***"),
        ] {
            assert_eq!(redact_url(url), shown);
        }
    }

    #[test]
    fn a_secret_prints_as_stars() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.expose(), "hunter2");
    }
}
