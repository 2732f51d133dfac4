//! What others see of a publisher: numbers, and why it gets on no further.

use eventflux_core::health::ConnectionState;
use eventflux_core::metrics::{Counter, Gauge};

use super::answer::Reason;
use crate::Observer;

const PUBLISHED: &str = "eventflux_nats_published_total";
const DUPLICATES: &str = "eventflux_nats_duplicates_total";
const RETRIES: &str = "eventflux_nats_retries_total";
const IN_FLIGHT: &str = "eventflux_nats_in_flight";

#[derive(Debug)]
pub(super) struct Report {
    observer: Observer,
    published: Counter,
    duplicates: Counter,
    retries: [Counter; Reason::ALL.len()],
    in_flight: Gauge,
    trouble: Option<Trouble>,
}

/// What is shown in place of the state's own detail.
#[derive(Debug)]
struct Trouble {
    reason: Reason,
    shown: String,
    before: Option<String>,
}

impl Report {
    pub(super) fn new(observer: &Observer) -> Self {
        let registry = &observer.registry;
        registry.describe(PUBLISHED, "Messages that a JetStream stream has confirmed.");
        registry.describe(DUPLICATES, "Of the confirmed messages those that the stream had already, by their id.");
        registry.describe(RETRIES, "Messages that were sent to a JetStream stream again, by reason.");
        registry.describe(IN_FLIGHT, "Messages that were sent to a JetStream stream and are not confirmed.");
        let labels = [("stream", &*observer.stream), ("type", &*observer.connector)];
        Self {
            published: registry.counter(PUBLISHED, &labels),
            duplicates: registry.counter(DUPLICATES, &labels),
            retries: Reason::ALL.map(|reason| {
                let [stream, connector] = labels;
                registry.counter(RETRIES, &[stream, connector, ("reason", reason.name())])
            }),
            in_flight: registry.gauge(IN_FLIGHT, &labels),
            observer: observer.clone(),
            trouble: None,
        }
    }

    pub(super) fn stored(&self, duplicate: bool) {
        self.published.increment();
        self.duplicates.add(u64::from(duplicate));
    }

    pub(super) fn retries(&self, reason: Reason, count: usize) {
        self.retries[reason as usize].add(count as u64);
    }

    pub(super) fn in_flight(&self, count: usize) {
        self.in_flight.set(count as u64);
    }

    /// Why it tries again what it tries again.
    pub(super) fn reason(&self) -> Option<Reason> {
        self.trouble.as_ref().map(|trouble| trouble.reason)
    }

    /// It tries again what was refused: shown until [`Report::works`], and logged when the reason is another one.
    pub(super) fn trouble(&mut self, reason: Reason, stream: &str, text: &str) {
        let shown = format!("stream {stream}: {text}; trying again");
        let known = self.trouble.take();
        if known.as_ref().is_none_or(|known| known.reason != reason) {
            log::warn!("{} of stream '{}': {shown}", self.observer.connector, self.observer.stream);
        }
        let now = self.observer.health.current();
        let before = match known {
            Some(known) if now.detail.as_deref() == Some(&*known.shown) => known.before,
            _ => now.detail,
        };
        self.observer.health.explain(ConnectionState::Connected, shown.clone());
        self.trouble = Some(Trouble { reason, shown, before });
    }

    /// Nothing has to be tried again.
    pub(super) fn works(&mut self) {
        if let Some(trouble) = self.trouble.take() {
            if self.observer.health.current().detail.as_deref() == Some(&*trouble.shown) {
                self.observer.health.explain(ConnectionState::Connected, trouble.before);
            }
            log::info!(
                "{} of stream '{}': what had been refused is in the stream",
                self.observer.connector,
                self.observer.stream
            );
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.in_flight.set(0);
    }
}

#[cfg(test)]
mod tests {
    use eventflux_core::ConnectorContext;
    use eventflux_core::ConnectorRole;
    use eventflux_core::metrics::Metrics;

    use super::*;

    #[test]
    fn the_state_is_explained_while_there_is_trouble() {
        let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Sink, "T", "nats");
        let detail = || context.health.current().detail.unwrap();
        let mut report = Report::new(&Observer::of(&context));
        context.health.set(ConnectionState::Connected, "nats://h".to_owned());
        report.trouble(Reason::Full, "S", "maximum bytes exceeded");
        report.trouble(Reason::NoStream, "S", "no stream takes the subject");
        assert_eq!(detail(), "stream S: no stream takes the subject; trying again");
        report.works();
        assert_eq!(detail(), "nats://h");
        report.trouble(Reason::Full, "S", "maximum bytes exceeded");
        context.health.set(ConnectionState::Connected, "nats://other".to_owned());
        report.works();
        assert_eq!(detail(), "nats://other");
    }
}
