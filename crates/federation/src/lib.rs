//! What links two pipelines over one connection: a protocol of envelopes with requests and replies, and, where both ends
//! can, numbered events that are acknowledged and resumed.
//!
//! - [`Federation`] is what all connections of one place have in common, [`Outlet`] one stream on its way out,
//!   [`Link`] one connection. Both ends run the same code, whichever of them opened the connection.
//! - [`envelope`] reads and writes the messages.
//!
//! No socket, task or runtime is here, and no clock but in [`Now::read`], for drivers.

mod config;
mod counters;
mod ending;
pub mod envelope;
mod federation;
mod intake;
mod link;
mod outlet;
mod signal;
mod time;
mod wakers;

pub use config::{FederationConfig, Reliable, Start, Window};
pub use counters::Counters;
pub use ending::Ending;
pub use federation::{Federation, Wants};
pub use intake::Receipt;
pub use link::{Arrival, Arrived, Link, Opening, Outgoing, SUBPROTOCOL};
pub use outlet::{FullPolicy, History, Kept, Outlet, OutletConfig, OutletCounters, Store, StoredPayloads};
pub use time::Now;
