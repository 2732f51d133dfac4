//! What an envelope may be.

/// Bytes of the longest id that is written, and that is read unless [`Limits`] say otherwise.
pub const MAX_ID_BYTES: usize = 256;

/// Arrays and objects in one another that a payload may have, where [`Limits`] do not say otherwise.
pub const MAX_DEPTH: u8 = 128;

/// What a message that is read may be. Its size is limited where it is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an id, without escapes.
    pub max_id_bytes: usize,
    /// Arrays and objects in one another that a payload may have.
    pub max_depth: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_id_bytes: MAX_ID_BYTES, max_depth: MAX_DEPTH }
    }
}
