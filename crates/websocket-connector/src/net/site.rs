//! Hosts with ports and origins of web pages, in the form in which they can be compared (RFC 6454 sections 4 and 5).

use url::Host;

/// Where something is reached: the value of a `Host` header (RFC 9110 section 7.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Site {
    host: Host<String>,
    port: Option<u16>,
}

/// Where a page came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// None that a browser tells: a sandboxed frame, a file, a page behind redirects.
    Null,
    /// A scheme in lower case, a host, and a port unless the scheme has no default and none was written.
    Tuple {
        /// `http`, `https`, or that of an application or extension.
        scheme: String,
        /// The host with the port.
        site: Site,
    },
}

/// The origins that an entry of a list stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OriginPattern {
    /// This one.
    Exactly(Origin),
    /// Those of this scheme and port whose host ends in `.` and this one's name.
    SubdomainsOf {
        /// In lower case.
        scheme: String,
        /// The host above, with the port.
        site: Site,
    },
}

impl Site {
    /// A host name or IP address (IPv6 in brackets), with or without a port. International names become ASCII.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let after_host = text.rfind(']').map_or(0, |bracket| bracket + 1);
        let (host, port) = match text[after_host..].split_once(':') {
            None => (text, None),
            Some((rest, port)) => (&text[..after_host + rest.len()], Some(port)),
        };
        let port = match port {
            None | Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            Some(_) => return None,
        };
        let host = Host::parse(host).ok()?;
        // What URLs allow besides these is in no name, and a star in a list would look like more than it is.
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        let sound = !matches!(&host, Host::Domain(name) if !is_name(name));
        sound.then_some(Self { host, port })
    }

    /// Whether a request to `other` is one to this site: any port will do when this one has none. A request without a
    /// port is one to the default port, of which it does not tell the scheme.
    pub(super) fn admits(&self, other: &Self) -> bool {
        let default = other.port.is_none() && matches!(self.port, Some(80 | 443));
        self.host == other.host && (self.port.is_none() || self.port == other.port || default)
    }

    /// Whether no name server of somebody else decides where the host is: `localhost` (RFC 6761) or an IP address.
    pub(super) fn stays_here(&self) -> bool {
        match &self.host {
            Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Ipv4(_) | Host::Ipv6(_) => true,
        }
    }

    fn with_default_port(self, scheme: &str) -> Self {
        Self { port: self.port.or(default_port(scheme)), ..self }
    }
}

impl Origin {
    /// The value of an `Origin` header (RFC 6454 section 7). One that lists several origins is none.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        if text == "null" {
            return Some(Self::Null);
        }
        let (scheme, site) = text.split_once("://")?;
        let starts = scheme.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        if !starts || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let site = Site::parse(site.as_bytes())?.with_default_port(&scheme);
        Some(Self::Tuple { scheme, site })
    }

    /// Whether the page came from `site` itself. The scheme of a request is not known behind a proxy that ends TLS: a
    /// site without a port has the default port of the page's scheme.
    pub(super) fn is_of(&self, site: &Site) -> bool {
        match self {
            Self::Tuple { scheme, site: own } if default_port(scheme).is_some() => {
                *own == site.clone().with_default_port(scheme)
            }
            _ => false,
        }
    }
}

impl OriginPattern {
    /// An origin, or one whose host begins with `*.`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Some((scheme, above)) = text.split_once("://*.") else {
            return Origin::parse(text.as_bytes()).map(Self::Exactly);
        };
        match Origin::parse(format!("{scheme}://{above}").as_bytes())? {
            Origin::Tuple { scheme, site } if matches!(site.host, Host::Domain(_)) => {
                Some(Self::SubdomainsOf { scheme, site })
            }
            _ => None,
        }
    }

    pub(super) fn matches(&self, origin: &Origin) -> bool {
        match (self, origin) {
            (Self::Exactly(listed), origin) => listed == origin,
            (Self::SubdomainsOf { scheme, site }, Origin::Tuple { scheme: other, site: below }) => {
                scheme == other && site.port == below.port && is_subdomain(&below.host, &site.host)
            }
            (Self::SubdomainsOf { .. }, Origin::Null) => false,
        }
    }
}

fn is_subdomain(below: &Host<String>, above: &Host<String>) -> bool {
    let (Host::Domain(below), Host::Domain(above)) = (below, above) else {
        return false;
    };
    below.strip_suffix(above.as_str()).and_then(|start| start.strip_suffix('.')).is_some_and(|start| !start.is_empty())
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn site(text: &str) -> Site {
        Site::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
    }

    fn origin(text: &str) -> Origin {
        Origin::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn hosts_are_compared_without_case_and_in_their_normal_form() {
        for (one, other) in [
            ("Example.COM", "example.com"),
            ("[2001:DB8:0::1]:80", "[2001:db8::1]:80"),
            ("example.com:", "example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("127.1", "127.0.0.1"),
        ] {
            assert_eq!(site(one), site(other));
        }
        for text in ["", ":80", "a:b", "a:-1", "a:65536", "a:80:80", "[::1", "::1", "[::1]x"] {
            assert_eq!(Site::parse(text.as_bytes()), None, "{text}");
        }
        for character in ['*', ',', ' ', '/', '@', '\\', '?', '#', '%', '"', '\n', '\0'] {
            assert_eq!(Site::parse(format!("a{character}b").as_bytes()), None, "{character}");
        }
    }

    #[test]
    fn a_listed_site_without_a_port_stands_for_all_ports() {
        for (listed, asked, admitted) in [
            ("example.com", "example.com:8080", true),
            ("example.com:8080", "example.com:8080", true),
            ("example.com:8080", "example.com", false),
            ("example.com:8080", "example.com:80", false),
            ("example.com:443", "example.com", true),
            ("example.com", "sub.example.com", false),
            ("example.com", "example.com.evil", false),
        ] {
            assert_eq!(site(listed).admits(&site(asked)), admitted, "{listed} {asked}");
        }
    }

    #[test]
    fn only_names_that_no_foreign_name_server_answers_for_stay_here() {
        for (text, stays) in [
            ("localhost:1", true),
            ("app.localhost", true),
            ("127.0.0.1", true),
            ("[::1]:8080", true),
            ("192.168.1.7", true),
            ("evil.example:8080", false),
            ("notlocalhost", false),
            ("localhost.evil.example", false),
        ] {
            assert_eq!(site(text).stays_here(), stays, "{text}");
        }
    }

    #[test]
    fn origins_are_equal_by_scheme_host_and_port() {
        for (one, other, equal) in [
            ("HTTPS://App.Example.com", "https://app.example.com:443", true),
            ("http://a", "http://a:80", true),
            ("http://a", "https://a", false),
            ("http://a", "http://a:8080", false),
            ("null", "null", true),
            ("chrome-extension://abcdef", "chrome-extension://abcdef", true),
        ] {
            assert_eq!(origin(one) == origin(other), equal, "{one} {other}");
        }
        let no_authority = ["", "a", "//a", "://a", "1http://a", "http:a", "http://", "NULL"];
        let more =
            ["http://a/", "http://a?", "http://a#", "http://a\\b", "http://u@a", "http://a http://b", "http://*.a"];
        for text in no_authority.into_iter().chain(more) {
            assert_eq!(Origin::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_page_is_of_the_site_it_came_from_whatever_ends_tls() {
        for (page, asked, same) in [
            ("http://localhost:8080", "localhost:8080", true),
            ("https://example.com", "example.com", true),
            ("https://example.com", "EXAMPLE.com:443", true),
            ("http://example.com", "example.com", true),
            ("https://example.com", "example.com:80", false),
            ("http://localhost:3000", "localhost:8080", false),
            ("http://evil.example", "localhost:8080", false),
            ("null", "localhost", false),
            ("app://localhost", "localhost", false),
        ] {
            assert_eq!(origin(page).is_of(&site(asked)), same, "{page} {asked}");
        }
    }

    #[test]
    fn a_star_stands_for_whole_labels_below_the_name() {
        let pattern = OriginPattern::parse("https://*.Example.com").unwrap();
        for (page, matches) in [
            ("https://a.example.com", true),
            ("https://a.b.example.com:443", true),
            ("https://example.com", false),
            ("https://evilexample.com", false),
            ("https://a.example.com.evil", false),
            ("https://.example.com", false),
            ("http://a.example.com", false),
            ("https://a.example.com:8443", false),
            ("null", false),
        ] {
            assert_eq!(Origin::parse(page.as_bytes()).is_some_and(|page| pattern.matches(&page)), matches, "{page}");
        }
        assert!(
            OriginPattern::parse("https://*.example.com:8443").unwrap().matches(&origin("https://a.example.com:8443"))
        );
        for text in ["https://*.127.0.0.1", "https://*.", "*.example.com", "https://*.*.com:x", "*"] {
            assert_eq!(OriginPattern::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(bytes: Vec<u8>, text in "(https?://)?[a-z0-9.:@%\\[\\]*/-]{0,40}") {
            Site::parse(&bytes);
            Site::parse(text.as_bytes());
            Origin::parse(&bytes);
            if let Some(origin) = Origin::parse(text.as_bytes()) {
                prop_assert!(OriginPattern::Exactly(origin.clone()).matches(&origin));
            }
            OriginPattern::parse(&text);
        }

        #[test]
        fn only_hosts_that_end_in_a_dot_and_the_name_are_subdomains(host in "[a-z.-]{1,20}") {
            let pattern = OriginPattern::parse("https://*.ab.cd").unwrap();
            if let Some(page) = Origin::parse(format!("https://{host}").as_bytes()) {
                prop_assert_eq!(pattern.matches(&page), host.ends_with(".ab.cd") && host.len() > 6);
            }
        }
    }
}
