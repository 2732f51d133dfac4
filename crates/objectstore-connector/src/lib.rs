//! The `objectstore` sink: events become objects, in a directory or in a store that speaks the protocol of S3.
//!
//! Payloads are collected into batches, one for each path, and each batch becomes one object, which is there completely
//! or not at all. The name of an object is chosen once: a second try of the same batch overwrites the first. The stores
//! themselves are the `object_store` crate's.
//!
//! | module | for |
//! |---|---|
//! | `properties`, `config`, `location` | what a pipeline author writes, and what it means |
//! | `naming` | paths and names of objects; what is no path is refused |
//! | `batcher`, `object` | from payloads to objects; no I/O, no clock |
//! | `queue` | what waits to be written, between the pipeline and the writer |
//! | `writer` | the task that writes |
//! | `store` | the stores, and what their errors mean |
//! | `directory`, `s3`, `transport` | how the library's stores are opened, and its requests sent |
//! | `sink` | the contract of a sink |

mod batcher;
mod config;
mod directory;
mod factory;
mod location;
mod naming;
mod object;
mod properties;
mod queue;
#[cfg(feature = "s3")]
mod s3;
mod sink;
mod store;
#[cfg(test)]
mod testing;
#[cfg(feature = "s3")]
mod transport;
mod writer;

pub use batcher::BatchLimits;
pub use config::ObjectStoreSinkConfig;
pub use factory::ObjectStoreSinkFactory;
pub use location::{Location, S3Location};
pub use object::Framing;
pub use properties::SINK_PROPERTIES;
pub use sink::ObjectStoreSink;

use eventflux_core::EventFluxContext;

/// Adds the connector to `context`.
pub fn register(context: &mut EventFluxContext) {
    context.add_sink_factory(ObjectStoreSinkFactory);
}
