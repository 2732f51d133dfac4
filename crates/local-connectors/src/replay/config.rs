//! The validated configuration of a `replay` source.

use std::path::PathBuf;
use std::time::Duration;

use eventflux_core::{EventFluxError, Properties};

use super::properties::SOURCE_PROPERTIES;
use crate::pace::Rate;

/// Largest value of `replay.max.line.size`, in bytes.
const MAX_LINE_SIZE_LIMIT: usize = 1 << 30;

/// What a `replay` source does.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplaySourceConfig {
    /// The file.
    pub file: PathBuf,
    /// When messages are due.
    pub timing: Timing,
    /// Whether to start over at the end.
    pub repeats: bool,
    /// Longest line, in bytes.
    pub max_line_size: usize,
}

/// When messages are due.
#[derive(Debug, Clone, PartialEq)]
pub enum Timing {
    /// At a rate.
    Rate(Rate),
    /// With the pauses between their timestamps.
    Recorded {
        /// Keys that lead to the timestamp, outermost first; never empty.
        path: Vec<String>,
        /// What the timestamp counts.
        unit: TimestampUnit,
        /// How many times faster than recorded; positive.
        speed: f64,
        /// Longest pause.
        max_pause: Duration,
    },
}

/// What a timestamp counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampUnit {
    /// Seconds since the Unix epoch.
    Seconds,
    /// Milliseconds since the Unix epoch.
    Millis,
    /// Microseconds since the Unix epoch.
    Micros,
    /// Nanoseconds since the Unix epoch.
    Nanos,
    /// Date and time as text, RFC 3339.
    Rfc3339,
}

impl ReplaySourceConfig {
    /// Reads validated properties. Does no I/O.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        Ok(Self {
            file: PathBuf::from(properties.text("replay.file")?),
            timing: timing(properties)?,
            repeats: properties.flag("replay.loop")?,
            max_line_size: max_line_size(properties)?,
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

fn timing(properties: &Properties) -> Result<Timing, EventFluxError> {
    if properties.text("replay.timing")? == "rate" {
        return Ok(Timing::Rate(Rate::from_property(properties, "replay.rate")?));
    }
    let speed = properties.number("replay.speed")?;
    // `!(speed > 0)` would let no NaN pass either, but the property's range already keeps it out.
    if speed <= 0.0 {
        return Err(EventFluxError::property("replay.speed", "is zero, so no message would ever be due")
            .with_hint("use a number above 0"));
    }
    Ok(Timing::Recorded {
        path: timestamp_path(properties)?,
        unit: match properties.text("replay.timestamp.unit")? {
            "s" => TimestampUnit::Seconds,
            "us" => TimestampUnit::Micros,
            "ns" => TimestampUnit::Nanos,
            "rfc3339" => TimestampUnit::Rfc3339,
            _ => TimestampUnit::Millis,
        },
        speed,
        max_pause: properties.duration("replay.max.pause")?,
    })
}

fn timestamp_path(properties: &Properties) -> Result<Vec<String>, EventFluxError> {
    const KEY: &str = "replay.timestamp.path";
    let text = properties.text(KEY)?.trim();
    let keys: Vec<_> = text.strip_prefix("$.").unwrap_or(text).split('.').map(str::to_owned).collect();
    if keys.iter().any(|key| key.is_empty() || key.contains(['[', ']', '$'])) {
        return Err(EventFluxError::property(KEY, format!("'{text}' is no path of keys"))
            .with_hint("write a key such as T or $.T, or keys with dots between them such as data.T"));
    }
    Ok(keys)
}

fn max_line_size(properties: &Properties) -> Result<usize, EventFluxError> {
    const KEY: &str = "replay.max.line.size";
    let size = properties.size(KEY)?;
    if !(1..=MAX_LINE_SIZE_LIMIT).contains(&size) {
        return Err(EventFluxError::property(KEY, format!("{size} bytes is not allowed")).with_hint("use 1 to 1GiB"));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_alone_is_enough() {
        let config = ReplaySourceConfig::from_pairs([("replay.file", "a.jsonl")]).unwrap();
        let expected = ReplaySourceConfig {
            file: "a.jsonl".into(),
            timing: Timing::Rate(Rate::PerSecond(100.0)),
            repeats: false,
            max_line_size: 1 << 20,
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn every_property_is_read() {
        let config = ReplaySourceConfig::from_pairs([
            ("replay.file", "a.jsonl"),
            ("replay.timing", "recorded"),
            ("replay.timestamp.path", "$.data.T"),
            ("replay.timestamp.unit", "us"),
            ("replay.speed", "2.5"),
            ("replay.max.pause", "3s"),
            ("replay.loop", "true"),
            ("replay.max.line.size", "64KiB"),
        ])
        .unwrap();
        let timing = Timing::Recorded {
            path: vec!["data".into(), "T".into()],
            unit: TimestampUnit::Micros,
            speed: 2.5,
            max_pause: Duration::from_secs(3),
        };
        assert_eq!(config.timing, timing);
        assert!(config.repeats);
        assert_eq!(config.max_line_size, 65_536);
        let rate = ReplaySourceConfig::from_pairs([("replay.file", "a"), ("replay.rate", "max")]).unwrap();
        assert_eq!(rate.timing, Timing::Rate(Rate::Max));
    }

    #[test]
    fn mistakes_name_the_property() {
        let recorded = [("replay.file", "a"), ("replay.timing", "recorded")];
        let cases: [(&str, &[(&str, &str)]); 8] = [
            ("replay.file", &[]),
            ("replay.rate", &[("replay.file", "a"), ("replay.rate", "quick")]),
            ("replay.max.line.size", &[("replay.file", "a"), ("replay.max.line.size", "0")]),
            ("replay.speed", &[("replay.file", "a"), ("replay.speed", "2")]),
            ("replay.timestamp.path", &recorded),
            ("replay.timestamp.path", &[recorded[0], recorded[1], ("replay.timestamp.path", "a..b")]),
            ("replay.timestamp.path", &[recorded[0], recorded[1], ("replay.timestamp.path", "a[0]")]),
            ("replay.speed", &[recorded[0], recorded[1], ("replay.timestamp.path", "T"), ("replay.speed", "0")]),
        ];
        for (key, pairs) in cases {
            let error = ReplaySourceConfig::from_pairs(pairs.iter().copied()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("property '{key}': ")), "{error}");
        }
    }
}
