//! The `nats` source and sink against a real nats-server.

mod contract_core;
mod contract_jetstream;
mod core_sink;
mod core_source;
mod request;
mod support;
