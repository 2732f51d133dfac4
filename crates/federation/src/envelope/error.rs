//! Why a message cannot be read or written.
//!
//! Texts say where it is wrong and how, and never repeat what is in a payload.

use super::Kind;

/// A message that is no envelope: why, and what could be read of it, to answer it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Malformed {
    /// What is wrong.
    pub reason: Reason,
    /// What the message says it is, where it says so.
    pub kind: Option<Kind>,
    /// Its id, where it has one that could be read.
    pub id: Option<String>,
}

impl Malformed {
    /// What a counter calls it: one of [`Reason::LABELS`].
    pub fn label(&self) -> &'static str {
        self.reason.label()
    }
}

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// It is not JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// A binary message that is neither a MessagePack nor a CBOR map, and not JSON.
    #[error("a binary message that begins with the byte 0x{first:02x}: neither a map in MessagePack or CBOR, nor JSON")]
    UnknownEncoding {
        /// Its first byte.
        first: u8,
    },
    /// MessagePack or CBOR that breaks off or breaks its rules.
    #[error("not {format} at byte {at}: {problem}")]
    NotBinary {
        /// Which of the two.
        format: &'static str,
        /// Where, in bytes from the beginning of the message.
        at: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// Some other value than an object.
    #[error("an envelope is an object with 'type', 'id', 'timestamp' and 'payload', and this is none")]
    NotObject,
    /// A member that is required is not there.
    #[error("no '{0}'")]
    Missing(&'static str),
    /// A member is there twice.
    #[error("'{0}' is there more than once")]
    Duplicate(&'static str),
    /// A member has a value of another type.
    #[error("'{member}' is not {expected}")]
    Unexpected {
        /// Its name.
        member: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// A type that nobody knows.
    #[error("'type' is none of data, request, reply, hello, ack and gap")]
    UnknownType,
    /// An encoding of payloads that nobody knows.
    #[error("'encoding' is not base64, the only encoding of payloads")]
    UnknownPayloadEncoding,
    /// The id is too long.
    #[error("'id' has {bytes} bytes, {max} are allowed")]
    IdTooLong {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A payload says it is base64 and is not.
    #[error("'payload' is no base64 text, and 'encoding' says it is")]
    NotBase64,
    /// The payload is nested too deeply.
    #[error("'payload' is nested more than {max} levels deep")]
    TooDeep {
        /// The limit.
        max: u8,
    },
    /// The payload has something that JSON has not.
    #[error("'payload' at byte {at} of the message: {problem}")]
    NotRepresentable {
        /// Where, in bytes from the beginning of the message.
        at: usize,
        /// What it is.
        problem: &'static str,
    },
}

impl Reason {
    /// What [`Self::label`] may be.
    pub const LABELS: [&str; 15] = [
        "not_json",
        "unknown_encoding",
        "not_binary",
        "not_object",
        "no_type",
        "no_id",
        "no_payload",
        "duplicate_member",
        "wrong_member",
        "unknown_type",
        "unknown_payload_encoding",
        "id_too_long",
        "not_base64",
        "too_deep",
        "not_representable",
    ];

    /// What a counter calls it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "not_json",
            Self::UnknownEncoding { .. } => "unknown_encoding",
            Self::NotBinary { .. } => "not_binary",
            Self::NotObject => "not_object",
            Self::Missing(member) => match *member {
                "type" => "no_type",
                "id" => "no_id",
                _ => "no_payload",
            },
            Self::Duplicate(_) => "duplicate_member",
            Self::Unexpected { .. } => "wrong_member",
            Self::UnknownType => "unknown_type",
            Self::UnknownPayloadEncoding => "unknown_payload_encoding",
            Self::IdTooLong { .. } => "id_too_long",
            Self::NotBase64 => "not_base64",
            Self::TooDeep { .. } => "too_deep",
            Self::NotRepresentable { .. } => "not_representable",
        }
    }
}

/// Why an envelope cannot be written. Nothing has been written then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unwritable {
    /// The id is too long.
    #[error("the id of the message has {bytes} bytes, {max} are allowed")]
    IdTooLong {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The payload is not JSON.
    #[error("the payload is not JSON: {0}")]
    NotJson(String),
    /// The payload is nested too deeply.
    #[error("the payload is nested more than {max} levels deep")]
    TooDeep {
        /// The limit.
        max: u8,
    },
    /// A number that the encoding has no type for.
    #[error("the payload's number at byte {at} is {problem}")]
    Number {
        /// Where, in bytes from the beginning of the payload.
        at: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The payload is too long.
    #[error("the payload has {bytes} bytes, {max} are allowed")]
    TooLong {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}
