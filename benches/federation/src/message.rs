//! What is sent: trades as JSON, numbered, all of one size.

use bytes::{BufMut, BytesMut};

/// Bytes of a message on the wire: of an envelope, or of what is sent without one.
pub(crate) const MESSAGE_BYTES: usize = 200;

/// What is around a payload of the stream [`STREAM`] whose number has seven digits.
pub(crate) const ENVELOPE_BYTES: usize = 91;

/// The stream that is sent.
pub(crate) const STREAM: &str = "trades";

/// The number of the first message: all numbers have as many digits.
const FIRST: u64 = 1_000_000_000;

/// Where the number is in a message.
const NUMBER: std::ops::Range<usize> = 5..15;

/// Different trades; then they repeat, with other numbers.
const VARIETY: u64 = 4_096;

const SYMBOLS: [&str; 8] = ["BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD", "ADA-USD", "BTC-EUR", "ETH-EUR", "SOL-EUR"];

/// Makes messages.
#[derive(Debug)]
pub(crate) struct Messages {
    trades: Vec<Vec<u8>>,
    next: u64,
}

impl Messages {
    /// Messages of so many bytes each.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { trades: (0..VARIETY).map(|index| trade(index, bytes)).collect(), next: 0 }
    }

    /// Appends the next message.
    pub(crate) fn write(&mut self, out: &mut BytesMut) {
        let start = out.len();
        out.put_slice(&self.trades[(self.next % VARIETY) as usize]);
        let mut rest = FIRST + self.next;
        for digit in out[start..][NUMBER].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.next += 1;
    }
}

/// The number of a message, counted from 0; `None` when it is none of ours.
pub(crate) fn number(message: &[u8]) -> Option<u64> {
    let digits = message.get(NUMBER)?;
    let number = digits
        .iter()
        .try_fold(0u64, |value, digit| digit.is_ascii_digit().then(|| value * 10 + u64::from(digit - b'0')))?;
    number.checked_sub(FIRST)
}

fn trade(index: u64, bytes: usize) -> Vec<u8> {
    let random = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (index << 17);
    let (cents, lots) = (6_000_000 + random % 99_999, 10_000_000 + (random >> 20) % 89_999_999);
    let symbol = SYMBOLS[(random >> 7) as usize % SYMBOLS.len()];
    let side = if random & 64 == 0 { "bid" } else { "ask" };
    let mut text = format!(
        r#"{{"n":{FIRST},"symbol":"{symbol}","side":"{side}","price":{}.{:02},"size":0.{lots},"venue":""#,
        cents / 100,
        cents % 100
    );
    let mut state = random;
    while text.len() + 2 < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        text.push(char::from(b'a' + (state >> 59) as u8 % 16));
    }
    text.push_str("\"}");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use eventflux_federation::envelope::{Content, DataWriter, Encoding};

    use super::*;

    fn messages(count: usize, bytes: usize) -> Vec<BytesMut> {
        let mut messages = Messages::new(bytes);
        let mut next = || {
            let mut out = BytesMut::new();
            messages.write(&mut out);
            out
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn messages_are_json_of_one_size_with_their_numbers() {
        for (index, message) in messages(10_000, MESSAGE_BYTES).iter().enumerate() {
            assert_eq!((message.len(), number(message)), (MESSAGE_BYTES, Some(index as u64)));
            let json: serde_json::Value = serde_json::from_slice(message).unwrap();
            assert_eq!(json["n"], FIRST + index as u64);
        }
        assert_eq!(number(b"{\"n\":x"), None);
    }

    #[test]
    fn an_envelope_has_the_size_of_a_message() {
        let payload = &messages(1, MESSAGE_BYTES - ENVELOPE_BYTES)[0];
        let mut envelope = Vec::new();
        let writer = DataWriter::new(Encoding::Json, Content::Json, STREAM, 7);
        writer.write(1_234_567, 1_704_844_800_000, payload, &mut envelope).unwrap();
        assert_eq!(envelope.len(), MESSAGE_BYTES);
    }
}
