//! The validated configuration of a `generator` source.

use eventflux_core::{EventFluxError, Properties};

use super::properties::SOURCE_PROPERTIES;
use super::template::Template;
use crate::pace::Rate;

/// What a `generator` source does.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratorSourceConfig {
    /// What messages look like.
    pub template: Template,
    /// How fast they come.
    pub rate: Rate,
    /// How many there are; `None`: without end.
    pub count: Option<u64>,
    /// Seed of the random values; `None`: another one with each start.
    pub seed: Option<u64>,
}

impl GeneratorSourceConfig {
    /// Reads validated properties.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let count: u64 = properties.integer("generator.count")?;
        let seed = properties.optional_integer("generator.seed");
        Ok(Self {
            template: Template::parse(properties.text("generator.template")?)
                .map_err(|problem| problem.of_property("generator.template"))?,
            rate: Rate::from_property(properties, "generator.rate")?,
            count: (count > 0).then_some(count),
            seed: seed.and_then(|seed| u64::try_from(seed).ok()),
        })
    }

    /// Reads properties as they are written.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for the first bad property.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, EventFluxError> {
        Self::from_properties(&Properties::from_pairs(SOURCE_PROPERTIES, pairs)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_alone_is_enough() {
        let config = GeneratorSourceConfig::from_pairs([("generator.template", "${seq}")]).unwrap();
        let expected = GeneratorSourceConfig {
            template: Template::parse("${seq}").unwrap(),
            rate: Rate::PerSecond(10.0),
            count: None,
            seed: None,
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn every_property_is_read() {
        let config = GeneratorSourceConfig::from_pairs([
            ("generator.template", "x"),
            ("generator.rate", "max"),
            ("generator.count", "7"),
            ("generator.seed", "42"),
        ])
        .unwrap();
        assert_eq!((config.rate, config.count, config.seed), (Rate::Max, Some(7), Some(42)));
    }

    #[test]
    fn mistakes_name_the_property() {
        let cases: [(&str, &[(&str, &str)]); 4] = [
            ("generator.template", &[]),
            ("generator.template", &[("generator.template", "${sequence}")]),
            ("generator.rate", &[("generator.template", "x"), ("generator.rate", "0")]),
            ("generator.seed", &[("generator.template", "x"), ("generator.seed", "-1")]),
        ];
        for (key, pairs) in cases {
            let error = GeneratorSourceConfig::from_pairs(pairs.iter().copied()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("property '{key}': ")), "{error}");
        }
    }
}
