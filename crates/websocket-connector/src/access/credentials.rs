//! Where clients put their credentials.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eventflux_core::Secret;
use eventflux_websocket_wire::handshake::RequestHead;
use percent_encoding::percent_decode_str;

/// The subprotocol that says that the next one is a token: `new WebSocket(url, ["bearer", token])`. It is also the answer,
/// because browsers insist on one, and the token itself must not be in it.
pub(super) const BEARER: &str = "bearer";

/// What a client shows to prove who it is. The debug form shows neither token nor password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// Nothing.
    None,
    /// A token.
    Token(Secret),
    /// A name and a password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// Something, but none of these, or too many.
    Malformed,
}

impl Credentials {
    /// From the `Authorization` header (RFC 6750, RFC 7617).
    pub(super) fn of_header(request: &RequestHead) -> Self {
        let mut values = request.header("authorization");
        let value = match (values.next(), values.next()) {
            (None, _) => return Self::None,
            (Some(value), None) => std::str::from_utf8(value).unwrap_or_default(),
            (Some(_), Some(_)) => return Self::Malformed,
        };
        match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Self::token(token.trim()),
            Some((scheme, encoded)) if scheme.eq_ignore_ascii_case("basic") => {
                basic(encoded.trim()).unwrap_or(Self::Malformed)
            }
            _ => Self::Malformed,
        }
    }

    /// From the offered subprotocols: the one behind [`BEARER`].
    pub(super) fn of_subprotocols(request: &RequestHead) -> Self {
        let mut offered = request.subprotocols().skip_while(|name| *name != BEARER);
        match (offered.next(), offered.next()) {
            (None, _) => Self::None,
            (Some(_), token) => Self::token(token.unwrap_or_default()),
        }
    }

    /// From the query parameter of that name.
    pub(super) fn of_query(request: &RequestHead, name: &str) -> Self {
        let pairs = request.query().unwrap_or_default().split('&');
        let mut values = pairs.filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            percent_decode_str(key).eq(name.bytes()).then_some(value)
        });
        match (values.next(), values.next()) {
            // What pages of users without a token tend to send.
            (None | Some(""), None) => Self::None,
            // A plus sign stays one: tokens have no spaces.
            (Some(value), None) => {
                percent_decode_str(value).decode_utf8().map_or(Self::Malformed, |text| Self::token(&text))
            }
            (_, Some(_)) => Self::Malformed,
        }
    }

    /// These, or else others.
    pub(super) fn or_else(self, others: impl FnOnce() -> Self) -> Self {
        if self == Self::None { others() } else { self }
    }

    fn token(text: &str) -> Self {
        if text.is_empty() { Self::Malformed } else { Self::Token(Secret::new(text)) }
    }
}

fn basic(encoded: &str) -> Option<Credentials> {
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Credentials::Basic { user: user.to_owned(), password: Secret::new(password) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::testing::request;

    fn token(text: &str) -> Credentials {
        Credentials::Token(Secret::new(text))
    }

    #[test]
    fn a_header_has_a_token_or_a_password() {
        for (header, expected) in [
            ("", Credentials::None),
            ("Authorization: Bearer abc123\r\n", token("abc123")),
            ("authorization: bearer  abc123 \r\n", token("abc123")),
            (
                "Authorization: Basic QWxhZGRpbjpvcGVuOnNlc2FtZQ==\r\n",
                Credentials::Basic { user: "Aladdin".to_owned(), password: Secret::new("open:sesame") },
            ),
            ("Authorization: Basic QWxhZGRpbg==\r\n", Credentials::Malformed),
            ("Authorization: Basic hunter2!\r\n", Credentials::Malformed),
            ("Authorization: Basic /w==\r\n", Credentials::Malformed),
            ("Authorization: Bearer\r\n", Credentials::Malformed),
            ("Authorization: Bearer  \r\n", Credentials::Malformed),
            ("Authorization: abc123\r\n", Credentials::Malformed),
            ("Authorization: Digest abc123\r\n", Credentials::Malformed),
            ("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n", Credentials::Malformed),
        ] {
            assert_eq!(Credentials::of_header(&request("/", header)), expected, "{header}");
        }
    }

    #[test]
    fn the_subprotocol_behind_bearer_is_a_token() {
        for (offered, expected) in [
            ("", Credentials::None),
            ("Sec-WebSocket-Protocol: v1, v2\r\n", Credentials::None),
            ("Sec-WebSocket-Protocol: bearer, abc.d-e_f\r\n", token("abc.d-e_f")),
            ("Sec-WebSocket-Protocol: v1, bearer, abc, v2\r\n", token("abc")),
            ("Sec-WebSocket-Protocol: bearer\r\nSec-WebSocket-Protocol: abc\r\n", token("abc")),
            ("Sec-WebSocket-Protocol: bearer\r\n", Credentials::Malformed),
            ("Sec-WebSocket-Protocol: Bearer, abc\r\n", Credentials::None),
        ] {
            assert_eq!(Credentials::of_subprotocols(&request("/", offered)), expected, "{offered}");
        }
    }

    #[test]
    fn the_query_has_one_token_percent_encoded() {
        for (target, expected) in [
            ("/", Credentials::None),
            ("/?other=1", Credentials::None),
            ("/?token=", Credentials::None),
            ("/?token", Credentials::None),
            ("/?a=1&token=abc123&b", token("abc123")),
            ("/?token=a%2Fb%3D%3d", token("a/b==")),
            ("/?token=a+b=", token("a+b=")),
            ("/?t%6Fken=abc", token("abc")),
            ("/?Token=abc", Credentials::None),
            ("/?token=a&token=b", Credentials::Malformed),
            ("/?token=&token=b", Credentials::Malformed),
            ("/?token=%FF", Credentials::Malformed),
        ] {
            assert_eq!(Credentials::of_query(&request(target, ""), "token"), expected, "{target}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        let basic = Credentials::Basic { user: "ann".to_owned(), password: Secret::new("hunter2") };
        assert!(!format!("{basic:?} {:?}", token("hunter2")).contains("hunter"));
    }
}
