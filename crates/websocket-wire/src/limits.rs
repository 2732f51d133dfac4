//! What a peer may make us hold or do.

/// Limits of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest message to receive, in bytes, as it comes and inflated; a larger one ends the connection with 1009.
    pub max_message_bytes: usize,
    /// Largest number of frames one received message may have; more end the connection with 1008.
    pub max_fragments: usize,
}

impl Default for Limits {
    /// 16 MiB in at most 100,000 frames.
    fn default() -> Self {
        Self { max_message_bytes: 16 << 20, max_fragments: 100_000 }
    }
}
