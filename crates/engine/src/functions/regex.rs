//! Regular expressions, of the `regex` crate: linear time, without look-around and back-references. A literal pattern is
//! compiled once with the query; patterns of rows go through a small cache.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use eventflux_core::FunctionError;
use regex::{Regex, RegexBuilder};

use super::short::{BIGINT, STRING, TO_BIGINT, TO_BOOL, TO_STRING};
use super::values::{Args, Output};
use super::{BadArgument, Builtin, Constants, Family, Kernel, Prepared, RowResult, Signature, check_size, signature};

/// The most memory one compiled pattern may take, in bytes.
const MAX_COMPILED_BYTES: usize = 1024 * 1024;
/// The longest pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 8 * 1024;
/// How many patterns of rows each call in a query keeps compiled.
const CACHED_PATTERNS: usize = 32;

const BAD_PATTERN: &str = "a pattern that is no regular expression, when it comes from the row.";

const fn regex_function(
    name: &'static str,
    signatures: &'static [Signature],
    summary: &'static str,
    examples: &'static [(&'static str, &'static str)],
    prepare: fn(&Constants<'_>) -> Prepared,
) -> Builtin {
    Builtin::new(Family::Regex, name, signatures, summary, examples, Kernel::Prepared(prepare)).errors(BAD_PATTERN)
}

pub(super) const FUNCTIONS: &[Builtin] = &[
    regex_function(
        "REGEXP_LIKE",
        &[signature!((text: STRING, pattern: STRING) -> TO_BOOL)],
        "Whether the pattern matches somewhere in the text; `^` and `$` bind it to the ends, `(?i)` ignores case.",
        &[("REGEXP_LIKE('BTCUSDT', '^(BTC|ETH)')", "TRUE")],
        |constants| prepare(constants, |regex, args, out| out.bool(regex.is_match(args.text(0)))),
    )
    .aliases(&["REGEXP_MATCHES"]),
    regex_function(
        "REGEXP_EXTRACT",
        &[signature!((text: STRING, pattern: STRING; group: BIGINT) -> TO_STRING)],
        "What the first match captured in that group, by default the whole match (group 0); `NULL` when nothing \
         matches or the group took no part.",
        &[("REGEXP_EXTRACT('id=42;', 'id=([0-9]+)', 1)", "'42'"), ("REGEXP_EXTRACT('abc', '[0-9]+')", "NULL")],
        |constants| prepare(constants, extract),
    )
    .aliases(&["REGEXP_SUBSTR"])
    .errors("a pattern that is no regular expression; a group the pattern does not have."),
    regex_function(
        "REGEXP_REPLACE",
        &[signature!((text: STRING, pattern: STRING, replacement: STRING) -> TO_STRING)],
        "Every match replaced; `$1` or `${name}` in the replacement stands for what a group captured, `$$` for a \
         dollar sign.",
        &[("REGEXP_REPLACE('2024-01-31', '(\\d+)-(\\d+)-(\\d+)', '$3.$2.$1')", "'31.01.2024'")],
        |constants| prepare(constants, replace),
    )
    .errors("a pattern that is no regular expression; a result longer than 1 MiB."),
    regex_function(
        "REGEXP_COUNT",
        &[signature!((text: STRING, pattern: STRING) -> TO_BIGINT)],
        "How often the pattern matches, without overlaps.",
        &[("REGEXP_COUNT('a1b22', '[0-9]')", "3")],
        |constants| prepare(constants, |regex, args, out| out.long(regex.find_iter(args.text(0)).count() as i64)),
    ),
];

type Use = fn(&Regex, &Args<'_>, &mut Output) -> RowResult;

/// Compiles the pattern, argument 1, now if it is constant, else for each row.
fn prepare(constants: &Constants<'_>, apply: Use) -> Prepared {
    if let Some(pattern) = constants.text(1) {
        let regex = compile(pattern).map_err(|reason| BadArgument { index: 1, reason })?;
        return Ok(Box::new(move |args: &Args<'_>, out: &mut Output| apply(&regex, args, out)));
    }
    let cache = Cache::default();
    Ok(Box::new(move |args: &Args<'_>, out: &mut Output| {
        let regex = cache.get(args.text(1)).map_err(FunctionError::invalid)?;
        apply(&regex, args, out)
    }))
}

fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(format!("the pattern is longer than {MAX_PATTERN_BYTES} bytes"));
    }
    let compiled = RegexBuilder::new(pattern).size_limit(MAX_COMPILED_BYTES).dfa_size_limit(MAX_COMPILED_BYTES).build();
    compiled.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => format!("the pattern needs more than {MAX_COMPILED_BYTES} bytes of memory"),
        // The last line of the library's report names the reason; those before it draw the pattern.
        other => {
            let text = other.to_string();
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            format!("the pattern is no regular expression: {reason}")
        }
    })
}

/// The patterns used last, the latest at the end.
#[derive(Default)]
struct Cache {
    entries: Mutex<VecDeque<(String, Arc<Regex>)>>,
}

impl Cache {
    fn get(&self, pattern: &str) -> Result<Arc<Regex>, String> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, regex)) = entries.iter().rev().find(|(known, _)| known == pattern) {
            return Ok(regex.clone());
        }
        let regex = Arc::new(compile(pattern)?);
        if entries.len() >= CACHED_PATTERNS {
            entries.pop_front();
        }
        entries.push_back((pattern.to_owned(), regex.clone()));
        Ok(regex)
    }
}

fn extract(regex: &Regex, args: &Args<'_>, out: &mut Output) -> RowResult {
    let group = args.optional_long(2).unwrap_or(0);
    let index = usize::try_from(group).ok().filter(|&index| index < regex.captures_len());
    let index = index.ok_or_else(|| {
        let groups = regex.captures_len() - 1;
        FunctionError::invalid(format!("the pattern has no group {group}; it has {groups}"))
    })?;
    let found = if index == 0 {
        regex.find(args.text(0))
    } else {
        regex.captures(args.text(0)).and_then(|captures| captures.get(index))
    };
    match found {
        Some(found) => out.text(found.as_str()),
        None => {
            out.push_null();
            Ok(())
        }
    }
}

fn replace(regex: &Regex, args: &Args<'_>, out: &mut Output) -> RowResult {
    let (text, replacement) = (args.text(0), args.text(2));
    out.write(|o| {
        let start = o.len();
        let mut end = 0;
        let references = replacement.matches('$').count();
        for captures in regex.captures_iter(text) {
            let whole = captures.get_match();
            o.push_str(&text[end..whole.start()]);
            // No group captures more than the whole match.
            let longest = replacement.len().saturating_add(references.saturating_mul(whole.len()));
            check_size((o.len() - start).saturating_add(longest))?;
            captures.expand(replacement, o);
            end = whole.end();
        }
        o.push_str(&text[end..]);
        check_size(o.len() - start)
    })
}
