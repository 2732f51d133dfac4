//! What is decided from frame headers before tungstenite sees them: compressed messages and the number of fragments.

use std::collections::VecDeque;

use crate::MessageKind;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const OPCODE: u8 = 0x0f;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
/// Opcodes from here on are control frames.
const CONTROL: u8 = 8;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// Follows the headers of received frames (RFC 6455 section 5.2) through any split into pieces.
///
/// tungstenite refuses RSV1. When permessage-deflate is agreed upon, RSV1 on the first frame of a message is cleared
/// and the frame becomes a binary one, because compressed text is no text; what it was is remembered. Anything that is
/// wrong is left as it is, for tungstenite to refuse.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    /// Whether RSV1 may be set, and messages are remembered.
    deflate: bool,
    /// Per data message that was begun and not taken: what it is when it is compressed.
    messages: VecDeque<Option<MessageKind>>,
    /// Frames of the message under way; 0 between messages.
    fragments: usize,
    max_fragments: usize,
    too_many_fragments: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first byte of a header.
    First,
    /// Before the second byte.
    Second,
    /// Inside the extended length and the masking key.
    Rest {
        /// Bytes of the extended length to come.
        length_bytes: u8,
        /// Bytes of the masking key to come.
        key_bytes: u8,
        length: u64,
    },
    /// Inside the payload, with so many bytes to come.
    Payload(u64),
}

impl Scanner {
    pub(super) fn new(deflate: bool, max_fragments: usize) -> Self {
        Self {
            state: State::First,
            deflate,
            messages: VecDeque::new(),
            fragments: 0,
            max_fragments,
            too_many_fragments: false,
        }
    }

    /// Follows `bytes` and rewrites the headers of compressed messages in them. Returns how many bytes may be passed
    /// on: those up to the end of a frame, or fewer when a message has more fragments than allowed.
    #[inline]
    pub(super) fn scan(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() && !self.too_many_fragments {
            match self.state {
                State::Payload(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    at += here;
                    self.payload(left - here as u64);
                    if self.state == State::First {
                        break;
                    }
                }
                State::First => {
                    if !self.first(&mut bytes[at]) {
                        return at;
                    }
                    at += 1;
                }
                State::Second => {
                    self.second(bytes[at]);
                    at += 1;
                    if self.state == State::First {
                        break;
                    }
                }
                State::Rest { length_bytes, key_bytes, length } => {
                    self.rest(bytes[at], length_bytes, key_bytes, length);
                    at += 1;
                    if self.state == State::First {
                        break;
                    }
                }
            }
        }
        at
    }

    /// Whether a message or a control frame was begun and is not complete.
    #[inline]
    pub(super) fn is_mid_message(&self) -> bool {
        self.fragments > 0 || self.state != State::First
    }

    /// Whether [`Scanner::scan`] stopped for good.
    pub(super) fn has_too_many_fragments(&self) -> bool {
        self.too_many_fragments
    }

    /// What the oldest message not taken is when it is compressed. To be called once for each data message.
    #[inline]
    pub(super) fn take_compressed(&mut self) -> Option<MessageKind> {
        if self.deflate { self.messages.pop_front().flatten() } else { None }
    }

    /// The first byte: flags and opcode. False: one fragment too many.
    #[inline]
    fn first(&mut self, byte: &mut u8) -> bool {
        let opcode = *byte & OPCODE;
        if opcode < CONTROL {
            if self.fragments >= self.max_fragments {
                self.too_many_fragments = true;
                return false;
            }
            if self.deflate && opcode != CONTINUATION {
                self.begin(byte, opcode);
            }
            self.fragments = if *byte & FIN == 0 { self.fragments + 1 } else { 0 };
        }
        self.state = State::Second;
        true
    }

    fn begin(&mut self, byte: &mut u8, opcode: u8) {
        let compressed = match opcode {
            _ if *byte & RSV1 == 0 => None,
            TEXT => Some(MessageKind::Text),
            BINARY => Some(MessageKind::Binary),
            // Reserved; refused as it is.
            _ => return,
        };
        if compressed.is_some() {
            *byte = *byte & !(RSV1 | OPCODE) | BINARY;
        }
        self.messages.push_back(compressed);
    }

    #[inline]
    fn second(&mut self, byte: u8) {
        let key_bytes = if byte & MASKED == 0 { 0 } else { 4 };
        let (length_bytes, length) = match byte & LENGTH {
            126 => (2, 0),
            127 => (8, 0),
            length => (0, u64::from(length)),
        };
        self.header(length_bytes, key_bytes, length);
    }

    #[inline]
    fn rest(&mut self, byte: u8, length_bytes: u8, key_bytes: u8, length: u64) {
        match length_bytes {
            0 => self.header(0, key_bytes - 1, length),
            _ => self.header(length_bytes - 1, key_bytes, length << 8 | u64::from(byte)),
        }
    }

    #[inline]
    fn header(&mut self, length_bytes: u8, key_bytes: u8, length: u64) {
        if length_bytes == 0 && key_bytes == 0 {
            self.payload(length);
        } else {
            self.state = State::Rest { length_bytes, key_bytes, length };
        }
    }

    #[inline]
    fn payload(&mut self, left: u64) {
        self.state = if left == 0 { State::First } else { State::Payload(left) };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan_in_pieces(scanner: &mut Scanner, bytes: &[u8], piece: usize) -> Vec<u8> {
        let mut passed = Vec::new();
        for part in bytes.chunks(piece) {
            let mut part = part.to_vec();
            let mut rest = &mut part[..];
            while !rest.is_empty() {
                let count = scanner.scan(rest);
                passed.extend_from_slice(&rest[..count]);
                if count == 0 {
                    return passed;
                }
                rest = &mut rest[count..];
            }
        }
        passed
    }

    #[test]
    fn a_compressed_text_message_becomes_binary_and_is_remembered() {
        let compressed = [0xc1, 0x02, 1, 2, 0x81, 0x01, b'x', 0xc2, 0x00];
        for piece in 1..=compressed.len() {
            let mut scanner = Scanner::new(true, 10);
            let passed = scan_in_pieces(&mut scanner, &compressed, piece);
            assert_eq!(passed, [0x82, 0x02, 1, 2, 0x81, 0x01, b'x', 0x82, 0x00]);
            let kinds: Vec<_> = (0..3).map(|_| scanner.take_compressed()).collect();
            assert_eq!(kinds, [Some(MessageKind::Text), None, Some(MessageKind::Binary)]);
        }
    }

    #[test]
    fn without_the_extension_and_on_continuations_and_control_frames_rsv1_is_left_to_be_refused() {
        let mut plain = Scanner::new(false, 10);
        assert_eq!(scan_in_pieces(&mut plain, &[0xc1, 0x00], 2), [0xc1, 0x00]);
        let mut deflate = Scanner::new(true, 10);
        assert_eq!(scan_in_pieces(&mut deflate, &[0x01, 0x00, 0xc0, 0x00, 0xc9, 0x00], 6)[2..], [0xc0, 0, 0xc9, 0]);
    }

    #[test]
    fn lengths_of_all_three_forms_and_masking_keys_are_followed() {
        let mut frames = vec![0x82, 0x80 | 125, 1, 2, 3, 4];
        frames.extend([0xff; 125]);
        frames.extend([0x82, 126, 1, 0]);
        frames.extend([0xff; 256]);
        frames.extend([0x82, 0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 0, 9, 9, 9, 9]);
        frames.extend(vec![0xff; 65536]);
        for piece in [1, 7, frames.len()] {
            let mut scanner = Scanner::new(true, 10);
            assert_eq!(scan_in_pieces(&mut scanner, &frames, piece), frames);
            assert!(!scanner.is_mid_message());
            assert_eq!(scanner.messages.len(), 3);
        }
    }

    #[test]
    fn a_message_is_under_way_until_its_last_byte() {
        let mut scanner = Scanner::new(false, 10);
        assert!(!scanner.is_mid_message());
        for (byte, mid) in
            [(0x01, true), (0x00, true), (0x89, true), (0x00, true), (0x80, true), (0x01, true), (0, false)]
        {
            scanner.scan(&mut [byte]);
            assert_eq!(scanner.is_mid_message(), mid);
        }
    }

    #[test]
    fn fragments_are_counted_per_message_and_control_frames_between_them_are_not() {
        let mut scanner = Scanner::new(false, 3);
        let fits = [0x01, 0x00, 0x89, 0x00, 0x00, 0x00, 0x80, 0x00];
        assert_eq!(scan_in_pieces(&mut scanner, &fits, 3), fits);
        assert_eq!(scan_in_pieces(&mut scanner, &fits, 3), fits);
        let endless = [0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00];
        assert_eq!(scan_in_pieces(&mut scanner, &endless, 8).len(), 6);
        assert!(scanner.has_too_many_fragments());
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same(bytes: Vec<u8>, piece in 1_usize..20, deflate: bool) {
            let (mut whole, mut pieces) = (Scanner::new(deflate, 5), Scanner::new(deflate, 5));
            let length = bytes.len().max(1);
            prop_assert_eq!(scan_in_pieces(&mut whole, &bytes, length), scan_in_pieces(&mut pieces, &bytes, piece));
            prop_assert_eq!(whole.is_mid_message(), pieces.is_mid_message());
            prop_assert_eq!(whole.messages, pieces.messages);
        }
    }
}
