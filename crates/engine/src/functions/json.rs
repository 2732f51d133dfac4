//! Functions of JSON. Numbers keep the text they have.

use std::fmt::Write as _;

use eventflux_core::{FunctionError, ValueRef};

use super::json_order;
use super::short::{ANY, BIGINT, BOOL, DOUBLE, JSON, STRING, TO_BIGINT, TO_BOOL, TO_JSON, TO_STRING};
use super::values::{Args, Output};
use super::{BadArgument, Builtin, Constants, Family, Kernel, Prepared, RowResult, Signature, check_size, signature};
use crate::expr::json::{self, Step};
use crate::expr::text;

/// The most steps of a path.
const MAX_STEPS: usize = 128;

const fn json_function(
    name: &'static str,
    signatures: &'static [Signature],
    summary: &'static str,
    examples: &'static [(&'static str, &'static str)],
    kernel: Kernel,
) -> Builtin {
    Builtin::new(Family::Json, name, signatures, summary, examples, kernel)
}

const BAD_PATH: &str = "a path that cannot be read, when it comes from the row.";

pub(super) const FUNCTIONS: &[Builtin] = &[
    json_function(
        "JSON_EXTRACT",
        &[signature!((value: JSON, path: STRING) -> TO_JSON)],
        "The JSON at a path such as `$.data.items[0].price` or `$['a b'][-1]`; `NULL` when there is nothing. \
         `value.data` and `value->'data'` do the same for fixed names.",
        &[("JSON_EXTRACT(PARSE_JSON('{\"a\":[1,2.50]}'), '$.a[-1]')", "JSON '2.50'")],
        Kernel::Prepared(|constants| prepare_path(constants, extract)),
    )
    .aliases(&["JSON_QUERY"])
    .errors(BAD_PATH),
    json_function(
        "JSON_VALUE",
        &[signature!((value: JSON; path: STRING) -> TO_STRING)],
        "The text of the JSON at a path, by default of the value itself: of a string its content, of anything else \
         the JSON text; `NULL` when there is nothing or `null`.",
        &[
            ("JSON_VALUE(PARSE_JSON('{\"s\":\"BTC\"}'), '$.s')", "'BTC'"),
            ("JSON_VALUE(PARSE_JSON('[1, 2]'))", "'[1, 2]'"),
        ],
        Kernel::Prepared(|constants| prepare_path(constants, value)),
    )
    .aliases(&["JSON_TEXT"])
    .errors(BAD_PATH),
    json_function(
        "JSON_COMPARE",
        &[
            signature!((value: JSON, path: STRING, other: BIGINT) -> TO_BIGINT),
            signature!((value: JSON, path: STRING, other: DOUBLE) -> TO_BIGINT),
            signature!((value: JSON, path: STRING, other: STRING) -> TO_BIGINT),
            signature!((value: JSON, path: STRING, other: BOOL) -> TO_BIGINT),
        ],
        "How the JSON at a path compares with a value: -1 when it is less, 0 when it is equal, 1 when it is greater. \
         Numbers compare exactly, texts by their bytes, `FALSE` is less than `TRUE`; `NULL` when there is nothing, or \
         something of another type.",
        &[
            ("JSON_COMPARE(PARSE_JSON('{\"v\":60}'), '$.v', 50)", "1"),
            ("JSON_COMPARE(PARSE_JSON('{\"v\":\"60\"}'), '$.v', 50)", "NULL"),
        ],
        Kernel::Prepared(|constants| prepare_path(constants, json_order::compare)),
    )
    .errors(BAD_PATH),
    json_function(
        "JSON_CONTAINS",
        &[
            signature!((value: JSON, path: STRING, other: BIGINT) -> TO_BOOL),
            signature!((value: JSON, path: STRING, other: DOUBLE) -> TO_BOOL),
            signature!((value: JSON, path: STRING, other: STRING) -> TO_BOOL),
            signature!((value: JSON, path: STRING, other: BOOL) -> TO_BOOL),
        ],
        "Whether the text at a path has this part, or the array there has an element equal to this value (as with \
         `JSON_COMPARE`); `NULL` of anything else.",
        &[
            ("JSON_CONTAINS(PARSE_JSON('{\"tags\":[\"a\",\"b\"]}'), '$.tags', 'b')", "TRUE"),
            ("JSON_CONTAINS(PARSE_JSON('{\"name\":\"pump 7\"}'), '$.name', 'pump')", "TRUE"),
        ],
        Kernel::Prepared(|constants| prepare_path(constants, json_order::contains)),
    )
    .errors(BAD_PATH),
    json_function(
        "JSON_TYPE",
        &[signature!((value: JSON) -> TO_STRING)],
        "`object`, `array`, `string`, `number`, `boolean` or `null`.",
        &[("JSON_TYPE(PARSE_JSON('[]'))", "'array'")],
        Kernel::Row(|args, out| out.text(json::type_name(args.text(0)).map_err(FunctionError::invalid)?)),
    ),
    json_function(
        "JSON_ARRAY_LENGTH",
        &[signature!((value: JSON) -> TO_BIGINT)],
        "Number of elements of an array; `NULL` of anything else.",
        &[("JSON_ARRAY_LENGTH(PARSE_JSON('[1,[2,3]]'))", "2")],
        Kernel::Row(array_length),
    ),
    json_function(
        "JSON_KEYS",
        &[signature!((value: JSON) -> TO_JSON)],
        "The names of an object's members, as an array in their order; `NULL` of anything else.",
        &[("JSON_KEYS(PARSE_JSON('{\"b\":1,\"a\":2}'))", "JSON '[\"b\",\"a\"]'")],
        Kernel::Row(keys),
    ),
    json_function(
        "JSON_OBJECT",
        &[signature!((name: STRING, value: ANY, ...) -> TO_JSON)],
        "An object of names and values in turn. Values become JSON as with `TO_JSON`.",
        &[("JSON_OBJECT('s', 'BTC', 'p', 1.5)", "JSON '{\"s\":\"BTC\",\"p\":1.5}'")],
        Kernel::Prepared(|constants| {
            if constants.len() % 2 == 1 {
                let reason = "this name has no value: names and values come in pairs".to_owned();
                return Err(BadArgument { index: constants.len() - 1, reason });
            }
            Ok(Box::new(object))
        }),
    )
    .nulls("a value that is `NULL` becomes `null`; a name must not be `NULL`.")
    .errors("a name that is no text; a value without a JSON form; a result longer than 1 MiB."),
    json_function(
        "TO_JSON",
        &[signature!((value: ANY) -> TO_JSON)],
        "The value as JSON: text and timestamps as strings, numbers and `BOOL` as such.",
        &[("TO_JSON('a\"b')", "JSON '\"a\\\"b\"'"), ("TO_JSON(1.50)", "JSON '1.5'")],
        Kernel::Row(|args, out| out.write(|o| write_json(args.value(0), o))),
    )
    .errors("`BYTES`, and floating-point numbers that are not finite."),
    json_function(
        "PARSE_JSON",
        &[signature!((text: STRING) -> TO_JSON)],
        "Reads text as JSON; the same as `CAST(text AS JSON)`.",
        &[("PARSE_JSON('{\"p\":\"1.5\"}')->>'p'", "'1.5'")],
        Kernel::Row(|args, out| {
            let text = args.text(0).trim();
            json::check(text)
                .map_err(|_| FunctionError::invalid(format!("{} is not JSON", text::shown(ValueRef::String(text)))))?;
            out.push(ValueRef::Json(text));
            Ok(())
        }),
    )
    .errors("text that is not JSON."),
    json_function(
        "JSON_VALID",
        &[signature!((text: STRING) -> TO_BOOL)],
        "Whether the text is JSON.",
        &[("JSON_VALID('{\"a\":1}')", "TRUE"), ("JSON_VALID('{a:1}')", "FALSE")],
        Kernel::Row(|args, out| out.bool(json::check(args.text(0).trim()).is_ok())),
    ),
];

type UsePath = fn(&[Step], &Args<'_>, &mut Output) -> RowResult;

/// Reads the path, argument 1, now if it is constant or missing, else for each row.
fn prepare_path(constants: &Constants<'_>, apply: UsePath) -> Prepared {
    let fixed = if constants.len() < 2 { Some("$") } else { constants.text(1) };
    if let Some(path) = fixed {
        let path = parse_path(path).map_err(|reason| BadArgument { index: 1, reason })?;
        return Ok(Box::new(move |args: &Args<'_>, out: &mut Output| apply(&path, args, out)));
    }
    Ok(Box::new(move |args: &Args<'_>, out: &mut Output| {
        let path = parse_path(args.text(1)).map_err(FunctionError::invalid)?;
        apply(&path, args, out)
    }))
}

/// Reads `$.name[0]['name']`; the dollar sign and the point before the first name may be left out.
fn parse_path(path: &str) -> Result<Vec<Step>, String> {
    let bad = |reason: &str| {
        let shown = text::shown(ValueRef::String(path));
        format!("{shown} is no path such as '$.data.items[0]': {reason}")
    };
    let mut steps = Vec::new();
    let mut rest = path.trim();
    rest = rest.strip_prefix('$').unwrap_or(rest);
    let mut needs_point = rest.len() < path.trim().len();
    while !rest.is_empty() {
        if steps.len() == MAX_STEPS {
            return Err(bad(&format!("it has more than {MAX_STEPS} steps")));
        }
        if let Some(inner) = rest.strip_prefix('[') {
            let (step, behind) =
                parse_bracket(inner).ok_or_else(|| bad("in brackets stands an index or a quoted name"))?;
            steps.push(step);
            rest = behind;
        } else {
            let name = match rest.strip_prefix('.') {
                Some(name) => name,
                None if needs_point => return Err(bad("a point is missing")),
                None => rest,
            };
            let end = name.find(['.', '[']).unwrap_or(name.len());
            if end == 0 {
                return Err(bad("a name is missing"));
            }
            steps.push(Step::Member(name[..end].to_owned()));
            rest = &name[end..];
        }
        needs_point = true;
    }
    Ok(steps)
}

fn parse_bracket(inner: &str) -> Option<(Step, &str)> {
    for quote in ['\'', '"'] {
        if let Some(quoted) = inner.strip_prefix(quote) {
            let (name, behind) = quoted.split_once(quote)?;
            return Some((Step::Member(name.to_owned()), behind.strip_prefix(']')?));
        }
    }
    let (index, behind) = inner.split_once(']')?;
    Some((Step::Element(index.trim().parse().ok()?), behind))
}

fn extract(path: &[Step], args: &Args<'_>, out: &mut Output) -> RowResult {
    let found = json::find(args.text(0), path).map_err(FunctionError::invalid)?;
    out.push(found.map_or(ValueRef::Null, ValueRef::Json));
    Ok(())
}

fn value(path: &[Step], args: &Args<'_>, out: &mut Output) -> RowResult {
    let found = json::find(args.text(0), path).map_err(FunctionError::invalid)?;
    let text = found.map_or(Ok(None), json::text_of).map_err(FunctionError::invalid)?;
    out.push(text.as_deref().map_or(ValueRef::Null, ValueRef::String));
    Ok(())
}

fn array_length(args: &Args<'_>, out: &mut Output) -> RowResult {
    let Some(elements) = json::elements(args.text(0)) else {
        out.push_null();
        return Ok(());
    };
    let mut count = 0;
    for element in elements {
        element.map_err(FunctionError::invalid)?;
        count += 1;
    }
    out.long(count)
}

fn keys(args: &Args<'_>, out: &mut Output) -> RowResult {
    let Some(members) = json::members(args.text(0)) else {
        out.push_null();
        return Ok(());
    };
    out.write(|o| {
        o.push('[');
        for (index, member) in members.enumerate() {
            if index > 0 {
                o.push(',');
            }
            o.push_str(member.map_err(FunctionError::invalid)?.0);
        }
        o.push(']');
        Ok(())
    })
}

fn object(args: &Args<'_>, out: &mut Output) -> RowResult {
    out.write(|o| {
        let start = o.len();
        for index in (0..args.len()).step_by(2) {
            o.push(if index == 0 { '{' } else { ',' });
            let ValueRef::String(name) = args.value(index) else {
                return Err(FunctionError::invalid(format!("name {} is no text", index / 2 + 1)));
            };
            json::write_string(name, o);
            o.push(':');
            write_json(args.value(index + 1), o)?;
            check_size(o.len() - start)?;
        }
        o.push('}');
        Ok(())
    })
}

fn write_json(value: ValueRef<'_>, out: &mut String) -> RowResult {
    // Writing to a String does not fail.
    let _ = match value {
        ValueRef::Null => write!(out, "null"),
        ValueRef::Bool(value) => write!(out, "{value}"),
        ValueRef::Int(value) => write!(out, "{value}"),
        ValueRef::Long(value) => write!(out, "{value}"),
        ValueRef::Float(value) if value.is_finite() => {
            text::write_float(value, out);
            Ok(())
        }
        ValueRef::Double(value) if value.is_finite() => {
            text::write_double(value, out);
            Ok(())
        }
        ValueRef::Float(_) | ValueRef::Double(_) => {
            return Err(FunctionError::invalid("a number that is not finite has no JSON form"));
        }
        ValueRef::String(value) => {
            json::write_string(value, out);
            Ok(())
        }
        ValueRef::Json(value) => out.write_str(value),
        ValueRef::Timestamp(value) => {
            out.push('"');
            text::write_timestamp(value, out);
            out.write_char('"')
        }
        ValueRef::Bytes(_) => {
            return Err(FunctionError::invalid("BYTES have no JSON form; use TO_BASE64 or HEX"));
        }
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_or_refused() {
        let member = |name: &str| Step::Member(name.to_owned());
        assert_eq!(parse_path("$").unwrap(), []);
        assert_eq!(
            parse_path("$.a.b[0][-1]").unwrap(),
            [member("a"), member("b"), Step::Element(0), Step::Element(-1)]
        );
        assert_eq!(parse_path("a['b c'].\u{e9}").unwrap(), [member("a"), member("b c"), member("é")]);
        for path in ["$a", "$.", "$..a", "$[", "$[a]", "$['a", "$['a'", "$[1]a", "a.", &"[0]".repeat(200)] {
            assert!(parse_path(path).is_err(), "{path}");
        }
    }
}
