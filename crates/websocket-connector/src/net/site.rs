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
        Some(Self { host: Host::parse(host).ok()?, port })
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
