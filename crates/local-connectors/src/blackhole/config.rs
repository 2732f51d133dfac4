//! The validated configuration of a `blackhole` sink.

use std::time::Duration;

use eventflux_core::{EventFluxError, Properties};

use super::properties::SINK_PROPERTIES;

/// What a `blackhole` sink does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlackholeSinkConfig {
    /// How long it is busy with each batch.
    pub delay: Duration,
}

impl BlackholeSinkConfig {
    /// Reads validated properties.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when they are of another table.
    pub fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        Ok(Self { delay: properties.duration("blackhole.delay")? })
    }

    /// Reads properties as they are written.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for the first bad property.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, EventFluxError> {
        Self::from_properties(&Properties::from_pairs(SINK_PROPERTIES, pairs)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_is_read_and_none_by_default() {
        let delay = |pairs: &[_]| BlackholeSinkConfig::from_pairs(pairs.iter().copied()).map(|config| config.delay);
        assert_eq!(delay(&[]), Ok(Duration::ZERO));
        assert_eq!(delay(&[("blackhole.delay", "2s")]), Ok(Duration::from_secs(2)));
        let error = delay(&[("blackhole.delay", "long")]).unwrap_err().to_string();
        assert!(error.starts_with("property 'blackhole.delay': "), "{error}");
    }
}
