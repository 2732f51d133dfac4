//! Server mode: listeners that several sources and sinks share by path.

mod config;
mod connection;
mod endpoint;
mod listener;
mod registry;
mod sink;
mod source;
mod welcome;

pub(crate) use config::ServerConfig;
pub(crate) use registry::Registry;
pub(crate) use sink::ServerSink;
pub(crate) use source::ServerSource;
