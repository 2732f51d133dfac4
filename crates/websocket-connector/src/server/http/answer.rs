//! What a client is answered: a status, headers, and JSON.

use std::time::Duration;

use bytes::Bytes;
use eventflux_gateway::{Ending, Problem};
use eventflux_websocket_wire::handshake::Refusal;
use http_body_util::Full;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

/// When a client may come back that found no room.
pub(super) const NO_ROOM_RETRY: Duration = Duration::from_secs(5);

/// An answer that ends the connection.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    /// `None`: there is none.
    body: Option<Value>,
}

impl Answer {
    pub(super) fn new(status: u16, body: Option<Value>) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    /// A request that is not carried out. The message has nothing the client may not know.
    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::new(status, Some(json!({"error": {"code": code, "message": message}})))
    }

    pub(super) fn bad_request(message: &str) -> Self {
        Self::error(400, "bad_request", message)
    }

    /// One of our limits is reached.
    pub(super) fn busy(status: u16, code: &str, message: &str, retry_after: Duration) -> Self {
        Self::error(status, code, message).with("Retry-After", whole_seconds(retry_after).to_string())
    }

    pub(super) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn of_problem(problem: &Problem) -> Self {
        let status = match problem {
            Problem::PermissionDenied { .. } => 403,
            Problem::ChannelFull { .. } => 503,
            Problem::UnknownType(_) => 404,
            Problem::RateLimitExceeded { .. } => 429,
            _ => 400,
        };
        let retry_after = problem.retry_after().or_else(|| (status == 503).then_some(NO_ROOM_RETRY));
        let (code, message) = (problem.code(), problem.to_string());
        match retry_after {
            Some(wait) => Self::busy(status, code, &message, wait),
            None => Self::error(status, code, &message),
        }
    }

    /// Why there is no session.
    pub(super) fn of_ending(ending: Ending) -> Self {
        let (status, code) = match ending {
            Ending::GoingAway => (503, "going_away"),
            Ending::AddressLimit | Ending::UserLimit => (429, "connection_limit"),
            Ending::Capacity => (503, "connection_limit"),
            other => return Self::error(403, "refused", other.reason()),
        };
        Self::busy(status, code, ending.reason(), NO_ROOM_RETRY)
    }

    /// What a request for an upgrade would be answered.
    pub(super) fn of_refusal(refusal: Refusal, code: &str) -> Self {
        match refusal {
            Refusal::Status { status, reason, headers } => Self { headers, ..Self::error(status, code, &reason) },
            Refusal::Gone => Self::error(400, code, "the client went away"),
        }
    }

    /// As bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let status = self.status();
        let mut head = format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default());
        let body = self.body();
        for (name, value) in self.fields() {
            head.extend([name.as_str(), ": "]);
            head.push_str(&String::from_utf8_lossy(value.as_bytes()));
            head.push_str("\r\n");
        }
        head.push_str("Connection: close\r\n");
        if self.body.is_some() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        [head.as_bytes(), body.as_bytes()].concat()
    }

    /// For a server that frames it itself.
    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body())));
        *response.status_mut() = self.status();
        response.headers_mut().extend(self.fields());
        response
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn body(&self) -> String {
        self.body.as_ref().map(|body| format!("{body}\n")).unwrap_or_default()
    }

    /// A value made of what the client sent must not become a second header: one that is none is left out.
    fn fields(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let json = self.body.is_some().then(|| ("Content-Type", "application/json".to_owned()));
        let store = ("Cache-Control", "no-store".to_owned());
        let fields = self.headers.iter().cloned().chain(json).chain([store]);
        fields.filter_map(|(name, value)| Some((name.parse().ok()?, HeaderValue::from_str(&value).ok()?)))
    }
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_json_with_its_length_and_ends_the_connection() {
        let answer = Answer::busy(503, "busy", "later", Duration::from_millis(1500));
        let text = String::from_utf8(answer.encode()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\n"), "{head}");
        assert!(head.contains("Connection: close") && head.contains("content-type: application/json"), "{head}");
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
        assert_eq!(body, "{\"error\":{\"code\":\"busy\",\"message\":\"later\"}}\n");
    }

    #[test]
    fn a_value_cannot_become_a_second_header() {
        let answer = Answer::new(204, None).with("X-A", "b\r\nX-C: d".to_owned());
        let text = String::from_utf8(answer.encode()).unwrap();
        assert!(!text.contains("X-C") && !text.contains("Content-Length"), "{text}");
    }
}
