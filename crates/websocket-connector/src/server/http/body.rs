//! The body of a request: what form its messages have, and where each of them is.

use bytes::Bytes;
use eventflux_websocket_wire::handshake::RequestHead;
use serde::de::IgnoredAny;

use super::answer::Answer;

/// Messages in one request.
const MAX_MESSAGES: usize = 10_000;

/// How messages stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The body is one, whatever it is.
    Whole,
    /// The body is one JSON value.
    Json,
    /// Each line is one JSON value.
    JsonLines,
    /// Each line is one, whatever it is.
    Lines,
}

impl Form {
    /// What the headers say of a body of at most `max_bytes`; `transparent`: messages have no structure.
    ///
    /// # Errors
    /// What is not taken whatever it is.
    pub(super) fn of(request: &RequestHead, transparent: bool, max_bytes: usize) -> Result<Self, Answer> {
        check_length(request, max_bytes)?;
        if request.header("content-encoding").any(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
            return Err(Answer::error(415, "unsupported_encoding", "the body must not be compressed"));
        }
        let mut types = request.header("content-type");
        let media_type = match (types.next(), types.next()) {
            (media_type, None) => media_type.unwrap_or_default(),
            _ => return Err(Answer::bad_request("Content-Type is given more than once")),
        };
        let essence =
            media_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        match (&essence[..], transparent) {
            (b"application/json", false) => Ok(Self::Json),
            (b"application/x-ndjson", false) => Ok(Self::JsonLines),
            (b"application/x-ndjson", true) => Ok(Self::Lines),
            (_, true) => Ok(Self::Whole),
            (_, false) => {
                let message = "Content-Type must be application/json for one message, or application/x-ndjson for one in each line";
                Err(Answer::error(415, "unsupported_type", message))
            }
        }
    }
}

/// The messages in a body. One that is wrong is a reason to take none.
pub(super) fn payloads(body: &Bytes, form: Form) -> Result<Vec<Bytes>, Answer> {
    match form {
        Form::Whole => return Ok(vec![body.clone()]),
        Form::Json => {
            check_json(body).map_err(|reason| invalid(&reason))?;
            return Ok(vec![body.clone()]);
        }
        Form::JsonLines | Form::Lines => {}
    }
    let mut payloads = Vec::new();
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        let line = if form == Form::JsonLines { line.trim_ascii() } else { line.strip_suffix(b"\r").unwrap_or(line) };
        if line.is_empty() {
            continue;
        }
        if payloads.len() == MAX_MESSAGES {
            let message = format!("at most {MAX_MESSAGES} messages fit into one request");
            return Err(Answer::error(413, "too_many_messages", &message));
        }
        if form == Form::JsonLines {
            check_json(line)
                .map_err(|reason| invalid(&format!("line {}: {reason}; nothing was accepted", index + 1)))?;
        }
        payloads.push(body.slice_ref(line));
    }
    if payloads.is_empty() {
        return Err(invalid("there is no message in the body"));
    }
    Ok(payloads)
}

/// What is wrong, without what was sent.
fn check_json(text: &[u8]) -> Result<(), String> {
    let text = str::from_utf8(text).map_err(|_| "this is not UTF-8".to_owned())?;
    let checked = serde_json::from_str::<IgnoredAny>(text);
    checked.map(drop).map_err(|error| format!("this is no JSON: {error}"))
}

fn invalid(reason: &str) -> Answer {
    Answer::error(400, "invalid_message", reason)
}

/// Two opinions of where a body ends are none: what stands between us and the client may have the other.
fn check_length(request: &RequestHead, max_bytes: usize) -> Result<(), Answer> {
    let lengths = request.header("content-length").count() + request.header("transfer-encoding").count();
    if lengths > 1 {
        return Err(Answer::bad_request("the body has more than one length"));
    }
    if request.header("content-length").any(|length| is_more_than(length, max_bytes)) {
        return Err(too_large(max_bytes));
    }
    Ok(())
}

pub(super) fn too_large(max_bytes: usize) -> Answer {
    Answer::error(413, "too_large", &format!("a request has at most {max_bytes} bytes (websocket.max.message.size)"))
}

fn is_more_than(length: &[u8], max_bytes: usize) -> bool {
    let length = str::from_utf8(length).ok().and_then(|length| length.parse::<u64>().ok());
    length.is_some_and(|length| length > max_bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(body: &str, form: Form) -> Result<Vec<String>, u16> {
        let payloads = payloads(&Bytes::from(body.to_owned()), form);
        let text = |payload: &Bytes| String::from_utf8(payload.to_vec()).unwrap();
        payloads.map(|payloads| payloads.iter().map(text).collect()).map_err(|answer| answer.status)
    }

    #[test]
    fn each_line_is_a_message_and_empty_ones_are_none() {
        assert_eq!(lines("{\"a\":1}\r\n\n 2 \n\"x\"", Form::JsonLines).unwrap(), ["{\"a\":1}", "2", "\"x\""]);
        assert_eq!(lines(" a,b \r\n\nc", Form::Lines).unwrap(), [" a,b ", "c"]);
        assert_eq!(lines("a\nb", Form::Whole).unwrap(), ["a\nb"]);
        assert_eq!(lines("[1,\n2]", Form::Json).unwrap(), ["[1,\n2]"]);
    }

    #[test]
    fn one_wrong_line_is_a_reason_to_take_none() {
        let answer = payloads(&Bytes::from_static(b"1\n\n{hunter2\n4"), Form::JsonLines).unwrap_err();
        let text = String::from_utf8(answer.encode()).unwrap();
        assert!(text.contains("line 3: this is no JSON") && !text.contains("hunter2"), "{text}");
        for (body, form) in [("", Form::Json), ("1 2", Form::Json), (" \n", Form::JsonLines), ("\u{feff}1", Form::Json)]
        {
            assert_eq!(lines(body, form), Err(400), "{body:?}");
        }
        assert_eq!(payloads(&Bytes::from_static(b"\"\xff\""), Form::Json).unwrap_err().status, 400);
    }

    #[test]
    fn the_number_of_messages_is_bounded() {
        assert_eq!(lines(&"1\n".repeat(MAX_MESSAGES), Form::JsonLines).unwrap().len(), MAX_MESSAGES);
        assert_eq!(lines(&"1\n".repeat(MAX_MESSAGES + 1), Form::JsonLines), Err(413));
    }
}
