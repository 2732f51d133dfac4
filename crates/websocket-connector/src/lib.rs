//! The `websocket` source and sink of EventFlux, in both roles.
//!
//! In client mode a source connects to a feed and a sink to a collector; both come back when the connection is lost. In
//! server mode (`websocket.mode='server'`) they listen, and share a listener by path. The properties are declared in
//! [`SOURCE_PROPERTIES`] and [`SINK_PROPERTIES`]; the documentation of the connectors is made from these tables.
//!
//! Bytes become messages in `eventflux-websocket-wire`; here is where the bytes come from (`net`: names, proxies, TCP,
//! TLS), what happens when they stop, and who gets the messages.
//!
//! What clients of a listener may do and get is the business of `eventflux-gateway`, which knows no socket: `server`
//! drives its sessions, and `access` finds out who the clients are.
//!
//! What it does not do: no promise beyond what a plain WebSocket can hold: what the peer sent while a source was away is gone (counted as a gap), and what the kernel
//! accepted from a sink is not known to be received.

use std::sync::Arc;

use eventflux_core::EventFluxContext;

mod access;
mod auth;
mod blocking;
mod client;
mod compression;
mod config;
mod counters;
mod deflate;
mod deliver;
mod factory;
mod federation;
mod net;
mod pings;
mod properties;
mod queue;
mod server;
mod sink;
mod source;

pub use config::{MessageType, WebSocketSinkConfig, WebSocketSourceConfig};
pub use factory::{WebSocketSinkFactory, WebSocketSourceFactory};
pub use federation::{Message, Messages, RequestFailure, Requester, RequesterOptions};
pub use properties::{SINK_PROPERTIES, SOURCE_PROPERTIES};
pub use sink::WebSocketSink;
pub use source::WebSocketSource;

/// Adds the `websocket` source and sink types. They share listeners with each other.
///
/// ```
/// let mut context = eventflux_core::EventFluxContext::new();
/// eventflux_websocket_connector::register(&mut context);
/// assert!(context.source_factory("websocket").is_some());
/// assert!(context.sink_factory("websocket").is_some());
/// ```
pub fn register(context: &mut EventFluxContext) {
    let listeners = Arc::default();
    context.add_source_factory(WebSocketSourceFactory::sharing(Arc::clone(&listeners)));
    context.add_sink_factory(WebSocketSinkFactory::sharing(listeners));
}
