//! The documentation matches the program: generated parts are fresh, links lead somewhere, SQL in the pages is valid.
//!
//! A generated part stands between `<!-- generated: WHAT -->` and `<!-- end -->`. When one is stale, the test says which;
//! `UPDATE_DOCS=1 cargo test -p eventflux --test docs` rewrites them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use eventflux_core::dead_letter;
use eventflux_core::metrics::ConnectorMetrics;

use support::{Running, eventflux, repository};

const OPEN: &str = "<!-- generated: ";
const CLOSE: &str = "<!-- end -->";

/// Pages that are not below docs.
const OTHER_PAGES: [&str; 5] =
    ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/README.md", "examples/nats/README.md"];

#[test]
fn generated_parts_are_fresh() {
    let update = env::var_os("UPDATE_DOCS").is_some();
    let mut stale = Vec::new();
    for path in pages() {
        let page = fs::read_to_string(&path).unwrap();
        let fresh = regenerate(&page).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()));
        if fresh != page {
            stale.push(path.display().to_string());
            if update {
                fs::write(&path, fresh).unwrap();
            }
        }
    }
    let advice = "run: UPDATE_DOCS=1 cargo test -p eventflux --test docs";
    assert!(stale.is_empty() || update, "stale pages: {stale:#?}\n{advice}");
}

#[test]
fn every_connector_and_format_has_its_properties_in_the_documentation() {
    let all: String = pages().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let list = eventflux(&["connectors", "--format", "json"]).stdout;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let names: BTreeSet<_> = ["sources", "sinks", "decoders"]
        .iter()
        .flat_map(|kind| list[kind].as_array().unwrap())
        .map(|entry| entry["name"].as_str().unwrap())
        .collect();
    for name in names {
        let part = format!("{OPEN}eventflux connectors {name} --format markdown -->");
        assert!(all.contains(&part), "no page contains {part}");
    }
}

#[test]
fn sql_in_the_pages_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for path in pages() {
        let page = fs::read_to_string(&path).unwrap();
        for (index, block) in page.split("```sql\n").skip(1).enumerate() {
            let sql = block.split("```").next().unwrap_or_default();
            // The reference of functions shows expressions only.
            if !sql.contains("CREATE STREAM") {
                continue;
            }
            let file = folder.path().join("page.sql");
            fs::write(&file, sql).unwrap();
            let environment = [("API_KEY", "any"), ("FEED_KEY", "any")];
            let output = Running::start(&["check", &file.display().to_string()], &environment).finish();
            if output.code != Some(0) {
                wrong.push(format!("{}, block {}:\n{}", path.display(), index + 1, output.stderr));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn links_lead_to_files_and_headings_that_exist() {
    let mut broken = Vec::new();
    for path in pages() {
        let page = fs::read_to_string(&path).unwrap();
        for link in links(&page) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let found = target.exists() && (heading.is_empty() || has_heading(&target, heading));
            if !found {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Everything below docs, and the pages beside it.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![repository().join("docs")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.extend(OTHER_PAGES.map(|name| repository().join(name)));
    pages.sort();
    pages
}

/// The page with each generated part made anew.
fn regenerate(page: &str) -> Result<String, String> {
    let mut fresh = String::with_capacity(page.len());
    let mut rest = page;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (what, after) = after.split_once(" -->\n").ok_or("a generated part without a name")?;
        let (_, after) = after.split_once(CLOSE).ok_or_else(|| format!("'{what}' has no end"))?;
        let content = generate(what)?;
        let _ = write!(fresh, "{before}{OPEN}{what} -->\n{}\n{CLOSE}", content.trim_end());
        rest = after;
    }
    fresh.push_str(rest);
    Ok(fresh)
}

fn generate(what: &str) -> Result<String, String> {
    match what.split_once(' ') {
        Some(("eventflux", arguments)) => {
            let arguments: Vec<_> = arguments.split(' ').collect();
            let output = eventflux(&arguments);
            if output.code == Some(0) { Ok(output.stdout) } else { Err(format!("'{what}': {}", output.stderr)) }
        }
        Some(("file", path)) => included(path),
        _ if what == "metrics" => Ok(metrics()),
        _ if what == "dead-letter columns" => Ok(dead_letter_columns()),
        _ => Err(format!("nothing generates '{what}'")),
    }
}

/// A file as a fenced block.
fn included(path: &str) -> Result<String, String> {
    let text = fs::read_to_string(repository().join(path)).map_err(|error| format!("{path}: {error}"))?;
    let language = match Path::new(path).extension().and_then(|extension| extension.to_str()) {
        Some("rs") => "rust",
        Some(other) => other,
        None => "text",
    };
    Ok(format!("```{language}\n{}\n```", text.trim_end()))
}

fn metrics() -> String {
    let mut table = "| Of a source | Of a sink | Meaning |\n|---|---|---|\n".to_owned();
    for (source, sink, meaning) in ConnectorMetrics::TABLE {
        let _ = writeln!(table, "| `{source}` | `{sink}` | {meaning} |");
    }
    table
}

fn dead_letter_columns() -> String {
    let mut table = "| Column | Type | Holds |\n|---|---|---|\n".to_owned();
    for column in dead_letter::COLUMNS {
        let types: Vec<_> = column.types.iter().map(|data_type| format!("`{data_type}`")).collect();
        let _ = writeln!(table, "| `{}` | {} | {} |", column.name, types.join(" or "), column.doc);
    }
    let declaration = dead_letter::declaration("Failed");
    format!(
        "{table}\n```sql\n{}\n```",
        declaration.replace(", ", ",\n    ").replace('(', "(\n    ").replace(");", "\n);")
    )
}

/// The targets of inline links, outside fenced blocks.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let prose = page.split("```").step_by(2);
    prose.flat_map(|part| part.split("](").skip(1)).filter_map(|rest| rest.split_once(')').map(|(link, _)| link))
}

fn has_heading(path: &Path, wanted: &str) -> bool {
    let page = fs::read_to_string(path).unwrap_or_default();
    page.lines().filter_map(|line| line.strip_prefix('#')).any(|line| anchor(line.trim_start_matches('#')) == wanted)
}

/// The anchor that renderers make of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}
