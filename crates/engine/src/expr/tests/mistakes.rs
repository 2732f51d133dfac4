//! What is wrong is said where it stands, all at once, with a way out.

use eventflux_core::{DataType, EventFluxContext};

use super::{Scope, check_diagnostic, check_mistake, compile_condition, compiled, parsed, parses, schema};
use crate::expr::compile_as;

#[test]
fn unknown_names_have_a_nearest_name() {
    check_mistake("1 + D", (1, 5), "unknown column `D` in stream `S` (did you mean `d`?)");
    check_mistake("price", (1, 1), "columns are `i`, `n`");
    check_mistake("S.nn", (1, 3), "unknown column `nn`");
    check_mistake("X.n", (1, 1), "neither the stream of this query nor one of its columns");
    check_mistake("\"BTC\" = s", (1, 1), "text is written in single quotes");
    check_mistake("UPER(s)", (1, 1), "unknown function UPER (did you mean UPPER?)");
    check_mistake("s.x", (1, 3), "`s` is a STRING, which has no member `x`");
    check_mistake("S", (1, 1), "is the stream itself");
    check_mistake("i +\n  nope", (2, 3), "unknown column `nope`");
}

#[test]
fn types_are_checked() {
    check_mistake("s + 1", (1, 1), "+ needs numbers, not a STRING");
    check_mistake("1 - b", (1, 5), "- needs numbers, not a BOOL");
    check_mistake("s = 1", (1, 5), "cannot compare a STRING with an INT (convert the text with CAST(... AS INT))");
    check_mistake("i = '1'", (1, 5), "cannot compare an INT with a STRING (use CAST(... AS INT))");
    check_mistake("j.s = 'BTC'", (1, 1), "JSON cannot be compared (compare its text, with ->>");
    check_mistake("b AND i", (1, 7), "AND needs a BOOL, not an INT");
    check_mistake("NOT s", (1, 5), "NOT needs a BOOL");
    check_mistake("i LIKE '1'", (1, 1), "LIKE needs a STRING, not an INT");
    check_mistake("s || i", (1, 6), "|| joins STRINGs, not an INT");
    check_mistake("CASE WHEN b THEN 1 ELSE 'x' END", (1, 25), "must have one type");
    check_mistake("COALESCE(s, 1)", (1, 13), "must have one type");
    check_mistake("UPPER(i)", (1, 7), "the argument `text` of UPPER must be STRING, not INT (use CAST(... AS STRING))");
    check_mistake("UPPER()", (1, 1), "no arguments were given to UPPER (UPPER(text STRING) → STRING)");
    check_mistake("LEFT(s, 1, 2)", (1, 1), "3 arguments were given");
    check_mistake("ABS(s)", (1, 5), "must be a number, not STRING");
    check_mistake("s->'x'", (1, 1), "PARSE_JSON");
    check_mistake("t + 1", (1, 1), "INTERVAL");
    check_mistake("i + INTERVAL '1' DAY", (1, 1), "moves a TIMESTAMP, not an INT");
    check_mistake("t + INTERVAL '1' MONTH", (1, 5), "DATE_ADD");
    check_mistake("GREATEST(j, j)", (1, 10), "of a type that has an order");
}

#[test]
fn constants_that_have_no_value_are_mistakes() {
    check_mistake("9223372036854775808", (1, 1), "too large for BIGINT");
    check_mistake("1e999", (1, 1), "out of range for DOUBLE");
    check_mistake("TIMESTAMP '2024-13-01'", (1, 1), "is not a date of the calendar");
    check_mistake("s LIKE 'a\\'", (1, 8), "must not end in its escape character");
    check_mistake("REGEXP_LIKE(s, '(')", (1, 16), "no regular expression: unclosed group");
    check_mistake("EXTRACT('hoor', t)", (1, 9), "did you mean HOUR?");
    check_mistake("FORMAT_TIMESTAMP(t, '%Q')", (1, 21), "unknown specifier");
    check_mistake("JSON_VALUE(j, '$[')", (1, 15), "is no path");
    check_mistake("JSON_OBJECT('a')", (1, 1), "given to JSON_OBJECT");
    check_mistake("JSON_OBJECT('a', 1, 'b')", (1, 21), "in pairs");
    check_mistake("ABS(-2147483648)", (1, 1), "out of range");
}

#[test]
fn what_is_not_supported_is_refused() {
    let mut reached = 0;
    for (expression, place, message) in [
        ("SUM(d)", (1, 1), "the aggregate function SUM is not supported"),
        ("COUNT(*)", (1, 1), "the aggregate function COUNT is not supported"),
        ("MIN(i)", (1, 1), "LEAST"),
        ("ROW_NUMBER()", (1, 1), "the window function ROW_NUMBER is not supported"),
        ("s COLLATE nocase = 'x'", (1, 1), "COLLATE is not supported"),
        ("t AT TIME ZONE 'UTC'", (1, 1), "AT TIME ZONE is not supported"),
        ("s SIMILAR TO 'x'", (1, 1), "SIMILAR TO is not supported"),
        ("(i, n)", (1, 2), "only behind IN"),
        ("s ~ 'x'", (1, 1), "REGEXP_LIKE"),
        ("i | 1", (1, 1), "the operator | is not supported"),
        ("j[0:1]", (1, 1), "slices are not supported"),
        ("j->s", (1, 4), "JSON_EXTRACT"),
        ("CEIL(t TO DAY)", (1, 1), "DATE_TRUNC"),
        ("INTERVAL '1' DAY", (1, 1), "stands only behind + or -"),
        ("LENGTH(DISTINCT s)", (1, 1), "DISTINCT"),
        ("LENGTH(text => s)", (1, 1), "without names"),
        ("a.b.c(s)", (1, 1), "one word"),
    ] {
        // The front end refuses some of them already.
        if !parses(expression) {
            continue;
        }
        check_mistake(expression, place, message);
        reached += 1;
    }
    assert!(reached >= 12, "{reached}");
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let expression = "nope + UPER(s) + CASE WHEN i THEN zzz ELSE s + 1 END";
    let mistakes = compiled(expression).unwrap_err();
    assert_eq!(mistakes.len(), 4, "{mistakes:#?}");
    for (mistake, (place, message)) in mistakes.iter().zip([
        ((1, 1), "unknown column `nope`"),
        ((1, 8), "unknown function UPER"),
        ((1, 35), "unknown column `zzz`"),
        ((1, 44), "+ needs numbers"),
    ]) {
        check_diagnostic(expression, mistake, place, message);
    }
}

#[test]
fn results_fit_their_column_or_are_refused() {
    let context = EventFluxContext::new();
    let schema = schema();
    let as_type = |expression: &str, target: DataType| {
        let (file, expr) = parsed(expression);
        let scope = Scope { file: &file, stream: "S", alias: Some("a"), schema: &schema, context: &context };
        compile_as(&expr, &scope, target).map(|compiled| compiled.data_type()).map_err(|mistakes| {
            format!("{} ({})", mistakes[0].message, mistakes[0].hint.as_deref().unwrap_or_default())
        })
    };
    assert_eq!(as_type("i", DataType::Double), Ok(DataType::Double));
    assert_eq!(as_type("NULL", DataType::Timestamp), Ok(DataType::Timestamp));
    assert_eq!(as_type("5", DataType::Float), Ok(DataType::Float));
    assert_eq!(as_type("5.0", DataType::Int), Ok(DataType::Int));
    assert_eq!(as_type("a.i", DataType::Long), Ok(DataType::Long));
    assert!(
        as_type("n", DataType::Int)
            .unwrap_err()
            .contains("a column of type INT cannot take a BIGINT (use CAST(... AS INT))")
    );
    assert!(as_type("j.s", DataType::String).unwrap_err().contains("use ->>"));
    assert!(as_type("s", DataType::Double).unwrap_err().contains("CAST(... AS DOUBLE)"));
}

#[test]
fn where_needs_a_condition() {
    let context = EventFluxContext::new();
    let schema = schema();
    let (file, expr) = parsed("i + 1");
    let scope = Scope { file: &file, stream: "S", alias: None, schema: &schema, context: &context };
    let mistakes = compile_condition(&expr, &scope).unwrap_err();
    check_diagnostic("i + 1", &mistakes[0], (1, 1), "WHERE needs a BOOL, not an INT");
}
