//! What a stream answers to a message, and what that means for it.

use std::borrow::Cow;

use async_nats::jetstream::ErrorCode;
use async_nats::{Message, StatusCode};
use serde::Deserialize;

/// An answer to one attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The message is in the stream.
    Stored {
        /// Its place there.
        sequence: u64,
        /// It was there before.
        duplicate: bool,
    },
    /// It is not, and may be later.
    Refused(Reason, String),
    /// It is not, and would be refused again.
    Failed(String),
}

/// Why a message is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    /// No stream takes its subject now.
    NoStream,
    /// The stream, the account or the server has no room.
    Full,
    /// The servers are not able to store anything now.
    Unavailable,
    /// There was no answer.
    Timeout,
    /// The connection was lost.
    Reconnect,
}

impl Reason {
    pub(super) const ALL: [Self; 5] = [Self::NoStream, Self::Full, Self::Unavailable, Self::Timeout, Self::Reconnect];

    /// The value of the label `reason`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NoStream => "no_stream",
            Self::Full => "full",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Reconnect => "reconnect",
        }
    }
}

/// What `message` says about a message that `stream` should store; nothing when it is not an answer of JetStream: others may
/// listen to the subject and answer, too.
pub(super) fn read(message: &Message, stream: &str) -> Option<Answer> {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Some(Answer::Refused(Reason::NoStream, "no stream takes the subject".to_owned()));
    }
    let body: Body<'_> = serde_json::from_slice(&message.payload).ok()?;
    match (body.error, body.seq) {
        (Some(error), _) => Some(error.meaning()),
        (None, Some(sequence)) if body.stream.as_deref() == Some(stream) => {
            Some(Answer::Stored { sequence, duplicate: body.duplicate })
        }
        (None, _) => None,
    }
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    stream: Option<Cow<'a, str>>,
    #[serde(default)]
    seq: Option<u64>,
    #[serde(default)]
    duplicate: bool,
    #[serde(borrow, default)]
    error: Option<Refusal<'a>>,
}

#[derive(Deserialize)]
struct Refusal<'a> {
    code: u64,
    #[serde(default)]
    err_code: u64,
    #[serde(borrow, default)]
    description: Cow<'a, str>,
}

impl Refusal<'_> {
    fn meaning(&self) -> Answer {
        let text = format!("{} ({})", self.description, if self.err_code > 0 { self.err_code } else { self.code });
        match ErrorCode(self.err_code) {
            ErrorCode::STREAM_NOT_FOUND => Answer::Refused(Reason::NoStream, text),
            ErrorCode::STREAM_STORE_FAILED
            | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
            | ErrorCode::INSUFFICIENT_RESOURCES
            | ErrorCode::MEMORY_RESOURCES_EXCEEDED
            | ErrorCode::STORAGE_RESOURCES_EXCEEDED => Answer::Refused(Reason::Full, text),
            ErrorCode::JETSTREAM_NOT_ENABLED
            | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT
            | ErrorCode::STREAM_OFFLINE => Answer::Refused(Reason::Unavailable, text),
            ErrorCode::STREAM_ROLLUP_FAILED => Answer::Failed(text),
            // Those that the server calls its own fault pass; the others are about the message.
            _ if self.code >= 500 => Answer::Refused(Reason::Unavailable, text),
            _ => Answer::Failed(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(payload: &str, status: Option<StatusCode>) -> Option<Answer> {
        let message = Message {
            subject: "_INBOX.x.1".into(),
            reply: None,
            payload: payload.to_owned().into(),
            headers: None,
            status,
            description: None,
            length: 0,
        };
        read(&message, "S")
    }

    #[test]
    fn a_confirmation_is_one_of_the_expected_stream() {
        let stored = |duplicate| Some(Answer::Stored { sequence: 7, duplicate });
        assert_eq!(answer(r#"{"stream":"S", "seq":7}"#, None), stored(false));
        assert_eq!(answer(r#"{"stream":"S","domain":"d","seq":7,"duplicate":true}"#, None), stored(true));
        for other in [r#"{"stream":"T","seq":7}"#, r#"{"seq":7}"#, r#"{"stream":"S"}"#, "hello", "", "[]"] {
            assert_eq!(answer(other, None), None, "{other}");
        }
    }

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        let error = |code: u64, err_code: u64| {
            let text = format!(
                r#"{{"error":{{"code":{code},"err_code":{err_code},"description":"a \"b\""}},"stream":"S","seq":0}}"#
            );
            answer(&text, None).unwrap()
        };
        let refused = |reason, code| Answer::Refused(reason, format!("a \"b\" ({code})"));
        assert_eq!(error(503, 10_077), refused(Reason::Full, 10_077));
        assert_eq!(error(400, 10_002), refused(Reason::Full, 10_002));
        assert_eq!(error(500, 10_047), refused(Reason::Full, 10_047));
        assert_eq!(error(404, 10_059), refused(Reason::NoStream, 10_059));
        assert_eq!(error(503, 10_076), refused(Reason::Unavailable, 10_076));
        assert_eq!(error(503, 10_008), refused(Reason::Unavailable, 10_008));
        assert_eq!(error(500, 0), refused(Reason::Unavailable, 500));
        for code in [10_054, 10_060, 10_097, 10_109, 10_071] {
            assert_eq!(error(400, code), Answer::Failed(format!("a \"b\" ({code})")));
        }
        assert_eq!(error(500, 10_111), Answer::Failed("a \"b\" (10111)".into()));
        let nobody = answer("", Some(StatusCode::NO_RESPONDERS)).unwrap();
        assert!(matches!(nobody, Answer::Refused(Reason::NoStream, _)));
    }
}
