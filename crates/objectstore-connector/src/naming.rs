//! Paths and names of objects. What columns contribute is checked, so that no value leads anywhere else.

use std::fmt::Write;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Utc};
use eventflux_core::template::TemplatePart;
use eventflux_core::{EventFluxError, Template, escape_control};
use object_store::path::{Path, PathPart};
use uuid::Uuid;

use crate::properties::{EXTENSION, PATH, PATH_TIME, URL};

/// Longest part of a path between two slashes, in bytes: what file systems allow, less what a file has behind its name
/// while it is written.
const MAX_SEGMENT_BYTES: usize = 240;
/// Longest path, in bytes: what S3 allows.
const MAX_KEY_BYTES: usize = 1_024;
/// How much of a value an error shows, in characters.
const SHOWN_CHARS: usize = 80;
/// How the name of an object begins: the time of its first event, so that names are in the order of time.
const NAME_TIME: &str = "%Y%m%dT%H%M%S%.3fZ";

/// Chooses where objects go.
#[derive(Debug, Clone)]
pub(crate) struct Namer {
    /// What every path begins with.
    prefix: Vec<String>,
    /// Slashes that the pipeline author wrote; no column may add one.
    slashes: usize,
    time: String,
    extension: String,
}

impl Namer {
    /// # Errors
    /// [`EventFluxError::Configuration`] when no event could have a path.
    pub(crate) fn new(prefix: &str, path: &Template, time: &str, extension: &str) -> Result<Self, EventFluxError> {
        let prefix = segments(prefix).map_err(|reason| refused(URL, prefix, &reason, "leave it out or write a/b"))?;
        let example = example(path);
        let namer = Self { prefix, slashes: slashes(&example), time: time.to_owned(), extension: extension.to_owned() };
        namer.check(&example).map_err(|reason| refused(PATH, &example, &reason, "write a path such as a/${column}"))?;
        let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if extension.is_empty() || extension.starts_with('.') || !extension.chars().all(part) {
            return Err(refused(EXTENSION, extension, "is no end of a name", "write jsonl or csv.txt"));
        }
        let hint = "write for example %Y-%m-%d/%H, or nothing";
        if StrftimeItems::new(time).any(|item| item == Item::Error) {
            return Err(refused(PATH_TIME, time, "has a placeholder that strftime does not know", hint));
        }
        let now = Utc::now();
        namer.time_path(now).map_err(|reason| refused(PATH_TIME, time, &reason, hint))?;
        namer.key(&example, now).map_err(|reason| refused(PATH, &example, &reason, "write a shorter path"))?;
        Ok(namer)
    }

    /// The path of a new object with events of that path, of which the first came at `time`.
    ///
    /// # Errors
    /// Why `path` is none.
    pub(crate) fn key(&self, path: &str, time: DateTime<Utc>) -> Result<Path, String> {
        self.check(path)?;
        let mut parts = self.prefix.clone();
        parts.extend(segments(path)?);
        parts.extend(self.time_path(time)?);
        parts.push(format!("{}-{}.{}", time.format(NAME_TIME), Uuid::now_v7().simple(), self.extension));
        let key: Path = parts.iter().map(|part| PathPart::from(part.as_str())).collect();
        if let Some(long) = key.parts().find(|part| part.as_ref().len() > MAX_SEGMENT_BYTES) {
            return Err(format!("has a part of {} bytes, more than {MAX_SEGMENT_BYTES}", long.as_ref().len()));
        }
        if key.as_ref().len() > MAX_KEY_BYTES {
            return Err(format!("makes a path of {} bytes, more than {MAX_KEY_BYTES}", key.as_ref().len()));
        }
        Ok(key)
    }

    /// The error for a payload whose path is none.
    pub(crate) fn refusal(path: &str, reason: &str) -> EventFluxError {
        EventFluxError::Send { reason: format!("{PATH}: '{}' {reason}", shown(path)), retryable: false }
    }

    fn check(&self, path: &str) -> Result<(), String> {
        if path.is_empty() {
            return Err("is empty".to_owned());
        }
        if slashes(path) != self.slashes {
            return Err("has a '/' that comes from a column".to_owned());
        }
        segments(path).map(drop)
    }

    fn time_path(&self, time: DateTime<Utc>) -> Result<Vec<String>, String> {
        let mut text = String::new();
        write!(text, "{}", time.format(&self.time)).map_err(|_| "cannot be written".to_owned())?;
        segments(&text)
    }
}

/// The parts between the slashes; none of an empty text.
fn segments(text: &str) -> Result<Vec<String>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let part = |part: &str| match part {
        "" => Err("has an empty part".to_owned()),
        "." | ".." => Err(format!("has the part '{part}'")),
        part if part.chars().any(char::is_control) => Err("has a control character".to_owned()),
        part => Ok(part.to_owned()),
    };
    text.split('/').map(part).collect()
}

/// The path of an event whose columns all have the value `x`.
fn example(path: &Template) -> String {
    let part = |part: &TemplatePart| match part {
        TemplatePart::Literal(text) => text.clone(),
        TemplatePart::Column(_) => "x".to_owned(),
    };
    path.parts().iter().map(part).collect()
}

fn slashes(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'/').count()
}

fn refused(key: &str, text: &str, reason: &str, hint: &str) -> EventFluxError {
    EventFluxError::property(key, format!("'{}' {reason}", shown(text))).with_hint(hint)
}

fn shown(text: &str) -> String {
    escape_control(&text.chars().take(SHOWN_CHARS).collect::<String>()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namer(path: &str) -> Namer {
        Namer::new("edge/a", &Template::parse(path).unwrap(), "%Y-%m-%d/%H", "jsonl").unwrap()
    }

    fn time() -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_795_282_963_123).unwrap()
    }

    #[test]
    fn a_key_tells_path_time_and_order() {
        let key = namer("readings/${sensor}").key("readings/roof 1", time()).unwrap();
        let begin = "edge/a/readings/roof 1/2026-11-21/17/20261121T174243.123Z-";
        assert!(key.as_ref().starts_with(begin) && key.as_ref().ends_with(".jsonl"), "{key}");
        assert_eq!(key.as_ref().len(), begin.len() + 32 + ".jsonl".len());
    }

    #[test]
    fn names_of_the_same_moment_differ_and_are_in_order() {
        let namer = namer("a");
        let keys: Vec<_> = (0..1_000).map(|_| namer.key("a", time()).unwrap()).collect();
        assert!(keys.is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn a_value_of_a_column_leads_nowhere_else() {
        let namer = namer("${a}/x/${b}");
        for path in ["../x/b", "a/x/..", "a/x/.", "/x/b", "a/x/", "a/y/x/b", "a/x/b/c", "a/x/b\n", "a\0/x/b", "a/x", ""]
        {
            let reason = namer.key(path, time()).unwrap_err();
            let error = Namer::refusal(path, &reason);
            assert!(!error.is_retryable() && error.to_string().starts_with("objectstore.path: '"), "{error}");
            assert!(!error.to_string().contains(char::is_control), "{error:?}");
        }
        let key = namer.key("..a/x/%2e%2e\\#1?", time()).unwrap();
        assert!(key.as_ref().contains("/..a/x/%252e%252e%5C%231%3F/"), "{key}");
    }

    #[test]
    fn paths_that_differ_have_keys_that_differ() {
        let namer = namer("${a}");
        let part = |path| namer.key(path, time()).unwrap().parts().nth(2).unwrap().as_ref().to_owned();
        assert_ne!(part("%7E"), part("~"));
        assert_ne!(part("a"), part("A"));
    }

    #[test]
    fn what_no_store_takes_is_refused_before_it_is_tried() {
        let namer = namer("${a}");
        assert!(namer.key(&"ä".repeat(40), time()).is_ok(), "six bytes each, as they are written");
        assert!(namer.key(&"ä".repeat(41), time()).unwrap_err().contains("246 bytes"));
        assert!(namer.key(&"x".repeat(241), time()).unwrap_err().contains("241 bytes"));
        let long = Template::parse(&vec!["x".repeat(200); 6].join("/")).unwrap();
        assert!(Namer::new("", &long, "", "jsonl").unwrap_err().to_string().contains("more than 1024"));
    }

    #[test]
    fn what_the_author_wrote_is_checked_at_once() {
        let refusal = |prefix, path, time, extension| {
            let path = Template::parse(path).unwrap();
            Namer::new(prefix, &path, time, extension).map(drop).unwrap_err().to_string()
        };
        assert!(refusal("a//b", "p", "", "jsonl").starts_with("property 'objectstore.url': 'a//b' has an empty part"));
        assert!(refusal("", "/p", "", "jsonl").starts_with("property 'objectstore.path': '/p' has an empty part"));
        assert!(
            refusal("", "../${a}", "", "jsonl").starts_with("property 'objectstore.path': '../x' has the part '..'")
        );
        assert!(
            refusal("", "p", "%Q", "jsonl").starts_with("property 'objectstore.path.time': '%Q' has a placeholder")
        );
        assert!(
            refusal("", "p", "../%H", "jsonl").starts_with("property 'objectstore.path.time': '../%H' has the part")
        );
        for extension in ["", ".jsonl", "a/b"] {
            assert!(refusal("", "p", "", extension).starts_with("property 'objectstore.extension': "), "{extension}");
        }
    }
}
