//! From an endpoint's URL to a byte stream: name, addresses, TCP, and a proxy's tunnel where one is configured.
//!
//! TLS and the WebSocket handshake come after it, and whoever calls it owns the deadline.

use std::net::SocketAddr;
use std::time::Duration;

use eventflux_core::{EventFluxError, Properties};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::addresses::{AddressFamily, Candidates, Peer};
use super::connect::{RaceEnd, first_to_connect};
use super::dial_error::{DialError, Missing};
use super::proxy::{HttpProxy, ProxySetting};
use super::tcp::TcpOptions;
use super::tunnel;

/// How to reach a host. Its debug form shows no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DialConfig {
    /// Which addresses may be used.
    pub(crate) family: AddressFamily,
    /// Where to learn of a proxy.
    pub(crate) proxy: ProxySetting,
    /// What to set on the socket.
    pub(crate) tcp: TcpOptions,
}

/// Connects to one endpoint, as often as it is asked to.
#[derive(Debug)]
pub(crate) struct Dialer {
    target: Peer,
    proxy: Option<HttpProxy>,
    family: AddressFamily,
    tcp: TcpOptions,
}

impl DialConfig {
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        Ok(Self {
            family: AddressFamily::from_properties(properties)?,
            proxy: ProxySetting::from_properties(properties)?,
            tcp: TcpOptions::from_properties(properties)?,
        })
    }
}

impl Dialer {
    /// Decides on the proxy for a `ws` or `wss` URL; `lookup` reads the environment.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when the URL has no host, the environment names a proxy that we do not speak
    /// to, or the address to connect to is not of the configured family.
    pub(crate) fn new(
        config: &DialConfig,
        url: &Url,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, EventFluxError> {
        let target = Peer::of_url(url)
            .ok_or_else(|| EventFluxError::property("websocket.url", "names no host to connect to"))?;
        let proxy = config.proxy.proxy_for(&target, url.scheme() == "wss", lookup)?;
        let dialer = Self { target, proxy, family: config.family, tcp: config.tcp };
        dialer.family.check(dialer.first_hop())?;
        Ok(dialer)
    }

    /// Tries once, until `deadline`. Dropping the future ends all its attempts.
    ///
    /// # Errors
    /// Why there is no stream.
    pub(crate) async fn dial(&self, deadline: Instant) -> Result<TcpStream, DialError> {
        let within = deadline.saturating_duration_since(Instant::now());
        let hop = self.first_hop();
        let mut stream = self.connect(hop, deadline, within).await?;
        if let Err(error) = self.tcp.apply(&stream) {
            log::warn!("{hop}: the system does not take a TCP option: {error}");
        }
        if let Some(proxy) = &self.proxy {
            let tunnel = tunnel::open(&mut stream, proxy, &self.target);
            let late = |_| DialError::NoAnswer { peer: hop.clone(), missing: Missing::ProxyAnswer, within };
            timeout_at(deadline, tunnel).await.map_err(late)??;
        }
        Ok(stream)
    }

    fn first_hop(&self) -> &Peer {
        self.proxy.as_ref().map_or(&self.target, |proxy| &proxy.peer)
    }

    async fn connect(&self, peer: &Peer, deadline: Instant, within: Duration) -> Result<TcpStream, DialError> {
        let no_answer = |missing| DialError::NoAnswer { peer: peer.clone(), missing, within };
        let resolved = timeout_at(deadline, peer.resolve()).await.map_err(|_| no_answer(Missing::Name))?;
        let candidates = candidates(peer, resolved, self.family)?;
        first_to_connect(candidates, deadline, TcpStream::connect).await.map_err(|end| match end {
            RaceEnd::Lost(failures) => DialError::Unreachable { peer: peer.clone(), failures },
            RaceEnd::Late(failures) => no_answer(Missing::Connection(failures)),
        })
    }
}

fn candidates(
    peer: &Peer,
    resolved: Result<Vec<SocketAddr>, String>,
    family: AddressFamily,
) -> Result<Candidates, DialError> {
    let unknown = |reason| DialError::Name { peer: peer.clone(), reason };
    let resolved = resolved.map_err(unknown)?;
    if resolved.is_empty() {
        return Err(unknown("it has no address".to_owned()));
    }
    let candidates = Candidates::new(resolved, family);
    if candidates.addresses.is_empty() {
        return Err(DialError::Family { peer: peer.clone(), family });
    }
    Ok(candidates)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    #[test]
    fn a_name_without_a_usable_address_is_an_error() {
        let peer = Peer::of_url(&Url::parse("ws://h").unwrap()).unwrap();
        let error = |resolved, family| candidates(&peer, resolved, family).unwrap_err();
        assert_eq!(
            error(Err("no such name".into()), AddressFamily::Any).to_string(),
            "h:80: the name cannot be resolved: no such name"
        );
        assert!(matches!(error(Ok(Vec::new()), AddressFamily::Any), DialError::Name { .. }));
        assert!(
            error(Ok(vec![([192, 0, 2, 1], 80).into()]), AddressFamily::Ipv6)
                .to_string()
                .contains("websocket.address.family='ipv6'")
        );
    }

    fn dialer(url: &str, family: AddressFamily, http_proxy: Option<&str>) -> Result<Dialer, EventFluxError> {
        let tcp = TcpOptions { nodelay: true, keep_alive: Some(Duration::from_secs(60)) };
        let config = DialConfig { family, proxy: ProxySetting::Environment, tcp };
        let lookup = |name: &str| http_proxy.filter(|_| name == "HTTP_PROXY").map(str::to_owned);
        Dialer::new(&config, &Url::parse(url).unwrap(), &lookup)
    }

    async fn dial(url: &str, http_proxy: Option<&str>, time: Duration) -> Result<TcpStream, DialError> {
        dialer(url, AddressFamily::Any, http_proxy).unwrap().dial(Instant::now() + time).await
    }

    /// A port on which nothing listens: bound, but refusing.
    fn refusing() -> (tokio::net::TcpSocket, SocketAddr) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    #[tokio::test]
    async fn addresses_of_both_families_and_names_are_reached_with_the_options_set() {
        for host in ["127.0.0.1", "[::1]", "localhost"] {
            let bind = if host == "localhost" { "127.0.0.1" } else { host };
            // A machine may have no IPv6.
            let Ok(listener) = TcpListener::bind(format!("{bind}:0")).await else { continue };
            let url = format!("ws://{host}:{}/", listener.local_addr().unwrap().port());
            let stream = dial(&url, Some("http://never.asked.invalid:1"), DEADLINE).await.unwrap();
            assert!(stream.nodelay().unwrap() && socket2::SockRef::from(&stream).keepalive().unwrap());
            assert_eq!(stream.local_addr().unwrap(), listener.accept().await.unwrap().1);
        }
    }

    #[tokio::test]
    async fn a_refusal_names_the_address_and_may_be_retried() {
        let (_socket, address) = refusing();
        let error = dial(&format!("ws://{address}/"), None, DEADLINE).await.unwrap_err();
        let shown = error.to_string();
        assert!(shown.starts_with(&format!("{address} cannot be reached: {address}: ")), "{shown}");
        assert!(matches!(error, DialError::Unreachable { .. }) && error.is_retryable());
    }

    #[test]
    fn an_address_of_the_wrong_family_is_refused_at_start_be_it_the_proxys() {
        let error = |url, proxy| dialer(url, AddressFamily::Ipv6, proxy).unwrap_err().to_string();
        assert!(error("ws://127.0.0.1/", None).contains("websocket.address.family"));
        assert!(error("ws://example.test/", Some("http://10.0.0.1:3128")).contains("proxy 10.0.0.1:3128"));
        assert!(dialer("ws://10.0.0.1/", AddressFamily::Ipv6, Some("http://squid:3128")).is_ok());
    }

    /// A proxy for one connection: returns the request and echoes what comes through the tunnel.
    async fn proxy(answer: &'static [u8]) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://me:hunter2@{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            stream.write_all(answer).await.unwrap();
            let (mut read, mut write) = stream.split();
            tokio::io::copy(&mut read, &mut write).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        (url, task)
    }

    #[tokio::test]
    async fn a_proxy_is_asked_for_the_endpoint_and_then_is_a_tunnel() {
        let (url, task) = proxy(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 squid\r\n\r\n").await;
        let mut stream = dial("ws://feed.invalid:81/x?token=t", Some(&url), DEADLINE).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut echo = Vec::new();
        stream.read_to_end(&mut echo).await.unwrap();
        assert_eq!(echo, b"hello");
        let request = task.await.unwrap();
        assert!(request.starts_with("CONNECT feed.invalid:81 HTTP/1.1\r\nHost: feed.invalid:81\r\n"), "{request}");
        assert!(request.contains("\r\nProxy-Authorization: Basic bWU6aHVudGVyMg==\r\n"), "{request}");
        assert!(!request.contains("token"), "{request}");
    }

    #[tokio::test]
    async fn a_proxys_refusal_and_silence_are_told_apart_without_credentials() {
        let (url, _task) = proxy(b"HTTP/1.1 407 Authentication Required\r\n\r\n").await;
        let refused = dial("ws://feed.invalid/", Some(&url), DEADLINE).await.unwrap_err();
        assert!(matches!(refused, DialError::ProxyRefused { status: 407, .. }), "{refused}");
        let (url, _task) = proxy(b"HTTP/1.1 200").await;
        let silent = dial("ws://feed.invalid/", Some(&url), Duration::from_millis(200)).await.unwrap_err();
        assert!(matches!(silent, DialError::NoAnswer { missing: Missing::ProxyAnswer, .. }), "{silent}");
        let dialer = dialer("ws://feed.invalid/", AddressFamily::Any, Some(&url)).unwrap();
        let shown = format!("{dialer:?} {refused} {refused:?} {silent} {silent:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("bWU6"), "{shown}");
    }

    #[tokio::test]
    async fn a_proxy_that_is_down_is_named() {
        let (_socket, address) = refusing();
        let error = dial("ws://feed.invalid/", Some(&format!("http://{address}")), DEADLINE).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("proxy {address} cannot be reached: ")), "{error}");
    }
}
