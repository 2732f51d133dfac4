//! Server mode: listeners that several sources and sinks share by path.

mod backplane;
mod config;
mod connection;
mod declarations;
mod endpoint;
mod framing;
mod gateway;
mod http;
mod ineffective;
mod listener;
mod metadata;
mod permission;
mod registry;
mod scratch;
mod sink;
mod source;
mod welcome;

pub(crate) use config::ServerConfig;
pub(crate) use declarations::Declaration;
pub(crate) use endpoint::Member;
pub(crate) use gateway::{Publishing, accepts};
pub(crate) use metadata::METADATA;
pub(crate) use registry::{Attachment, Registry};
pub(crate) use sink::ServerSink;
pub(crate) use source::ServerSource;
