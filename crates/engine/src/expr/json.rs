//! Reaching into JSON text without building a tree.
//!
//! `JSON` columns hold valid JSON: mappers and casts see to it. So the scanner here only looks for where values begin
//! and end; text that is no JSON gives an error or `NULL`, never a panic. It does not recurse: depth costs nothing.

use std::borrow::Cow;

use eventflux_core::{TextValues, Values};

use super::operand::Operand;

/// Why there is no result.
pub(crate) type Reason = &'static str;

const INVALID: Reason = "the value is not valid JSON";

/// One step into a JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The last member of that name.
    Member(String),
    /// The element of that index; negative ones count from the end.
    Element(i64),
}

/// Whether `text` is exactly one JSON value.
pub(crate) fn check(text: &str) -> Result<(), Reason> {
    serde_json::from_str::<&serde_json::value::RawValue>(text).map(|_| ()).map_err(|_| INVALID)
}

/// The text of the value that `path` leads to; `None` when there is none.
pub(crate) fn find<'t>(text: &'t str, path: &[Step]) -> Result<Option<&'t str>, Reason> {
    let mut current = text.trim_ascii();
    for step in path {
        let found = match step {
            Step::Member(name) => member(current, name)?,
            Step::Element(index) => element(current, *index)?,
        };
        let Some(found) = found else {
            return Ok(None);
        };
        current = found;
    }
    Ok(Some(current))
}

/// The content of a JSON string, the text of any other value, and `None` for `null`.
pub(crate) fn text_of(value: &str) -> Result<Option<Cow<'_, str>>, Reason> {
    let value = value.trim_ascii();
    match value.as_bytes().first() {
        Some(b'"') => string_content(value).map(Some),
        Some(b'n') if value == "null" => Ok(None),
        Some(_) => Ok(Some(Cow::Borrowed(value))),
        None => Err(INVALID),
    }
}

/// The characters a JSON string stands for.
fn string_content(quoted: &str) -> Result<Cow<'_, str>, Reason> {
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(INVALID)?;
    if inner.contains('\\') {
        serde_json::from_str(quoted).map(Cow::Owned).map_err(|_| INVALID)
    } else {
        Ok(Cow::Borrowed(inner))
    }
}

/// `object`, `array`, `string`, `number`, `boolean` or `null`.
pub(crate) fn type_name(value: &str) -> Result<&'static str, Reason> {
    Ok(match value.trim_ascii().as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        Some(b'-' | b'0'..=b'9') => "number",
        _ => return Err(INVALID),
    })
}

/// The elements of an array, in order; `None` for another value.
pub(crate) fn elements(value: &str) -> Option<Elements<'_>> {
    let value = value.trim_ascii();
    value.starts_with('[').then_some(Elements { scan: Scan { text: value, at: 1 }, is_first: true })
}

/// The members of an object, in order: raw name in its quotes, and value; `None` for another value.
pub(crate) fn members(value: &str) -> Option<Members<'_>> {
    let value = value.trim_ascii();
    value.starts_with('{').then_some(Members { scan: Scan { text: value, at: 1 }, is_first: true })
}

fn member<'t>(value: &'t str, name: &str) -> Result<Option<&'t str>, Reason> {
    let Some(members) = members(value) else {
        return Ok(None);
    };
    let mut found = None;
    for member in members {
        let (raw, value) = member?;
        let inner = &raw[1..raw.len() - 1];
        let is_it = if inner.contains('\\') { string_content(raw)? == name } else { inner == name };
        if is_it {
            found = Some(value);
        }
    }
    Ok(found)
}

fn element(value: &str, index: i64) -> Result<Option<&str>, Reason> {
    let Some(mut elements) = elements(value) else {
        return Ok(None);
    };
    let index = if index < 0 {
        let len = elements.clone().try_fold(0_i64, |count, element| element.map(|_| count + 1))?;
        len + index
    } else {
        index
    };
    usize::try_from(index).ok().and_then(|index| elements.nth(index)).transpose()
}

/// The elements of an array.
#[derive(Clone)]
pub(crate) struct Elements<'t> {
    scan: Scan<'t>,
    is_first: bool,
}

impl<'t> Iterator for Elements<'t> {
    type Item = Result<&'t str, Reason>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.scan.separator(b']', &mut self.is_first) {
            Ok(true) => Some(self.scan.value()),
            Ok(false) => None,
            Err(reason) => Some(Err(reason)),
        }
        .inspect(|item| self.scan.stop_if(item.is_err()))
    }
}

/// The members of an object.
pub(crate) struct Members<'t> {
    scan: Scan<'t>,
    is_first: bool,
}

impl<'t> Iterator for Members<'t> {
    type Item = Result<(&'t str, &'t str), Reason>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.scan.separator(b'}', &mut self.is_first) {
            Ok(true) => Some(self.scan.member()),
            Ok(false) => None,
            Err(reason) => Some(Err(reason)),
        }
        .inspect(|item| self.scan.stop_if(item.is_err()))
    }
}

/// A place in JSON text.
#[derive(Clone)]
struct Scan<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scan<'t> {
    /// After an error there is nothing more.
    fn stop_if(&mut self, stop: bool) {
        if stop {
            self.at = self.text.len();
        }
    }

    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    /// Passes what stands before the next item. Whether there is one.
    fn separator(&mut self, close: u8, is_first: &mut bool) -> Result<bool, Reason> {
        if self.at >= self.text.len() {
            return Ok(false);
        }
        let is_first = std::mem::replace(is_first, false);
        match self.peek() {
            Some(byte) if byte == close => {
                self.at = self.text.len();
                Ok(false)
            }
            Some(_) if is_first => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(INVALID),
        }
    }

    fn member(&mut self) -> Result<(&'t str, &'t str), Reason> {
        if self.peek() != Some(b'"') {
            return Err(INVALID);
        }
        let name = self.string()?;
        if self.peek() != Some(b':') {
            return Err(INVALID);
        }
        self.at += 1;
        Ok((name, self.value()?))
    }

    /// Passes a value and returns its text.
    fn value(&mut self) -> Result<&'t str, Reason> {
        let first = self.peek().ok_or(INVALID)?;
        let start = self.at;
        match first {
            b'"' => return self.string(),
            b'{' | b'[' => self.container()?,
            _ => {
                let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
                let rest = &self.text.as_bytes()[start..];
                self.at += rest.iter().position(ends).unwrap_or(rest.len());
            }
        }
        self.text.get(start..self.at).filter(|value| !value.is_empty()).ok_or(INVALID)
    }

    /// Passes an object or array.
    fn container(&mut self) -> Result<(), Reason> {
        let mut depth = 0_usize;
        loop {
            match self.text.as_bytes().get(self.at).ok_or(INVALID)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Passes a string and returns it with its quotes.
    fn string(&mut self) -> Result<&'t str, Reason> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            match bytes.get(self.at).ok_or(INVALID)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.text.get(start..self.at).ok_or(INVALID)
    }
}

/// Follows `path` in every row; with `text`, to the text of what is there.
pub(super) fn navigate<'b, 'r>(
    operand: &Operand<'_, '_>,
    path: &[Step],
    text: bool,
    len: usize,
    mut fail: impl FnMut(usize, Reason),
) -> Operand<'b, 'r> {
    let source = operand.texts();
    let mut texts = TextValues::default();
    let mut nulls = vec![false; len];
    for (position, null) in nulls.iter_mut().enumerate() {
        *null = true;
        if operand.is_null(position) {
            texts.push("");
            continue;
        }
        let found = find(source.get(operand.index.at(position)), path);
        let result = match found {
            Ok(Some(value)) if text => text_of(value),
            other => other.map(|value| value.map(Cow::Borrowed)),
        };
        match result {
            Ok(Some(value)) => {
                texts.push(&value);
                *null = false;
            }
            Ok(None) => texts.push(""),
            Err(reason) => {
                texts.push("");
                fail(position, reason);
            }
        }
    }
    let values = if text { Values::String(texts) } else { Values::Json(texts) };
    Operand::of(values, if nulls.contains(&true) { nulls } else { Vec::new() })
}

/// Appends `value` as a JSON string.
pub(crate) fn write_string(value: &str, out: &mut String) {
    out.push('"');
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                use std::fmt::Write as _;
                // Writing to a String does not fail.
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn get<'t>(text: &'t str, path: &[Step]) -> Option<&'t str> {
        find(text, path).unwrap()
    }

    fn key(name: &str) -> Step {
        Step::Member(name.into())
    }

    #[test]
    fn members_and_elements_are_found() {
        let text = r#" { "a" : [1, {"b": "x,}]\""}, null ] , "é": 1e400, "\u0061b": true, "d": 1, "d": 2 } "#;
        assert_eq!(get(text, &[key("a"), Step::Element(1), key("b")]), Some(r#""x,}]\"""#));
        assert_eq!(get(text, &[key("a"), Step::Element(-1)]), Some("null"));
        assert_eq!(get(text, &[key("a"), Step::Element(-4)]), None);
        assert_eq!(get(text, &[key("a"), Step::Element(3)]), None);
        assert_eq!(get(text, &[key("é")]), Some("1e400"));
        assert_eq!(get(text, &[key("ab")]), Some("true"));
        assert_eq!(get(text, &[key("d")]), Some("2"));
        assert_eq!(get(text, &[key("x")]), None);
        assert_eq!(get(text, &[key("d"), key("x")]), None);
        assert_eq!(get(r#"{"\\":1}"#, &[key("\\\\")]), None, "the name is one backslash");
        assert_eq!(get("[]", &[Step::Element(0)]), None);
        assert_eq!(get("{}", &[key("")]), None);
    }

    #[test]
    fn text_that_is_no_json_is_an_error_or_nothing() {
        for text in [
            "{",
            "{\"a",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":[",
            "{\"a\":1 \"b\":2}",
            "{a:1}",
            "[",
            "[1 2]",
            "{\"a\":}",
            "{\"\\",
        ] {
            let _ = find(text, &[key("a"), Step::Element(1)]);
            let _ = find(text, &[Step::Element(1)]);
            let _ = find(text, &[Step::Element(-1)]);
            assert!(find(text, &[key("a")]).map_or(true, |found| found.is_none()) || text.contains('a'), "{text}");
        }
    }

    #[test]
    fn deep_values_cost_no_stack() {
        let text = format!("{{\"a\":{}{},\"b\":1}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(get(&text, &[key("b")]), Some("1"));
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "[a\"\\\\é\n]{0,4}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map("[a\"\\\\é]{0,2}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_scanner_agrees_with_a_parsed_tree(
            value in any_json(),
            name in "[a\"\\\\é]{0,2}",
            index in -4_i64..4,
            pretty: bool,
        ) {
            let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            let found = find(&text, &[Step::Member(name.clone())]).unwrap().map(parse);
            prop_assert_eq!(found, value.get(&name).cloned());
            let found = find(&text, &[Step::Element(index)]).unwrap().map(parse);
            let expected = value.as_array().and_then(|array| {
                let index = if index < 0 { array.len() as i64 + index } else { index };
                usize::try_from(index).ok().and_then(|index| array.get(index)).cloned()
            });
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn no_text_makes_the_scanner_panic(text in "[\\[\\]{}:,\"\\\\a1é ]{0,20}", index in -2_i64..3) {
            let _ = find(&text, &[Step::Member("a".into()), Step::Element(index)]);
            let _ = find(&text, &[Step::Element(index), Step::Member("a".into())]);
            let _ = text_of(&text);
            let _ = type_name(&text);
        }

        #[test]
        fn written_strings_read_back(text in "\\PC{0,10}|[\\x00-\\x20\"\\\\]{0,10}") {
            let mut written = String::new();
            write_string(&text, &mut written);
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
    }
}
