//! The params of a request, as typed.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::args::RequestArgs;

/// A JSON object; its values as they were written.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Params(BTreeMap<String, Box<RawValue>>);

impl Params {
    /// The object, and the single ones, which replace those of the object.
    ///
    /// # Errors
    /// What is wrong, which shows no value.
    pub(super) fn of(args: &RequestArgs) -> Result<Self, String> {
        let mut params = match &args.params {
            None => BTreeMap::new(),
            Some(text) => object(text)?,
        };
        for param in &args.param {
            let (key, value) = param.split_once('=').ok_or("--param: write it as KEY=VALUE")?;
            params.insert(key.to_owned(), value_of(value)?);
        }
        Ok(Self(params))
    }
}

fn object(text: &str) -> Result<BTreeMap<String, Box<RawValue>>, String> {
    serde_json::from_str(text).map_err(|error| {
        let place = (error.line(), error.column());
        format!("the params have to be a JSON object, and are none at line {}, column {}", place.0, place.1)
    })
}

/// JSON where it is some, else a text.
fn value_of(text: &str) -> Result<Box<RawValue>, String> {
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(_) => to_raw_value(text).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    fn params(arguments: &[&str]) -> Result<String, String> {
        let typed = [&["eventflux", "request", "ws://h/", "status"], arguments].concat();
        let Command::Request(args) = Args::parse_from(typed).command else { panic!("no request") };
        Params::of(&args).map(|params| serde_json::to_string(&params).unwrap())
    }

    #[test]
    fn what_is_json_is_taken_as_json_and_the_rest_as_text() {
        assert_eq!(params(&[]).unwrap(), "{}");
        assert_eq!(params(&[r#"{"count":10}"#]).unwrap(), r#"{"count":10}"#);
        let single = ["--param", "a=1", "--param", "b=x=y", "--param", r#"c={"d":[null]}"#, "--param", "e="];
        assert_eq!(params(&single).unwrap(), r#"{"a":1,"b":"x=y","c":{"d":[null]},"e":""}"#);
        assert_eq!(params(&[r#"{"a":1,"b":2}"#, "--param", "a=3"]).unwrap(), r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn large_numbers_stay_as_they_are() {
        assert_eq!(params(&["--param", "n=12345678901234567890123"]).unwrap(), r#"{"n":12345678901234567890123}"#);
    }

    #[test]
    fn what_is_no_object_is_refused_and_not_shown() {
        for wrong in ["[1]", "hunter2", r#"{"token":hunter2}"#] {
            let error = params(&[wrong]).unwrap_err();
            assert!(error.contains("JSON object") && !error.contains("hunter2"), "{error}");
        }
        assert!(params(&["--param", "hunter2"]).unwrap_err().contains("KEY=VALUE"));
    }
}
