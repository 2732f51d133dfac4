//! What a reply says.

use bytes::Bytes;
use eventflux_federation::{Failure, RequestError};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Why a request has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestFailure {
    /// The peer replied that it has not done it.
    #[error("{message} ({code})")]
    Refused {
        /// What a program makes of it: `unknown_method`, `invalid`, `busy`, and so on.
        code: String,
        /// What a person makes of it.
        message: String,
    },
    /// There is no connection any more; the request was not sent.
    #[error("not connected: {0}")]
    NotConnected(String),
    /// No reply came in time. The peer may have done it.
    #[error("no reply in time; whether the request was carried out is not known")]
    Timeout,
    /// The connection ended before a reply came. The peer may have done it.
    #[error("the connection ended before a reply came; whether the request was carried out is not known")]
    Disconnected,
    /// Too many requests are under way on the connection; this one was not sent.
    #[error("too many requests are under way on the connection; this one was not sent")]
    Busy,
    /// The request cannot be sent as it is; with the reason.
    #[error("{0}")]
    Invalid(String),
    /// The reply makes no sense; with the reason.
    #[error("the reply makes no sense: {0}")]
    Unreadable(String),
}

impl RequestFailure {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { code, .. } => matches!(code.as_str(), "busy" | "timeout" | "disconnected"),
            Self::NotConnected(_) | Self::Timeout | Self::Disconnected | Self::Busy => true,
            Self::Invalid(_) | Self::Unreadable(_) => false,
        }
    }
}

/// Why nobody was asked; `ended`: why there is no connection, when there is none.
pub(in super::super) fn not_sent(error: &RequestError, ended: &str) -> RequestFailure {
    match error {
        RequestError::NotConnected | RequestError::NoSuchConnection(_) => {
            RequestFailure::NotConnected(ended.to_owned())
        }
        RequestError::Busy => RequestFailure::Busy,
        RequestError::Disabled | RequestError::Invalid(_) => RequestFailure::Invalid(error.to_string()),
    }
}

/// What came of it.
pub(in super::super) fn result(outcome: Result<Bytes, Failure>) -> Result<Box<RawValue>, RequestFailure> {
    #[derive(Deserialize)]
    struct Payload<'a> {
        status: String,
        #[serde(borrow, default)]
        result: Option<&'a RawValue>,
        #[serde(borrow, default)]
        error: Option<&'a RawValue>,
    }
    let payload = outcome.map_err(|failure| match failure {
        Failure::Timeout => RequestFailure::Timeout,
        Failure::Disconnected => RequestFailure::Disconnected,
        Failure::Busy => RequestFailure::Busy,
    })?;
    let unreadable = |error: serde_json::Error| RequestFailure::Unreadable(error.to_string());
    let Payload { status, result, error } = serde_json::from_slice(&payload).map_err(unreadable)?;
    match status.as_str() {
        "ok" => Ok(result.unwrap_or(RawValue::NULL).to_owned()),
        "error" => Err(refused(error.unwrap_or(RawValue::NULL))),
        other => Err(RequestFailure::Unreadable(format!("its status is '{}'", other.escape_debug()))),
    }
}

/// An error as we send it; as a text, or as anything else, from others.
fn refused(error: &RawValue) -> RequestFailure {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Shape {
        Coded { code: Option<String>, message: String },
        Text(String),
    }
    let (code, message) = match serde_json::from_str(error.get()) {
        Ok(Shape::Coded { code, message }) => (code, message),
        Ok(Shape::Text(message)) => (None, message),
        Err(_) => (None, error.get().to_owned()),
    };
    RequestFailure::Refused { code: code.unwrap_or_else(|| "error".to_owned()), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(payload: &'static str) -> Result<String, RequestFailure> {
        result(Ok(Bytes::from_static(payload.as_bytes()))).map(|result| result.get().to_owned())
    }

    #[test]
    fn a_result_comes_as_it_was_written() {
        assert_eq!(
            of(r#"{"status":"ok","result":{"b":1.0,"a":12345678901234567890123}}"#).unwrap(),
            r#"{"b":1.0,"a":12345678901234567890123}"#
        );
        assert_eq!(of(r#"{"status":"ok"}"#).unwrap(), "null");
    }

    #[test]
    fn an_error_is_told_in_whatever_shape_it_comes() {
        for (payload, code, message) in [
            (r#"{"status":"error","error":{"code":"invalid","message":"no"}}"#, "invalid", "no"),
            (r#"{"status":"error","error":{"message":"no"}}"#, "error", "no"),
            (r#"{"status":"error","error":"no"}"#, "error", "no"),
            (r#"{"status":"error","error":[1]}"#, "error", "[1]"),
            (r#"{"status":"error"}"#, "error", "null"),
        ] {
            let expected = RequestFailure::Refused { code: code.to_owned(), message: message.to_owned() };
            assert_eq!(of(payload), Err(expected), "{payload}");
        }
    }

    #[test]
    fn what_is_no_reply_is_said_to_be_none() {
        for payload in ["7", "{}", r#"{"status":"perhaps"}"#, "no json"] {
            assert!(matches!(of(payload), Err(RequestFailure::Unreadable(_))), "{payload}");
        }
    }
}
