//! What the fuzz targets do with an input. Each panics when the wire crate breaks a promise, and does nothing else.
//!
//! Two callers: the programs in `fuzz_targets`, on inputs an engine makes up, and the test `corpus` of the wire crate, on
//! the inputs in `corpus`, so that what was found once stays found without an engine.
//!
//! What is in an input stands at the head of each module; `seeds.py` writes the first ones.

#![allow(clippy::unwrap_used, reason = "a target reports by panicking")]

mod deflate_payload;
mod frames;
mod handshake_request;
mod handshake_response;
mod model;
mod roundtrip;

pub use deflate_payload::deflate_payload;
pub use frames::frames;
pub use handshake_request::handshake_request;
pub use handshake_response::handshake_response;
pub use roundtrip::roundtrip;
