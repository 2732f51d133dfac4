//! Why an attempt to connect failed, and what that means.

use std::time::Duration;

use eventflux_core::EventFluxError;
use eventflux_websocket_wire::handshake::HandshakeError;

use crate::config::TargetUrl;
use crate::net::dial_error::DialError;
use crate::net::tls_client::TlsError;

/// An attempt that brought no connection.
///
/// The connector itself tries again whatever the reason, within `websocket.reconnect.max.attempts`: whoever runs the
/// peer may mend it. [`ConnectError::is_retryable`] is for those who decide after that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The connect timeout passed.
    #[error("no connection within {}ms", .0.as_millis())]
    Timeout(Duration),
    /// No TCP connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// No TLS session.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No WebSocket handshake.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The server chose no subprotocol, and one is required.
    #[error("the server chose none of the subprotocols (websocket.subprotocol.required)")]
    NoSubprotocol,
}

impl ConnectError {
    /// Whether a later attempt may succeed without a change of configuration. Refusals count by status: 401 and 403 may
    /// pass (tokens are renewed, permissions are granted), as may 408, 425, 429 and 5xx; redirects and other 4xx do not.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout(_) => true,
            Self::Dial(error) => error.is_retryable(),
            Self::Tls(error) => error.is_retryable(),
            Self::Handshake(HandshakeError::Io(_)) => true,
            Self::Handshake(HandshakeError::Refused(refused)) => {
                matches!(refused.status, 401 | 403 | 408 | 425 | 429 | 500..)
            }
            Self::Handshake(HandshakeError::Invalid(_) | HandshakeError::Denied(_)) | Self::NoSubprotocol => false,
        }
    }

    /// The error as the engine sees it.
    pub(crate) fn at(&self, endpoint: &TargetUrl) -> EventFluxError {
        EventFluxError::ConnectionUnavailable {
            endpoint: endpoint.to_string(),
            reason: self.to_string(),
            retryable: self.is_retryable(),
        }
    }
}

#[cfg(test)]
mod tests {
    use eventflux_websocket_wire::handshake::Refused;

    use super::*;

    fn refused(status: u16) -> HandshakeError {
        let (headers, body) = (Vec::new(), String::new());
        HandshakeError::Refused(Box::new(Refused { status, headers, location: None, retry_after: None, body }))
    }

    #[test]
    fn what_a_caller_may_retry_follows_the_status() {
        for (status, retryable) in [(301, false), (400, false), (401, true), (403, true), (404, false), (503, true)] {
            let error = ConnectError::from(refused(status));
            assert_eq!(error.is_retryable(), retryable, "{status}");
        }
        let untrusted = ConnectError::Tls(TlsError::ServerCertificate("self-signed certificate".into()));
        assert!(!untrusted.is_retryable());
    }

    #[test]
    fn the_engines_error_names_the_redacted_endpoint_and_the_status() {
        let url = TargetUrl::parse("ws://h/p?token=hunter2").unwrap();
        let error = ConnectError::from(refused(401)).at(&url);
        assert_eq!(error.to_string(), "ws://h/p?***: refused with 401 Unauthorized");
    }
}
