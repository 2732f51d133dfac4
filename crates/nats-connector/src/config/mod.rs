//! The validated configuration of sources and sinks.

mod ineffective;
mod sink;
mod source;

use eventflux_core::{EventFluxError, Properties};

pub(crate) use sink::{NatsSinkConfig, SinkMode};
pub(crate) use source::{NatsSourceConfig, SourceMode};

/// The text of a property that is a name: something that is more than white space.
///
/// # Errors
/// [`EventFluxError::Configuration`] when it is not.
pub(crate) fn name(properties: &Properties, key: &str) -> Result<String, EventFluxError> {
    let name = properties.text(key)?.trim();
    if name.is_empty() {
        return Err(EventFluxError::property(key, "is empty").with_hint("a name"));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests;
