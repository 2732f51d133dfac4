//! Whole messages out of frames, and the checks of RFC 6455 and, once agreed upon, of RFC 7692 on the way.

use std::fmt;

use bytes::{Bytes, BytesMut};

use super::{
    MAX_MESSAGE_BYTES,
    deflate::Inflater,
    frames::{self, RawFrame, Side},
};

/// Longest part of a message that error messages print, characters.
const PRINTED_CHARACTERS: usize = 200;

/// A data message.
#[derive(Clone, PartialEq, Eq)]
pub enum Message {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Bytes),
}

impl Message {
    /// The payload, whatever the kind.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The text of a text message.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// The message as one unmasked frame.
    pub fn to_frame(&self) -> RawFrame {
        match self {
            Self::Text(text) => RawFrame::text(text.clone()),
            Self::Binary(bytes) => RawFrame::binary(bytes.clone()),
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, text) = match self {
            Self::Text(text) => ("text", text.clone()),
            Self::Binary(bytes) => ("binary", bytes.escape_ascii().to_string()),
        };
        let length = self.as_bytes().len();
        match text.char_indices().nth(PRINTED_CHARACTERS) {
            None => write!(f, "{kind} {text:?}"),
            Some((cut, _)) => write!(f, "{kind} {:?}... ({length} bytes)", &text[..cut]),
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

/// What a frame completed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    Message {
        message: Message,
        /// The size of its payload as it came, when it came compressed.
        compressed_bytes: Option<usize>,
    },
    Ping(Bytes),
    Pong(Bytes),
    Close {
        code: Option<u16>,
        reason: String,
    },
}

/// How the other end broke the protocol, and the close code that says so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl Broken {
    pub(crate) fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// Puts the frames of one direction together.
pub(crate) struct Assembler {
    sender: Side,
    partial: Option<Partial>,
    /// Once permessage-deflate is agreed upon.
    inflater: Option<Inflater>,
}

/// A message that is not complete yet.
struct Partial {
    opcode: u8,
    compressed: bool,
    payload: BytesMut,
}

impl Assembler {
    /// For the frames that `sender` sends.
    pub(crate) fn new(sender: Side) -> Self {
        Self { sender, partial: None, inflater: None }
    }

    /// From here on messages may be compressed.
    pub(crate) fn inflate_with(&mut self, inflater: Inflater) {
        self.inflater = Some(inflater);
    }

    /// Takes the next frame; `None` when it completes nothing.
    pub(crate) fn accept(&mut self, frame: RawFrame) -> Result<Option<Incoming>, Broken> {
        if frame.mask.is_some() != (self.sender == Side::Client) {
            let masking = if frame.mask.is_some() { "masked" } else { "unmasked" };
            return Err(Broken::new(1002, format!("a {masking} frame from the {:?}", self.sender)));
        }
        let starts_message = matches!(frame.opcode, frames::TEXT | frames::BINARY);
        let allowed = if self.inflater.is_some() && starts_message { frames::RSV1 } else { 0 };
        if frame.rsv & !allowed != 0 {
            let reason = format!("reserved bits {:#05b} that no extension allows here", frame.rsv);
            return Err(Broken::new(1002, reason));
        }
        match frame.opcode {
            frames::CONTINUATION | frames::TEXT | frames::BINARY => self.data(frame),
            frames::CLOSE | frames::PING | frames::PONG => control(frame).map(Some),
            opcode => Err(Broken::new(1002, format!("reserved opcode {opcode:#x}"))),
        }
    }

    fn data(&mut self, frame: RawFrame) -> Result<Option<Incoming>, Broken> {
        let mut partial = match (frame.opcode, self.partial.take()) {
            (frames::CONTINUATION, Some(partial)) => partial,
            (frames::CONTINUATION, None) => return Err(Broken::new(1002, "a continuation of nothing")),
            (_, Some(_)) => return Err(Broken::new(1002, "a new message inside a fragmented one")),
            (opcode, None) => Partial { opcode, compressed: frame.rsv != 0, payload: BytesMut::new() },
        };
        if partial.payload.len() + frame.payload.len() > MAX_MESSAGE_BYTES {
            return Err(Broken::new(1009, format!("a message above {MAX_MESSAGE_BYTES} bytes")));
        }
        partial.payload.extend_from_slice(&frame.payload);
        if frame.fin {
            self.complete(partial).map(Some)
        } else {
            self.partial = Some(partial);
            Ok(None)
        }
    }

    fn complete(&mut self, partial: Partial) -> Result<Incoming, Broken> {
        let (payload, compressed_bytes) = match &mut self.inflater {
            Some(inflater) if partial.compressed => {
                (inflater.inflate(&partial.payload)?.into(), Some(partial.payload.len()))
            }
            _ => (partial.payload.freeze(), None),
        };
        let message = if partial.opcode == frames::BINARY {
            Message::Binary(payload)
        } else {
            Message::Text(utf8(&payload, "text")?)
        };
        Ok(Incoming::Message { message, compressed_bytes })
    }
}

fn control(frame: RawFrame) -> Result<Incoming, Broken> {
    if !frame.fin {
        return Err(Broken::new(1002, "a fragmented control frame"));
    }
    if frame.payload.len() > frames::MAX_CONTROL_PAYLOAD {
        return Err(Broken::new(1002, format!("a control frame of {} bytes", frame.payload.len())));
    }
    match frame.opcode {
        frames::PING => Ok(Incoming::Ping(frame.payload)),
        frames::PONG => Ok(Incoming::Pong(frame.payload)),
        _ => close(&frame.payload),
    }
}

fn close(payload: &[u8]) -> Result<Incoming, Broken> {
    let (code, reason) = match payload {
        [] => (None, ""),
        [_] => return Err(Broken::new(1002, "a close frame of one byte")),
        [high, low, reason @ ..] => (Some(u16::from_be_bytes([*high, *low])), &*utf8(reason, "close reason")?),
    };
    // RFC 6455, section 7.4, and the codes IANA has registered since (1012 to 1014).
    if code.is_some_and(|code| !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)) {
        return Err(Broken::new(1002, format!("close code {}", code.unwrap_or_default())));
    }
    Ok(Incoming::Close { code, reason: reason.to_owned() })
}

fn utf8(bytes: &[u8], what: &str) -> Result<String, Broken> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(Broken::new(1007, format!("{what} that is not UTF-8: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_violation_is_refused_with_its_code() {
        for sender in [Side::Client, Side::Server] {
            for violation in frames::violations(sender) {
                assert_eq!(refusal(sender, &violation.bytes), Some(violation.close_code), "{}", violation.name);
            }
        }
    }

    #[test]
    fn fragments_with_a_ping_between_them_become_one_message() {
        let mut assembler = Assembler::new(Side::Server);
        assert_eq!(assembler.accept(RawFrame::text("a").not_final()), Ok(None));
        assert_eq!(assembler.accept(RawFrame::ping("p")), Ok(Some(Incoming::Ping("p".into()))));
        assert_eq!(
            assembler.accept(RawFrame::new(frames::CONTINUATION, "b")),
            Ok(Some(Incoming::Message { message: "ab".into(), compressed_bytes: None }))
        );
    }

    #[test]
    fn a_compressed_message_is_inflated_also_from_fragments_and_among_others() {
        let mut assembler = with_deflate(Side::Server);
        let whole = RawFrame::text("hello hello hello").compressed();
        let compressed_bytes = Some(whole.payload.len());
        for frames in [whole.clone().fragments(usize::MAX), whole.fragments(3)] {
            let complete = frames.into_iter().find_map(|frame| assembler.accept(frame).unwrap());
            assert_eq!(complete, Some(Incoming::Message { message: "hello hello hello".into(), compressed_bytes }));
            let plain = assembler.accept(RawFrame::text("plain"));
            assert_eq!(plain, Ok(Some(Incoming::Message { message: "plain".into(), compressed_bytes: None })));
        }
    }

    #[test]
    fn every_listed_violation_of_permessage_deflate_is_refused_with_its_code() {
        for sender in [Side::Client, Side::Server] {
            for violation in frames::deflate_violations(sender) {
                let refused = refusal_by(with_deflate(sender), &violation.bytes);
                assert_eq!(refused, Some(violation.close_code), "{}", violation.name);
            }
        }
    }

    #[test]
    fn a_long_message_is_cut_when_printed() {
        let printed = format!("{:?}", Message::from("é".repeat(300)));
        assert!(printed.ends_with("\"... (600 bytes)"), "{printed}");
    }

    /// The close code the assembler refuses these bytes with.
    fn refusal(sender: Side, bytes: &[u8]) -> Option<u16> {
        refusal_by(Assembler::new(sender), bytes)
    }

    fn with_deflate(sender: Side) -> Assembler {
        let mut assembler = Assembler::new(sender);
        assembler.inflate_with(Inflater::new(true));
        assembler
    }

    fn refusal_by(mut assembler: Assembler, bytes: &[u8]) -> Option<u16> {
        let mut input = BytesMut::from(bytes);
        loop {
            match RawFrame::decode(&mut input, MAX_MESSAGE_BYTES) {
                Err(_) => return Some(1009),
                Ok(None) => return None,
                Ok(Some(frame)) => {
                    if let Err(broken) = assembler.accept(frame) {
                        return Some(broken.code);
                    }
                }
            }
        }
    }
}
