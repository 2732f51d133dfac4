//! The bucket, and the stream below it.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType, Stream};

use crate::bus::pull::Lost;
use crate::bus::{BusConfig, DUPLICATE_WINDOW};

/// Its name.
pub(super) fn name(config: &BusConfig) -> String {
    format!("eventflux-presence-{}", config.name)
}

/// The stream below it.
pub(super) fn stream(config: &BusConfig) -> String {
    format!("KV_{}", name(config))
}

/// The subjects of its keys begin so.
pub(super) fn prefix(config: &BusConfig) -> String {
    format!("$KV.{}.", name(config))
}

/// The subjects of its keys, all of them.
pub(super) fn keys(config: &BusConfig) -> String {
    format!("{}>", prefix(config))
}

/// The bucket's stream: found, or created. As the library would, but for a request about the account, of which it does not
/// understand the answers of servers before 2.10.
pub(super) async fn ensure(jetstream: &jetstream::Context, config: &BusConfig, ttl: Duration) -> Result<Stream, Lost> {
    if let Ok(stream) = jetstream.get_stream(stream(config)).await {
        return Ok(stream);
    }
    let wanted = Config {
        name: stream(config),
        description: Some("Who is present at a bus".to_owned()),
        subjects: vec![keys(config)],
        max_messages_per_subject: 1,
        max_age: ttl,
        storage: StorageType::Memory,
        num_replicas: config.replicas,
        discard: DiscardPolicy::New,
        duplicate_window: DUPLICATE_WINDOW.min(ttl),
        allow_rollup: true,
        allow_direct: true,
        deny_delete: true,
        ..Config::default()
    };
    match jetstream.create_stream(wanted).await {
        Ok(stream) => Ok(stream),
        // Somebody else may have been quicker, with other settings.
        Err(error) => jetstream.get_stream(stream(config)).await.map_err(|_| Lost::from_error(error)),
    }
}
