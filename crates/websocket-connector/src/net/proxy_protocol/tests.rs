//! Headers as proxies write them, and everything else that may come instead, over loopback.

use std::time::Duration;

use eventflux_core::{PropertyKind, PropertySpec};
use proptest::prelude::*;
use proxy_header::ProxiedAddress;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);
const BEHIND: &[u8] = b"GET / HTTP/1.1\r\n";

async fn connection() -> (TcpStream, TcpStream, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    proxy.set_nodelay(true).unwrap();
    let (accepted, peer) = listener.accept().await.unwrap();
    (proxy, accepted, peer)
}

/// What is made of a connection that begins with these bytes and has [`BEHIND`] behind them; `None` for the peer's
/// own address. Sent in pieces of this size.
async fn read(start: &[u8], piece: usize) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let (mut proxy, mut accepted, peer) = connection().await;
    let bytes = [start, BEHIND].concat();
    let send = async {
        for piece in bytes.chunks(piece) {
            // Fails when the other end has given up on us.
            let _ = proxy.write_all(piece).await;
            tokio::task::yield_now().await;
        }
        let _ = proxy.shutdown().await;
    };
    let receive = async {
        let client = client_address(&mut accepted, peer).await?;
        let mut rest = Vec::new();
        accepted.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, BEHIND, "what follows the header is left alone");
        Ok((client != peer).then_some(client))
    };
    let (result, ()) = timeout(DEADLINE, async { tokio::join!(receive, send) }).await.unwrap();
    result
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [V2_SIGNATURE, &[command, family][..], &length, body].concat()
}

fn source(text: &str) -> Option<SocketAddr> {
    Some(text.parse().unwrap())
}

#[tokio::test]
async fn the_clients_address_is_read_from_both_versions() {
    let ipv4 = [203, 0, 113, 9, 10, 0, 0, 1, 0x15, 0xb3, 0x01, 0xbb];
    let mut ipv6 = [0; 36];
    ipv6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    ipv6[15] = 9;
    ipv6[32..34].copy_from_slice(&5555_u16.to_be_bytes());
    let extended = [&ipv4[..], &[0x04, 0x02, 0x00], &[0; 512]].concat();
    let longest_v1 =
        b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    for (header, expected) in [
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 5555 443\r\n".to_vec(), source("203.0.113.9:5555")),
        (longest_v1.to_vec(), source("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535")),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        ([b"PROXY UNKNOWN ", &[b'x'; 91][..], b"\r\n"].concat(), None),
        (v2(0x21, 0x11, &ipv4), source("203.0.113.9:5555")),
        (v2(0x21, 0x11, &extended), source("203.0.113.9:5555")),
        (v2(0x21, 0x21, &ipv6), source("[2001:db8::9]:5555")),
        (v2(0x20, 0x00, &[]), None),
        (v2(0x20, 0xff, &ipv4), None),
        (v2(0x21, 0x00, &[1, 2, 3]), None),
        (v2(0x21, 0x31, &[0; 216]), None),
    ] {
        for piece in [usize::MAX, 1, 5] {
            assert_eq!(read(&header, piece.min(header.len() + 99)).await.unwrap(), expected, "{header:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_without_a_good_header_is_an_error() {
    let malformed: [Vec<u8>; 11] = [
        b"PROXY TCP4 203.0.113.9 10.0.0.1 5555\r\n".to_vec(),
        b"PROXY TCP4 2001:db8::9 2001:db8::1 5555 443\r\n".to_vec(),
        b"PROXY TCP5 203.0.113.9 10.0.0.1 5555 443\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.9 10.0.0.1 5555 443\n".to_vec(),
        b"PROXY TCP4 203.0.113.9 10.0.0.1 99999 443\r\n".to_vec(),
        [b"PROXY UNKNOWN ", &[b'x'; 92][..], b"\r\n"].concat(),
        b"PROXY UNKNOWN\rX\r\n".to_vec(),
        v2(0x11, 0x11, &[0; 12]),
        v2(0x22, 0x11, &[0; 12]),
        v2(0x21, 0x11, &[0; 11]),
        v2(0x21, 0x12, &[0; 12]),
    ];
    for header in malformed {
        let error = read(&header, header.len()).await.unwrap_err();
        assert!(matches!(error, ProxyHeaderError::Malformed), "{header:?}: {error:?}");
    }
    for start in [&b""[..], b"PROXYTCP4 ", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00", b"\r\n\r\n\0\r\nQUIX\n"]
    {
        let error = read(start, 99).await.unwrap_err();
        assert!(matches!(error, ProxyHeaderError::Missing), "{start:?}: {error:?}");
    }
    let error = read(&v2(0x21, 0x11, &[0; 537]), 999).await.unwrap_err();
    assert!(matches!(error, ProxyHeaderError::TooLong(553)), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_ends_within_the_header_is_an_error() {
    for start in [&b"PROXY TCP4 203.0"[..], b"PROX", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\0\0"] {
        let (mut proxy, mut accepted, peer) = connection().await;
        proxy.write_all(start).await.unwrap();
        drop(proxy);
        let error = client_address(&mut accepted, peer).await.unwrap_err();
        assert!(matches!(error, ProxyHeaderError::Io(_)), "{start:?}: {error:?}");
    }
}

#[test]
fn a_header_is_of_no_use_when_nobody_is_trusted() {
    let mode = PropertySpec::new("websocket.mode", PropertyKind::Text, "Role.").default("server");
    let specs = [mode, PROXY_PROTOCOL, TRUSTED_PROXIES];
    let expected = |raw: &[(&str, &str)]| {
        let properties = Properties::from_pairs(&specs, raw.iter().copied()).unwrap();
        from_properties(&properties, &TrustedProxies::from_properties(&properties).unwrap())
    };
    let on = (PROXY_PROTOCOL.key, "true");
    let error = expected(&[on]).unwrap_err().to_string();
    assert!(error.contains("has no effect without websocket.trusted.proxies"), "{error}");
    assert_eq!(expected(&[on, (TRUSTED_PROXIES.key, "10.0.0.1")]), Ok(true));
    assert_eq!(expected(&[(TRUSTED_PROXIES.key, "10.0.0.1")]), Ok(false));
}

proptest! {
    #[test]
    fn no_header_panics(version_1: bool, rest in proptest::collection::vec(any::<u8>(), 0..120), text in "[ -~]{0,100}") {
        let start: &[u8] = if version_1 { V1_PREFIX } else { V2_SIGNATURE };
        let _ = parse(&rest);
        let _ = parse(&[start, &rest].concat());
        let _ = parse(format!("PROXY {text}\r\n").as_bytes());
        let _ = parse(format!("PROXY TCP4 {text}\r\n").as_bytes());
    }

    #[test]
    fn what_a_proxy_writes_is_read_back(source: SocketAddr, destination: SocketAddr) {
        prop_assume!(source.is_ipv4() == destination.is_ipv4());
        let without_scope = SocketAddr::new(source.ip(), source.port());
        let header = ProxyHeader::with_address(ProxiedAddress::stream(source, destination));
        let mut bytes = [0; 256];
        let length = header.encode_to_slice_v1(&mut bytes).unwrap();
        prop_assert!(length <= MAX_V1_BYTES);
        prop_assert_eq!(parse(&bytes[..length]).unwrap(), Some(without_scope));
        let length = header.encode_to_slice_v2(&mut bytes).unwrap();
        prop_assert_eq!(parse(&bytes[..length]).unwrap(), Some(without_scope));
    }
}
