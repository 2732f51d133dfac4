//! Messages, as the program writes and reads them.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::WsError;

/// A message of the channels protocol. As JSON it is what clients see: `{"type", "data", "correlation_id"?,
/// "metadata"?}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WsMessage {
    /// What it is.
    #[serde(rename = "type")]
    pub msg_type: WsMessageType,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
    /// A name for it: what answers or acknowledges it has the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Whatever else is to be said.
    #[serde(default, deserialize_with = "or_empty", skip_serializing_if = "HashMap::is_empty")]
    pub metadata: HashMap<String, Value>,
}

/// What a [`WsMessage`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WsMessageType {
    /// Client to server: a token.
    Auth,
    /// Server to client: what became of it.
    AuthResponse,
    /// Client to server: channels to subscribe to.
    Subscribe,
    /// Server to client: those that were.
    SubscribeResponse,
    /// Client to server: channels to subscribe to no longer.
    Unsubscribe,
    /// Server to client: those that were.
    UnsubscribeResponse,
    /// Client to server: a request for the program.
    Request,
    /// Server to client: its answer.
    Response,
    /// Server to client: something published to a channel. Client to server: something to publish.
    Event,
    /// Client to server: an event with a correlation id was received.
    Ack,
    /// Both ways: is anybody there?
    Ping,
    /// Both ways: yes.
    Pong,
    /// Server to client: something is wrong.
    Error,
}

/// A message of a client for the program: a request, an event or an acknowledgement.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Received {
    /// As the client wrote it; `data` is `{}` when there was none.
    pub message: WsMessage,
    /// The channel it is for, where the client named one. With an auth handler, one the client may use.
    pub channel: Option<String>,
    /// Of a request: where its answer goes.
    pub request: Option<RequestId>,
}

/// A request that waits for [`respond`](super::WebSocketManager::respond).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(pub(super) String);

impl WsMessage {
    /// A message without a name and without metadata.
    #[must_use]
    pub fn new(msg_type: WsMessageType, data: Value) -> Self {
        Self { msg_type, data, correlation_id: None, metadata: HashMap::new() }
    }

    /// An event.
    #[must_use]
    pub fn event(data: Value) -> Self {
        Self::new(WsMessageType::Event, data)
    }

    /// An error: a name for programs, and a text for people.
    #[must_use]
    pub fn error(code: &str, message: &str) -> Self {
        Self::new(WsMessageType::Error, serde_json::json!({"code": code, "message": message}))
    }

    /// With that correlation id.
    #[must_use]
    pub fn with_correlation_id(self, correlation_id: impl Into<String>) -> Self {
        Self { correlation_id: Some(correlation_id.into()), ..self }
    }

    /// With one more entry of metadata.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Its JSON text.
    ///
    /// # Errors
    /// [`WsError::InvalidMessage`] when the data cannot be written.
    pub fn to_json(&self) -> Result<String, WsError> {
        serde_json::to_string(self).map_err(|error| WsError::InvalidMessage(error.to_string()))
    }

    /// The members of the metadata without the braces around them; `None` when there are none.
    pub(super) fn metadata_members(&self) -> Result<Option<String>, WsError> {
        if self.metadata.is_empty() {
            return Ok(None);
        }
        let object = serde_json::to_string(&self.metadata);
        let object = object.map_err(|error| WsError::InvalidMessage(error.to_string()))?;
        Ok(object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).map(str::to_owned))
    }
}

impl WsMessageType {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Auth,
        Self::AuthResponse,
        Self::Subscribe,
        Self::SubscribeResponse,
        Self::Unsubscribe,
        Self::UnsubscribeResponse,
        Self::Request,
        Self::Response,
        Self::Event,
        Self::Ack,
        Self::Ping,
        Self::Pong,
        Self::Error,
    ];

    /// The value of `type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthResponse => "auth_response",
            Self::Subscribe => "subscribe",
            Self::SubscribeResponse => "subscribe_response",
            Self::Unsubscribe => "unsubscribe",
            Self::UnsubscribeResponse => "unsubscribe_response",
            Self::Request => "request",
            Self::Response => "response",
            Self::Event => "event",
            Self::Ack => "ack",
            Self::Ping => "ping",
            Self::Pong => "pong",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for WsMessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `null` counts as absent.
fn or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HashMap<String, Value>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_written_and_read_as_clients_see_it() {
        let message = WsMessage::event(json!({"cpu": 0.5})).with_correlation_id("c").with_metadata("version", "1.0.0");
        let text = r#"{"type":"event","data":{"cpu":0.5},"correlation_id":"c","metadata":{"version":"1.0.0"}}"#;
        assert_eq!(message.to_json().unwrap(), text);
        assert_eq!(serde_json::from_str::<WsMessage>(text).unwrap(), message);
        let ping = WsMessage::new(WsMessageType::Ping, Value::Null);
        assert_eq!(ping.to_json().unwrap(), r#"{"type":"ping"}"#);
        let nulls = r#"{"type":"ping","data":null,"correlation_id":null,"metadata":null}"#;
        assert_eq!(serde_json::from_str::<WsMessage>(nulls).unwrap(), ping);
    }

    #[test]
    fn all_thirteen_types_are_written_by_their_names() {
        for kind in WsMessageType::ALL {
            let written = serde_json::to_value(kind).unwrap();
            assert_eq!(written, json!(kind.as_str()));
            assert_eq!(serde_json::from_value::<WsMessageType>(written).unwrap(), kind);
        }
    }

    #[test]
    fn an_error_is_written_like_those_of_the_protocol() {
        let text = r#"{"type":"error","data":{"code":"maintenance","message":"Back at noon"}}"#;
        assert_eq!(WsMessage::error("maintenance", "Back at noon").to_json().unwrap(), text);
    }
}
