//! The `blackhole` sink: takes every payload and forgets it; its standard metrics count them.
//!
//! For benchmarks (what does everything but the sink cost?) and, with a delay, for tests of backpressure.

mod config;
mod factory;
mod properties;
mod sink;

pub use config::BlackholeSinkConfig;
pub use factory::BlackholeSinkFactory;
pub use properties::SINK_PROPERTIES;
pub use sink::BlackholeSink;
