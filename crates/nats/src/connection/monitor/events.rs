//! What the library tells of a connection.

use std::sync::Weak;
use std::time::Duration;

use async_nats::{ClientError, Event, ServerError};
use eventflux_core::escape_control;

use super::Monitor;
use crate::connection::violation::Violation;

/// How long it may take to leave a server in order.
const LEAVE: Duration = Duration::from_secs(5);

impl Monitor {
    /// What the library has to tell.
    pub(in crate::connection) fn on(&self, event: Event) {
        self.observe();
        match event {
            Event::Connected | Event::Disconnected | Event::Draining | Event::Closed => {}
            Event::SlowConsumer(_) => self.on_slow_consumer(),
            Event::LameDuckMode => self.on_lame_duck(),
            Event::ServerError(error) => self.on_server_error(error),
            // Failed attempts are told of by the library when it asks for the next one, with more detail.
            Event::ClientError(ClientError::Other(_) | ClientError::MaxReconnects) => {}
            Event::ClientError(ClientError::ServerNotInPool) => self.counters.error("client"),
        }
    }

    fn on_slow_consumer(&self) {
        self.counters.slow_consumers.increment();
        self.log_complaint("messages are dropped: a subscription is not read quickly enough".to_owned());
    }

    /// The server will go away: better now, in order, than when it closes the connection.
    fn on_lame_duck(&self) {
        log::info!("[{}] {} is about to shut down", self.observer.stream, self.lock().server);
        let Some(shared) = self.shared.get().and_then(Weak::upgrade) else { return };
        if !self.lock().may_reconnect {
            return;
        }
        tokio::spawn(tokio::time::timeout(LEAVE, async move {
            let client = &shared.client;
            let others = client.server_pool().await.is_ok_and(|servers| servers.len() > 1);
            if others && client.flush().await.is_ok() {
                shared.monitor.lock().plan.leaves();
                let _ = client.force_reconnect().await;
            }
        }));
    }

    fn on_server_error(&self, error: ServerError) {
        let text = match error {
            ServerError::AuthorizationViolation => "authorization violation".to_owned(),
            ServerError::SlowConsumer(_) => "slow consumer".to_owned(),
            ServerError::Other(text) => text,
        };
        if let Some(violation) = Violation::parse(&text) {
            self.counters.error("permissions");
            self.log_complaint(violation.to_string());
            // Nobody has to listen.
            let _ = self.violations.send(violation);
            return;
        }
        self.counters.error(kind_of(&text));
        let text = format!("the server says: {}", escape_control(&text));
        self.log_complaint(text.clone());
        self.lock().last_words = Some(text);
    }
}

/// For a label only.
fn kind_of(text: &str) -> &'static str {
    let text = text.to_ascii_lowercase();
    if text.contains("authorization") || text.contains("authentication") {
        "authentication"
    } else if text.contains("slow consumer") {
        "slow"
    } else {
        "server"
    }
}
