//! Asking from outside: one connection to a place of links, for programs that are no pipeline.

mod answer;
mod connecting;
mod options;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use eventflux_core::EventFluxError;
use eventflux_federation::envelope::{Content, Kind};
use eventflux_federation::{Arrival, To};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::watch;

pub use self::answer::RequestFailure;
pub(super) use self::answer::{not_sent, result};
pub use self::options::RequesterOptions;

use super::asking::ask;
use super::{Inlet, Place};

/// A connection to a source or sink with `websocket.protocol='federation'` that listens, to ask it things.
///
/// It takes part in links as any other peer, but wants no events, so that nobody waits for it. It does not connect again:
/// when the connection has ended every request fails, and says why it ended. It works with any executor; its I/O is done
/// by threads of its own.
///
/// ```no_run
/// use eventflux_websocket_connector::{Requester, RequesterOptions};
/// use serde_json::json;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let options = RequesterOptions::default().bearer(&std::env::var("EDGE_TOKEN")?);
/// let edge = Requester::connect("wss://edge-7.example:8080/federation", &options).await?;
/// let status = edge.request("status", &json!({})).await?;
/// println!("{status}");
/// edge.request("backpressure", &json!({ "rate_limit": 100, "unit": "msg/sec" })).await?;
/// edge.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Requester {
    endpoint: String,
    place: Arc<Place>,
    /// Dropping it ends the connection.
    stop: watch::Sender<bool>,
    ended: Arc<Ended>,
}

/// The events that a [`Requester`] is sent, where it wants some.
///
/// They have to be taken: while many wait the connection is not read, and replies wait with them.
#[derive(Debug)]
pub struct Messages {
    inlet: Arc<Inlet>,
    ended: Arc<Ended>,
    taken: VecDeque<Message>,
}

/// An event of the peer.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// What it says: JSON text, or bytes.
    pub payload: Bytes,
    /// Whether it is bytes.
    pub is_binary: bool,
    /// Its id.
    pub id: String,
    /// When it was published, in milliseconds since 1970-01-01T00:00:00Z, as far as the peer says so.
    pub timestamp: Option<u64>,
}

/// Why the connection ended, when it has.
#[derive(Debug, Default)]
struct Ended {
    reason: OnceLock<String>,
    /// Whether the connection is gone.
    is_gone: watch::Sender<bool>,
}

impl Requester {
    /// Connects.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when the URL or an option is wrong, and
    /// [`EventFluxError::ConnectionUnavailable`] when there is no connection.
    pub async fn connect(url: &str, options: &RequesterOptions) -> Result<Self, EventFluxError> {
        Ok(connecting::connect(url, options, false).await?.0)
    }

    /// Connects, and takes events as a peer that knows no acknowledgements: those that are published from now on, and those
    /// that it asks for with `replay`. What it is too slow for it misses.
    ///
    /// # Errors
    /// Those of [`Requester::connect`]; a place with `websocket.link='require'` refuses such a peer.
    pub async fn connect_following(url: &str, options: &RequesterOptions) -> Result<(Self, Messages), EventFluxError> {
        let (requester, inlet) = connecting::connect(url, options, true).await?;
        let ended = requester.ended.clone();
        Ok((requester, Messages { inlet, ended, taken: VecDeque::new() }))
    }

    /// Asks for something: `params` becomes a JSON object. Returns the result that the peer replies with. Several requests
    /// may be under way at once.
    ///
    /// # Errors
    /// When there is no result, with the reason.
    pub async fn request<P: Serialize + ?Sized>(
        &self,
        method: &str,
        params: &P,
    ) -> Result<Box<RawValue>, RequestFailure> {
        let params = serde_json::to_vec(params)
            .map_err(|error| RequestFailure::Invalid(format!("the params cannot be written as JSON: {error}")))?;
        let asked = ask(&self.place, To::All, method, params.into());
        let reply = asked.map_err(|error| not_sent(&error, &self.ended.reason()))?;
        result(reply.await)
    }

    /// Where it is connected to, without what may be secret.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Says goodbye, and waits until that is done. Dropping it says goodbye as well, and does not wait.
    pub async fn close(self) {
        self.stop.send_replace(true);
        self.ended.gone().await;
    }
}

impl Messages {
    /// The next event; `None` when the connection has ended, and [`Messages::ending`] says why.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.taken.pop_front() {
                return Some(message);
            }
            let delivered = self.inlet.next().await?;
            self.taken.extend(delivered.left().iter().filter_map(Message::of));
        }
    }

    /// Why there are no more.
    #[must_use]
    pub fn ending(&self) -> String {
        self.ended.reason()
    }
}

impl Message {
    fn of(arrival: &Arrival) -> Option<Self> {
        match arrival {
            Arrival::Message { kind: Kind::Data, id, payload, content, timestamp, .. } => Some(Self {
                payload: payload.clone(),
                is_binary: *content == Content::Binary,
                id: String::from_utf8_lossy(id).into_owned(),
                timestamp: *timestamp,
            }),
            Arrival::Message { .. } => None,
            Arrival::Malformed(_, malformed) => {
                log::warn!("a message that is none of federation was left out: {malformed}");
                None
            }
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("payload", &format_args!("{} bytes", self.payload.len()))
            .field("is_binary", &self.is_binary)
            .field("id", &self.id)
            .field("timestamp", &self.timestamp)
            .finish()
    }
}

impl Ended {
    fn because(&self, reason: String) {
        let _ = self.reason.set(reason);
    }

    fn reason(&self) -> String {
        self.reason.get().cloned().unwrap_or_else(|| "the connection has ended".to_owned())
    }

    async fn gone(&self) {
        // The sender lives in self, so the channel cannot be closed while we wait.
        let _ = self.is_gone.subscribe().wait_for(|is_gone| *is_gone).await;
    }
}
