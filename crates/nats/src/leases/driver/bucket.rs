//! The key-value bucket of a group: what is written, and what it shows.

use std::error::Error;
use std::time::Duration;

use async_nats::jetstream::context::{GetStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::kv::{self, Operation, Store, UpdateError, UpdateErrorKind, Watch};
use async_nats::jetstream::{self, ErrorCode, stream};
use bytes::Bytes;
use eventflux_core::EventFluxError;

use super::super::LeaseConfig;
use super::super::machine::{Outcome, Request};
use super::super::record::{Key, Presence, Record};

/// Most bytes of a value; ours have less than half of them.
const MAX_VALUE_BYTES: i32 = 1024;

/// How long the server may take to find or create the bucket.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    jetstream: jetstream::Context,
    config: LeaseConfig,
    store: Store,
}

/// What became of a request.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) request: Request,
    pub(super) outcome: Outcome,
    /// The bucket may be gone.
    pub(super) is_missing: bool,
}

/// What the bucket shows.
#[derive(Debug)]
pub(super) enum Shown {
    Partition(u32, u64, Option<Record>),
    Member(String, u64, Option<Presence>),
}

impl Bucket {
    /// Finds it, or creates it.
    pub(super) async fn open(jetstream: jetstream::Context, config: &LeaseConfig) -> Result<Self, EventFluxError> {
        let name = format!("eventflux-leases-{}", config.group);
        let opened = tokio::time::timeout(OPEN_TIMEOUT, find_or_create(&jetstream, &name, config)).await;
        let timed_out = |_| unavailable(&name, "nobody answers: is JetStream enabled, and permitted?".to_owned(), true);
        let store = opened.map_err(timed_out)??;
        Ok(Self { jetstream, config: config.clone(), store })
    }

    /// Finds or creates it again; says whether it is another one than before.
    pub(super) async fn reopen(&mut self) -> Result<bool, EventFluxError> {
        let again = Self::open(self.jetstream.clone(), &self.config).await?;
        let is_another = again.store.stream.cached_info().created != self.store.stream.cached_info().created;
        *self = again;
        Ok(is_another)
    }

    /// What it holds, and then what changes, in order.
    pub(super) async fn watch(&self) -> Result<Watch, EventFluxError> {
        let failed = |error: kv::WatchError| unavailable(&self.store.name, error.to_string(), true);
        self.store.watch_with_history(">").await.map_err(failed)
    }

    /// Writes; takes at most `timeout`.
    pub(super) async fn write(self, request: Request, timeout: Duration) -> Done {
        let Ok(result) = tokio::time::timeout(timeout, self.try_write(&request)).await else {
            return Done { request, outcome: Outcome::Unknown, is_missing: false };
        };
        let is_missing = result.as_ref().is_err_and(is_missing);
        let outcome = match result {
            Ok(revision) => Outcome::Stored(revision),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Outcome::Refused,
            Err(_) => Outcome::Unknown,
        };
        Done { request, outcome, is_missing }
    }

    async fn try_write(&self, request: &Request) -> Result<u64, UpdateError> {
        match request {
            Request::Partition { partition, expected, record } => {
                self.store.update(Key::Partition(*partition).text(), json(record), *expected).await
            }
            Request::Alive(id, presence) => {
                let put = self.store.put(Key::Member(id.clone()).text(), json(presence)).await;
                put.map_err(|error| UpdateError::with_source(UpdateErrorKind::Other, error))
            }
            Request::Leave(id) => self.store.delete(Key::Member(id.clone()).text()).await.map(|()| 0),
            Request::Remove(id) => {
                let subject = format!("{}{}", self.store.prefix, Key::Member(id.clone()).text());
                let purged = self.store.stream.purge().filter(subject).await;
                purged.map(|_| 0).map_err(|error| UpdateError::with_source(UpdateErrorKind::Other, error))
            }
        }
    }
}

impl Shown {
    /// `None` for a key that is not ours.
    pub(super) fn read(entry: &kv::Entry) -> Option<Self> {
        let value = (entry.operation == Operation::Put).then_some(&entry.value);
        Some(match Key::parse(&entry.key)? {
            Key::Partition(number) => Self::Partition(number, entry.revision, value.and_then(|value| parse(value))),
            Key::Member(id) => Self::Member(id, entry.revision, value.and_then(|value| parse(value))),
        })
    }
}

async fn find_or_create(
    jetstream: &jetstream::Context,
    name: &str,
    config: &LeaseConfig,
) -> Result<Store, EventFluxError> {
    let missing = match jetstream.get_key_value(name).await {
        Ok(store) => return Ok(store),
        Err(error) => error,
    };
    if !source::<jetstream::context::GetStreamError>(&missing).is_some_and(is_not_found) {
        return Err(refused(name, &missing));
    }
    match jetstream.create_stream(stream_config(name, config)).await {
        // Another process may have been first, with other replicas: then it is there.
        Ok(_) => {}
        Err(error) => return jetstream.get_key_value(name).await.map_err(|_| refused(name, &error)),
    }
    jetstream.get_key_value(name).await.map_err(|error| refused(name, &error))
}

/// The stream of a key-value bucket (ADR-8 of NATS). The library's own way asks for the account first, in a form that older
/// servers do not answer.
fn stream_config(name: &str, config: &LeaseConfig) -> stream::Config {
    stream::Config {
        name: format!("KV_{name}"),
        description: Some("EventFlux: who holds which partition, and how far it has been read".to_owned()),
        subjects: vec![format!("$KV.{name}.>")],
        max_messages_per_subject: 1,
        max_message_size: MAX_VALUE_BYTES,
        num_replicas: config.replicas,
        discard: stream::DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        ..stream::Config::default()
    }
}

fn is_not_found(error: &jetstream::context::GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// Not retryable where JetStream itself said no.
fn refused(name: &str, error: &(dyn Error + 'static)) -> EventFluxError {
    let said_no = source::<jetstream::Error>(error).is_some_and(|error| error.code() < 500)
        || source::<jetstream::context::GetStreamError>(error)
            .is_some_and(|error| matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.code() < 500));
    unavailable(name, chain(error), !said_no)
}

fn unavailable(name: &str, reason: String, retryable: bool) -> EventFluxError {
    EventFluxError::ConnectionUnavailable { endpoint: format!("bucket {name}"), reason, retryable }
}

/// The causes, each behind the one it caused.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// The cause of that type.
fn source<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

fn is_missing(error: &UpdateError) -> bool {
    source::<jetstream::context::PublishError>(error)
        .is_some_and(|error| error.kind() == PublishErrorKind::StreamNotFound)
}

fn json(value: &impl serde::Serialize) -> Bytes {
    // Texts and numbers are always JSON.
    serde_json::to_vec(value).unwrap_or_default().into()
}

fn parse<T: serde::de::DeserializeOwned>(value: &[u8]) -> Option<T> {
    serde_json::from_slice(value).ok()
}
