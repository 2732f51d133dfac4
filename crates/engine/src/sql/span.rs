//! Where an expression stands in its file.
//!
//! The expression parser remembers the places of names, literals and a few words, as lines and columns. Parentheses,
//! operators before an operand and the words of `CAST` are not among them; they are found again in the text.

use sqlparser::ast::{AccessExpr, CastKind, Expr, Function, FunctionArguments, Spanned, Subscript, UnaryOperator};
use sqlparser::tokenizer::{Location, Span as SqlSpan};

use crate::diagnostic::{Position, SourceFile, Span};

/// How far around an argument the words of its call are looked for. Bytes.
const MAX_CALL_BYTES: usize = 256;

/// The place of an expression of [`super::parse`] in `file`, the file it was parsed from.
///
/// Best effort: it always lies inside the file and touches the expression; comments between its parts may shorten it. For
/// an expression that was not parsed from a file it is the empty span at the start of the file.
pub fn span_of_expr(file: &SourceFile, expr: &Expr) -> Span {
    place(file, expr).unwrap_or_default()
}

/// The place in `file` that the parser remembered for a part of an expression, such as a name; absent when it did not.
pub fn span_of_part(file: &SourceFile, part: &impl Spanned) -> Option<Span> {
    located(file, part.span())
}

fn place(file: &SourceFile, expr: &Expr) -> Option<Span> {
    let remembered = || located(file, expr.span());
    match expr {
        Expr::BinaryOp { left, right, .. } => both(file, left, right),
        Expr::Like { expr, pattern, .. }
        | Expr::ILike { expr, pattern, .. }
        | Expr::RLike { expr, pattern, .. }
        | Expr::SimilarTo { expr, pattern, .. } => both(file, expr, pattern),
        Expr::Between { expr, high, .. } => both(file, expr, high),
        Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => both(file, left, right),
        Expr::AtTimeZone { timestamp, time_zone } => both(file, timestamp, time_zone),
        Expr::InList { expr, list, .. } => {
            let start = place(file, expr)?;
            let last = list.last().and_then(|item| place(file, item)).unwrap_or(start);
            Some(start.to(forward(file, last, ")")))
        }
        Expr::Nested(inner) => place(file, inner).map(|span| forward(file, backward(file, span, "("), ")")),
        Expr::UnaryOp { op, expr } => place(file, expr).map(|span| backward(file, span, operator_text(*op))),
        Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::IsTrue(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsFalse(inner)
        | Expr::IsNotFalse(inner)
        | Expr::IsUnknown(inner)
        | Expr::IsNotUnknown(inner) => place(file, inner).map(|span| is_words(file, span)),
        Expr::Cast { kind, expr, .. } => place(file, expr).map(|span| cast(file, span, kind)),
        Expr::Function(function) => function_place(file, function).or_else(remembered),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let start = place(file, root)?;
            let end = access_chain.iter().filter_map(|access| access_place(file, access)).fold(start, Span::to);
            Some(end)
        }
        Expr::Interval(interval) => place(file, &interval.value).map(|span| backward(file, span, "INTERVAL")),
        Expr::TypedString(typed) => {
            located(file, typed.value.span).map(|span| backward(file, span, &typed.data_type.to_string()))
        }
        Expr::Trim { expr, .. } => {
            place(file, expr).or_else(remembered).map(|span| keyword_call(file, span, &["TRIM"]))
        }
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            let parts = [Some(expr), substring_from.as_ref(), substring_for.as_ref()];
            let all = parts.into_iter().flatten().filter_map(|part| place(file, part)).reduce(Span::to);
            all.map(|span| keyword_call(file, span, &["SUBSTRING", "SUBSTR"]))
        }
        Expr::Extract { expr, .. } => place(file, expr).map(|span| keyword_call(file, span, &["EXTRACT"])),
        Expr::Ceil { expr, .. } => place(file, expr).map(|span| keyword_call(file, span, &["CEIL"])),
        Expr::Floor { expr, .. } => place(file, expr).map(|span| keyword_call(file, span, &["FLOOR"])),
        Expr::Position { expr, r#in } => both(file, expr, r#in).map(|span| keyword_call(file, span, &["POSITION"])),
        _ => remembered(),
    }
}

/// `span`, an argument of a function that is called with words of its own, widened to the whole call.
fn keyword_call(file: &SourceFile, span: Span, names: &[&str]) -> Span {
    let text = file.text().as_bytes();
    let from = span.start.saturating_sub(MAX_CALL_BYTES);
    let start = (from..span.start).rev().find(|start| {
        names.iter().any(|name| {
            let end = start + name.len();
            end <= span.start && text[*start..end].eq_ignore_ascii_case(name.as_bytes())
        })
    });
    let end = closing_paren(file, span.end).unwrap_or(span.end);
    Span::new(start.unwrap_or(span.start), end)
}

fn both(file: &SourceFile, first: &Expr, last: &Expr) -> Option<Span> {
    match (place(file, first), place(file, last)) {
        (Some(first), Some(last)) => Some(first.to(last)),
        (first, last) => first.or(last),
    }
}

fn function_place(file: &SourceFile, function: &Function) -> Option<Span> {
    let name = located(file, function.name.span())?;
    let FunctionArguments::List(arguments) = &function.args else {
        return Some(name);
    };
    let arguments_end =
        arguments.args.iter().filter_map(|argument| argument_place(file, argument)).fold(name, Span::to);
    let open = if arguments_end == name { forward(file, name, "(") } else { arguments_end };
    Some(forward(file, forward(file, open, "*"), ")"))
}

fn argument_place(file: &SourceFile, argument: &sqlparser::ast::FunctionArg) -> Option<Span> {
    use sqlparser::ast::{FunctionArg, FunctionArgExpr};
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => place(file, expr),
        other => located(file, other.span()),
    }
}

fn access_place(file: &SourceFile, access: &AccessExpr) -> Option<Span> {
    match access {
        AccessExpr::Dot(expr) => place(file, expr),
        AccessExpr::Subscript(Subscript::Index { index }) => place(file, index).map(|span| forward(file, span, "]")),
        AccessExpr::Subscript(slice) => located(file, slice.span()).map(|span| forward(file, span, "]")),
    }
}

fn cast(file: &SourceFile, span: Span, kind: &CastKind) -> Span {
    let word = match kind {
        CastKind::DoubleColon => {
            let colons = forward(file, span, "::");
            let rest = file.slice(Span::new(colons.end, file.text().len()));
            let blank = rest.len() - rest.trim_start().len();
            let name = rest[blank..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len() - blank);
            return Span::new(span.start, colons.end + blank + name);
        }
        CastKind::TryCast => "TRY_CAST",
        CastKind::SafeCast => "SAFE_CAST",
        CastKind::Cast => "CAST",
    };
    let start = backward(file, backward(file, span, "("), word);
    Span::new(start.start, closing_paren(file, span.end).unwrap_or(span.end))
}

/// The end of the parenthesis that closes behind `from`, near by.
fn closing_paren(file: &SourceFile, from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, byte) in file.text().bytes().enumerate().skip(from).take(MAX_CALL_BYTES) {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 0 => return Some(index + 1),
            b')' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn is_words(file: &SourceFile, span: Span) -> Span {
    let is = forward(file, span, "IS");
    let not = forward(file, is, "NOT");
    ["NULL", "TRUE", "FALSE", "UNKNOWN"].iter().fold(not, |span, word| forward(file, span, word))
}

fn operator_text(operator: UnaryOperator) -> &'static str {
    match operator {
        UnaryOperator::Not => "NOT",
        UnaryOperator::Minus => "-",
        UnaryOperator::Plus => "+",
        UnaryOperator::BitwiseNot => "~",
        _ => "",
    }
}

/// `span` with `text` in front of it, if that stands there.
fn backward(file: &SourceFile, span: Span, text: &str) -> Span {
    let before = file.slice(Span::new(0, span.start)).trim_end();
    match before.len().checked_sub(text.len()).and_then(|start| Some((start, before.get(start..)?))) {
        Some((start, found)) if !text.is_empty() && found.eq_ignore_ascii_case(text) => Span::new(start, span.end),
        _ => span,
    }
}

/// `span` with `text` behind it, if that stands there.
fn forward(file: &SourceFile, span: Span, text: &str) -> Span {
    let rest = file.slice(Span::new(span.end, file.text().len()));
    let trimmed = rest.trim_start();
    match trimmed.get(..text.len()) {
        Some(found) if found.eq_ignore_ascii_case(text) => {
            Span::new(span.start, span.end + (rest.len() - trimmed.len()) + text.len())
        }
        _ => span,
    }
}

fn located(file: &SourceFile, span: SqlSpan) -> Option<Span> {
    let offset =
        |location: Location| file.offset(Position { line: location.line as usize, column: location.column as usize });
    (span != SqlSpan::empty()).then(|| Span::new(offset(span.start), offset(span.end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{SelectItemKind, parse};

    /// The text of the span of the one expression between SELECT and FROM.
    fn text_of(expression: &str) -> String {
        let text = format!("-- ü𝄞\r\nINSERT INTO Out\n\tSELECT 'é', {expression} FROM S;");
        let file = SourceFile::new("f", text);
        let (document, diagnostics) = parse(&file);
        assert_eq!(diagnostics, [], "{expression}");
        let SelectItemKind::Expr { expr, .. } = &document.queries[0].projection[1].kind else { panic!("{expression}") };
        file.slice(span_of_expr(&file, expr)).to_owned()
    }

    #[test]
    fn the_span_covers_the_whole_expression() {
        for expression in [
            "a",
            "\"ß a\"",
            "12.5",
            "'ü'''",
            "a + b * 2",
            "(a)",
            "((a + b)) * (c)",
            "-a",
            "NOT (a OR b)",
            "a IS NULL",
            "a is not null",
            "a BETWEEN 1 AND (2)",
            "a IN (1, 2, (3))",
            "a NOT LIKE 'x%'",
            "a RLIKE 'x'",
            "CAST(a AS BIGINT)",
            "TRY_CAST( (a) AS STRING )",
            "a::BIGINT",
            "CAST(a AS DECIMAL(10, 2))",
            "upper(trim(a))",
            "now()",
            "count(*)",
            "f(a, (b))",
            "data->>'s'",
            "data->'é'->0",
            "items[0]",
            "data.items[0].x",
            "data.s.t",
            "CASE WHEN a THEN b ELSE c END",
            "TIMESTAMP '2024-01-01'",
            "INTERVAL '1' ",
            "a || 'ü' || b",
            "a IS DISTINCT FROM b",
            "CURRENT_TIMESTAMP",
            "COALESCE(a, 'é')",
            "EXTRACT(HOUR FROM t)",
            "TRIM(BOTH ' ' FROM a)",
            "trim(trim(a))",
            "SUBSTRING(a FROM 1 FOR (2))",
            "substr(a, 1)",
            "POSITION('é' IN a)",
            "CEIL(a) + floor( (b) )",
        ] {
            assert_eq!(text_of(expression), expression.trim_end(), "{expression}");
        }
    }

    #[test]
    fn an_expression_without_a_place_gets_the_start_of_the_file() {
        let file = SourceFile::new("f", "SELECT");
        let expr = Expr::Identifier(sqlparser::ast::Ident::new("a"));
        assert_eq!(span_of_expr(&file, &expr), Span::at(0));
    }
}
