//! What can be asked of a request's head, whatever the request is for.

use std::fmt;

use tungstenite::http::{HeaderMap, Uri};

use super::head::{list_items, values};

/// Target and headers of a request that has one host and one origin at most. Its `Debug` shows no query and no value of a
/// header.
pub struct RequestHead {
    pub(super) target: Uri,
    pub(super) headers: HeaderMap,
    pub(super) host: String,
}

impl RequestHead {
    /// The path as it was sent, percent-encoded, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.path()
    }

    /// The query without its question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target.query()
    }

    /// The host the client means, with its port if it was given: from a target in absolute form, else from `Host`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The page that asks, when a browser does (RFC 6454); visible ASCII.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.headers.get("origin").and_then(|origin| origin.to_str().ok())
    }

    /// All values of a header, in order, without spaces around them. The case of `name` makes no difference.
    pub fn header<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        values(&self.headers, name)
    }

    /// The offered subprotocols in the client's order of preference.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        let offered = list_items(values(&self.headers, "sec-websocket-protocol"));
        offered.filter_map(|name| std::str::from_utf8(name).ok())
    }

    /// The first of `supported` that the client offers.
    #[must_use]
    pub fn choose_subprotocol<'a>(&self, supported: &'a [String]) -> Option<&'a str> {
        supported.iter().map(String::as_str).find(|name| self.subprotocols().any(|offer| offer == *name))
    }
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.keys().collect();
        f.debug_struct("RequestHead").field("path", &self.path()).field("headers", &names).finish_non_exhaustive()
    }
}
