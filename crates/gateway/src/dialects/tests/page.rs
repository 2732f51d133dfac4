//! The page about the protocols says what they do. What the server sends is compared in the tests of each dialect.

use super::*;

const PAGE: &str = include_str!("../../../../../docs/gateway-protocols.md");

/// Asserts that the page shows this message of the server.
pub(in crate::dialects) fn assert_shown(dialect: &str, message: &str) {
    let shown = examples(dialect, "From the server");
    assert!(shown.contains(&message), "docs/gateway-protocols.md does not show, for {dialect}: {message}");
}

/// The messages in tables of that part of a dialect's section.
fn examples(dialect: &str, part: &str) -> Vec<&'static str> {
    let beginning = format!("The {dialect} protocol\n");
    let section = PAGE.split("\n## ").find(|section| section.starts_with(&beginning)).unwrap();
    let part = section.split("\n### ").find(|heading| heading.starts_with(part)).unwrap();
    let rows = part.lines().filter(|line| line.starts_with("| "));
    rows.flat_map(|row| row.split('`')).filter(|code| code.starts_with("{\"type\"")).collect()
}

#[test]
fn every_message_of_a_client_on_the_page_is_understood() {
    for dialect in structured().map(Dialect::name) {
        let messages = examples(dialect, "From the client");
        assert!(messages.len() >= 5, "{dialect}: {messages:?}");
        for message in messages {
            assert!(parse(dialect, message).is_ok(), "{dialect}: {message}");
        }
    }
}

#[test]
fn every_error_is_on_the_page() {
    for problem in problems("") {
        assert!(PAGE.contains(&format!("\n| `{}` |", problem.code())), "{} is missing", problem.code());
    }
}

#[test]
fn every_close_code_is_on_the_page() {
    use crate::Ending;
    for ending in [
        Ending::GoingAway,
        Ending::AuthenticationTimeout,
        Ending::AuthenticationFailed,
        Ending::AuthenticationExpired,
        Ending::Origin,
        Ending::Capacity,
        Ending::UserLimit,
        Ending::Flood,
        Ending::TooSlow,
        Ending::Binary,
    ] {
        let row = format!("\n| {} | `{}` |", ending.code(), ending.reason());
        assert!(PAGE.contains(&row), "{row} is missing");
    }
}
