//! A strict reader of the Prometheus text format 0.0.4: whatever the format does not allow is refused, and so is what it
//! allows and we never write.

use std::collections::{BTreeMap, BTreeSet};

/// Names and values of labels, as they are written.
pub(crate) type Labels = Vec<(String, String)>;

/// Everything a page says.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    pub(crate) series: BTreeMap<(String, Labels), f64>,
    /// `counter` or `gauge`, by name.
    pub(crate) kinds: BTreeMap<String, String>,
    pub(crate) helps: BTreeMap<String, String>,
}

impl Exposition {
    /// The value of a series; the labels in the order they are written.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.series.get(&(name.to_owned(), labels)).copied()
    }
}

/// Reads a page.
pub(crate) fn parse(page: &str) -> Result<Exposition, String> {
    let mut read = Exposition::default();
    let mut current = String::new();
    let mut finished = BTreeSet::new();
    if !page.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    for line in page.lines() {
        let result = match line.strip_prefix("# ") {
            Some(comment) => read_comment(comment, &mut read, &mut current, &mut finished),
            None => read_series(line, &mut read, &current),
        };
        result.map_err(|problem| format!("{problem}: {line}"))?;
    }
    Ok(read)
}

/// `HELP name text` or `TYPE name kind`; the first of the two begins the group of a name.
fn read_comment(
    comment: &str,
    read: &mut Exposition,
    current: &mut String,
    finished: &mut BTreeSet<String>,
) -> Result<(), String> {
    let mut words = comment.splitn(3, ' ');
    let (Some(what), Some(name), Some(text)) = (words.next(), words.next(), words.next()) else {
        return Err("a comment that is neither HELP nor TYPE".to_owned());
    };
    check_name(name, ":")?;
    if name != current {
        if !finished.insert(std::mem::replace(current, name.to_owned())) {
            return Err("a group without a name".to_owned());
        }
        if finished.contains(name) {
            return Err("the lines of a name are not together".to_owned());
        }
    }
    let known = match what {
        "HELP" if read.kinds.contains_key(name) => return Err("HELP behind TYPE".to_owned()),
        "HELP" => read.helps.insert(name.to_owned(), unescape(text, false)?),
        "TYPE" if ["counter", "gauge"].contains(&text) => read.kinds.insert(name.to_owned(), text.to_owned()),
        _ => return Err("unknown".to_owned()),
    };
    if known.is_some() { Err("twice".to_owned()) } else { Ok(()) }
}

fn read_series(line: &str, read: &mut Exposition, current: &str) -> Result<(), String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let name = &line[..end];
    if name != current || !read.kinds.contains_key(name) {
        return Err("a series outside the group of its name".to_owned());
    }
    let (labels, value) = match line[end..].strip_prefix('{') {
        Some(rest) => read_labels(rest)?,
        None => (Vec::new(), &line[end..]),
    };
    let value = value.strip_prefix(' ').ok_or("no space before the value")?;
    if !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the value is no whole number".to_owned());
    }
    let value = value.parse().map_err(|_| "no value".to_owned())?;
    match read.series.insert((name.to_owned(), labels), value) {
        Some(_) => Err("a series twice".to_owned()),
        None => Ok(()),
    }
}

/// `a="b",c="d"}` and what stands behind.
fn read_labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    loop {
        let (name, behind) = rest.split_once("=\"").ok_or("a label without a value")?;
        check_name(name, "")?;
        if name.starts_with("__") || labels.iter().any(|(known, _)| known == name) {
            return Err(format!("the label {name} is reserved or there twice"));
        }
        let end = closing_quote(behind).ok_or("a value without an end")?;
        labels.push((name.to_owned(), unescape(&behind[..end], true)?));
        rest = match behind[end + 1..].strip_prefix(',') {
            Some(next) => next,
            None => return Ok((labels, behind[end + 1..].strip_prefix('}').ok_or("labels without an end")?)),
        };
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

fn unescape(text: &str, quoted: bool) -> Result<String, String> {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next() {
                Some('\\') => '\\',
                Some('n') => '\n',
                Some('"') if quoted => '"',
                other => return Err(format!("\\ before {other:?}")),
            },
            other => other,
        });
    }
    Ok(plain)
}

/// Letters, digits and underscores, and what `more` allows; no digit at the beginning.
fn check_name(name: &str, more: &str) -> Result<(), String> {
    let good = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || more.contains(c));
    let starts = name.chars().next().is_some_and(|c| !c.is_ascii_digit());
    if good && starts { Ok(()) } else { Err(format!("'{name}' is no name")) }
}

#[test]
fn what_the_format_does_not_allow_is_refused() {
    for page in [
        "a 1\n",
        "# TYPE a counter\na 1",
        "# TYPE a counter\na{x=\"1} 1\n",
        "# TYPE a counter\na{x=\"\\t\"} 1\n",
        "# TYPE a counter\na{x=\"1\",x=\"2\"} 1\n",
        "# TYPE a counter\na{0=\"1\"} 1\n",
        "# TYPE a counter\na 1\na 1\n",
        "# TYPE a counter\nb 1\n",
        "# TYPE a counter\na one\n",
        "# TYPE a counter\n# TYPE a counter\na 1\n",
        "# TYPE a counter\n# HELP a b\na 1\n",
        "# TYPE a counter\na 1\n# TYPE b counter\nb 1\n# HELP a late\n",
        "# TYPE a-b counter\na-b 1\n",
    ] {
        assert!(parse(page).is_err(), "{page}");
    }
    let good = parse("# HELP a b\\\\\\n\n# TYPE a counter\na{x=\"\\\"\\\\\\n,}\",y=\"\"} 12\na 1\n").unwrap();
    assert_eq!(good.value("a", &[("x", "\"\\\n,}"), ("y", "")]), Some(12.0));
    assert_eq!(good.helps["a"], "b\\\n");
}
