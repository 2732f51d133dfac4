//! Frames (RFC 6455 section 5.2), read again in the plainest way, to compare with.

pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

/// The frames of bytes without errors, one after the other.
pub(crate) struct Frames<'a> {
    wire: &'a [u8],
    /// Where the next frame begins.
    at: usize,
    is_open: bool,
}

impl<'a> Frames<'a> {
    pub(crate) fn of(wire: &'a [u8]) -> Self {
        Self { wire, at: 0, is_open: false }
    }

    /// The next frame that ends within the first `end` bytes: its first byte and its payload.
    pub(crate) fn next(&mut self, end: usize) -> Option<(u8, Vec<u8>)> {
        let rest = &self.wire[self.at..end];
        let (first, second) = (*rest.first()?, *rest.get(1)?);
        let (length_end, short) = match second & 0x7f {
            126 => (4, 0),
            127 => (10, 0),
            length => (2, u64::from(length)),
        };
        let length = rest.get(2..length_end)?.iter().fold(short, |length, byte| length << 8 | u64::from(*byte));
        let payload_start = length_end + if second & 0x80 == 0 { 0 } else { 4 };
        let payload_end = payload_start.checked_add(usize::try_from(length).ok()?)?;
        let payload = rest.get(payload_start..payload_end)?;
        let key = if second & 0x80 == 0 { &[0] } else { &rest[length_end..payload_start] };
        if first & 0x0f < 8 {
            self.is_open = first & 0x80 == 0;
        }
        self.at += payload_end;
        Some((first, payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect()))
    }

    /// Whether the first `end` bytes end within a frame or between those of a message. To be asked when
    /// [`Frames::next`] has no more of them.
    pub(crate) fn is_mid_message(&self, end: usize) -> bool {
        self.is_open || self.at < end
    }

    /// The payload of the last frame with this first byte.
    pub(crate) fn last(mut self, wanted: u8) -> Option<Vec<u8>> {
        let mut last = None;
        while let Some((first, payload)) = self.next(self.wire.len()) {
            if first == wanted {
                last = Some(payload);
            }
        }
        last
    }
}
