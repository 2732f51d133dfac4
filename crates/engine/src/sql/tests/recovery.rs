//! How reading goes on after a mistake.

use super::mistakes;
use crate::diagnostic::SourceFile;
use crate::sql::parse;

#[test]
fn ten_mistakes_in_ten_statements_are_ten_diagnostics() {
    let text = "CREATE STREAM A (a VARCHAR);
CREATE TABLE B (a INT);
INSERT INTO C SELECT DISTINCT a FROM A;
INSERT INTO D SELECT a, FROM A;
INSERT INTO E SELECT a FROM A GROUP BY a;
@sorce(type='x') CREATE STREAM F (a INT);
@source(type='x', type='y') CREATE STREAM G (a INT);
INSERT INTO H SELECT (a + 1 FROM A;
CREATE STREAM I ();
SELECT a FROM A;
CREATE STREAM Fine (a INT);
INSERT INTO Fine SELECT a FROM A;
";
    let lines: Vec<String> =
        mistakes(text).iter().map(|mistake| mistake.split(':').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(lines, ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
    let (document, _) = parse(&SourceFile::new("f", text));
    let names: Vec<(&str, bool)> = document.streams.iter().map(|s| (s.name.name.as_str(), s.complete)).collect();
    assert_eq!(names, [("A", false), ("F", false), ("G", false), ("I", false), ("Fine", true)]);
    assert_eq!(document.queries.len(), 1);
}

#[test]
fn all_bad_columns_and_properties_of_a_stream_are_reported() {
    let text = "@source(type='x', b=, type='y', c, @map(d=, type='json', e 1))
CREATE STREAM S (a FOO, b INT NOT NULL, c, d DECIMAL(3), b STRING, ok INT) WITH (x=1, x=2);";
    assert_eq!(
        mistakes(text),
        [
            "1:21 expected a value for the property `b`, found `,`",
            "1:23 the property `type` appears twice in `@source`",
            "1:34 expected `=` after the property `c`, found `,`",
            "1:43 expected a value for the property `d`, found `,`",
            "1:60 expected `=` after the property `e`, found `1`",
            "2:20 unknown type `FOO`",
            "2:31 NOT NULL on column `b` is not supported",
            "2:42 expected the type of column `c`, found `,`",
            "2:46 unknown type `DECIMAL(3)`",
            "2:58 column `b` appears twice in stream `S`",
            "2:76 `WITH` does not say whether it is a source or a sink",
            "2:76 this stream has annotations as well as WITH",
            "2:87 the property `x` appears twice in `WITH`",
        ]
    );
}

#[test]
fn all_bad_items_of_a_query_are_reported() {
    assert_eq!(
        mistakes("INSERT INTO O SELECT a +, CAST(b INT) AS b, ok, (SELECT 1) AS c FROM S WHERE a >;"),
        [
            "1:25 expected an expression, found `,`",
            "1:34 expected `AS`, found `INT`",
            "1:50 sub-queries are not supported",
            "1:81 expected an expression, found the end of the statement",
        ]
    );
}

#[test]
fn a_missing_semicolon_is_named_and_both_statements_are_read() {
    for text in [
        "CREATE STREAM A (a INT)\nCREATE STREAM B (a INT);",
        "CREATE STREAM A (a INT) CREATE STREAM B (a INT);",
        "CREATE STREAM A (a INT)\n@sink(a=1) CREATE STREAM B (a INT);",
    ] {
        assert_eq!(mistakes(text), ["1:24 expected `;` at the end of this statement"], "{text}");
        assert_eq!(parse(&SourceFile::new("f", text)).0.streams.len(), 2, "{text}");
    }
    for text in [
        "INSERT INTO O SELECT a FROM S\nINSERT INTO P SELECT a FROM S;",
        "INSERT INTO O SELECT a FROM S INSERT INTO P SELECT a FROM S;",
        "SELECT a FROM S INSERT INTO O\nINSERT INTO P SELECT a FROM S",
    ] {
        assert_eq!(mistakes(text), ["1:30 expected `;` at the end of this statement"], "{text}");
        assert_eq!(parse(&SourceFile::new("f", text)).0.queries.len(), 2, "{text}");
    }
}

#[test]
fn a_missing_parenthesis_costs_one_statement() {
    let text = "@source(type='x'\nCREATE STREAM A (a INT);\nCREATE STREAM B (a INT;\nCREATE STREAM C (a INT);";
    assert_eq!(mistakes(text), ["1:8 `(` is never closed", "3:17 `(` is never closed"]);
    let (document, _) = parse(&SourceFile::new("f", text));
    let names: Vec<&str> = document.streams.iter().map(|stream| stream.name.name.as_str()).collect();
    assert_eq!(names, ["A", "C"]);
}

#[test]
fn a_missing_quote_costs_one_statement() {
    let text = "@source(type='websocket, websocket.url='ws://x')
CREATE STREAM A (a INT);
@sink(type='log')
CREATE STREAM B (a INT);
INSERT INTO B SELECT a FROM A WHERE a = 'x;
INSERT INTO B SELECT a FROM A WHERE a = 'y';
CREATE STREAM C (a FOO);
";
    assert_eq!(
        mistakes(text),
        [
            "1:41 expected `,` or `)` in `@source`, found `ws`",
            "5:41 this string is not closed before the next statement begins",
            "7:20 unknown type `FOO`",
        ]
    );
    let (document, _) = parse(&SourceFile::new("f", text));
    assert_eq!(document.streams.len(), 3);
    assert_eq!(document.queries.len(), 1);
}

#[test]
fn what_is_never_closed_is_named_where_it_begins() {
    assert_eq!(
        mistakes("CREATE STREAM A (a INT);\nINSERT INTO B SELECT 'é FROM A;\n"),
        ["2:22 this string is not closed"]
    );
    assert_eq!(
        mistakes("/* a /* b */\nCREATE STREAM A (a FOO);"),
        ["1:1 this comment is not closed", "2:20 unknown type `FOO`"]
    );
    assert_eq!(mistakes("CREATE STREAM \"A (a INT);"), ["1:15 this quoted name is not closed"]);
}
