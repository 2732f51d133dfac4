//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455, section 9.1), whatever the extensions are. What they and their
//! parameters mean is for others.

use std::borrow::Cow;

/// One extension of the list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extension<'a> {
    pub(super) name: &'a str,
    /// In order, as often as they are there; `None` for a parameter without a value.
    pub(super) parameters: Vec<(&'a str, Option<Cow<'a, str>>)>,
}

/// The extensions in the value of one header, in order. An `Err` has the text of one that breaks the grammar.
pub(super) fn extensions(header: &[u8]) -> impl Iterator<Item = Result<Extension<'_>, &[u8]>> {
    // A list may have empty elements (RFC 2616 section 2.1).
    let elements = split(header, b',').filter(|element| !element.is_empty());
    elements.map(|element| extension(element).ok_or(element))
}

/// The parts between separators that are not in a quoted string, without the white space around them.
fn split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(move |byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_quoted,
            b'"' => is_quoted = !is_quoted,
            _ => return *byte == separator && !is_quoted,
        }
        false
    });
    parts.map(<[u8]>::trim_ascii)
}

fn extension(element: &[u8]) -> Option<Extension<'_>> {
    let mut parts = split(element, b';');
    let name = token(parts.next()?)?;
    Some(Extension { name, parameters: parts.map(parameter).collect::<Option<_>>()? })
}

fn parameter(part: &[u8]) -> Option<(&str, Option<Cow<'_, str>>)> {
    let mut halves = part.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
    let name = token(halves.next()?)?;
    let Some(text) = halves.next() else { return Some((name, None)) };
    Some((name, Some(value(text)?)))
}

/// A token, plain or as a quoted string.
fn value(text: &[u8]) -> Option<Cow<'_, str>> {
    let Some(rest) = text.strip_prefix(b"\"") else { return token(text).map(Cow::Borrowed) };
    let mut bytes = rest.strip_suffix(b"\"")?.iter();
    let mut unescaped = Vec::new();
    while let Some(byte) = bytes.next() {
        unescaped.push(if *byte == b'\\' { *bytes.next()? } else { *byte });
    }
    // An unescaped quote within would be no token either.
    token(&unescaped).map(|token| Cow::Owned(token.to_owned()))
}

/// `text` when it is a token (RFC 2616 section 2.2).
fn token(text: &[u8]) -> Option<&str> {
    let is_token =
        !text.is_empty() && text.iter().all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(byte));
    if is_token { std::str::from_utf8(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The extensions of `header` as `name;parameter=value`, and those that break the grammar as `!`.
    fn parsed(header: &[u8]) -> Vec<String> {
        let text = |extension: Extension<'_>| {
            let parameters = extension.parameters.iter().map(|(name, value)| match value {
                Some(value) => format!(";{name}={value}"),
                None => format!(";{name}"),
            });
            extension.name.to_owned() + &parameters.collect::<String>()
        };
        extensions(header).map(|extension| extension.map_or("!".to_owned(), text)).collect()
    }

    #[test]
    fn the_examples_of_rfc_6455_section_9_1_are_read() {
        assert_eq!(parsed(b"deflate-stream"), ["deflate-stream"]);
        assert_eq!(
            parsed(b"mux; max-channels=4; flow-control, deflate-stream"),
            ["mux;max-channels=4;flow-control", "deflate-stream"]
        );
        assert_eq!(parsed(b"private-extension"), ["private-extension"]);
    }

    #[test]
    fn white_space_empty_elements_and_quoted_strings_are_read() {
        for (header, expected) in [
            (&b""[..], &[][..]),
            (b" ,\t, ", &[]),
            (b",a , ,b;  c\t;d = 1 ,", &["a", "b;c;d=1"]),
            (b"a; b=\"10\"", &["a;b=10"]),
            (b"a; b = \"1\\0\" ,c", &["a;b=10", "c"]),
        ] {
            assert_eq!(parsed(header), expected, "{}", header.escape_ascii());
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_told_apart_from_its_neighbours() {
        for (header, expected) in [
            (&b"a;, b"[..], &["!", "b"][..]),
            (b"a b, c", &["!", "c"]),
            (b"a; b=, c", &["!", "c"]),
            (b"a; b=c d, e", &["!", "e"]),
            (b"a; =b", &["!"]),
            (b"a; b=\"c d\", e", &["!", "e"]),
            (b"a; b=\"\", e", &["!", "e"]),
            (b"a; b=\"c, e", &["!"]),
            (b"a; b=\"c,d;e\", f", &["!", "f"]),
            (b"a; b=\"c\\\", d", &["!"]),
            (b"a; b=\"c\"d\", e", &["!"]),
            (b"a; b=\"c\"d, e", &["!", "e"]),
            (b"a; b=1=2", &["!"]),
            (b"a\xff, b", &["!", "b"]),
            (b"a\x00, b", &["!", "b"]),
        ] {
            assert_eq!(parsed(header), expected, "{}", header.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(header in proptest::collection::vec(proptest::sample::select(&b"ab1 ,;=\"\\\xff\t"[..]), 0..40)) {
            for extension in extensions(&header).flatten() {
                prop_assert!(!extension.name.is_empty());
            }
        }

        #[test]
        fn what_is_written_is_read(
            list in proptest::collection::vec(("[a-z-]{1,8}", proptest::collection::vec(("[a-z_]{1,8}", proptest::option::of("[!-~]{1,4}")), 0..3)), 0..4)
        ) {
            let is_token = |text: &str| token(text.as_bytes()).is_some();
            let (mut header, mut expected) = (Vec::new(), Vec::new());
            for (name, parameters) in &list {
                let (mut written, mut plain) = (name.clone(), Some(name.clone()));
                for (name, value) in parameters {
                    let Some(value) = value else {
                        written += &format!("; {name}");
                        plain = plain.map(|plain| format!("{plain};{name}"));
                        continue;
                    };
                    let escaped: String = value.chars().flat_map(|character| ['\\', character]).collect();
                    written += &format!("; {name} = \"{escaped}\"");
                    plain = plain.filter(|_| is_token(value)).map(|plain| format!("{plain};{name}={value}"));
                }
                header.push(written);
                expected.push(plain.unwrap_or("!".to_owned()));
            }
            prop_assert_eq!(parsed(header.join(", ").as_bytes()), expected);
        }
    }
}
