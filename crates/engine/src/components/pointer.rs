//! JSON pointers (RFC 6901): the way from the top of a file to a place in it.

use std::fmt::Write as _;

use jsonc_parser::ast::Value;

use super::json::{parse, span_of};
use crate::diagnostic::{Diagnostic, SourceFile, Span};

/// Adds to each diagnostic the pointer to what it is about, as its remark.
pub(super) fn point_out(file: &SourceFile, diagnostics: &mut [Diagnostic]) {
    if diagnostics.is_empty() {
        return;
    }
    let Ok(value) = parse(file) else { return };
    for diagnostic in diagnostics {
        let Some(span) = diagnostic.span else { continue };
        let pointer = pointer(&value, span);
        let label = diagnostic.label.take();
        diagnostic.label = match label {
            _ if pointer.is_empty() => label,
            Some(label) => Some(format!("{pointer}: {label}")),
            None => Some(pointer),
        };
    }
}

/// The pointer to the innermost value that holds `span`; a member's name stands for its value. Empty for the whole.
fn pointer(value: &Value<'_>, span: Span) -> String {
    let holds = |outer: Span| outer.start <= span.start && span.end <= outer.end;
    let mut pointer = String::new();
    let mut current = value;
    loop {
        let inner = match current {
            Value::Object(object) => {
                let member = object.properties.iter().find(|property| holds(span_of(*property)));
                member.map(|property| (escaped(property.name.as_str()), &property.value))
            }
            Value::Array(array) => {
                let element = array.elements.iter().enumerate().find(|(_, element)| holds(span_of(*element)));
                element.map(|(index, element)| (index.to_string(), element))
            }
            _ => None,
        };
        let Some((step, value)) = inner else {
            return pointer;
        };
        // Writing to a String does not fail.
        let _ = write!(pointer, "/{step}");
        current = value;
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_value_is_pointed_at() {
        let text = r#"{"components": {"a/b~c": {"list": [1, {"é": "x"}]}}}"#;
        let file = SourceFile::new("f.json", text);
        let value = parse(&file).unwrap();
        let cases = [
            ("\"x\"", "/components/a~1b~0c/list/1/é"),
            ("\"é\"", "/components/a~1b~0c/list/1/é"),
            ("1", "/components/a~1b~0c/list/0"),
            ("\"list\"", "/components/a~1b~0c/list"),
            ("[1, {", "/components/a~1b~0c/list"),
            ("{\"components\"", ""),
        ];
        for (part, expected) in cases {
            let start = text.find(part).unwrap();
            assert_eq!(pointer(&value, Span::new(start, start + part.len())), expected, "{part}");
        }
    }

    #[test]
    fn a_remark_that_was_there_stays() {
        let file = SourceFile::new("f.json", r#"{"a": 1}"#);
        let mut diagnostics = [Diagnostic::error(Span::new(6, 7), "odd").with_label("begins here")];
        point_out(&file, &mut diagnostics);
        assert_eq!(diagnostics[0].label.as_deref(), Some("/a: begins here"));
    }
}
