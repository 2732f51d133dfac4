//! JSON with line breaks and indentation. Members keep their order and numbers their digits, which a tree would not.

use serde_json::value::RawValue;

const INDENT: &str = "  ";

/// The value on several lines, the last one ended.
pub(super) fn indented(value: &RawValue) -> String {
    let mut writer = Writer { out: String::new(), depth: 0 };
    let mut rest = value.get().chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => writer.string(&mut rest),
            '{' | '[' => {
                while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                match rest.next_if(|c| matches!(c, '}' | ']')) {
                    Some(end) => writer.out.extend([c, end]),
                    None => writer.open(c),
                }
            }
            '}' | ']' => writer.close(c),
            ',' => writer.next(),
            ':' => writer.out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => writer.out.push(c),
        }
    }
    writer.out.push('\n');
    writer.out
}

struct Writer {
    out: String,
    depth: usize,
}

impl Writer {
    /// Its opening quote was read.
    fn string(&mut self, rest: &mut impl Iterator<Item = char>) {
        self.out.push('"');
        while let Some(c) = rest.next() {
            self.out.push(c);
            match c {
                '\\' => self.out.extend(rest.next()),
                '"' => return,
                _ => {}
            }
        }
    }

    fn open(&mut self, c: char) {
        self.out.push(c);
        self.depth += 1;
        self.new_line();
    }

    fn close(&mut self, c: char) {
        self.depth = self.depth.saturating_sub(1);
        self.new_line();
        self.out.push(c);
    }

    fn next(&mut self) {
        self.out.push(',');
        self.new_line();
    }

    fn new_line(&mut self) {
        self.out.push('\n');
        (0..self.depth).for_each(|_| self.out.push_str(INDENT));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn members_and_numbers_stay_as_they_were_written() {
        let value: &RawValue =
            serde_json::from_str(r#"{"b": 1.50,"a":[], "c":[{"d":{ } },"x, {\"y\": \\"],"e":null}"#).unwrap();
        let expected = "{\n  \"b\": 1.50,\n  \"a\": [],\n  \"c\": [\n    {\n      \"d\": {}\n    },\n    \"x, {\\\"y\\\": \\\\\"\n  ],\n  \"e\": null\n}\n";
        assert_eq!(indented(value), expected);
    }

    #[test]
    fn it_says_the_same() {
        for text in ["7", "\"\"", "[]", "{}", r#"[[["\\"]],{"":{"a":"\u0022"}}]"#, r#"{"ä":"ö\n"}"#] {
            let value: &RawValue = serde_json::from_str(text).unwrap();
            assert_eq!(
                serde_json::from_str::<Value>(&indented(value)).unwrap(),
                serde_json::from_str::<Value>(text).unwrap()
            );
        }
    }
}
