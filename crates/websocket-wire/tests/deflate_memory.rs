//! What the documentation says about the memory of compression is what zlib-rs takes. The only test of its process: it
//! measures the process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use eventflux_websocket_wire::deflate::{Compressor, Decompressor};

/// Contexts held at a time; what else the process allocates meanwhile vanishes beside them.
const CONTEXTS: usize = 50;

#[test]
fn contexts_cost_what_is_documented_and_hardly_less() {
    for window_bits in 9..=15 {
        let documented = Compressor::memory_bytes(window_bits);
        let measured = bytes_each(|| Compressor::new(window_bits, 1, true));
        assert!(is_close(measured, documented), "window {window_bits}: {measured} bytes, documented {documented}");
    }
    let (measured, documented) = (bytes_each(|| Decompressor::new(true)), Decompressor::MEMORY_BYTES);
    assert!(is_close(measured, documented), "inflater: {measured} bytes, documented {documented}");
}

/// At most a page more, for the allocator, and a twentieth less.
fn is_close(measured: usize, documented: usize) -> bool {
    (documented - documented / 20..=documented + 4096).contains(&measured)
}

fn bytes_each<T>(make: impl Fn() -> T) -> usize {
    let before = data_bytes();
    let contexts: Vec<T> = (0..CONTEXTS).map(|_| make()).collect();
    let after = data_bytes();
    // Given back, it would be there for the next ones, which then seem to cost nothing.
    std::mem::forget(contexts);
    (after - before) / CONTEXTS
}

/// Bytes of writable memory the process has asked for, touched or not.
fn data_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap();
    let kibibytes: usize = line.trim().strip_suffix("kB").unwrap().trim().parse().unwrap();
    kibibytes * 1024
}
