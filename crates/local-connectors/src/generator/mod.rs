//! The `generator` source: synthetic messages from a template, for trying out and for measuring.
//!
//! With `generator.seed` it makes the same messages with each start, except for what the clock puts into them.

mod config;
mod factory;
mod properties;
mod source;
mod template;

pub use config::GeneratorSourceConfig;
pub use factory::GeneratorSourceFactory;
pub use properties::SOURCE_PROPERTIES;
pub use source::GeneratorSource;
pub use template::{Template, TemplateError};
