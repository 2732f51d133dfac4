//! What runs measured.

use eventflux_benches::control::Latency;

/// What one run measured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Outcome {
    /// Messages of the run.
    pub(crate) messages: u64,
    /// From the first message published to the last one received.
    pub(crate) elapsed_ns: u64,
    /// Of who publishes.
    pub(crate) sender: Cost,
    /// Of who receives.
    pub(crate) receiver: Cost,
    /// Of what is between them, where there is a broker.
    pub(crate) broker: Cost,
    /// Messages that did not come, came twice, or in another order.
    pub(crate) wrong: u64,
    /// Of requests, from asking to the answer.
    pub(crate) latency: Latency,
}

/// What a process costs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cost {
    /// User and system time during the run, in seconds.
    pub(crate) cpu_seconds: f64,
    /// Most memory that was resident, in bytes.
    pub(crate) peak_rss_bytes: u64,
    /// As much of that as was resident before the run, at most.
    pub(crate) rss_before_bytes: u64,
}

/// One case in all rounds.
#[derive(Debug)]
pub struct Row {
    /// The case.
    pub label: String,
    /// One for each round; `None` where the run failed.
    pub rounds: Vec<Option<Outcome>>,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        self.messages as f64 * 1e9 / self.elapsed_ns.max(1) as f64
    }

    /// Of all processes, for each message, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.each_us(self.sender) + self.each_us(self.receiver) + self.each_us(self.broker)
    }

    /// Of one process, for each message, in microseconds.
    pub(crate) fn each_us(&self, cost: Cost) -> f64 {
        cost.cpu_seconds * 1e6 / self.messages.max(1) as f64
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.wrong == 0
    }
}

impl Row {
    /// Whether every round succeeded, and everything arrived in it as it should.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.rounds.iter().all(|outcome| outcome.is_some_and(|outcome| outcome.is_clean()))
    }

    /// A figure of the rounds that succeeded.
    pub(crate) fn succeeded(&self, figure: impl Fn(&Outcome) -> f64) -> Vec<f64> {
        self.rounds.iter().flatten().map(figure).collect()
    }

    /// A figure of all rounds.
    pub(crate) fn each(&self, figure: impl Fn(&Outcome) -> f64) -> Vec<Option<f64>> {
        self.rounds.iter().map(|outcome| outcome.as_ref().map(&figure)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_for_each_message_and_of_all_processes() {
        let cost = |cpu_seconds| Cost { cpu_seconds, ..Cost::default() };
        let outcome = Outcome {
            messages: 1_000,
            elapsed_ns: 2_000_000,
            sender: cost(0.001),
            receiver: cost(0.002),
            broker: cost(0.003),
            ..Outcome::default()
        };
        assert_eq!((outcome.per_second(), outcome.each_us(outcome.sender)), (500_000.0, 1.0));
        assert!((outcome.cpu_us() - 6.0).abs() < 1e-9);
    }

    #[test]
    fn a_round_that_failed_or_lost_something_makes_a_row_unclean() {
        let row = |rounds: &[Option<u64>]| Row {
            label: String::new(),
            rounds: rounds.iter().map(|wrong| wrong.map(|wrong| Outcome { wrong, ..Outcome::default() })).collect(),
        };
        assert!(row(&[Some(0), Some(0)]).is_clean());
        assert!(!row(&[Some(0), None]).is_clean());
        assert!(!row(&[Some(0), Some(1)]).is_clean());
    }
}
