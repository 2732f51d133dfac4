//! What a path serves over plain HTTP.

use eventflux_core::{EventFluxError, Properties};

use crate::properties::http::{PUBLISH, SSE};

/// What a path serves over plain HTTP. Everybody at the path must say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HttpConfig {
    /// Server-sent events.
    pub(super) sse: bool,
    /// Messages by `POST`.
    pub(super) publish: bool,
}

impl HttpConfig {
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub(in crate::server) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        Ok(Self { sse: properties.flag(SSE.key)?, publish: properties.flag(PUBLISH.key)? })
    }

    /// The property in which `other` differs, if any.
    pub(in crate::server) fn difference(&self, other: &Self) -> Option<&'static str> {
        let differs = [(SSE.key, self.sse != other.sse), (PUBLISH.key, self.publish != other.publish)];
        differs.into_iter().find_map(|(key, differs)| differs.then_some(key))
    }

    /// The methods that are served, for `Allow`.
    pub(super) fn methods(&self) -> String {
        let served = [("GET", self.sse), ("POST", self.publish), ("OPTIONS", self.sse || self.publish)];
        served.into_iter().filter_map(|(method, served)| served.then_some(method)).collect::<Vec<_>>().join(", ")
    }

    /// Whether anything is served.
    pub(super) fn is_on(&self) -> bool {
        self.sse || self.publish
    }
}
