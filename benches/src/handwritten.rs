//! The hand-written program: the benchmark's pipeline as a good engineer would write it for this
//! one message shape. It is the honest floor for an engine that does the same from SQL.

use std::num::ParseFloatError;

use clap::ValueEnum;
use serde::Deserialize;
use tokio_tungstenite::tungstenite::Message;

use crate::error::BenchError;
use crate::peer::forward;

/// Room for an output message, in bytes; all of the benchmark's fit.
const OUTPUT_BYTES: usize = 128;

/// Which library decodes the JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Decoder {
    /// `sonic-rs`, the fastest measured.
    Sonic,
    /// `serde_json`, the customary choice.
    SerdeJson,
}

/// Filters, casts and forwards trades from `feed` to `out` until the feed ends.
///
/// # Errors
/// When a connection fails or a message is not a trade.
pub async fn run(feed: &str, out: &str, decoder: Decoder) -> Result<(), BenchError> {
    forward(feed, out, |message| match message {
        Message::Text(text) => Ok(transform(&text, decoder)?.map(Message::text)),
        _ => Ok(None),
    })
    .await
}

/// The declared columns of a trade; the others are skipped.
#[derive(Deserialize)]
struct Trade<'a> {
    s: &'a str,
    t: i64,
    p: &'a str,
    q: &'a str,
    #[serde(rename = "T")]
    trade_time: i64,
    m: bool,
}

fn transform(text: &str, decoder: Decoder) -> Result<Option<String>, BenchError> {
    let trade: Trade<'_> = match decoder {
        Decoder::Sonic => sonic_rs::from_str(text).map_err(|error| not_a_trade(&error))?,
        Decoder::SerdeJson => serde_json::from_str(text).map_err(|error| not_a_trade(&error))?,
    };
    if !trade.m {
        return Ok(None);
    }
    encode(&trade).map(Some).map_err(|error| not_a_trade(&error))
}

fn encode(trade: &Trade<'_>) -> Result<String, ParseFloatError> {
    let price: f64 = trade.p.parse()?;
    let quantity: f64 = trade.q.parse()?;
    let mut integer = itoa::Buffer::new();
    let mut double = zmij::Buffer::new();
    let mut out = String::with_capacity(OUTPUT_BYTES);
    out.push_str(r#"{"s":""#);
    out.push_str(trade.s);
    out.push_str(r#"","t":"#);
    out.push_str(integer.format(trade.t));
    out.push_str(r#","p":"#);
    out.push_str(double.format(price));
    out.push_str(r#","q":"#);
    out.push_str(double.format(quantity));
    out.push_str(r#","T":"#);
    out.push_str(integer.format(trade.trade_time));
    out.push('}');
    Ok(out)
}

fn not_a_trade(error: &dyn std::error::Error) -> BenchError {
    BenchError::Protocol(format!("a message is not a trade: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Expect, PERIOD, Pattern, Shape};

    #[test]
    fn both_decoders_keep_and_cast_what_the_query_would() {
        let pattern = Pattern::new();
        for sequence in 0..PERIOD {
            let message = pattern.encode(Shape::Trade, sequence, 77);
            for decoder in [Decoder::Sonic, Decoder::SerdeJson] {
                let result = transform(&message, decoder).unwrap();
                assert_eq!(result.is_some(), pattern.is_kept(sequence));
                if let Some(result) = result {
                    assert!(result.len() <= OUTPUT_BYTES);
                    assert!(pattern.matches(Expect::Kept, sequence, result.as_bytes()));
                }
            }
        }
    }

    #[test]
    fn a_message_of_another_shape_is_an_error() {
        for text in ["", "{}", r#"{"s":1}"#] {
            assert!(transform(text, Decoder::Sonic).is_err());
        }
    }
}
