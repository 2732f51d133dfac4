//! What is published: JSON objects with a mark that is found again in whatever a gateway wraps around them.
//!
//! ```json
//! {"mark":"#000000000001@00000000000123456789","topic":"S00000","pad":"xxxxx"}
//! ```

use memchr::memchr;

/// Begins a mark; no gateway and no other part of a message uses it.
const MARK: u8 = b'#';
const NUMBER_DIGITS: usize = 12;
const TIME_DIGITS: usize = 20;
const MARK_BYTES: usize = 1 + NUMBER_DIGITS + 1 + TIME_DIGITS;

/// The smallest message in bytes: one without padding.
const SMALLEST_BYTES: usize = r#"{"mark":"","topic":"S00000","pad":""}"#.len() + MARK_BYTES;

/// Appends a message of `bytes` bytes. Number 0 is for those that do not count.
pub(super) fn write(into: &mut Vec<u8>, number: u64, at_ns: u64, topic: u64, bytes: usize) {
    into.extend_from_slice(br#"{"mark":"#);
    into.extend_from_slice(b"\"#");
    write_digits::<NUMBER_DIGITS>(into, number);
    into.push(b'@');
    write_digits::<TIME_DIGITS>(into, at_ns);
    into.extend_from_slice(br#"","topic":"S"#);
    write_digits::<TOPIC_DIGITS>(into, topic);
    into.extend_from_slice(br#"","pad":""#);
    into.resize(into.len() + bytes.saturating_sub(SMALLEST_BYTES), b'x');
    into.extend_from_slice(br#""}"#);
}

const TOPIC_DIGITS: usize = 5;

/// The text of a topic in messages, filters and patterns.
pub(super) fn topic_name(topic: u64) -> String {
    format!("S{topic:0width$}", width = TOPIC_DIGITS)
}

/// What a message says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Its number.
    pub(super) number: u64,
    /// When it was published, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(super) at_ns: u64,
}

/// Finds marks. On one connection they mostly stand at the same place, so that is where it looks first.
#[derive(Debug, Default)]
pub(super) struct Finder {
    offset: usize,
}

impl Finder {
    /// The mark of a message; `None` when it has none, as what a gateway says of its own accord.
    pub(super) fn find(&mut self, message: &[u8]) -> Option<Mark> {
        if message.get(self.offset) != Some(&MARK) {
            self.offset = memchr(MARK, message)?;
        }
        let mark = message.get(self.offset + 1..self.offset + MARK_BYTES)?;
        let (number, time) = mark.split_at(NUMBER_DIGITS);
        Some(Mark { number: read_digits(number), at_ns: read_digits(time.get(1..)?) })
    }
}

fn write_digits<const COUNT: usize>(into: &mut Vec<u8>, value: u64) {
    let mut digits = [b'0'; COUNT];
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    into.extend_from_slice(&digits);
}

fn read_digits(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |value: u64, digit| value.wrapping_mul(10).wrapping_add(u64::from(digit.wrapping_sub(b'0'))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::MESSAGE_BYTES;

    fn message(number: u64, at_ns: u64, topic: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, number, at_ns, topic, MESSAGE_BYTES);
        bytes
    }

    #[test]
    fn a_message_is_json_of_the_size_asked_for() {
        let bytes = message(7, 8, 9);
        assert_eq!(bytes.len(), MESSAGE_BYTES);
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value["mark"], "#000000000007@00000000000000000008");
        assert_eq!(value["topic"], topic_name(9));
    }

    #[test]
    fn the_mark_is_found_inside_whatever_is_around_it() {
        let mut finder = Finder::default();
        for (around, number) in [("{\"type\":\"event\",\"data\":", 41), ("", 42), ("", 43)] {
            let mut wrapped = around.as_bytes().to_vec();
            wrapped.extend(message(number, u64::from(u32::MAX), 0));
            let mark = finder.find(&wrapped);
            assert_eq!(mark, Some(Mark { number, at_ns: u64::from(u32::MAX) }));
        }
    }

    #[test]
    fn what_a_gateway_says_itself_has_no_mark() {
        let mut finder = Finder::default();
        assert_eq!(finder.find(br#"{"type":"subscribed"}"#), None);
        assert_eq!(finder.find(b"#0001"), None, "cut off");
    }
}
