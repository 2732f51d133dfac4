//! All built-in functions, and the reference page made of their declarations.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use super::{Builtin, Family, FunctionDoc, conditional, hash, json, number, regex, string, time};

static FAMILIES: [&[Builtin]; 7] = [
    conditional::FUNCTIONS,
    string::FUNCTIONS,
    regex::FUNCTIONS,
    number::FUNCTIONS,
    time::FUNCTIONS,
    json::FUNCTIONS,
    hash::FUNCTIONS,
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Builtin>> = LazyLock::new(|| {
    all()
        .flat_map(|function| function.doc.aliases.iter().chain([&function.doc.name]).map(move |name| (*name, function)))
        .collect()
});

fn all() -> impl Iterator<Item = &'static Builtin> {
    FAMILIES.iter().flat_map(|family| family.iter())
}

/// The built-in function of that name, in any case.
pub(crate) fn find(name: &str) -> Option<&'static Builtin> {
    BY_NAME.get(name.to_ascii_uppercase().as_str()).copied()
}

/// All names of built-in functions, aliases included.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    all().flat_map(|function| function.doc.aliases.iter().copied().chain([function.doc.name]))
}

/// The declarations of all built-in functions, family by family.
pub fn catalogue() -> impl Iterator<Item = &'static FunctionDoc> {
    all().map(|function| &function.doc)
}

/// The reference page of the built-in functions.
pub fn markdown() -> String {
    let mut page = String::from(
        "# SQL functions\n\nThe names of functions are found in any case. Unless a function says otherwise, the \
         result is `NULL` when an argument is `NULL`. Positions count characters from 1. A row for which a function \
         has an error goes to the error strategy of its stream. Arguments of type number take `INT`, `BIGINT`, \
         `FLOAT` and `DOUBLE`; `INT` widens to `BIGINT` and every number to `DOUBLE` where a function asks for them; \
         `T` is any one type.\n",
    );
    for family in Family::ALL {
        let _ = write!(page, "\n## {}\n", family.title());
        for function in catalogue().filter(|function| function.family == family) {
            describe(function, &mut page);
        }
    }
    page
}

fn describe(function: &FunctionDoc, page: &mut String) {
    // Writing to a String does not fail.
    let _ = write!(page, "\n### {}\n\n", function.name);
    for signature in function.signatures {
        let _ = writeln!(page, "`{}`  ", signature.text(function.name));
    }
    let _ = writeln!(page, "\n{}", function.summary);
    if !function.aliases.is_empty() {
        let _ = writeln!(page, "\nAlso called: `{}`.", function.aliases.join("`, `"));
    }
    if let Some(nulls) = function.nulls {
        let _ = writeln!(page, "\n`NULL`: {nulls}");
    }
    if let Some(errors) = function.errors {
        let _ = writeln!(page, "\nErrors: {errors}");
    }
    page.push_str("\n```sql\n");
    for (expression, result) in function.examples {
        let _ = writeln!(page, "{expression}  -- {result}");
    }
    page.push_str("```\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_declared_once_and_completely() {
        assert_eq!(BY_NAME.len(), names().count(), "a name is declared twice");
        assert!(catalogue().count() >= 60);
        for function in catalogue() {
            assert!(!function.signatures.is_empty(), "{}", function.name);
            assert!(!function.examples.is_empty(), "{} has no example", function.name);
            for text in [Some(function.summary), function.nulls, function.errors].into_iter().flatten() {
                assert!(text.ends_with('.'), "{}: {text}", function.name);
            }
            assert!(function.name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
        }
    }

    #[test]
    fn the_page_has_every_function() {
        let page = markdown();
        for function in catalogue() {
            assert!(page.contains(&format!("\n### {}\n", function.name)), "{}", function.name);
        }
        assert!(page.contains("`SUBSTRING(text STRING, start BIGINT[, length BIGINT]) → STRING`"), "{page}");
    }
}
