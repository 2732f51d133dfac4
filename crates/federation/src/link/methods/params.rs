//! The params of a method, taken out one by one; what is left is unknown.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Refusal;

/// Bytes of the params of a method that is answered here.
const MAX_PARAMS_BYTES: usize = 64 * 1024;

/// A limit of names that are told to the peer again.
const MAX_NAMES_TOLD: usize = 16;

/// See the module.
#[derive(Debug)]
pub(in super::super) struct Params(Map<String, Value>);

impl Params {
    pub(in super::super) fn read(params: Option<&RawValue>) -> Result<Self, Refusal> {
        let Some(params) = params else { return Ok(Self(Map::new())) };
        let text = params.get();
        if text.len() > MAX_PARAMS_BYTES {
            return Err(Refusal::invalid(format!("'params' has {} bytes, {MAX_PARAMS_BYTES} are allowed", text.len())));
        }
        serde_json::from_str(text)
            .map(Self)
            .map_err(|error| Refusal::invalid(format!("'params' cannot be read: {}", without_values(&error))))
    }

    /// What the params say of `name`, `null` too.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// A text; `null` counts as left out.
    pub(super) fn text(&mut self, name: &str, max_bytes: usize) -> Result<Option<String>, Refusal> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.len() <= max_bytes => Ok(Some(text)),
            Some(_) => Err(Refusal::invalid(format!("'{name}' has to be a text of at most {max_bytes} bytes"))),
        }
    }

    /// Texts; `null` counts as left out.
    pub(super) fn texts(&mut self, name: &str, max: usize, max_bytes: usize) -> Result<Option<Vec<String>>, Refusal> {
        let refusal = || {
            Refusal::invalid(format!(
                "'{name}' has to be a list of at most {max} texts of at most {max_bytes} bytes each"
            ))
        };
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) if items.len() <= max => {
                let text = |item| match item {
                    Value::String(text) if text.len() <= max_bytes => Ok(text),
                    _ => Err(refusal()),
                };
                items.into_iter().map(text).collect::<Result<_, _>>().map(Some)
            }
            Some(_) => Err(refusal()),
        }
    }

    /// A whole number from `min` to `max`; `null` counts as left out.
    pub(super) fn whole(&mut self, name: &str, min: u64, max: u64) -> Result<Option<u64>, Refusal> {
        let value = match self.take(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => value,
        };
        // Some encodings write whole numbers with a fraction of zero.
        let exact = value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..1e15).contains(number));
        let number = value.as_u64().or(exact.map(|number| number as u64));
        let number = number.filter(|number| (min..=max).contains(number));
        number
            .map(Some)
            .ok_or_else(|| Refusal::invalid(format!("'{name}' has to be a whole number from {min} to {max}")))
    }

    /// Refuses what nobody asked for; `null` counts as left out, as who writes the columns of a table has nulls for what a
    /// method does not have.
    pub(in super::super) fn finish(self, known: &str) -> Result<(), Refusal> {
        match self.0.iter().find(|(_, value)| !value.is_null()) {
            None => Ok(()),
            Some((name, _)) => {
                let name: String = name.chars().take(64).flat_map(char::escape_debug).collect();
                Err(Refusal::invalid(format!("'params' has no member '{name}' here; there are: {known}")))
            }
        }
    }

    /// Names of what nobody asked for.
    pub(super) fn rest(self) -> Vec<String> {
        self.0.into_iter().map(|(name, _)| name).take(MAX_NAMES_TOLD).collect()
    }
}

impl From<Map<String, Value>> for Params {
    fn from(map: Map<String, Value>) -> Self {
        Self(map)
    }
}

/// Where and how JSON is wrong, without anything of it.
pub(super) fn without_values(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    match error.classify() {
        // Texts of these repeat values.
        Category::Data => format!("a member is missing, there twice or of another type, near byte {}", error.column()),
        Category::Io | Category::Syntax | Category::Eof => error.to_string(),
    }
}
