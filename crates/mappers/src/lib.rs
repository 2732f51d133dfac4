//! The formats of EventFlux: how messages become rows of a stream, and rows payloads.
//!
//! Four formats, each a [`MapperFactory`](eventflux_core::MapperFactory) with its own property table: `json`, `text`,
//! `bytes` and `csv`. This crate knows nothing of where messages come from or go to.
//!
//! ```
//! use eventflux_core::EventFluxContext;
//!
//! let mut context = EventFluxContext::new();
//! eventflux_mappers::register(&mut context);
//! assert!(context.mapper_factory("json").is_some());
//! ```

mod bytes;
mod csv;
mod excerpt;
mod json;
mod template;
mod text;
mod timestamp;

use eventflux_core::EventFluxContext;

pub use crate::bytes::BytesMapperFactory;
pub use crate::csv::CsvMapperFactory;
pub use json::JsonMapperFactory;
pub use text::TextMapperFactory;

/// Adds every format of this crate to the registry.
pub fn register(context: &mut EventFluxContext) {
    context.add_mapper_factory(JsonMapperFactory);
    context.add_mapper_factory(TextMapperFactory);
    context.add_mapper_factory(BytesMapperFactory);
    context.add_mapper_factory(CsvMapperFactory);
}
