//! Any messages, any parameters, any input: properties of both directions together, and against another implementation.

use bytes::Bytes;
use miniz_oxide::inflate::stream::InflateState;
use miniz_oxide::{DataFormat, MZFlush, deflate::core::CompressorOxide};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::Message;

/// The other implementation has no smaller windows than the largest; it keeps its context.
struct Miniz {
    compressor: Box<CompressorOxide>,
    decompressor: Box<InflateState>,
}

impl Miniz {
    fn new(level: u8) -> Self {
        let mut compressor = Box::<CompressorOxide>::default();
        compressor.set_format_and_level(DataFormat::Raw, level);
        Self { compressor, decompressor: InflateState::new_boxed(DataFormat::Raw) }
    }

    fn compress(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut output = vec![0; 2 * payload.len() + 1024];
        let result = miniz_oxide::deflate::stream::deflate(&mut self.compressor, payload, &mut output, MZFlush::Sync);
        assert_eq!(result.bytes_consumed, payload.len());
        output.truncate(result.bytes_written);
        assert!(output.ends_with(&TAIL));
        output.truncate(output.len() - TAIL.len());
        output
    }

    fn inflate(&mut self, payload: &[u8], bytes: usize) -> Vec<u8> {
        let (input, mut output, mut read, mut written) = ([payload, &TAIL].concat(), vec![0; bytes + 1], 0, 0);
        loop {
            let (rest, room) = (&input[read..], &mut output[written..]);
            let result = miniz_oxide::inflate::stream::inflate(&mut self.decompressor, rest, room, MZFlush::None);
            (read, written) = (read + result.bytes_consumed, written + result.bytes_written);
            if result.bytes_consumed + result.bytes_written == 0 {
                assert_eq!(read, input.len());
                output.truncate(written);
                return output;
            }
        }
    }
}

fn direction() -> impl Strategy<Value = DirectionConfig> {
    (8..=15_u8, any::<bool>())
        .prop_map(|(window_bits, context_takeover)| DirectionConfig { window_bits, context_takeover })
}

fn config() -> impl Strategy<Value = DeflateConfig> {
    (0..100_usize, 1..=9_u32, direction(), direction())
        .prop_map(|(threshold_bytes, level, send, receive)| DeflateConfig { threshold_bytes, level, send, receive })
}

/// Messages that repeat themselves and each other, and some that do not compress.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(proptest::sample::select(&b"ab{}\":,0"[..]), 0..300),
        2 => (vec(any::<u8>(), 1..40), 1..2000_usize).prop_map(|(word, count)| word.repeat(count)),
        1 => vec(any::<u8>(), 0..300),
        1 => vec(any::<u8>(), 30_000..40_000),
    ]
}

/// Deflate data that is damaged somewhere, or no deflate data at all.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = (
        payload(),
        1..=9_u32,
        vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        any::<proptest::sample::Index>(),
    );
    let damaged = damage.prop_map(|(payload, level, changes, end)| {
        let mut compressed = Compressor::new(15, level, false).compress(&payload).unwrap().to_vec();
        for (index, byte) in changes {
            let index = index.index(compressed.len());
            compressed[index] = byte;
        }
        if end.index(2) == 0 {
            compressed.truncate(end.index(compressed.len()));
        }
        compressed
    });
    prop_oneof![damaged, vec(any::<u8>(), 0..100)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_messages_arrive_as_they_were_whatever_was_agreed_upon(
        client in config(),
        server in config(),
        messages in vec((payload(), any::<bool>(), any::<bool>()), 1..12),
    ) {
        let (answer, at_server) = accept(&server, [offer(&client).as_bytes()]).unwrap();
        let at_client = confirm(Some(&client), [answer.as_bytes()]).unwrap().unwrap();
        let (mut client, mut server) = (Deflate::new(client, at_client), Deflate::new(server, at_server));
        for (payload, is_for_many, from_client) in messages {
            let (sender, receiver) = if from_client { (&mut client, &mut server) } else { (&mut server, &mut client) };
            let message = Message::binary(payload.clone());
            let message = if is_for_many { message.for_many() } else { message };
            if let Some(compressed) = sender.compress(&message) {
                prop_assert!(receiver.inflate(&compressed, payload.len()).unwrap() == payload);
            }
        }
    }

    #[test]
    fn another_implementation_inflates_what_we_compress_and_we_what_it_does(
        window_bits in 9..=15_u8,
        level in 1..=9_u32,
        messages in vec(payload(), 1..8),
    ) {
        let (mut compressor, mut decompressor) = (Compressor::new(window_bits, level, true), Decompressor::new(true));
        let mut miniz = Miniz::new(level as u8);
        for payload in messages {
            let compressed = compressor.compress(&payload).unwrap();
            prop_assert!(miniz.inflate(&compressed, payload.len()) == payload);
            if !payload.is_empty() {
                let compressed = miniz.compress(&payload);
                prop_assert!(decompressor.inflate(&compressed, payload.len()).unwrap() == payload);
            }
        }
    }

    #[test]
    fn no_input_panics_and_nothing_passes_the_limit(inputs in vec(damaged(), 1..4), max_bytes in 0..100_000_usize) {
        let mut decompressor = Decompressor::new(true);
        for input in inputs {
            match decompressor.inflate(&input, max_bytes) {
                Ok(output) => prop_assert!(output.len() <= max_bytes),
                Err(InflateError::TooLarge { max_bytes: named }) => prop_assert_eq!(named, max_bytes),
                Err(InflateError::Corrupt) => {}
            }
        }
    }

    #[test]
    fn another_implementation_sees_the_same_in_damaged_data(input in damaged()) {
        let inflated = Decompressor::new(true).inflate(&input, 1 << 20);
        // It ends with the first final block, here the one added at the latest.
        let whole = [&input[..], &TAIL, &[0x03, 0x00]].concat();
        let by_miniz = miniz_oxide::inflate::decompress_to_vec_with_limit(&whole, 1 << 20);
        if let Ok(inflated) = inflated {
            prop_assert!(inflated.starts_with(&by_miniz.unwrap()));
        }
    }
}

/// `Bytes` of a message are as large as the message: what a receiver keeps costs no more than it is.
#[test]
fn an_inflated_message_owns_nothing_beyond_its_length() {
    for size in [100, 20_000, 100_000] {
        let compressed = Compressor::new(15, 1, false).compress(&vec![b'x'; size]).unwrap();
        let inflated: Bytes = Decompressor::new(false).inflate(&compressed, 1 << 20).unwrap();
        assert_eq!(Vec::from(inflated).capacity(), size);
    }
}

/// We call zlib-rs by its name, so that nothing can put another zlib in its place. flate2, with which others compress,
/// takes a C library instead for all of the workspace as soon as any crate in the tree asks for one; miniz_oxide comes
/// into play only where there is no zlib-rs.
#[test]
fn nothing_in_the_tree_makes_flate2_use_a_c_library() {
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")).unwrap();
    let packages: Vec<&str> =
        lock.split("[[package]]").filter(|package| package.contains("\nname = \"flate2\"\n")).collect();
    assert!(!packages.is_empty());
    for package in packages {
        assert!(package.contains("\"zlib-rs"), "flate2 without zlib-rs: {package}");
        let is_c = ["\"libz-", "\"cloudflare-zlib"].iter().any(|library| package.contains(library));
        assert!(!is_c, "`cargo tree -e features -i flate2` tells whose feature this is: {package}");
    }
}
