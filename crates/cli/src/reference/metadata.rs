//! The metadata fields of a source, as text, as a table and as JSON.

use std::fmt::Write;

use eventflux_core::MetadataSpec;
use serde_json::{Value, json};

use super::cells::{cell, code};

pub(super) fn metadata_text(text: &mut String, fields: &[MetadataSpec]) {
    if fields.is_empty() {
        return;
    }
    text.push_str("  Metadata, to fill columns with (metadata.COLUMN='NAME'):\n\n");
    for field in fields {
        let _ = writeln!(text, "  {} ({})\n      {}\n", field.name, field.data_type, field.doc);
    }
}

pub(super) fn metadata_table(text: &mut String, fields: &[MetadataSpec]) {
    if fields.is_empty() {
        return;
    }
    text.push_str("### Source metadata\n\nTo fill columns with: `metadata.COLUMN='NAME'`.\n\n");
    text.push_str("| Name | Type of the column | Meaning |\n|---|---|---|\n");
    for field in fields {
        let _ = writeln!(text, "| {} | `{}` | {} |", code(field.name), field.data_type, cell(field.doc));
    }
    text.push('\n');
}

pub(super) fn metadata_json(field: &MetadataSpec) -> Value {
    json!({ "name": field.name, "type": field.data_type.name(), "doc": field.doc })
}
