//! `metadata.COLUMN='FIELD'` of a source: which columns are filled with what the source knows about a message.

use eventflux_core::property::{PropertyError, nearest};
use eventflux_core::{BoundMetadata, MetadataSpec, Properties, Schema};

use super::columns::Columns;
use super::properties::Written;
use crate::diagnostic::Diagnostic;

/// What stands before the column in a key.
pub(super) const PREFIX: &str = "metadata.";

/// The columns of a stream that metadata fills.
#[derive(Debug)]
pub(crate) struct MetadataPlan {
    /// The other columns, which the format decodes.
    pub(crate) decoded: Columns,
    /// Number of a column of the stream, and number of the field that fills it.
    pub(crate) bound: Vec<(usize, usize)>,
}

/// Which column is filled with which field.
#[derive(Debug, Default)]
pub(super) struct Bound {
    /// Number of a column of the stream, and number of the field that fills it.
    pub(super) columns: Vec<(usize, usize)>,
    /// Names of the field that stands for many: they are numbered behind the table.
    named: Vec<String>,
}

/// The columns that keys name; their fields are looked up by [`Filled::bind`].
pub(super) struct Filled<'a> {
    schema: &'a Schema,
    columns: Vec<usize>,
}

impl<'a> Filled<'a> {
    /// The columns named by the keys of an annotation. When not all columns of the stream could be read (`complete`), a
    /// missing one is no mistake.
    pub(super) fn of(
        written: &Written<'_>,
        schema: &'a Schema,
        complete: bool,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut columns = Vec::new();
        for name in written.keys().filter_map(|key| key.strip_prefix(PREFIX)) {
            match schema.index_of(name) {
                Some(column) => columns.push(column),
                None if complete => diagnostics.push(written.mistake(PropertyError {
                    key: format!("{PREFIX}{name}"),
                    reason: format!("the stream has no column '{name}'"),
                    hint: Some(match nearest(name, schema.names()) {
                        Some(near) => format!("did you mean '{PREFIX}{near}'?"),
                        None => format!("its columns are {}", schema.names().collect::<Vec<_>>().join(", ")),
                    }),
                    in_value: false,
                })),
                None => {}
            }
        }
        Self { schema, columns }
    }

    /// The columns left to the format; `None` when those are all.
    pub(super) fn decoded(&self) -> Option<Columns> {
        (!self.columns.is_empty()).then(|| Columns::without(self.schema, &self.columns))
    }

    /// Looks up the field of each column in the source's `table`; `None` when there is a mistake.
    pub(super) fn bind(
        &self,
        properties: &Properties,
        source: &str,
        table: &[MetadataSpec],
        written: &Written<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Bound> {
        let mut bound = Bound::default();
        let mut sound = true;
        for &column in &self.columns {
            let key = format!("{PREFIX}{}", self.schema.fields()[column].name);
            let field = properties.optional_text(&key).unwrap_or_default().trim();
            match self.field(column, field, source, table) {
                Ok(index) => {
                    let number = bound.number(index, field, table);
                    bound.columns.push((column, number));
                }
                Err((reason, hint)) => {
                    sound = false;
                    let error = PropertyError { key, reason, hint: Some(hint), in_value: !table.is_empty() };
                    diagnostics.push(written.mistake(error));
                }
            }
        }
        sound.then_some(bound)
    }

    /// The number of a field that fits the column, or what is wrong and what to do about it.
    fn field(
        &self,
        column: usize,
        name: &str,
        source: &str,
        table: &[MetadataSpec],
    ) -> Result<usize, (String, String)> {
        if table.is_empty() {
            return Err((format!("a {source} source has no metadata"), "remove it".to_owned()));
        }
        let Some(index) = table.iter().position(|spec| spec.matched(name).is_some()) else {
            let names: Vec<_> = table.iter().map(|spec| spec.name).collect();
            let meant = nearest(name, names.iter().copied()).map(|near| format!("did you mean '{near}'? "));
            let hint = format!("{}its metadata are {}", meant.unwrap_or_default(), names.join(", "));
            return Err((format!("a {source} source has no metadata '{name}'"), hint));
        };
        let (spec, field) = (&table[index], &self.schema.fields()[column]);
        if spec.data_type == field.data_type {
            return Ok(index);
        }
        let (column, found, needed) = (&field.name, field.data_type, spec.data_type);
        let reason = format!("'{name}' is {needed}, and the column '{column}' is {found}");
        Err((reason, format!("declare the column as {column} {needed}")))
    }
}

impl Bound {
    /// The number of the field that is called `name` and stands at `index` of the table.
    fn number(&mut self, index: usize, name: &str, table: &[MetadataSpec]) -> usize {
        let spec = &table[index];
        let Some(name) = spec.matched(name).filter(|_| spec.is_open()) else { return index };
        let known = self.named.iter().position(|known| known == name);
        table.len()
            + known.unwrap_or_else(|| {
                self.named.push(name.to_owned());
                self.named.len() - 1
            })
    }

    /// What the source is told.
    pub(super) fn fields(&self, table: &[MetadataSpec]) -> BoundMetadata {
        let mut fields: Vec<_> =
            self.columns.iter().map(|(_, field)| *field).filter(|field| *field < table.len()).collect();
        fields.sort_unstable();
        fields.dedup();
        BoundMetadata::new(fields).with_named(table, self.named.iter().cloned())
    }
}
