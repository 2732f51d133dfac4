//! What only the whole plan shows: circles, dead letters that come back, streams nobody writes or reads.

use eventflux_core::strategy::ErrorStrategy;

use super::Plan;
use crate::diagnostic::{Diagnostic, Span};

/// Longest chain of queries. A batch is handed on depth first, so this bounds the stack.
pub(crate) const MAX_CHAIN: usize = 128;

/// Refuses circles of queries, chains that are too long, and dead-letter streams that lead back.
pub(super) fn check(plan: &Plan, diagnostics: &mut Vec<Diagnostic>) {
    let mut depths = vec![Depth::Unknown; plan.streams.len()];
    for stream in 0..plan.streams.len() {
        depth(plan, stream, &mut depths, diagnostics);
    }
    let circular = depths.contains(&Depth::Circular);
    if !circular {
        check_dead_letters(plan, diagnostics);
    }
}

/// Length of the longest chain of queries that starts at a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    Unknown,
    UnderWay,
    Known(usize),
    Circular,
}

/// Iterative: a file may declare thousands of streams.
fn depth(plan: &Plan, start: usize, depths: &mut [Depth], diagnostics: &mut Vec<Diagnostic>) {
    let mut stack = vec![start];
    while let Some(&stream) = stack.last() {
        if !matches!(depths[stream], Depth::Unknown | Depth::UnderWay) {
            stack.pop();
            continue;
        }
        depths[stream] = Depth::UnderWay;
        let queries = || plan.queries.iter().filter(|query| query.from == stream);
        if let Some(query) = queries().find(|query| depths[query.into] == Depth::UnderWay) {
            let (from, into) = (&plan.streams[stream].name, &plan.streams[query.into].name);
            let message = format!("this query closes a circle: '{into}' already leads to '{from}'");
            diagnostics.push(Diagnostic::error(query.into_span, message).with_hint("insert into another stream"));
            depths[stream] = Depth::Circular;
            continue;
        }
        if let Some(query) = queries().find(|query| depths[query.into] == Depth::Unknown) {
            stack.push(query.into);
            continue;
        }
        let below = queries().map(|query| (depths[query.into], query.into_span));
        depths[stream] = combine(below, diagnostics);
        stack.pop();
    }
}

fn combine(below: impl Iterator<Item = (Depth, Span)>, diagnostics: &mut Vec<Diagnostic>) -> Depth {
    let mut longest = 0;
    for (depth, span) in below {
        let Depth::Known(depth) = depth else {
            return Depth::Circular;
        };
        if depth + 1 == MAX_CHAIN {
            let message = format!("the chain of queries from here is longer than {MAX_CHAIN}");
            diagnostics.push(Diagnostic::error(span, message).with_hint("join some of the queries"));
        }
        longest = longest.max(depth + 1);
    }
    Depth::Known(longest)
}

/// A dead letter must not come back to where it came from, and is not dead-lettered again.
fn check_dead_letters(plan: &Plan, diagnostics: &mut Vec<Diagnostic>) {
    let sources = plan.sources.iter().map(|source| (source.stream, source.dead_letters, source.span));
    let sinks = plan.sinks.iter().map(|sink| (sink.stream, sink.dead_letters, sink.span));
    for (stream, dead_letters, span) in sources.chain(sinks) {
        let Some(dead_letters) = dead_letters else { continue };
        let (from, to) = (reach(plan, stream), reach(plan, dead_letters));
        let name = &plan.streams[dead_letters].name;
        if let Some(shared) = (0..plan.streams.len()).find(|&stream| from[stream] && to[stream]) {
            let shared = &plan.streams[shared].name;
            let message = format!("dead-letter stream '{name}' leads back to '{shared}', whose failures lead to it");
            diagnostics.push(Diagnostic::error(span, message).with_hint("let it lead to other streams only"));
            continue;
        }
        let again = plan.sinks.iter().find(|sink| {
            to[sink.stream] && sink.dead_letters.is_some() && sink.policy.strategy != Some(ErrorStrategy::Drop)
        });
        if let Some(sink) = again {
            let message =
                format!("this sink takes dead letters of '{name}' and may not have a dead-letter stream itself");
            let hint = "use error.strategy='retry' with error.retry.fallback-strategy='drop' or 'fail'";
            diagnostics.push(Diagnostic::error(sink.span, message).with_hint(hint));
        }
    }
}

/// A sink that takes dead letters and declares no strategy of its own does what `error.dlq.fallback-strategy` says.
pub(super) fn hand_down_fallbacks(plan: &mut Plan) {
    let sources = plan.sources.iter().map(|source| (source.dead_letters, source.policy.dlq_fallback));
    let sinks = plan.sinks.iter().map(|sink| (sink.dead_letters, sink.policy.dlq_fallback));
    let uses: Vec<_> = sources.chain(sinks).filter_map(|(stream, fallback)| Some((stream?, fallback))).collect();
    for (dead_letters, fallback) in uses {
        let reached = reach(plan, dead_letters);
        for sink in plan.sinks.iter_mut().filter(|sink| reached[sink.stream]) {
            sink.policy.strategy.get_or_insert(fallback);
        }
    }
}

/// Which streams an event of `start` can reach by queries.
pub(crate) fn reach(plan: &Plan, start: usize) -> Vec<bool> {
    let mut reached = vec![false; plan.streams.len()];
    let mut todo = vec![start];
    while let Some(stream) = todo.pop() {
        if !std::mem::replace(&mut reached[stream], true) {
            todo.extend(plan.queries.iter().filter(|query| query.from == stream).map(|query| query.into));
        }
    }
    reached
}

/// Warns of streams that get nothing or give nothing.
pub(super) fn warn_about_dead_ends(plan: &Plan, diagnostics: &mut Vec<Diagnostic>) {
    for (index, stream) in plan.streams.iter().enumerate() {
        let is_dead_letters = |dead_letters: Option<usize>| dead_letters == Some(index);
        let written = plan.sources.iter().any(|source| source.stream == index || is_dead_letters(source.dead_letters))
            || plan.sinks.iter().any(|sink| is_dead_letters(sink.dead_letters))
            || plan.queries.iter().any(|query| query.into == index);
        let read =
            plan.sinks.iter().any(|sink| sink.stream == index) || plan.queries.iter().any(|query| query.from == index);
        let name = &stream.name;
        let message = match (written, read) {
            (true, true) => continue,
            (false, _) => format!("nothing in this file writes to stream '{name}'"),
            (true, false) => format!("nothing in this file reads stream '{name}'"),
        };
        diagnostics.push(Diagnostic::warning(stream.span, message));
    }
}
