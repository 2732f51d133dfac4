//! What an envelope costs: nanoseconds for each message of about 200 bytes, written and read, in each encoding.
//!
//!     cargo run --release -p eventflux-federation --example envelope_speed

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use eventflux_federation::envelope::{Content, DataWriter, Encoding, Limits, check_json, read, read_trusted};

/// Makes JSON messages of about 200 bytes.
const PAYLOAD: &[u8] =
    br#"{"sensor_id":"temp-01","value":23.5,"unit":"celsius","site":"hall 4, north wall","ok":true,"seen":128831}"#;

/// In one round: less than a time slice of the system.
const MESSAGES: u64 = 2_000;

/// Rounds that are measured; the fastest counts, the others were disturbed.
const ROUNDS: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    println!("{:<12} {:<7} {:>6} {:>8} {:>8} {:>8}", "encoding", "content", "bytes", "write", "read", "trusted");
    for encoding in [Encoding::Json, Encoding::MessagePack, Encoding::Cbor] {
        for content in [Content::Json, Content::Binary] {
            measure(encoding, content)?;
        }
    }
    let check = nanoseconds(|_| check_json(black_box(PAYLOAD)).is_ok());
    println!("check_json   {check:>6.1} ns");
    Ok(())
}

fn measure(encoding: Encoding, content: Content) -> Result<(), Box<dyn Error>> {
    let writer = DataWriter::new(encoding, content, "telemetry", 0x01ab_cdef_0123_4567);
    let mut out = Vec::new();
    writer.write(1_234_567, 1_704_844_800_000, PAYLOAD, &mut out)?;
    let message = Bytes::copy_from_slice(&out);
    let (binary, limits) = (encoding != Encoding::Json, Limits::default());

    let write = nanoseconds(|sequence| {
        out.clear();
        writer.write(sequence, 1_704_844_800_000, black_box(PAYLOAD), &mut out).is_ok()
    });
    let strict = nanoseconds(|_| read(black_box(&message), binary, &limits).is_ok());
    let trusted = nanoseconds(|_| read_trusted(black_box(&message), binary, &limits).is_ok());
    let (encoding, content) = (format!("{encoding:?}"), format!("{content:?}"));
    println!("{encoding:<12} {content:<7} {:>6} {write:>8.1} {strict:>8.1} {trusted:>8.1}", message.len());
    Ok(())
}

/// What one call takes, which has to succeed.
fn nanoseconds(mut call: impl FnMut(u64) -> bool) -> f64 {
    let round = |_| {
        let started = Instant::now();
        let succeeded = (0..MESSAGES).filter(|sequence| call(*sequence)).count() as u64;
        assert_eq!(succeeded, MESSAGES, "a call failed");
        started.elapsed().as_secs_f64() * 1e9 / MESSAGES as f64
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}
