//! Temporary.
#[path = "it/contract_partitions.rs"]
mod contract_partitions;
#[path = "it/partitions.rs"]
mod partitions;
#[path = "it/support.rs"]
mod support;
