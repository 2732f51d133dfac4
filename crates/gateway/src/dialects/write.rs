//! What the dialects have in common when they write a message for a client.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Recovered;
use crate::Problem;

/// A message without data.
pub(super) fn bare(r#type: &str, correlation: Option<&str>) -> Option<String> {
    Message::<()> { r#type, data: None, subscription_id: None, correlation_id: correlation }.text()
}

/// A message; what is `None` is left out.
#[derive(serde::Serialize)]
pub(super) struct Message<'a, D> {
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<D>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
}

impl<'a, D: Serialize> Message<'a, D> {
    /// A message with data.
    pub(super) fn new(r#type: &'a str, data: D) -> Self {
        Self { r#type, data: Some(data), subscription_id: None, correlation_id: None }
    }

    /// With the name of a subscription.
    pub(super) fn subscription(self, subscription_id: Option<&'a str>) -> Self {
        Self { subscription_id, ..self }
    }

    /// With the client's name for the request.
    pub(super) fn correlation(self, correlation_id: Option<&'a str>) -> Self {
        Self { correlation_id, ..self }
    }

    /// The message as text; always `Some`, because nothing here can fail to be written.
    pub(super) fn text(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }
}

/// An error with a code. Codes of [`Problem::code`] go through `spelling` first.
pub(super) fn error(problem: &Problem, spelling: fn(&str) -> String, correlation: Option<&str>) -> Option<String> {
    #[derive(serde::Serialize)]
    struct Data {
        code: String,
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
    }
    let data = Data { code: spelling(problem.code()), message: problem.to_string(), retry_after: retry_after(problem) };
    Message::new("error", data).correlation(correlation).text()
}

/// The error that says that events are missing.
pub(super) fn gap(spelling: fn(&str) -> String, channel: &str, missed: u64) -> Option<String> {
    #[derive(serde::Serialize)]
    struct Data<'a> {
        code: String,
        message: String,
        channel: &'a str,
        missed: u64,
    }
    Message::new("error", Data { code: spelling("gap"), message: gap_text(channel, missed), channel, missed }).text()
}

/// The same for people.
pub(super) fn gap_text(channel: &str, missed: u64) -> String {
    format!("Missed events of '{channel}': {missed}")
}

/// The pipeline's answer as it is. What is no JSON, against the contract, becomes a string: what goes out is JSON
/// always.
pub(super) fn payload(payload: &[u8]) -> impl Serialize + '_ {
    #[derive(serde::Serialize)]
    #[serde(untagged)]
    enum Payload<'a> {
        Json(&'a RawValue),
        Text(Cow<'a, str>),
    }
    match serde_json::from_slice(payload) {
        Ok(json) => Payload::Json(json),
        Err(_) => Payload::Text(String::from_utf8_lossy(payload)),
    }
}

/// Positions by channel; left out when there are none.
#[derive(Clone, Copy)]
pub(super) struct Positions<'a>(pub(super) &'a [(String, Recovered)]);

impl Positions<'_> {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Positions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (channel, recovered) in self.0 {
            map.serialize_entry(channel, &PositionData::from(recovered))?;
        }
        map.end()
    }
}

/// One position.
#[derive(serde::Serialize)]
pub(super) struct PositionData<'a> {
    epoch: &'a str,
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered: Option<bool>,
}

impl<'a> From<&'a Recovered> for PositionData<'a> {
    fn from(recovered: &'a Recovered) -> Self {
        Self { epoch: &recovered.position.epoch, offset: recovered.position.offset, recovered: recovered.complete }
    }
}

/// Appends `,"correlation_id":...`, if there is one.
pub(super) fn push_correlation(correlation: Option<&str>, text: &mut Vec<u8>) {
    if let Some(correlation) = correlation {
        text.extend_from_slice(br#","correlation_id":"#);
        push_string(correlation, text);
    }
}

/// Appends `"epoch":...,"offset":...`.
pub(super) fn push_position((epoch, offset): (&str, u64), text: &mut Vec<u8>) {
    text.extend_from_slice(br#""epoch":"#);
    push_string(epoch, text);
    text.extend_from_slice(br#","offset":"#);
    text.extend_from_slice(offset.to_string().as_bytes());
}

/// Appends a string, quoted, and escaped where it has to be.
pub(super) fn push_string(string: &str, text: &mut Vec<u8>) {
    if string.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        text.extend_from_slice(Value::from(string).to_string().as_bytes());
    } else {
        text.push(b'"');
        text.extend_from_slice(string.as_bytes());
        text.push(b'"');
    }
}

/// Whole seconds, rounded up: who waits that long does not come too early.
fn retry_after(problem: &Problem) -> Option<u64> {
    problem.retry_after().map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}
