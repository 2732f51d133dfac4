//! Reading what the command line names: SQL files or component files, and properties that replace theirs.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use eventflux_engine::{Override, SourceFile};

use crate::args::OverrideArgs;
use crate::exit::Exit;
use crate::output;

/// Largest file that is read, in bytes. The engine's own limit is below it and is reported with a place.
const MAX_READ_BYTES: u64 = 16 * 1024 * 1024;

/// A file, with the properties given from outside.
pub(crate) struct Input {
    pub(crate) source: SourceFile,
    pub(crate) overrides: Vec<Override>,
}

/// Reads all files.
///
/// # Errors
/// [`Exit::Usage`] after every problem was reported.
pub(crate) fn read_all(paths: &[PathBuf], given: &OverrideArgs) -> Result<Vec<Input>, Exit> {
    let mut problems = Vec::new();
    let overrides = overrides(&given.set, &mut problems);
    if !overrides.is_empty() && paths.len() > 1 {
        problems
            .push("--set works with one file: with several, it would not be clear whose stream is meant".to_owned());
    }
    let mut inputs = Vec::with_capacity(paths.len());
    for path in paths {
        match read(path) {
            Ok(source) => inputs.push(Input { source, overrides: overrides.clone() }),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        return Ok(inputs);
    }
    problems.iter().for_each(|problem| output::print_error(problem));
    Err(Exit::Usage)
}

/// Reads one file.
///
/// # Errors
/// Why it cannot be read, with its name.
pub(crate) fn read(path: &Path) -> Result<SourceFile, String> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let refused = |reason: std::io::Error| format!("cannot read {name}: {reason}");
    let file = File::open(path).map_err(refused)?;
    file.take(MAX_READ_BYTES + 1).read_to_end(&mut bytes).map_err(refused)?;
    if bytes.len() as u64 > MAX_READ_BYTES {
        return Err(format!(
            "cannot read {name}: it has more than {MAX_READ_BYTES} bytes; is it a SQL file or a component file?"
        ));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| format!("cannot read {name}: byte {} is not UTF-8", error.utf8_error().valid_up_to() + 1))?;
    Ok(SourceFile::new(name, text))
}

/// Parses what `--set` was given. Problems hold no value: it may be secret.
fn overrides(set: &[String], problems: &mut Vec<String>) -> Vec<Override> {
    let mut overrides = Vec::with_capacity(set.len());
    for (index, text) in set.iter().enumerate() {
        match Override::parse(text) {
            Ok(parsed) => overrides.push(parsed),
            Err(reason) => problems.push(format!("--set number {}: {reason}", index + 1)),
        }
    }
    overrides
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_missing_file_is_named_with_the_reason() {
        let error = read(Path::new("no/such/file.sql")).unwrap_err();
        assert!(error.starts_with("cannot read no/such/file.sql: "), "{error}");
    }

    #[test]
    fn a_file_that_is_not_text_is_refused_with_the_place() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"ab\xff").unwrap();
        let error = read(file.path()).unwrap_err();
        assert!(error.ends_with("byte 3 is not UTF-8"), "{error}");
    }

    #[test]
    fn an_endless_file_is_refused() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert!(error.contains("more than 16777216 bytes"), "{error}");
    }

    #[test]
    fn a_broken_override_is_reported_without_its_value() {
        let mut problems = Vec::new();
        assert!(overrides(&["hunter2".to_owned()], &mut problems).is_empty());
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("--set number 1: "), "{problems:?}");
        assert!(!problems[0].contains("hunter2"), "{problems:?}");
    }
}
