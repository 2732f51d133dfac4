//! A path over plain HTTP: its channels as server-sent events, and messages for its sources by `POST`.
//!
//! Who is let in, and what for, is decided as for WebSocket connections; only the words are those of HTTP.

mod answer;
mod body;
mod config;
mod event;
mod ids;
mod opening;
mod publish;
mod query;
mod rates;
mod rewound;
mod state;
mod stream;
mod subscription;
mod visit;

pub(super) use config::HttpConfig;
pub(super) use state::HttpState;
pub(super) use stream::Stream;
pub(super) use visit::welcome;
