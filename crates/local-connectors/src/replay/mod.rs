//! The `replay` source: messages from a file of lines, at a rate or at the times they were recorded.
//!
//! The file is read as a stream, so it may have any size. A line is a message; `\n` or `\r\n` ends it, empty lines and
//! a byte order mark are skipped. It does not follow a file that grows, and does not decompress.

mod config;
mod factory;
mod lines;
mod properties;
mod source;
mod timeline;

pub use config::{ReplaySourceConfig, TimestampUnit, Timing};
pub use factory::ReplaySourceFactory;
pub use properties::SOURCE_PROPERTIES;
pub use source::ReplaySource;
