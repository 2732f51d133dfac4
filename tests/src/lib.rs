//! What the tests that cross crates share: where the repository is, what is in it, and the connector that
//! `docs/writing-a-connector.md` shows.
//!
//! Nothing here belongs into a running system.

pub mod line_connector;

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold nothing a person wrote.
const GENERATED: [&str; 5] = [".git", "target", "node_modules", ".venv", "__pycache__"];

/// Largest file that is looked at as text, in bytes.
const MAX_TEXT_BYTES: u64 = 4 * 1024 * 1024;

/// The root of the repository.
pub fn repository() -> &'static Path {
    // This crate's folder is directly below the root.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Every file below `folder` (relative to the root) that a person wrote, relative to the root, in order.
///
/// # Panics
/// When a folder cannot be read.
pub fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![repository().join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.flatten().map(|entry| entry.path()) {
            let generated = path.file_name().is_some_and(|name| GENERATED.iter().any(|known| name == *known));
            if path.is_dir() && !generated {
                folders.push(path);
            } else if path.is_file() {
                found.push(path.strip_prefix(repository()).unwrap_or(&path).to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The text of a file; `None` when it is not text, or too large to be written by hand.
pub fn text(path: &Path) -> Option<String> {
    let path = repository().join(path);
    let small = fs::metadata(&path).is_ok_and(|metadata| metadata.len() <= MAX_TEXT_BYTES);
    small.then(|| fs::read_to_string(path).ok()).flatten()
}
