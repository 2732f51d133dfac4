//! What is refused: the place, the message, the hint.

use super::{hint, mistakes};

/// Each text has exactly this one mistake.
fn assert_each(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(mistakes(text), [*expected], "{text}");
    }
}

#[test]
fn clauses_a_query_cannot_have_are_refused_where_they_stand() {
    assert_each(&[
        ("INSERT INTO O SELECT DISTINCT a FROM S;", "1:22 SELECT DISTINCT is not supported"),
        ("INSERT INTO O SELECT ALL a FROM S;", "1:22 SELECT ALL is not supported"),
        ("INSERT INTO O SELECT TOP 5 a FROM S;", "1:22 SELECT TOP is not supported"),
        ("INSERT INTO O SELECT a FROM S GROUP BY a;", "1:31 GROUP BY is not supported"),
        ("INSERT INTO O SELECT a FROM S WHERE a > 1 GROUP BY a;", "1:43 GROUP BY is not supported"),
        ("INSERT INTO O SELECT a FROM S HAVING a > 1;", "1:31 HAVING is not supported"),
        ("INSERT INTO O SELECT a FROM S\nORDER BY a DESC;", "2:1 ORDER BY is not supported"),
        ("INSERT INTO O SELECT a FROM S WHERE a LIMIT 5;", "1:39 LIMIT is not supported"),
        ("INSERT INTO O SELECT a FROM S OFFSET 5;", "1:31 OFFSET is not supported"),
        ("INSERT INTO O SELECT a FROM S FETCH FIRST 5 ROWS ONLY;", "1:31 FETCH is not supported"),
        ("INSERT INTO O SELECT a FROM S WINDOW TUMBLING(5);", "1:31 WINDOW is not supported"),
        ("INSERT INTO O SELECT a FROM S PARTITION BY a;", "1:31 PARTITION BY is not supported"),
        ("INSERT INTO O SELECT a FROM S UNION ALL SELECT b FROM T;", "1:31 UNION is not supported"),
        ("INSERT INTO O SELECT a FROM S EXCEPT SELECT b FROM T;", "1:31 EXCEPT is not supported"),
        ("INSERT INTO O SELECT a FROM S INTERSECT SELECT b FROM T;", "1:31 INTERSECT is not supported"),
        ("INSERT INTO O SELECT a FROM S JOIN T ON S.a = T.a;", "1:31 joins are not supported"),
        ("INSERT INTO O SELECT a FROM S LEFT OUTER JOIN T ON S.a = T.a WHERE b;", "1:31 joins are not supported"),
        ("INSERT INTO O SELECT a FROM S AS s CROSS JOIN T;", "1:36 joins are not supported"),
        ("INSERT INTO O SELECT a FROM S, T WHERE a;", "1:30 reading several streams at once is not supported"),
        ("INSERT INTO O SELECT a FROM (SELECT b FROM S);", "1:29 sub-queries are not supported"),
        ("INSERT INTO O SELECT a FROM f(S);", "1:30 `f` is read like a function: table functions are not supported"),
        ("INSERT INTO O (a, b) SELECT a FROM S;", "1:15 a column list after INSERT INTO is not supported"),
        ("INSERT INTO O VALUES (1, 2);", "1:15 INSERT … VALUES is not supported"),
        ("WITH x AS (SELECT a FROM S) SELECT a FROM x INSERT INTO O;", "1:1 WITH before SELECT is not supported"),
        ("INSERT INTO O WITH x AS (SELECT a FROM S) SELECT a FROM x;", "1:15 WITH before SELECT is not supported"),
        ("INSERT INTO O SELECT a FROM S ON CONFLICT DO NOTHING;", "1:31 ON CONFLICT is not supported"),
        ("SELECT a FROM S;", "1:1 this SELECT has no target"),
        ("INSERT INTO O SELECT a FROM S INSERT INTO P;", "1:31 this query has more than one target"),
        ("INSERT INTO O SELECT a FROM S WHERE a WHERE b;", "1:39 this query has more than one WHERE"),
        ("INSERT INTO O SELECT * EXCEPT (a) FROM S;", "1:24 `EXCEPT` cannot follow `*`"),
        ("INSERT INTO O SELECT * AS x FROM S;", "1:24 `AS` cannot follow `*`"),
    ]);
}

#[test]
fn several_refused_clauses_of_one_query_are_all_reported() {
    assert_eq!(
        mistakes("INSERT INTO O SELECT a FROM S GROUP BY a HAVING count(*) > 1 ORDER BY a LIMIT 5;"),
        [
            "1:31 GROUP BY is not supported",
            "1:42 HAVING is not supported",
            "1:62 ORDER BY is not supported",
            "1:73 LIMIT is not supported",
        ]
    );
}

#[test]
fn expressions_refuse_queries_windows_and_what_is_not_sql_of_ours() {
    assert_each(&[
        ("INSERT INTO O SELECT (SELECT b FROM T) FROM S;", "1:23 sub-queries are not supported"),
        ("INSERT INTO O SELECT a FROM S WHERE a IN (SELECT b FROM T);", "1:43 sub-queries are not supported"),
        ("INSERT INTO O SELECT a FROM S WHERE EXISTS (SELECT 1);", "1:37 sub-queries are not supported"),
        ("INSERT INTO O SELECT a FROM S WHERE a = ANY (WITH x AS (1) 2);", "1:46 sub-queries are not supported"),
        ("INSERT INTO O SELECT sum(a) OVER (PARTITION BY b) FROM S;", "1:29 OVER is not supported"),
        ("INSERT INTO O SELECT sum(a) FILTER (WHERE b) FROM S;", "1:29 FILTER is not supported"),
        ("INSERT INTO O SELECT count(DISTINCT a) FROM S;", "1:28 DISTINCT inside a function is not supported"),
        ("INSERT INTO O SELECT $1 FROM S;", "1:22 `$1` is not supported: queries have no parameters"),
        ("INSERT INTO O SELECT ? FROM S;", "1:22 `?` is not supported: queries have no parameters"),
        ("INSERT INTO O SELECT N'x' FROM S;", "1:22 strings have no prefix"),
        ("INSERT INTO O SELECT `a` FROM S;", "1:22 names are not quoted with back quotes"),
        ("INSERT INTO O SELECT ‘a’ FROM S;", "1:22 this is a typographic quote"),
        ("INSERT INTO O SELECT {'a': 1} FROM S;", "1:22 unexpected `{` in an expression"),
        ("INSERT INTO O SELECT a # b FROM S;", "1:24 unexpected `#` in an expression"),
        ("INSERT INTO O SELECT 10L FROM S;", "1:22 the number `10L` has a letter behind it"),
    ]);
}

#[test]
fn mistakes_in_expressions_are_named_where_they_are() {
    assert_each(&[
        ("INSERT INTO O SELECT FROM S;", "1:22 expected an expression, found `FROM`"),
        ("INSERT INTO O SELECT a, FROM S;", "1:25 expected an expression, found `FROM`"),
        ("INSERT INTO O SELECT a,, b FROM S;", "1:24 expected an expression, found `,`"),
        ("INSERT INTO O SELECT a FROM S WHERE;", "1:36 expected an expression, found the end of the statement"),
        ("INSERT INTO O SELECT a + FROM S;", "1:26 expected an expression, found `FROM`"),
        ("INSERT INTO O SELECT a FROM S WHERE a = AND b;", "1:41 expected an expression, found `AND`"),
        ("INSERT INTO O SELECT a FROM S WHERE (a >);", "1:41 expected an expression, found `)`"),
        ("INSERT INTO O SELECT é + 'ü' b FROM S;", "1:30 unexpected `b` after an expression"),
        ("INSERT INTO O SELECT a 'b' FROM S;", "1:24 unexpected a string after an expression"),
        ("INSERT INTO O\r\nSELECT a,\r\n\tCAST(a INT)\r\nFROM S;", "3:9 expected `AS`, found `INT`"),
        ("INSERT INTO O SELECT CASE WHEN a THEN b FROM S;", "1:41 expected `END`, found `FROM`"),
        ("INSERT INTO O SELECT CASE a END FROM S;", "1:29 expected `WHEN`, found `END`"),
        ("INSERT INTO O SELECT a BETWEEN 1 OR 2 FROM S;", "1:34 expected `AND`, found `OR`"),
        ("INSERT INTO O SELECT f(a b) FROM S;", "1:26 expected `)`, found `b`"),
        ("INSERT INTO O SELECT a IN () FROM S;", "1:28 expected an expression, found `)`"),
        ("INSERT INTO O SELECT a AS FROM S;", "1:27 expected the name of the result column after AS, found `FROM`"),
        (
            "INSERT INTO O SELECT a AS 'b' FROM S;",
            "1:27 expected the name of the result column after AS, found a string",
        ),
        ("INSERT INTO O SELECT a AS b c FROM S;", "1:29 expected `,` or FROM, found `c`"),
        ("INSERT INTO O SELECT a WHERE b;", "1:24 expected FROM and the stream to read, found `WHERE`"),
        (
            "INSERT INTO O SELECT a FROM;",
            "1:28 expected the name of the stream to read, found the end of the statement",
        ),
        (
            "INSERT INTO O SELECT a FROM x.y;",
            "1:30 `x` is followed by a dot: the name of the stream to read has one part",
        ),
        ("INSERT INTO O SELECT a FROM S x;", "1:31 expected WHERE or `;`, found `x`"),
        ("INSERT INTO SELECT a FROM S;", "1:13 expected the name of the stream to insert into, found `SELECT`"),
        ("INSERT O SELECT a FROM S;", "1:8 expected INTO after INSERT, found `O`"),
        ("INSERT INTO O SELECT (a FROM S;", "1:22 `(` is never closed"),
        ("INSERT INTO O SELECT a) FROM S;", "1:23 `)` closes nothing"),
        ("INSERT INTO O SELECT a[0 FROM S;", "1:23 `[` is never closed"),
        ("INSERT INTO O SELECT f(a] FROM S;", "1:23 `(` is never closed"),
        ("INSERT INTO O SELECT a FROM S WHERE a GLOB 'x';", "1:39 `GLOB` is not supported here"),
    ]);
}

#[test]
fn hints_name_the_way_out() {
    for (text, expected) in [
        ("INSERT INTO O SELECT a FROM S WEHRE a > 1;", "did you mean WHERE?"),
        ("INSERT INTO O SELECT a FROM S GRUOP BY a;", "did you mean GROUP?"),
        ("INSERT INTO O SELECT a FROM S x;", "to give the stream another name, write AS x"),
        ("CREATE STREAM S (a STRNG);", "did you mean STRING?"),
        ("CREATE STREAM S (a VARCHAR(20));", "use STRING"),
        ("CREATE STREAM S (a DECIMAL(10, 2));", "use DOUBLE, or STRING to keep every digit"),
        ("CREATE STREAM S (a INTEGER);", "use INT"),
        ("CREATE STREAM S (a DATETIME);", "use TIMESTAMP"),
        ("CREATE STREAM S (a REAL);", "use FLOAT"),
        ("CREATE STREAM S (a ARRAY<INT>);", "use JSON"),
        ("CREATE STREAM S (a FOO);", "types are STRING, INT, BIGINT, FLOAT, DOUBLE, BOOL, BYTES, TIMESTAMP, JSON"),
        ("CREATE STREAM S (order INT);", "to use it as a name, write it in double quotes: \"order\""),
        ("CRAETE STREAM S (a INT);", "did you mean CREATE?"),
        ("CREATE STEAM S (a INT);", "did you mean CREATE STREAM?"),
        ("@sorce(type='x') CREATE STREAM S (a INT);", "did you mean @source?"),
        ("@source(@mapp(type='x')) CREATE STREAM S (a INT);", "did you mean @map?"),
        ("@source(@x(a=1)) CREATE STREAM S (a INT);", "only @map can stand inside an annotation"),
        ("@source(a=\"b\") CREATE STREAM S (a INT);", "double quotes are for names; write the value in single quotes"),
        ("CREATE STREAM S (a INT) WITH (type='sorce');", "did you mean type='source'?"),
        ("CREATE STREAM S (a INT) WITH (extension='x');", "add type='source' or type='sink'"),
        ("source(type='x') CREATE STREAM S (a INT);", "did you mean @source?"),
    ] {
        assert_eq!(hint(text), expected, "{text}");
    }
}

#[test]
fn statements_of_other_systems_are_refused() {
    assert_each(&[
        ("CREATE TABLE S (a INT);", "1:1 CREATE TABLE is not supported"),
        ("CREATE VIEW V AS SELECT 1;", "1:1 CREATE VIEW is not supported"),
        ("CREATE OR REPLACE STREAM S (a INT);", "1:1 CREATE OR REPLACE is not supported"),
        ("CREATE STREAM IF NOT EXISTS S (a INT);", "1:15 IF NOT EXISTS is not supported"),
        ("CREATE STREAM S AS SELECT a FROM T;", "1:17 CREATE STREAM … AS SELECT is not supported"),
        ("DROP STREAM S;", "1:1 DROP is not supported"),
        ("define stream S (a int);", "1:1 DEFINE is not supported"),
        ("FROM S SELECT a INSERT INTO O;", "1:1 a query does not begin with FROM"),
        ("hello world;", "1:1 expected a statement: CREATE STREAM, INSERT INTO or SELECT, found `hello`"),
        ("'secret';", "1:1 expected a statement: CREATE STREAM, INSERT INTO or SELECT, found a string"),
        ("CREATE;", "1:7 expected STREAM after CREATE, found the end of the statement"),
    ]);
}

#[test]
fn mistakes_in_streams_are_named_where_they_are() {
    assert_each(&[
        ("CREATE STREAM S ();", "1:17 stream `S` has no columns"),
        ("CREATE STREAM S;", "1:16 expected `(` and the columns of stream `S`, found the end of the statement"),
        ("CREATE STREAM (a INT);", "1:15 expected the name of the stream, found `(`"),
        ("CREATE STREAM a.b (a INT);", "1:16 `a` is followed by a dot: the name of the stream has one part"),
        ("CREATE STREAM \"\" (a INT);", "1:15 the name of the stream is empty"),
        ("CREATE STREAM S (a INT, b);", "1:26 expected the type of column `b`, found `)`"),
        ("CREATE STREAM S (a INT,);", "1:24 expected a column, found `)`"),
        ("CREATE STREAM S (a INT b INT);", "1:24 expected `,` or `)` after column `a`, found `b`"),
        ("CREATE STREAM S (a INT, a STRING);", "1:25 column `a` appears twice in stream `S`"),
        ("CREATE STREAM S (a INT NOT NULL);", "1:24 NOT NULL on column `a` is not supported"),
        ("CREATE STREAM S (a INT PRIMARY KEY, b INT);", "1:24 PRIMARY KEY on column `a` is not supported"),
        ("CREATE STREAM S (a INT DEFAULT (1, 2));", "1:24 DEFAULT on column `a` is not supported"),
        ("CREATE STREAM S (a INT, PRIMARY KEY (a));", "1:25 PRIMARY KEY is not supported"),
        ("CREATE STREAM S (a INT, CONSTRAINT x CHECK (a));", "1:25 CONSTRAINT is not supported"),
        ("CREATE STREAM S (a INT, WATERMARK FOR a AS a);", "1:25 WATERMARK is not supported"),
        ("CREATE STREAM S (a INT(10));", "1:20 the type INT takes no length, precision or brackets"),
        ("CREATE STREAM S (a INT[]);", "1:20 the type INT takes no length, precision or brackets"),
        ("CREATE STREAM S (a DOUBLE PRECISION);", "1:20 unknown type `DOUBLE PRECISION`"),
        ("CREATE STREAM S (a TIMESTAMP(3) WITH TIME ZONE);", "1:20 unknown type `TIMESTAMP(3) WITH TIME ZONE`"),
        ("CREATE STREAM S (a VARCHAR (20) NOT NULL);", "1:20 unknown type `VARCHAR (20)`"),
        ("CREATE STREAM S (a INT) PARTITION BY a;", "1:25 expected `;`, found `PARTITION`"),
        ("CREATE STREAM S (a INT;", "1:17 `(` is never closed"),
    ]);
}

#[test]
fn mistakes_in_annotations_are_named_where_they_are() {
    assert_each(&[
        ("@source(type='x');", "1:1 this annotation belongs to no stream"),
        (
            "@source(type='x') SELECT a FROM S INSERT INTO O;",
            "1:19 expected CREATE STREAM after the annotations, found `SELECT`",
        ),
        ("@source CREATE STREAM S (a INT);", "1:9 expected `(` after `@source`, found `CREATE`"),
        ("@index(a=1) CREATE STREAM S (a INT);", "1:1 unknown annotation `@index`"),
        ("@map(type='json') CREATE STREAM S (a INT);", "1:1 `@map` stands outside of an annotation"),
        ("@source(@map(type='a'), @map(type='b')) CREATE STREAM S (a INT);", "1:25 `@source` has more than one `@map`"),
        ("@source(@map(@map(a=1))) CREATE STREAM S (a INT);", "1:14 `@map` cannot stand inside `@map`"),
        ("@source(a=1, b=2, a=3) CREATE STREAM S (a INT);", "1:19 the property `a` appears twice in `@source`"),
        ("@source(a=1,) CREATE STREAM S (a INT);", "1:13 expected a property in `@source`, found `)`"),
        ("@source(a 1) CREATE STREAM S (a INT);", "1:11 expected `=` after the property `a`, found `1`"),
        ("@source(a=) CREATE STREAM S (a INT);", "1:11 expected a value for the property `a`, found `)`"),
        ("@source(a=1 b=2) CREATE STREAM S (a INT);", "1:13 expected `,` or `)` in `@source`, found `b`"),
        ("@source(a='x' 'y') CREATE STREAM S (a INT);", "1:15 expected `,` or `)` in `@source`, found a string"),
        ("@source(a..b=1) CREATE STREAM S (a INT);", "1:9 the property `a..b` has an empty part between its dots"),
        ("@source(url=ws://x) CREATE STREAM S (a INT);", "1:13 the value of the property `url` needs quotes"),
        ("@source(1=1) CREATE STREAM S (a INT);", "1:9 expected a property in `@source`, found `1`"),
        ("@ CREATE STREAM S (a INT);", "1:1 expected the name of an annotation directly after `@`"),
        ("CREATE STREAM S (a INT) WITH (type='table');", "1:36 the `type` in `WITH` is neither `source` nor `sink`"),
        (
            "CREATE STREAM S (a INT) WITH (type='sink', type='sink');",
            "1:44 the property `type` appears twice in `WITH`",
        ),
        ("CREATE STREAM S (a INT) WITH (type='sink') WITH (type='sink');", "1:44 this stream has more than one WITH"),
        ("@sink(a=1) CREATE STREAM S (a INT) WITH (type='sink');", "1:36 this stream has annotations as well as WITH"),
    ]);
}

#[test]
fn messages_never_show_the_value_of_a_property() {
    for text in [
        "@source(password='hunter2' 'hunter2') CREATE STREAM S (a INT);",
        "@source('hunter2');",
        "'hunter2'",
        "CREATE STREAM S (a INT) WITH (type='hunter2')",
        "INSERT INTO O SELECT a 'hunter2' FROM S",
        "INSERT INTO O SELECT f(a 'hunter2') FROM S",
        "INSERT INTO O SELECT CAST('hunter2' 'hunter2') FROM S",
    ] {
        let mistakes = mistakes(text);
        assert!(!mistakes.is_empty());
        // A single-quoted key is a name, not a value.
        assert!(text.contains("('hunter2');") || !mistakes.concat().contains("hunter2"), "{mistakes:?}");
    }
}
