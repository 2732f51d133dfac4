//! No input aborts, hangs or takes much memory.

use std::thread;

use proptest::prelude::*;

use super::mistakes;
use crate::diagnostic::{SourceFile, render};
use crate::sql::{
    MAX_DIAGNOSTICS, MAX_EXPRESSION_DEPTH, MAX_FILE_BYTES, MAX_STATEMENT_BYTES, MAX_STATEMENTS, SelectItemKind, parse,
    span_of_expr,
};

/// The stack of a thread that nobody configured. Bytes.
const SMALL_STACK: usize = 2 * 1024 * 1024;

/// Does with a file everything that recurses over its trees.
fn exercise(text: &str) -> usize {
    let file = SourceFile::new("f", text);
    let (document, diagnostics) = parse(&file);
    for query in &document.queries {
        let items = query.projection.iter().filter_map(|item| match &item.kind {
            SelectItemKind::Expr { expr, .. } => Some(expr.as_ref()),
            SelectItemKind::Wildcard { .. } => None,
        });
        for expr in items.chain(&query.predicate) {
            let span = span_of_expr(&file, expr);
            assert!(query.span.start <= span.start && span.start < span.end && span.end <= query.span.end, "{text}");
            assert_eq!(expr, &expr.clone());
        }
    }
    drop(format!("{document}", document = format_args!("{document:?}")));
    for diagnostic in &diagnostics {
        let span = diagnostic.span.unwrap_or_default();
        assert!(span.start <= span.end && span.end <= file.text().len(), "{diagnostic:?}");
        assert!(file.text().is_char_boundary(span.start) && file.text().is_char_boundary(span.end), "{diagnostic:?}");
    }
    assert!(diagnostics.len() <= MAX_DIAGNOSTICS + 1);
    render(&file, &diagnostics, false);
    diagnostics.len()
}

fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(SMALL_STACK).spawn(work).unwrap();
    assert!(thread.join().is_ok());
}

/// Expressions that get deeper with `count`.
fn deep_expressions(count: usize) -> Vec<String> {
    let wrapped = |open: &str, close: &str| format!("{}1{}", open.repeat(count), close.repeat(count));
    let chained = |link: &str| format!("a{}", link.repeat(count));
    vec![
        wrapped("(", ")"),
        wrapped("f(", ")"),
        wrapped("a[", "]"),
        wrapped("CAST(", " AS INT)"),
        wrapped("CAST(", ")"),
        wrapped("TRIM(", ")"),
        wrapped("POSITION('a' IN ", ")"),
        wrapped("CASE WHEN ", " THEN 1 END"),
        wrapped("CASE ", " WHEN 1 THEN 2 END"),
        wrapped("CASE ", ""),
        wrapped("a IN (", ")"),
        wrapped("a = ANY(", ")"),
        wrapped("NOT ", ""),
        wrapped("- ", ""),
        wrapped("+ - ~ ", ""),
        wrapped("NOT - ", ""),
        wrapped("INTERVAL ", ""),
        wrapped("x -> ", ""),
        wrapped("[", "]"),
        wrapped("ARRAY[", "]"),
        wrapped("IF(current_time(", "))"),
        wrapped("a.f(", ")"),
        wrapped("(a).", ""),
        wrapped("DATE ", ""),
        wrapped("f(a => ", ")"),
        wrapped("((a, ", "))"),
        chained("+1"),
        chained(" || 'x'"),
        chained(" AND b"),
        chained(" OR b = 1"),
        chained("::INT"),
        chained("::INT[]"),
        chained("[]"),
        chained("[0]"),
        chained(".b"),
        chained("->'b'"),
        chained(" BETWEEN b AND c"),
        chained(" IS NULL"),
        chained(" LIKE b"),
        chained(" IN (1)"),
        chained(" COLLATE b"),
        chained(" AT TIME ZONE 'x'"),
        chained(" IS DISTINCT FROM b"),
        chained(":b"),
        chained(" NOT"),
        chained("-case"),
        chained(" b"),
        chained("(b)"),
        chained("!"),
        format!("a::{}INT{}", "ARRAY<".repeat(count), ">".repeat(count)),
        format!("a::{}INT{}", "STRUCT(b ".repeat(count), ")".repeat(count)),
        format!("a::INT{}", "[]".repeat(count)),
        format!("CAST(a AS {}INT{})", "Nullable(".repeat(count), ")".repeat(count)),
        format!("{}a BETWEEN {}1 AND {}2", "NOT ".repeat(count), "-".repeat(count), "(".repeat(count)),
    ]
}

#[test]
fn no_deep_expression_aborts_on_a_small_stack() {
    on_a_small_stack(|| {
        for count in [1, 20, 50, 80, 100, 120, 126, 127, 128, 200, 254, 255, 256, 257, 300, 1_000, 4_000] {
            for expression in deep_expressions(count) {
                exercise(&format!("INSERT INTO O SELECT {expression} AS r FROM S WHERE {expression};"));
            }
        }
    });
}

#[test]
fn an_expression_may_be_as_deep_as_the_limit_and_no_deeper() {
    on_a_small_stack(|| {
        let query = |count: usize| format!("INSERT INTO O SELECT a FROM S WHERE a{};", "+1".repeat(count));
        assert_eq!(mistakes(&query(MAX_EXPRESSION_DEPTH)), [] as [String; 0]);
        assert_eq!(
            mistakes(&query(MAX_EXPRESSION_DEPTH + 1)),
            ["1:37 this expression is too deep: more than 256 operators and brackets"]
        );
    });
}

#[test]
fn deep_brackets_anywhere_else_do_not_abort() {
    on_a_small_stack(|| {
        let open = "(".repeat(30_000);
        let balanced = format!("{open}{}", ")".repeat(30_000));
        for text in [
            open.clone(),
            balanced.clone(),
            format!("@source{open}"),
            format!("@source(a={balanced}) CREATE STREAM S (a INT)"),
            format!("@source({}1{})", "@map(".repeat(10_000), ")".repeat(10_000)),
            format!("CREATE STREAM S {balanced}"),
            format!("CREATE STREAM S (a {balanced})"),
            format!("CREATE STREAM S (a INT{balanced})"),
            format!("INSERT INTO O SELECT a FROM {balanced}"),
            format!("INSERT INTO O SELECT a FROM S GROUP BY {balanced}"),
            format!("INSERT INTO O SELECT a FROM S {}", "UNION ALL SELECT a FROM S ".repeat(2_000)),
            "/*".repeat(100_000),
            "@source ".repeat(8_000),
            "SELECT ".repeat(9_000),
        ] {
            assert!(exercise(&text) > 0, "{}", &text[..60]);
        }
    });
}

#[test]
fn files_statements_and_diagnostics_are_bounded() {
    assert_eq!(mistakes(&" ".repeat(MAX_FILE_BYTES)), [] as [String; 0]);
    assert_eq!(mistakes(&" ".repeat(MAX_FILE_BYTES + 1)), ["1:1 this file is larger than 1024 KiB"]);

    let large = format!("@source(a='{}') CREATE STREAM S (a INT);", "x".repeat(MAX_STATEMENT_BYTES));
    assert_eq!(mistakes(&format!("{large} CREATE STREAM T (a FOO);")).len(), 2);

    let statement = "INSERT INTO O SELECT a FROM S;\n";
    assert_eq!(mistakes(&statement.repeat(MAX_STATEMENTS)), [] as [String; 0]);
    assert_eq!(mistakes(&statement.repeat(MAX_STATEMENTS + 1)), ["10001:1 this file has more than 10000 statements"]);

    let found = mistakes(&"DROP x;\n".repeat(1_000));
    assert_eq!(found.len(), MAX_DIAGNOSTICS + 1);
    assert!(found[MAX_DIAGNOSTICS].ends_with("there are too many mistakes to go on from here"));
}

#[test]
fn files_made_to_be_slow_are_not() {
    for text in [
        "@source /*\n".repeat(80_000),
        "INSERT INTO '\n".repeat(70_000),
        "CREATE STREAM S (a INT\n".repeat(40_000),
        "a,".repeat(500_000),
        ";".repeat(1_000_000),
        "x ".repeat(500_000),
        format!("INSERT INTO O SELECT {} FROM S", "a,".repeat(30_000)),
        format!("CREATE STREAM S ({})", "a INT,".repeat(10_000)),
        format!("@source({})", "a=1,".repeat(15_000)),
        format!("INSERT INTO O SELECT a FROM S WHERE {}", "x LIMIT ".repeat(8_000)),
        format!("INSERT INTO O SELECT {} FROM S", "é".repeat(30_000)),
    ] {
        exercise(&text);
    }
}

/// The vocabulary of the grammar.
const WORDS: [&str; 78] = [
    "@source(",
    "@sink(",
    "@map(",
    "@",
    "CREATE",
    "STREAM",
    "WITH",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ";",
    ".",
    "=",
    "'a'",
    "'",
    "\"b\"",
    "\"",
    "a",
    "S",
    "INT",
    "STRING",
    "FOO",
    "1",
    "1.5",
    "-",
    "--",
    "/*",
    "*/",
    "INSERT",
    "INTO",
    "SELECT",
    "FROM",
    "WHERE",
    "AS",
    "*",
    "+",
    "/",
    "%",
    "AND",
    "OR",
    "NOT",
    "IS",
    "NULL",
    "BETWEEN",
    "IN",
    "LIKE",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "CAST(",
    "::",
    "->",
    "->>",
    "||",
    "type",
    "format",
    "extension",
    "\n",
    "\r\n",
    "\t",
    "GROUP",
    "BY",
    "DISTINCT",
    "JOIN",
    "OVER",
    "LIMIT",
    "UNION",
    "INTERVAL",
    "é",
    "$1",
    "<",
    ">=",
];

/// Files without a mistake, to be damaged.
const VALID: [&str; 3] = [
    "@source(type='websocket', websocket.url='ws://é', @map(type='json', json.path.p='$.d.p'))\nCREATE STREAM S (a STRING, \"T\" BIGINT);\n\
     INSERT INTO O SELECT a, CAST(\"T\" AS DOUBLE) / 2 AS t FROM S WHERE a LIKE 'x%' AND \"T\" BETWEEN 1 AND 2;\n",
    "CREATE STREAM S (a JSON) WITH (type='sink', extension='log', format='csv', csv.header=true);\n\
     SELECT a->'b'->>'c' AS c, CASE WHEN a.x[0] IS NULL THEN 'ü' ELSE a::STRING END AS d FROM S AS s WHERE NOT (a = 1 OR -a > 2)\nINSERT INTO P;\n",
    "-- note\n@sink(type='log') /* two */ @sink(type='file', path='x''y') CREATE STREAM T (a INT, b TIMESTAMP)\n;INSERT INTO T SELECT * FROM S",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn soup_of_our_words_never_panics(words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..60), glue in "[ \n]?") {
        exercise(&words.join(&glue));
    }

    #[test]
    fn soup_in_an_expression_never_panics(words in prop::collection::vec(prop::sample::select(&WORDS[21..]), 0..40)) {
        exercise(&format!("INSERT INTO O SELECT {} FROM S", words.join(" ")));
    }

    #[test]
    fn any_text_never_panics(text in "\\PC{0,200}") {
        exercise(&text);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        exercise(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn damaged_files_never_panic(
        valid in prop::sample::select(&VALID[..]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, prop::sample::select(&WORDS[..])), 1..5),
    ) {
        let mut characters: Vec<char> = valid.chars().collect();
        for (place, removed, inserted) in damage {
            let start = place.index(characters.len() + 1);
            let end = (start + removed).min(characters.len());
            characters.splice(start..end, inserted.chars());
        }
        exercise(&characters.into_iter().collect::<String>());
    }

    #[test]
    fn undamaged_files_have_no_mistakes_however_they_are_spaced(valid in prop::sample::select(&VALID[..]), space in "[ \t\r\n]{1,3}") {
        let text = valid.replace("\n", "\n ").replace(", ", &format!(",{space}"));
        prop_assert_eq!(mistakes(&text), [] as [String; 0]);
    }
}
