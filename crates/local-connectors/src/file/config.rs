//! The validated configuration of a `file` sink.

use std::path::PathBuf;

use eventflux_core::{EventFluxError, Properties};

use super::properties::SINK_PROPERTIES;

/// What a `file` sink does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSinkConfig {
    /// The file.
    pub path: PathBuf,
    /// Whether lines are added to a file that exists.
    pub append: bool,
    /// When a new file is begun; `None`: never.
    pub rotation: Option<Rotation>,
    /// When the disk has to have the lines.
    pub sync: SyncMode,
    /// What happens to line breaks inside a payload.
    pub line_breaks: LineBreaks,
}

/// When a new file is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Size the file does not exceed, in bytes.
    pub size: u64,
    /// Number of rotated files that are kept.
    pub keep: u32,
}

/// When the disk has to have the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// When the sink is stopped.
    None,
    /// After each batch.
    Batch,
}

/// What happens to line breaks inside a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineBreaks {
    /// They are written as `\n` and `\r`.
    Escape,
    /// The payload is not written.
    Refuse,
}

impl FileSinkConfig {
    /// Reads validated properties. Does no I/O.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let size = properties.size("file.rotate.size")? as u64;
        if size == 0 && properties.is_given("file.rotate.keep") {
            return Err(EventFluxError::property("file.rotate.keep", "has no effect without file.rotate.size")
                .with_hint("remove it, or set file.rotate.size='100MiB'"));
        }
        let keep = properties.integer("file.rotate.keep")?;
        Ok(Self {
            path: path(properties)?,
            append: properties.flag("file.append")?,
            rotation: (size > 0).then_some(Rotation { size, keep }),
            sync: match properties.text("file.sync")? {
                "batch" => SyncMode::Batch,
                _ => SyncMode::None,
            },
            line_breaks: match properties.text("file.line.breaks")? {
                "refuse" => LineBreaks::Refuse,
                _ => LineBreaks::Escape,
            },
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

fn path(properties: &Properties) -> Result<PathBuf, EventFluxError> {
    const KEY: &str = "file.path";
    let text = properties.text(KEY)?;
    let path = PathBuf::from(text);
    if text.ends_with('/') || path.file_name().is_none() {
        return Err(
            EventFluxError::property(KEY, format!("'{text}' names a directory")).with_hint("add the name of a file")
        );
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_alone_is_enough() {
        let expected = FileSinkConfig {
            path: "a.jsonl".into(),
            append: true,
            rotation: None,
            sync: SyncMode::None,
            line_breaks: LineBreaks::Escape,
        };
        assert_eq!(FileSinkConfig::from_pairs([("file.path", "a.jsonl")]), Ok(expected));
    }

    #[test]
    fn every_property_is_read() {
        let config = FileSinkConfig::from_pairs([
            ("file.path", "d/a.jsonl"),
            ("file.append", "false"),
            ("file.rotate.size", "100MiB"),
            ("file.rotate.keep", "2"),
            ("file.sync", "batch"),
            ("file.line.breaks", "refuse"),
        ]);
        let expected = FileSinkConfig {
            path: "d/a.jsonl".into(),
            append: false,
            rotation: Some(Rotation { size: 100 << 20, keep: 2 }),
            sync: SyncMode::Batch,
            line_breaks: LineBreaks::Refuse,
        };
        assert_eq!(config, Ok(expected));
    }

    #[test]
    fn mistakes_name_the_property() {
        let path = ("file.path", "a");
        let cases: [(&str, &[(&str, &str)]); 6] = [
            ("file.path", &[]),
            ("file.path", &[("file.path", "d/")]),
            ("file.path", &[("file.path", "..")]),
            ("file.rotate.keep", &[path, ("file.rotate.keep", "3")]),
            ("file.rotate.keep", &[path, ("file.rotate.size", "1MiB"), ("file.rotate.keep", "0")]),
            ("file.sync", &[path, ("file.sync", "always")]),
        ];
        for (key, pairs) in cases {
            let error = FileSinkConfig::from_pairs(pairs.iter().copied()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("property '{key}': ")), "{error}");
        }
    }
}
