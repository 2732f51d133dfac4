//! Which HTTP proxy to connect through, from `websocket.proxy.url` or the environment.
//!
//! Only proxies that are spoken to in plain HTTP; a proxy behind TLS or SOCKS is an error, never passed over: a direct
//! connection may be what the proxy was set up to prevent. The conversation with the proxy is in `tunnel`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eventflux_core::{EventFluxError, Properties, Secret};
use percent_encoding::percent_decode_str;
use url::Url;

use super::addresses::Peer;
use super::no_proxy::NoProxy;

const PROXY_URL: &str = "websocket.proxy.url";

/// Value of the property for no proxy, whatever the environment says.
const NONE: &str = "none";

/// Variables for `wss`, the first that is not empty counts.
const SECURE_VARIABLES: &[&str] = &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Variables for `ws`.
const PLAIN_VARIABLES: &[&str] = &["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

const EXCEPTIONS: &[&str] = &["NO_PROXY", "no_proxy"];

/// Kinds of proxies that people have and we do not speak to.
const UNSUPPORTED: &[&str] = &["https", "socks", "socks4", "socks4a", "socks5", "socks5h"];

/// Where to learn of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProxySetting {
    /// From the environment, for the endpoints it names.
    Environment,
    /// No proxy.
    Direct,
    /// This one, for every endpoint.
    Proxy(HttpProxy),
}

/// An HTTP proxy. It prints without credentials.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct HttpProxy {
    /// Where it listens.
    pub(super) peer: Peer,
    /// The value of Proxy-Authorization.
    pub(super) authorization: Option<Secret>,
}

impl ProxySetting {
    /// # Errors
    /// When the value is neither `none` nor the URL of a proxy that we speak to.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        match properties.optional_text(PROXY_URL).map(str::trim) {
            None => Ok(Self::Environment),
            Some(NONE) => Ok(Self::Direct),
            Some(url) => HttpProxy::parse(url).map(Self::Proxy).map_err(|reason| {
                EventFluxError::property(PROXY_URL, reason)
                    .with_hint("use http://[user:password@]host:port, with special characters percent-encoded, or none")
            }),
        }
    }

    /// The proxy for `target`; `secure` for `wss`. `lookup` reads the environment.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names a variable whose value is no proxy that we speak to.
    pub(crate) fn proxy_for(
        &self,
        target: &Peer,
        secure: bool,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<HttpProxy>, EventFluxError> {
        match self {
            Self::Direct => Ok(None),
            Self::Proxy(proxy) => Ok(Some(proxy.clone())),
            Self::Environment if target.is_loopback() => Ok(None),
            Self::Environment => from_environment(target, secure, lookup),
        }
    }
}

impl HttpProxy {
    /// An error holds nothing of `text`, which may be a password in the wrong place.
    fn parse(text: &str) -> Result<Self, String> {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("http") => {}
            Some(scheme) if UNSUPPORTED.contains(&scheme) => {
                return Err(format!("names a {scheme}:// proxy; only http:// proxies are supported"));
            }
            _ => return Err("is not the URL of an http:// proxy".to_owned()),
        }
        let url = Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err("has more than a host and a port".to_owned());
        }
        let peer = Peer::of_url(&url).ok_or_else(|| "has no host".to_owned())?;
        Ok(Self { peer: Peer { is_proxy: true, ..peer }, authorization: authorization(&url)? })
    }
}

impl fmt::Display for HttpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.peer, f)
    }
}

impl fmt::Debug for HttpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.peer, f)
    }
}

/// Basic credentials (RFC 7617) from the user information of the URL.
fn authorization(url: &Url) -> Result<Option<Secret>, String> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let mut credentials: Vec<u8> = percent_decode_str(url.username()).collect();
    if credentials.contains(&b':') {
        return Err("has a ':' in the name of its user, which Basic authentication cannot express".to_owned());
    }
    credentials.push(b':');
    credentials.extend(percent_decode_str(url.password().unwrap_or_default()));
    Ok(Some(Secret::new(format!("Basic {}", STANDARD.encode(credentials)))))
}

fn from_environment(
    target: &Peer,
    secure: bool,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<HttpProxy>, EventFluxError> {
    let variables = if secure { SECURE_VARIABLES } else { PLAIN_VARIABLES };
    let Some((variable, value)) = first_set(variables, lookup) else { return Ok(None) };
    if first_set(EXCEPTIONS, lookup).is_some_and(|(_, list)| NoProxy::parse(&list).covers(target)) {
        return Ok(None);
    }
    // As everywhere, a scheme may be left out there.
    let url = if value.contains("://") { value } else { format!("http://{value}") };
    let proxy = HttpProxy::parse(&url).map_err(|reason| {
        EventFluxError::configuration(format!("environment variable {variable} {reason}"))
            .with_hint(format!("set {PROXY_URL} to http://host:port, or to none to connect without a proxy"))
    })?;
    log::info!("{target} is reached through {proxy} (environment variable {variable})");
    Ok(Some(proxy))
}

fn first_set<'a>(names: &[&'a str], lookup: &dyn Fn(&str) -> Option<String>) -> Option<(&'a str, String)> {
    names.iter().find_map(|name| {
        let value = lookup(name)?.trim().to_owned();
        (!value.is_empty()).then_some((*name, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::properties;

    fn setting(value: &str) -> Result<ProxySetting, EventFluxError> {
        let mode = eventflux_core::PropertySpec::new("websocket.mode", eventflux_core::PropertyKind::Text, "");
        let specs = [properties::PROXY_URL, mode.default("client")];
        ProxySetting::from_properties(&Properties::from_pairs(&specs, [(PROXY_URL, value)])?)
    }

    fn choose(url: &str, environment: &[(&str, &str)]) -> Result<Option<HttpProxy>, EventFluxError> {
        let target = Peer::of_url(&Url::parse(url).unwrap()).unwrap();
        let lookup = |name: &str| {
            environment.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        };
        ProxySetting::Environment.proxy_for(&target, url.starts_with("wss"), &lookup)
    }

    #[test]
    fn a_url_becomes_a_proxy_with_basic_credentials() {
        let cases = [
            ("http://squid:3128", "proxy squid:3128", None),
            ("HTTP://squid/", "proxy squid:80", None),
            ("http://Aladdin:open%20sesame@[::1]:3128/", "proxy [::1]:3128", Some("QWxhZGRpbjpvcGVuIHNlc2FtZQ==")),
            ("http://Aladdin@squid", "proxy squid:80", Some("QWxhZGRpbjo=")),
        ];
        for (url, shown, credentials) in cases {
            let Ok(ProxySetting::Proxy(proxy)) = setting(url) else { panic!("{url}") };
            assert_eq!(proxy.to_string(), shown);
            let expected = credentials.map(|credentials| Secret::new(format!("Basic {credentials}")));
            assert_eq!(proxy.authorization, expected, "{url}");
        }
        assert_eq!(setting(" none "), Ok(ProxySetting::Direct));
    }

    #[test]
    fn what_is_no_supported_proxy_is_refused_with_the_reason_and_no_secret() {
        for (url, reason) in [
            ("https://me:hunter2@squid:3129", "names a https:// proxy; only http:// proxies are supported"),
            ("SOCKS5://me:hunter2@squid", "names a socks5:// proxy"),
            ("me:hunter2@squid:3128", "not the URL of an http:// proxy"),
            ("hunter2://squid", "not the URL of an http:// proxy"),
            ("http://me:hunt/er2@squid:3128", "is no URL"),
            ("http://me\\hunter2@squid:3128", "more than a host and a port"),
            ("http://squid:3128/path?hunter2", "more than a host and a port"),
            ("http://m%3Ae:hunter2@squid", "':'"),
            ("", "not the URL"),
            ("http://", "is no URL"),
        ] {
            let error = setting(url).unwrap_err().to_string();
            assert!(error.starts_with("property 'websocket.proxy.url': ") && error.contains(reason), "{error}");
            assert!(error.contains("or none") && !error.contains("hunt"), "{error}");
        }
    }

    #[test]
    fn credentials_are_never_printed() {
        let setting = setting("http://me:hunter2@squid:3128").unwrap();
        let ProxySetting::Proxy(proxy) = &setting else { panic!() };
        let basic = proxy.authorization.clone().unwrap();
        let encoded = basic.expose().trim_start_matches("Basic ");
        let shown = format!("{setting:?} {proxy} {proxy:?}");
        assert!(!shown.contains("hunter2") && !shown.contains(encoded) && !shown.contains("me:"), "{shown}");
    }

    #[test]
    fn the_environment_names_the_proxy_by_the_scheme_of_the_endpoint() {
        let all: &[(&str, &str)] = &[("HTTPS_PROXY", "http://s:1"), ("HTTP_PROXY", "p:2"), ("ALL_PROXY", "a:3")];
        let cases = [
            ("wss://h", all, Some("proxy s:1")),
            ("ws://h", all, Some("proxy p:2")),
            ("ws://h", &all[..1], None),
            ("wss://h", &all[2..], Some("proxy a:3")),
            ("wss://h", &[("https_proxy", "http://s:1"), ("HTTPS_PROXY", " ")], Some("proxy s:1")),
            ("ws://h", &[("http_proxy", "http://p:2"), ("all_proxy", "a:3")], Some("proxy p:2")),
            ("wss://h", &[], None),
        ];
        for (url, environment, expected) in cases {
            let chosen = choose(url, environment).unwrap().map(|proxy| proxy.to_string());
            assert_eq!(chosen.as_deref(), expected, "{url} {environment:?}");
        }
    }

    #[test]
    fn exceptions_and_loopback_go_past_the_environments_proxy_even_a_bad_one() {
        let environment = [("ALL_PROXY", "socks5://me:hunter2@h:1080"), ("no_proxy", "example.com,10.0.0.0/8")];
        for url in ["wss://feed.example.com", "ws://10.1.2.3", "ws://localhost:1", "wss://127.0.0.1", "ws://[::1]"] {
            assert_eq!(choose(url, &environment), Ok(None), "{url}");
        }
        let error = choose("wss://example.org", &environment).unwrap_err().to_string();
        assert!(error.contains("environment variable ALL_PROXY names a socks5:// proxy"), "{error}");
        assert!(error.contains("websocket.proxy.url") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn the_property_wins_over_the_environment() {
        let target = Peer::of_url(&Url::parse("ws://localhost").unwrap()).unwrap();
        let environment = |_: &str| Some("http://other:1".to_owned());
        let proxy_for = |value| setting(value).unwrap().proxy_for(&target, false, &environment).unwrap();
        assert_eq!(proxy_for("none"), None);
        assert_eq!(proxy_for("http://squid:3128").unwrap().to_string(), "proxy squid:3128");
    }
}
