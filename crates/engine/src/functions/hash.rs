//! Hashes, encodings and identifiers. The hashes tell equal from different; none of them is for passwords.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eventflux_core::{FunctionError, ValueRef};
use md5::Md5;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::short::{BINARY, STRING, TO_BIGINT, TO_BYTES, TO_STRING};
use super::values::{Args, Output};
use super::{Builtin, Family, Kernel, RowResult, Signature, check_size, signature};

const fn hash_function(
    name: &'static str,
    signatures: &'static [Signature],
    summary: &'static str,
    examples: &'static [(&'static str, &'static str)],
    row: fn(&Args<'_>, &mut Output) -> RowResult,
) -> Builtin {
    Builtin::new(Family::Hash, name, signatures, summary, examples, Kernel::Row(row))
}

const TEXT_OF_BYTES: &[Signature] = &[signature!((value: BINARY) -> TO_STRING)];

pub(super) const FUNCTIONS: &[Builtin] = &[
    hash_function(
        "MD5",
        TEXT_OF_BYTES,
        "The MD5 hash in hexadecimal; text counts as UTF-8.",
        &[("MD5('abc')", "'900150983cd24fb0d6963f7d28e17f72'")],
        |args, out| hex(&Md5::digest(args.bytes(0)), out),
    ),
    hash_function(
        "SHA256",
        TEXT_OF_BYTES,
        "The SHA-256 hash in hexadecimal; text counts as UTF-8.",
        &[("LEFT(SHA256('abc'), 16)", "'ba7816bf8f01cfea'")],
        |args, out| hex(&Sha256::digest(args.bytes(0)), out),
    ),
    hash_function(
        "CRC32",
        &[signature!((value: BINARY) -> TO_BIGINT)],
        "The CRC-32 checksum (of zip and Ethernet); text counts as UTF-8.",
        &[("CRC32('123456789')", "3421780262")],
        |args, out| out.long(i64::from(crc32(args.bytes(0)))),
    ),
    hash_function(
        "HEX",
        TEXT_OF_BYTES,
        "The bytes in hexadecimal, lower case; text counts as UTF-8.",
        &[("HEX('né')", "'6ec3a9'")],
        |args, out| {
            check_size(args.bytes(0).len().saturating_mul(2))?;
            hex(args.bytes(0), out)
        },
    )
    .errors("a result longer than 1 MiB."),
    hash_function(
        "UNHEX",
        &[signature!((text: STRING) -> TO_BYTES)],
        "The bytes that hexadecimal text stands for.",
        &[("UNHEX('00fF')", "X'00ff'")],
        unhex,
    )
    .errors("text that is not hexadecimal."),
    hash_function(
        "TO_BASE64",
        TEXT_OF_BYTES,
        "The bytes in Base64 with padding; text counts as UTF-8.",
        &[("TO_BASE64('a?>')", "'YT8+'")],
        |args, out| {
            check_size(args.bytes(0).len().saturating_mul(4) / 3)?;
            out.write(|o| {
                STANDARD.encode_string(args.bytes(0), o);
                Ok(())
            })
        },
    )
    .errors("a result longer than 1 MiB."),
    hash_function(
        "FROM_BASE64",
        &[signature!((text: STRING) -> TO_BYTES)],
        "The bytes that Base64 with padding stands for.",
        &[("FROM_BASE64('AP8=')", "X'00ff'"), ("CAST(FROM_BASE64('YWJj') AS STRING)", "'abc'")],
        |args, out| {
            let bytes = STANDARD
                .decode(args.text(0))
                .map_err(|error| FunctionError::invalid(format!("not Base64: {error}")))?;
            out.push(ValueRef::Bytes(&bytes));
            Ok(())
        },
    )
    .errors("text that is not Base64."),
    hash_function(
        "UUID",
        &[signature!(() -> TO_STRING)],
        "A new random UUID (version 4).",
        &[("LENGTH(UUID())", "36")],
        |_, out| uuid(Uuid::new_v4(), out),
    )
    .aliases(&["GEN_RANDOM_UUID", "UUID_V4"])
    .volatile(),
    hash_function(
        "UUID_V7",
        &[signature!(() -> TO_STRING)],
        "A new UUID that begins with the time, so that later ones sort behind earlier ones (version 7).",
        &[("SUBSTRING(UUID_V7(), 15, 1)", "'7'")],
        |_, out| uuid(Uuid::now_v7(), out),
    )
    .volatile(),
];

fn hex(bytes: &[u8], out: &mut Output) -> RowResult {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    out.write(|o| {
        o.extend(bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]));
        Ok(())
    })
}

fn unhex(args: &Args<'_>, out: &mut Output) -> RowResult {
    let bytes = decode_hex(args.text(0)).ok_or_else(|| FunctionError::invalid("the text is not hexadecimal"))?;
    out.push(ValueRef::Bytes(&bytes));
    Ok(())
}

/// The bytes that pairs of hexadecimal digits stand for.
pub(crate) fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| if let [high, low] = *pair { Some(digit(high)? << 4 | digit(low)?) } else { None }).collect()
}

fn uuid(uuid: Uuid, out: &mut Output) -> RowResult {
    out.text(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
}

/// CRC-32 of ISO 3309, reflected.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0_u32; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| TABLE[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}
