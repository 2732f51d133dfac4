//! What a process that publishes is told to do; travels from the runner as JSON.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// WebSocket clients that publish to a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Clients, each with a connection.
    pub(crate) clients: usize,
    /// Messages of each before the run.
    pub(crate) warm_up: u64,
    /// Messages of each.
    pub(crate) messages: u64,
}

/// A client of NATS that publishes to a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Floor {
    /// The server.
    pub(crate) url: String,
    /// Messages before the run.
    pub(crate) warm_up: u64,
    /// Messages.
    pub(crate) messages: u64,
    /// Most messages that are not confirmed.
    pub(crate) in_flight: usize,
    /// Whether each has an id for deduplication, as what EventFlux publishes does.
    pub(crate) ids: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_survives_its_journey() {
        let load = Load { address: ([127, 0, 0, 1], 1).into(), clients: 2, warm_up: 3, messages: 4 };
        let text = serde_json::to_string(&load).unwrap();
        assert_eq!(serde_json::from_str::<Load>(&text).unwrap(), load);
        let floor = Floor { url: "nats://127.0.0.1:1".into(), warm_up: 1, messages: 2, in_flight: 3, ids: true };
        let text = serde_json::to_string(&floor).unwrap();
        assert_eq!(serde_json::from_str::<Floor>(&text).unwrap(), floor);
    }
}
