//! What runs measured.

use eventflux_benches::control::Latency;
use eventflux_benches::usage;
use rustix::process::Pid;

/// What one run measured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Outcome {
    /// Messages that were stored, or deliveries to clients.
    pub(crate) count: u64,
    /// From the first message published to the last of these.
    pub(crate) elapsed_ns: u64,
    /// Processor time of what is measured, in seconds: a gateway, a client of NATS.
    pub(crate) first_seconds: f64,
    /// Of a second gateway.
    pub(crate) second_seconds: f64,
    /// Of the NATS server.
    pub(crate) server_seconds: f64,
    /// Messages that are missing, repeated, changed, or out of order.
    pub(crate) wrong: u64,
    /// From publishing to delivery, of runs at a fixed rate.
    pub(crate) latency: Option<Latency>,
    /// Share of the time in which those who load it were busy, where one thread does; near 1, it is what was measured.
    pub(crate) crowd_busy: f64,
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
        self.count as f64 * 1e9 / self.elapsed_ns.max(1) as f64
    }

    /// Of all processes that are measured, for each message or delivery, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.each_us(self.first_seconds + self.second_seconds + self.server_seconds)
    }

    /// Of the process in front, for each message or delivery, in microseconds.
    pub(crate) fn first_us(&self) -> f64 {
        self.each_us(self.first_seconds)
    }

    pub(crate) fn second_us(&self) -> f64 {
        self.each_us(self.second_seconds)
    }

    pub(crate) fn server_us(&self) -> f64 {
        self.each_us(self.server_seconds)
    }

    fn each_us(&self, seconds: f64) -> f64 {
        seconds * 1e6 / self.count.max(1) as f64
    }
}

impl Row {
    /// Whether every round succeeded, and everything arrived in it as it should.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.rounds.iter().all(|outcome| outcome.is_some_and(|outcome| outcome.wrong == 0))
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

/// Processor time of processes from one moment on.
pub(crate) struct Meter<const COUNT: usize> {
    groups: [Option<Pid>; COUNT],
    before: [f64; COUNT],
}

impl<const COUNT: usize> Meter<COUNT> {
    /// Begins now; of these process groups, where there are any.
    pub(crate) fn start(groups: [Option<Pid>; COUNT]) -> Self {
        Self { groups, before: groups.map(cpu_seconds) }
    }

    /// The seconds of each since then; 0 where there is none.
    pub(crate) fn seconds(&self) -> [f64; COUNT] {
        // In a short run, threads that have ended may take more with them than the clock's ticks make up for.
        std::array::from_fn(|index| (cpu_seconds(self.groups[index]) - self.before[index]).max(0.0))
    }
}

fn cpu_seconds(group: Option<Pid>) -> f64 {
    group.map_or(0.0, |group| usage::sample(group).cpu_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_for_each_message_and_of_all_processes() {
        let outcome = Outcome {
            count: 1_000,
            elapsed_ns: 2_000_000,
            first_seconds: 0.001,
            second_seconds: 0.002,
            server_seconds: 0.003,
            ..Outcome::default()
        };
        assert_eq!((outcome.per_second(), outcome.first_us(), outcome.second_us()), (500_000.0, 1.0, 2.0));
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
