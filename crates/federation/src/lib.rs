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
pub mod health;
mod intake;
mod link;
mod outlet;
mod rate;
mod requests;
mod signal;
mod time;
mod wakers;

pub use config::{FederationConfig, Reliable, Start, Window};
pub use counters::{Counters, Durations, Labelled, METHOD_LABELS, OTHER_METHOD, STATUS_LABELS};
pub use ending::Ending;
pub use federation::{Federation, Wants};
pub use intake::Receipt;
pub use link::{
    Arrival, Arrived, Details, Effect, Link, Opening, Outgoing, ReplyDetails, RequestDetails, SUBPROTOCOL, check_path,
};
pub use outlet::{
    FullPolicy, History, Kept, Outlet, OutletConfig, OutletCounters, OutletStatus, ReceiverStatus, Store,
    StoredPayloads, Transfer,
};
pub use rate::Meter;
pub use requests::{
    Failure, MAX_METHOD_BYTES, MAX_REQUEST_TIMEOUT, Reply, ReplyError, Request, RequestError, Status, Then, To,
};
pub use time::Now;
