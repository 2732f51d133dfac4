//! Contracts and vocabulary of EventFlux.
//!
//! What a stream is made of ([`Schema`], [`EventBatch`], [`Column`], [`Value`]), how a connector is written
//! ([`Source`], [`Sink`], their factories and [`PropertySpec`] tables), how a format is written ([`SourceMapper`],
//! [`SinkMapper`]), and what all of them share: errors and error strategies, metrics, health, the shared runtime and
//! the registry ([`EventFluxContext`]).
//!
//! This crate knows no connector, no wire protocol, no format and no SQL. Everything else depends on it.

pub mod backoff;
mod batch;
mod column;
mod context;
mod data_type;
pub mod dead_letter;
pub mod env;
mod error;
mod escape;
mod factory;
mod function;
pub mod health;
mod mapper;
mod metadata;
pub mod metrics;
mod payload;
pub mod property;
pub mod reports;
pub mod runtime;
mod schema;
mod secret;
mod sink;
mod source;
pub mod strategy;
pub mod template;
pub mod text;
mod texts;
mod value;

pub use batch::{EventBatch, Row};
pub use column::{ByteValues, Column, TextValues, Values};
pub use context::{ConnectorContext, ConnectorRole, EventFluxContext, SINK_STATE, SOURCE_STATE};
pub use data_type::DataType;
pub use error::{EventFluxError, Fault, FaultClass, RowFailure};
pub use escape::escape_control;
pub use factory::{
    COMMON_PROPERTIES, ENCODER_PROPERTIES, MapperFactory, SOURCE_PROPERTIES, SinkFactory, SourceFactory,
};
pub use function::{FunctionError, ScalarFunction};
pub use mapper::{SinkMapper, SourceMapper};
pub use metadata::{BoundMetadata, MessageMetadata, MetadataSpec};
pub use payload::{EncodedBatch, PayloadWriter, Ticket};
pub use property::{Properties, PropertyKind, PropertySpec};
pub use schema::{Field, Schema};
pub use secret::{Secret, redact_url};
pub use sink::{Sink, SinkCallback};
pub use source::{Source, SourceCallback};
pub use template::Template;
pub use value::{Value, ValueRef};

/// A boxed future, as the object-safe traits of this crate return it.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
