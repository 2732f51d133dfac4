//! The `nats` source and sink against a real nats-server.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod contract_core;
mod contract_jetstream;
mod contract_partitions;
mod core_sink;
mod core_source;
mod jetstream_sink;
mod jetstream_source;
mod partitions;
mod request;
mod support;
