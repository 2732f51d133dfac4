//! What tungstenite's errors mean for the connection.

use tungstenite::Error;
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::frame::CloseFrame;

use crate::Disconnect;
use crate::deflate::InflateError;

/// The peer's Close.
pub(super) fn closed(frame: Option<CloseFrame>) -> Disconnect {
    match frame {
        Some(frame) => Disconnect::Closed { code: Some(frame.code.into()), reason: frame.reason.as_str().to_owned() },
        None => Disconnect::Closed { code: None, reason: String::new() },
    }
}

/// Reading failed: what the peer did, and the code that says so (RFC 6455 section 7.4.1).
pub(super) fn received(error: Error) -> Disconnect {
    match error {
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Disconnect::Lost("the peer ended the connection without a Close frame".to_owned())
        }
        Error::Protocol(error) => Disconnect::violation(1002, error.to_string()),
        Error::Utf8(_) => Disconnect::violation(1007, "a text message is not UTF-8"),
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            too_large(&format!("of {size} bytes or more"), max_size)
        }
        Error::Capacity(error) => Disconnect::violation(1009, error.to_string()),
        error => lost(&error),
    }
}

/// A compressed message is none, or one too large.
pub(super) fn inflated(error: &InflateError) -> Disconnect {
    match error {
        InflateError::TooLarge { max_bytes } => too_large("that inflates to more", *max_bytes),
        InflateError::Corrupt => Disconnect::violation(1007, error.to_string()),
    }
}

/// Writing failed: there is no connection any more.
pub(super) fn lost(error: &Error) -> Disconnect {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(ProtocolError::SendAfterClosing) => {
            Disconnect::Lost("the connection is closed".to_owned())
        }
        error => Disconnect::Lost(error.to_string()),
    }
}

fn too_large(what: &str, max_bytes: usize) -> Disconnect {
    Disconnect::violation(1009, format!("a message {what} exceeds websocket.max.message.size ({max_bytes} bytes)"))
}
