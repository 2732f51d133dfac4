//! The `file` sink: each payload as a line of a file, with rotation by size.
//!
//! A line is always one payload, and a payload always one line: line breaks inside a payload are escaped or refused, and
//! a line that could be written only in part (a full disk) is cut off again before anything follows it.
//!
//! A payload counts as delivered, and is settled, once the operating system has it; with `file.sync='batch'`, once the
//! disk has it. It does not follow a file that another program renames: rotation is its own.

mod claim;
mod config;
mod factory;
mod properties;
mod sink;
mod store;
mod writer;

pub use config::{FileSinkConfig, LineBreaks, Rotation, SyncMode};
pub use factory::FileSinkFactory;
pub use properties::SINK_PROPERTIES;
pub use sink::FileSink;
