//! How a pull ended, as the server says it: a message without a payload.

use async_nats::{Message, StatusCode};

use super::pulls::End;

const LEFT_MESSAGES: &str = "Nats-Pending-Messages";
const LEFT_BYTES: &str = "Nats-Pending-Bytes";

/// What the server says about a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source) struct Status {
    pub(in crate::source) end: End,
    /// Messages that it has not sent of what was asked for.
    pub(in crate::source) messages: usize,
    /// Bytes, likewise.
    pub(in crate::source) bytes: usize,
}

impl Status {
    /// What `message` says; `None` when it is a message of the stream, or a sign of life.
    pub(in crate::source) fn read(message: &Message) -> Option<Self> {
        let code = message.status.filter(|code| *code != StatusCode::OK && *code != StatusCode::IDLE_HEARTBEAT)?;
        let text = message.description.as_deref().unwrap_or_default();
        let left = |name: &str| {
            let value = message.headers.as_ref()?.get(name)?;
            value.as_str().trim().parse().ok()
        };
        Some(Self {
            end: end(code, text),
            messages: left(LEFT_MESSAGES).unwrap_or_default(),
            bytes: left(LEFT_BYTES).unwrap_or_default(),
        })
    }
}

fn end(code: StatusCode, text: &str) -> End {
    let known = text.to_ascii_lowercase();
    match code {
        StatusCode::TIMEOUT | StatusCode::NOT_FOUND => End::Over,
        StatusCode::NO_RESPONDERS => End::Gone("the consumer does not exist".to_owned()),
        StatusCode::REQUEST_TERMINATED if known.starts_with("message size exceeds") => End::TooLarge,
        StatusCode::REQUEST_TERMINATED if known.starts_with("batch completed") => End::Over,
        StatusCode::REQUEST_TERMINATED if known.starts_with("consumer") => End::Gone(known),
        _ => End::Refused(format!("{text} ({code})")),
    }
}

#[cfg(test)]
mod tests {
    use async_nats::HeaderMap;

    use super::*;

    fn status(code: Option<u16>, text: &str, headers: &[(&str, &str)]) -> Option<Status> {
        let headers = headers.iter().fold(HeaderMap::new(), |mut all, (name, value)| {
            all.insert(*name, *value);
            all
        });
        Status::read(&Message {
            subject: "_INBOX.a.1".into(),
            reply: None,
            payload: bytes::Bytes::new(),
            headers: Some(headers),
            status: code.map(|code| StatusCode::from_u16(code).unwrap()),
            description: Some(text.to_owned()),
            length: 0,
        })
    }

    #[test]
    fn the_end_of_a_pull_says_what_is_left() {
        let left = [(LEFT_MESSAGES, "40"), (LEFT_BYTES, "900")];
        let over = Status { end: End::Over, messages: 40, bytes: 900 };
        assert_eq!(status(Some(408), "Request Timeout", &left), Some(over));
        let large = Status { end: End::TooLarge, messages: 40, bytes: 900 };
        assert_eq!(status(Some(409), "Message Size Exceeds MaxBytes", &left), Some(large));
    }

    #[test]
    fn reasons_are_told_apart() {
        let end = |code, text| status(Some(code), text, &[]).unwrap().end;
        assert_eq!(end(404, "No Messages"), End::Over);
        assert!(matches!(end(409, "Consumer Deleted"), End::Gone(_)));
        assert!(matches!(end(409, "Consumer is push based"), End::Gone(_)));
        assert!(matches!(end(503, ""), End::Gone(_)));
        assert_eq!(end(409, "Exceeded MaxWaiting"), End::Refused("Exceeded MaxWaiting (409)".into()));
        assert_eq!(end(400, "Bad Request"), End::Refused("Bad Request (400)".into()));
    }

    #[test]
    fn messages_and_signs_of_life_are_no_end() {
        assert_eq!(status(None, "", &[]), None);
        assert_eq!(status(Some(100), "Idle Heartbeat", &[]), None);
    }
}
