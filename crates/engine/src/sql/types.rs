//! The types of columns, and what to write instead of the types other systems have.

use eventflux_core::DataType;
use sqlparser::tokenizer::Token as SqlToken;

use super::cursor::Cursor;
use super::tokens::quoted;
use crate::diagnostic::{Diagnostic, Span, nearest};

/// Reads the type of the column `column`.
///
/// # Errors
/// When no type of ours comes next; the cursor then stands behind what was meant as the type.
pub(super) fn column_type(cursor: &mut Cursor<'_>, column: &str) -> Result<DataType, Diagnostic> {
    let expected = format!("the type of column {}", quoted(column));
    let Some(word) = cursor.peek().and_then(|token| token.word()) else {
        return Err(cursor.unexpected(&expected).with_hint(all_types()));
    };
    let start = cursor.here();
    cursor.position += 1;
    let data_type = DataType::from_name(word);
    let has_suffix = type_suffix(cursor);
    let span = start.to(cursor.previous());
    match data_type {
        Some(data_type) if !has_suffix => Ok(data_type),
        Some(DataType::Timestamp) => {
            Err(unknown(span, cursor, "use TIMESTAMP: microseconds in UTC, without precision or time zone"))
        }
        Some(DataType::Double) => Err(unknown(span, cursor, "use DOUBLE")),
        Some(data_type) => {
            Err(Diagnostic::error(span, format!("the type {data_type} takes no length, precision or brackets"))
                .with_hint(if cursor.file.slice(span).ends_with(']') {
                    "for arrays and objects use JSON".to_owned()
                } else {
                    format!("write {data_type} alone")
                }))
        }
        None => Err(unknown(span, cursor, &suggestion(word))),
    }
}

/// Passes what other systems write behind a type's name. Returns whether there was anything.
fn type_suffix(cursor: &mut Cursor<'_>) -> bool {
    const WORDS: [&[&str]; 7] = [
        &["WITH", "TIME", "ZONE"],
        &["WITH", "LOCAL", "TIME", "ZONE"],
        &["WITHOUT", "TIME", "ZONE"],
        &["PRECISION"],
        &["VARYING"],
        &["UNSIGNED"],
        &["SIGNED"],
    ];
    let start = cursor.position;
    loop {
        let before = cursor.position;
        for (open, close) in [
            (SqlToken::LParen, SqlToken::RParen),
            (SqlToken::LBracket, SqlToken::RBracket),
            (SqlToken::Lt, SqlToken::Gt),
        ] {
            if cursor.eat(&open) {
                cursor.skip_until(|token| token.is(&close));
                cursor.eat(&close);
            }
        }
        WORDS.iter().any(|words| cursor.eat_words(words));
        if cursor.position == before {
            return cursor.position > start;
        }
    }
}

fn unknown(span: Span, cursor: &Cursor<'_>, hint: &str) -> Diagnostic {
    Diagnostic::error(span, format!("unknown type {}", quoted(cursor.file.slice(span)))).with_hint(hint)
}

/// What to write instead of `word`.
fn suggestion(word: &str) -> String {
    let advice = match word.to_ascii_uppercase().as_str() {
        "VARCHAR" | "CHAR" | "CHARACTER" | "TEXT" | "NVARCHAR" | "NCHAR" | "CLOB" | "STR" | "UUID" | "ENUM" => {
            "use STRING"
        }
        "INTEGER" | "INT4" | "INT32" | "SMALLINT" | "TINYINT" | "INT2" | "MEDIUMINT" | "SHORT" => "use INT",
        "INT8" | "INT64" | "UINT32" | "SERIAL" | "BIGSERIAL" => "use BIGINT",
        "UINT64" | "HUGEINT" => "use BIGINT, or STRING for numbers past 9223372036854775807",
        "REAL" | "FLOAT4" | "FLOAT32" => "use FLOAT",
        "FLOAT8" | "FLOAT64" | "NUMBER" => "use DOUBLE",
        "NUMERIC" | "DECIMAL" | "DEC" | "MONEY" => "use DOUBLE, or STRING to keep every digit",
        "DATETIME" | "TIMESTAMPTZ" | "TIMESTAMP_LTZ" => "use TIMESTAMP",
        "DATE" | "TIME" => "use TIMESTAMP for a point in time, or STRING to keep the text",
        "BIT" => "use BOOL",
        "BLOB" | "BYTEA" | "BINARY" | "VARBINARY" => "use BYTES",
        "JSONB" | "OBJECT" | "MAP" | "STRUCT" | "ARRAY" | "ROW" | "LIST" | "VARIANT" | "ANY" => "use JSON",
        _ => return nearest_type(word),
    };
    advice.to_owned()
}

fn nearest_type(word: &str) -> String {
    let names = DataType::ALL.iter().map(|data_type| data_type.name()).chain(["LONG", "BOOLEAN"]);
    nearest(word, names).map_or_else(all_types, |name| format!("did you mean {name}?"))
}

fn all_types() -> String {
    let names: Vec<&str> = DataType::ALL.iter().map(|data_type| data_type.name()).collect();
    format!("types are {}", names.join(", "))
}
