//! A peer that sends whatever it likes, to either role.
//!
//! The input: a byte of flags ([`CLIENT`] and the others), two sizes of the pieces in which the bytes come, in turn (see
//! [`piece_bytes`]), and what the peer sends.

use bytes::Bytes;
use eventflux_websocket_wire::deflate::{Deflate, DeflateConfig, DirectionConfig, Negotiated};
use eventflux_websocket_wire::{Batch, Codec, Disconnect, Limits, MAX_BATCH_FRAMES, MessageKind, Role};

use super::model::{Frames, PING, PONG};

/// The codec is a client's; else a server's.
const CLIENT: u8 = 1;
/// permessage-deflate was agreed upon.
const DEFLATE: u8 = 2;
/// With context takeover.
const TAKEOVER: u8 = 4;
/// The peer reads the answers as they come; else not before it has sent everything.
const READS: u8 = 8;
/// After each piece, the codec gives memory back.
const SHRINKS: u8 = 16;

const LIMITS: Limits = Limits { max_message_bytes: 1000, max_fragments: 8 };

/// What a peer that reads can make us send for each byte of its own: an empty ping of two bytes gets a masked pong of six.
const MAX_ANSWER_FACTOR: usize = 3;
/// The largest control frame.
const MAX_CONTROL_BYTES: usize = 2 + 4 + 125;
/// What a peer that does not read can make us keep.
const MAX_KEPT_BYTES: usize = 16 * 1024;

/// Takes the input in its pieces and as a whole: nothing but messages within the limits comes out, the same both times,
/// and an answer that an honest peer understands.
pub fn frames(input: &[u8]) {
    let [flags, first, second, wire @ ..] = input else { return };
    let mut pieces = End::new(*flags);
    let ended = pieces.take_in_pieces(wire, [*first, *second]);
    let mut whole = End::new(*flags);
    assert_eq!(whole.take(wire).err(), ended, "the end depends on how the bytes are split");
    assert_eq!(whole.messages, pieces.messages, "messages depend on how the bytes are split");
    for end in [pieces, whole] {
        end.finish(wire, ended.as_ref());
    }
}

/// One codec with what came out of it.
struct End {
    codec: Codec,
    flags: u8,
    batch: Batch,
    messages: Vec<(MessageKind, Bytes)>,
    answers: Vec<u8>,
}

impl End {
    fn new(flags: u8) -> Self {
        let role = if flags & CLIENT == 0 { Role::Server } else { Role::Client };
        let codec = codec(role, flags);
        Self { codec, flags, batch: Batch::default(), messages: Vec::new(), answers: Vec::new() }
    }

    fn take_in_pieces(&mut self, mut wire: &[u8], sizes: [u8; 2]) -> Option<Disconnect> {
        let mut model = Frames::of(wire);
        let mut taken = 0;
        for size in sizes.into_iter().cycle() {
            let (piece, rest) = wire.split_at(piece_bytes(size).min(wire.len()));
            if let Err(ended) = self.take(piece) {
                return Some(ended);
            }
            if self.flags & SHRINKS != 0 {
                self.codec.shrink();
            }
            taken += piece.len();
            while model.next(taken).is_some() {}
            assert_eq!(self.codec.is_mid_message(), model.is_mid_message(taken), "after {taken} bytes");
            if rest.is_empty() {
                return None;
            }
            wire = rest;
        }
        None
    }

    /// Takes all of `piece`, unless the connection ends.
    fn take(&mut self, mut piece: &[u8]) -> Result<(), Disconnect> {
        loop {
            let result = self.codec.receive(&mut piece, &mut self.batch);
            let is_done = piece.is_empty() && !self.codec.has_buffered() && self.codec.ended().is_none();
            let is_full = !self.batch.has_room();
            self.hand_over();
            if self.flags & READS != 0 {
                self.send();
            }
            result?;
            if is_done {
                return Ok(());
            }
            assert!(is_full || self.codec.ended().is_some(), "no progress");
        }
    }

    fn hand_over(&mut self) {
        assert!(self.batch.messages.len() <= MAX_BATCH_FRAMES);
        for (kind, message) in self.batch.iter() {
            assert!(message.len() <= LIMITS.max_message_bytes, "a message of {} bytes", message.len());
            assert!(
                kind != MessageKind::Text || std::str::from_utf8(message).is_ok(),
                "a text message that is no text"
            );
            self.messages.push((kind, message.clone()));
        }
        self.batch.clear();
    }

    /// Moves all that is to be sent to the answers.
    fn send(&mut self) {
        while self.codec.has_unsent() {
            let Ok(slices) = self.codec.unsent() else { return };
            let count = slices.iter().map(|slice| slice.len()).sum();
            slices.iter().for_each(|slice| self.answers.extend_from_slice(slice));
            self.codec.sent(count);
        }
    }

    /// Whatever came, the end stays what it was, and the answers are those of an honest peer.
    fn finish(mut self, wire: &[u8], ended: Option<&Disconnect>) {
        let last = self.codec.end_of_stream();
        match ended {
            Some(ended) => assert_eq!(last, *ended, "another end"),
            None => assert!(matches!(last, Disconnect::Lost(_)), "{last:?} instead of a loss"),
        }
        for mut more in [wire, &[]] {
            assert_eq!(self.codec.receive(&mut more, &mut self.batch), Err(last.clone()), "alive after its end");
            assert!(self.batch.is_empty() && !self.codec.has_buffered() && more.len() <= wire.len());
        }
        assert_eq!(self.codec.ended(), Some(&last));
        if let Disconnect::Violation { code, reason } = &last {
            self.codec.close(*code, reason);
        }
        self.send();
        self.check_answers(wire, &last);
    }

    fn check_answers(&self, wire: &[u8], ended: &Disconnect) {
        let most = MAX_ANSWER_FACTOR * wire.len() + MAX_CONTROL_BYTES;
        assert!(self.answers.len() <= most, "{} bytes for {}", self.answers.len(), wire.len());
        assert!(self.flags & READS != 0 || self.answers.len() <= MAX_KEPT_BYTES, "{} bytes kept", self.answers.len());
        let mut peer = Self::new((self.flags | READS) ^ CLIENT);
        let understood = peer.take(&self.answers);
        assert!(peer.messages.is_empty() && peer.answers.len() <= MAX_CONTROL_BYTES);
        if matches!(ended, Disconnect::Lost(_)) {
            assert_eq!(
                Frames::of(&self.answers).last(PONG),
                Frames::of(wire).last(PING),
                "the newest ping has no answer"
            );
        }
        match (ended, understood) {
            (Disconnect::Violation { code, .. }, Err(Disconnect::Closed { code: Some(closed), .. })) => {
                assert_eq!(*code, closed);
            }
            (Disconnect::Closed { .. }, Err(Disconnect::Closed { .. })) | (Disconnect::Lost(_), Ok(())) => {}
            (ended, understood) => panic!("{ended:?} here, {understood:?} there"),
        }
    }
}

/// 0 is all that is left, and numbers above 240 count KiB.
fn piece_bytes(size: u8) -> usize {
    match size {
        0 => usize::MAX,
        241.. => usize::from(size - 240) * 1024,
        _ => size.into(),
    }
}

fn codec(role: Role, flags: u8) -> Codec {
    let direction = DirectionConfig { window_bits: 15, context_takeover: flags & TAKEOVER != 0 };
    let config = DeflateConfig { threshold_bytes: 0, level: 1, send: direction, receive: direction };
    let negotiated = Negotiated { send: direction, receive: direction };
    Codec::new(role, LIMITS, (flags & DEFLATE != 0).then(|| Deflate::new(config, negotiated)))
}
