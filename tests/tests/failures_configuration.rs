//! Files with mistakes: each is named with its place and the way out, all at once, before anything is started.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::net::TcpListener;

use eventflux_core::health::ConnectionState;
use eventflux_engine::{EventFlux, SourceFile};
use eventflux_testkit::log_capture::LogCapture;
use eventflux_testkit::peer::ScriptedPeer;
use support::{DEADLINE, DLQ, Pipeline, QUICK, SLOW, client, context, dead_letters, numbers, relay, sending};

/// Streams for queries to go wrong with; they end at line 2.
const STREAMS: &str = "CREATE STREAM Trades (symbol STRING, price DOUBLE, T BIGINT, t BIGINT);\n\
     CREATE STREAM Kept (symbol STRING, price DOUBLE);\n";

/// The mistakes of a file: `line:column message (hint)`.
fn mistakes(sql: &str) -> Vec<String> {
    let file = SourceFile::new("f.sql", sql);
    let Err(error) = EventFlux::from_file(file.clone(), &[], &context()) else {
        return Vec::new();
    };
    let errors = error.diagnostics().iter().filter(|diagnostic| diagnostic.is_error());
    let shown = errors.map(|diagnostic| {
        let place = file.position(diagnostic.span.map_or(0, |span| span.start));
        let hint = diagnostic.hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}:{} {}{hint}", place.line, place.column, diagnostic.message)
    });
    shown.collect()
}

#[test]
fn unknown_names_have_their_place_and_the_nearest_name() {
    for (sql, place, hint) in [
        ("INSERT INTO Kept SELECT symbol, prize AS price FROM Trades;", "3:33", "price"),
        ("INSERT INTO Kept SELECT Symbol AS symbol, price FROM Trades;", "3:25", "symbol"),
        ("INSERT INTO Kept SELECT symbol, price FROM Tradse;", "3:44", "Trades"),
        ("INSERT INTO Kpet SELECT symbol, price FROM Trades;", "3:13", "Kept"),
        ("INSERT INTO Kept SELECT UPER(symbol) AS symbol, price FROM Trades;", "3:25", "UPPER"),
        ("@source(type='websockt') CREATE STREAM S (a INT);", "3:14", "websocket"),
        ("@source(type='websocket', websocket.ulr='ws://h') CREATE STREAM S (a INT);", "3:27", "websocket.url"),
        (
            "@source(type='websocket', websocket.url='ws://h', @map(type='jsn')) CREATE STREAM S (a INT);",
            "3:61",
            "json",
        ),
        (
            "@source(type='websocket', websocket.url='ws://h', @map(type='json', json.on.mising='null')) CREATE STREAM S (a INT);",
            "3:69",
            "json.on.missing",
        ),
        (
            "@sink(type='websocket', websocket.url='ws://h', error.stratgy='drop') CREATE STREAM S (a INT);",
            "3:49",
            "error.strategy",
        ),
        ("CREATE STREAM S (a STRNG);", "3:20", "STRING"),
    ] {
        let found = mistakes(&format!("{STREAMS}{sql}"));
        let named = found.iter().any(|mistake| {
            mistake.starts_with(&format!("{place} ")) && mistake.contains(hint) && mistake.contains("did you mean")
        });
        assert!(named, "{sql}\nwanted {place} {hint}, found {found:#?}");
    }
}

#[test]
fn values_that_cannot_be_are_refused_with_what_can() {
    let source = |properties: &str| {
        format!("@source(type='websocket', {properties}, @map(type='json')) CREATE STREAM S (a INT);")
    };
    for (properties, wanted) in [
        ("websocket.url='http://h'", "websocket.url"),
        ("websocket.url='ws://h', websocket.reconnect='maybe'", "websocket.reconnect"),
        ("websocket.url='ws://h', websocket.reconnect.delay.ms='-1'", "websocket.reconnect.delay.ms"),
        ("websocket.url='ws://h', websocket.reconnect.max.attempts='x'", "websocket.reconnect.max.attempts"),
        ("websocket.url='ws://h', websocket.connect.timeout='soon'", "500ms"),
        ("websocket.url='ws://h', websocket.max.message.size='huge'", "websocket.max.message.size"),
        ("websocket.url='ws://h', websocket.compression='rar'", "gzip"),
        ("websocket.url='ws://h', auth.type='bearer'", "auth.bearer_token_env"),
        ("websocket.url='ws://h', websocket.listen='127.0.0.1:0'", "websocket.listen"),
        ("websocket.url='ws://h', error.strategy='dlq'", "error.dlq.stream"),
        ("websocket.url='ws://h', error.strategy='dlq', error.dlq.stream='Nowhere'", "CREATE STREAM Nowhere"),
        ("websocket.url='ws://h', error.retry.max-attempts='3'", "error.retry.max-attempts"),
        ("websocket.url='${env:EVENTFLUX_NEVER_SET}'", "EVENTFLUX_NEVER_SET"),
        ("websocket.reconnect='true'", "websocket.url"),
    ] {
        let found = mistakes(&source(properties));
        assert!(found.iter().any(|mistake| mistake.contains(wanted)), "{properties}: {found:#?}");
    }
}

#[test]
fn all_mistakes_come_at_once_and_nothing_is_bound_or_connected() {
    let peer = ScriptedPeer::builder().start();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let sql = format!(
        "{} CREATE STREAM Fed (n BIGINT);
         @sink(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:{port}', @map(type='json'))
         CREATE STREAM Served (n BIGINT);
         INSERT INTO Served SELECT m AS n FROM Fed;
         INSERT INTO Served SELECT n FROM Nowhere;
         INSERT INTO Served SELECT DISTINCT n FROM Fed;
         INSERT INTO Served SELECT NOPE(n) AS n FROM Fed;",
        client("source", peer.url(), "")
    );
    let lines: Vec<_> = mistakes(&sql).iter().map(|text| text.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(lines, ["4", "5", "6", "7"]);
    TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert_eq!(peer.record().connections, 0);
}

#[test]
fn what_is_not_supported_is_refused_and_never_ignored() {
    for (clause, word) in [
        ("SELECT DISTINCT symbol, price FROM Trades", "DISTINCT"),
        ("SELECT symbol, price FROM Trades GROUP BY symbol", "GROUP BY"),
        ("SELECT symbol, price FROM Trades ORDER BY price", "ORDER BY"),
        ("SELECT symbol, price FROM Trades LIMIT 5", "LIMIT"),
        ("SELECT symbol, price FROM Trades JOIN Kept ON true", "joins are not supported"),
        ("SELECT symbol, SUM(price) AS price FROM Trades", "SUM"),
        ("SELECT symbol, price FROM (SELECT * FROM Trades)", "not supported"),
    ] {
        let found = mistakes(&format!("{STREAMS}INSERT INTO Kept {clause};"));
        assert!(!found.is_empty(), "{clause}");
        assert!(found.iter().all(|mistake| mistake.starts_with("3:")), "{found:#?}");
        assert!(found.iter().any(|mistake| mistake.contains(word)), "{clause}: {found:#?}");
    }
}

#[test]
fn statements_too_deep_or_too_large_are_refused_and_abort_nothing() {
    let sum = |terms: usize| {
        format!("{STREAMS}INSERT INTO Kept SELECT symbol, {} AS price FROM Trades;", vec!["1.0"; terms].join("+"))
    };
    let nested = |depth: usize| {
        format!(
            "{STREAMS}INSERT INTO Kept SELECT symbol, {}1.0{} AS price FROM Trades;",
            "(".repeat(depth),
            ")".repeat(depth)
        )
    };
    let unions = format!("{STREAMS}INSERT INTO Kept {};", vec!["SELECT * FROM Trades"; 1_000].join(" UNION ALL "));
    let large = format!("{STREAMS}INSERT INTO Kept SELECT '{}' AS symbol, price FROM Trades;", "x".repeat(16 << 20));
    for sql in [sum(5_000), sum(50_000), nested(5_000), nested(50_000), unions, large] {
        let found = mistakes(&sql);
        assert!(!found.is_empty() && found.len() < 100, "{} mistakes", found.len());
        assert!(found.iter().all(|mistake| mistake.len() < 1_000));
    }
    assert_eq!(mistakes(&sum(5)), Vec::<String>::new());
}

#[test]
fn reports_of_mistakes_show_no_secret() {
    let sql =
        "@source(type='websocket', websocket.url='htp://u:hunter3@h/?token=hunter3', websocket.headers.X-Key='hunter3',
         websocket.subscribe.message='hunter3', websocket.subscribe.message.x='hunter3', @map(type='json'))
         CREATE STREAM S (a INT);";
    let report = EventFlux::from_sql(sql, &context()).unwrap_err().render(false);
    assert!(report.contains("websocket.url") && !report.contains("hunter3"), "{report}");
}

#[test]
fn a_server_that_is_down_at_start_is_fatal_only_when_that_was_asked_for() {
    let (feed, receiver) = (ScriptedPeer::builder().script(sending(0..1)).start(), ScriptedPeer::builder().start());
    feed.refuse_connections().blocking();
    let strict = relay(feed.url(), &format!("{QUICK}, validate.connectivity='true'"), receiver.url(), "");
    let logs = LogCapture::start();
    let mut refused = EventFlux::from_sql(&strict, &context()).unwrap();
    let error = refused.start().unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("127.0.0.1"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    logs.assert_absent("hunter2");
    let pipeline = Pipeline::start(&relay(feed.url(), QUICK, receiver.url(), ""));
    pipeline.wait_for_state("Fed", ConnectionState::Reconnecting);
    assert!(!pipeline.flux.is_healthy());
    feed.accept_connections().blocking();
    assert_eq!(numbers(&receiver.wait_for_messages(1).blocking()), [0]);
    pipeline.wait_for_state("Fed", ConnectionState::Connected);
    assert_eq!(
        pipeline.metric("eventflux_source_gaps_total", "Fed"),
        0,
        "nothing was missed before the first connection"
    );
    pipeline.stop();
}

#[test]
fn a_file_that_is_missing_at_start_is_named_and_what_was_started_is_stopped_again() {
    let receiver = ScriptedPeer::builder().start();
    let ca = "websocket.tls.ca.file='/nowhere/ca.pem'";
    let sql = relay("wss://localhost:1", ca, receiver.url(), "");
    let mut flux = EventFlux::from_sql(&sql, &context()).unwrap();
    let error = flux.start().unwrap_err();
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    drop(flux);
    receiver.wait_for("no open connection", |record| (record.open == 0).then_some(())).blocking();
}

#[test]
fn a_pipeline_that_cannot_start_leaves_a_running_one_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap();
    let feed = ScriptedPeer::builder().script(sending(0..1).wait_for_signal("more").send_text("{\"n\":1}")).start();
    let (receiver, failed) = (ScriptedPeer::builder().start(), ScriptedPeer::builder().start());
    let sql = relay(feed.url(), DLQ, receiver.url(), SLOW) + &dead_letters(failed.url(), "");
    let pipeline = Pipeline::start(&sql);
    receiver.wait_for_messages(1).blocking();
    assert!(EventFlux::from_sql(&sql.replace("SELECT n", "SELECT m"), &context()).is_err());
    let bad = format!(
        "{sql} @sink(type='websocket', websocket.mode='server', websocket.listen='{taken}', @map(type='json'))
         CREATE STREAM Served (n BIGINT);"
    );
    let mut second = EventFlux::from_sql(&bad, &context()).unwrap();
    let error = second.start().unwrap_err();
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
    second.stop(DEADLINE);
    feed.signal("more");
    let arrived = receiver.wait_for_messages(2).blocking();
    assert_eq!(numbers(&arrived), [0, 1]);
    assert_eq!(pipeline.metric("eventflux_source_gaps_total", "Fed"), 0);
    pipeline.stop();
}
