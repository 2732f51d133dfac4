//! What fuzzing found once stays found: every input of the corpus goes through its fuzz target, without an engine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "for the engine it is a library")]
mod targets;

/// Largest corpus of all targets together, in bytes.
const MAX_CORPUS_BYTES: u64 = 300 * 1024;

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
fn the_corpus_stays_small() {
    let inputs = entries(&corpus()).into_iter().flat_map(|target| entries(&target));
    let bytes: u64 = inputs.map(|input| fs::metadata(input).unwrap().len()).sum();
    assert!(bytes <= MAX_CORPUS_BYTES, "{bytes} bytes; leave out inputs that show what others show");
}

fn run(name: &str, target: fn(&[u8])) {
    let inputs = entries(&corpus().join(name));
    assert!(!inputs.is_empty(), "no corpus of {name}");
    let fails = |input: &PathBuf| {
        let bytes = fs::read(input).unwrap();
        catch_unwind(|| target(&bytes)).is_err()
    };
    let failing: Vec<_> = inputs.into_iter().filter(fails).collect();
    assert!(failing.is_empty(), "{name} fails with {failing:#?}");
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}
