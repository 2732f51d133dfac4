//! Whom to connect to: a host and a port, and the addresses they stand for.
//!
//! Names are looked up with the system's resolver, so the hosts file and the system's preferences (RFC 6724) count. It
//! opens no connection; see `race` for the order in time.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use eventflux_core::{EventFluxError, Properties, runtime};
use tokio::net::lookup_host;
use url::{Host, Url};

/// The property that restricts addresses to one family.
pub(crate) const ADDRESS_FAMILY: &str = "websocket.address.family";

/// Most addresses that one attempt to connect tries.
pub(crate) const MAX_ADDRESSES: usize = 8;

/// Which addresses may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum AddressFamily {
    /// Both families.
    #[default]
    Any,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

/// One end to connect to: the endpoint itself, or the proxy in front of it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    /// A name or an address.
    pub(crate) host: Host<String>,
    /// The TCP port.
    pub(crate) port: u16,
    /// Whether it is a proxy.
    pub(crate) is_proxy: bool,
}

/// The addresses to try, in order, at most [`MAX_ADDRESSES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidates {
    /// In the order in which to try them; no address twice.
    pub(super) addresses: Vec<SocketAddr>,
    /// How many more there would have been.
    pub(super) left_out: usize,
}

impl AddressFamily {
    /// # Errors
    /// When the property has no value.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        Ok(match properties.text(ADDRESS_FAMILY)? {
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            _ => Self::Any,
        })
    }

    /// The value of the property.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }

    /// Whether `address` belongs to it.
    pub(crate) fn admits(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Ipv4 => address.is_ipv4(),
            Self::Ipv6 => address.is_ipv6(),
        }
    }

    /// Checks a host that is written as an address, so that the mistake shows at start and not at each attempt.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when the address is of the other family.
    pub(super) fn check(self, peer: &Peer) -> Result<(), EventFluxError> {
        match peer.address() {
            Some(address) if !self.admits(address) => {
                let other = if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 };
                let reason = format!("is '{}', but {peer} is an address of family {}", self.name(), other.name());
                Err(EventFluxError::property(ADDRESS_FAMILY, reason)
                    .with_hint(format!("set it to any or {}, or write another host", other.name())))
            }
            _ => Ok(()),
        }
    }
}

impl Peer {
    /// The endpoint of a `ws` or `wss` URL; `None` for a URL without a host.
    pub(crate) fn of_url(url: &Url) -> Option<Self> {
        let host = url.host()?.to_owned();
        Some(Self { host, port: url.port_or_known_default()?, is_proxy: false })
    }

    /// `host:port` as HTTP writes it, an IPv6 address in brackets.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The host where it is written as an address.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self.host {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }

    /// Whether it is this machine by its very name or address; nothing is looked up.
    pub(super) fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.to_canonical().is_loopback(),
            Host::Domain(name) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                name == "localhost" || name.ends_with(".localhost")
            }
        }
    }

    /// All its addresses, as the system's resolver orders them.
    ///
    /// # Errors
    /// What the resolver says when it knows none.
    pub(super) async fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        let name = match &self.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => return Ok(vec![(*address, self.port).into()]),
            Host::Ipv6(address) => return Ok(vec![(*address, self.port).into()]),
        };
        let port = self.port;
        // On the shared threads: a look-up blocks one, and must not hold up the end of the source's own runtime.
        let threads = runtime::shared().map_err(|error| error.to_string())?;
        let lookup = threads.spawn(async move { lookup_host((name, port)).await.map(Iterator::collect) });
        match lookup.await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = if self.is_proxy { "proxy " } else { "" };
        write!(f, "{role}{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Candidates {
    /// Takes the addresses of `family` and lets the families alternate, beginning with that of the resolver's first
    /// address and keeping the resolver's order within each (RFC 8305 section 4, with a First Address Family Count of
    /// 1). The resolver puts IPv6 first where the machine has a route for it.
    pub(super) fn new(resolved: Vec<SocketAddr>, family: AddressFamily) -> Self {
        let mut distinct: Vec<SocketAddr> = Vec::with_capacity(resolved.len());
        for address in resolved {
            if family.admits(address.ip()) && !distinct.contains(&address) {
                distinct.push(address);
            }
        }
        let first_is_ipv6 = distinct.first().is_some_and(SocketAddr::is_ipv6);
        let (first, second): (Vec<_>, Vec<_>) =
            distinct.into_iter().partition(|address| address.is_ipv6() == first_is_ipv6);
        let mut addresses = alternate(first, second);
        let left_out = addresses.len().saturating_sub(MAX_ADDRESSES);
        addresses.truncate(MAX_ADDRESSES);
        Self { addresses, left_out }
    }
}

fn alternate(first: Vec<SocketAddr>, second: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut merged = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let before = merged.len();
        merged.extend(first.next());
        merged.extend(second.next());
        if merged.len() == before {
            return merged;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: [&str; 3] = ["192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"];
    const V6: [&str; 3] = ["[2001:db8::1]:80", "[2001:db8::2]:80", "[2001:db8::3]:80"];

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn peer(url: &str) -> Peer {
        Peer::of_url(&Url::parse(url).unwrap()).unwrap()
    }

    #[test]
    fn families_alternate_beginning_with_the_resolvers_first() {
        let cases: [(&[&str], &[&str]); 5] = [
            (&[V6[0], V6[1], V6[2], V4[0], V4[1]], &[V6[0], V4[0], V6[1], V4[1], V6[2]]),
            (&[V4[0], V6[0], V6[1], V4[1]], &[V4[0], V6[0], V4[1], V6[1]]),
            (&[V4[0], V4[1], V4[2], V6[0]], &[V4[0], V6[0], V4[1], V4[2]]),
            (&[V4[0], V4[0], V4[1]], &[V4[0], V4[1]]),
            (&[], &[]),
        ];
        for (resolved, expected) in cases {
            let candidates = Candidates::new(addresses(resolved), AddressFamily::Any);
            assert_eq!(candidates, Candidates { addresses: addresses(expected), left_out: 0 });
        }
    }

    #[test]
    fn a_family_leaves_only_its_own_addresses() {
        let resolved = addresses(&[V6[0], V4[0], V6[1]]);
        let only = |family| Candidates::new(resolved.clone(), family).addresses;
        assert_eq!(only(AddressFamily::Ipv4), addresses(&[V4[0]]));
        assert_eq!(only(AddressFamily::Ipv6), addresses(&[V6[0], V6[1]]));
    }

    #[test]
    fn no_more_than_eight_are_tried_and_the_rest_is_counted() {
        let many: Vec<SocketAddr> = (1..=11).map(|last| ([192, 0, 2, last], 80).into()).collect();
        let candidates = Candidates::new(many.clone(), AddressFamily::Any);
        assert_eq!((&candidates.addresses[..], candidates.left_out), (&many[..MAX_ADDRESSES], 3));
    }

    #[test]
    fn an_address_of_the_other_family_is_an_error_that_names_the_property() {
        let error = AddressFamily::Ipv6.check(&peer("ws://192.0.2.1:81/")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "property 'websocket.address.family': is 'ipv6', but 192.0.2.1:81 is an address of family ipv4 \
             (set it to any or ipv4, or write another host)"
        );
        assert!(AddressFamily::Ipv4.check(&peer("wss://[::1]/")).is_err());
        for (family, url) in [
            (AddressFamily::Ipv6, "ws://[::1]/"),
            (AddressFamily::Ipv6, "ws://h/"),
            (AddressFamily::Any, "ws://[::1]/"),
        ] {
            assert_eq!(family.check(&peer(url)), Ok(()));
        }
    }

    #[test]
    fn loopback_is_known_by_name_and_address() {
        for url in ["ws://localhost", "ws://LOCALHOST.:1", "ws://a.localhost", "ws://127.9.9.9", "ws://[::1]"] {
            assert!(peer(url).is_loopback(), "{url}");
        }
        assert!(peer("ws://[::ffff:127.0.0.1]").is_loopback());
        for url in ["ws://localhost.example", "ws://notlocalhost", "ws://128.0.0.1", "ws://[::2]"] {
            assert!(!peer(url).is_loopback(), "{url}");
        }
    }

    #[tokio::test]
    async fn addresses_are_not_looked_up_and_names_are() {
        assert_eq!(peer("wss://[::1]").resolve().await, Ok(addresses(&["[::1]:443"])));
        assert_eq!(peer("ws://127.0.0.2:9").resolve().await, Ok(addresses(&["127.0.0.2:9"])));
        let local = peer("ws://localhost:9").resolve().await.unwrap();
        assert!(!local.is_empty() && local.iter().all(|address| address.ip().is_loopback() && address.port() == 9));
        // Labels have at most 63 characters (RFC 1035): no resolver asks the network for this one.
        assert!(peer(&format!("ws://{}/", "a".repeat(70))).resolve().await.is_err());
    }

    #[test]
    fn a_peer_prints_as_an_authority() {
        assert_eq!(peer("wss://[::1]/x").to_string(), "[::1]:443");
        assert_eq!(peer("ws://h/").authority(), "h:80");
        assert_eq!(Peer { is_proxy: true, ..peer("ws://h:3128") }.to_string(), "proxy h:3128");
    }
}
