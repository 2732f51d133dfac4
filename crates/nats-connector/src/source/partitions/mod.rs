//! The messages of a stream by partitions, of which each is held by one instance at a time.
//!
//! A session is what begins when the stream is there, and ends when the source stops or the stream is another one: it takes
//! part in the leases of the group ([`eventflux_nats::leases`]), has a consumer of its own at the server for each partition
//! that it holds, and hands over what comes. Positions are kept with the leases: when everything up to a message has
//! settled, the next holder begins behind it.
//!
//! | module | for |
//! |---|---|
//! | `config` | what the properties mean |
//! | `start` | where partitions begin that nobody has worked on |
//! | `reader` | one partition: what is asked for, what came; no I/O |
//! | `readers` | those that are held, by partition and by where their messages come |
//! | `consumers` | consumers at the server |
//! | `progress` | deliveries that are not settled |
//! | `session` | what happens, one after the other |
//! | `report` | what others see |

mod config;
mod consumers;
mod progress;
mod reader;
mod readers;
mod report;
mod session;
mod start;

use std::time::Duration;

use eventflux_core::health::ConnectionState;
use eventflux_core::{EventFluxError, runtime};
use eventflux_nats::{Connection, Observer};
use tokio::task::JoinHandle;

pub(crate) use self::config::PartitionsConfig;
use self::session::{End, Session};
use super::Work;

/// How long the end of the connection may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Pause before another session.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs until it is stopped or gives up.
pub(super) async fn run(config: PartitionsConfig, work: Work) -> Result<(), EventFluxError> {
    let Some(connection) = connect(&work).await? else { return Ok(()) };
    let result = sessions(&config, &work, &connection).await;
    work.goodbye(&connection, GOODBYE).await;
    result
}

/// Connects on the shared runtime: leases have to be renewed while this thread works on a delivery.
async fn connect(work: &Work) -> Result<Option<Connection>, EventFluxError> {
    let (config, observer) = (work.connection.clone(), Observer::of(&work.context));
    let opening = AbortOnDrop(runtime::shared()?.spawn(async move { Connection::open(&config, &observer).await }));
    let Some(connection) = opening.or_stopped(work).await? else { return Ok(None) };
    work.presence.show(&work.context, &connection);
    Ok(Some(connection))
}

async fn sessions(config: &PartitionsConfig, work: &Work, connection: &Connection) -> Result<(), EventFluxError> {
    let (mut last, mut newest) = (None, 0);
    while !work.signal.is_stopped() {
        let ended = match Session::open(config, work, connection, newest).await {
            Ok(Some(session)) => {
                last = None;
                session.run().await?
            }
            Ok(None) => return Ok(()),
            // Also where the server says no: streams are created, and permissions given, while it runs.
            Err(error @ EventFluxError::ConnectionUnavailable { .. }) => End::Again(error.to_string()),
            Err(error) => return Err(error),
        };
        let reason = match ended {
            End::Stopped => return Ok(()),
            End::Again(reason) => reason,
            End::Outdated(epoch) => {
                newest = newest.max(epoch);
                "other instances know a stream that was created later".to_owned()
            }
        };
        if connection.is_connected() {
            work.context.health.set(ConnectionState::Reconnecting, reason.clone());
        }
        if last.as_ref() != Some(&reason) {
            log::warn!("[{}] {reason}; trying again", work.context.stream);
            last = Some(reason);
        }
        tokio::select! {
            error = connection.given_up() => return Err(error),
            _ = work.signal.sleep(PAUSE) => {}
        }
    }
    Ok(())
}

/// A task on the shared runtime that ends with what waits for it.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> AbortOnDrop<Result<T, EventFluxError>> {
    /// What became of it; `None` when the source was told to stop first.
    async fn or_stopped(mut self, work: &Work) -> Result<Option<T>, EventFluxError> {
        tokio::select! {
            biased;
            () = work.signal.stopped() => Ok(None),
            // It panicked: nobody else ends it.
            ended = &mut self.0 => ended.map_err(|error| EventFluxError::Panic {
                component: "the connection to NATS".to_owned(),
                reason: error.to_string(),
            })?.map(Some),
        }
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
