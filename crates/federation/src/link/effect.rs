//! What a link leaves to its driver.

use eventflux_core::Secret;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// To find out whether a token is good; the answer goes to [`Link::authenticated`](super::Link::authenticated).
    Authenticate {
        /// Which question it is.
        ticket: u64,
        /// What the peer shows.
        token: Secret,
    },
}
