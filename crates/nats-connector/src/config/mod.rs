//! The validated configuration of sources and sinks.

mod sink;
mod source;

pub(crate) use sink::{NatsSinkConfig, SinkMode};
pub(crate) use source::{NatsSourceConfig, SourceMode};
