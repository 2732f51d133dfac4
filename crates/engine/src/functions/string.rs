//! Functions of text. Lengths and positions count characters (Unicode scalar values), positions from 1.

use std::fmt::Write as _;

use eventflux_core::{FunctionError, ValueRef};

use super::short::{ANY, BIGINT, BINARY, STRING, TO_BIGINT, TO_BOOL, TO_STRING};
use super::values::{Args, Output};
use super::{Builtin, Family, Kernel, RowResult, Signature, check_size, signature};
use crate::expr::text;

const fn text_function(
    name: &'static str,
    signatures: &'static [Signature],
    summary: &'static str,
    examples: &'static [(&'static str, &'static str)],
    row: fn(&Args<'_>, &mut Output) -> RowResult,
) -> Builtin {
    Builtin::new(Family::Text, name, signatures, summary, examples, Kernel::Row(row))
}

const TOO_LONG: &str = "a result longer than 1 MiB.";

pub(super) const FUNCTIONS: &[Builtin] = &[
    text_function(
        "LENGTH",
        &[signature!((text: STRING) -> TO_BIGINT)],
        "Number of characters.",
        &[("LENGTH('5 €')", "3")],
        length,
    )
    .aliases(&["CHAR_LENGTH", "CHARACTER_LENGTH", "LEN"]),
    text_function(
        "OCTET_LENGTH",
        &[signature!((value: BINARY) -> TO_BIGINT)],
        "Number of bytes.",
        &[("OCTET_LENGTH('5 €')", "5")],
        |args, out| out.long(args.bytes(0).len() as i64),
    ),
    text_function(
        "UPPER",
        &[signature!((text: STRING) -> TO_STRING)],
        "The text in upper case.",
        &[("UPPER('straße')", "'STRASSE'")],
        upper,
    )
    .aliases(&["UCASE"]),
    text_function(
        "LOWER",
        &[signature!((text: STRING) -> TO_STRING)],
        "The text in lower case.",
        &[("LOWER('BTC-É')", "'btc-é'")],
        lower,
    )
    .aliases(&["LCASE"]),
    text_function(
        "INITCAP",
        &[signature!((text: STRING) -> TO_STRING)],
        "The first letter of every word in upper case, the others in lower case.",
        &[("INITCAP('éclair AU choc')", "'Éclair Au Choc'")],
        initcap,
    ),
    text_function(
        "TRIM",
        TRIM,
        "The text without these characters at both ends; white space by default. `TRIM(BOTH 'x' FROM text)` is \
         understood as well.",
        &[("TRIM('  a b ')", "'a b'"), ("TRIM('xxaxx', 'x')", "'a'"), ("TRIM(LEADING '0' FROM '007')", "'7'")],
        |args, out| out.text(trimmed(args, true, true)),
    )
    .aliases(&["BTRIM"]),
    text_function(
        "LTRIM",
        TRIM,
        "The text without these characters at its start; white space by default.",
        &[("LTRIM('  a ')", "'a '")],
        |args, out| out.text(trimmed(args, true, false)),
    ),
    text_function(
        "RTRIM",
        TRIM,
        "The text without these characters at its end; white space by default.",
        &[("RTRIM('1.500', '0')", "'1.5'")],
        |args, out| out.text(trimmed(args, false, true)),
    ),
    text_function(
        "SUBSTRING",
        &[signature!((text: STRING, start: BIGINT; length: BIGINT) -> TO_STRING)],
        "The characters from `start` on, at most `length` of them. What lies before position 1 counts towards the \
         length. `SUBSTRING(text FROM start FOR length)` is understood as well.",
        &[
            ("SUBSTRING('BTCUSDT', 4)", "'USDT'"),
            ("SUBSTRING('BTCUSDT' FROM 1 FOR 3)", "'BTC'"),
            ("SUBSTRING('abc', 0, 2)", "'a'"),
        ],
        substring,
    )
    .aliases(&["SUBSTR"])
    .errors("a negative length."),
    text_function(
        "LEFT",
        &[signature!((text: STRING, count: BIGINT) -> TO_STRING)],
        "The first characters; with a negative count, all but the last ones.",
        &[("LEFT('BTCUSDT', 3)", "'BTC'"), ("LEFT('BTCUSDT', -4)", "'BTC'")],
        left,
    ),
    text_function(
        "RIGHT",
        &[signature!((text: STRING, count: BIGINT) -> TO_STRING)],
        "The last characters; with a negative count, all but the first ones.",
        &[("RIGHT('BTCUSDT', 4)", "'USDT'"), ("RIGHT('BTCUSDT', -3)", "'USDT'")],
        right,
    ),
    text_function(
        "REPLACE",
        &[signature!((text: STRING, part: STRING, replacement: STRING) -> TO_STRING)],
        "Every occurrence of `part` replaced. An empty part occurs nowhere.",
        &[("REPLACE('a-b-c', '-', '')", "'abc'")],
        replace,
    )
    .errors(TOO_LONG),
    text_function(
        "CONCAT",
        &[signature!((value: ANY, ...) -> TO_STRING)],
        "The texts of all values, one after the other.",
        &[("CONCAT('n=', 1, NULL, TRUE)", "'n=1true'")],
        concat,
    )
    .nulls("left out.")
    .errors("a result longer than 1 MiB; bytes that are not UTF-8."),
    text_function(
        "CONCAT_WS",
        &[signature!((separator: STRING, value: ANY, ...) -> TO_STRING)],
        "The texts of all values with the separator between them.",
        &[("CONCAT_WS('/', 'a', NULL, 'b')", "'a/b'")],
        concat_ws,
    )
    .nulls("values that are `NULL` are left out; the result is `NULL` when the separator is.")
    .errors("a result longer than 1 MiB; bytes that are not UTF-8."),
    text_function(
        "STARTS_WITH",
        &[signature!((text: STRING, prefix: STRING) -> TO_BOOL)],
        "Whether the text begins with the prefix.",
        &[("STARTS_WITH('BTCUSDT', 'BTC')", "TRUE")],
        |args, out| out.bool(args.text(0).starts_with(args.text(1))),
    )
    .aliases(&["STARTSWITH"]),
    text_function(
        "ENDS_WITH",
        &[signature!((text: STRING, suffix: STRING) -> TO_BOOL)],
        "Whether the text ends with the suffix.",
        &[("ENDS_WITH('BTCUSDT', 'EUR')", "FALSE")],
        |args, out| out.bool(args.text(0).ends_with(args.text(1))),
    )
    .aliases(&["ENDSWITH"]),
    text_function(
        "CONTAINS",
        &[signature!((text: STRING, part: STRING) -> TO_BOOL)],
        "Whether the part occurs in the text.",
        &[("CONTAINS('BTCUSDT', 'CUS')", "TRUE")],
        |args, out| out.bool(args.text(0).contains(args.text(1))),
    ),
    text_function(
        "STRPOS",
        &[signature!((text: STRING, part: STRING) -> TO_BIGINT)],
        "The position of the first occurrence of the part, or 0. `POSITION(part IN text)` is the same.",
        &[("STRPOS('éabc', 'b')", "3"), ("POSITION('x' IN 'abc')", "0")],
        strpos,
    )
    .aliases(&["INSTR"]),
    text_function(
        "SPLIT_PART",
        &[signature!((text: STRING, separator: STRING, number: BIGINT) -> TO_STRING)],
        "The part of that number between separators; negative numbers count from the end. There is an empty text \
         where there is no such part.",
        &[("SPLIT_PART('BTC-USD-SWAP', '-', 2)", "'USD'"), ("SPLIT_PART('a.b', '.', -1)", "'b'")],
        split_part,
    )
    .errors("number 0."),
    text_function(
        "REPEAT",
        &[signature!((text: STRING, times: BIGINT) -> TO_STRING)],
        "The text that many times; a negative number counts as 0.",
        &[("REPEAT('ab', 3)", "'ababab'")],
        repeat,
    )
    .errors(TOO_LONG),
    text_function(
        "REVERSE",
        &[signature!((text: STRING) -> TO_STRING)],
        "The characters in reverse order.",
        &[("REVERSE('aé€')", "'€éa'")],
        |args, out| {
            out.write(|o| {
                o.extend(args.text(0).chars().rev());
                Ok(())
            })
        },
    ),
    text_function(
        "LPAD",
        PAD,
        "The text filled up on the left to that many characters, with spaces by default; a longer text is cut on the \
         right.",
        &[("LPAD('7', 3, '0')", "'007'"), ("LPAD('abcd', 2)", "'ab'")],
        |args, out| pad(args, out, true),
    )
    .errors("an empty fill; a result longer than 1 MiB."),
    text_function(
        "RPAD",
        PAD,
        "The text filled up on the right to that many characters, with spaces by default; a longer text is cut on \
         the right.",
        &[("RPAD('7', 3, 'ab')", "'7ab'")],
        |args, out| pad(args, out, false),
    )
    .errors("an empty fill; a result longer than 1 MiB."),
    text_function(
        "ASCII",
        &[signature!((text: STRING) -> TO_BIGINT)],
        "The Unicode code point of the first character, 0 of an empty text.",
        &[("ASCII('€')", "8364")],
        |args, out| out.long(args.text(0).chars().next().map_or(0, |c| i64::from(u32::from(c)))),
    )
    .aliases(&["UNICODE"]),
    text_function(
        "CHR",
        &[signature!((code: BIGINT) -> TO_STRING)],
        "The character of that Unicode code point.",
        &[("CHR(8364)", "'€'")],
        chr,
    )
    .errors("a number that is no code point."),
];

const TRIM: &[Signature] = &[signature!((text: STRING; characters: STRING) -> TO_STRING)];
const PAD: &[Signature] = &[signature!((text: STRING, length: BIGINT; fill: STRING) -> TO_STRING)];

fn length(args: &Args<'_>, out: &mut Output) -> RowResult {
    out.long(args.text(0).chars().count() as i64)
}

fn upper(args: &Args<'_>, out: &mut Output) -> RowResult {
    let text = args.text(0);
    out.write(|o| {
        if text.is_ascii() {
            let start = o.len();
            o.push_str(text);
            o[start..].make_ascii_uppercase();
        } else {
            o.extend(text.chars().flat_map(char::to_uppercase));
        }
        Ok(())
    })
}

fn lower(args: &Args<'_>, out: &mut Output) -> RowResult {
    let text = args.text(0);
    out.write(|o| {
        if text.is_ascii() {
            let start = o.len();
            o.push_str(text);
            o[start..].make_ascii_lowercase();
        } else {
            // Not character by character: the Greek sigma at the end of a word is another one.
            o.push_str(&text.to_lowercase());
        }
        Ok(())
    })
}

fn initcap(args: &Args<'_>, out: &mut Output) -> RowResult {
    out.write(|o| {
        let mut in_word = false;
        for character in args.text(0).chars() {
            if in_word {
                o.extend(character.to_lowercase());
            } else {
                o.extend(character.to_uppercase());
            }
            in_word = character.is_alphanumeric();
        }
        Ok(())
    })
}

fn trimmed<'a>(args: &Args<'a>, start: bool, end: bool) -> &'a str {
    let mut text = args.text(0);
    let characters = (args.len() > 1).then(|| args.text(1));
    let is_cut = |c: char| characters.map_or(c.is_whitespace(), |characters| characters.contains(c));
    if start {
        text = text.trim_start_matches(is_cut);
    }
    if end {
        text = text.trim_end_matches(is_cut);
    }
    text
}

/// The byte offset of the character at `index` from 0, or the end.
fn offset(text: &str, index: i64) -> usize {
    let Ok(index) = usize::try_from(index) else {
        return 0;
    };
    if text.is_ascii() {
        return index.min(text.len());
    }
    text.char_indices().nth(index).map_or(text.len(), |(offset, _)| offset)
}

fn substring(args: &Args<'_>, out: &mut Output) -> RowResult {
    let text = args.text(0);
    let start = args.long(1).saturating_sub(1);
    let end = match args.optional_long(2) {
        Some(length) if length < 0 => return Err(FunctionError::invalid("the length is negative")),
        Some(length) => start.saturating_add(length),
        None => i64::MAX,
    };
    let (from, to) = (offset(text, start), offset(text, end));
    out.text(&text[from..to.max(from)])
}

fn left(args: &Args<'_>, out: &mut Output) -> RowResult {
    let (text, count) = (args.text(0), args.long(1));
    let count = if count < 0 { text.chars().count() as i64 + count.max(-i64::from(i32::MAX)) } else { count };
    out.text(&text[..offset(text, count)])
}

fn right(args: &Args<'_>, out: &mut Output) -> RowResult {
    let (text, count) = (args.text(0), args.long(1));
    let skip = if count < 0 { count.saturating_neg() } else { (text.chars().count() as i64).saturating_sub(count) };
    out.text(&text[offset(text, skip)..])
}

fn replace(args: &Args<'_>, out: &mut Output) -> RowResult {
    let (text, part, replacement) = (args.text(0), args.text(1), args.text(2));
    if part.is_empty() {
        return out.text(text);
    }
    out.write(|o| {
        let start = o.len();
        let mut rest = text;
        while let Some(at) = rest.find(part) {
            o.push_str(&rest[..at]);
            o.push_str(replacement);
            check_size(o.len() - start)?;
            rest = &rest[at + part.len()..];
        }
        o.push_str(rest);
        check_size(o.len() - start)
    })
}

/// Appends the texts of all arguments, `STRING`s that are not `NULL`.
pub(crate) fn join_texts(args: &Args<'_>, out: &mut Output) -> RowResult {
    check_size((0..args.len()).map(|index| args.text(index).len()).sum())?;
    out.write(|o| {
        (0..args.len()).for_each(|index| o.push_str(args.text(index)));
        Ok(())
    })
}

fn concat(args: &Args<'_>, out: &mut Output) -> RowResult {
    out.write(|o| {
        let start = o.len();
        for index in (0..args.len()).filter(|&index| !args.is_null(index)) {
            write_value(args.value(index), o)?;
            check_size(o.len() - start)?;
        }
        Ok(())
    })
}

fn concat_ws(args: &Args<'_>, out: &mut Output) -> RowResult {
    if args.is_null(0) {
        out.push_null();
        return Ok(());
    }
    out.write(|o| {
        let start = o.len();
        let values = (1..args.len()).filter(|&index| !args.is_null(index));
        for (number, index) in values.enumerate() {
            if number > 0 {
                o.push_str(args.text(0));
            }
            write_value(args.value(index), o)?;
            check_size(o.len() - start)?;
        }
        Ok(())
    })
}

/// Appends the text that a cast of the value gives.
pub(super) fn write_value(value: ValueRef<'_>, out: &mut String) -> RowResult {
    // Writing to a String does not fail.
    let _ = match value {
        ValueRef::Null => Ok(()),
        ValueRef::Bool(value) => write!(out, "{value}"),
        ValueRef::Int(value) => write!(out, "{value}"),
        ValueRef::Long(value) => write!(out, "{value}"),
        ValueRef::Float(value) => {
            text::write_float(value, out);
            Ok(())
        }
        ValueRef::Double(value) => {
            text::write_double(value, out);
            Ok(())
        }
        ValueRef::Timestamp(value) => {
            text::write_timestamp(value, out);
            Ok(())
        }
        ValueRef::String(value) | ValueRef::Json(value) => {
            out.push_str(value);
            Ok(())
        }
        ValueRef::Bytes(value) => {
            let text = std::str::from_utf8(value).map_err(|_| FunctionError::invalid("the bytes are not UTF-8"))?;
            out.push_str(text);
            Ok(())
        }
    };
    Ok(())
}

fn strpos(args: &Args<'_>, out: &mut Output) -> RowResult {
    let text = args.text(0);
    let position = text.find(args.text(1)).map_or(0, |at| text[..at].chars().count() as i64 + 1);
    out.long(position)
}

fn split_part(args: &Args<'_>, out: &mut Output) -> RowResult {
    let (text, separator, number) = (args.text(0), args.text(1), args.long(2));
    let index = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX).checked_sub(1);
    let index = index.ok_or_else(|| FunctionError::invalid("parts are counted from 1, or from -1 at the end"))?;
    let part = if separator.is_empty() {
        (index == 0).then_some(text)
    } else if number > 0 {
        text.split(separator).nth(index)
    } else {
        text.rsplit(separator).nth(index)
    };
    out.text(part.unwrap_or_default())
}

fn repeat(args: &Args<'_>, out: &mut Output) -> RowResult {
    let (text, times) = (args.text(0), usize::try_from(args.long(1)).unwrap_or(0));
    check_size(text.len().saturating_mul(times))?;
    out.write(|o| {
        if !text.is_empty() {
            (0..times).for_each(|_| o.push_str(text));
        }
        Ok(())
    })
}

fn pad(args: &Args<'_>, out: &mut Output, on_left: bool) -> RowResult {
    let text = args.text(0);
    let fill = if args.len() > 2 { args.text(2) } else { " " };
    let length = usize::try_from(args.long(1)).unwrap_or(0);
    let missing = length.saturating_sub(text.chars().count());
    if missing == 0 {
        return out.text(&text[..offset(text, args.long(1))]);
    }
    if fill.is_empty() {
        return Err(FunctionError::invalid("the fill is empty"));
    }
    check_size(missing.saturating_add(text.len()))?;
    out.write(|o| {
        let start = o.len();
        if !on_left {
            o.push_str(text);
        }
        o.extend(fill.chars().cycle().take(missing));
        if on_left {
            o.push_str(text);
        }
        check_size(o.len() - start)
    })
}

fn chr(args: &Args<'_>, out: &mut Output) -> RowResult {
    let code = args.long(0);
    let character = u32::try_from(code).ok().and_then(char::from_u32);
    let character = character.ok_or_else(|| FunctionError::invalid(format!("{code} is no Unicode code point")))?;
    out.text(character.encode_utf8(&mut [0; 4]))
}
