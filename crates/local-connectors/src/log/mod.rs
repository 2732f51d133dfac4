//! The `log` sink: each payload as a line on the terminal, or in the program's log.
//!
//! For people to read: control characters are escaped, payloads that are no text are shown in hexadecimal, long ones
//! are cut. What a program is to read belongs into a `file` sink.

mod config;
mod factory;
mod printer;
mod properties;
mod queue;
mod sink;

pub use config::{LogSinkConfig, Target};
pub use factory::LogSinkFactory;
pub use properties::SINK_PROPERTIES;
pub use sink::LogSink;
