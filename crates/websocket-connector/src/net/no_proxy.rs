//! Which hosts the environment's proxy is not for: the value of NO_PROXY.
//!
//! There is no standard. The rules are those of Go and curl: entries separated by commas or spaces; a name covers
//! itself and everything below it, with or without a leading dot or `*.`; an address or a network (`10.0.0.0/8`) covers
//! hosts that are written as addresses, since nothing is looked up; a port restricts a name or an address; `*` covers
//! all.

use std::net::IpAddr;

use ipnet::IpNet;
use url::Host;

use super::addresses::Peer;

/// The parsed list.
#[derive(Debug)]
pub(super) struct NoProxy(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    pattern: Pattern,
    port: Option<u16>,
}

#[derive(Debug)]
enum Pattern {
    All,
    Network(IpNet),
    /// In lower case, without dots at either end.
    Name(String),
}

impl NoProxy {
    /// Takes any text: an entry that is neither an address nor a network is a name.
    pub(super) fn parse(text: &str) -> Self {
        let entries = text.split([',', ' ', '\t']).map(str::trim).filter(|entry| !entry.is_empty());
        Self(entries.map(Entry::parse).collect())
    }

    /// Whether to connect to `peer` without the proxy.
    pub(super) fn covers(&self, peer: &Peer) -> bool {
        self.0.iter().any(|entry| entry.covers(peer))
    }
}

impl Entry {
    fn parse(text: &str) -> Self {
        if text == "*" {
            return Self { pattern: Pattern::All, port: None };
        }
        // First without a port: an IPv6 address is full of colons.
        if let Some(network) = network(text) {
            return Self { pattern: Pattern::Network(network), port: None };
        }
        let (host, port) = match text.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) {
            Some((host, Ok(port))) => (host, Some(port)),
            _ => (text, None),
        };
        let pattern = network(host).map_or_else(|| Pattern::Name(name(host)), Pattern::Network);
        Self { pattern, port }
    }

    fn covers(&self, peer: &Peer) -> bool {
        if self.port.is_some_and(|port| port != peer.port) {
            return false;
        }
        match (&self.pattern, &peer.host) {
            (Pattern::All, _) => true,
            (Pattern::Network(network), Host::Ipv4(address)) => network.contains(&IpAddr::from(*address)),
            (Pattern::Network(network), Host::Ipv6(address)) => {
                network.contains(&IpAddr::from(*address)) || network.contains(&address.to_canonical())
            }
            (Pattern::Name(pattern), Host::Domain(host)) => is_within(&name(host), pattern),
            _ => false,
        }
    }
}

/// An address, in brackets or not, or a network.
fn network(text: &str) -> Option<IpNet> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>().map(IpNet::from).ok().or_else(|| text.parse().ok())
}

fn name(text: &str) -> String {
    text.strip_prefix('*').unwrap_or(text).trim_matches('.').to_ascii_lowercase()
}

fn is_within(host: &str, domain: &str) -> bool {
    !domain.is_empty() && host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn covers(list: &str, url: &str) -> bool {
        NoProxy::parse(list).covers(&Peer::of_url(&Url::parse(url).unwrap()).unwrap())
    }

    #[test]
    fn listed_hosts_are_covered() {
        for (list, url) in [
            ("*", "ws://any.where"),
            ("a.test, example.com", "wss://example.com"),
            ("a.test example.com", "wss://example.com"),
            ("example.com", "wss://feed.EXAMPLE.com"),
            (".example.com", "wss://example.com"),
            (".example.com", "wss://feed.example.com"),
            ("*.example.com", "wss://feed.example.com"),
            ("EXAMPLE.com.", "wss://feed.example.com."),
            ("example.com:8443", "wss://feed.example.com:8443"),
            ("example.com:443", "wss://example.com"),
            ("192.0.2.7", "ws://192.0.2.7:81"),
            ("192.0.2.7:81", "ws://192.0.2.7:81"),
            ("10.0.0.0/8", "ws://10.200.3.4"),
            ("10.0.0.0/8", "ws://[::ffff:10.200.3.4]"),
            ("2001:db8::/32", "ws://[2001:db8:1::1]"),
            ("2001:db8::1", "ws://[2001:db8::1]"),
            ("[2001:db8::1]", "ws://[2001:db8::1]"),
            ("[2001:db8::1]:81", "ws://[2001:db8::1]:81"),
            ("intranet", "ws://intranet"),
        ] {
            assert!(covers(list, url), "{list} {url}");
        }
    }

    #[test]
    fn other_hosts_are_not_covered() {
        for (list, url) in [
            ("", "ws://any.where"),
            (", ,", "ws://any.where"),
            (".", "ws://any.where"),
            ("example.com", "wss://notexample.com"),
            ("example.com", "wss://example.com.evil"),
            ("feed.example.com", "wss://example.com"),
            ("example.com:8443", "wss://example.com"),
            ("192.0.2.7:81", "ws://192.0.2.7"),
            ("10.0.0.0/8", "ws://11.0.0.1"),
            ("10.0.0.0/8", "ws://10.example"),
            ("10.0.0.0/99", "ws://10.0.0.1"),
            ("2001:db8::/32", "ws://[2001:db9::1]"),
            ("[2001:db8::1]:81", "ws://[2001:db8::1]:82"),
            ("2", "ws://192.0.2.2"),
        ] {
            assert!(!covers(list, url), "{list} {url}");
        }
    }
}
