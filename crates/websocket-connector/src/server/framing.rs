//! How events become frames that connections share.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use eventflux_gateway::{Framed, Framing, SharedFraming};
use eventflux_websocket_wire::deflate::{Deflate, DeflateConfig, Negotiated};
use eventflux_websocket_wire::{Message, MessageKind, encode_compressed_frame, encode_frame};

/// The framings in use at one path: connections that agreed on the same have the same.
#[derive(Debug)]
pub(super) struct Framings {
    plain: SharedFraming,
    texts: SharedFraming,
    deflated: Mutex<HashMap<u8, SharedFraming>>,
}

impl Framings {
    pub(super) fn new() -> Self {
        Self { plain: SharedFraming::new(Plain), texts: SharedFraming::new(Texts), deflated: Mutex::default() }
    }

    /// The framing of a connection, and whether it wants events one by one instead: with context takeover each connection
    /// compresses for itself.
    pub(super) fn of(&self, deflate: Option<(DeflateConfig, Negotiated)>) -> (SharedFraming, bool) {
        let Some((config, negotiated)) = deflate else { return (self.plain.clone(), false) };
        if negotiated.send.context_takeover {
            return (self.texts.clone(), true);
        }
        let mut deflated = self.deflated.lock().unwrap_or_else(PoisonError::into_inner);
        let framing = deflated
            .entry(negotiated.send.window_bits)
            .or_insert_with(|| SharedFraming::new(Deflated(Mutex::new(Deflate::new(config, negotiated)))));
        (framing.clone(), false)
    }

    /// For connections that get events one by one.
    pub(super) fn texts(&self) -> SharedFraming {
        self.texts.clone()
    }
}

/// Frames as they are.
#[derive(Debug)]
struct Plain;

impl Framing for Plain {
    fn frame(&self, message: &Framed<'_>, out: &mut Vec<u8>) {
        encode_frame(kind(message), message.text, out);
    }
}

/// No frames: texts, for connections that frame each one themselves.
#[derive(Debug)]
struct Texts;

impl Framing for Texts {
    fn frame(&self, message: &Framed<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(message.text);
    }
}

/// Compressed frames, without regard to earlier ones.
#[derive(Debug)]
struct Deflated(Mutex<Deflate>);

impl Framing for Deflated {
    fn frame(&self, message: &Framed<'_>, out: &mut Vec<u8>) {
        let kind = kind(message);
        let mut deflate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match deflate.compress(&Message::new(kind, Bytes::copy_from_slice(message.text))) {
            Some(compressed) => encode_compressed_frame(kind, &compressed, out),
            None => encode_frame(kind, message.text, out),
        }
    }
}

fn kind(message: &Framed<'_>) -> MessageKind {
    if message.binary { MessageKind::Binary } else { MessageKind::Text }
}
