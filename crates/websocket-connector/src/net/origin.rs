//! Which web pages may connect to a listener, and by which names it may be addressed.
//!
//! A browser lets any page open a WebSocket to any address, this machine's included, with the user's cookies. It is the
//! server that must look at the `Origin` header (RFC 6455 section 10.2), which a page cannot forge. Without configuration
//! a page may connect to the host and port it came from itself. That alone would not stop a page whose name is made to
//! resolve to this machine (DNS rebinding); so over the loopback interface its host must be `localhost` or an IP address,
//! unless `websocket.hosts` names it.
//!
//! Programs that are no browsers can send any origin and any host: this is no authentication.

use std::net::IpAddr;

use eventflux_core::{EventFluxError, Properties};

use super::properties::{HOSTS, ORIGIN_REQUIRED, ORIGINS};
use super::site::{Origin, OriginPattern, Site};

/// Whom a listener answers: what it checks before it upgrades a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SitePolicy {
    origins: OriginPolicy,
    origin_required: bool,
    hosts: HostPolicy,
}

/// The pages that may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
enum OriginPolicy {
    /// Those of the host they connect to.
    SameHost,
    /// Those of these origins.
    Listed(Vec<OriginPattern>),
    /// All.
    Any,
}

/// The names by which the listener may be addressed; empty: all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HostPolicy(Vec<Site>);

/// Why a request is not upgraded. The texts may be shown to the client: they have nothing of the request in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SiteRefusal {
    /// There is no `Host` header, or it is malformed.
    #[error("the Host header is missing or malformed")]
    BadHost,
    /// The listener is not to be addressed by that name.
    #[error("this listener does not go by that host name (websocket.hosts)")]
    UnknownHost,
    /// There is no `Origin` header.
    #[error("an Origin header is required (websocket.origin.required)")]
    NoOrigin,
    /// The `Origin` header is malformed, or there is more than one.
    #[error("the Origin header is malformed")]
    BadOrigin,
    /// Pages of that origin may not connect.
    #[error("pages of this origin may not connect (websocket.origins)")]
    ForeignOrigin,
    /// A page that goes by a name of the internet connects over the loopback interface.
    #[error("a page that reaches this machine over loopback must be listed (websocket.origins or websocket.hosts)")]
    Rebound,
}

impl SitePolicy {
    /// # Errors
    /// For what is no origin or no host.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        Ok(Self {
            origins: OriginPolicy::parse(properties.optional_text(ORIGINS.key))?,
            origin_required: properties.flag(ORIGIN_REQUIRED.key)?,
            hosts: HostPolicy::parse(properties.optional_text(HOSTS.key))?,
        })
    }

    /// Whether a request may be upgraded. `host` is the value of its one `Host` header, `origins` are those of its
    /// `Origin` headers, and `local` is our own address of the connection.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check<'h>(
        &self,
        host: Option<&[u8]>,
        origins: impl IntoIterator<Item = &'h [u8]>,
        local: IpAddr,
    ) -> Result<(), SiteRefusal> {
        let site = host.and_then(Site::parse).ok_or(SiteRefusal::BadHost)?;
        if !self.hosts.admits(&site) {
            return Err(SiteRefusal::UnknownHost);
        }
        let mut origins = origins.into_iter();
        let origin = match (origins.next(), origins.next()) {
            (None, _) if self.origin_required => return Err(SiteRefusal::NoOrigin),
            (None, _) => return Ok(()),
            (Some(_), Some(_)) => return Err(SiteRefusal::BadOrigin),
            (Some(value), None) => Origin::parse(value).ok_or(SiteRefusal::BadOrigin)?,
        };
        match &self.origins {
            OriginPolicy::Any => Ok(()),
            OriginPolicy::Listed(patterns) if patterns.iter().any(|pattern| pattern.matches(&origin)) => Ok(()),
            OriginPolicy::Listed(_) => Err(SiteRefusal::ForeignOrigin),
            OriginPolicy::SameHost if !origin.is_of(&site) => Err(SiteRefusal::ForeignOrigin),
            OriginPolicy::SameHost if self.could_be_rebound(&site, local) => Err(SiteRefusal::Rebound),
            OriginPolicy::SameHost => Ok(()),
        }
    }

    /// As [`SitePolicy::check`], for a request that asks for no upgrade. To the host it came from itself, a page sends such
    /// requests without an origin; so without one, the host itself has to be one that a page may have come from.
    ///
    /// # Errors
    /// Why it is not answered.
    pub(crate) fn check_plain(&self, host: &str, origin: Option<&[u8]>, local: IpAddr) -> Result<(), SiteRefusal> {
        self.check(Some(host.as_bytes()), origin, local)?;
        let site = Site::parse(host.as_bytes()).ok_or(SiteRefusal::BadHost)?;
        if origin.is_some() || !self.could_be_rebound(&site, local) {
            return Ok(());
        }
        let is_listed = match &self.origins {
            OriginPolicy::SameHost => false,
            OriginPolicy::Any => true,
            OriginPolicy::Listed(patterns) => ["http", "https"].iter().any(|scheme| {
                let page = Origin::parse(format!("{scheme}://{host}").as_bytes());
                page.is_some_and(|page| patterns.iter().any(|pattern| pattern.matches(&page)))
            }),
        };
        if is_listed { Ok(()) } else { Err(SiteRefusal::Rebound) }
    }

    fn could_be_rebound(&self, site: &Site, local: IpAddr) -> bool {
        self.hosts.0.is_empty() && local.to_canonical().is_loopback() && !site.stays_here()
    }
}

impl SiteRefusal {
    /// Whether it is about the page, and not about what the listener is called.
    pub(crate) fn is_origin(self) -> bool {
        !matches!(self, Self::BadHost | Self::UnknownHost)
    }

    /// The HTTP status to answer with.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::BadHost => 400,
            Self::UnknownHost => 421,
            Self::NoOrigin | Self::BadOrigin | Self::ForeignOrigin | Self::Rebound => 403,
        }
    }
}

impl OriginPolicy {
    fn parse(text: Option<&str>) -> Result<Self, EventFluxError> {
        let Some(text) = text else {
            return Ok(Self::SameHost);
        };
        let entries = entries(text);
        if entries == ["*"] {
            return Ok(Self::Any);
        }
        entries.iter().map(|origin| origin_pattern(origin)).collect::<Result<_, _>>().map(Self::Listed)
    }
}

impl HostPolicy {
    fn parse(text: Option<&str>) -> Result<Self, EventFluxError> {
        let host = |text: &str| {
            let text = text.trim();
            Site::parse(text.as_bytes()).ok_or_else(|| {
                EventFluxError::property(HOSTS.key, format!("'{text}' is no host"))
                    .with_hint("write names or IP addresses, with or without a port: feed.example.com, [::1]:8080; remove it for any")
            })
        };
        text.map_or(Ok(Self(Vec::new())), |text| text.split(',').map(host).collect::<Result<_, _>>().map(Self))
    }

    fn admits(&self, site: &Site) -> bool {
        self.0.is_empty() || self.0.iter().any(|listed| listed.admits(site))
    }
}

/// The entries of a list, also of one in JSON, as variables of the environment have it: `["https://a", "https://b"]`.
fn entries(text: &str) -> Vec<String> {
    let json = serde_json::from_str::<Vec<String>>(text);
    json.unwrap_or_else(|_| text.split(',').map(|entry| entry.trim().to_owned()).collect())
}

fn origin_pattern(text: &str) -> Result<OriginPattern, EventFluxError> {
    let error =
        |reason: &str, hint: &str| EventFluxError::property(ORIGINS.key, format!("'{text}' {reason}")).with_hint(hint);
    if text == "*" {
        return Err(error("already stands for every origin", "remove the others, or remove it"));
    }
    let scheme = text.split("://").next().unwrap_or_default();
    if ["ws", "wss"].iter().any(|wrong| scheme.eq_ignore_ascii_case(wrong)) {
        let hint = "an origin is where a page came from: write http:// or https://";
        return Err(error("is the origin of no page", hint));
    }
    let hint = "write it as scheme://host[:port] without a path, for example https://app.example.com or \
                https://*.example.com; or null, or * alone";
    OriginPattern::parse(text).ok_or_else(|| error("is no origin", hint))
}

#[cfg(test)]
mod tests {
    use eventflux_core::PropertySpec;

    use super::*;

    const LOOPBACK: &str = "127.0.0.1";
    const OUTSIDE: &str = "192.0.2.1";

    fn policy(raw: &[(&str, &str)]) -> Result<SitePolicy, EventFluxError> {
        const SPECS: &[PropertySpec] = &[
            PropertySpec::new("websocket.mode", eventflux_core::PropertyKind::Text, "Role.").default("server"),
            ORIGINS,
            ORIGIN_REQUIRED,
            HOSTS,
        ];
        SitePolicy::from_properties(&Properties::from_pairs(SPECS, raw.iter().copied()).unwrap())
    }

    fn check(raw: &[(&str, &str)], host: &str, origin: Option<&str>, local: &str) -> Result<(), SiteRefusal> {
        let origin = origin.map(str::as_bytes);
        policy(raw).unwrap().check(Some(host.as_bytes()), origin, local.parse().unwrap())
    }

    #[test]
    fn without_configuration_only_a_page_of_the_same_host_and_programs_get_in() {
        for (host, origin, result) in [
            ("localhost:8080", None, Ok(())),
            ("localhost:8080", Some("http://localhost:8080"), Ok(())),
            ("localhost:8080", Some("https://evil.example"), Err(SiteRefusal::ForeignOrigin)),
            ("localhost:8080", Some("http://localhost:3000"), Err(SiteRefusal::ForeignOrigin)),
            ("localhost:8080", Some("null"), Err(SiteRefusal::ForeignOrigin)),
            ("localhost:8080", Some("file://"), Err(SiteRefusal::BadOrigin)),
            ("local host", None, Err(SiteRefusal::BadHost)),
        ] {
            assert_eq!(check(&[], host, origin, LOOPBACK), result, "{host} {origin:?}");
        }
    }

    #[test]
    fn a_name_made_to_resolve_to_this_machine_does_not_get_a_page_in() {
        let (host, page) = ("evil.example:8080", Some("http://evil.example:8080"));
        for local in [LOOPBACK, "::1", "::ffff:127.0.0.1"] {
            assert_eq!(check(&[], host, page, local), Err(SiteRefusal::Rebound));
        }
        // On the internet, it is the name of this server as far as we know.
        assert_eq!(check(&[], host, page, OUTSIDE), Ok(()));
        // A proxy on the same machine that passes the name on: the name must be listed.
        assert_eq!(check(&[(HOSTS.key, "evil.example")], host, page, LOOPBACK), Ok(()));
        assert_eq!(check(&[(ORIGINS.key, "http://evil.example:8080")], host, page, LOOPBACK), Ok(()));
    }

    #[test]
    fn a_plain_request_without_an_origin_may_come_from_a_page_of_the_host_it_names() {
        let check = |raw: &[(&str, &str)], host: &str, origin: Option<&str>, local: &str| {
            let origin = origin.map(str::as_bytes);
            policy(raw).unwrap().check_plain(host, origin, local.parse().unwrap())
        };
        let host = "evil.example:8080";
        assert_eq!(check(&[], host, None, LOOPBACK), Err(SiteRefusal::Rebound));
        assert_eq!(check(&[(ORIGINS.key, "https://good.example")], host, None, LOOPBACK), Err(SiteRefusal::Rebound));
        for raw in [(ORIGINS.key, "http://evil.example:8080"), (ORIGINS.key, "*"), (HOSTS.key, "evil.example")] {
            assert_eq!(check(&[raw], host, None, LOOPBACK), Ok(()), "{raw:?}");
        }
        for (host, local) in [("localhost:8080", LOOPBACK), ("127.0.0.1", LOOPBACK), (host, OUTSIDE)] {
            assert_eq!(check(&[], host, None, local), Ok(()), "{host}");
        }
        assert_eq!(check(&[], host, Some("https://other.example"), OUTSIDE), Err(SiteRefusal::ForeignOrigin));
    }

    #[test]
    fn listed_origins_get_in_and_others_do_not() {
        let raw = [(ORIGINS.key, "https://good.example.com, https://*.apps.example,null")];
        for (origin, result) in [
            ("https://good.example.com", Ok(())),
            ("HTTPS://GOOD.example.com:443", Ok(())),
            ("https://x.apps.example", Ok(())),
            ("null", Ok(())),
            ("https://evil.example", Err(SiteRefusal::ForeignOrigin)),
            ("https://good.example.com.evil", Err(SiteRefusal::ForeignOrigin)),
            ("https://good.example.com:8443", Err(SiteRefusal::ForeignOrigin)),
            ("http://good.example.com", Err(SiteRefusal::ForeignOrigin)),
            // Same host, but the list is the list.
            ("https://feed.example", Err(SiteRefusal::ForeignOrigin)),
        ] {
            assert_eq!(check(&raw, "feed.example", Some(origin), OUTSIDE), result, "{origin}");
        }
        assert_eq!(check(&raw, "feed.example", None, OUTSIDE), Ok(()));
        let any = [(ORIGINS.key, "*")];
        assert_eq!(check(&any, "localhost", Some("https://evil.example"), LOOPBACK), Ok(()));
        assert_eq!(check(&any, "localhost", Some("null"), LOOPBACK), Ok(()));
    }

    #[test]
    fn an_origin_can_be_required_and_never_be_there_twice() {
        let required = [(ORIGIN_REQUIRED.key, "true")];
        assert_eq!(check(&required, "h", None, OUTSIDE), Err(SiteRefusal::NoOrigin));
        assert_eq!(check(&required, "h", Some("http://h"), OUTSIDE), Ok(()));
        let twice = [&b"http://h"[..], b"http://h"];
        let checked = policy(&[]).unwrap().check(Some(b"h"), twice, OUTSIDE.parse().unwrap());
        assert_eq!(checked, Err(SiteRefusal::BadOrigin));
    }

    #[test]
    fn a_listener_with_names_answers_to_no_other() {
        let raw = [(HOSTS.key, "feed.example, localhost:8080")];
        for (host, result) in [
            ("FEED.example:9000", Ok(())),
            ("localhost:8080", Ok(())),
            ("localhost", Err(SiteRefusal::UnknownHost)),
            ("evil.example", Err(SiteRefusal::UnknownHost)),
            ("feed.example.evil", Err(SiteRefusal::UnknownHost)),
        ] {
            assert_eq!(check(&raw, host, None, LOOPBACK), result, "{host}");
        }
        assert_eq!(policy(&raw).unwrap().check(None, [], OUTSIDE.parse().unwrap()), Err(SiteRefusal::BadHost));
    }

    #[test]
    fn lists_with_something_else_in_them_are_refused_with_a_way_out() {
        for (key, list, reason) in [
            (ORIGINS.key, "https://a/path", "'https://a/path' is no origin (write it as scheme://host[:port]"),
            (ORIGINS.key, "example.com", "'example.com' is no origin"),
            (ORIGINS.key, "", "'' is no origin"),
            (ORIGINS.key, "https://a,*", "'*' already stands for every origin"),
            (ORIGINS.key, "WSS://a", "'WSS://a' is the origin of no page"),
            (HOSTS.key, "http://a", "'http://a' is no host"),
            (HOSTS.key, "a,", "'' is no host"),
            (HOSTS.key, "*", "'*' is no host"),
        ] {
            let error = policy(&[(key, list)]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("property '{key}': {reason}")), "{error}");
        }
    }

    #[test]
    fn each_refusal_has_its_status() {
        use SiteRefusal::*;
        let statuses = [BadHost, UnknownHost, NoOrigin, BadOrigin, ForeignOrigin, Rebound].map(SiteRefusal::status);
        assert_eq!(statuses, [400, 421, 403, 403, 403, 403]);
    }
}
