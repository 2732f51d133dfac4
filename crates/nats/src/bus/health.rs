//! How a bus is: as its connection, and while there is one, as what reads its log and what writes into it.

use std::convert::Infallible;

use eventflux_core::EventFluxError;
use eventflux_core::health::{ConnectionState, Health, HealthReporter};

/// What each part reports for itself, and where all of it is shown as one state: `connected` means that the log can be read
/// and written, and what cannot be done is tried again in the state `reconnecting`.
#[derive(Debug)]
pub(super) struct Parts {
    shown: HealthReporter,
    pub(super) connection: HealthReporter,
    /// Connected; the detail is what is wrong.
    pub(super) reader: HealthReporter,
    /// The same.
    pub(super) publisher: HealthReporter,
}

impl Parts {
    pub(super) fn new(shown: HealthReporter) -> Self {
        let part = || {
            let health = HealthReporter::default();
            health.set(ConnectionState::Connected, None);
            health
        };
        Self { shown, connection: HealthReporter::default(), reader: part(), publisher: part() }
    }

    /// Shows every change; never ends.
    pub(super) async fn show(&self) -> Infallible {
        loop {
            let known = self.each();
            self.show_now(&known);
            let [connection, reader, publisher] = &known;
            tokio::select! {
                _ = self.connection.changed(connection) => {}
                _ = self.reader.changed(reader) => {}
                _ = self.publisher.changed(publisher) => {}
            }
        }
    }

    /// It is over.
    pub(super) fn end(&self, error: &EventFluxError) {
        self.shown.set(ConnectionState::Failed, error.to_string());
    }

    /// Whether the connection has said itself that it failed.
    pub(super) fn has_failed(&self) -> bool {
        self.connection.current().state == ConnectionState::Failed
    }

    fn show_now(&self, each: &[Health; 3]) {
        let health = summary(each);
        if self.shown.current() != health {
            self.shown.set(health.state, health.detail);
        }
    }

    fn each(&self) -> [Health; 3] {
        [&self.connection, &self.reader, &self.publisher].map(HealthReporter::current)
    }
}

fn summary([connection, parts @ ..]: &[Health; 3]) -> Health {
    let troubles: Vec<&str> = parts.iter().filter_map(|part| part.detail.as_deref()).collect();
    if connection.state != ConnectionState::Connected || troubles.is_empty() {
        return connection.clone();
    }
    Health { state: ConnectionState::Reconnecting, detail: Some(troubles.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(state: ConnectionState, detail: &str) -> Health {
        Health { state, detail: Some(detail.to_owned()) }
    }

    #[test]
    fn what_cannot_be_read_or_written_is_shown_while_there_is_a_connection() {
        let parts = Parts::new(HealthReporter::default());
        let shown = || {
            parts.show_now(&parts.each());
            parts.shown.current()
        };
        parts.connection.set(ConnectionState::Connected, "n:4222".to_owned());
        assert_eq!(shown(), health(ConnectionState::Connected, "n:4222"));
        parts.publisher.explain(ConnectionState::Connected, "full".to_owned());
        assert_eq!(shown(), health(ConnectionState::Reconnecting, "full"));
        parts.reader.explain(ConnectionState::Connected, "no stream".to_owned());
        assert_eq!(shown(), health(ConnectionState::Reconnecting, "no stream; full"));
        parts.connection.set(ConnectionState::Reconnecting, "refused".to_owned());
        assert_eq!(shown(), health(ConnectionState::Reconnecting, "refused"));
        parts.connection.set(ConnectionState::Connected, "n:4222".to_owned());
        parts.reader.explain(ConnectionState::Connected, None);
        parts.publisher.explain(ConnectionState::Connected, None);
        assert_eq!(shown(), health(ConnectionState::Connected, "n:4222"));
    }
}
