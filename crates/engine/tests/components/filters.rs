//! What a `json_filter` lets pass.

use std::time::Duration;

use eventflux_engine::{EventFlux, SourceFile};

use crate::stand_in::{context, convert, remarks};
use crate::support::{World, eventually};

fn file(criteria: &str) -> String {
    format!(
        r#"{{"components": {{
"in": {{"type": "input", "name": "udp", "config": {{"port": 0, "ports": {{"outputs": [{{"name": "o", "subject": "raw"}}]}}}}}},
"filter": {{"type": "processor", "name": "json_filter", "config": {{
"criteria": {criteria},
"ports": {{"inputs": [{{"name": "i", "subject": "raw"}}], "outputs": [{{"name": "o", "subject": "good"}}]}}}}}},
"out": {{"type": "storage", "name": "objectstore", "config": {{"ports": {{"inputs": [{{"name": "i", "subject": "good"}}]}}}}}}
}}}}"#
    )
}

/// Which of `messages` pass.
fn passing(criteria: &str, messages: &[&str]) -> Vec<String> {
    let world = World::new();
    let planned = EventFlux::from_file(SourceFile::new("f.json", file(criteria)), &[], &context(&world));
    let mut pipeline = planned.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    pipeline.start().unwrap();
    // The last one is told by nothing but its arrival: queries run on the thread that sends.
    world.send("raw", messages).unwrap();
    let summary = pipeline.stop(Duration::from_secs(5));
    assert_eq!(summary.failed, 0, "{criteria}");
    eventually("everything out", || world.delivered("good").len() as u64 == summary.events_out);
    world.delivered("good")
}

#[test]
fn each_operator_compares_by_the_type_of_the_value() {
    let numbers =
        ["{\"v\":49}", "{\"v\":50.0}", "{\"v\":51}", "{\"v\":\"51\"}", "{\"v\":null}", "{}", "{\"v\":[51]}", "7"];
    let (a, b, c) = (numbers[0], numbers[1], numbers[2]);
    let cases: [(&str, &[&str]); 6] =
        [("==", &[b]), ("!=", &[a, c]), (">", &[c]), (">=", &[b, c]), ("<", &[a]), ("<=", &[a, b])];
    for (operator, expected) in cases {
        let criteria = format!(r#"{{"path": "$.v", "operator": "{operator}", "value": 50}}"#);
        assert_eq!(passing(&criteria, &numbers), expected, "{operator}");
    }
}

#[test]
fn texts_booleans_and_null_have_their_own_comparisons() {
    let messages =
        ["{\"v\":\"b\"}", "{\"v\":\"a\"}", "{\"v\":true}", "{\"v\":false}", "{\"v\":null}", "{\"v\":1}", "{}"];
    let [b, a, yes, no, null, one, _] = messages;
    let cases: [(&str, &str, &[&str]); 8] = [
        ("==", "\"a\"", &[a]),
        (">", "\"a\"", &[b]),
        ("!=", "\"a\"", &[b]),
        ("==", "true", &[yes]),
        ("<", "true", &[no]),
        ("==", "null", &[null]),
        ("!=", "null", &[b, a, yes, no, one]),
        ("==", "-1", &[]),
    ];
    for (operator, value, expected) in cases {
        let criteria = format!(r#"{{"path": "$.v", "operator": "{operator}", "value": {value}}}"#);
        assert_eq!(passing(&criteria, &messages), expected, "{operator} {value}");
    }
}

#[test]
fn contains_looks_into_texts_and_lists() {
    let messages =
        [r#"{"v":"pump 7"}"#, r#"{"v":["a","pump"]}"#, r#"{"v":["pump 7"]}"#, r#"{"v":7}"#, r#"{"v":[7.0]}"#, "{}"];
    let cases: [(&str, &[&str]); 2] = [("\"pump\"", &messages[..2]), ("7", &messages[4..5])];
    for (value, expected) in cases {
        let criteria = format!(r#"{{"path": "$.v", "operator": "contains", "value": {value}}}"#);
        assert_eq!(passing(&criteria, &messages), expected, "{value}");
    }
}

#[test]
fn exists_asks_whether_there_is_anything() {
    let messages = [r#"{"a":{"b":null}}"#, r#"{"a":{}}"#, "[]"];
    for (value, expected) in
        [("", &messages[..1]), (", \"value\": true", &messages[..1]), (", \"value\": false", &messages[1..])]
    {
        let criteria = format!(r#"{{"path": "$.a.b", "operator": "exists"{value}}}"#);
        assert_eq!(passing(&criteria, &messages), expected, "{value}");
    }
}

#[test]
fn severities_are_texts_like_others() {
    let messages = [r#"{"severity":"error"}"#, r#"{"severity":"warning"}"#];
    let criteria = r#"{"path": "$.severity", "operator": ">=", "value": "warning"}"#;
    assert_eq!(passing(criteria, &messages), messages[1..]);
}

#[test]
fn a_criterion_is_sql_that_can_be_read() {
    let condition = |criteria: &str| convert(&file(criteria)).split_once("\nWHERE ").unwrap().1.trim_end().to_owned();
    let cases = [
        (r#"{"path": "$.value", "operator": ">", "value": 50}"#, "JSON_COMPARE(payload, '$.value', 50) > 0;"),
        (
            r#"{"path": "$['it''s']", "operator": "!=", "value": -1.5e3}"#,
            "JSON_COMPARE(payload, '$[''it''''s'']', -1.5e3) <> 0;",
        ),
        (r#"{"path": "$.v", "operator": "contains", "value": "a'b"}"#, "JSON_CONTAINS(payload, '$.v', 'a''b');"),
        (r#"{"path": "$.v", "operator": "exists"}"#, "JSON_EXTRACT(payload, '$.v') IS NOT NULL;"),
        (r#"{"path": "$.v", "operator": "==", "value": null}"#, "JSON_TYPE(JSON_EXTRACT(payload, '$.v')) = 'null';"),
    ];
    for (criteria, expected) in cases {
        assert_eq!(condition(criteria), expected);
    }
}

#[test]
fn mistakes_in_a_criterion_have_their_place() {
    let cases = [
        (
            r#"{"path": "$.v", "operator": "=>", "value": 1}"#,
            "4:41 /components/filter/config/criteria/operator: 'criteria.operator': '=>' is not allowed (use ==, !=, >, >=, <, <=, contains, exists)",
        ),
        (
            r#"{"path": "$.v", "operator": ">"}"#,
            "4:41 /components/filter/config/criteria/operator: 'criteria.value' is required with criteria.operator '>', and missing (add a text, a number, true, false or null)",
        ),
        (
            r#"{"path": "$.v", "operator": ">", "value": null}"#,
            "4:55 /components/filter/config/criteria/value: 'criteria.value': null is not allowed with this operator (use == or !=)",
        ),
        (
            r#"{"path": "$.v", "operator": "exists", "value": 1}"#,
            "4:60 /components/filter/config/criteria/value: 'criteria.value': this is not allowed with criteria.operator 'exists' (use true or false, or remove it)",
        ),
        (
            r#"{"path": "$.v", "operator": "==", "value": [1]}"#,
            "4:56 /components/filter/config/criteria/value: 'criteria.value': a list is not allowed (use a text, a number, true, false or null)",
        ),
        (
            r#"{"operator": "==", "value": 1}"#,
            "4:1 /components/filter/config/criteria: 'criteria.path' is required, and missing (give it a value: any text)",
        ),
        (
            r#"{"path": "$..v", "operator": "==", "value": 1}"#,
            "4:22 /components/filter/config/criteria/path: JSON_COMPARE: '$..v' is no path such as '$.data.items[0]': a name is missing",
        ),
        (
            r#"{"path": "$.v", "operator": "==", "value": 99999999999999999999}"#,
            "4:56 /components/filter/config/criteria/value: this integer is too large for BIGINT (for a DOUBLE, write it with a decimal point; to keep every digit, write it as text)",
        ),
    ];
    for (criteria, expected) in cases {
        assert_eq!(remarks(&file(criteria)), [expected], "{criteria}");
    }
}
