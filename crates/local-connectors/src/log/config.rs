//! The validated configuration of a `log` sink.

use eventflux_core::{EventFluxError, Properties, escape_control};
use log::Level;

use super::properties::SINK_PROPERTIES;
use crate::console::Output;

/// Largest value of `log.max.line.size`, in bytes.
const MAX_LINE_SIZE_LIMIT: usize = 16 << 20;

/// What a `log` sink does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSinkConfig {
    /// Where lines go.
    pub target: Target,
    /// Text in front of each line, with control characters escaped.
    pub prefix: String,
    /// One of so many payloads is printed; at least 1.
    pub every: u64,
    /// How much of a payload is shown, in bytes.
    pub max_line_size: usize,
    /// How much may wait, in bytes.
    pub queue_bytes: usize,
}

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Standard output or standard error.
    Console(Output),
    /// The program's log, at this level.
    Log(Level),
}

impl Target {
    /// What errors call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Console(Output::Stdout) => "standard output",
            Self::Console(Output::Stderr) => "standard error",
            Self::Log(_) => "the log",
        }
    }
}

impl LogSinkConfig {
    /// Reads validated properties. Does no I/O.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let target = match properties.text("log.target")? {
            "stdout" => Target::Console(Output::Stdout),
            "stderr" => Target::Console(Output::Stderr),
            _ => Target::Log(properties.text("log.level")?.parse().unwrap_or(Level::Info)),
        };
        let prefix = escape_control(properties.optional_text("log.prefix").unwrap_or_default()).into_owned();
        Ok(Self {
            target,
            prefix,
            every: properties.integer("log.every")?,
            max_line_size: max_line_size(properties)?,
            queue_bytes: properties.size("log.queue.bytes")?.max(1),
        })
    }

    /// Reads properties as they are written.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for the first bad property.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, EventFluxError> {
        Self::from_properties(&Properties::from_pairs(SINK_PROPERTIES, pairs)?)
    }
}

fn max_line_size(properties: &Properties) -> Result<usize, EventFluxError> {
    const KEY: &str = "log.max.line.size";
    let size = properties.size(KEY)?;
    if !(1..=MAX_LINE_SIZE_LIMIT).contains(&size) {
        return Err(EventFluxError::property(KEY, format!("{size} bytes is not allowed")).with_hint("use 1 to 16MiB"));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_to_be_given() {
        let expected = LogSinkConfig {
            target: Target::Console(Output::Stdout),
            prefix: String::new(),
            every: 1,
            max_line_size: 16 << 10,
            queue_bytes: 1 << 20,
        };
        assert_eq!(LogSinkConfig::from_pairs([]), Ok(expected));
    }

    #[test]
    fn every_property_is_read() {
        let config = LogSinkConfig::from_pairs([
            ("log.target", "log"),
            ("log.level", "warn"),
            ("log.prefix", "a\u{1b}b "),
            ("log.every", "10"),
            ("log.max.line.size", "1KiB"),
            ("log.queue.bytes", "2KiB"),
        ])
        .unwrap();
        let expected = LogSinkConfig {
            target: Target::Log(Level::Warn),
            prefix: r"a\u{1b}b ".into(),
            every: 10,
            max_line_size: 1_024,
            queue_bytes: 2_048,
        };
        assert_eq!(config, expected);
        let stderr = LogSinkConfig::from_pairs([("log.target", "stderr")]).unwrap();
        assert_eq!(stderr.target, Target::Console(Output::Stderr));
    }

    #[test]
    fn mistakes_name_the_property() {
        for (key, value) in
            [("log.target", "printer"), ("log.level", "warn"), ("log.every", "0"), ("log.max.line.size", "0")]
        {
            let error = LogSinkConfig::from_pairs([(key, value)]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("property '{key}': ")), "{error}");
        }
    }
}
