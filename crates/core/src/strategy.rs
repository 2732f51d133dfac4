//! Error strategies: what happens to an event that failed, declared per source and sink with `error.*` properties.
//!
//! This module holds the vocabulary and the properties; the engine carries the strategies out.

use std::time::Duration;

use log::Level;

use crate::backoff::{Backoff, Growth};
use crate::{EventFluxError, Properties, PropertyKind, PropertySpec};

/// What to do with an event that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorStrategy {
    /// Count it, log it, go on.
    Drop,
    /// Try again, a bounded number of times, then do what `error.retry.fallback-strategy` says.
    Retry,
    /// Hand it to the dead-letter stream; it counts as handled once that stream has it.
    Dlq,
    /// Stop the pipeline.
    Fail,
}

impl ErrorStrategy {
    /// `drop`, `retry`, `dlq` or `fail`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Retry => "retry",
            Self::Dlq => "dlq",
            Self::Fail => "fail",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Drop, Self::Retry, Self::Dlq, Self::Fail].into_iter().find(|strategy| strategy.name() == name)
    }
}

/// The `error.*` properties of one source or sink.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorPolicy {
    /// Declared strategy; `None`: bad events are dropped, other faults stop the pipeline.
    pub strategy: Option<ErrorStrategy>,
    /// Level of the log line about a failed event.
    pub log_level: Level,
    /// Largest number of tries after the first one.
    pub max_attempts: u32,
    /// What follows when retries are used up: drop, dlq or fail.
    pub retry_fallback: ErrorStrategy,
    /// Name of the dead-letter stream.
    pub dlq_stream: Option<String>,
    /// What follows when the dead-letter stream cannot take an event: drop, retry or fail.
    pub dlq_fallback: ErrorStrategy,
    initial_delay: Duration,
    max_delay: Duration,
    growth: Growth,
}

/// The `error.*` properties every source and sink has.
pub const PROPERTIES: &[PropertySpec] = &[
    PropertySpec::new(
        "error.strategy",
        PropertyKind::Choice(&["drop", "retry", "dlq", "fail"]),
        "What happens to an event that failed. Without it, bad events are dropped (counted and logged) and any other fault stops the pipeline.",
    )
    .example("dlq"),
    PropertySpec::new(
        "error.log-level",
        PropertyKind::Choice(&["trace", "debug", "info", "warn", "error"]),
        "Level of the log line about a failed event; at most one line a second, with the number left out.",
    )
    .default("warn"),
    PropertySpec::new(
        "error.retry.max-attempts",
        PropertyKind::Integer { min: 1, max: 1_000_000 },
        "Tries after the first one before the fallback strategy is used.",
    )
    .default("3"),
    PropertySpec::new(
        "error.retry.backoff",
        PropertyKind::Choice(&["fixed", "linear", "exponential"]),
        "How the pause between tries grows.",
    )
    .default("exponential"),
    PropertySpec::new("error.retry.initial-delay", PropertyKind::Duration, "Pause before the first new try.")
        .default("100ms"),
    PropertySpec::new("error.retry.max-delay", PropertyKind::Duration, "Longest pause between tries.").default("30s"),
    PropertySpec::new(
        "error.retry.fallback-strategy",
        PropertyKind::Choice(&["drop", "dlq", "fail"]),
        "What follows when retries are used up, or at once for an event that no retry can mend. Default: dlq with a dead-letter stream, else fail.",
    ),
    PropertySpec::new(
        "error.dlq.stream",
        PropertyKind::Text,
        "Name of the stream that takes failed events; declare it with the dead-letter columns.",
    )
    .example("Failed"),
    PropertySpec::new(
        "error.dlq.fallback-strategy",
        PropertyKind::Choice(&["drop", "retry", "fail"]),
        "What follows when the dead-letter stream cannot take an event.",
    )
    .default("fail"),
];

impl ErrorPolicy {
    /// Reads the `error.*` properties.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when they contradict each other.
    pub fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let choice = |key: &str| properties.optional_text(key).and_then(ErrorStrategy::from_name);
        let dlq_stream = properties.optional_text("error.dlq.stream").map(str::to_owned);
        let default_fallback = if dlq_stream.is_some() { ErrorStrategy::Dlq } else { ErrorStrategy::Fail };
        let policy = Self {
            strategy: choice("error.strategy"),
            log_level: properties.text("error.log-level")?.parse().unwrap_or(Level::Warn),
            max_attempts: properties.integer("error.retry.max-attempts")?,
            retry_fallback: choice("error.retry.fallback-strategy").unwrap_or(default_fallback),
            dlq_stream,
            dlq_fallback: choice("error.dlq.fallback-strategy").unwrap_or(ErrorStrategy::Fail),
            initial_delay: properties.duration("error.retry.initial-delay")?,
            max_delay: properties.duration("error.retry.max-delay")?,
            growth: match properties.text("error.retry.backoff")? {
                "fixed" => Growth::Fixed,
                "linear" => Growth::Linear,
                _ => Growth::Exponential,
            },
        };
        policy.check(properties)?;
        Ok(policy)
    }

    /// A fresh series of pauses between tries.
    pub fn backoff(&self) -> Backoff {
        Backoff::new(self.initial_delay, self.max_delay, self.growth)
    }

    /// The strategy for this error before any retry.
    pub fn strategy_for(&self, error: &EventFluxError) -> ErrorStrategy {
        match self.strategy {
            Some(ErrorStrategy::Retry) if !error.is_retryable() => self.retry_fallback,
            Some(strategy) => strategy,
            None if error.class() == crate::FaultClass::Invalid => ErrorStrategy::Drop,
            None => ErrorStrategy::Fail,
        }
    }

    fn uses(&self, strategy: ErrorStrategy) -> bool {
        self.strategy == Some(strategy)
            || (self.strategy == Some(ErrorStrategy::Retry) && self.retry_fallback == strategy)
    }

    /// Every `error.*` property that was given must have an effect.
    fn check(&self, properties: &Properties) -> Result<(), EventFluxError> {
        if self.uses(ErrorStrategy::Dlq) && self.dlq_stream.is_none() {
            return Err(EventFluxError::property("error.dlq.stream", "is required by the strategy 'dlq'")
                .with_hint("name a stream that takes failed events"));
        }
        if self.initial_delay > self.max_delay {
            let key = "error.retry.initial-delay";
            return Err(EventFluxError::property(key, "is larger than error.retry.max-delay")
                .with_hint("lower it, or raise error.retry.max-delay"));
        }
        let retries = self.strategy == Some(ErrorStrategy::Retry)
            || (self.uses(ErrorStrategy::Dlq) && self.dlq_fallback == ErrorStrategy::Retry);
        for spec in PROPERTIES {
            let used = match spec.key {
                "error.retry.max-delay" => retries && self.growth != Growth::Fixed,
                "error.retry.fallback-strategy" => self.strategy == Some(ErrorStrategy::Retry),
                key if key.starts_with("error.retry.") => retries,
                key if key.starts_with("error.dlq.") => self.uses(ErrorStrategy::Dlq),
                _ => true,
            };
            if properties.is_given(spec.key) && !used {
                return Err(EventFluxError::property(spec.key, "has no effect with this error.strategy")
                    .with_hint("remove it, or choose a strategy that uses it"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(raw: &[(&str, &str)]) -> Result<ErrorPolicy, EventFluxError> {
        ErrorPolicy::from_properties(&Properties::from_pairs(PROPERTIES, raw.iter().copied())?)
    }

    fn transient() -> EventFluxError {
        EventFluxError::Send { reason: "busy".into(), retryable: true }
    }

    #[test]
    fn without_a_strategy_bad_events_are_dropped_and_other_faults_stop() {
        let policy = policy(&[]).unwrap();
        assert_eq!(policy.strategy_for(&EventFluxError::mapping(None, "x")), ErrorStrategy::Drop);
        assert_eq!(policy.strategy_for(&transient()), ErrorStrategy::Fail);
    }

    #[test]
    fn what_no_retry_can_mend_goes_to_the_fallback_at_once() {
        let policy = policy(&[("error.strategy", "retry"), ("error.dlq.stream", "Failed")]).unwrap();
        assert_eq!(policy.strategy_for(&transient()), ErrorStrategy::Retry);
        assert_eq!(policy.strategy_for(&EventFluxError::mapping(None, "x")), ErrorStrategy::Dlq);
    }

    #[test]
    fn a_property_without_effect_is_refused() {
        for raw in [
            &[("error.strategy", "dlq")][..],
            &[("error.strategy", "drop"), ("error.retry.max-attempts", "5")],
            &[("error.dlq.stream", "Failed")],
            &[("error.strategy", "retry"), ("error.retry.initial-delay", "1m")],
            &[("error.strategy", "retry"), ("error.retry.backoff", "fixed"), ("error.retry.max-delay", "1m")],
            &[("error.strategy", "fail"), ("error.dlq.fallback-strategy", "drop")],
        ] {
            let error = policy(raw).unwrap_err();
            assert!(error.to_string().contains("error."), "{error}");
        }
        let full = [
            ("error.strategy", "retry"),
            ("error.retry.max-attempts", "5"),
            ("error.retry.backoff", "linear"),
            ("error.retry.initial-delay", "1ms"),
            ("error.retry.max-delay", "2ms"),
            ("error.retry.fallback-strategy", "dlq"),
            ("error.dlq.stream", "Failed"),
            ("error.dlq.fallback-strategy", "drop"),
            ("error.log-level", "error"),
        ];
        assert_eq!(policy(&full).unwrap().backoff().next_cap(), Duration::from_millis(1));
    }

    #[test]
    fn the_table_is_sound() {
        assert_eq!(crate::property::table_mistakes(PROPERTIES), Vec::<String>::new());
    }
}
