//! Compressed payloads: each binary message is one gzip, deflate or zstd stream of its own.
//!
//! This is compression by the application, as some exchanges do it; it has nothing to do with the WebSocket extension
//! permessage-deflate.

use std::io::{self, BufRead, Read, Write};

use bytes::Bytes;
use eventflux_core::{EncodedBatch, EventFluxError, PayloadWriter, Properties, RowFailure};
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};

/// Largest window a zstd stream may ask for: 2 to this power bytes, allocated while one message is decompressed.
const MAX_ZSTD_WINDOW_LOG: u32 = 24;

/// A compression format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// RFC 1952.
    Gzip,
    /// RFC 1950, or RFC 1951 without a header.
    Deflate,
    /// RFC 8878.
    Zstd,
}

/// Decompresses with a cap on the result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inflate {
    /// The format.
    pub(crate) format: Format,
    /// Largest result, in bytes.
    pub(crate) max_bytes: usize,
}

impl Format {
    /// The format the properties name; `None` for none.
    ///
    /// # Errors
    /// When the property has no value.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Option<Self>, EventFluxError> {
        Ok(match properties.text("websocket.compression")? {
            "gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "zstd" => Some(Self::Zstd),
            _ => None,
        })
    }

    /// Compresses each payload for itself.
    ///
    /// # Errors
    /// The first payload that cannot be compressed.
    pub(crate) fn compress_batch(self, batch: &EncodedBatch) -> Result<EncodedBatch, RowFailure> {
        let mut writer = PayloadWriter::default();
        for (row, payload) in batch.iter().enumerate() {
            let compressed = self.compress(payload).map_err(|error| RowFailure {
                row,
                error: EventFluxError::Send { reason: format!("cannot be compressed: {error}"), retryable: false },
            })?;
            writer.buffer().extend_from_slice(&compressed);
            writer.finish(batch.position(row));
        }
        Ok(writer.take().with_texts_of(batch))
    }

    fn compress(self, payload: &[u8]) -> io::Result<Vec<u8>> {
        let level = flate2::Compression::default();
        match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), level);
                encoder.write_all(payload)?;
                encoder.finish()
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(payload)?;
                encoder.finish()
            }
            Self::Zstd => zstd::encode_all(payload, 0),
        }
    }
}

impl Inflate {
    /// Decompresses one message.
    ///
    /// # Errors
    /// [`EventFluxError::Mapping`] when it is no such stream, is cut short, or grows beyond the cap.
    pub(crate) fn inflate(&self, message: &[u8]) -> Result<Bytes, EventFluxError> {
        let result = match self.format {
            Format::Gzip => self.read(MultiGzDecoder::new(message)),
            Format::Deflate if has_zlib_header(message) => self.read(ZlibDecoder::new(message)),
            Format::Deflate => self.read(DeflateDecoder::new(message)),
            Format::Zstd => zstd_decoder(message).and_then(|decoder| self.read(decoder)),
        };
        match result {
            Ok(inflated) if inflated.len() > self.max_bytes => Err(EventFluxError::mapping(
                None,
                format!(
                    "a message of {} bytes decompresses to more than websocket.compression.max.size ({} bytes)",
                    message.len(),
                    self.max_bytes
                ),
            )),
            Ok(inflated) => Ok(inflated.into()),
            Err(error) => Err(EventFluxError::mapping(None, format!("cannot be decompressed: {error}"))),
        }
    }

    /// At most one byte more than allowed.
    fn read(&self, decoder: impl Read) -> io::Result<Vec<u8>> {
        let mut inflated = Vec::new();
        decoder.take(self.max_bytes as u64 + 1).read_to_end(&mut inflated)?;
        Ok(inflated)
    }
}

/// RFC 1950 section 2.2: method 8, and the first two bytes a multiple of 31. A raw stream starts like this only by a
/// rare choice of its encoder (a stored or fixed block).
fn has_zlib_header(message: &[u8]) -> bool {
    match message {
        [first, second, ..] => first & 0x0F == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0,
        _ => false,
    }
}

fn zstd_decoder(message: &[u8]) -> io::Result<impl Read> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(buffered(message))?;
    decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}

fn buffered(message: &[u8]) -> impl BufRead {
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMATS: [Format; 3] = [Format::Gzip, Format::Deflate, Format::Zstd];

    fn inflate(format: Format, max_bytes: usize, message: &[u8]) -> Result<Bytes, EventFluxError> {
        Inflate { format, max_bytes }.inflate(message)
    }

    #[test]
    fn raw_deflate_is_taken_too() {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"{\"a\":1}{\"a\":1}").unwrap();
        let message = encoder.finish().unwrap();
        assert_eq!(inflate(Format::Deflate, 100, &message).unwrap(), &b"{\"a\":1}{\"a\":1}"[..]);
    }

    #[test]
    fn the_cap_passes_and_one_byte_more_does_not() {
        for format in FORMATS {
            let message = format.compress(&[b'x'; 1000]).unwrap();
            assert_eq!(inflate(format, 1000, &message).unwrap().len(), 1000);
            let error = inflate(format, 999, &message).unwrap_err();
            assert!(error.to_string().contains("websocket.compression.max.size (999 bytes)"), "{error}");
        }
    }

    #[test]
    fn a_bomb_is_stopped_at_the_cap() {
        for format in FORMATS {
            let bomb = format.compress(&vec![0; 64 << 20]).unwrap();
            assert!(inflate(format, 1 << 16, &bomb).is_err());
        }
    }

    #[test]
    fn a_stream_cut_short_is_an_error() {
        for format in FORMATS {
            let message = format.compress(b"some payload that is long enough").unwrap();
            let error = inflate(format, 1000, &message[..message.len() - 3]).unwrap_err();
            assert!(error.to_string().starts_with("cannot be decompressed"), "{error}");
        }
    }

    #[test]
    fn a_batch_keeps_its_positions() {
        let mut writer = PayloadWriter::default();
        writer.buffer().extend_from_slice(b"one");
        writer.finish(7);
        let batch = Format::Gzip.compress_batch(&writer.take()).unwrap();
        assert_eq!(batch.position(0), 7);
        assert_eq!(inflate(Format::Gzip, 10, batch.payload(0)).unwrap(), &b"one"[..]);
    }

    proptest! {
        #[test]
        fn decompressing_what_was_compressed_is_identity(payload: Vec<u8>) {
            for format in FORMATS {
                let message = format.compress(&payload).unwrap();
                prop_assert_eq!(&inflate(format, payload.len(), &message).unwrap()[..], &payload[..]);
            }
        }

        #[test]
        fn no_input_panics_or_grows_beyond_the_cap(message: Vec<u8>) {
            for format in FORMATS {
                if let Ok(inflated) = inflate(format, 4096, &message) {
                    prop_assert!(inflated.len() <= 4096);
                }
            }
        }
    }
}
