//! Who a client behind reverse proxies is, as the proxies tell in headers: `Forwarded` (RFC 7239) or `X-Forwarded-For`.
//!
//! Anybody can write such a header. So it is read from the right, where the proxy next to us has written, and only as far
//! as trusted proxies vouch for it. Hosts and schemes that proxies forward are not looked at.

use std::net::IpAddr;

use eventflux_core::{EventFluxError, Properties};
use ipnet::IpNet;

use super::forwarded_header::{elements, node};
use super::properties::TRUSTED_PROXIES;

/// The proxies to believe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Empty when none are configured.
    ///
    /// # Errors
    /// For what is neither an IP address nor a network.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let text = properties.optional_text(TRUSTED_PROXIES.key);
        text.map_or(Ok(Self::default()), |text| text.split(',').map(network).collect::<Result<_, _>>().map(Self))
    }

    /// Whether nobody is trusted.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a connection from there may tell whom it is for. An IPv4 address may be written as IPv6 (`::ffff:a.b.c.d`).
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address of the client that `peer` forwards: `peer` itself, unless that is a trusted proxy. `forwarded` and
    /// `x_forwarded_for` are the values of the headers of these names, in the order of the request.
    ///
    /// Where a header ends, is garbage or hides an address, the last address that was vouched for counts. A proxy writes
    /// one of the two headers and may pass the other one on as the client wrote it: when both are there and tell
    /// different addresses, neither counts.
    pub(crate) fn client_address<'h>(
        &self,
        peer: IpAddr,
        forwarded: impl IntoIterator<Item = &'h [u8]>,
        x_forwarded_for: impl IntoIterator<Item = &'h [u8]>,
    ) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contains(peer) {
            return peer;
        }
        let standard: Vec<_> = forwarded.into_iter().flat_map(forwarded_hops).collect();
        let common: Vec<_> = x_forwarded_for.into_iter().flat_map(x_forwarded_for_hops).collect();
        let client = self.walk(peer, &standard);
        let other = self.walk(peer, &common);
        match (standard.is_empty(), common.is_empty()) {
            (false, false) if client != other => peer,
            (true, _) => other,
            (false, _) => client,
        }
    }

    /// From the peer to the left, for as long as who wrote a hop is trusted and the hop is an address.
    fn walk(&self, peer: IpAddr, hops: &[Option<IpAddr>]) -> IpAddr {
        let mut client = peer;
        for hop in hops.iter().rev() {
            match hop {
                Some(hop) if self.contains(client) => client = *hop,
                _ => break,
            }
        }
        client
    }
}

/// The hops of one header; `None` for what is no address.
fn x_forwarded_for_hops(value: &[u8]) -> Vec<Option<IpAddr>> {
    value.split(|byte| *byte == b',').map(|hop| node(hop.trim_ascii())).collect()
}

/// A header that breaks the grammar is one hop of garbage: where it breaks, nobody knows what is whose.
fn forwarded_hops(value: &[u8]) -> Vec<Option<IpAddr>> {
    elements(value).unwrap_or_else(|| vec![None])
}

fn network(text: &str) -> Result<IpNet, EventFluxError> {
    let text = text.trim();
    let error = |reason: &str, hint: &str| {
        EventFluxError::property(TRUSTED_PROXIES.key, format!("'{text}' {reason}")).with_hint(hint)
    };
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let network: IpNet = text.parse().map_err(|_| {
        error("is neither an IP address nor a network", "write 10.1.2.3, 10.0.0.0/8, 2001:db8::7 or 2001:db8::/32")
    })?;
    match network {
        IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() => {
            Err(error("is a network of IPv4 addresses written as IPv6", "write it as IPv4, for example 10.0.0.0/8"))
        }
        network => Ok(network),
    }
}

#[cfg(test)]
mod tests {
    use eventflux_core::PropertySpec;
    use proptest::prelude::*;

    use super::*;

    fn trusted(list: &str) -> Result<TrustedProxies, EventFluxError> {
        const SPECS: &[PropertySpec] = &[
            PropertySpec::new("websocket.mode", eventflux_core::PropertyKind::Text, "Role.").default("server"),
            TRUSTED_PROXIES,
        ];
        TrustedProxies::from_properties(&Properties::from_pairs(SPECS, [(TRUSTED_PROXIES.key, list)]).unwrap())
    }

    /// Who a client is behind a peer at 10.0.0.1, where 10.0.0.0/8 and 2001:db8::7 are trusted.
    fn client(forwarded: &[&str], x_forwarded_for: &[&str]) -> String {
        let (peer, proxies) = ("10.0.0.1".parse().unwrap(), trusted("10.0.0.0/8, 2001:db8::7").unwrap());
        let forwarded = forwarded.iter().map(|value| value.as_bytes());
        let common = x_forwarded_for.iter().map(|value| value.as_bytes());
        proxies.client_address(peer, forwarded, common).to_string()
    }

    #[test]
    fn a_peer_that_is_not_trusted_is_the_client_whatever_it_says() {
        let proxies = trusted("10.0.0.0/8").unwrap();
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(proxies.client_address(peer, [&b"for=8.8.8.8"[..]], [&b"8.8.8.8"[..]]), peer);
        assert_eq!(TrustedProxies::default().client_address(peer, [], [&b"8.8.8.8"[..]]), peer);
    }

    #[test]
    fn the_first_address_from_the_right_that_is_no_trusted_proxy_is_the_client() {
        for (value, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            ("8.8.8.8, 203.0.113.9", "203.0.113.9"),
            ("8.8.8.8,203.0.113.9 ,\t10.9.9.9", "203.0.113.9"),
            ("8.8.8.8, 2001:db8::9, 2001:db8::7, 10.9.9.9:443", "2001:db8::9"),
            ("10.3.3.3, 10.2.2.2", "10.3.3.3"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("::ffff:10.2.2.2", "10.2.2.2"),
        ] {
            assert_eq!(client(&[], &[value]), expected, "{value}");
        }
        assert_eq!(client(&[], &["8.8.8.8", "203.0.113.9, 10.2.2.2", "10.3.3.3"]), "203.0.113.9");
        assert_eq!(client(&[], &[]), "10.0.0.1");
    }

    #[test]
    fn garbage_and_hidden_addresses_end_the_walk_at_the_last_good_hop() {
        for (value, expected) in [
            ("unknown", "10.0.0.1"),
            ("", "10.0.0.1"),
            ("8.8.8.8, nonsense, 10.2.2.2", "10.2.2.2"),
            ("8.8.8.8,, 10.2.2.2", "10.2.2.2"),
            ("8.8.8.8, _hidden", "10.0.0.1"),
        ] {
            assert_eq!(client(&[], &[value]), expected, "{value}");
        }
    }

    #[test]
    fn the_standard_header_is_read_like_the_other() {
        for (value, expected) in [
            ("for=203.0.113.9", "203.0.113.9"),
            ("for=8.8.8.8, For=\"[2001:db8::9]:4711\";proto=https;by=10.0.0.1, for=10.2.2.2", "2001:db8::9"),
            ("for=8.8.8.8, for=unknown, for=10.2.2.2", "10.2.2.2"),
            ("for=8.8.8.8, proto=https", "10.0.0.1"),
            // An open quote would swallow what the proxy wrote behind it.
            ("for=\"8.8.8.8, for=203.0.113.9", "10.0.0.1"),
            ("for=8.8.8.8;for=9.9.9.9", "10.0.0.1"),
        ] {
            assert_eq!(client(&[value], &[]), expected, "{value}");
        }
        assert_eq!(client(&["for=\"", "for=203.0.113.9"], &[]), "203.0.113.9");
    }

    #[test]
    fn a_header_that_the_proxy_only_passed_on_cannot_replace_the_one_it_wrote() {
        assert_eq!(client(&["for=203.0.113.9"], &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client(&["for=8.8.8.8"], &["203.0.113.9"]), "10.0.0.1");
        assert_eq!(client(&["for=203.0.113.9"], &["8.8.8.8"]), "10.0.0.1");
        assert_eq!(client(&["nonsense"], &["203.0.113.9"]), "10.0.0.1");
    }

    #[test]
    fn a_list_with_something_else_in_it_is_refused() {
        for (list, reason) in [
            ("10.0.0.0/33", "'10.0.0.0/33' is neither an IP address nor a network"),
            ("10.0.0.1, proxy.example", "'proxy.example' is neither"),
            ("", "'' is neither"),
            ("::ffff:10.0.0.0/104", "is a network of IPv4 addresses written as IPv6"),
        ] {
            let error = trusted(list).unwrap_err().to_string();
            assert!(error.starts_with("property 'websocket.trusted.proxies': '") && error.contains(reason), "{error}");
        }
        let proxies = trusted("::ffff:192.0.2.7,192.168.3.4/16").unwrap();
        for inside in ["192.0.2.7", "::ffff:192.0.2.7", "192.168.255.1", "::ffff:192.168.0.1"] {
            assert!(proxies.contains(inside.parse().unwrap()), "{inside}");
        }
        assert!(!proxies.contains("192.0.2.8".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn no_header_panics_and_none_is_believed_beyond_the_last_trusted_hop(
            left in "[ -~]{0,60}",
            last in proptest::option::of("[0-9a-z.:,\"=\\[\\];]{0,30}"),
        ) {
            // What the trusted proxy writes last is what counts, whatever the client wrote before it.
            let header = format!("{left}, 203.0.113.9");
            prop_assert_eq!(client(&[], &[&header]), "203.0.113.9");
            let standard = client(&[&format!("{left}, for=203.0.113.9")], &[]);
            prop_assert!(standard == "203.0.113.9" || standard == "10.0.0.1", "{}", standard);
            if let Some(last) = last {
                client(&[&last], &[&last]);
            }
        }
    }
}
