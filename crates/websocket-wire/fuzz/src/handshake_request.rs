//! A client that asks for an upgrade, or for something else.
//!
//! The input: what the client sends.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use eventflux_websocket_wire::Limits;
use eventflux_websocket_wire::deflate::{DeflateConfig, DirectionConfig};
use eventflux_websocket_wire::handshake::{
    Accept, ClientRequest, HandshakeError, MAX_HEAD_BYTES, Refusal, UpgradeRequest, is_token,
};
use tokio::io::{empty, join};
use url::Url;

/// What the server wants.
const DEFLATE: DeflateConfig = deflate(12, 10);

/// What takes any answer about permessage-deflate there can be.
const ANY_DEFLATE: DeflateConfig = deflate(15, 15);

/// The longest answer, in bytes: of the request it repeats one subprotocol at most.
const MAX_ANSWER_BYTES: usize = 1024 + MAX_HEAD_BYTES;

/// Whatever comes is refused properly, or is a request whose parts are what they are said to be, and whose answer a
/// client accepts.
pub fn handshake_request(input: &[u8]) {
    let read = now(UpgradeRequest::read(&mut &input[..]));
    let end = input.windows(4).position(|window| window == b"\r\n\r\n").map_or(input.len(), |start| start + 4);
    let parsed = UpgradeRequest::parse(&input[..end]);
    match (&read, &parsed) {
        (Ok(_), Ok(_)) | (Err(Refusal::Gone | Refusal::Status { status: 431, .. }), _) => {}
        (Err(read), Err(parsed)) => assert_eq!(read, parsed),
        (read, parsed) => panic!("read: {read:?}, parsed: {parsed:?}"),
    }
    for (request, deflate) in [(read, None), (parsed, Some(DEFLATE))] {
        match request {
            Ok(request) => {
                check_parts(&request);
                check_answer(request, deflate);
            }
            Err(refusal) => check_refusal(&refusal),
        }
    }
}

const fn deflate(send_bits: u8, receive_bits: u8) -> DeflateConfig {
    DeflateConfig {
        threshold_bytes: 0,
        level: 1,
        send: DirectionConfig { window_bits: send_bits, context_takeover: true },
        receive: DirectionConfig { window_bits: receive_bits, context_takeover: true },
    }
}

/// The result of what has nothing to wait for.
fn now<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it waits"),
    }
}

fn check_parts(request: &UpgradeRequest) {
    assert!(request.path().starts_with('/') && !request.path().contains(['?', '#', ' ']), "{:?}", request.path());
    assert!(!request.query().is_some_and(|query| query.contains(['#', ' '])), "{:?}", request.query());
    assert!(request.host().bytes().all(|byte| byte.is_ascii_graphic()) && !request.host().is_empty());
    assert!(!request.host().contains(['/', '@', '?', '#', '\\']), "{:?}", request.host());
    assert!(request.origin().is_none_or(|origin| origin.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))));
    let offered: Vec<String> = request.subprotocols().map(str::to_owned).collect();
    assert!(offered.iter().all(|name| is_token(name)), "{offered:?}");
    assert_eq!(request.choose_subprotocol(&offered), offered.first().map(String::as_str));
}

/// The answer is that of a server to a client that asked for the same.
fn check_answer(request: UpgradeRequest, deflate: Option<DeflateConfig>) {
    let offered: Vec<String> = request.subprotocols().map(str::to_owned).collect();
    let key =
        request.header("Sec-WebSocket-Key").next().map(|key| std::str::from_utf8(key).unwrap().to_owned()).unwrap();
    let subprotocol = offered.last().map(String::as_str);
    let mut answer = Vec::new();
    let accept = Accept { limits: Limits::default(), subprotocol, deflate };
    let connected = now(request.accept(join(empty(), &mut answer), accept)).unwrap();
    let agreed = connected.deflate;
    assert_eq!(connected.subprotocol.as_deref(), subprotocol);
    drop(connected);
    assert!(answer.len() <= MAX_ANSWER_BYTES, "{} bytes", answer.len());
    let url = Url::parse("ws://h/").unwrap();
    let client =
        ClientRequest { url: &url, headers: &[], subprotocols: &offered, deflate: agreed.map(|_| ANY_DEFLATE) };
    let upgraded = client.verify(&key, &answer).unwrap();
    assert_eq!(upgraded.subprotocol.as_deref(), subprotocol);
    match (upgraded.deflate, agreed) {
        (None, None) => {}
        (Some(at_client), Some(at_server)) => {
            assert_eq!(at_client.receive, at_server.send);
            assert_eq!(at_client.send.window_bits, at_server.receive.window_bits);
            assert!(at_server.send.window_bits <= DEFLATE.send.window_bits);
        }
        (at_client, at_server) => panic!("{at_client:?} and {at_server:?}"),
    }
}

/// The refusal is one response, whose body has the length it says, or nothing when nobody is there.
fn check_refusal(refusal: &Refusal) {
    let answer = refusal.encode();
    let Refusal::Status { status, .. } = refusal else {
        assert!(answer.is_empty());
        return;
    };
    assert!((400..600).contains(status) && answer.len() <= MAX_ANSWER_BYTES, "{refusal:?}");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let url = Url::parse("ws://h/").unwrap();
    let client = ClientRequest { url: &url, headers: &[], subprotocols: &[], deflate: None };
    let Err(HandshakeError::Refused(refused)) = client.verify("", &answer[..end]) else { panic!("{refusal:?}") };
    assert_eq!(refused.status, *status);
    let length = refused.headers.iter().find(|(name, _)| name == "content-length").unwrap();
    assert_eq!(length.1, (answer.len() - end).to_string());
}
