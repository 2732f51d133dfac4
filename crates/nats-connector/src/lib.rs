//! The `nats` source and sink of EventFlux: core NATS and JetStream.
//!
//! | module | for |
//! |---|---|
//! | `properties`, `config` | what a pipeline author writes, and what it means |
//! | `source` | subscriptions, replies, durable consumers, partitions |
//! | `sink` | messages, requests, messages that a stream confirms |
//! | `replies` | where a sink that asks meets the source that hears the answers |
//! | `presence` | whether there is a connection, as metrics show it |

mod config;
mod factory;
mod presence;
mod properties;
mod replies;
mod sink;
mod source;

pub use factory::{NatsSinkFactory, NatsSourceFactory};
pub use properties::{METADATA, SINK_PROPERTIES, SOURCE_PROPERTIES};
pub use sink::NatsSink;
pub use source::NatsSource;

use eventflux_core::EventFluxContext;

/// Adds the `nats` source and sink types. Those of one context meet where a sink asks and a source hears the answers.
pub fn register(context: &mut EventFluxContext) {
    let exchanges = std::sync::Arc::default();
    context.add_source_factory(NatsSourceFactory::sharing(std::sync::Arc::clone(&exchanges)));
    context.add_sink_factory(NatsSinkFactory::sharing(exchanges));
}
