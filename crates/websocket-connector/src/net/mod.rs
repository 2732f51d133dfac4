//! Byte streams of both ends: how a client reaches a host, TCP options, TLS, and whom a listener believes and admits.
//!
//! It ends where bytes can flow: WebSocket handshakes and messages are not its subject.

pub(crate) mod addresses;
mod connect;
pub(crate) mod dial;
pub(crate) mod dial_error;
pub(crate) mod forwarded;
mod forwarded_header;
mod no_proxy;
pub(crate) mod origin;
pub(crate) mod pem;
pub(crate) mod properties;
pub(crate) mod proxy;
pub(crate) mod proxy_protocol;
mod race;
mod site;
pub(crate) mod stream;
pub(crate) mod tcp;
pub(crate) mod tls_client;
mod tls_context;
mod tls_failure;
pub(crate) mod tls_server;
mod tunnel;
