//! What values a property may have, and how they are written.

use std::time::Duration;

use crate::Template;

/// The values a property may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertyKind {
    /// Any text.
    Text,
    /// A whole number in a range, bounds included.
    Integer {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// A number in a range of whole bounds, bounds included.
    Number {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// `true` or `false`.
    Boolean,
    /// A length of time: `500ms`, `5s`, `2m`, `1h`; a bare number counts the unit of the declaration (default ms).
    Duration,
    /// A number of bytes: `65536`, `64KiB`, `1MiB`.
    Size,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A URL with one of these schemes.
    Url(&'static [&'static str]),
    /// `host:port` or `:port` to bind; port 0 lets the system choose.
    Address,
    /// A file path.
    Path,
    /// Text in which `${column}` stands for a value of the row; for sinks.
    Template,
    /// Names of columns, separated by commas; for sinks. The value is a template of their values, separated by
    /// [`COLUMN_SEPARATOR`](crate::template::COLUMN_SEPARATOR).
    Columns,
}

/// A parsed value.
#[derive(Debug, Clone, PartialEq)]
pub enum PropertyValue {
    /// Text, choice, URL, address or path.
    Text(String),
    /// Integer.
    Integer(i64),
    /// Number.
    Number(f64),
    /// Boolean.
    Boolean(bool),
    /// Duration.
    Duration(Duration),
    /// Size in bytes.
    Size(u64),
    /// Template.
    Template(Template),
}

impl PropertyKind {
    /// The kind as one word for tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer { .. } => "integer",
            Self::Number { .. } => "number",
            Self::Boolean => "boolean",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::Choice(_) => "choice",
            Self::Url(_) => "url",
            Self::Address => "address",
            Self::Path => "path",
            Self::Template => "template",
            Self::Columns => "columns",
        }
    }

    /// What may be written, for an error's hint and for tables.
    pub fn allowed(&self) -> String {
        match self {
            Self::Text => "any text".to_owned(),
            Self::Integer { min, max } => match (*min, *max) {
                (i64::MIN, i64::MAX) => "a whole number".to_owned(),
                (min, i64::MAX) => format!("a whole number from {min}"),
                (min, max) => format!("a whole number from {min} to {max}"),
            },
            Self::Number { min, max } => format!("a number from {min} to {max}"),
            Self::Boolean => "true or false".to_owned(),
            Self::Duration => "a duration such as 500ms, 5s, 2m or 1h".to_owned(),
            Self::Size => "a number of bytes such as 65536, 64KiB or 1MiB".to_owned(),
            Self::Choice(choices) => choices.join(", "),
            Self::Url(schemes) => {
                let starts: Vec<_> = schemes.iter().map(|scheme| format!("{scheme}://")).collect();
                format!("a URL that starts with {}", starts.join(" or "))
            }
            Self::Address => "an address such as 127.0.0.1:8080 or 0.0.0.0:8080".to_owned(),
            Self::Path => "a file path".to_owned(),
            Self::Template => "text in which ${column} stands for the value of a column, and $${ for ${".to_owned(),
            Self::Columns => "names of columns, separated by commas".to_owned(),
        }
    }

    /// Parses what was written; `unit` is the declared unit of a bare number. `None` when it is not allowed.
    pub fn parse(&self, text: &str, unit: Option<&str>) -> Option<PropertyValue> {
        let trimmed = text.trim();
        match self {
            Self::Text => Some(PropertyValue::Text(text.to_owned())),
            Self::Integer { min, max } => {
                trimmed.parse::<i64>().ok().filter(|value| (min..=max).contains(&value)).map(PropertyValue::Integer)
            }
            Self::Number { min, max } => trimmed
                .parse::<f64>()
                .ok()
                .filter(|value| *value >= *min as f64 && *value <= *max as f64)
                .map(PropertyValue::Number),
            Self::Boolean => match trimmed.to_ascii_lowercase().as_str() {
                "true" => Some(PropertyValue::Boolean(true)),
                "false" => Some(PropertyValue::Boolean(false)),
                _ => None,
            },
            Self::Duration => parse_duration(trimmed, unit).map(PropertyValue::Duration),
            Self::Size => parse_size(trimmed).map(PropertyValue::Size),
            Self::Choice(choices) => choices.contains(&trimmed).then(|| PropertyValue::Text(trimmed.to_owned())),
            Self::Url(schemes) => {
                let (scheme, rest) = trimmed.split_once("://")?;
                let known = schemes.iter().any(|allowed| allowed.eq_ignore_ascii_case(scheme));
                (known && !rest.is_empty()).then(|| PropertyValue::Text(trimmed.to_owned()))
            }
            Self::Address => {
                let (_, port) = trimmed.rsplit_once(':')?;
                port.parse::<u16>().ok().map(|_| PropertyValue::Text(trimmed.to_owned()))
            }
            Self::Path => (!trimmed.is_empty()).then(|| PropertyValue::Text(trimmed.to_owned())),
            Self::Template => Template::parse(text).ok().map(PropertyValue::Template),
            Self::Columns => Template::of_columns(text).map(PropertyValue::Template),
        }
    }
}

fn parse_duration(text: &str, unit: Option<&str>) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let millis_per = match (suffix.trim(), unit) {
        ("", None) => 1,
        ("", Some(unit)) => millis_of(unit)?,
        (suffix, _) => millis_of(suffix)?,
    };
    Some(Duration::from_millis(number.checked_mul(millis_per)?))
}

fn millis_of(unit: &str) -> Option<u64> {
    match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let factor: u64 = match suffix.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_takes_what_it_says_and_nothing_else() {
        let integer = PropertyKind::Integer { min: -1, max: 9 };
        let cases: [(PropertyKind, &str, Option<PropertyValue>); 20] = [
            (integer, "-1", Some(PropertyValue::Integer(-1))),
            (integer, "10", None),
            (integer, "1x", None),
            (PropertyKind::Boolean, "TRUE", Some(PropertyValue::Boolean(true))),
            (PropertyKind::Boolean, "yes", None),
            (PropertyKind::Duration, "5s", Some(PropertyValue::Duration(Duration::from_secs(5)))),
            (PropertyKind::Duration, "250", Some(PropertyValue::Duration(Duration::from_millis(250)))),
            (PropertyKind::Duration, "5 parsecs", None),
            (PropertyKind::Duration, "99999999999999999h", None),
            (PropertyKind::Size, "64KiB", Some(PropertyValue::Size(65_536))),
            (PropertyKind::Size, "-1", None),
            (PropertyKind::Choice(&["a", "b"]), "b", Some(PropertyValue::Text("b".into()))),
            (PropertyKind::Choice(&["a", "b"]), "c", None),
            (PropertyKind::Url(&["ws", "wss"]), "wss://h/p", Some(PropertyValue::Text("wss://h/p".into()))),
            (PropertyKind::Url(&["ws", "wss"]), "http://h", None),
            (PropertyKind::Address, "127.0.0.1:0", Some(PropertyValue::Text("127.0.0.1:0".into()))),
            (PropertyKind::Address, "127.0.0.1:99999", None),
            (PropertyKind::Template, "a.${b", None),
            (PropertyKind::Columns, "a, b", Template::parse("${a}\u{1f}${b}").ok().map(PropertyValue::Template)),
            (PropertyKind::Columns, "a,,b", None),
        ];
        for (kind, text, expected) in cases {
            assert_eq!(kind.parse(text, None), expected, "{kind:?} {text}");
        }
    }

    #[test]
    fn a_bare_number_counts_the_declared_unit() {
        let parsed = PropertyKind::Duration.parse("2", Some("s"));
        assert_eq!(parsed, Some(PropertyValue::Duration(Duration::from_secs(2))));
    }
}
