//! The URL of a service that we ask.

use std::fmt;

use eventflux_core::{EventFluxError, Properties, redact_url};
use hyper::Uri;
use url::{Host, Url};

/// An `http` or `https` URL that prints redacted.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ServiceUrl {
    uri: Uri,
    shown: String,
    /// Whether anybody on the way could read or change what is said.
    exposed: bool,
}

impl ServiceUrl {
    /// The URL of a property; `None` without one.
    ///
    /// # Errors
    /// When it is no URL, or has credentials or a fragment in it.
    pub(super) fn from_properties(properties: &Properties, key: &str) -> Result<Option<Self>, EventFluxError> {
        let Some(text) = properties.optional_text(key) else {
            return Ok(None);
        };
        let shown = redact_url(text);
        let error = |reason: String| EventFluxError::property(key, format!("'{shown}' {reason}"));
        let url = Url::parse(text).map_err(|reason| error(format!("is no URL: {reason}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(error("has credentials in it".to_owned()).with_hint("they would not be sent; take them out"));
        }
        if url.fragment().is_some() {
            return Err(error("has a fragment (#...)".to_owned()));
        }
        let here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        let uri = url.as_str().parse().map_err(|_| error("is no URL that can be asked".to_owned()))?;
        Ok(Some(Self { uri, exposed: url.scheme() == "http" && !here, shown }))
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Warns of a service without TLS that is not on this machine.
    pub(super) fn warn_if_exposed(&self, key: &str) {
        if self.exposed {
            log::warn!("{key}: {self} is asked without TLS: whoever is on the way can read tokens and let anybody in");
        }
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::testing::properties;
    use crate::properties::access::HTTP_URL;

    fn parse(url: &str) -> Result<Option<ServiceUrl>, EventFluxError> {
        let properties = properties(&[("websocket.auth", "http"), (HTTP_URL.key, url)]).unwrap();
        ServiceUrl::from_properties(&properties, HTTP_URL.key)
    }

    #[test]
    fn a_service_elsewhere_without_tls_is_exposed() {
        for (url, exposed) in [
            ("http://auth.example/", true),
            ("http://192.0.2.1:8000/check?key=hunter2", true),
            ("https://auth.example/", false),
            ("http://localhost:8000/", false),
            ("http://auth.localhost/", false),
            ("http://127.0.0.1/", false),
            ("http://[::1]:8000/", false),
        ] {
            let parsed = parse(url).unwrap().unwrap();
            assert_eq!(parsed.exposed, exposed, "{url}");
            assert!(!format!("{parsed} {parsed:?}").contains("hunter"), "{parsed}");
        }
    }

    #[test]
    fn what_would_not_be_sent_is_refused_and_not_shown() {
        for (url, reason) in [
            ("http://me:hunter2@h/", "has credentials in it"),
            ("http://hunter2@h/", "has credentials in it"),
            ("http://h/#hunter2", "has a fragment"),
            ("http://h:99999/?hunter2", "is no URL"),
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains(reason) && !error.contains("hunter"), "{error}");
        }
    }
}
