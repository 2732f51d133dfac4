//! The bucket, and the stream below it.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::kv::{Config, Store};
use async_nats::jetstream::stream::StorageType;

use crate::bus::BusConfig;
use crate::bus::pull::Lost;

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

/// The bucket: found, or created.
pub(super) async fn ensure(jetstream: &jetstream::Context, config: &BusConfig, ttl: Duration) -> Result<Store, Lost> {
    if let Ok(store) = jetstream.get_key_value(name(config)).await {
        return Ok(store);
    }
    let wanted = Config {
        bucket: name(config),
        description: "Who is present at a bus".to_owned(),
        max_age: ttl,
        history: 1,
        storage: StorageType::Memory,
        num_replicas: config.replicas,
        ..Config::default()
    };
    match jetstream.create_key_value(wanted).await {
        Ok(store) => Ok(store),
        // Somebody else may have been quicker.
        Err(error) => jetstream.get_key_value(name(config)).await.map_err(|_| Lost::from_error(error)),
    }
}
