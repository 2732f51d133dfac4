//! Serves streams to many clients: who they are, what they may see, what they asked for, and what they missed.
//!
//! Everything here is sans-IO: messages and times come in, messages, effects and deadlines go out. There is no socket,
//! no clock, no task and no WebSocket here; `eventflux-websocket-connector` drives it. Programs that have a WebSocket
//! server of their own drive it by [`websocket`].

pub mod auth;
pub mod dialects;
mod ending;
pub mod filter;
mod hub;
mod pattern;
mod problem;
mod session;
pub mod websocket;

pub use ending::Ending;
pub use hub::{
    Accepts, Address, Batching, EVENTS_PER_ENTRY, Framed, Framing, FullPolicy, HistoryLimits, Hub, HubConfig, JOIN,
    LEAVE, Losses, Origin, Publication, Published, QueueLimits, RateLimit, Retention, SharedFraming, Stats,
};
pub use pattern::{MAX_CHANNEL_BYTES, Pattern, PatternIndex, PatternKey, check_name};
pub use problem::Problem;
pub use session::{Arrival, Authenticated, Effect, Inbound, Outgoing, Placing, Session};
