//! How texts become bytes on a connection.

use std::fmt;
use std::sync::Arc;

/// Turns texts into what goes to a socket: WebSocket frames, compressed frames, server-sent events. Given by the
/// driver; connections of the same framing share the result.
pub trait Framing: Send + Sync + fmt::Debug {
    /// Appends one message.
    fn frame(&self, message: &Framed<'_>, out: &mut Vec<u8>);
}

/// A message to be framed.
#[derive(Debug, Clone, Copy)]
pub struct Framed<'a> {
    /// The text, as the dialect wrote it.
    pub text: &'a [u8],
    /// Whether it is no text.
    pub binary: bool,
    /// Its offset in the channel's history, when one is kept.
    pub number: Option<u64>,
}

/// A framing that connections share. Compared by identity: make one of each kind, and clone it.
#[derive(Debug, Clone)]
pub struct SharedFraming(Arc<dyn Framing>);

impl SharedFraming {
    /// A framing of its own.
    #[must_use]
    pub fn new(framing: impl Framing + 'static) -> Self {
        Self(Arc::new(framing))
    }

    pub(super) fn frame(&self, message: &Framed<'_>, out: &mut Vec<u8>) {
        self.0.frame(message, out);
    }
}

impl PartialEq for SharedFraming {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
