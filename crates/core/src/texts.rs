//! The texts of templates, beside the payloads they belong to.

use std::sync::Arc;

use crate::TextValues;

/// One text per template and payload; none at all for most batches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts {
    /// By place of the template; shared by all parts of a batch.
    places: Option<Arc<Vec<TextValues>>>,
    /// Index of the text of the first payload.
    first: usize,
}

impl Texts {
    /// Text number `row` of the template at `place`; empty when there is none.
    pub(crate) fn get(&self, place: usize, row: usize) -> &str {
        let texts = self.places.as_ref().and_then(|places| places.get(place));
        texts.filter(|texts| self.first + row < texts.len()).map_or("", |texts| texts.get(self.first + row))
    }

    /// Whether there are texts of the template at `place`.
    pub(crate) fn has(&self, place: usize) -> bool {
        self.places.as_ref().and_then(|places| places.get(place)).is_some_and(|texts| !texts.is_empty())
    }

    /// Those from row `rows` on.
    pub(crate) fn skip(&self, rows: usize) -> Self {
        Self { places: self.places.clone(), first: self.first + rows }
    }

    /// Adds the texts of the template at `place`, one for each of the batch's payloads.
    pub(crate) fn set(&mut self, place: usize, texts: TextValues) {
        let len = texts.len();
        let places = Arc::make_mut(self.places.get_or_insert_default());
        if self.first > 0 {
            for others in places.iter_mut() {
                let rows = self.first..others.len().min(self.first + len);
                *others = rows.map(|row| others.get(row)).collect();
            }
            self.first = 0;
        }
        if places.len() <= place {
            places.resize_with(place + 1, TextValues::default);
        }
        places[place] = texts;
    }

    /// Whether the first `rows` texts are the same for every template.
    pub(crate) fn same(&self, other: &Self, rows: usize) -> bool {
        let places = |texts: &Self| texts.places.as_ref().map_or(0, |places| places.len());
        let most = places(self).max(places(other));
        (0..most).all(|place| (0..rows).all(|row| self.get(place, row) == other.get(place, row)))
    }
}
