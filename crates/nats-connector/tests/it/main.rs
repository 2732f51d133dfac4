//! The `nats` source and sink against a real nats-server.

mod contract_core;
mod contract_jetstream;
mod contract_partitions;
mod core_sink;
mod core_source;
mod partitions;
mod jetstream_sink;
mod jetstream_source;
mod request;
mod support;
