//! How long the last requests of each method took.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::METHOD_LABELS;

/// Requests of one method that quantiles are taken from.
const WINDOW: usize = 1_024;

/// See the module; copies share it. Methods that are not among [`METHOD_LABELS`] are the last one of them.
#[derive(Debug, Clone)]
pub struct Durations(Arc<[Mutex<VecDeque<Duration>>]>);

impl Durations {
    /// A request took so long.
    pub fn add(&self, method: &str, duration: Duration) {
        let Some(window) = self.window(method) else { return };
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.len() == WINDOW {
            window.pop_front();
        }
        window.push_back(duration);
    }

    /// What `quantile` (0.5 and 0.99, say) of the last requests of a method took at most; `None` when there were none.
    #[must_use]
    pub fn quantile(&self, method: &str, quantile: f64) -> Option<Duration> {
        let window = self.window(method)?;
        let mut durations: Vec<_> = window.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        let rank = (quantile.clamp(0.0, 1.0) * durations.len() as f64).ceil() as usize;
        let index = rank.saturating_sub(1);
        if index >= durations.len() {
            return None;
        }
        let (_, duration, _) = durations.select_nth_unstable(index);
        Some(*duration)
    }

    fn window(&self, method: &str) -> Option<&Mutex<VecDeque<Duration>>> {
        let index = METHOD_LABELS.iter().position(|label| *label == method).unwrap_or(METHOD_LABELS.len() - 1);
        self.0.get(index)
    }
}

impl Default for Durations {
    fn default() -> Self {
        Self(METHOD_LABELS.iter().map(|_| Mutex::default()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_last_requests_of_the_method() {
        let durations = Durations::default();
        assert_eq!(durations.quantile("status", 0.5), None);
        (1..=100).for_each(|millis| durations.add("status", Duration::from_millis(millis)));
        durations.add("made up", Duration::from_secs(9));
        assert_eq!(durations.quantile("status", 0.5), Some(Duration::from_millis(50)));
        assert_eq!(durations.quantile("status", 0.99), Some(Duration::from_millis(99)));
        assert_eq!(durations.quantile("status", 1.0), Some(Duration::from_millis(100)));
        assert_eq!(durations.quantile("other", 0.5), Some(Duration::from_secs(9)));
        (0..WINDOW).for_each(|_| durations.add("status", Duration::from_secs(1)));
        assert_eq!(durations.quantile("status", 0.0), Some(Duration::from_secs(1)));
    }
}
