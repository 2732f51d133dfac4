//! The properties of how a client reaches a host, of every TCP connection, of TLS on both ends, and of whom a listener
//! believes and admits.

use eventflux_core::{PropertyKind, PropertySpec};

/// See [`super::proxy::ProxySetting`].
pub(crate) const PROXY_URL: PropertySpec = PropertySpec::new(
    "websocket.proxy.url",
    PropertyKind::Text,
    "The HTTP proxy to connect through (CONNECT), or `none`. When not given, HTTPS_PROXY (wss) or HTTP_PROXY (ws), else ALL_PROXY, less what NO_PROXY names, are taken from the environment, except for endpoints on this machine. Never shown.",
)
.secret()
.example("http://proxy.example:3128")
.only_if("websocket.mode", "client");

/// See [`super::addresses::AddressFamily`].
pub(crate) const ADDRESS_FAMILY: PropertySpec = PropertySpec::new(
    super::addresses::ADDRESS_FAMILY,
    PropertyKind::Choice(&["any", "ipv4", "ipv6"]),
    "Which addresses of the endpoint (or of the proxy) to use. With `any` both families are tried, a quarter of a second apart, and the first connection is taken.",
)
.default("any")
.only_if("websocket.mode", "client");

/// See [`super::tcp::TcpOptions`].
pub(crate) const TCP_KEEP_ALIVE: PropertySpec = PropertySpec::new(
    super::tcp::KEEP_ALIVE,
    PropertyKind::Duration,
    "How long a TCP connection may be silent before the system probes whether the other end is there; three probes a third of that apart go unanswered before it gives up. 0 for none, else 1s to 9h, in whole seconds. WebSocket pings find out sooner.",
)
.default("0");

/// See [`super::tls_client::TlsClientConfig`].
pub(crate) const TLS_CA: PropertySpec = PropertySpec::new(
    "websocket.tls.ca.file",
    PropertyKind::Path,
    "Certificates (PEM) of the authorities to trust besides the system's.",
)
.only_if("websocket.mode", "client");

/// See [`super::tls_client::TlsClientConfig`].
pub(crate) const TLS_SKIP_VERIFY: PropertySpec = PropertySpec::new(
    "websocket.tls.skip.verify",
    PropertyKind::Boolean,
    "Trust any certificate, of any name and date. For tests only: anybody on the way can read and change everything.",
)
.default("false")
.only_if("websocket.mode", "client");

/// See [`super::pem::IdentityFiles`].
pub(crate) const TLS_CERT: PropertySpec = PropertySpec::new(
    "websocket.tls.cert.file",
    PropertyKind::Path,
    "Our certificate (PEM), followed by those that signed it. In server mode it makes the listener speak TLS only (wss://), and a changed file is taken up while connections stay; in client mode it is for servers that ask for one.",
);

/// See [`super::pem::IdentityFiles`].
pub(crate) const TLS_KEY: PropertySpec = PropertySpec::new(
    "websocket.tls.key.file",
    PropertyKind::Path,
    "The private key of that certificate (PEM, not encrypted).",
);

/// See [`super::tls_server::ClientCertificates`].
pub(crate) const TLS_CLIENT_CA: PropertySpec = PropertySpec::new(
    "websocket.tls.client.ca.file",
    PropertyKind::Path,
    "Certificates (PEM) of the authorities that sign our clients' certificates. No other authority is trusted for that.",
)
.only_if("websocket.mode", "server");

/// See [`super::tls_server::ClientCertificates`].
pub(crate) const TLS_CLIENT_AUTH: PropertySpec = PropertySpec::new(
    "websocket.tls.client.auth",
    PropertyKind::Choice(&["none", "request", "require"]),
    "Whether clients are asked for a certificate: with `request` a client may have none, with `require` it must have one; a bad one is refused in both cases.",
)
.default("none")
.only_if("websocket.mode", "server");

/// See [`super::origin::SitePolicy`].
pub(crate) const ORIGINS: PropertySpec = PropertySpec::new(
    "websocket.origins",
    PropertyKind::Text,
    "The web pages that may connect, by origin (scheme://host[:port]), separated by commas; https://*.example.com stands for all subdomains, `null` for pages without an origin, `*` alone for every page. When not given, only pages of the host and port they connect to may. Programs that are no browsers send no origin and may always connect.",
)
.example("https://app.example.com, https://*.example.org")
.default_for("websocket.protocol", &[("analytics", "${env:STREAMING_WEBSOCKET__ALLOWED_ORIGINS:*}")])
.only_if("websocket.mode", "server");

/// See [`super::origin::SitePolicy`].
pub(crate) const ORIGIN_REQUIRED: PropertySpec = PropertySpec::new(
    "websocket.origin.required",
    PropertyKind::Boolean,
    "Whether to refuse requests without an Origin header too, that is, to admit browsers only. No protection against programs: they can send any origin.",
)
.default("false")
.only_if("websocket.mode", "server");

/// See [`super::origin::SitePolicy`].
pub(crate) const HOSTS: PropertySpec = PropertySpec::new(
    "websocket.hosts",
    PropertyKind::Text,
    "The names (host or host:port) by which the listener may be addressed, separated by commas; requests with another Host header are refused. Without a port, any will do. When not given, every name will do; but over the loopback interface, web pages without a listed origin must use localhost or an IP address.",
)
.example("feed.example.com, localhost:8080")
.only_if("websocket.mode", "server");

/// See [`super::forwarded::TrustedProxies`].
pub(crate) const TRUSTED_PROXIES: PropertySpec = PropertySpec::new(
    "websocket.trusted.proxies",
    PropertyKind::Text,
    "The reverse proxies and load balancers to believe when they say whom they forward (in Forwarded or X-Forwarded-For): IP addresses and networks, separated by commas.",
)
.example("10.0.0.0/8, 2001:db8::7")
.only_if("websocket.mode", "server");

/// See [`super::proxy_protocol`].
pub(crate) const PROXY_PROTOCOL: PropertySpec = PropertySpec::new(
    "websocket.proxy.protocol",
    PropertyKind::Boolean,
    "Whether connections from trusted proxies begin with a PROXY protocol header, version 1 or 2. Then one without it is closed; connections from elsewhere must not have it.",
)
.default("false")
.only_if("websocket.mode", "server");
