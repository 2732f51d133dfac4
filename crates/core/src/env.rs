//! `${env:NAME}` and `${env:NAME:default}` in property values.

use std::fmt;

/// An environment variable that a property names and nobody set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvError {
    /// The variable is not set and no default is written.
    Unset(String),
    /// `${env:` without a closing brace or a name.
    Malformed,
}

impl EnvError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unset(name) => Some(format!("set it, or write ${{env:{name}:default}}")),
            Self::Malformed => Some("write ${env:NAME} or ${env:NAME:default}".to_owned()),
        }
    }
}

impl fmt::Display for EnvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset(name) => write!(f, "environment variable {name} is not set"),
            Self::Malformed => f.write_str("'${env:' is not closed or names no variable"),
        }
    }
}

/// Replaces each `${env:NAME}` and `${env:NAME:default}`. Other `${...}` stay as they are (sinks use them for columns).
///
/// # Errors
/// When a variable without a default is not set, or the syntax is broken.
pub fn interpolate(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, EnvError> {
    const OPEN: &str = "${env:";
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(OPEN) {
        result.push_str(&rest[..start]);
        let after = &rest[start + OPEN.len()..];
        let end = after.find('}').ok_or(EnvError::Malformed)?;
        let (name, default) = match after[..end].split_once(':') {
            Some((name, default)) => (name, Some(default)),
            None => (&after[..end], None),
        };
        if name.is_empty() {
            return Err(EnvError::Malformed);
        }
        match (lookup(name), default) {
            (Some(value), _) => result.push_str(&value),
            (None, Some(default)) => result.push_str(default),
            (None, None) => return Err(EnvError::Unset(name.to_owned())),
        }
        rest = &after[end + 1..];
    }
    result.push_str(rest);
    Ok(result)
}

/// Reads the process's environment.
pub fn process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        (name == "A").then(|| "1".to_owned())
    }

    #[test]
    fn variables_and_defaults_are_put_in_and_templates_stay() {
        let cases = [
            ("x${env:A}y${env:A}", Ok("x1y1")),
            ("${env:B:two:three}", Ok("two:three")),
            ("${env:B:}", Ok("")),
            ("${symbol} $ {", Ok("${symbol} $ {")),
            ("${env:B}", Err(EnvError::Unset("B".into()))),
            ("${env:B", Err(EnvError::Malformed)),
            ("${env:}", Err(EnvError::Malformed)),
        ];
        for (text, expected) in cases {
            assert_eq!(interpolate(text, &lookup), expected.map(str::to_owned), "{text}");
        }
    }
}
