//! A server that answers a request for an upgrade, properly or not.
//!
//! The input: a byte of flags, [`DEFLATE`] and the others, and what the server sends: the head of the final response,
//! what came before it, a body. [`ACCEPT`] answers the key.

use eventflux_core::Secret;
use eventflux_websocket_wire::Limits;
use eventflux_websocket_wire::deflate::{DeflateConfig, DirectionConfig};
use eventflux_websocket_wire::handshake::{ClientRequest, HandshakeError, connect};
use tokio::io::{AsyncReadExt, join, sink};
use tokio::runtime::Runtime;
use url::Url;

/// The client offers permessage-deflate.
const DEFLATE: u8 = 1;
/// It asks for a small window without context takeover.
const SMALL: u8 = 2;
/// It offers the subprotocols `v1` and `v2`.
const SUBPROTOCOLS: u8 = 4;

/// The example of RFC 6455 section 1.3; the answer to it is `s3pPLMBiTxaQ9kYGzzhZRbK+xOo=`.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// In the query of the URL and in a header; must not come back in an error.
const SECRET: &str = "hunter2";

/// Most of a body that is kept, in bytes, were it all characters that are replaced by ones of three bytes.
const MAX_BODY_BYTES: usize = 3 * 4096;

thread_local! {
    /// For the deadline of a body, which is never reached here.
    static RUNTIME: Runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
}

/// Whatever comes is an upgrade to what was asked for, or an error that is bounded and keeps the secret.
pub fn handshake_response(input: &[u8]) {
    let [flags, answer @ ..] = input else { return };
    let url = Url::parse(&format!("ws://h/p?token={SECRET}")).unwrap();
    let headers = [("Authorization".to_owned(), Secret::new(format!("Bearer {SECRET}")))];
    let names = ["v1".to_owned(), "v2".to_owned()];
    let subprotocols = if flags & SUBPROTOCOLS == 0 { &[][..] } else { &names };
    let deflate = (flags & DEFLATE != 0).then(|| deflate(flags & SMALL != 0));
    let request = ClientRequest { url: &url, headers: &headers, subprotocols, deflate };
    verify(&request, answer);
    drive(request, answer);
}

fn deflate(is_small: bool) -> DeflateConfig {
    let window_bits = if is_small { 10 } else { 15 };
    let direction = DirectionConfig { window_bits, context_takeover: !is_small };
    DeflateConfig { threshold_bytes: 0, level: 1, send: direction, receive: direction }
}

fn verify(request: &ClientRequest<'_>, answer: &[u8]) {
    match request.verify(KEY, answer) {
        Ok(upgraded) => {
            assert!(upgraded.subprotocol.is_none_or(|name| request.subprotocols.contains(&name)));
            let Some(agreed) = upgraded.deflate else { return };
            let config = request.deflate.unwrap();
            for (agreed, wanted) in [(agreed.send, config.send), (agreed.receive, config.receive)] {
                assert!((8..=wanted.window_bits).contains(&agreed.window_bits), "{agreed:?} for {wanted:?}");
                assert!(wanted.context_takeover || !agreed.context_takeover, "{agreed:?} for {wanted:?}");
            }
        }
        Err(error) => check_error(&error, answer),
    }
}

/// The same through the driver, which reads interim responses and bodies too. Its key is a random one.
fn drive(request: ClientRequest<'_>, answer: &[u8]) {
    let (first, second) = answer.split_at(answer.len() / 2);
    let stream = join(first.chain(second), sink());
    let result = RUNTIME.with(|runtime| runtime.block_on(connect(stream, request, Limits::default())));
    match result {
        Ok(_) => panic!("an upgrade without the key"),
        Err(error) => check_error(&error, answer),
    }
}

fn check_error(error: &HandshakeError, answer: &[u8]) {
    if let HandshakeError::Refused(refused) = error {
        assert!(refused.status != 101 && refused.body.len() <= MAX_BODY_BYTES, "{}", refused.body.len());
    }
    let (message, debug) = (error.to_string(), format!("{error:?}"));
    assert!(!message.contains(SECRET) && !debug.contains(SECRET), "{message} {debug}");
    assert!(!message.chars().any(char::is_control), "{message:?}");
    assert!(message.len() <= 4096 && debug.len() <= 4096 + 20 * answer.len(), "{} and {}", message.len(), debug.len());
}
