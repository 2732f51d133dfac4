//! What is accepted, and the tree it becomes.

use eventflux_core::DataType;

use super::document;
use crate::diagnostic::SourceFile;
use crate::sql::{AnnotationKind, Property, SelectItemKind, Spelling, parse};

fn pairs(properties: &[Property]) -> Vec<(&str, &str)> {
    properties.iter().map(|property| (property.key.as_str(), property.value.as_str())).collect()
}

#[test]
fn the_source_and_sink_of_the_websocket_design_parse() {
    let document = document(
        "@source(
    type='websocket',
    websocket.url='wss://stream.binance.com:9443/ws/btcusdt@trade',
    @map(type='json')
)
CREATE STREAM RawTrades (
    e STRING, s STRING, p STRING, q STRING, T BIGINT
);
@sink(
    type='websocket',
    websocket.url='wss://my-server.com/events',
    websocket.message.type='text',
    @map(type='json')
)
CREATE STREAM OutputEvents (symbol STRING, price DOUBLE, volume DOUBLE);
",
    );
    let [raw, output] = document.streams.as_slice() else { panic!() };
    assert_eq!(raw.name.name, "RawTrades");
    assert_eq!(raw.columns.len(), 5);
    assert_eq!((raw.columns[4].name.name.as_str(), raw.columns[4].data_type), ("T", DataType::Long));
    assert_eq!(raw.annotations[0].kind, AnnotationKind::Source);
    assert_eq!(raw.annotations[0].spelling, Spelling::Annotation);
    assert_eq!(
        pairs(&raw.annotations[0].properties),
        [("type", "websocket"), ("websocket.url", "wss://stream.binance.com:9443/ws/btcusdt@trade")]
    );
    assert_eq!(pairs(&raw.annotations[0].map.as_ref().unwrap().properties), [("type", "json")]);
    assert_eq!(output.annotations[0].kind, AnnotationKind::Sink);
    assert_eq!(output.annotations[0].properties[2].key, "websocket.message.type");
}

#[test]
fn keys_have_dots_dashes_digits_and_quotes_and_values_have_every_form() {
    let document = document(
        "@sink(type='a', websocket.headers.X-API-Key='it''s', websocket.headers.X-2nd.a_b=-1, \"quoted key\"=true,
         'other.key' = 1.5e3, mode=server-side, delay=10s, size=+7, error.log-level=warn, empty='', nested.map.type=2)
         CREATE STREAM S (a INT)",
    );
    assert_eq!(
        pairs(&document.streams[0].annotations[0].properties),
        [
            ("type", "a"),
            ("websocket.headers.X-API-Key", "it's"),
            ("websocket.headers.X-2nd.a_b", "-1"),
            ("quoted key", "true"),
            ("other.key", "1.5e3"),
            ("mode", "server-side"),
            ("delay", "10s"),
            ("size", "+7"),
            ("error.log-level", "warn"),
            ("empty", ""),
            ("nested.map.type", "2"),
        ]
    );
}

#[test]
fn property_spans_cover_keys_and_values_with_their_quotes() {
    let text = "-- é\n@source(\"a.b\"='ü', c=-1) CREATE STREAM S (x INT);";
    let file = SourceFile::new("f", text);
    let (document, _) = parse(&file);
    let annotation = &document.streams[0].annotations[0];
    assert_eq!(file.slice(annotation.span), "@source(\"a.b\"='ü', c=-1)");
    assert_eq!(file.slice(annotation.name_span), "@source");
    let texts: Vec<(&str, &str)> =
        annotation.properties.iter().map(|p| (file.slice(p.key_span), file.slice(p.value_span))).collect();
    assert_eq!(texts, [("\"a.b\"", "'ü'"), ("c", "-1")]);
    assert_eq!(file.slice(document.streams[0].columns[0].span), "x INT");
    assert_eq!(file.slice(document.streams[0].span), "@source(\"a.b\"='ü', c=-1) CREATE STREAM S (x INT)");
}

#[test]
fn property_values_do_not_appear_in_debug_output() {
    let document = document("@source(password='hunter2') CREATE STREAM S (a INT);");
    let debug = format!("{document:?}");
    assert!(debug.contains("password") && !debug.contains("hunter2"), "{debug}");
}

#[test]
fn a_stream_has_any_number_of_annotations_or_none() {
    let document = document(
        "@source(type='a') @SINK(type='b') @sink(type='c', @MAP(type='csv', csv.header=true))
         create stream S (a int);
         CREATE STREAM Plain (a INT)",
    );
    let kinds: Vec<AnnotationKind> = document.streams[0].annotations.iter().map(|a| a.kind).collect();
    assert_eq!(kinds, [AnnotationKind::Source, AnnotationKind::Sink, AnnotationKind::Sink]);
    assert!(document.streams[1].annotations.is_empty());
}

#[test]
fn with_says_the_same_as_an_annotation() {
    let document = document(
        "CREATE STREAM S (a INT) WITH (type='source', extension='websocket', format='json',
         \"websocket.url\"='ws://x', websocket.reconnect.delay.ms = 1000, json.path.a='$.data.a', \"jsonish\"=1);",
    );
    let annotation = &document.streams[0].annotations[0];
    assert_eq!(annotation.kind, AnnotationKind::Source);
    assert_eq!(annotation.spelling, Spelling::With);
    assert_eq!(
        pairs(&annotation.properties),
        [
            ("type", "websocket"),
            ("websocket.url", "ws://x"),
            ("websocket.reconnect.delay.ms", "1000"),
            ("jsonish", "1")
        ]
    );
    let map = annotation.map.as_ref().unwrap();
    assert_eq!(pairs(&map.properties), [("type", "json"), ("json.path.a", "$.data.a")]);
}

#[test]
fn format_keys_before_the_format_belong_to_the_map_as_well() {
    let document = document("CREATE STREAM S (a INT) WITH (csv.header=true, type='sink', format=csv);");
    let annotation = &document.streams[0].annotations[0];
    assert_eq!(annotation.kind, AnnotationKind::Sink);
    assert!(annotation.properties.is_empty());
    assert_eq!(pairs(&annotation.map.as_ref().unwrap().properties), [("type", "csv"), ("csv.header", "true")]);
}

#[test]
fn columns_have_every_type_and_names_differ_by_case() {
    let document = document(
        "CREATE STREAM S (t STRING, T INT, \"T \" bigint, l LONG, f FLOAT, d Double, b BOOL, c BOOLEAN, \"order\" BYTES,
         timestamp TIMESTAMP, json JSON, ü STRING, key STRING, value INT, date STRING, type STRING, check INT);",
    );
    let columns = &document.streams[0].columns;
    assert_eq!(columns.len(), 17);
    assert_eq!(columns[2].name.name, "T ");
    assert_eq!(columns[8].name.name, "order");
    assert_eq!(columns[9].data_type, DataType::Timestamp);
}

#[test]
fn both_forms_of_a_query_give_the_same() {
    let first = document("INSERT INTO Out SELECT a, b AS \"c d\" FROM S WHERE a > 1;");
    let second = document("select a, b as \"c d\" from S where a > 1 insert into Out;");
    for document in [&first, &second] {
        let query = &document.queries[0];
        assert_eq!((query.into.name.as_str(), query.from.name.as_str()), ("Out", "S"));
        assert_eq!(query.alias, None);
        assert_eq!(query.predicate.as_ref().unwrap().to_string(), "a > 1");
        let SelectItemKind::Expr { alias, .. } = &query.projection[1].kind else { panic!() };
        assert_eq!(alias.as_ref().unwrap().name, "c d");
    }
}

#[test]
fn wildcards_may_be_qualified_and_stand_among_expressions() {
    let document = document("INSERT INTO O SELECT *, x.*, x.a + 1 AS b, \"S\".* FROM S AS x;");
    let query = &document.queries[0];
    assert_eq!(query.alias.as_ref().unwrap().name, "x");
    let qualifiers: Vec<Option<&str>> = query
        .projection
        .iter()
        .filter_map(|item| match &item.kind {
            SelectItemKind::Wildcard { qualifier } => Some(qualifier.as_ref().map(|name| name.name.as_str())),
            SelectItemKind::Expr { .. } => None,
        })
        .collect();
    assert_eq!(qualifiers, [None, Some("x"), Some("S")]);
}

#[test]
fn expressions_parse_with_the_precedence_people_expect() {
    for (expression, expected) in [
        ("data->>'p' = 'x'", "(data->>'p') = 'x'"),
        ("data->>'p'::DOUBLE > 1", "((data->>'p')::DOUBLE) > 1"),
        ("data->'a'->>'b' || 'c'", "((data->'a')->>'b') || 'c'"),
        ("'n=' || a + 1", "'n=' || (a + 1)"),
        ("a || 'x' = b || 'y'", "(a || 'x') = (b || 'y')"),
        ("-data->>'p'::INT", "-((data->>'p')::INT)"),
        ("NOT a = 1 AND b OR c", "((NOT (a = 1)) AND b) OR c"),
        ("a + b * c - d", "(a + (b * c)) - d"),
        ("a BETWEEN 1 AND 2 AND b", "(a BETWEEN 1 AND 2) AND b"),
        ("a = 1 IS NULL", "(a = 1) IS NULL"),
        ("data.items[0].x::BIGINT", "(data.items[0].x)::BIGINT"),
        ("a LIKE 'x' || '%'", "a LIKE ('x' || '%')"),
    ] {
        let parse = |text: &str| {
            let document = document(&format!("INSERT INTO O SELECT * FROM S WHERE {text};"));
            parenthesised(document.queries[0].predicate.as_ref().unwrap())
        };
        assert_eq!(parse(expression), parse(expected), "{expression}");
    }
}

/// The expression with parentheses around every operator, and no others.
fn parenthesised(expr: &sqlparser::ast::Expr) -> String {
    use sqlparser::ast::Expr;
    let sub = parenthesised;
    match expr {
        Expr::Nested(inner) => sub(inner),
        Expr::BinaryOp { left, op, right } => format!("({} {op} {})", sub(left), sub(right)),
        Expr::UnaryOp { op, expr } => format!("({op} {})", sub(expr)),
        Expr::Cast { expr, data_type, .. } => format!("({} :: {data_type})", sub(expr)),
        Expr::IsNull(inner) => format!("({} IS NULL)", sub(inner)),
        Expr::Like { expr, pattern, .. } => format!("({} LIKE {})", sub(expr), sub(pattern)),
        Expr::Between { expr, low, high, .. } => format!("({} BETWEEN {} {})", sub(expr), sub(low), sub(high)),
        Expr::CompoundFieldAccess { root, .. } if matches!(**root, Expr::Nested(_)) => panic!("{expr}"),
        other => other.to_string(),
    }
}

#[test]
fn every_kind_of_expression_is_accepted() {
    for expression in [
        "a IS NULL",
        "a IS NOT NULL",
        "a IS DISTINCT FROM b",
        "a IS NOT DISTINCT FROM b",
        "a NOT BETWEEN 1 AND 2",
        "a NOT IN ('x', 'y')",
        "a LIKE 'x\\_%' ESCAPE '\\'",
        "a NOT ILIKE 'x'",
        "CASE WHEN a > 1 THEN 'x' WHEN b THEN 'y' ELSE 'z' END",
        "CASE a WHEN 1 THEN 2 END",
        "CAST(a AS BIGINT)",
        "TRY_CAST(data->>'p' AS DOUBLE)",
        "IF(a, b, c)",
        "COALESCE(a, NULLIF(b, ''), 'x')",
        "count(*)",
        "now()",
        "CURRENT_TIMESTAMP",
        "TRIM(BOTH ' ' FROM a)",
        "SUBSTRING(a FROM 1 FOR 2)",
        "SUBSTRING(a, 1, 2)",
        "POSITION('x' IN a)",
        "EXTRACT(HOUR FROM t)",
        "CEIL(a) + FLOOR(b)",
        "LEFT(a, 2) || RIGHT(a, 2)",
        "a % 2 = 0 AND a <> 3 AND a != 4",
        "\"order\" + x.\"group\"",
        "x.data.s.t",
        "limit + offset",
        "1.5e-3 + .5 + 0",
        "X'00FF'",
        "TRUE AND NOT FALSE OR NULL",
        "TIMESTAMP '2024-01-01 00:00:00'",
        "t + INTERVAL '5' MINUTE",
        "a /* b */ + -- c\n b",
    ] {
        let document = document(&format!("INSERT INTO O SELECT {expression} AS r FROM S AS x WHERE {expression};"));
        assert_eq!(document.queries[0].projection.len(), 1, "{expression}");
        assert!(document.queries[0].predicate.is_some(), "{expression}");
    }
}

#[test]
fn comments_empty_statements_and_a_missing_last_semicolon_are_no_mistakes() {
    assert!(document("").streams.is_empty());
    assert!(document(" ;; -- x\n /* y /* z */ */ ;").streams.is_empty());
    let document = document("\u{feff}/* a */CREATE/**/STREAM S(a INT) -- b");
    assert_eq!(document.streams.len(), 1);
}

#[test]
fn strings_over_several_lines_are_kept_even_when_they_look_like_statements() {
    let text = "@sink(template='\nINSERT INTO x\n@source(y)\n') CREATE STREAM S (a INT);\nCREATE STREAM T (a INT);";
    let document = document(text);
    assert_eq!(document.streams.len(), 2);
    assert_eq!(document.streams[0].annotations[0].properties[0].value, "\nINSERT INTO x\n@source(y)\n");
}

#[test]
fn a_list_of_many_alternatives_and_many_columns_is_accepted() {
    let list = (0..8000).map(|n| (-n).to_string()).collect::<Vec<_>>().join(", ");
    document(&format!("INSERT INTO O SELECT a FROM S WHERE a IN ({list});"));
    let columns = (0..3000).map(|n| format!("c{n} + 1 AS c{n}")).collect::<Vec<_>>().join(", ");
    assert_eq!(document(&format!("INSERT INTO O SELECT {columns} FROM S;")).queries[0].projection.len(), 3000);
}
