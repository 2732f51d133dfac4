//! Filters and their index, against a naive reading of the same predicates.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn filter(predicate: &str) -> Filter {
    Filter::new(None, Some(predicate), &FilterLimits::default()).unwrap().unwrap()
}

fn matches(predicate: &str, payload: &str) -> bool {
    filter(predicate).matches(&Document::new(payload.as_bytes()))
}

fn fields(fields: &Value) -> Result<Option<Filter>, Problem> {
    Filter::new(fields.as_object(), None, &FilterLimits::default())
}

/// The subscribers of an index that want a payload, in order.
fn wanted(index: &FilterIndex<usize>, payload: &str) -> Vec<usize> {
    let mut found = Vec::new();
    index.for_each_match(&Document::new(payload.as_bytes()), |subscriber| found.push(*subscriber));
    found.sort_unstable();
    found
}

#[test]
fn exact_matches_are_all_wanted_with_any_of_their_values() {
    let wanted = json!({"event_type": ["login", "purchase"], "user.id": "123", "n": 1, "ok": true});
    let filter = fields(&wanted).unwrap().unwrap();
    for (payload, expected) in [
        (r#"{"event_type":"login","user":{"id":"123"},"n":1,"ok":true}"#, true),
        (r#"{"event_type":"purchase","user.id":"123","n":1.0,"ok":true,"more":[]}"#, true),
        (r#"{"event_type":"logout","user":{"id":"123"},"n":1,"ok":true}"#, false),
        (r#"{"event_type":"login","user":{"id":123},"n":1,"ok":true}"#, false),
        (r#"{"event_type":"login","user":{"id":"123"},"n":2,"ok":true}"#, false),
        (r#"{"event_type":"login","n":1,"ok":true}"#, false),
        (r#"{"event_type":["logout","login"],"user":{"id":"123"},"n":[2,1],"ok":true}"#, true),
        ("[]", false),
        ("not JSON", false),
    ] {
        assert_eq!(filter.matches(&Document::new(payload.as_bytes())), expected, "{payload}");
    }
}

#[test]
fn an_exact_match_with_null_wants_null_or_nothing() {
    for (wanted, payload, expected) in [
        (json!({"a": null}), r#"{"a":null}"#, true),
        (json!({"a": null}), "{}", true),
        (json!({"a": null}), r#"{"a":0}"#, false),
        (json!({"a": [1, null]}), r#"{"a":1}"#, true),
        (json!({"a": [1, null]}), "{}", true),
        (json!({"a": [1, null]}), r#"{"a":2}"#, false),
    ] {
        let filter = fields(&wanted).unwrap().unwrap();
        assert_eq!(filter.matches(&Document::new(payload.as_bytes())), expected, "{wanted} {payload}");
    }
}

#[test]
fn fields_that_are_no_filter_are_refused_by_name() {
    for (wanted, message) in [
        (
            json!({"user": {"id": 1}}),
            "'user' has an object or a list as a value; write the path to a value: {\"user.id\": 1}",
        ),
        (json!({"a": [[1]]}), "'a' has an object or a list as a value; write the path to a value: {\"user.id\": 1}"),
        (json!({"a": []}), "'a' has no values, so nothing would match; leave it out to match everything"),
        (json!({"a": vec![1; 65]}), "more than 64 comparisons"),
        (json!({"a": "x".repeat(4_096)}), "4097 bytes long, at most 4096 are allowed"),
        (json!({"a".repeat(257): 1}), "the name of a field is 257 bytes long, at most 256 are allowed"),
        (json!({"a.".repeat(17): 1}), "'a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.' has 17 dots, at most 16 are allowed"),
    ] {
        assert_eq!(fields(&wanted).unwrap_err(), Problem::InvalidFilter(message.to_owned()));
    }
    assert!(fields(&json!({})).unwrap().is_none());
    assert!(Filter::new(None, None, &FilterLimits::default()).unwrap().is_none());
}

#[test]
fn fields_and_predicate_are_both_wanted_and_limited_together() {
    let wanted = json!({"symbol": "A"});
    let limits = FilterLimits { max_bytes: 16, max_terms: 2, max_depth: 1 };
    let of = |predicate: &str| Filter::new(wanted.as_object(), Some(predicate), &limits);
    let filter = of("price>1").unwrap().unwrap();
    assert!(filter.matches(&Document::new(br#"{"symbol":"A","price":2}"#)));
    assert!(!filter.matches(&Document::new(br#"{"symbol":"B","price":2}"#)));
    assert!(!filter.matches(&Document::new(br#"{"symbol":"A","price":1}"#)));
    assert_eq!(
        filter,
        Filter::new(None, Some("price > 1 AND symbol = 'A'"), &FilterLimits::default()).unwrap().unwrap()
    );
    assert_eq!(of("price > 1000").unwrap_err().to_string(), "Invalid filter: 19 bytes long, at most 16 are allowed");
    assert_eq!(of("a AND b").unwrap_err().to_string(), "Invalid filter: column 7: more than 2 comparisons");
    assert_eq!(of("((a))").unwrap_err().to_string(), "Invalid filter: column 2: nested deeper than 1 levels");
}

#[test]
fn limits_cannot_be_set_so_high_that_the_stack_ends() {
    let limits = FilterLimits { max_bytes: usize::MAX, max_terms: usize::MAX, max_depth: usize::MAX };
    let attempt = move |text: String| {
        let run = move || {
            let outcome = Filter::new(None, Some(&text), &limits);
            if let Ok(Some(filter)) = &outcome {
                assert!(filter.matches(&Document::new(br#"{"a":1}"#)));
            }
            outcome.is_ok()
        };
        std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap()
    };
    let nested = |depth: usize| format!("{}a = 1{}", "NOT (".repeat(depth / 2), ")".repeat(depth / 2));
    assert!(attempt(vec!["a = 1"; FilterLimits::MOST_TERMS].join(" OR ")));
    assert!(attempt(nested(FilterLimits::MOST_DEPTH)));
    assert!(!attempt(vec!["a = 1"; FilterLimits::MOST_TERMS + 1].join(" AND ")));
    assert!(!attempt(nested(FilterLimits::MOST_DEPTH + 2)));
    assert!(!attempt(vec!["a"; 100_000].join(" = ")));
    assert!(!attempt("(".repeat(100_000)));
    assert!(!attempt(vec!["a"; FilterLimits::MOST_TERMS * 5].join(" = ")));
}

#[test]
fn predicates_mean_what_they_mean_in_sql() {
    let payload = r#"{"price":100.5,"symbol":"BTCUSDT","user":{"id":7,"name":null},"tags":["a","b"],"ok":true,"weird name":"x",
        "big":9007199254740993,"empty":[],"mixed":[1,"a",null]}"#;
    for (predicate, expected) in [
        ("price > 100 AND symbol = 'BTCUSDT'", true),
        ("price > 100.5", false),
        ("price >= 100.5 AND price <= 1005e-1", true),
        ("price BETWEEN 100 AND 101", true),
        ("price NOT BETWEEN 100 AND 101", false),
        ("symbol LIKE 'BTC%'", true),
        ("symbol NOT LIKE '%ETH%'", true),
        ("symbol LIKE '_TC____'", true),
        ("symbol IN ('A', 'BTCUSDT')", true),
        ("symbol NOT IN ('A', 'B')", true),
        ("symbol NOT IN ('A', NULL)", false),
        ("user.id = 7 AND \"user.id\" = 7", true),
        ("\"weird name\" = 'x'", true),
        ("user.name IS NULL AND missing IS NULL AND symbol IS NOT NULL", true),
        ("missing = 1 OR NOT missing = 1", false),
        ("missing <> 1", false),
        ("symbol = 1", false),
        ("symbol <> 1", false),
        ("user = 1 OR user <> 1", false),
        ("user IS NOT NULL", true),
        ("ok", true),
        ("NOT ok", false),
        ("ok = TRUE AND ok > FALSE", true),
        ("symbol", false),
        ("NOT symbol", false),
        ("tags = 'a' AND tags IN ('x', 'b') AND 'b' = tags", true),
        ("tags <> 'a'", false),
        ("tags <> 'z'", true),
        ("tags > 'a'", false),
        ("empty <> 'z' AND NOT empty = 'z'", true),
        ("mixed = 'a'", true),
        ("mixed <> 'z'", false),
        ("tags = tags", false),
        ("big = 9007199254740993", true),
        ("big = 9007199254740992 OR big = 9007199254740992.0", false),
        ("user.id < price", true),
        ("1 < 2", true),
        ("NULL OR TRUE", true),
        ("NULL", false),
    ] {
        assert_eq!(matches(predicate, payload), expected, "{predicate}");
    }
    for payload in ["", "nonsense", "{\"a\":1} trailing"] {
        assert!(!matches("a IS NULL OR TRUE", payload), "{payload}");
    }
    assert!(matches("a IS NULL", "5"));
}

#[test]
fn subscribers_without_a_filter_want_even_what_is_not_json() {
    let mut index = FilterIndex::new();
    let everything = index.insert(None, 1);
    index.insert(Some(filter("TRUE")), 2);
    assert_eq!(wanted(&index, "{}"), [1, 2]);
    assert_eq!(wanted(&index, "nonsense"), [1]);
    assert_eq!(index.remove(everything), Some(1));
    assert_eq!(index.remove(everything), None);
    assert_eq!(wanted(&index, "{}"), [2]);
}

#[test]
fn equal_filters_share_one_group() {
    let mut index = FilterIndex::new();
    let keys: Vec<_> = ["a = 1 AND b > 2", "b > 2.0 AND (a = 1)", "a = 1 AND 2 < b", "a = 1"]
        .iter()
        .enumerate()
        .map(|(subscriber, text)| index.insert(Some(filter(text)), subscriber))
        .collect();
    assert_eq!(index.groups(), 2);
    assert_eq!(wanted(&index, r#"{"a":1,"b":3}"#), [0, 1, 2, 3]);
    assert_eq!(index.remove(keys[0]), Some(0));
    assert_eq!(wanted(&index, r#"{"a":1,"b":3}"#), [1, 2, 3]);
}

#[test]
fn only_groups_that_can_match_are_asked() {
    let mut index = FilterIndex::new();
    for number in 0..1_000 {
        index.insert(Some(filter(&format!("symbol = 'S{number}'"))), number);
        index.insert(Some(filter(&format!("symbol = 'BTC' AND price > {number}"))), number);
        index.insert(Some(filter(&format!("price > {number}"))), number);
        index.insert(Some(filter(&format!("\"field {number}\" IN (1, 2)"))), number);
        index.insert(Some(filter(&format!("type = 'trade' AND exchange.name = 'E{number}'"))), number);
    }
    let asked = |payload: &str| index.candidates(Document::new(payload.as_bytes()).tree().unwrap()).len();
    assert_eq!(asked(r#"{"symbol":"S7"}"#), 1);
    assert_eq!(asked(r#"{"symbol":"BTC","price":2.5}"#), 3 + 3);
    assert_eq!(asked(r#"{"price":-1}"#), 0);
    assert_eq!(asked(r#"{"price":"1000"}"#), 0);
    assert_eq!(asked(r#"{"field 3":[2,1,2]}"#), 1);
    assert_eq!(asked(r#"{"type":"trade","exchange":{"name":"E5"}}"#), 1);
    assert_eq!(asked(r#"{"type":"trade"}"#), 0);
}

#[test]
fn bounds_are_found_on_their_side_only_until_they_are_removed() {
    let values = ["-1", "0", "0.5", "1", "1e30", "''", "'x'", "'y'", "FALSE", "TRUE"];
    let mut index = FilterIndex::new();
    let mut held = Vec::new();
    for value in values {
        for comparison in ["<", "<=", "=", ">=", ">", "> 0 AND a <>"] {
            let filter = filter(&format!("a {comparison} {value}"));
            held.push((filter.clone(), held.len(), index.insert(Some(filter), held.len())));
        }
    }
    while let Some((_, _, key)) = held.last() {
        let key = *key;
        for value in values.iter().chain(&["null", "[0, 1, 1]", "{}", "0.75", "'xx'"]) {
            let payload = format!("{{\"a\":{}}}", value.replace('\'', "\"").to_lowercase());
            let document = Document::new(payload.as_bytes());
            let expected: Vec<_> = held.iter().filter(|held| held.0.matches(&document)).map(|held| held.1).collect();
            assert_eq!(wanted(&index, &payload), expected, "{payload}");
        }
        index.remove(key).unwrap();
        held.pop();
    }
    assert!(index.holds_nothing());
}

#[test]
fn nothing_of_removed_subscribers_remains() {
    let mut index = FilterIndex::new();
    let predicates = |number: usize| {
        [
            format!("a{number} = 1"),
            format!("a = 'x{number}'"),
            format!("a > {number}"),
            format!("a <= {number} AND b = {number}"),
            format!("a LIKE 'x{number}'"),
            format!("a = {number} OR b IN ({number}, {})", number + 1),
        ]
    };
    let mut keys = Vec::new();
    for number in 0..1_000 {
        keys.push(index.insert(None, number));
        keys.extend(predicates(number).iter().map(|predicate| index.insert(Some(filter(predicate)), number)));
    }
    assert_eq!(index.len(), 7_000);
    for key in keys {
        index.remove(key).unwrap();
    }
    assert!(index.is_empty() && index.holds_nothing());
}

/// A predicate, to be written as SQL and to be read naively.
#[derive(Debug, Clone)]
enum Ask {
    Compare(Side, &'static str, Side),
    In(Side, Vec<Side>, bool),
    Between([Side; 3], bool),
    Like(&'static str, String, bool),
    IsNull(Side, bool),
    Flag(&'static str),
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

#[derive(Debug, Clone)]
enum Side {
    Path(&'static str),
    Literal(Value),
}

impl Side {
    fn sql(&self) -> String {
        match self {
            Self::Path(path) => (*path).to_owned(),
            Self::Literal(Value::String(text)) => format!("'{text}'"),
            Self::Literal(value) => value.to_string(),
        }
    }

    fn value<'v>(&'v self, payload: &'v Value) -> &'v Value {
        match self {
            Self::Path(path) => look(payload, path).unwrap_or(&Value::Null),
            Self::Literal(value) => value,
        }
    }
}

fn look<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let object = value.as_object()?;
    let ends = std::iter::once(path.len()).chain(path.rmatch_indices('.').map(|(dot, _)| dot));
    ends.into_iter().find_map(|end| {
        let inner = object.get(&path[..end])?;
        if end == path.len() { Some(inner) } else { look(inner, &path[end + 1..]) }
    })
}

fn and(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn or(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    and(one.map(|truth| !truth), other.map(|truth| !truth)).map(|truth| !truth)
}

fn compared(left: &Value, operator: &str, right: &Value) -> Option<bool> {
    if operator == "<>" {
        return compared(left, "=", right).map(|equal| !equal);
    }
    if operator == "=" {
        match (left, right) {
            (Value::Array(_), Value::Array(_)) => return None,
            (Value::Array(items), value) | (value, Value::Array(items)) => {
                let nested = |item: &Value| if item.is_array() { None } else { compared(item, "=", value) };
                return if value.is_null() || value.is_object() {
                    None
                } else {
                    items.iter().map(nested).fold(Some(false), or)
                };
            }
            _ => {}
        }
    }
    let order = match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::String(left), Value::String(right)) => left.as_bytes().cmp(right.as_bytes()),
        (Value::Number(left), Value::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?)?,
        _ => return None,
    };
    Some(match operator {
        "=" => order.is_eq(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    })
}

impl Ask {
    fn sql(&self) -> String {
        let not = |negated: &bool| if *negated { "NOT " } else { "" };
        match self {
            Self::Compare(left, operator, right) => format!("{} {operator} {}", left.sql(), right.sql()),
            Self::In(side, list, negated) => {
                let list: Vec<_> = list.iter().map(Side::sql).collect();
                format!("{} {}IN ({})", side.sql(), not(negated), list.join(", "))
            }
            Self::Between([value, low, high], negated) => {
                format!("{} {}BETWEEN {} AND {}", value.sql(), not(negated), low.sql(), high.sql())
            }
            Self::Like(path, pattern, negated) => format!("{path} {}LIKE '{pattern}'", not(negated)),
            Self::IsNull(side, negated) => format!("{} IS {}NULL", side.sql(), not(negated)),
            Self::Flag(path) => (*path).to_owned(),
            Self::Not(inner) => format!("NOT ({})", inner.sql()),
            Self::And(one, other) => format!("({}) AND ({})", one.sql(), other.sql()),
            Self::Or(one, other) => format!("({}) OR ({})", one.sql(), other.sql()),
        }
    }

    fn truth(&self, payload: &Value) -> Option<bool> {
        let signed = |truth: Option<bool>, negated: bool| truth.map(|truth| truth != negated);
        match self {
            Self::Compare(left, operator, right) => compared(left.value(payload), operator, right.value(payload)),
            Self::In(side, list, negated) => {
                let equal = |item: &Side| compared(side.value(payload), "=", item.value(payload));
                signed(list.iter().map(equal).fold(Some(false), or), *negated)
            }
            Self::Between([value, low, high], negated) => {
                let value = value.value(payload);
                let inside = and(compared(value, ">=", low.value(payload)), compared(value, "<=", high.value(payload)));
                signed(inside, *negated)
            }
            Self::Like(path, pattern, negated) => {
                let text = look(payload, path)?.as_str()?;
                let (start, end) = (pattern.trim_end_matches('%'), pattern.trim_start_matches('%'));
                let truth = match (pattern.starts_with('%'), pattern.ends_with('%')) {
                    (false, false) => text == pattern,
                    (false, true) => text.starts_with(start),
                    (true, false) => text.ends_with(end),
                    (true, true) => text.contains(pattern.trim_matches('%')),
                };
                Some(truth != *negated)
            }
            Self::IsNull(side, negated) => Some(side.value(payload).is_null() != *negated),
            Self::Flag(path) => look(payload, path)?.as_bool(),
            Self::Not(inner) => signed(inner.truth(payload), true),
            Self::And(one, other) => and(one.truth(payload), other.truth(payload)),
            Self::Or(one, other) => or(one.truth(payload), other.truth(payload)),
        }
    }
}

fn any_path() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "a", "b", "b", "c", "a.b", "b.c", "a.b.c"])
}

fn any_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-2..4_i64).prop_map(Value::from),
        1 => Just(json!(0.5)),
        1 => Just(json!(1.0)),
        3 => "[xy1]{0,2}".prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

fn any_side() -> impl Strategy<Value = Side> {
    prop_oneof![2 => any_path().prop_map(Side::Path), 1 => any_scalar().prop_map(Side::Literal)]
}

fn any_ask() -> impl Strategy<Value = Ask> {
    let operator = prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]);
    let literal = || any_scalar().prop_map(Side::Literal);
    let leaf = prop_oneof![
        4 => (any_path(), literal()).prop_map(|(path, value)| Ask::Compare(Side::Path(path), "=", value)),
        3 => (any_path(), operator.clone(), literal())
            .prop_map(|(path, operator, value)| Ask::Compare(Side::Path(path), operator, value)),
        2 => (any_side(), operator, any_side()).prop_map(|(left, operator, right)| Ask::Compare(left, operator, right)),
        2 => (any_side(), prop::collection::vec(any_side(), 1..4), any::<bool>())
            .prop_map(|(side, list, negated)| Ask::In(side, list, negated)),
        2 => (any_path(), prop::collection::vec(literal(), 1..4), any::<bool>())
            .prop_map(|(path, list, negated)| Ask::In(Side::Path(path), list, negated)),
        1 => (any_side(), any_side(), any_side(), any::<bool>())
            .prop_map(|(value, low, high, negated)| Ask::Between([value, low, high], negated)),
        1 => (any_path(), "%?[xy1]{0,2}%?", any::<bool>())
            .prop_map(|(path, pattern, negated)| Ask::Like(path, pattern, negated)),
        1 => (any_side(), any::<bool>()).prop_map(|(side, negated)| Ask::IsNull(side, negated)),
        1 => any_path().prop_map(Ask::Flag),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            1 => inner.clone().prop_map(|inner| Ask::Not(Box::new(inner))),
            3 => (inner.clone(), inner.clone()).prop_map(|(one, other)| Ask::And(Box::new(one), Box::new(other))),
            2 => (inner.clone(), inner).prop_map(|(one, other)| Ask::Or(Box::new(one), Box::new(other))),
        ]
    })
}

fn any_payload() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![4 => any_scalar(), 1 => prop::collection::vec(any_scalar(), 0..4).prop_map(Value::from)];
    let name = || prop::sample::select(vec!["a", "b", "c", "a.b", "b.c"]).prop_map(str::to_owned);
    let value = leaf.prop_recursive(3, 12, 4, move |inner| {
        prop_oneof![
            3 => prop::collection::hash_map(name(), inner.clone(), 0..4).prop_map(Value::from_iter),
            1 => prop::collection::vec(inner, 0..3).prop_map(Value::from),
        ]
    });
    let name = prop::sample::select(vec!["a", "b", "c", "a.b", "b.c"]).prop_map(str::to_owned);
    prop_oneof![9 => prop::collection::hash_map(name, value.clone(), 0..6).prop_map(Value::from_iter), 1 => value]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_filter_matches_what_a_naive_reading_matches(
        ask in any_ask(), payloads in prop::collection::vec(any_payload(), 1..8)
    ) {
        let filter = filter(&ask.sql());
        for payload in payloads {
            let text = payload.to_string();
            prop_assert_eq!(filter.matches(&Document::new(text.as_bytes())), ask.truth(&payload) == Some(true), "{} {}", ask.sql(), text);
        }
    }

    #[test]
    fn an_index_finds_whom_asking_every_filter_finds(
        asks in prop::collection::vec(prop::option::weighted(0.9, any_ask()), 0..40),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        payloads in prop::collection::vec(any_payload(), 1..6),
    ) {
        let mut index = FilterIndex::new();
        let mut held = Vec::new();
        for (subscriber, ask) in asks.iter().enumerate() {
            let filter = ask.as_ref().map(|ask| filter(&ask.sql()));
            held.push((filter.clone(), subscriber, index.insert(filter, subscriber)));
        }
        for which in removed {
            if !held.is_empty() {
                let (_, subscriber, key) = held.swap_remove(which.index(held.len()));
                prop_assert_eq!(index.remove(key), Some(subscriber));
            }
        }
        prop_assert_eq!(index.len(), held.len());
        for payload in payloads {
            let text = payload.to_string();
            let document = Document::new(text.as_bytes());
            let wants = |filter: &Option<Filter>| filter.as_ref().is_none_or(|filter| filter.matches(&document));
            let mut expected: Vec<_> = held.iter().filter(|(filter, ..)| wants(filter)).map(|held| held.1).collect();
            expected.sort_unstable();
            prop_assert_eq!(wanted(&index, &text), expected, "{}", text);
        }
        for (_, _, key) in held {
            index.remove(key).unwrap();
        }
        prop_assert!(index.holds_nothing());
    }

    #[test]
    fn fields_of_any_kind_are_a_filter_or_a_problem(wanted in any_payload(), payload in any_payload()) {
        if let (Some(map), Ok(Some(filter))) = (wanted.as_object(), fields(&wanted)) {
            let text = payload.to_string();
            let equals = |(path, value): (&String, &Value)| {
                let found = look(&payload, path).unwrap_or(&Value::Null);
                let listed = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                listed.iter().any(|value| {
                    if value.is_null() { found.is_null() } else { compared(found, "=", value) == Some(true) }
                })
            };
            prop_assert_eq!(filter.matches(&Document::new(text.as_bytes())), map.iter().all(equals), "{} {}", wanted, text);
        }
    }
}
