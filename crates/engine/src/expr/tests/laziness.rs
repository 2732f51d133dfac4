//! An error where no row goes is no error.

use super::check;

#[test]
fn only_the_branch_a_row_takes_is_evaluated() {
    check("CASE WHEN i <> 0 THEN 1 / i ELSE 0 END", ["0", "0", "0"]);
    check("CASE i WHEN 0 THEN -1 ELSE 10 / i END", ["1", "-1", "NULL"]);
    check("CASE WHEN i = 0 THEN 0 WHEN 10 / i > 0 THEN 1 END", ["1", "0", "NULL"]);
    check("IF(i = 0, 0, 10 / i)", ["1", "0", "NULL"]);
    check("COALESCE(s, CAST(1 / i AS STRING))", ["'BTC'", "'12'", "NULL"]);
    check("COALESCE(i, CAST(s AS INT))", ["7", "0", "NULL"]);
    check("i <> 0 AND 10 / i > 0", ["TRUE", "FALSE", "NULL"]);
    check("i = 0 OR 10 / i > 0", ["TRUE", "TRUE", "NULL"]);
    check(
        "b AND CAST(s AS INT) > 1",
        ["error: cannot cast 'BTC' to INT: it is not an integer (t.sql:1:28)", "FALSE", "NULL"],
    );
}

#[test]
fn errors_inside_stay_errors_whatever_is_done_with_them() {
    let division = "error: division by zero (t.sql:1:29)";
    check("(0 + 1 / i) IS NULL", ["FALSE", "error: division by zero (t.sql:1:27)", "TRUE"]);
    check("IF(NOT(1 / i = 1), 1, 2)", ["1", division, "2"]);
    check(
        "TRY_CAST(CAST(s AS INT) AS STRING)",
        ["error: cannot cast 'BTC' to INT: it is not an integer (t.sql:1:31)", "'12'", "NULL"],
    );
}

#[test]
fn nested_choices_reach_the_right_rows() {
    check(
        "CASE WHEN b THEN CASE WHEN i = 7 THEN s ELSE 'x' END ELSE CASE WHEN i = 0 THEN T || 'e' ELSE 'n' END END",
        ["'BTC'", "'e'", "'n'"],
    );
    check("COALESCE(IF(b, NULL, s), IF(i = 7, T, NULL), 'none')", ["'upper'", "'12'", "'none'"]);
}
