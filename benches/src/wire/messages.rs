//! The messages: trades as an exchange streams them, each of exactly [`MESSAGE_BYTES`].
//!
//! Symbols alternate, prices walk, numbers and times grow: as compressible as real trades, not more. They repeat after
//! [`PERIOD`] messages, five times the largest deflate window, so that repetition helps no compressor.

use crate::workload::{SYMBOLS, SplitMix};

/// Size of every message.
pub(super) const MESSAGE_BYTES: usize = 170;

/// Messages before they repeat.
pub(super) const PERIOD: usize = 1024;

/// The first byte of every message; systems add them up to prove that they have touched the payload.
pub(super) const FIRST_BYTE: u8 = b'{';

/// One period of messages, the same in every process.
pub(super) fn period() -> Vec<String> {
    let mut random = SplitMix(0x7ADE);
    let mut time = 1_700_000_000_000;
    let mut markets: Vec<Market> = (0..SYMBOLS.len() as u64).map(Market::new).collect();
    (0..PERIOD)
        .map(|_| {
            time += random.below(4);
            let market = random.below(SYMBOLS.len() as u64) as usize;
            markets[market].next_trade(SYMBOLS[market], time, &mut random)
        })
        .collect()
}

/// What moves from one trade of a symbol to its next.
struct Market {
    trade: u64,
    /// The latest order.
    order: u64,
    /// In hundredths; five digits before the point.
    price: u64,
}

impl Market {
    fn new(index: u64) -> Self {
        Self {
            trade: 3_412_345_678 + index * 104_729_000,
            order: 24_512_345_678 + index * 3_104_729_000,
            price: 4_912_345 + index * 731_311,
        }
    }

    fn next_trade(&mut self, symbol: &str, time: u64, random: &mut SplitMix) -> String {
        self.trade += 1;
        self.order += random.below(40);
        self.price = self.price + random.below(201) - 100;
        let (buyer, seller) = (self.order - random.below(1000), self.order - random.below(1000));
        let buyer_is_maker = buyer < seller;
        // "true" is a byte shorter than "false".
        let lots = if buyer_is_maker { 10_000 + random.below(90_000) } else { 1_000 + random.below(9_000) };
        format!(
            r#"{{"e":"trade","E":{time},"s":"{symbol}","t":{},"p":"{}.{:02}000000","q":"{lots}.{:05}000","b":{buyer},"a":{seller},"T":{},"m":{buyer_is_maker},"M":true}}"#,
            self.trade,
            self.price / 100,
            self.price % 100,
            random.below(100_000),
            time - random.below(2),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_json_of_one_size_and_all_different() {
        let messages = period();
        assert_eq!(messages.len(), PERIOD);
        for message in &messages {
            assert_eq!(message.len(), MESSAGE_BYTES, "{message}");
            assert_eq!(message.as_bytes()[0], FIRST_BYTE);
            serde_json::from_str::<serde_json::Value>(message).unwrap();
        }
        let distinct: std::collections::HashSet<_> = messages.iter().collect();
        assert_eq!(distinct.len(), PERIOD);
    }
}
