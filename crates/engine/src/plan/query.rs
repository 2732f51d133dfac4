//! One query: resolves its streams, compiles its expressions, and fits them to the columns of the stream it feeds.
//!
//! Results are matched to columns by *name*: an item's alias, else the column it names; an expression without a name
//! takes the column at its own place. Every column of the target is selected exactly once.

use eventflux_core::property::nearest;
use eventflux_core::{EventFluxContext, Schema};
use sqlparser::ast::Expr;

use super::QueryPlan;
use super::streams::Streams;
use crate::diagnostic::{Diagnostic, SourceFile, Span};
use crate::expr::{self, CompiledExpr, Scope};
use crate::sql::{Ident, Query, SelectItem, SelectItemKind};

/// One result with the name it goes by.
struct Output {
    name: Option<String>,
    span: Span,
    compiled: Option<CompiledExpr>,
}

/// Plans one query; `None` when it has a mistake.
pub(super) fn plan(
    file: &SourceFile,
    query: &Query,
    streams: &Streams,
    context: &EventFluxContext,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<QueryPlan> {
    let from = streams.resolve(&query.from, diagnostics);
    let into = streams.resolve(&query.into, diagnostics);
    let from = from?;
    let source = streams.plan(from);
    if !source.complete || into.is_some_and(|into| !streams.plan(into).complete) {
        // What seems to be missing may stand where the declaration could not be read.
        return None;
    }
    let alias = query.alias.as_ref().map(|alias| alias.name.as_str());
    let scope = Scope { file, stream: &source.name, alias, schema: &source.schema, context };
    let before = diagnostics.len();
    let predicate = query.predicate.as_ref().and_then(|predicate| {
        expr::compile_condition(predicate, &scope).map_err(|mistakes| diagnostics.extend(mistakes)).ok()
    });
    let target = into.map(|into| streams.plan(into).schema.as_ref());
    let mut outputs = Some(Vec::new());
    for item in &query.projection {
        let place = outputs.as_ref().map_or(0, Vec::len);
        let more = outputs_of(item, place, &scope, target, diagnostics);
        outputs = outputs.zip(more).map(|(outputs, more)| outputs.into_iter().chain(more).collect());
    }
    let into = into?;
    let projection = fit(query, outputs?, streams, into, diagnostics);
    (diagnostics.len() == before).then_some(QueryPlan {
        from,
        into,
        predicate,
        projection: projection?,
        into_span: query.into.span,
    })
}

/// What a select item yields: several results for `*`, else one; `None` when that cannot be told.
fn outputs_of(
    item: &SelectItem,
    place: usize,
    scope: &Scope<'_>,
    target: Option<&Schema>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Vec<Output>> {
    match &item.kind {
        SelectItemKind::Wildcard { qualifier } => {
            let name = scope.alias.unwrap_or(scope.stream);
            if let Some(wrong) = qualifier.as_ref().filter(|qualifier| qualifier.name != name) {
                let message = format!("'{}' is not what this query reads", wrong.name);
                diagnostics.push(Diagnostic::error(wrong.span, message).with_hint(format!("write * or {name}.*")));
                return None;
            }
            let columns = scope.schema.names();
            Some(columns.map(|name| wildcard_column(name, item.span, scope, target, diagnostics)).collect())
        }
        SelectItemKind::Expr { expr, alias } => {
            let name = alias.as_ref().map(|alias: &Ident| alias.name.clone()).or_else(|| column_name(expr));
            let wanted = match &name {
                Some(name) => target.and_then(|schema| schema.index_of(name)),
                None => Some(place),
            };
            let compiled = compile_for(expr, wanted, scope, target);
            let compiled = compiled.map_err(|mistakes| diagnostics.extend(mistakes)).ok();
            Some(vec![Output { name, span: item.span, compiled }])
        }
    }
}

/// One column of `*`; a mistake is shown at the star.
fn wildcard_column(
    name: &str,
    span: Span,
    scope: &Scope<'_>,
    target: Option<&Schema>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Output {
    let column = Expr::Identifier(sqlparser::ast::Ident::with_quote('"', name));
    let wanted = target.and_then(|schema| schema.index_of(name));
    let compiled = compile_for(&column, wanted, scope, target);
    let at_star = |mistakes: Vec<Diagnostic>| {
        diagnostics.extend(mistakes.into_iter().map(|mistake| Diagnostic { span: Some(span), ..mistake }));
    };
    Output { name: Some(name.to_owned()), span, compiled: compiled.map_err(at_star).ok() }
}

/// Compiles for the column number `wanted` of the target, or as it is when there is no such column.
fn compile_for(
    expr: &Expr,
    wanted: Option<usize>,
    scope: &Scope<'_>,
    target: Option<&Schema>,
) -> Result<CompiledExpr, Vec<Diagnostic>> {
    match wanted.and_then(|index| target?.fields().get(index)) {
        Some(field) => expr::compile_as(expr, scope, field.data_type),
        None => expr::compile(expr, scope),
    }
}

/// The name of a plain column reference.
fn column_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(ident.value.clone()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|ident| ident.value.clone()),
        _ => None,
    }
}

/// Puts the results in the order of the target's columns.
fn fit(
    query: &Query,
    outputs: Vec<Output>,
    streams: &Streams,
    into: usize,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Vec<CompiledExpr>> {
    let target = streams.plan(into);
    let schema = &target.schema;
    let before = diagnostics.len();
    let mut columns: Vec<Option<CompiledExpr>> = schema.fields().iter().map(|_| None).collect();
    let mut taken = vec![false; schema.len()];
    for (place, output) in outputs.into_iter().enumerate() {
        let index = match &output.name {
            Some(name) => schema.index_of(name),
            None => (place < schema.len()).then_some(place),
        };
        let Some(index) = index else {
            diagnostics.push(no_such_column(&output, &target.name, schema));
            continue;
        };
        let name = &schema.fields()[index].name;
        if std::mem::replace(&mut taken[index], true) {
            let message = format!("column '{name}' of stream '{}' is selected twice", target.name);
            diagnostics
                .push(Diagnostic::error(output.span, message).with_hint("remove one, or give it another name with AS"));
            continue;
        }
        columns[index] = output.compiled;
    }
    let missing: Vec<_> = schema.names().zip(&taken).filter(|(_, taken)| !**taken).map(|(name, _)| name).collect();
    if !missing.is_empty() && diagnostics.len() == before {
        let message =
            format!("stream '{}' has columns this query does not select: {}", target.name, missing.join(", "));
        let hint = format!("select them, or leave them empty: NULL AS {}", missing[0]);
        diagnostics.push(Diagnostic::error(query.into.span, message).with_hint(hint));
    }
    columns.into_iter().collect()
}

fn no_such_column(output: &Output, stream: &str, schema: &Schema) -> Diagnostic {
    let names = || schema.names();
    match &output.name {
        Some(name) => {
            let mistake = Diagnostic::error(output.span, format!("stream '{stream}' has no column '{name}'"));
            mistake.with_hint(match nearest(name, names()) {
                Some(near) => format!("name it with AS; did you mean '{near}'?"),
                None => format!("name it with AS as one of {}", names().collect::<Vec<_>>().join(", ")),
            })
        }
        None => Diagnostic::error(output.span, format!("stream '{stream}' has only {} columns", schema.len()))
            .with_hint("remove this, or name it with AS"),
    }
}
