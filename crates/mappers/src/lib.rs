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

mod excerpt;
mod json;
mod template;
mod timestamp;

use eventflux_core::EventFluxContext;

pub use json::JsonMapperFactory;

/// Adds every format of this crate to the registry.
pub fn register(context: &mut EventFluxContext) {
    context.add_mapper_factory(JsonMapperFactory);
}
