#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]
#[path = "federation/ends.rs"]
mod ends;
#[path = "federation/methods.rs"]
mod methods;
#[path = "federation/plain.rs"]
mod plain;
mod support;
#[path = "federation/requests.rs"]
mod requests;
