//! permessage-deflate (RFC 7692): negotiation, compression of what we send, inflation of what we receive. No I/O.
//!
//! [`offer`], [`accept`] and [`confirm`] turn a [`DeflateConfig`] and the peer's `Sec-WebSocket-Extensions` into what
//! both sides agreed upon, a [`Negotiated`]. [`Deflate`] is the extension of one connection from then on.
//!
//! # Memory
//!
//! A direction with context takeover has a context of its own, made with its first compressed message:
//!
//! | direction | bytes |
//! |---|---|
//! | send | 4 x 2^`window_bits` + 160 KiB: 288 KiB at 15, 176 KiB at 12, 162 KiB at 9 |
//! | receive | 47 KiB, whatever the window: the inflater always has room for the largest |
//!
//! [`Negotiated::memory_bytes`] adds it up. A direction without context takeover keeps nothing between messages, and
//! costs a connection nothing: each thread has contexts for all of its connections, up to 1.2 MiB.
//!
//! What it does not do: frames, the RSV1 bit, UTF-8, and any extension other than this one.

mod compress;
mod decompress;
mod extensions;
mod negotiation;
mod output;
mod parameters;
mod per_thread;
mod session;
#[cfg(test)]
mod tests;

pub use compress::Compressor;
pub use decompress::{Decompressor, InflateError};
pub use negotiation::{Negotiated, NegotiationError, accept, confirm, offer};
pub use session::{Deflate, SharedDeflate};

/// The smallest window that can be agreed upon, as its base-two logarithm: 256 bytes.
pub const MIN_WINDOW_BITS: u8 = 8;

/// The largest window, as its base-two logarithm: 32 KiB. Without a parameter that says otherwise, it is the window.
pub const MAX_WINDOW_BITS: u8 = 15;

/// The smallest window there is a compressor for. With a window of [`MIN_WINDOW_BITS`] we send messages as they are,
/// which RFC 7692 section 6 leaves to the sender.
pub const MIN_COMPRESSOR_WINDOW_BITS: u8 = 9;

/// What ends a sync flush. The sender cuts it off, the receiver puts it back (RFC 7692 sections 7.2.1 and 7.2.2).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// What we want of the extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeflateConfig {
    /// Smallest payload to compress, in bytes.
    pub threshold_bytes: usize,
    /// Level of compression, 1 (fast) to 9 (small).
    pub level: u32,
    /// What we compress with, at most.
    pub send: DirectionConfig,
    /// What the peer may compress with. A server cannot ask for a smaller window when the client does not offer it
    /// (RFC 7692 section 7.1.2.2); then the peer may use the largest.
    pub receive: DirectionConfig,
}

/// One direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectionConfig {
    /// Base-two logarithm of the LZ77 window, 9 to 15 (8 may be agreed upon when the peer asks).
    pub window_bits: u8,
    /// Whether the window is kept from one message to the next.
    pub context_takeover: bool,
}
