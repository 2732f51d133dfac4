//! Each operator, with its null logic and its errors.

use eventflux_core::{DataType, EventBatch, Value};

use super::{check, check_constant, compiled, results_of, schema, selected};

#[test]
fn arithmetic_widens_and_has_nulls() {
    check("i + 1", ["8", "1", "NULL"]);
    check("i + n", ["3000000007", "-1", "NULL"]);
    check("i - f", ["5.5", "0.0", "NULL"]);
    check("f * f", ["2.25", "0.0", "NULL"]);
    check("-i", ["-7", "0", "NULL"]);
    check("i % 4", ["3", "0", "NULL"]);
    check("i / 2", ["3", "0", "NULL"]);
    check("-i / 2", ["-3", "0", "NULL"]);
    check("-i % 4", ["-3", "0", "NULL"]);
    check("+d", ["2.25", "0.0", "NULL"]);
    check("i + NULL", ["NULL", "NULL", "NULL"]);
    for (expression, expected) in [
        ("i + i", DataType::Int),
        ("i + n", DataType::Long),
        ("f + f", DataType::Float),
        ("f + i", DataType::Double),
        ("f + d", DataType::Double),
        ("n + 1.5", DataType::Double),
        ("i + 3000000000", DataType::Long),
        ("NULL + 1", DataType::Int),
    ] {
        assert_eq!(compiled(expression).unwrap().data_type(), expected, "{expression}");
    }
}

#[test]
fn what_a_type_cannot_hold_is_an_error_of_the_row() {
    check("1 / i", ["0", "error: division by zero (t.sql:1:22)", "NULL"]);
    check("1 % i", ["1", "error: division by zero (t.sql:1:22)", "NULL"]);
    check("1.0 / d", ["0.4444444444444444", "error: division by zero (t.sql:1:22)", "NULL"]);
    check("d % 0.0 + 1", ["error: division by zero (t.sql:1:22)", "error: division by zero (t.sql:1:22)", "NULL"]);
    check("i + 2147483641", ["error: 7 + 2147483641 is out of range for INT (t.sql:1:22)", "2147483641", "NULL"]);
    check("n * n * 9", ["error: 9000000000000000000 * 9 is out of range for BIGINT (t.sql:1:22)", "9", "NULL"]);
    check("d * 1e308", ["error: 2.25 * 1e308 is out of range for DOUBLE (t.sql:1:22)", "0.0", "NULL"]);
    check(
        "-(i - 2147483647 - 8)",
        [
            "error: the negative value is out of range for INT (t.sql:1:22)",
            "error: -2147483647 - 8 is out of range for INT (t.sql:1:24)",
            "NULL",
        ],
    );
}

#[test]
fn literals_have_the_narrowest_type() {
    check_constant("2147483647", "2147483647");
    assert_eq!(compiled("2147483647").unwrap().data_type(), DataType::Int);
    assert_eq!(compiled("2147483648").unwrap().data_type(), DataType::Long);
    check_constant("-9223372036854775808", "-9223372036854775808");
    check_constant("1.5e3", "1500.0");
    check_constant(".5", "0.5");
    check_constant("'it''s'", "'it's'");
    check_constant("X'00fF'", "X'00ff'");
    check_constant("TIMESTAMP '2024-01-31 10:00'", "TIMESTAMP '2024-01-31T10:00:00Z'");
    check_constant("NULL", "NULL");
    check_constant("TRUE", "TRUE");
}

#[test]
fn comparisons_are_exact_across_number_types() {
    check("i = 7.0", ["TRUE", "FALSE", "NULL"]);
    check("i < 7.5", ["TRUE", "TRUE", "NULL"]);
    check("n > i", ["TRUE", "FALSE", "NULL"]);
    check("n <> d", ["TRUE", "TRUE", "NULL"]);
    check("f = d", ["FALSE", "TRUE", "NULL"]);
    check("d >= n", ["FALSE", "TRUE", "NULL"]);
    check_constant("9007199254740993 = 9007199254740992.0", "FALSE");
    check_constant("9007199254740993 > 9007199254740992.0", "TRUE");
    check("n = NULL", ["NULL", "NULL", "NULL"]);
}

#[test]
fn text_bytes_times_and_truth_compare() {
    check("s = 'BTC'", ["TRUE", "FALSE", "NULL"]);
    check("'BTC' <> s", ["FALSE", "TRUE", "NULL"]);
    check("s < T", ["TRUE", "FALSE", "NULL"]);
    check("s >= '12'", ["TRUE", "TRUE", "NULL"]);
    check("b = TRUE", ["TRUE", "FALSE", "NULL"]);
    check("b <> TRUE", ["FALSE", "TRUE", "NULL"]);
    check("FALSE = b", ["FALSE", "TRUE", "NULL"]);
    check("b > FALSE", ["TRUE", "FALSE", "NULL"]);
    check("x = X'61ff'", ["TRUE", "FALSE", "NULL"]);
    check("x < X'6162ff'", ["FALSE", "TRUE", "NULL"]);
    check("t >= TIMESTAMP '2024-01-31T10:00:00Z'", ["TRUE", "FALSE", "NULL"]);
}

#[test]
fn truth_has_three_values() {
    for (a, b, and, or) in [
        ("TRUE", "TRUE", "TRUE", "TRUE"),
        ("TRUE", "FALSE", "FALSE", "TRUE"),
        ("TRUE", "NULL", "NULL", "TRUE"),
        ("FALSE", "FALSE", "FALSE", "FALSE"),
        ("FALSE", "NULL", "FALSE", "NULL"),
        ("NULL", "NULL", "NULL", "NULL"),
    ] {
        for (a, b) in [(a, b), (b, a)] {
            check_constant(&format!("{a} AND {b}"), and);
            check_constant(&format!("{a} OR {b}"), or);
        }
    }
    check("b AND n > 0", ["TRUE", "FALSE", "NULL"]);
    check("b OR n < 0", ["TRUE", "TRUE", "NULL"]);
    check("NOT b", ["FALSE", "TRUE", "NULL"]);
    check("b AND NULL AND n > 0", ["NULL", "FALSE", "NULL"]);
    check("b IS TRUE", ["TRUE", "FALSE", "FALSE"]);
    check("b IS NOT TRUE", ["FALSE", "TRUE", "TRUE"]);
    check("b IS FALSE", ["FALSE", "TRUE", "FALSE"]);
    check("b IS NOT FALSE", ["TRUE", "FALSE", "TRUE"]);
    check("b IS UNKNOWN", ["FALSE", "FALSE", "TRUE"]);
    check("s IS NULL", ["FALSE", "FALSE", "TRUE"]);
    check("s IS NOT NULL", ["TRUE", "TRUE", "FALSE"]);
    check("i IS DISTINCT FROM 7", ["FALSE", "TRUE", "TRUE"]);
    check("i IS NOT DISTINCT FROM NULL", ["FALSE", "FALSE", "TRUE"]);
}

#[test]
fn between_and_in_have_nulls() {
    check("i BETWEEN 1 AND 7", ["TRUE", "FALSE", "NULL"]);
    check("i NOT BETWEEN 1 AND 7", ["FALSE", "TRUE", "NULL"]);
    check("i BETWEEN NULL AND 5", ["FALSE", "NULL", "NULL"]);
    check("i BETWEEN 0.5 AND n", ["TRUE", "FALSE", "NULL"]);
    check("i IN (1, 7)", ["TRUE", "FALSE", "NULL"]);
    check("i NOT IN (1, 7)", ["FALSE", "TRUE", "NULL"]);
    check("i IN (7, NULL)", ["TRUE", "NULL", "NULL"]);
    check("i NOT IN (7, NULL)", ["FALSE", "NULL", "NULL"]);
    check("i IN (7.5, 0.0)", ["FALSE", "TRUE", "NULL"]);
    check("n IN (3000000000, i)", ["TRUE", "FALSE", "NULL"]);
    check("s IN ('BTC', 'ETH')", ["TRUE", "FALSE", "NULL"]);
    check("b IN (TRUE)", ["TRUE", "FALSE", "NULL"]);
}

#[test]
fn like_matches_whole_texts() {
    check("s LIKE 'B%'", ["TRUE", "FALSE", "NULL"]);
    check("s NOT LIKE '%T%'", ["FALSE", "TRUE", "NULL"]);
    check("s LIKE '_2'", ["FALSE", "TRUE", "NULL"]);
    check("s ILIKE 'btc'", ["TRUE", "FALSE", "NULL"]);
    check("s LIKE s", ["TRUE", "TRUE", "NULL"]);
    check("s LIKE NULL", ["NULL", "NULL", "NULL"]);
    check_constant("'50%' LIKE '50!%' ESCAPE '!'", "TRUE");
    check_constant("'a\\' LIKE 'a\\' ESCAPE ''", "TRUE");
    check(
        "s LIKE s || '\\'",
        [
            "error: a LIKE pattern must not end in its escape character (t.sql:1:22)",
            "error: a LIKE pattern must not end in its escape character (t.sql:1:22)",
            "NULL",
        ],
    );
}

#[test]
fn text_is_joined() {
    check("s || '-' || T", ["'BTC-upper'", "'12-'", "NULL"]);
    check("s || NULL", ["NULL", "NULL", "NULL"]);
}

#[test]
fn time_moves_by_intervals_and_differs_in_microseconds() {
    check("t + INTERVAL '90' MINUTE", ["TIMESTAMP '2024-01-31T11:30:00Z'", "TIMESTAMP '1970-01-01T01:30:00Z'", "NULL"]);
    check(
        "t - INTERVAL '1 day 12 hours'",
        ["TIMESTAMP '2024-01-29T22:00:00Z'", "TIMESTAMP '1969-12-30T12:00:00Z'", "NULL"],
    );
    check("INTERVAL 2 SECOND + t", ["TIMESTAMP '2024-01-31T10:00:02Z'", "TIMESTAMP '1970-01-01T00:00:02Z'", "NULL"]);
    check("t - TIMESTAMP '1970-01-01'", ["1706695200000000", "0", "NULL"]);
    check(
        "t + INTERVAL '1.5' SECOND",
        ["TIMESTAMP '2024-01-31T10:00:01.500Z'", "TIMESTAMP '1970-01-01T00:00:01.500Z'", "NULL"],
    );
}

#[test]
fn json_is_reached_into() {
    check("j.s", ["JSON '\"BTC\"'", "NULL", "NULL"]);
    check("j->'s'", ["JSON '\"BTC\"'", "NULL", "NULL"]);
    check("j->>'s'", ["'BTC'", "NULL", "NULL"]);
    check("S.j.items[1].id", ["JSON '2'", "NULL", "NULL"]);
    check("j.items[-1]->>'id'", ["'2'", "NULL", "NULL"]);
    check("j[0]", ["NULL", "JSON '1'", "NULL"]);
    check("j->-1", ["NULL", "JSON '2'", "NULL"]);
    check("j->>'none'", ["NULL", "NULL", "NULL"]);
    check("j.none", ["JSON 'null'", "NULL", "NULL"]);
    check("j->>'items'", ["'[{\"id\":1},{\"id\":2}]'", "NULL", "NULL"]);
    check("j->>'p'::DOUBLE > 1", ["TRUE", "NULL", "NULL"]);
    check("j['s']", ["JSON '\"BTC\"'", "NULL", "NULL"]);
}

#[test]
fn names_are_case_sensitive_and_may_be_qualified() {
    check("T", ["'upper'", "''", "NULL"]);
    check("t", ["TIMESTAMP '2024-01-31T10:00:00Z'", "TIMESTAMP '1970-01-01T00:00:00Z'", "NULL"]);
    check("S.T", ["'upper'", "''", "NULL"]);
    check("\"T\"", ["'upper'", "''", "NULL"]);
}

#[test]
fn the_current_time_needs_no_parentheses() {
    check_constant("CURRENT_TIMESTAMP > TIMESTAMP '2024-01-01'", "TRUE");
    assert!(compiled("NOW()").unwrap().as_constant().is_none());
    assert!(compiled("TO_MILLIS(NOW())").unwrap().as_constant().is_none());
}

#[test]
fn what_an_expression_reads_is_known() {
    assert_eq!(compiled("IF(b, n, i) + n").unwrap().columns(), [0, 1, 5]);
    assert_eq!(compiled("S.n").unwrap().as_column(), Some(1));
    assert_eq!(compiled("1 + 1").unwrap().as_constant(), Some(Value::Int(2)));
    assert_eq!(compiled("j.a.b").unwrap().columns(), [8]);
}

#[test]
fn not_a_number_equals_itself_and_is_the_greatest() {
    let mut batch = EventBatch::new(schema());
    let mut row = vec![Value::Null; 10];
    row[2] = Value::Float(f32::NAN);
    row[3] = Value::Double(f64::NAN);
    batch.push_row(&row, 1).unwrap();
    for expression in
        ["d = d", "f = f", "d > 1e308", "d >= 9223372036854775807", "f > 1", "NOT d < d", "d = f", "d <> 1"]
    {
        assert_eq!(results_of(&compiled(expression).unwrap(), &batch), ["TRUE"], "{expression}");
    }
    assert!(results_of(&compiled("d + 1").unwrap(), &batch)[0].starts_with("error"));
}

#[test]
fn json_that_is_none_is_an_error_of_the_row_with_a_place() {
    let mut batch = EventBatch::new(schema());
    let mut row = vec![Value::Null; 10];
    row[8] = Value::Json("{\"a\"".to_owned());
    batch.push_row(&row, 1).unwrap();
    let expected = "error: the value is not valid JSON (t.sql:1:22)";
    assert_eq!(results_of(&compiled("j.a").unwrap(), &batch), [expected]);
    assert_eq!(results_of(&compiled("j->>'a'").unwrap(), &batch), [expected]);
}

#[test]
fn case_and_conditional_functions_choose() {
    check("CASE WHEN i > 5 THEN 'big' WHEN i = 0 THEN 'zero' END", ["'big'", "'zero'", "NULL"]);
    check("CASE i WHEN 7 THEN 1 WHEN 0 THEN 2.5 ELSE 3 END", ["1.0", "2.5", "3.0"]);
    check("CASE s WHEN T THEN s ELSE T END", ["'upper'", "''", "NULL"]);
    check("CASE NULL WHEN NULL THEN 1 ELSE 2 END", ["2", "2", "2"]);
    check("CASE WHEN b THEN NULL ELSE i END", ["NULL", "0", "NULL"]);
    check("IF(b, s, 'no')", ["'BTC'", "'no'", "'no'"]);
    check("COALESCE(i, -1)", ["7", "0", "-1"]);
    check("COALESCE(NULL, n, 5)", ["3000000000", "-1", "5"]);
    check("NULLIF(i, 0)", ["7", "NULL", "NULL"]);
    check("NULLIF(i, 0.5)", ["7", "0", "NULL"]);
    check("GREATEST(i, 3)", ["7", "3", "3"]);
    check("CONCAT(s, i, b)", ["'BTC7true'", "'120false'", "''"]);
    check("TYPEOF(i + n)", ["'BIGINT'", "'BIGINT'", "'BIGINT'"]);
}

#[test]
fn where_selects_only_what_is_true_and_has_no_error() {
    assert_eq!(selected("b"), (vec![0], 0));
    assert_eq!(selected("NOT b"), (vec![1], 0));
    assert_eq!(selected("b = FALSE"), (vec![1], 0));
    assert_eq!(selected("b IS NULL"), (vec![2], 0));
    assert_eq!(selected("i >= 0 AND s LIKE '%'"), (vec![0, 1], 0));
    assert_eq!(selected("i >= 0 AND b AND n > 5"), (vec![0], 0));
    assert_eq!(selected("i > 5 OR n < 0"), (vec![0, 1], 0));
    assert_eq!(selected("TRUE"), (vec![0, 1, 2], 0));
    assert_eq!(selected("NULL"), (vec![], 0));
    assert_eq!(selected("1 / i >= 0"), (vec![0], 1));
    assert_eq!(selected("(1 / i) IS NULL"), (vec![2], 1));
    assert_eq!(selected("1 / i IS NULL OR TRUE"), (vec![0, 2], 1));
    assert_eq!(selected("i <> 0 AND 1 / i >= 0"), (vec![0], 0));
}
