//! Puts what a source knows about its messages beside what their format says.

use std::sync::Arc;

use eventflux_core::{Column, EventBatch, MessageMetadata, Schema, ValueRef};

use crate::plan::MetadataPlan;

/// Completes decoded rows with the columns that metadata fills.
pub(super) struct MetadataColumns {
    /// Numbers in the stream of the decoded columns.
    decoded: Vec<usize>,
    /// Number of a column of the stream, and number of the field that fills it.
    bound: Vec<(usize, usize)>,
    rows: EventBatch,
}

impl MetadataColumns {
    /// For a stream of `schema`.
    pub(super) fn new(plan: MetadataPlan, schema: &Arc<Schema>) -> Self {
        Self { decoded: plan.decoded.places, bound: plan.bound, rows: EventBatch::new(schema.clone()) }
    }

    /// Takes the decoded rows out of `decoded` and adds the metadata of their messages, of which the first one has
    /// `first_position`. A message without metadata has `NULL`s.
    pub(super) fn complete(
        &mut self,
        decoded: &mut EventBatch,
        metadata: &[MessageMetadata],
        first_position: u64,
    ) -> &EventBatch {
        self.rows.clear();
        for &(column, field) in &self.bound {
            let column = &mut self.rows.columns_mut()[column];
            for position in decoded.positions() {
                let message = position.checked_sub(first_position).and_then(|message| usize::try_from(message).ok());
                let of_message = message.and_then(|message| metadata.get(message));
                push(column, of_message.map_or(ValueRef::Null, |metadata| metadata.value(field)));
            }
        }
        self.rows.exchange(decoded, &self.decoded);
        &self.rows
    }
}

/// The type was checked by [`MessageMetadata::new`]; values that were made for another table become `NULL`.
fn push(column: &mut Column, value: ValueRef<'_>) {
    let fits = value.data_type().is_none_or(|found| found == column.data_type());
    debug_assert!(fits, "a {} column got the metadata {value:?}", column.data_type());
    if fits { column.push(value) } else { column.push_null() }
}
