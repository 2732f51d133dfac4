//! The messages of the benchmark: what is sent, which of them a system must pass on, and how the
//! collector knows.
//!
//! A trade in Binance's layout, about 115 bytes: price and quantity are strings, the trade number `t`
//! is the sequence number, and `m` says whether the query keeps it. Rows repeat with a period of
//! [`PERIOD`] messages; within it symbols, prices and the kept half are pseudo-random and the same in
//! every run, so that no system is measured on one value it can predict.

use clap::ValueEnum;
use serde_json::Value;

use crate::frame::{TEXT, push_server_frame};

/// Rows before the workload repeats.
pub const PERIOD: u64 = 1024;

/// The trade number of sequence number zero: eight digits, so that a number is patched in place.
pub const FIRST_TRADE_ID: u64 = 10_000_000;

/// Most messages on one connection: after these, trade numbers would grow a digit.
pub const MAX_MESSAGES: u64 = 90_000_000;

/// Most columns of a wide message.
pub const MAX_COLUMNS: usize = 1000;

/// Trade time of a message that does not measure latency, in milliseconds of the Unix epoch.
const TRADE_TIME: u64 = 1_700_000_000_000;

const ID_DIGITS: usize = 8;
pub(crate) const SYMBOLS: [&str; 6] = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT", "ADAUSDT"];

/// Which messages the collector should receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Expect {
    /// Every message, unchanged: a relay.
    All,
    /// The messages with `m = true`, with `p` and `q` as numbers.
    Kept,
}

/// The columns of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The trade message.
    Trade,
    /// `t` first, `p` in the middle, `m` last, and fillers up to this many columns between them.
    Wide(usize),
}

/// The rows of one period.
#[derive(Debug, Clone)]
pub struct Pattern {
    rows: Vec<Row>,
    kept_before: Vec<u64>,
}

#[derive(Debug, Clone)]
struct Row {
    symbol: &'static str,
    price: String,
    quantity: String,
    kept: bool,
}

impl Pattern {
    /// The rows every run uses.
    #[must_use]
    pub fn new() -> Self {
        let mut random = SplitMix(0x5EED);
        let mut rows: Vec<Row> = (0..PERIOD)
            .map(|index| Row {
                symbol: SYMBOLS[random.below(SYMBOLS.len() as u64) as usize],
                price: format!("{}.{:02}", 49_000 + random.below(2_000), random.below(100)),
                quantity: format!("{}.{:05}", random.below(10), random.below(100_000)),
                kept: index % 2 == 0,
            })
            .collect();
        // Shuffling keeps exactly half; tossing a coin for each row would not.
        for last in (1..rows.len()).rev() {
            let other = random.below(last as u64 + 1) as usize;
            let kept = rows[last].kept;
            rows[last].kept = rows[other].kept;
            rows[other].kept = kept;
        }
        let kept_before = rows
            .iter()
            .scan(0, |sum, row| {
                let before = *sum;
                *sum += u64::from(row.kept);
                Some(before)
            })
            .collect();
        Self { rows, kept_before }
    }

    /// Whether the query keeps the message with this sequence number.
    #[must_use]
    pub fn is_kept(&self, sequence: u64) -> bool {
        self.row(sequence).kept
    }

    /// How many of the sequence numbers below `messages` the query keeps.
    #[must_use]
    pub fn kept_below(&self, messages: u64) -> u64 {
        let partial = (messages % PERIOD) as usize;
        (messages / PERIOD) * (PERIOD / 2) + self.kept_before[partial]
    }

    /// The message with this sequence number, as JSON text; `time` is the value of its column `T`.
    #[must_use]
    pub fn encode(&self, shape: Shape, sequence: u64, time: u64) -> String {
        let row = self.row(sequence);
        let id = FIRST_TRADE_ID + sequence;
        match shape {
            Shape::Trade => format!(
                r#"{{"e":"trade","E":{TRADE_TIME},"s":"{}","t":{id},"p":"{}","q":"{}","T":{time},"m":{}}}"#,
                row.symbol, row.price, row.quantity, row.kept
            ),
            Shape::Wide(columns) => encode_wide(row, id, columns),
        }
    }

    /// Whether an output message carries the values of its row: always the price, symbol and quantity
    /// where the message has them. For [`Expect::Kept`], price and quantity must be numbers.
    #[must_use]
    pub fn matches(&self, expect: Expect, sequence: u64, message: &[u8]) -> bool {
        let Ok(Value::Object(columns)) = serde_json::from_slice(message) else {
            return false;
        };
        let row = self.row(sequence);
        let text = |key: &str, wanted: &str| columns.get(key).is_none_or(|value| value.as_str() == Some(wanted));
        let number = |key: &str, wanted: &str| {
            let wanted: Option<f64> = wanted.parse().ok();
            columns.get(key).is_none_or(|value| value.as_f64() == wanted)
        };
        columns.contains_key("p")
            && text("s", row.symbol)
            && match expect {
                Expect::All => text("p", &row.price) && text("q", &row.quantity),
                Expect::Kept => number("p", &row.price) && number("q", &row.quantity),
            }
    }

    fn row(&self, sequence: u64) -> &Row {
        &self.rows[(sequence % PERIOD) as usize]
    }
}

impl Default for Pattern {
    fn default() -> Self {
        Self::new()
    }
}

/// The columns of a wide message besides `t`, `p` and `m`, in order, with their SQL types. The column
/// `p` stands after the first half of them.
pub fn filler_columns(columns: usize) -> impl Iterator<Item = (String, &'static str)> {
    (0..columns.saturating_sub(3)).map(|index| {
        let sql_type = if index % 2 == 0 { "STRING" } else { "DOUBLE" };
        (format!("c{index}"), sql_type)
    })
}

/// One period of messages as ready server frames, in which only the trade numbers change.
#[derive(Debug)]
pub struct Block {
    bytes: Vec<u8>,
    id_offsets: Vec<usize>,
    frame_ends: Vec<usize>,
}

impl Block {
    /// Encodes one period.
    #[must_use]
    pub fn new(pattern: &Pattern, shape: Shape) -> Self {
        let mut block = Self { bytes: Vec::new(), id_offsets: Vec::new(), frame_ends: Vec::new() };
        for sequence in 0..PERIOD {
            let message = pattern.encode(shape, sequence, TRADE_TIME);
            push_server_frame(&mut block.bytes, TEXT, message.as_bytes());
            let payload_start = block.bytes.len() - message.len();
            // Every shape writes a "t" column; its digits follow the five bytes of `"t":`.
            let id_offset = message.find("\"t\":").map_or(0, |at| at + 4);
            block.id_offsets.push(payload_start + id_offset);
            block.frame_ends.push(block.bytes.len());
        }
        block
    }

    /// The frames of `count` messages from sequence number `first`, which must be a multiple of
    /// [`PERIOD`]; `count` is at most [`PERIOD`].
    pub fn frames(&mut self, first: u64, count: u64) -> &[u8] {
        debug_assert_eq!(first % PERIOD, 0);
        for (id, offset) in (FIRST_TRADE_ID + first..).zip(self.id_offsets.iter().take(count as usize)) {
            write_digits(&mut self.bytes[*offset..*offset + ID_DIGITS], id);
        }
        let end = (count as usize).checked_sub(1).map_or(0, |last| self.frame_ends[last]);
        &self.bytes[..end]
    }
}

/// Overwrites `digits` with the decimal digits of `number`, which must have exactly as many.
fn write_digits(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        // The remainder of a division by ten fits a byte.
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn encode_wide(row: &Row, id: u64, columns: usize) -> String {
    let mut message = format!(r#"{{"t":{id}"#);
    let fillers = columns.saturating_sub(3);
    for (index, (name, sql_type)) in filler_columns(columns).enumerate() {
        if index == fillers / 2 {
            message.push_str(&format!(r#","p":"{}""#, row.price));
        }
        let value = match sql_type {
            "STRING" => format!(r#","{name}":"{}""#, row.symbol),
            _ => format!(r#","{name}":{}"#, row.price),
        };
        message.push_str(&value);
    }
    if fillers == 0 {
        message.push_str(&format!(r#","p":"{}""#, row.price));
    }
    message.push_str(&format!(r#","m":{}}}"#, row.kept));
    message
}

/// Steele, Lea and Flood's SplitMix64: the same rows in every run and on every machine.
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns_of(message: &str) -> serde_json::Map<String, Value> {
        match serde_json::from_str(message) {
            Ok(Value::Object(columns)) => columns,
            other => panic!("{message}: {other:?}"),
        }
    }

    #[test]
    fn a_trade_is_valid_json_of_about_110_bytes() {
        let pattern = Pattern::new();
        for sequence in [0, 1, PERIOD, MAX_MESSAGES - 1] {
            let message = pattern.encode(Shape::Trade, sequence, TRADE_TIME);
            assert!((110..=120).contains(&message.len()), "{message}");
            let columns = columns_of(&message);
            assert_eq!(columns["t"], FIRST_TRADE_ID + sequence);
            assert_eq!(columns["m"], pattern.is_kept(sequence));
            assert!(columns["p"].is_string() && columns["q"].is_string());
        }
    }

    #[test]
    fn exactly_half_of_a_period_is_kept() {
        let pattern = Pattern::new();
        for messages in [0, 1, 500, PERIOD, PERIOD + 1, 5 * PERIOD - 1] {
            let counted = (0..messages).filter(|s| pattern.is_kept(*s)).count();
            assert_eq!(pattern.kept_below(messages), counted as u64);
        }
        assert_eq!(pattern.kept_below(PERIOD), PERIOD / 2);
    }

    #[test]
    fn wide_messages_have_the_columns_asked_for() {
        let pattern = Pattern::new();
        for width in [3, 4, 5, 20, 100] {
            let columns = columns_of(&pattern.encode(Shape::Wide(width), 7, 0));
            assert_eq!(columns.len(), width);
            for used in ["t", "p", "m"] {
                assert!(columns.contains_key(used));
            }
            for (name, sql_type) in filler_columns(width) {
                assert_eq!(columns[&name].is_string(), sql_type == "STRING");
            }
        }
    }

    #[test]
    fn a_block_carries_the_messages_it_was_asked_for() {
        let pattern = Pattern::new();
        for shape in [Shape::Trade, Shape::Wide(20)] {
            let mut block = Block::new(&pattern, shape);
            for (first, count) in [(0, PERIOD), (PERIOD * 70_000, 3), (PERIOD, 0)] {
                let mut expected = Vec::new();
                for sequence in first..first + count {
                    let message = pattern.encode(shape, sequence, TRADE_TIME);
                    push_server_frame(&mut expected, TEXT, message.as_bytes());
                }
                assert!(block.frames(first, count) == expected);
            }
        }
    }

    #[test]
    fn values_are_checked_by_type_and_content() {
        let pattern = Pattern::new();
        let sequence = (0..PERIOD).find(|s| pattern.is_kept(*s)).unwrap();
        let relayed = pattern.encode(Shape::Trade, sequence, 0);
        let Row { symbol, price, quantity, .. } = pattern.row(sequence);
        let cast = format!(r#"{{"s":"{symbol}","p":{price},"q":{quantity}}}"#);
        assert!(pattern.matches(Expect::All, sequence, relayed.as_bytes()));
        assert!(pattern.matches(Expect::Kept, sequence, cast.as_bytes()));
        assert!(!pattern.matches(Expect::Kept, sequence, relayed.as_bytes()));
        assert!(!pattern.matches(Expect::Kept, sequence + 1, cast.as_bytes()));
        assert!(!pattern.matches(Expect::Kept, sequence, b"{"));
    }
}
