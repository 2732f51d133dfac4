//! One running query: filters and projects a batch, and hands the result on.

use std::sync::{Arc, Mutex};

use eventflux_core::dead_letter::Stage;
use eventflux_core::{Column, EventBatch, RowFailure, Schema};

use super::control::{contain, lock};
use super::faults::Failure;
use super::graph::{Graph, Origin};
use super::row_json::row_json;
use crate::expr::{CompiledExpr, RowErrors, Rows};

/// A compiled query.
#[derive(Debug)]
pub(crate) struct QueryNode {
    /// Its index in the graph.
    pub(crate) index: usize,
    /// Stream it feeds.
    pub(crate) into: usize,
    /// Name of the stream it feeds: a failure belongs to it.
    pub(crate) name: String,
    pub(crate) schema: Arc<Schema>,
    pub(crate) predicate: Option<CompiledExpr>,
    /// One expression per column of the stream it feeds, of exactly that column's type.
    pub(crate) projection: Vec<CompiledExpr>,
    /// Serialises sources that share the query, and keeps the memory of the selection.
    pub(crate) selected: Mutex<Vec<usize>>,
}

/// What a query made of a batch.
struct Evaluated {
    result: EventBatch,
    /// The input row of each result row; empty when no row failed.
    rows: Vec<usize>,
    /// The input rows without a result, in order.
    bad: Vec<RowFailure>,
}

impl QueryNode {
    /// Runs the query over `batch` and dispatches what it yields.
    pub(crate) fn run(&self, graph: &Graph, batch: &EventBatch, origin: Origin<'_>) {
        self.run_again(graph, batch, origin, 0);
    }

    /// As [`QueryNode::run`] for rows whose first one failed `failed_tries` times before.
    pub(crate) fn run_again(&self, graph: &Graph, batch: &EventBatch, origin: Origin<'_>, failed_tries: u32) {
        let mut selected = lock(&self.selected);
        selected.clear();
        let done = contain("a query", || self.evaluate(batch, &mut selected))
            .unwrap_or_else(|_| self.evaluate_one_by_one(batch));
        let Evaluated { result, rows, bad } = done;
        match self.settle(graph, batch, origin, bad, failed_tries) {
            None => graph.dispatch(self.into, &result, origin),
            Some(first_retried) => {
                let before: Vec<usize> = (0..rows.partition_point(|&row| row < first_retried)).collect();
                let mut done = EventBatch::new(self.schema.clone());
                done.extend_from(&result, &before);
                graph.dispatch(self.into, &done, origin);
            }
        }
    }

    fn evaluate(&self, batch: &EventBatch, selected: &mut Vec<usize>) -> Evaluated {
        let mut errors = RowErrors::new();
        let rows = match &self.predicate {
            None => Rows::All(batch.len()),
            Some(predicate) => {
                predicate.select(batch, Rows::All(batch.len()), &mut errors, selected);
                Rows::Some(selected)
            }
        };
        let columns: Vec<Column> = self
            .projection
            .iter()
            .map(|expression| expression.evaluate(batch, rows, &mut errors).into_owned())
            .collect();
        let positions = match rows {
            Rows::All(_) => batch.positions().to_vec(),
            Rows::Some(rows) => rows.iter().map(|&row| batch.positions()[row]).collect(),
        };
        let result = EventBatch::from_columns(self.schema.clone(), columns, positions);
        if errors.is_empty() {
            return Evaluated { result, rows: Vec::new(), bad: Vec::new() };
        }
        let good: Vec<usize> = (0..rows.len()).filter(|&index| !errors.contains(rows.row(index))).collect();
        let mut kept = EventBatch::new(self.schema.clone());
        kept.extend_from(&result, &good);
        let rows = good.into_iter().map(|index| rows.row(index)).collect();
        Evaluated { result: kept, rows, bad: errors.take() }
    }

    /// After a panic: finds the rows that cause it.
    fn evaluate_one_by_one(&self, batch: &EventBatch) -> Evaluated {
        let mut done = Evaluated { result: EventBatch::new(self.schema.clone()), rows: Vec::new(), bad: Vec::new() };
        for row in 0..batch.len() {
            let mut single = EventBatch::new(batch.schema().clone());
            single.extend_from(batch, &[row]);
            match contain("a query", || self.evaluate(&single, &mut Vec::new())) {
                Ok(one) => {
                    let all: Vec<usize> = (0..one.result.len()).collect();
                    done.result.extend_from(&one.result, &all);
                    done.rows.extend(all.iter().map(|_| row));
                    done.bad.extend(one.bad.into_iter().map(|failed| RowFailure { row, error: failed.error }));
                }
                Err(error) => done.bad.push(RowFailure { row, error }),
            }
        }
        done
    }

    /// Settles the bad rows in order. When one is to be tried again, it and all that follow go to the origin's
    /// waiting room, so that order is kept; the index of that row is returned.
    fn settle(
        &self,
        graph: &Graph,
        batch: &EventBatch,
        origin: Origin<'_>,
        bad: Vec<RowFailure>,
        failed_tries: u32,
    ) -> Option<usize> {
        for RowFailure { row, error } in bad {
            let attempts = if row == 0 { failed_tries + 1 } else { 1 };
            if let Some(entry) = origin.entry.filter(|_| origin.faults.retries(&error, attempts)) {
                origin.faults.metrics.refused.increment();
                let rest: Vec<usize> = (row..batch.len()).collect();
                let mut waiting = EventBatch::new(batch.schema().clone());
                waiting.extend_from(batch, &rest);
                entry.retry_query(self.index, waiting, attempts, origin.delivery);
                return Some(row);
            }
            let position = batch.positions()[row];
            let failure = Failure { stage: Stage::Query, stream: &self.name, attempts, position, error };
            origin.settle(graph, failure, || row_json(batch, row));
        }
        None
    }
}
