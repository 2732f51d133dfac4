//! The `websocket` source and sink against real sockets: scripted peers, bad networks, refusals, TLS, and the contract
//! every connector has to keep.
#![allow(clippy::unwrap_used)]

mod backplane;
mod client_sink;
mod client_source;
mod contract;
mod federation;
mod http;
mod refusals;
mod secrets;
mod server;
mod settled;
mod subscribe;
mod support;
mod tls;
