//! What is stored: trades as JSON, numbered by each client, all of one size.
//!
//! ```json
//! {"client":3,"n":1000000007,"symbol":"BTC-USD","side":"bid","price":60123.45,"size":0.12345678,"venue":"abc"}
//! ```

/// Bytes of a message.
pub(crate) const MESSAGE_BYTES: usize = 200;

/// Most clients: their numbers have one digit.
pub(crate) const MAX_CLIENTS: usize = 10;

/// The number of a client's first message: all numbers have as many digits.
const FIRST: u64 = 1_000_000_000;

/// Where the client is in a message.
const CLIENT: usize = 10;

/// Where the number is.
pub(crate) const NUMBER: std::ops::Range<usize> = 16..26;

/// Different trades; then they repeat, with other numbers.
const VARIETY: u64 = 1_024;

const SYMBOLS: [&str; 8] = ["BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD", "ADA-USD", "BTC-EUR", "ETH-EUR", "SOL-EUR"];

/// The messages of a client.
#[derive(Debug)]
pub(crate) struct Messages {
    trades: Vec<[u8; MESSAGE_BYTES]>,
}

impl Messages {
    /// Those of the client of this number.
    pub(crate) fn new(client: usize) -> Self {
        Self { trades: (0..VARIETY).map(|index| trade(client, index)).collect() }
    }

    /// The message of this number, counted from 0.
    pub(crate) fn message(&self, number: u64) -> [u8; MESSAGE_BYTES] {
        let mut message = self.trades[(number % VARIETY) as usize];
        message[NUMBER].copy_from_slice(&digits(number));
        message
    }
}

/// What stands in the message of this number.
pub(crate) fn digits(number: u64) -> [u8; NUMBER.end - NUMBER.start] {
    let mut digits = [b'0'; NUMBER.end - NUMBER.start];
    let mut rest = FIRST + number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    digits
}

/// The client that a message is of; `None` when it is none of ours.
pub(crate) fn client(message: &[u8]) -> Option<usize> {
    let digit = message.get(CLIENT)?;
    digit.is_ascii_digit().then(|| usize::from(digit - b'0'))
}

fn trade(client: usize, index: u64) -> [u8; MESSAGE_BYTES] {
    let random = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (index << 17);
    // The last digit is not zero: who decodes a number and writes it again writes the same.
    let (cents, lots) = (random % 999_999 * 10 + 1, (random >> 20) % 8_999_999 * 10 + 10_000_007);
    let symbol = SYMBOLS[(random >> 7) as usize % SYMBOLS.len()];
    let side = if random & 64 == 0 { "bid" } else { "ask" };
    let mut text = format!(
        r#"{{"client":{client},"n":{FIRST},"symbol":"{symbol}","side":"{side}","price":{}.{:02},"size":0.{lots},"venue":""#,
        1 + cents / 100,
        cents % 100
    );
    let mut state = random;
    while text.len() + 2 < MESSAGE_BYTES {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        text.push(char::from(b'a' + (state >> 59) as u8 % 16));
    }
    text.push_str("\"}");
    let mut message = [0; MESSAGE_BYTES];
    message.copy_from_slice(text.as_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_json_with_their_client_and_number() {
        for at in [0, MAX_CLIENTS - 1] {
            let messages = Messages::new(at);
            for number in (0..2 * VARIETY).chain([FIRST]) {
                let message = messages.message(number);
                let json: serde_json::Value = serde_json::from_slice(&message).unwrap();
                assert_eq!((json["client"].as_u64(), json["n"].as_u64()), (Some(at as u64), Some(FIRST + number)));
                assert_eq!(client(&message), Some(at));
            }
        }
        assert_eq!(client(b"{}"), None);
    }

    #[test]
    fn decoding_and_encoding_again_changes_nothing() {
        for message in Messages::new(1).trades {
            let text = std::str::from_utf8(&message).unwrap();
            for key in ["price", "size"] {
                let json: serde_json::Value = serde_json::from_str(text).unwrap();
                let number = json[key].as_f64().unwrap();
                assert!(text.contains(&format!("\"{key}\":{number},")), "{text}");
            }
        }
    }
}
