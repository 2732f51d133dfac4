//! The messages of a stream that a durable consumer shares out, acknowledged when the pipeline has settled.
//!
//! What is pulled is handed over as it comes, and a mark is set behind each delivery ([`SourceCallback::settled`]); when it
//! is passed, the messages before it are acknowledged. Until then the server is told in time that they are being worked on.
//! A message that was delivered too often goes to the error strategy, and is acknowledged like the others.
//!
//! [`SourceCallback::settled`]: eventflux_core::SourceCallback::settled

pub(super) mod config;
mod consumer;
mod inbox;
mod ledger;
pub(super) mod pulls;
mod receipt;
mod report;
mod session;
pub(super) mod status;

use std::time::Duration;

use eventflux_core::EventFluxError;
use eventflux_nats::Connection;

pub(crate) use self::config::JetStreamConfig;
use self::session::Session;
use super::Work;

/// How long the end of the connection may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Runs until it is stopped or gives up.
pub(super) async fn run(config: JetStreamConfig, work: Work) -> Result<(), EventFluxError> {
    let Some(connection) = work.connect().await? else { return Ok(()) };
    let result = read(config, &work, &connection).await;
    work.goodbye(&connection, GOODBYE).await;
    result
}

async fn read(config: JetStreamConfig, work: &Work, connection: &Connection) -> Result<(), EventFluxError> {
    let mut session = Session::new(config, work, connection).await?;
    let result = session.run().await;
    session.finish(result.is_ok()).await;
    result
}
