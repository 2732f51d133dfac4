//! The conversation with an HTTP proxy that ends in a tunnel: CONNECT (RFC 9110 section 9.3.6).
//!
//! Only Basic authentication, sent with the first request. The answer's head is bounded; a body is not read.

use httparse::{EMPTY_HEADER, Header, Response, Status};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::addresses::Peer;
use super::dial_error::DialError;
use super::proxy::HttpProxy;

/// Most bytes of an answer, interim answers before it included.
pub(super) const MAX_ANSWER_BYTES: usize = 8 * 1024;

/// Most header lines of an answer.
const MAX_ANSWER_HEADERS: usize = 64;

/// A final answer.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    /// Whether the proxy would take Basic credentials, as far as it says.
    takes_basic: bool,
    /// Bytes that came behind the head.
    excess: usize,
}

/// Asks the proxy at the other end of `stream` for a tunnel to `target`. When it returns, the stream is the tunnel: not
/// a byte of it has been read.
///
/// # Errors
/// When the proxy refuses, answers something else, or goes away.
pub(super) async fn open<S>(stream: &mut S, proxy: &HttpProxy, target: &Peer) -> Result<(), DialError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let lost = |error: std::io::Error| DialError::ProxyLost { proxy: proxy.peer.clone(), reason: error.to_string() };
    stream.write_all(request(proxy, target).as_bytes()).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    let answer = read_answer(stream, &proxy.peer).await?;
    match answer {
        Answer { status: 200..=299, excess: 0, .. } => Ok(()),
        // In WebSocket and in TLS the client speaks first.
        Answer { status: 200..=299, excess, .. } => {
            Err(misbehaved(&proxy.peer, format!("{excess} bytes follow its answer before we have sent anything")))
        }
        Answer { status, .. } => {
            let advice = advice(&answer, proxy.authorization.is_some());
            Err(DialError::ProxyRefused { proxy: proxy.peer.clone(), status, advice })
        }
    }
}

fn request(proxy: &HttpProxy, target: &Peer) -> String {
    let authority = target.authority();
    let agent = concat!("eventflux/", env!("CARGO_PKG_VERSION"));
    let mut text = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {agent}\r\n");
    if let Some(authorization) = &proxy.authorization {
        text.extend(["Proxy-Authorization: ", authorization.expose(), "\r\n"]);
    }
    text.push_str("\r\n");
    text
}

async fn read_answer<S: AsyncRead + Unpin>(stream: &mut S, proxy: &Peer) -> Result<Answer, DialError> {
    let mut bytes = Vec::with_capacity(1024);
    let mut interim = 0;
    loop {
        let room = MAX_ANSWER_BYTES - bytes.len();
        if room == 0 {
            return Err(misbehaved(proxy, format!("its answer has more than {MAX_ANSWER_BYTES} bytes")));
        }
        let read = (&mut *stream).take(room as u64).read_buf(&mut bytes).await;
        let lost = |reason: String| DialError::ProxyLost { proxy: proxy.clone(), reason };
        match read {
            Ok(0) => return Err(lost("it ended the connection before it answered".to_owned())),
            Ok(_) => {}
            Err(error) => return Err(lost(error.to_string())),
        }
        while let Some((length, answer)) = parse(&bytes[interim..]).map_err(|reason| misbehaved(proxy, reason))? {
            if answer.status != 101 && (100..200).contains(&answer.status) {
                interim += length;
            } else {
                return Ok(answer);
            }
        }
    }
}

/// The head at the start of `bytes` with its length; `None` while it is not complete.
fn parse(bytes: &[u8]) -> Result<Option<(usize, Answer)>, String> {
    let mut headers = [EMPTY_HEADER; MAX_ANSWER_HEADERS];
    let mut response = Response::new(&mut headers);
    match response.parse(bytes) {
        Ok(Status::Partial) => Ok(None),
        Ok(Status::Complete(length)) => {
            let answer = Answer {
                status: response.code.unwrap_or_default(),
                takes_basic: takes_basic(response.headers),
                excess: bytes.len() - length,
            };
            Ok(Some((length, answer)))
        }
        // The parser's message tells what it did not like, not what it read.
        Err(error) => Err(error.to_string()),
    }
}

/// Whether a Proxy-Authenticate header names Basic, or there is none at all.
fn takes_basic(headers: &[Header<'_>]) -> bool {
    let mut challenges =
        headers.iter().filter(|header| header.name.eq_ignore_ascii_case("proxy-authenticate")).peekable();
    let names_basic = |challenge: &[u8]| {
        let scheme = challenge.trim_ascii().split(|byte| *byte == b' ').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"basic")
    };
    challenges.peek().is_none() || challenges.any(|header| header.value.split(|byte| *byte == b',').any(names_basic))
}

fn advice(answer: &Answer, sent_credentials: bool) -> &'static str {
    match (answer.status, sent_credentials) {
        (407, _) if !answer.takes_basic => "it wants a kind of authentication other than Basic, the only one supported",
        (407, true) => "it does not accept the user and password it was given",
        (407, false) => "it wants a user and a password (websocket.proxy.url='http://user:password@host:port')",
        (403, _) => "it does not allow connections to this host and port",
        (502..=504, _) => "it cannot reach the host",
        _ => "it does not connect us",
    }
}

fn misbehaved(proxy: &Peer, reason: String) -> DialError {
    DialError::ProxyMisbehaved { proxy: proxy.clone(), reason }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use eventflux_core::Secret;
    use tokio::io::{DuplexStream, duplex};
    use tokio::time::timeout;
    use url::Host;

    use super::*;

    const OK: &[u8] = b"HTTP/1.1 200 Connection established\r\nContent-Length: 0\r\n\r\n";

    fn proxy(with_credentials: bool) -> HttpProxy {
        let peer = Peer { host: Host::Domain("squid".into()), port: 3128, is_proxy: true };
        HttpProxy { peer, authorization: with_credentials.then(|| Secret::new("Basic hunter2")) }
    }

    fn target() -> Peer {
        Peer { host: Host::Ipv6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()), port: 443, is_proxy: false }
    }

    /// Reads the request and gives `answer`, a byte at a time where `slowly`; then the stream, still open.
    async fn answer(mut stream: DuplexStream, answer: &[u8], slowly: bool) -> DuplexStream {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
        }
        for piece in answer.chunks(if slowly { 1 } else { usize::MAX }) {
            // The client hangs up where it has seen enough.
            if stream.write_all(piece).await.is_err() {
                break;
            }
            if slowly {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        stream
    }

    async fn converse(bytes: &[u8], with_credentials: bool) -> Result<(), DialError> {
        let (mut ours, theirs) = duplex(64 * 1024);
        let (proxy, target) = (proxy(with_credentials), target());
        // Hangs up when it has its answer.
        let client = async move { open(&mut ours, &proxy, &target).await };
        let (result, _) = tokio::join!(client, answer(theirs, bytes, false));
        result
    }

    #[test]
    fn the_request_names_the_endpoint_and_the_credentials_once() {
        let agent = concat!("User-Agent: eventflux/", env!("CARGO_PKG_VERSION"), "\r\n");
        let head = format!("CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n{agent}");
        assert_eq!(request(&proxy(false), &target()), format!("{head}\r\n"));
        assert_eq!(request(&proxy(true), &target()), format!("{head}Proxy-Authorization: Basic hunter2\r\n\r\n"));
    }

    #[tokio::test]
    async fn every_2xx_opens_the_tunnel_also_behind_interim_answers() {
        for answer in [
            OK,
            b"HTTP/1.0 200\r\n\r\n",
            b"HTTP/1.1 204 Fine\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        ] {
            assert_eq!(converse(answer, false).await, Ok(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_is_waited_for_and_what_comes_later_is_left_in_the_stream() {
        let (mut ours, theirs) = duplex(64);
        let (proxy, target) = (proxy(false), target());
        let (result, mut theirs) = tokio::join!(open(&mut ours, &proxy, &target), answer(theirs, OK, true));
        assert_eq!(result, Ok(()));
        theirs.write_all(b"first").await.unwrap();
        let mut first = [0; 5];
        ours.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"first");
    }

    #[tokio::test]
    async fn a_refusal_tells_the_status_and_what_to_do() {
        let basic = "407 Auth\r\nProxy-Authenticate: Negotiate, basic realm=\"x\"";
        for (head, with_credentials, status, advice) in [
            (basic, false, 407, "wants a user and a password (websocket.proxy.url="),
            (basic, true, 407, "does not accept the user and password"),
            ("407 Auth", false, 407, "wants a user and a password"),
            ("407 Auth\r\nProxy-Authenticate: NTLM", true, 407, "other than Basic"),
            ("403 Forbidden", false, 403, "does not allow"),
            ("502 Bad Gateway\r\nContent-Length: 3", false, 502, "cannot reach the host"),
            ("301 Moved\r\nLocation: http://evil/", false, 301, "does not connect us"),
            ("101 Switching Protocols", false, 101, "does not connect us"),
        ] {
            let error = converse(format!("HTTP/1.1 {head}\r\n\r\nabc").as_bytes(), with_credentials).await.unwrap_err();
            assert!(matches!(&error, DialError::ProxyRefused { status: given, .. } if *given == status), "{error}");
            let shown = error.to_string();
            assert!(shown.starts_with("proxy squid:3128 refused with status") && shown.contains(advice), "{shown}");
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_to_connect_is_told_as_such() {
        let endless = [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'x'; 2 * MAX_ANSWER_BYTES]].concat();
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(MAX_ANSWER_BYTES);
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MAX_ANSWER_HEADERS + 1));
        let cases: [(&[u8], &str); 7] = [
            (b"SSH-2.0-OpenSSH_9.6\r\n", "invalid HTTP version"),
            (b"\x05\xff", "invalid HTTP version"),
            (b"HTTP/1.1 200 OK\r\n no colon\r\n\r\n", "invalid header name"),
            (b"HTTP/1.1 200 OK\r\n\r\n\x81\x00", "2 bytes follow its answer"),
            (&endless, "more than 8192 bytes"),
            (&interim, "more than 8192 bytes"),
            (many.as_bytes(), "too many headers"),
        ];
        for (bytes, reason) in cases {
            let error = converse(bytes, false).await.unwrap_err();
            assert!(matches!(error, DialError::ProxyMisbehaved { .. }) && !error.is_retryable(), "{error}");
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    #[tokio::test]
    async fn a_proxy_that_hangs_up_early_may_be_tried_again() {
        for part in [&b""[..], b"HTTP/1.1 200 OK\r\nVia: x\r\n"] {
            let (mut ours, theirs) = duplex(1024);
            let (proxy, target) = (proxy(false), target());
            let hang_up = async { drop(answer(theirs, part, false).await) };
            let (result, ()) = tokio::join!(open(&mut ours, &proxy, &target), hang_up);
            let error = result.unwrap_err();
            assert!(matches!(error, DialError::ProxyLost { .. }) && error.is_retryable(), "{error}");
            assert!(error.to_string().contains("ended the connection before it answered"), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dribbled_head_lasts_no_longer_than_the_callers_patience() {
        let (mut ours, theirs) = duplex(64);
        let (proxy, target) = (proxy(false), target());
        let endless = [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'x'; MAX_ANSWER_BYTES]].concat();
        let patience = timeout(Duration::from_secs(60), open(&mut ours, &proxy, &target));
        tokio::select! {
            result = patience => assert!(result.is_err(), "{result:?}"),
            _ = answer(theirs, &endless, true) => panic!("the client read on"),
        }
    }

    proptest::proptest! {
        #[test]
        fn no_answer_panics(bytes: Vec<u8>, tail in "[ -~\r\n]{0,200}") {
            let _ = parse(&bytes);
            let _ = parse(format!("HTTP/1.1 407 x\r\nProxy-Authenticate: {tail}\r\n\r\n").as_bytes());
        }
    }
}
