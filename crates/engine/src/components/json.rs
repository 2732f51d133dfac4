//! JSON with places: strict, each name once in an object, every value with its span in the file.

use std::collections::HashSet;

use jsonc_parser::ast::{Object, ObjectProp, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use crate::diagnostic::{Diagnostic, SourceFile, Span};

/// JSON as its standard (RFC 8259) has it, nothing else.
const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Reads the one value of a file.
///
/// # Errors
/// The first mistake of its syntax.
pub(super) fn parse(file: &SourceFile) -> Result<Value<'_>, Diagnostic> {
    let parsed = parse_to_ast(file.text(), &CollectOptions::default(), &STRICT).map_err(|error| {
        let range = error.range();
        let text = error.kind().to_string();
        Diagnostic::error(Span::new(range.start, range.end), format!("this is not JSON: {}", lower_first(&text)))
    })?;
    parsed.value.ok_or_else(|| {
        Diagnostic::whole_file("this file is empty").with_hint("write {\"components\": {...}}, or SQL statements")
    })
}

/// Where a value, a member or a name stands.
pub(super) fn span_of(part: &impl Ranged) -> Span {
    let range = part.range();
    Span::new(range.start, range.end)
}

/// The kind of a value, with its article.
pub(super) fn describe(value: &Value<'_>) -> &'static str {
    match value {
        Value::StringLit(_) => "a text",
        Value::NumberLit(_) => "a number",
        Value::BooleanLit(literal) if literal.value => "true",
        Value::BooleanLit(_) => "false",
        Value::Object(_) => "an object",
        Value::Array(_) => "a list",
        Value::NullKeyword(_) => "null",
    }
}

/// Reports every name that an object, however deep, has twice.
pub(super) fn duplicates(value: &Value<'_>, diagnostics: &mut Vec<Diagnostic>) {
    match value {
        Value::Object(object) => {
            let mut seen = HashSet::new();
            for property in &object.properties {
                if !seen.insert(property.name.as_str()) {
                    let message = format!("'{}' is given twice", shown(property.name.as_str()));
                    let mistake = Diagnostic::error(span_of(&property.name), message);
                    diagnostics.push(mistake.with_hint("keep one of them"));
                }
                duplicates(&property.value, diagnostics);
            }
        }
        Value::Array(array) => array.elements.iter().for_each(|element| duplicates(element, diagnostics)),
        _ => {}
    }
}

/// The members of an object, each name once: the last one counts, as [`duplicates`] has reported the others.
pub(super) fn members<'v, 'a>(object: &'v Object<'a>) -> impl Iterator<Item = &'v ObjectProp<'a>> {
    let last: std::collections::HashMap<_, _> =
        object.properties.iter().enumerate().map(|(index, property)| (property.name.as_str(), index)).collect();
    let is_last = move |index: usize, name: &str| last.get(name) == Some(&index);
    let all = object.properties.iter().enumerate();
    all.filter(move |(index, property)| is_last(*index, property.name.as_str())).map(|(_, property)| property)
}

/// A name of the file, short enough for a message.
pub(super) fn shown(name: &str) -> String {
    const MAX_CHARACTERS: usize = 64;
    match name.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_lowercase().collect::<String>() + characters.as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> Diagnostic {
        parse(&SourceFile::new("f.json", text)).expect_err(text)
    }

    #[test]
    fn only_json_is_read() {
        let cases = [
            "{a: 1}",
            "{'a': 1}",
            "{\"a\": 1,}",
            "[1 2]",
            "// no\n1",
            "0x10",
            "+1",
            ".5",
            "NaN",
            "\"\\x41\"",
            "1 2",
            "{\"a\"",
            "[",
            "{\"a\": }",
            "'a'",
            "\"a",
            "[1,]",
        ];
        for text in cases {
            assert!(mistake(text).message.starts_with("this is not JSON: "), "{text}");
        }
        assert_eq!(mistake(" \n ").message, "this file is empty");
    }

    #[test]
    fn places_count_bytes_behind_many_byte_characters() {
        let file = SourceFile::new("f.json", "{\"é𝄞\": \"ü\", \"b\": tru}");
        let mistake = parse(&file).unwrap_err();
        assert_eq!(file.slice(mistake.span.unwrap()), "tru");
    }

    #[test]
    fn depth_is_an_error_and_not_an_overflow() {
        let text = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(mistake(&text).message.contains("depth"), "{}", mistake(&text).message);
    }

    #[test]
    fn a_name_given_twice_is_reported_wherever_it_is_and_the_last_one_counts() {
        let file = SourceFile::new("f.json", r#"{"a": [{"b": 1, "b": 2}], "a": 3}"#);
        let value = parse(&file).unwrap();
        let mut found = Vec::new();
        duplicates(&value, &mut found);
        let names: Vec<_> = found.iter().map(|mistake| file.slice(mistake.span.unwrap())).collect();
        assert_eq!(names, ["\"b\"", "\"a\""]);
        let object = value.as_object().unwrap();
        let values: Vec<_> = members(object).map(|member| file.slice(span_of(&member.value))).collect();
        assert_eq!(values, ["3"]);
    }
}
