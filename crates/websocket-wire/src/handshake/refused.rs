//! A response that is not an upgrade, in a form that can be logged.

use std::fmt;
use std::time::Duration;

use eventflux_core::redact_url;
use tungstenite::handshake::client::Response;
use tungstenite::http::{HeaderMap, StatusCode};

use super::client::ClientRequest;
use super::head::values;
use super::response::shown;
use super::secrets::Secrets;

/// The longest wait a server can ask for: a larger number is none that anybody wants to wait for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// An HTTP response other than an upgrade. Its `Debug` and `Display` show no header: its name can repeat a secret as well
/// as its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Refused {
    /// The status code.
    pub status: u16,
    /// Names, in small letters, and values as they came, cookies included: for programs, never for a log.
    pub headers: Vec<(String, String)>,
    /// Where a redirect points, redacted; it is not followed, so that no credentials go there.
    pub location: Option<String>,
    /// How long the server asks to stay away, if it says so in seconds; at most a day.
    pub retry_after: Option<Duration>,
    /// At most 4 KiB of the body if it is text or JSON, without what the request kept secret; else empty.
    pub body: String,
}

impl Refused {
    pub(super) fn new(response: &Response, body: &str, request: &ClientRequest<'_>) -> Self {
        let secrets = Secrets::of(request);
        let headers = response.headers();
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let location = values(headers, "location").next();
        Self {
            status: response.status().as_u16(),
            headers: headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
            location: location.map(|location| secrets.mask(&redact_url(&text(location)))),
            retry_after: retry_after(headers),
            body: secrets.mask(body),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused with {}", self.status)?;
        // The name is ours: a server writes there what it likes.
        let name = StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        if let Some(name) = name {
            write!(f, " {name}")?;
        }
        if let Some(wait) = self.retry_after {
            write!(f, " (retry after {}s)", wait.as_secs())?;
        }
        match &self.location {
            Some(location) => write!(f, ", pointing to {} (redirects are not followed)", shown(location)),
            None if self.body.trim().is_empty() => Ok(()),
            None => write!(f, ": '{}'", shown(self.body.trim())),
        }
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused")
            .field("status", &self.status)
            .field("headers", &self.headers.len())
            .field("location", &self.location)
            .field("retry_after", &self.retry_after)
            .field("body", &self.body)
            .finish()
    }
}

/// The seconds of a `Retry-After` header (RFC 9110 section 10.2.3). Its other form, a date, says little without the
/// server's clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let digits = values(headers, "retry-after").next()?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = std::str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX);
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use eventflux_core::Secret;
    use url::Url;

    use super::super::response::parse;
    use super::*;

    fn refused(status: &str, headers: &str, body: &str) -> Refused {
        let response = parse(format!("HTTP/1.1 {status}\r\n{headers}\r\n").as_bytes()).unwrap();
        let secrets = [("Authorization".to_owned(), Secret::new("Bearer hunter2"))];
        let url = Url::parse("ws://h/p?token=hunter3").unwrap();
        let request = ClientRequest { url: &url, headers: &secrets, subprotocols: &[], deflate: None };
        Refused::new(&response, body, &request)
    }

    #[test]
    fn the_text_has_the_status_its_name_and_the_reason() {
        for (refused, expected) in [
            (refused("401 hunter9", "", ""), "refused with 401 Unauthorized"),
            (refused("403 x", "", " no\nentry \n"), "refused with 403 Forbidden: 'no\\nentry'"),
            (refused("520 x", "", ""), "refused with 520"),
            (refused("503 x", "Retry-After: 30\r\n", ""), "refused with 503 Service Unavailable (retry after 30s)"),
            (
                refused("302 x", "Location: https://h/x?token=abc\r\n", "moved"),
                "refused with 302 Found, pointing to https://h/x?*** (redirects are not followed)",
            ),
        ] {
            assert_eq!(refused.to_string(), expected);
        }
    }

    #[test]
    fn nothing_secret_is_shown_whether_the_servers_or_ours() {
        let headers = "Set-Cookie: session=hunter4\r\nWWW-Authenticate: Basic realm=hunter5\r\nX-Hunter2: hunter2\r\n\
            Location: https://user:hunter6@h/hunter2/x?t=hunter7#hunter8\r\n";
        let refused = refused("401 hunter9", headers, "your token is Bearer hunter2, or hunter3");
        let shown = format!("{refused} {refused:?} {refused:#?}");
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(shown.contains("headers: 4") && shown.contains("https://***@h/***/x?***"), "{shown}");
        assert!(refused.headers.contains(&("set-cookie".to_owned(), "session=hunter4".to_owned())));
    }

    #[test]
    fn long_texts_are_cut_where_they_are_shown() {
        let refused = refused("500 x", "", &"x".repeat(4096));
        assert_eq!(refused.body.len(), 4096);
        assert!(refused.to_string().len() < 300);
    }

    #[test]
    fn the_wait_a_server_asks_for_is_bounded() {
        for (value, expected) in [
            ("120", Some(120)),
            ("0", Some(0)),
            ("99999999999999999999999", Some(86_400)),
            ("18446744073709551615", Some(86_400)),
            ("-1", None),
            ("+1", None),
            ("", None),
            ("Fri, 31 Dec 1999 23:59:59 GMT", None),
        ] {
            let refused = refused("503 x", &format!("Retry-After: {value}\r\n"), "");
            assert_eq!(refused.retry_after, expected.map(Duration::from_secs), "{value}");
        }
    }
}
