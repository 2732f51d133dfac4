//! The SQL files of the scaling curves.

use std::fmt::Write;

use crate::system::{FEED_VARIABLE, OUT_VARIABLE};
use crate::workload::filler_columns;

/// Which columns of a wide message its stream declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// Only the three that the query uses.
    Used,
    /// All of them.
    All,
}

const TRADE_COLUMNS: &str = "s STRING, t BIGINT, p STRING, q STRING, T BIGINT, m BOOL";
const RESULT_COLUMNS: &str = "s STRING, t BIGINT, p DOUBLE, q DOUBLE, T BIGINT";
const RESULT: &str = "s, t, CAST(p AS DOUBLE) AS p, CAST(q AS DOUBLE) AS q, T";

/// So many copies of the benchmark's pipeline in one file, each with its own two connections.
#[must_use]
pub fn pipelines(count: usize) -> String {
    let mut sql = String::new();
    for index in 0..count {
        push(&mut sql, &source(&format!("Trades{index}"), TRADE_COLUMNS));
        push(&mut sql, &sink(&format!("Out{index}"), RESULT_COLUMNS));
        push(&mut sql, &query(&format!("Out{index}"), RESULT, &format!("Trades{index}")));
    }
    sql
}

/// So many queries on one stream. The first feeds the collector, the others a sink that encodes
/// each event and throws it away.
#[must_use]
pub fn queries(count: usize) -> String {
    let mut sql = String::new();
    push(&mut sql, &source("Trades", TRADE_COLUMNS));
    push(&mut sql, &sink("Out0", RESULT_COLUMNS));
    for index in 1..count {
        push(
            &mut sql,
            &format!(
                "@sink(type='blackhole', @map(type='json'))\n\
                 CREATE STREAM Out{index} ({RESULT_COLUMNS});"
            ),
        );
    }
    for index in 0..count {
        push(&mut sql, &query(&format!("Out{index}"), RESULT, "Trades"));
    }
    sql
}

/// One query that uses three columns of a message with so many.
#[must_use]
pub fn columns(count: usize, declared: Declared) -> String {
    let mut declaration = "t BIGINT, p STRING, m BOOL".to_owned();
    if declared == Declared::All {
        for (name, sql_type) in filler_columns(count) {
            let _ = write!(declaration, ", {name} {sql_type}");
        }
    }
    let mut sql = String::new();
    push(&mut sql, &source("Wide", &declaration));
    push(&mut sql, &sink("Out", "t BIGINT, p DOUBLE"));
    push(&mut sql, &query("Out", "t, CAST(p AS DOUBLE) AS p", "Wide"));
    sql
}

fn source(stream: &str, columns: &str) -> String {
    format!(
        "@source(type='websocket', websocket.url='${{env:{FEED_VARIABLE}}}', @map(type='json'))\n\
         CREATE STREAM {stream} ({columns});"
    )
}

fn sink(stream: &str, columns: &str) -> String {
    format!(
        "@sink(type='websocket', websocket.url='${{env:{OUT_VARIABLE}}}', @map(type='json'))\n\
         CREATE STREAM {stream} ({columns});"
    )
}

fn query(into: &str, result: &str, from: &str) -> String {
    format!("INSERT INTO {into} SELECT {result} FROM {from} WHERE m = true;")
}

fn push(sql: &mut String, statement: &str) {
    sql.push_str(statement);
    sql.push_str("\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pipeline_has_a_source_a_sink_and_a_query() {
        let sql = pipelines(3);
        for statement in ["@source(", "@sink(", "INSERT INTO"] {
            assert_eq!(sql.matches(statement).count(), 3);
        }
        assert!(sql.contains("${env:EVENTFLUX_BENCH_FEED}"));
    }

    #[test]
    fn only_the_first_of_many_queries_reaches_the_collector() {
        let sql = queries(5);
        assert_eq!(sql.matches(OUT_VARIABLE).count(), 1);
        assert_eq!(sql.matches("blackhole").count(), 4);
        assert_eq!(sql.matches("FROM Trades").count(), 5);
    }

    #[test]
    fn wide_streams_declare_what_is_asked() {
        assert!(!columns(100, Declared::Used).contains("c0 "));
        let all = columns(100, Declared::All);
        assert!(all.contains("c0 STRING") && all.contains("c95 DOUBLE"));
        assert!(!all.contains("c97 "));
    }
}
