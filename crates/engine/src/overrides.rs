//! `--set Stream.property=value`: properties given from outside the file.

/// One property given from outside the file. It replaces the value in the file, or adds the property, on every source
/// and sink (and mapper) of the stream that knows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Override {
    /// Name of the stream.
    pub stream: String,
    /// Key of the property.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl Override {
    /// Parses `Stream.property=value`; a name with a point in it stands in double quotes: `"raw.data".udp.listen=:14550`.
    ///
    /// # Errors
    /// What the text should look like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let usage = "write Stream.property=value, for example Trades.websocket.url=ws://127.0.0.1:9000/";
        let (stream, rest) = match text.strip_prefix('"') {
            Some(quoted) => quoted.split_once("\".").ok_or(usage)?,
            None => text.split_once('.').ok_or(usage)?,
        };
        let (key, value) = rest.split_once('=').ok_or(usage)?;
        if stream.is_empty() || key.is_empty() || (stream.contains('=') && !text.starts_with('"')) {
            return Err(usage.to_owned());
        }
        Ok(Self { stream: stream.to_owned(), key: key.to_owned(), value: value.to_owned() })
    }
}

impl std::fmt::Debug for Override {
    /// Without the value, which may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Override({}.{}=***)", self.stream, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_ends_at_the_first_dot_and_the_key_at_the_first_equals_sign() {
        let parsed = Override::parse("S.websocket.headers.X-A=b=c").unwrap();
        assert_eq!((&*parsed.stream, &*parsed.key, &*parsed.value), ("S", "websocket.headers.X-A", "b=c"));
        for bad in ["S", "S.x", "=", ".x=1", "S.=1", "S=.x=1", "S=a.b"] {
            assert!(Override::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_with_points_stands_in_quotes() {
        let parsed = Override::parse("\"raw.data\".udp.listen=:14550").unwrap();
        assert_eq!((&*parsed.stream, &*parsed.key, &*parsed.value), ("raw.data", "udp.listen", ":14550"));
        for bad in ["\"raw.data.udp.listen=:14550", "\"raw.data\"=1", "\"\".x=1", "\"raw\".=1"] {
            assert!(Override::parse(bad).is_err(), "{bad}");
        }
    }
}
