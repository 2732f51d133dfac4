//! What a pipeline author reads after a mistake: the place, the reason, and the way out.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use eventflux_engine::{EventFlux, Override, SourceFile};
use support::World;

const STREAMS: &str = "@source(type='memory') CREATE STREAM Tr (a STRING, n INT);\n\
                       @sink(type='memory') CREATE STREAM Out (a STRING, n BIGINT);\n";

fn mistakes(rest: &str) -> Vec<String> {
    World::new().mistakes(&format!("{STREAMS}{rest}"))
}

#[test]
fn each_mistake_names_its_place_its_reason_and_the_way_out() {
    let cases = [
        ("INSERT INTO Out SELECT a, n FROM Trr;", "3:34 there is no stream 'Trr' (did you mean 'Tr'?)"),
        (
            "INSERT INTO Nowhere SELECT a, n FROM Tr;",
            "3:13 there is no stream 'Nowhere' (declare it: CREATE STREAM Nowhere (...);)",
        ),
        (
            "INSERT INTO Out SELECT a FROM Tr;",
            "3:13 stream 'Out' has columns this query does not select: n (select them, or leave them empty: NULL AS n)",
        ),
        (
            "INSERT INTO Out SELECT a, n, n FROM Tr;",
            "3:30 column 'n' of stream 'Out' is selected twice (remove one, or give it another name with AS)",
        ),
        (
            "INSERT INTO Out SELECT a AS b, n FROM Tr;",
            "3:24 stream 'Out' has no column 'b' (name it with AS as one of a, n)",
        ),
        ("INSERT INTO Out SELECT x.*, n FROM Tr;", "3:24 'x' is not what this query reads (write * or Tr.*)"),
        ("CREATE STREAM Tr (b INT);", "3:15 stream 'Tr' is declared twice (give one of them another name)"),
        (
            "@source(type='memroy') CREATE STREAM S (a INT);",
            "3:14 there is no source of type 'memroy' (did you mean 'memory'?)",
        ),
        (
            "@source(memory.delay='1s') CREATE STREAM S (a INT);",
            "3:1 this source has no 'type' (add type='...', one of memory, mute)",
        ),
        (
            "@source(type='memory', memory.dealy='1s') CREATE STREAM S (a INT);",
            "3:24 property 'memory.dealy': is not known here (did you mean 'memory.delay'?)",
        ),
        (
            "@source(type='memory', memory.delay='soon') CREATE STREAM S (a INT);",
            "3:37 property 'memory.delay': 'soon' is not allowed (use a duration such as 500ms, 5s, 2m or 1h)",
        ),
        (
            "@source(type='memory', @map(type='lin')) CREATE STREAM S (a INT);",
            "3:34 a memory source has no format 'lin' (did you mean 'line'?)",
        ),
        (
            "@source(type='memory', @map(type='line', x='1')) CREATE STREAM S (a INT);",
            "3:42 property 'x': is not known here",
        ),
        (
            "@source(type='memory', error.strategy='retri') CREATE STREAM S (a INT);",
            "3:39 property 'error.strategy': 'retri' is not allowed (use drop, retry, dlq, fail)",
        ),
        (
            "@source(type='memory', error.strategy='dlq') CREATE STREAM S (a INT);",
            "3:1 property 'error.dlq.stream': is required by the strategy 'dlq' (name a stream that takes failed events)",
        ),
        (
            "CREATE STREAM A (x INT); CREATE STREAM B (x INT); INSERT INTO B SELECT x FROM A; INSERT INTO A SELECT x FROM B;",
            "3:94 this query closes a circle: 'A' already leads to 'B' (insert into another stream)",
        ),
        (
            "INSERT INTO Tr SELECT a, n FROM Tr;",
            "3:13 this query closes a circle: 'Tr' already leads to 'Tr' (insert into another stream)",
        ),
        (
            "@source(type='memory', error.strategy='dlq', error.dlq.stream='D') CREATE STREAM S (a INT); CREATE STREAM D (stag STRING);",
            "3:110 stream 'D' takes dead letters: 'stag' is no dead-letter column",
        ),
    ];
    for (sql, expected) in cases {
        let found = mistakes(sql);
        assert_eq!(found.len(), 1, "{sql}\n{found:#?}");
        assert!(found[0].starts_with(expected), "{sql}\n found: {}\nwanted: {expected}", found[0]);
    }
}

#[test]
fn a_missing_dead_letter_stream_shows_how_to_declare_it() {
    let found =
        mistakes("@source(type='memory', error.strategy='dlq', error.dlq.stream='Dead') CREATE STREAM S (a INT);");
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("CREATE STREAM Dead (originalEvent STRING, errorMessage STRING"), "{}", found[0]);
}

#[test]
fn a_dead_letter_stream_may_not_lead_back() {
    let found = mistakes(
        "@source(type='memory', error.strategy='dlq', error.dlq.stream='D') CREATE STREAM S (a STRING);
         CREATE STREAM D (originalEvent STRING);
         @sink(type='memory') CREATE STREAM T (a STRING);
         INSERT INTO T SELECT a FROM S;
         INSERT INTO T SELECT originalEvent AS a FROM D;",
    );
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("3:1 dead-letter stream 'D' leads back to 'T'"), "{}", found[0]);
}

#[test]
fn all_mistakes_of_a_file_come_at_once_in_the_order_of_the_file() {
    let found = mistakes(
        "@source(type='memory', memory.dealy='1s', error.strategy='x') CREATE STREAM S (a INT);
         INSERT INTO Out SELECT b, n FROM Tr;
         INSERT INTO Out SELECT a, n FROM Nope WHERE;
         INSERT INTO Out SELECT DISTINCT a, n FROM Tr;",
    );
    assert!(found.len() >= 5, "{found:#?}");
    let lines: Vec<u32> = found.iter().map(|text| text.split(':').next().unwrap().parse().unwrap()).collect();
    assert!(lines.is_sorted(), "{found:#?}");
}

#[test]
fn columns_widen_and_do_not_narrow() {
    assert_eq!(mistakes("INSERT INTO Out SELECT a, n FROM Tr;"), Vec::<String>::new());
    let found = mistakes("CREATE STREAM Small (n INT); INSERT INTO Small SELECT n FROM Out;");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("INT") && found[0].contains("CAST"), "{}", found[0]);
}

#[test]
fn a_secret_never_appears_in_a_report() {
    let sql = "@source(type='memory', memory.token='hunter2', memory.toke='hunter3', memory.delay='x') CREATE STREAM S (a INT);";
    let error = EventFlux::from_sql(sql, &World::new().context()).unwrap_err();
    let report = error.render(false);
    assert!(!report.contains("hunter"), "{report}");
    assert!(report.contains("memory.toke") && report.contains("pipeline.sql:1:"), "{report}");
}

#[test]
fn credentials_in_a_list_of_servers_never_appear_in_a_report() {
    for servers in ["nats://a:1,nats://ann:hunter2@b", "ann:hunter2@b"] {
        let sql = format!("@source(type='memory', memory.url='{servers}', memory.delay='x') CREATE STREAM S (a INT);");
        let report = EventFlux::from_sql(&sql, &World::new().context()).unwrap_err().render(false);
        assert!(report.contains("memory.delay") && !report.contains("hunter"), "{report}");
    }
}

#[test]
fn properties_from_outside_replace_and_add_and_are_checked() {
    let context = World::new().context();
    let plan = |given: &str| {
        let overrides = [Override::parse(given).unwrap()];
        EventFlux::from_file(SourceFile::new("f.sql", STREAMS), &overrides, &context).map(|_| ())
    };
    assert!(plan("Tr.memory.delay=5s").is_ok());
    for (given, expected) in [
        ("Tr.memory.delay=soon", "is not allowed"),
        ("Tr.memory.dealy=5s", "did you mean 'memory.delay'?"),
        ("Trr.memory.delay=5s", "did you mean 'Tr'?"),
    ] {
        let error = plan(given).unwrap_err().to_string();
        assert!(error.contains(expected), "{given}: {error}");
    }
}

#[test]
fn streams_nobody_writes_or_reads_are_warned_about() {
    let pipeline = EventFlux::from_sql("CREATE STREAM Lonely (a INT);", &World::new().context()).unwrap();
    let warnings = pipeline.warnings().render(false);
    assert!(warnings.contains("nothing in this file writes to stream 'Lonely'"), "{warnings}");
}

#[test]
fn a_value_that_cannot_be_read_is_not_reported_as_missing_too() {
    let found = mistakes("@source(type=\"memory\") CREATE STREAM S (a INT);");
    assert_eq!(found.len(), 1, "{found:#?}");
}
