//! Conditions on payloads as peers write them, as SQL predicates for [`Filter`](eventflux_gateway::filter::Filter).

use serde_json::{Map, Value};

/// What a severity is called (RFC 5424 section 6.2.1, and what loggers make of it), the lowest first.
const SEVERITIES: [&[&str]; 8] = [
    &["debug"],
    &["informational", "info"],
    &["notice"],
    &["warning", "warn"],
    &["error", "err"],
    &["critical", "crit"],
    &["alert"],
    &["emergency", "emerg", "panic"],
];

/// Values that `in` may list.
const MAX_VALUES: usize = 64;

/// The predicate of `{"path": "$.severity", "operator": ">=", "value": "warning"}`.
///
/// Operators are `=` or `==`, `!=` or `<>`, `<`, `<=`, `>`, `>=`, and `in` with a list. `<`, `<=`, `>` and `>=` with the
/// name of a severity mean the order of severities, in small letters, in capitals, or with a capital; with any other text,
/// the order of texts.
///
/// # Errors
/// What is wrong with it.
pub(super) fn predicate(parts: &Map<String, Value>) -> Result<String, String> {
    if let Some(name) = parts.keys().find(|name| !matches!(name.as_str(), "path" | "operator" | "value")) {
        let name: String = name.chars().take(64).flat_map(char::escape_debug).collect();
        return Err(format!("a filter has 'path', 'operator' and 'value', and no '{name}'"));
    }
    let text = |name: &str| {
        let value = parts.get(name).and_then(Value::as_str);
        value.ok_or_else(|| format!("'{name}' of the filter has to be a text"))
    };
    let field = field(text("path")?).map_err(|reason| format!("'path' of the filter: {reason}"))?;
    let operator = text("operator")?;
    let value = parts.get("value").ok_or("'value' of the filter is missing")?;
    compare(&field, operator, value)
}

/// The field that a path leads to, as a predicate names it: `$.a.b` becomes `"a.b"`.
pub(super) fn field(path: &str) -> Result<String, &'static str> {
    Ok(format!("\"{}\"", names(path)?.replace('"', "\"\"")))
}

/// Whether that is a path into a payload, like `$.user.id`.
///
/// # Errors
/// Why it is none.
pub fn check_path(path: &str) -> Result<(), &'static str> {
    names(path).map(drop)
}

/// The names in a path, with a dot between two.
fn names(path: &str) -> Result<&str, &'static str> {
    let shape = "it has to be a path into the payload like $.user.id, with names of members and nothing else";
    let names = path.strip_prefix("$.").ok_or(shape)?;
    let is_plain = |name: &str| !name.is_empty() && !name.contains(['[', ']', '*', '?', '@', '(', ')']);
    if names.split('.').all(is_plain) { Ok(names) } else { Err(shape) }
}

/// A text as a literal.
pub(super) fn literal_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn compare(field: &str, operator: &str, value: &Value) -> Result<String, String> {
    match (operator, value) {
        ("=" | "==", Value::Null) => Ok(format!("{field} IS NULL")),
        ("!=" | "<>", Value::Null) => Ok(format!("{field} IS NOT NULL")),
        ("=" | "==", value) => Ok(format!("{field} = {}", literal(value)?)),
        ("!=" | "<>", value) => Ok(format!("{field} <> {}", literal(value)?)),
        ("in", Value::Array(values)) if (1..=MAX_VALUES).contains(&values.len()) => one_of(field, values),
        ("in", _) => Err(format!("'value' of a filter with 'in' has to be a list of 1 to {MAX_VALUES} values")),
        ("<" | "<=" | ">" | ">=", Value::String(text)) => {
            Ok(severities(field, operator, text)
                .unwrap_or_else(|| format!("{field} {operator} {}", literal_text(text))))
        }
        ("<" | "<=" | ">" | ">=", value) => Ok(format!("{field} {operator} {}", literal(value)?)),
        _ => {
            Err("'operator' of a filter is one of =, ==, !=, <>, <, <=, >, >= and in; a SQL predicate as 'filter' has \
                  LIKE, BETWEEN, AND, OR and NOT too"
                .to_owned())
        }
    }
}

fn one_of(field: &str, values: &[Value]) -> Result<String, String> {
    let values: Vec<_> = values.iter().map(literal).collect::<Result<_, _>>()?;
    Ok(format!("{field} IN ({})", values.join(", ")))
}

/// The condition on severities, if `text` is the name of one.
fn severities(field: &str, operator: &str, text: &str) -> Option<String> {
    let bound = SEVERITIES.iter().position(|names| names.iter().any(|name| name.eq_ignore_ascii_case(text)))?;
    let is_wanted = |level: usize| match operator {
        "<" => level < bound,
        "<=" => level <= bound,
        ">" => level > bound,
        _ => level >= bound,
    };
    let wanted = SEVERITIES.iter().enumerate().filter(|(level, _)| is_wanted(*level)).flat_map(|(_, names)| *names);
    let spellings: Vec<_> = wanted.flat_map(|name| spellings(name)).map(|name| literal_text(&name)).collect();
    // Nothing is above the highest one.
    Some(if spellings.is_empty() { "FALSE".to_owned() } else { format!("{field} IN ({})", spellings.join(", ")) })
}

fn spellings(name: &str) -> [String; 3] {
    let capitalised = name[..1].to_ascii_uppercase() + &name[1..];
    [name.to_owned(), name.to_ascii_uppercase(), capitalised]
}

fn literal(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(literal_text(text)),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(true) => Ok("TRUE".to_owned()),
        Value::Bool(false) => Ok("FALSE".to_owned()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err("'value' of the filter has to be a text, a number, true or false with this operator".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use eventflux_gateway::filter::{Document, Filter, FilterLimits};
    use serde_json::json;

    use super::*;

    fn filter(path: &str, operator: &str, value: &Value) -> Filter {
        let parts = json!({"path": path, "operator": operator, "value": value});
        let predicate = predicate(parts.as_object().unwrap()).unwrap();
        Filter::new(None, Some(&predicate), &FilterLimits::default()).unwrap().unwrap()
    }

    fn matches(path: &str, operator: &str, value: &Value, payload: &Value) -> bool {
        filter(path, operator, value).matches(&Document::new(payload.to_string().as_bytes()))
    }

    #[test]
    fn operators_compare_as_they_say() {
        let payload =
            json!({"n": 5, "t": "it's", "b": true, "o": {"deep \"er\"": -1.5e-3}, "none": null, "l": ["x", "y"]});
        for (path, operator, value, expected) in [
            ("$.n", "=", json!(5), true),
            ("$.n", "==", json!(5.0), true),
            ("$.n", "!=", json!(5), false),
            ("$.n", "<>", json!(6), true),
            ("$.n", ">", json!(5), false),
            ("$.n", ">=", json!(5), true),
            ("$.n", "<", json!(1e300), true),
            ("$.n", "<=", json!(i64::MIN), false),
            ("$.n", "in", json!([1, 5]), true),
            ("$.n", "in", json!([1, "5"]), false),
            ("$.t", "==", json!("it's"), true),
            ("$.t", ">", json!("is"), true),
            ("$.b", "=", json!(true), true),
            ("$.o.deep \"er\"", "=", json!(-0.0015), true),
            ("$.none", "=", json!(null), true),
            ("$.missing", "==", json!(null), true),
            ("$.n", "!=", json!(null), true),
            ("$.l", "=", json!("y"), true),
            ("$.n", ">", json!("4"), false),
        ] {
            assert_eq!(matches(path, operator, &value, &payload), expected, "{path} {operator} {value}");
        }
    }

    #[test]
    fn severities_are_in_the_order_of_syslog() {
        let order = ["debug", "info", "notice", "warn", "ERROR", "Crit", "ALERT", "Emergency"];
        let all = |operator: &str, value: &str| {
            let (filter, mut wanted) = (filter("$.severity", operator, &json!(value)), Vec::new());
            for name in order {
                let payload = json!({ "severity": name }).to_string();
                if filter.matches(&Document::new(payload.as_bytes())) {
                    wanted.push(name);
                }
            }
            wanted
        };
        assert_eq!(all(">=", "warning"), order[3..]);
        assert_eq!(all(">", "WARN"), order[4..]);
        assert_eq!(all("<", "Warning"), order[..3]);
        assert_eq!(all("<=", "err"), order[..5]);
        assert_eq!(all(">=", "debug"), order);
        assert_eq!(all(">", "panic"), [""; 0]);
        assert_eq!(all("=", "warn"), ["warn"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (parts, expected) in [
            (json!({"operator": "=", "value": 1}), "'path'"),
            (json!({"path": "severity", "operator": "=", "value": 1}), "$.user.id"),
            (json!({"path": "$.a[0]", "operator": "=", "value": 1}), "$.user.id"),
            (json!({"path": "$..a", "operator": "=", "value": 1}), "$.user.id"),
            (json!({"path": "$", "operator": "=", "value": 1}), "$.user.id"),
            (json!({"path": "$.a", "value": 1}), "'operator'"),
            (json!({"path": "$.a", "operator": "~", "value": 1}), "is one of ="),
            (json!({"path": "$.a", "operator": "="}), "'value'"),
            (json!({"path": "$.a", "operator": "=", "value": [1]}), "'value'"),
            (json!({"path": "$.a", "operator": ">", "value": null}), "'value'"),
            (json!({"path": "$.a", "operator": "in", "value": []}), "1 to 64"),
            (json!({"path": "$.a", "operator": "in", "value": vec![1; 65]}), "1 to 64"),
            (json!({"path": "$.a", "operator": "=", "value": 1, "not": true}), "'not'"),
        ] {
            let error = predicate(parts.as_object().unwrap()).unwrap_err();
            assert!(error.contains(expected), "{parts}: {error}");
        }
    }

    #[test]
    fn the_largest_conditions_are_within_the_limits_of_filters() {
        filter("$.severity", ">=", &json!("debug"));
        filter("$.n", "in", &json!(vec![u64::MAX; MAX_VALUES]));
    }
}
