//! Ids of data: which stream, which run of the sender, and which event.

use std::fmt;

/// Hexadecimal digits of an epoch.
pub(super) const EPOCH_DIGITS: usize = 16;

/// What our ids say: `<stream>/<epoch as 16 hexadecimal digits>/<sequence>`.
///
/// Names of streams may contain anything, `/` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId<'a> {
    /// The stream of the sender.
    pub stream: &'a str,
    /// Which run of the stream: sequences start again with a new one.
    pub epoch: u64,
    /// Which event of it.
    pub sequence: u64,
}

impl<'a> MessageId<'a> {
    /// Takes an id apart, or tells that it is somebody else's. There is one way to write an id: `Display` gives it back.
    pub fn parse(id: &'a str) -> Option<Self> {
        let (rest, sequence) = id.rsplit_once('/')?;
        let (stream, epoch) = rest.rsplit_once('/')?;
        Some(Self { stream, epoch: parse_epoch(epoch)?, sequence: parse_sequence(sequence)? })
    }
}

impl fmt::Display for MessageId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:016x}/{}", self.stream, self.epoch, self.sequence)
    }
}

fn parse_epoch(text: &str) -> Option<u64> {
    let canonical = text.len() == EPOCH_DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if canonical { u64::from_str_radix(text, 16).ok() } else { None }
}

fn parse_sequence(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_names_stream_epoch_and_sequence() {
        let id = MessageId { stream: "trades", epoch: 0x01ab, sequence: 42 };
        assert_eq!(id.to_string(), "trades/00000000000001ab/42");
        assert_eq!(MessageId::parse("trades/00000000000001ab/42"), Some(id));
    }

    #[test]
    fn a_stream_may_have_slashes_in_its_name() {
        let id = MessageId::parse("a/b//00000000000000ff/0").unwrap();
        assert_eq!((id.stream, id.epoch, id.sequence), ("a/b/", 255, 0));
    }

    #[test]
    fn ids_of_others_are_not_taken_for_ours() {
        for id in [
            "",
            "data-001",
            "/",
            "//",
            "s/1/1",
            "s/00000000000000FF/1",
            "s/+00000000000000f/1",
            "s/00000000000000ff/",
            "s/00000000000000ff/+1",
            "s/00000000000000ff/01",
            "s/00000000000000ff/18446744073709551616",
            "00000000000000ff/1",
        ] {
            assert_eq!(MessageId::parse(id), None, "{id}");
        }
    }

    proptest! {
        #[test]
        fn what_is_displayed_is_parsed(stream in ".{0,40}", epoch: u64, sequence: u64) {
            let id = MessageId { stream: &stream, epoch, sequence };
            let text = id.to_string();
            prop_assert_eq!(MessageId::parse(&text), Some(id));
        }

        #[test]
        fn what_is_parsed_is_displayed(id in "[a-z/]{0,4}/[0-9a-f]{15,17}/[0-9+]{0,3}") {
            if let Some(parsed) = MessageId::parse(&id) {
                prop_assert_eq!(parsed.to_string(), id);
            }
        }
    }
}
