//! Conversions.

use super::{check, check_constant, check_mistake};

#[test]
fn text_becomes_values_or_an_error_that_shows_it() {
    check("CAST(s AS INT)", ["error: cannot cast 'BTC' to INT: it is not an integer (t.sql:1:22)", "12", "NULL"]);
    check("TRY_CAST(s AS INT)", ["NULL", "12", "NULL"]);
    check("s::DOUBLE", ["error: cannot cast 'BTC' to DOUBLE: it is not a number (t.sql:1:22)", "12.0", "NULL"]);
    check_constant("CAST(' 1e3 ' AS DOUBLE)", "1000.0");
    check_constant("CAST('-5' AS BIGINT)", "-5");
    check_constant("CAST('0.1' AS FLOAT)", "0.1");
    check_constant("CAST('Yes' AS BOOL)", "TRUE");
    check_constant("CAST('2024-01-31T12:00:00+02:00' AS TIMESTAMP)", "TIMESTAMP '2024-01-31T10:00:00Z'");
    check_constant("CAST('{\"a\": 1}' AS JSON)", "JSON '{\"a\": 1}'");
    check_constant("CAST('é' AS BYTES)", "X'c3a9'");
    check_constant("TRY_CAST('2147483648' AS INT)", "NULL");
    check_constant("TRY_CAST('NaN' AS DOUBLE)", "NULL");
    check_constant("TRY_CAST('1e999' AS DOUBLE)", "NULL");
}

#[test]
fn numbers_are_never_silently_rounded() {
    check(
        "CAST(d AS INT)",
        [
            "error: cannot cast 2.25 to INT: it has a fraction; use ROUND, FLOOR, CEIL or TRUNC first (t.sql:1:22)",
            "0",
            "NULL",
        ],
    );
    check("CAST(ROUND(d) AS INT)", ["2", "0", "NULL"]);
    check("CAST(n AS INT)", ["error: cannot cast 3000000000 to INT: it is out of range (t.sql:1:22)", "-1", "NULL"]);
    check("CAST(i AS DOUBLE)", ["7.0", "0.0", "NULL"]);
    check("CAST(i AS BOOL)", ["TRUE", "FALSE", "NULL"]);
    check("CAST(b AS INT)", ["1", "0", "NULL"]);
    check_constant("TRY_CAST(1e19 AS BIGINT)", "NULL");
    check_constant("TRY_CAST(1e39 AS FLOAT)", "NULL");
}

#[test]
fn values_become_text() {
    check("CAST(d AS STRING)", ["'2.25'", "'0'", "NULL"]);
    check("CAST(f AS STRING)", ["'1.5'", "'0'", "NULL"]);
    check("CAST(b AS STRING)", ["'true'", "'false'", "NULL"]);
    check("CAST(t AS STRING)", ["'2024-01-31T10:00:00Z'", "'1970-01-01T00:00:00Z'", "NULL"]);
    check("CAST(x AS STRING)", ["error: cannot cast X'61ff' to STRING: it is not UTF-8 (t.sql:1:22)", "'ab'", "NULL"]);
    check("TRY_CAST(x AS STRING)", ["NULL", "'ab'", "NULL"]);
    check_constant("CAST(0.1 AS STRING)", "'0.1'");
    check_constant("CAST(1e16 AS STRING)", "'1e16'");
}

#[test]
fn json_scalars_are_unwrapped() {
    check("CAST(j.p AS DOUBLE)", ["1.5", "NULL", "NULL"]);
    check("CAST(j.q AS BIGINT)", ["2", "NULL", "NULL"]);
    check("CAST(j.ok AS BOOL)", ["TRUE", "NULL", "NULL"]);
    check("CAST(j.s AS STRING)", ["'BTC'", "NULL", "NULL"]);
    check("CAST(j.none AS STRING)", ["NULL", "NULL", "NULL"]);
    check(
        "CAST(j AS INT)",
        [
            "error: cannot cast '{\"s\":\"BTC\",\"p\":\"1.50\",\"q\":2,\"items\":[{\"i…' to INT: it is not an integer (t.sql:1:22)",
            "error: cannot cast '[1,2]' to INT: it is not an integer (t.sql:1:22)",
            "NULL",
        ],
    );
    check("CAST(i AS JSON)", ["JSON '7'", "JSON '0'", "NULL"]);
}

#[test]
fn impossible_casts_are_refused_where_they_stand() {
    check_mistake("1 + CAST(b AS TIMESTAMP)", (1, 5), "cannot cast BOOL to TIMESTAMP");
    check_mistake("CAST(x AS DOUBLE)", (1, 1), "cannot cast BYTES to DOUBLE");
    check_mistake("CAST(n AS TIMESTAMP)", (1, 1), "FROM_MILLIS");
    check_mistake("CAST(t AS BIGINT)", (1, 1), "TO_MILLIS");
    check_mistake("CAST(d AS BOOL)", (1, 1), "cannot cast DOUBLE to BOOL");
    check_mistake("CAST(s AS VARCHAR)", (1, 1), "use STRING");
    check_mistake("CAST(s AS DECIMAL(10, 2))", (1, 1), "use DOUBLE");
    check_mistake("CAST(s AS INTT)", (1, 1), "did you mean INT?");
    check_mistake("CAST('x' AS INT)", (1, 1), "cannot cast 'x' to INT: it is not an integer");
    check_mistake("i + 1 / 0", (1, 5), "division by zero");
}
