//! Where a value stands in a message, and what it is.

use std::num::NonZeroU64;

/// Largest message in bytes: a [`Slot`] holds offsets of this many bits.
pub(super) const MAX_MESSAGE_BYTES: usize = (1 << Slot::OFFSET_BITS) - 1;

/// What a value is, before anybody asks for a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The message has no such value.
    Missing = 1,
    Null,
    True,
    False,
    /// Digits with an optional sign.
    Integer,
    /// A number with a fraction or an exponent.
    Decimal,
    /// A string without escapes: its text is its value.
    Plain,
    /// A string with at least one escape.
    Escaped,
    Object,
    Array,
}

impl Kind {
    /// With its article, for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Missing => "nothing",
            Self::Null => "null",
            Self::True | Self::False => "a boolean",
            Self::Integer | Self::Decimal => "a number",
            Self::Plain | Self::Escaped => "a string",
            Self::Object => "an object",
            Self::Array => "an array",
        }
    }
}

/// What a value is and where it stands in the message. Offsets of a string leave out its quotes.
///
/// Packed into one word (kind, end, start from the top), because slots are what the scanner returns and stores most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(NonZeroU64);

impl Slot {
    const OFFSET_BITS: u32 = 30;
    const KIND_SHIFT: u32 = 2 * Self::OFFSET_BITS;
    const KINDS: [Kind; 16] = {
        let mut kinds = [Kind::Missing; 16];
        kinds[Kind::Null as usize] = Kind::Null;
        kinds[Kind::True as usize] = Kind::True;
        kinds[Kind::False as usize] = Kind::False;
        kinds[Kind::Integer as usize] = Kind::Integer;
        kinds[Kind::Decimal as usize] = Kind::Decimal;
        kinds[Kind::Plain as usize] = Kind::Plain;
        kinds[Kind::Escaped as usize] = Kind::Escaped;
        kinds[Kind::Object as usize] = Kind::Object;
        kinds[Kind::Array as usize] = Kind::Array;
        kinds
    };

    /// No value.
    pub(super) const MISSING: Self = match NonZeroU64::new((Kind::Missing as u64) << Self::KIND_SHIFT) {
        Some(bits) => Self(bits),
        None => Self(NonZeroU64::MIN),
    };

    /// A value from `start` to `end`, both at most [`MAX_MESSAGE_BYTES`].
    #[inline]
    pub(super) fn new(kind: Kind, start: usize, end: usize) -> Self {
        let bits = (kind as u64) << Self::KIND_SHIFT | (end as u64) << Self::OFFSET_BITS | start as u64;
        // No kind is 0, so there is always a bit.
        NonZeroU64::new(bits).map_or(Self::MISSING, Self)
    }

    /// What the value is.
    #[inline]
    pub(super) fn kind(self) -> Kind {
        Self::KINDS[(self.0.get() >> Self::KIND_SHIFT) as usize & 15]
    }

    #[inline]
    pub(super) fn start(self) -> usize {
        self.0.get() as usize & MAX_MESSAGE_BYTES
    }

    #[inline]
    pub(super) fn end(self) -> usize {
        (self.0.get() >> Self::OFFSET_BITS) as usize & MAX_MESSAGE_BYTES
    }

    /// The value's own text; a string's is without quotes.
    #[inline]
    pub(super) fn text(self, message: &str) -> &str {
        &message[self.start()..self.end()]
    }

    /// The value as it stands in the message, a string with its quotes.
    pub(super) fn raw(self, message: &str) -> &str {
        let quote = usize::from(matches!(self.kind(), Kind::Plain | Kind::Escaped));
        &message[self.start() - quote..self.end() + quote]
    }
}
