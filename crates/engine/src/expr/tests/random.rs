//! Random expressions over random rows.

use std::sync::Arc;

use eventflux_core::{EventBatch, EventFluxContext, Value};
use proptest::prelude::*;

use super::{Scope, compile, compile_condition, parsed, schema};
use crate::expr::{RowErrors, Rows};

/// The kinds of expressions that are made.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Number,
    Text,
    Truth,
    Time,
    Json,
}

const KINDS: [Kind; 5] = [Kind::Number, Kind::Text, Kind::Truth, Kind::Time, Kind::Json];

fn leaf(kind: Kind) -> BoxedStrategy<String> {
    let choices: &[&str] = match kind {
        Kind::Number => &["i", "n", "f", "d", "S.n", "0", "1", "-1", "2.5", "3000000000", "NULL"],
        Kind::Text => &["s", "T", "j->>'a'", "j->>0", "'12'", "'é%'", "' '"],
        Kind::Truth => {
            &["b", "NOT b", "TRUE", "x = X'61'", "i > 0", "s IS NULL", "d = n", "t > TIMESTAMP '2024-01-31'"]
        }
        Kind::Time => &["t", "TIMESTAMP '2024-01-31'", "t + INTERVAL '1' HOUR", "FROM_MILLIS(n)"],
        Kind::Json => &["j", "j.a", "j[0]", "j.a.a", "TO_JSON(s)", "JSON_OBJECT('a', i)"],
    };
    prop::sample::select(choices.to_vec()).prop_map(str::to_owned).boxed()
}

/// `$n`, `$s`, `$b`, `$t` and `$j` stand for sub-expressions.
fn templates(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Number => &[
            "($n + $n)",
            "($n - $n)",
            "($n * $n)",
            "($n / $n)",
            "($n % $n)",
            "(- $n)",
            "ABS($n)",
            "ROUND($n, 1)",
            "LENGTH($s)",
            "CAST($s AS INT)",
            "TRY_CAST($s AS DOUBLE)",
            "CAST($n AS BIGINT)",
            "TRY_CAST($n AS FLOAT)",
            "CAST($b AS INT)",
            "TO_MILLIS($t)",
            "EXTRACT(YEAR FROM $t)",
            "CASE WHEN $b THEN $n WHEN $b THEN $n ELSE $n END",
            "CASE $n WHEN $n THEN $n END",
            "COALESCE($n, $n)",
            "NULLIF($n, $n)",
            "IF($b, $n, $n)",
            "GREATEST($n, $n)",
            "MOD($n, $n)",
            "TRY_CAST($j AS BIGINT)",
            "STRPOS($s, $s)",
            "($t - $t)",
        ],
        Kind::Text => &[
            "($s || $s)",
            "UPPER($s)",
            "TRIM($s)",
            "REVERSE($s)",
            "SUBSTRING($s, LENGTH($s), 2)",
            "LEFT($s, -1)",
            "REPLACE($s, $s, $s)",
            "CONCAT($n, $s, $b, $t)",
            "CAST($n AS STRING)",
            "CAST($t AS STRING)",
            "CAST(x AS STRING)",
            "TRY_CAST(x AS STRING)",
            "CASE WHEN $b THEN $s ELSE $s END",
            "COALESCE($s, $s, 'z')",
            "NULLIF($s, $s)",
            "MD5($s)",
            "SPLIT_PART($s, $s, 1)",
            "LPAD($s, 3, $s)",
            "JSON_VALUE($j, '$.a')",
            "REGEXP_REPLACE($s, '[a1]', $s)",
            "FORMAT_TIMESTAMP($t, '%Y')",
            "CAST($j AS STRING)",
        ],
        Kind::Truth => &[
            "($n = $n)",
            "($n < $n)",
            "($s >= $s)",
            "($t <> $t)",
            "($b AND $b)",
            "($b OR $b)",
            "($b AND $b AND $b)",
            "(NOT $b)",
            "($n BETWEEN $n AND $n)",
            "($n NOT IN ($n, $n))",
            "($s IN ('12', 'a', $s))",
            "($n IN (1, 2))",
            "($s LIKE $s)",
            "($s ILIKE 'a%')",
            "($n IS NULL)",
            "($b IS NOT TRUE)",
            "($b IS UNKNOWN)",
            "($n IS DISTINCT FROM $n)",
            "($s IS NOT DISTINCT FROM $s)",
            "($b = $b)",
            "CAST($s AS BOOL)",
            "TRY_CAST($s AS BOOL)",
            "REGEXP_LIKE($s, $s)",
            "IF($b, $b, $b)",
            "COALESCE($b, $b)",
        ],
        Kind::Time => &[
            "($t - INTERVAL '2 days')",
            "DATE_TRUNC('month', $t)",
            "DATE_ADD('month', $n, $t)",
            "CAST($s AS TIMESTAMP)",
            "TRY_CAST($s AS TIMESTAMP)",
            "COALESCE($t, $t)",
            "CASE WHEN $b THEN $t ELSE $t END",
            "LEAST($t, $t)",
        ],
        Kind::Json => &[
            "($j->'a')",
            "($j->0)",
            "TO_JSON($n)",
            "TO_JSON($t)",
            "JSON_OBJECT('a', $j, 'b', $s)",
            "CAST($n AS JSON)",
            "TRY_CAST($s AS JSON)",
            "JSON_EXTRACT($j, $s)",
            "COALESCE($j, $j)",
            "JSON_KEYS($j)",
        ],
    }
}

fn expression_of(kind: Kind, depth: u32) -> BoxedStrategy<String> {
    if depth == 0 {
        return leaf(kind);
    }
    let inner: Vec<BoxedStrategy<Vec<String>>> =
        KINDS.iter().map(|kind| prop::collection::vec(expression_of(*kind, depth - 1), 4).boxed()).collect();
    let composed = (prop::sample::select(templates(kind).to_vec()), inner).prop_map(|(template, inner)| {
        let mut expression = template.to_owned();
        for (mark, inner) in ["$n", "$s", "$b", "$t", "$j"].iter().zip(inner) {
            for inner in inner {
                // Not the dollar sign of a path, which stands behind a quote.
                expression = expression.replacen(mark, &inner.replace('$', "\u{1}"), 1);
            }
        }
        expression.replace('\u{1}', "$")
    });
    prop_oneof![1 => leaf(kind), 4 => composed].boxed()
}

fn expression() -> BoxedStrategy<String> {
    prop::sample::select(KINDS.to_vec()).prop_flat_map(|kind| expression_of(kind, 3)).boxed()
}

fn row() -> impl Strategy<Value = Vec<Value>> {
    let text = || prop_oneof![Just(String::new()), "[-0-9.e]{1,4}", "[a-cé%_\\\\]{1,5}", Just("true".to_owned())];
    let long = prop_oneof![Just(0), Just(i64::MAX), Just(i64::MIN), -5_i64..5, any::<i64>()];
    let json = prop::sample::select(vec!["null", "1", "\"12\"", "[1,\"a\"]", "{\"a\":\"1\"}", "{\"a\":{\"a\":2}}"]);
    let reals = prop_oneof![Just(0.0), Just(1e308), Just(-2.5), prop::num::f64::ANY];
    (
        prop_oneof![Just(0), Just(i32::MAX), Just(i32::MIN), -5_i32..5],
        long.clone(),
        prop_oneof![Just(0.0_f32), Just(f32::MAX), prop::num::f32::ANY],
        reals,
        text(),
        any::<bool>(),
        prop::collection::vec(any::<u8>(), 0..3),
        long,
        json,
        (text(), any::<[bool; 10]>()),
    )
        .prop_map(|(i, n, f, d, s, b, x, t, j, (upper, nulls))| {
            let values = [
                Value::Int(i),
                Value::Long(n),
                Value::Float(f),
                Value::Double(d),
                s.into(),
                Value::Bool(b),
                Value::Bytes(x),
                Value::Timestamp(t),
                Value::Json(j.to_owned()),
                upper.into(),
            ];
            values.into_iter().zip(nulls).map(|(value, null)| if null { Value::Null } else { value }).collect()
        })
}

fn describe(column: &eventflux_core::Column) -> Vec<String> {
    (0..column.len()).map(|row| format!("{:?}", column.value(row))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn nothing_panics_and_some_rows_are_evaluated_like_all_rows(
        expression in expression(),
        rows in prop::collection::vec(row(), 1..8),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let schema = schema();
        let mut batch = EventBatch::new(schema.clone());
        for (position, row) in rows.iter().enumerate() {
            batch.push_row(row, position as u64).unwrap();
        }
        let picks: Vec<usize> = picks.iter().map(|pick| pick.index(rows.len())).collect();
        let mut gathered = EventBatch::new(schema.clone());
        gathered.extend_from(&batch, &picks);

        let (file, expr) = parsed(&expression);
        let context = EventFluxContext::new();
        let scope = Scope { file: &file, stream: "S", alias: None, schema: &Arc::clone(&schema), context: &context };
        let Ok(compiled) = compile(&expr, &scope) else {
            return Ok(());
        };
        let (mut some_errors, mut all_errors) = (RowErrors::new(), RowErrors::new());
        let some = compiled.evaluate(&batch, Rows::Some(&picks), &mut some_errors);
        let all = compiled.evaluate(&gathered, Rows::All(picks.len()), &mut all_errors);
        prop_assert_eq!(describe(&some), describe(&all));
        prop_assert_eq!(some.data_type(), compiled.data_type());
        for (position, row) in picks.iter().enumerate() {
            prop_assert_eq!(some_errors.contains(*row), all_errors.contains(position));
            prop_assert!(!all_errors.contains(position) || all.is_null(position));
        }

        let Ok(condition) = compile_condition(&expr, &scope) else {
            return Ok(());
        };
        let (mut errors, mut selected) = (RowErrors::new(), Vec::new());
        condition.select(&gathered, Rows::All(picks.len()), &mut errors, &mut selected);
        let expected: Vec<usize> = all
            .bools()
            .into_iter()
            .flatten()
            .enumerate()
            .filter(|(position, truth)| **truth && !all.is_null(*position))
            .map(|(position, _)| position)
            .collect();
        prop_assert_eq!(selected, expected);
        prop_assert!(errors.failures().len() <= all_errors.failures().len());
    }
}
