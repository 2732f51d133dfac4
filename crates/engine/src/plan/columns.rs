//! Some columns of a stream: those a format sees when others come from, or go to, somewhere else.

use std::sync::Arc;

use eventflux_core::Schema;

/// Columns of a stream, in its order.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    /// Their names and types.
    pub(crate) schema: Arc<Schema>,
    /// Their numbers in the stream.
    pub(crate) places: Vec<usize>,
}

impl Columns {
    /// All columns of `schema` but those number `left_out`.
    pub(super) fn without(schema: &Schema, left_out: &[usize]) -> Self {
        let places: Vec<_> = (0..schema.len()).filter(|place| !left_out.contains(place)).collect();
        let fields = places.iter().map(|&place| &schema.fields()[place]);
        let schema = Schema::new(fields.map(|field| (field.name.clone(), field.data_type)));
        Self { schema: Arc::new(schema), places }
    }
}
