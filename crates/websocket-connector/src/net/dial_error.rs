//! Why a client has no byte stream to its endpoint.

use std::fmt;
use std::time::Duration;

use super::addresses::{ADDRESS_FAMILY, AddressFamily, Peer};
use super::race::FailedAddresses;

/// An attempt to reach an endpoint, or the proxy in front of it, that failed. It shows no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DialError {
    /// The resolver knows no address.
    #[error("{peer}: the name cannot be resolved: {reason}")]
    Name {
        /// Whose name.
        peer: Peer,
        /// What the resolver says.
        reason: String,
    },
    /// The name has addresses, but none of the wanted family.
    #[error("{peer}: the name has no address that {ADDRESS_FAMILY}='{}' allows (any allows all)", family.name())]
    Family {
        /// Whose name.
        peer: Peer,
        /// The wanted family.
        family: AddressFamily,
    },
    /// Every address refused or could not be reached.
    #[error("{peer} cannot be reached: {failures}")]
    Unreachable {
        /// Whom we tried.
        peer: Peer,
        /// Each address with its reason.
        failures: FailedAddresses,
    },
    /// The deadline passed.
    #[error("{peer}: {missing} within {}ms", within.as_millis())]
    NoAnswer {
        /// Who did not answer in time.
        peer: Peer,
        /// What did not come.
        missing: Missing,
        /// How long the attempt could take.
        within: Duration,
    },
    /// The proxy answered that it does not connect us.
    #[error("{proxy} refused with status {status}: {advice}")]
    ProxyRefused {
        /// The proxy.
        proxy: Peer,
        /// The status code of its answer.
        status: u16,
        /// What the status means and what to do about it.
        advice: &'static str,
    },
    /// The proxy answered something that is no answer to CONNECT.
    #[error("{proxy} does not speak like an HTTP proxy: {reason}")]
    ProxyMisbehaved {
        /// The proxy.
        proxy: Peer,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The connection to the proxy was lost before it answered.
    #[error("{proxy}: {reason}")]
    ProxyLost {
        /// The proxy.
        proxy: Peer,
        /// How it was lost.
        reason: String,
    },
}

/// What an attempt waited for when its time was up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The resolver's answer.
    Name,
    /// A TCP connection; what was tried until then.
    Connection(FailedAddresses),
    /// The proxy's answer to CONNECT.
    ProxyAnswer,
}

impl DialError {
    /// Whether a later attempt may succeed without a change of configuration. A proxy's refusal counts by its status:
    /// 403 may pass (permissions are granted), as may 408, 425, 429 and 5xx, by which a proxy also says that it cannot
    /// reach the endpoint; 407 and the others do not.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Name { .. }
            | Self::Family { .. }
            | Self::Unreachable { .. }
            | Self::NoAnswer { .. }
            | Self::ProxyLost { .. } => true,
            Self::ProxyRefused { status, .. } => matches!(status, 403 | 408 | 425 | 429 | 500..),
            Self::ProxyMisbehaved { .. } => false,
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("the resolver has not answered"),
            Self::Connection(failures) => write!(f, "no connection ({failures})"),
            Self::ProxyAnswer => f.write_str("no answer to CONNECT"),
        }
    }
}

#[cfg(test)]
mod tests {
    use url::Host;

    use super::*;
    use crate::net::race::FailedAddress;

    fn proxy() -> Peer {
        Peer { host: Host::Domain("squid".into()), port: 3128, is_proxy: true }
    }

    #[test]
    fn what_a_caller_may_retry_follows_the_value() {
        for (status, retryable) in [(301, false), (400, false), (403, true), (407, false), (429, true), (502, true)] {
            let error = DialError::ProxyRefused { proxy: proxy(), status, advice: "" };
            assert_eq!(error.is_retryable(), retryable, "{status}");
        }
        assert!(!DialError::ProxyMisbehaved { proxy: proxy(), reason: String::new() }.is_retryable());
        assert!(DialError::ProxyLost { proxy: proxy(), reason: String::new() }.is_retryable());
    }

    #[test]
    fn messages_name_who_what_and_the_way_out() {
        let failures = FailedAddresses {
            tried: vec![FailedAddress { address: ([192, 0, 2, 1], 3128).into(), reason: None }],
            untried: 1,
        };
        let within = Duration::from_secs(2);
        let error = DialError::NoAnswer { peer: proxy(), missing: Missing::Connection(failures), within };
        assert_eq!(
            error.to_string(),
            "proxy squid:3128: no connection (192.0.2.1:3128: no answer; 1 more address was not tried) within 2000ms"
        );
        let error = DialError::Family { peer: proxy(), family: AddressFamily::Ipv6 };
        assert_eq!(
            error.to_string(),
            "proxy squid:3128: the name has no address that websocket.address.family='ipv6' allows (any allows all)"
        );
    }
}
