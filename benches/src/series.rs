//! Many runs: cases interleaved over rounds (A B C, A B C, ...), so that a machine that changes its mood
//! changes it for all of them.

use crate::checker::Tally;
use crate::run::{Outcome, Plan, measure};
use crate::stats::{median, spread};
use crate::system::System;

/// A system with what it is given.
#[derive(Debug, Clone)]
pub struct Case {
    /// What tables call it.
    pub label: String,
    /// The system.
    pub system: System,
    /// What it is given.
    pub plan: Plan,
}

/// The rounds of one case.
#[derive(Debug)]
pub struct Series {
    /// The case's label.
    pub label: String,
    /// One outcome for each round; `None` where the run failed.
    pub outcomes: Vec<Option<Outcome>>,
}

/// Runs every case once in each round, telling each run's result on standard error.
pub async fn interleaved(title: &str, cases: &[Case], rounds: usize) -> Vec<Series> {
    let mut series: Vec<Series> = cases.iter().map(Series::new).collect();
    for round in 1..=rounds {
        for (case, series) in cases.iter().zip(&mut series) {
            let outcome = measure(&case.system, &case.plan).await;
            let result = match &outcome {
                Ok(outcome) => describe(outcome),
                Err(error) => format!("FAILED: {error}"),
            };
            eprintln!("{title}, round {round}/{rounds}, {}: {result}", case.label);
            series.outcomes.push(outcome.ok());
        }
    }
    series
}

impl Series {
    fn new(case: &Case) -> Self {
        Self { label: case.label.clone(), outcomes: Vec::new() }
    }

    /// One figure of each round.
    pub fn each(&self, figure: impl Fn(&Outcome) -> f64) -> Vec<Option<f64>> {
        self.outcomes.iter().map(|outcome| outcome.as_ref().map(&figure)).collect()
    }

    /// The median of a figure over the rounds that succeeded.
    pub fn median(&self, figure: impl Fn(&Outcome) -> f64) -> Option<f64> {
        median(&self.succeeded(figure))
    }

    /// The spread of a figure, see [`spread`].
    pub fn spread(&self, figure: impl Fn(&Outcome) -> f64) -> Option<f64> {
        spread(&self.succeeded(figure))
    }

    /// The largest of a figure over the rounds that succeeded.
    pub fn worst(&self, figure: impl Fn(&Outcome) -> f64) -> Option<f64> {
        self.succeeded(figure).into_iter().reduce(f64::max)
    }

    /// The sum of all rounds' arrivals.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        for outcome in self.outcomes.iter().flatten() {
            sum.add(&outcome.report.tally);
        }
        sum
    }

    /// The sum of all rounds' wrong values.
    #[must_use]
    pub fn wrong_values(&self) -> u64 {
        let outcomes = self.outcomes.iter().flatten();
        outcomes.map(|outcome| outcome.report.wrong_values).sum()
    }

    /// Whether every round succeeded, and lost, repeated, reordered and falsified nothing.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.as_ref().is_some_and(Outcome::is_clean))
    }

    fn succeeded(&self, figure: impl Fn(&Outcome) -> f64) -> Vec<f64> {
        self.outcomes.iter().flatten().map(figure).collect()
    }
}

fn describe(outcome: &Outcome) -> String {
    let mut text =
        format!("{:.0} msg/s, {:.2} µs CPU per message", outcome.messages_per_second, outcome.cpu_us_per_message);
    if let Some(latency) = &outcome.report.latency {
        text.push_str(&format!(
            ", p50 {:.0} µs, p99.9 {:.0} µs",
            latency.p50_ns as f64 / 1e3,
            latency.p999_ns as f64 / 1e3
        ));
    }
    if !outcome.report.tally.is_clean() || outcome.report.wrong_values > 0 {
        let tally = outcome.report.tally;
        text.push_str(&format!(
            ", NOT CLEAN: {} lost, {} duplicated, {} out of order, {} unexpected, {} wrong",
            tally.lost(),
            tally.duplicates,
            tally.out_of_order,
            tally.unexpected,
            outcome.report.wrong_values
        ));
    }
    if let Some(note) = &outcome.unclean_exit {
        text.push_str(&format!(", {note}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::CollectorReport;

    fn outcome(messages_per_second: f64, arrived: u64) -> Outcome {
        Outcome {
            messages_per_second,
            cpu_us_per_message: 1.0,
            peak_rss_bytes: 0,
            first_event_ms: 0.0,
            report: CollectorReport {
                tally: Tally { expected: 10, arrived, ..Tally::default() },
                ..CollectorReport::default()
            },
            feeder_lag_ns: None,
            unclean_exit: None,
        }
    }

    fn series(outcomes: Vec<Option<Outcome>>) -> Series {
        Series { label: "x".into(), outcomes }
    }

    #[test]
    fn failed_rounds_count_in_no_figure_but_are_not_clean() {
        let series = series(vec![Some(outcome(5.0, 10)), None, Some(outcome(7.0, 10))]);
        assert_eq!(series.median(|o| o.messages_per_second), Some(6.0));
        assert_eq!(series.worst(|o| o.messages_per_second), Some(7.0));
        assert!(!series.is_clean());
    }

    #[test]
    fn loss_adds_up_over_rounds() {
        let series = series(vec![Some(outcome(5.0, 9)), Some(outcome(5.0, 8))]);
        assert_eq!(series.tally().lost(), 3);
        assert!(!series.is_clean());
    }
}
