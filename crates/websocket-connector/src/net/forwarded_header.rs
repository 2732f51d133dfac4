//! The grammar of forwarded addresses: nodes, and the elements of a `Forwarded` header (RFC 7239 sections 4 and 6).

use std::net::{IpAddr, Ipv6Addr};

/// The address of a node: IPv4, or IPv6 in brackets or (as `X-Forwarded-For` has it) without, each with or without a
/// port. `None` for everything else: `unknown`, names that hide an address, garbage.
pub(super) fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let address = text.parse().ok().or_else(|| match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            let address = address.parse::<Ipv6Addr>().ok()?;
            (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(IpAddr::V6(address))
        }
        None => {
            let (address, port) = text.split_once(':')?;
            is_port(port).then(|| address.parse().ok().map(IpAddr::V4))?
        }
    });
    address.map(|address: IpAddr| address.to_canonical())
}

/// The `for` nodes of the elements of a header, left to right; `None` where an element has none or it is no address.
/// `None` for the whole when the header breaks the grammar.
pub(super) fn elements(value: &[u8]) -> Option<Vec<Option<IpAddr>>> {
    let mut reader = Reader { rest: value };
    let mut nodes = Vec::new();
    loop {
        nodes.push(reader.element()?);
        reader.skip_spaces();
        match reader.next() {
            None => return Some(nodes),
            Some(b',') => {}
            Some(_) => return None,
        }
    }
}

/// A number, or an obfuscated port.
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(name) => {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        None => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok(),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// One element: pairs separated by semicolons. The outer `None` stands for broken grammar.
    fn element(&mut self) -> Option<Option<IpAddr>> {
        let mut found: Option<Option<IpAddr>> = None;
        loop {
            self.skip_spaces();
            let name = self.token();
            if !name.is_empty() {
                self.expect(b'=')?;
                let value = self.value()?;
                if name.eq_ignore_ascii_case(b"for") && found.replace(node(&value)).is_some() {
                    // Section 4: each parameter at most once.
                    return None;
                }
            }
            self.skip_spaces();
            if self.rest.first() != Some(&b';') {
                return Some(found.flatten());
            }
            self.next();
        }
    }

    /// A quoted string without its quotes, or what some senders leave unquoted: everything up to a separator.
    fn value(&mut self) -> Option<Vec<u8>> {
        if self.rest.first() != Some(&b'"') {
            let bare = self.take_while(|byte| byte.is_ascii_graphic() && !b",;\"\\".contains(&byte));
            return (!bare.is_empty()).then(|| bare.to_vec());
        }
        self.next();
        let mut text = Vec::new();
        loop {
            match self.next()? {
                b'"' => return Some(text),
                b'\\' => text.push(self.next()?),
                byte => text.push(byte),
            }
        }
    }

    /// RFC 9110 section 5.6.2; may be empty.
    fn token(&mut self) -> &'a [u8] {
        self.take_while(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    }

    fn skip_spaces(&mut self) {
        self.take_while(|byte| matches!(byte, b' ' | b'\t'));
    }

    fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| !belongs(*byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nodes_are_addresses_with_or_without_ports() {
        for (text, expected) in [
            ("192.0.2.43", Some("192.0.2.43")),
            ("192.0.2.43:47011", Some("192.0.2.43")),
            ("192.0.2.43:_gazonk", Some("192.0.2.43")),
            ("[2001:db8:cafe::17]", Some("2001:db8:cafe::17")),
            ("[2001:db8:cafe::17]:4711", Some("2001:db8:cafe::17")),
            ("2001:db8:cafe::17", Some("2001:db8:cafe::17")),
            ("[::ffff:192.0.2.43]:80", Some("192.0.2.43")),
            ("unknown", None),
            ("_hidden", None),
            ("192.0.2.43:", None),
            ("192.0.2.43:65536", None),
            ("192.0.2.43:+80", None),
            ("192.0.2.43:_", None),
            ("192.0.2", None),
            ("0192.0.2.43", None),
            ("[192.0.2.43]", None),
            ("[2001:db8::1", None),
            ("[2001:db8::1]80", None),
            ("fe80::1%eth0", None),
            ("", None),
        ] {
            assert_eq!(node(text.as_bytes()), expected.map(|address| address.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn elements_are_read_by_the_grammar() {
        let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        for (header, expected) in [
            ("for=192.0.2.43", Some(vec![address("192.0.2.43")])),
            ("For=\"[2001:db8:cafe::17]:4711\"", Some(vec![address("2001:db8:cafe::17")])),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", Some(vec![address("192.0.2.60")])),
            ("for=192.0.2.43, for=198.51.100.17", Some(vec![address("192.0.2.43"), address("198.51.100.17")])),
            ("proto=https ; for=\"192.0.2.\\43\" ;", Some(vec![address("192.0.2.43")])),
            ("for=192.0.2.43:80", Some(vec![address("192.0.2.43")])),
            ("for=\"_gaz,onk\", by=x", Some(vec![None, None])),
            ("", Some(vec![None])),
            (",", Some(vec![None, None])),
            ("for", None),
            ("for=", None),
            ("for=\"192.0.2.43", None),
            ("for=\"192.0.2.43\\", None),
            ("for=\"192.0.2.43\"x", None),
            ("for=1.1.1.1 for=2.2.2.2", None),
            ("for=1.1.1.1;FOR=2.2.2.2", None),
            ("=1.1.1.1", None),
        ] {
            assert_eq!(elements(header.as_bytes()), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(header: Vec<u8>, text in "[for=\",;\\\\ :.0-9\\[\\]]{0,40}") {
            elements(&header);
            elements(text.as_bytes());
            node(&header);
            node(text.as_bytes());
        }

        #[test]
        fn a_quoted_address_is_read_back(address: IpAddr, port: Option<u16>) {
            let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
            let node = port.map_or(host.clone(), |port| format!("{host}:{port}"));
            let header = format!("by=unknown;for=\"{node}\"");
            prop_assert_eq!(elements(header.as_bytes()), Some(vec![Some(address.to_canonical())]));
        }
    }
}
