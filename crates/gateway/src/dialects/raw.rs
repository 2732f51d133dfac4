//! No protocol: payloads go out as they are, and messages come in as they are.

use bytes::Bytes;

use super::{ClientMessage, Dialect, Event, Rejected, Reply, Request, Traits};

/// What messages of clients are called.
pub const MESSAGE: &str = "message";

/// See the module.
#[derive(Debug)]
pub(super) struct Raw;

impl Dialect for Raw {
    fn name(&self) -> &'static str {
        super::RAW
    }

    fn traits(&self) -> Traits {
        Traits { transparent: true, ..Traits::default() }
    }

    fn parse(&self, message: &Bytes) -> Result<Request, Rejected> {
        Ok(Request::Message(ClientMessage {
            kind: MESSAGE.to_owned(),
            channel: None,
            payload: message.clone(),
            correlation: None,
            wants_answer: false,
        }))
    }

    fn reply(&self, reply: &Reply<'_>) -> Option<String> {
        match reply {
            Reply::Answer { payload, .. } => Some(String::from_utf8_lossy(payload).into_owned()),
            _ => None,
        }
    }

    fn event(&self, event: &Event<'_>, text: &mut Vec<u8>) -> usize {
        let payload = text.len();
        text.extend_from_slice(event.payload);
        payload
    }
}
