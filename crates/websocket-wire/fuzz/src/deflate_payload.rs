//! Compressed messages of a peer that makes them up, and messages of our own there and back.
//!
//! The input: a byte of flags, [`TAKEOVER`] and above it the window and the level of the compressor; the cap on the
//! inflated size in two bytes, the smaller first; then payloads, each behind its length in two such bytes. The last one
//! ends with the input.

use std::iter;

use bytes::Bytes;
use eventflux_websocket_wire::deflate::{Compressor, Decompressor, InflateError};
use miniz_oxide::inflate::decompress_to_vec_with_limit;

/// The window is kept from one message to the next.
const TAKEOVER: u8 = 1;

/// Most bytes of a payload that is compressed.
const MAX_COMPRESSED_BYTES: usize = 16 * 1024;

/// What makes a whole deflate stream of a message: the tail the sender cut off (RFC 7692 section 7.2.2) and a final block.
const TAIL_AND_END: [u8; 6] = [0x00, 0x00, 0xff, 0xff, 0x03, 0x00];

/// Nothing passes the cap, another implementation sees the same, and what we compress inflates to what it was.
pub fn deflate_payload(input: &[u8]) {
    let [flags, low, high, rest @ ..] = input else { return };
    let has_takeover = flags & TAKEOVER != 0;
    let payloads: Vec<&[u8]> = payloads(rest).collect();
    let inflated = inflate(&payloads, has_takeover, usize::from(u16::from_le_bytes([*low, *high])));
    let mut compressor = Compressor::new(9 + (flags >> 1) % 7, 1 + u32::from(flags >> 4) % 9, has_takeover);
    let mut decompressor = Decompressor::new(has_takeover);
    for payload in payloads.into_iter().chain(inflated.iter().map(|payload| &payload[..])) {
        let payload = &payload[..payload.len().min(MAX_COMPRESSED_BYTES)];
        let compressed = compressor.compress(payload).unwrap();
        assert_eq!(decompressor.inflate(&compressed, payload.len()).as_deref(), Ok(payload), "not what it was");
    }
}

fn payloads(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    iter::from_fn(move || {
        let [low, high, after @ ..] = rest else { return None };
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (payload, after) = after.split_at(length);
        rest = after;
        Some(payload)
    })
}

/// Those that inflate.
fn inflate(payloads: &[&[u8]], has_takeover: bool, max_bytes: usize) -> Vec<Bytes> {
    let mut decompressor = Decompressor::new(has_takeover);
    let mut all = Vec::new();
    let mut is_like_new = true;
    for payload in payloads {
        let inflated = decompressor.inflate(payload, max_bytes);
        if is_like_new {
            assert_eq!(inflated, Decompressor::new(true).inflate(payload, max_bytes), "something was kept");
            compare_with_another(payload, &inflated);
        }
        is_like_new = !has_takeover || inflated.is_err();
        match inflated {
            Ok(inflated) => {
                assert!(inflated.len() <= max_bytes, "{} bytes with a cap of {max_bytes}", inflated.len());
                all.push(inflated);
            }
            Err(InflateError::TooLarge { max_bytes: named }) => assert_eq!(named, max_bytes),
            Err(InflateError::Corrupt) => {}
        }
    }
    all
}

/// The other ends with the first final block, which may be that of the message or the one added here.
fn compare_with_another(payload: &[u8], inflated: &Result<Bytes, InflateError>) {
    let whole = [payload, &TAIL_AND_END].concat();
    match (inflated, decompress_to_vec_with_limit(&whole, usize::from(u16::MAX))) {
        (Ok(inflated), Ok(other)) => assert!(inflated.starts_with(&other), "another content"),
        (Ok(_), Err(error)) => panic!("inflates here and not there: {error:?}"),
        (Err(_), _) => {}
    }
}
