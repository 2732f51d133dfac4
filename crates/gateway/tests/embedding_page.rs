//! The Rust of `docs/embedding.md` is compiled elsewhere: in the documentation of the module, in its tests, as an example.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_line_of_rust_in_the_page_is_compiled() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![here.join("examples/axum_server.rs"), here.join("tests/websocket_server.rs")];
    add_files(&here.join("src/websocket"), &mut files);
    let texts: Vec<_> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let compiled: HashSet<_> = texts.iter().flat_map(|text| text.lines().map(code)).collect();
    let page = fs::read_to_string(here.join("../../docs/embedding.md")).unwrap();
    let blocks: Vec<_> = page.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() > 5, "{} blocks", blocks.len());
    let lines = blocks.iter().flat_map(|block| block.lines().map(code));
    let missing: Vec<_> = lines.filter(|line| !compiled.contains(line)).collect();
    assert!(missing.is_empty(), "not compiled: {missing:#?}");
}

fn add_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            add_files(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// A line of code, be it in a comment that documents.
fn code(line: &str) -> &str {
    let line = line.trim();
    ["///", "//!"].iter().find_map(|comment| line.strip_prefix(comment)).unwrap_or(line).trim()
}
