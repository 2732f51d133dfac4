//! Server mode: listeners that several sources and sinks share by path.

mod connection;
mod endpoint;
mod listener;
mod registry;
mod sink;
mod source;

pub(crate) use registry::Registry;
pub(crate) use sink::ServerSink;
pub(crate) use source::ServerSource;
