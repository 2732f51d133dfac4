//! What fuzzing found once stays found: every input of the corpus goes through its fuzz target, without an engine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a library of its own for the engine")]
mod targets;

/// Largest corpus of all targets together, in bytes.
const MAX_CORPUS_BYTES: usize = 300 * 1024;

#[test]
fn a_peer_may_send_any_frames() {
    run("frames", targets::frames);
}

#[test]
fn everything_said_between_two_ends_arrives() {
    run("roundtrip", targets::roundtrip);
}

#[test]
fn a_client_may_ask_for_anything() {
    run("handshake_request", targets::handshake_request);
}

#[test]
fn a_server_may_answer_anything() {
    run("handshake_response", targets::handshake_response);
}

#[test]
fn compressed_messages_may_be_anything() {
    run("deflate_payload", targets::deflate_payload);
}

#[test]
fn the_corpus_is_small_enough_for_a_repository() {
    let targets = inputs("").into_iter().filter(|(_, input)| input.is_empty());
    let bytes: usize = targets.flat_map(|(target, _)| inputs(&target)).map(|(_, input)| input.len()).sum();
    assert!((1..=MAX_CORPUS_BYTES).contains(&bytes), "{bytes} bytes");
}

fn run(name: &str, target: fn(&[u8])) {
    let inputs = inputs(name);
    assert!(!inputs.is_empty(), "no corpus of {name}");
    let failed: Vec<_> = inputs.into_iter().filter(|(_, input)| catch_unwind(|| target(input)).is_err()).collect();
    let names: Vec<_> = failed.iter().map(|(name, _)| name).collect();
    assert!(failed.is_empty(), "{name} fails for {names:?}");
}
