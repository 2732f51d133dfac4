//! Filters that are in use, by their text.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use serde_json::{Map, Value};

use super::condition::Condition;
use super::{Filter, FilterLimits};
use crate::Problem;
use crate::pattern::shrink_map;

/// How many texts are kept at least before those no longer in use are looked for.
const MIN_PURGE: usize = 64;

/// Compiles filters, each distinct text once as long as the filter is in use. A filter ends with its last user; the table
/// holds at most twice as many texts as there were filters in use when it was last purged, or 64.
#[derive(Debug, Default)]
pub struct FilterTable {
    filters: HashMap<Source, Weak<Condition>>,
    /// How many entries there may be before it is purged.
    purge_at: usize,
}

/// What a filter is compiled from.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Source {
    fields: Option<String>,
    predicate: Option<String>,
    limits: FilterLimits,
}

impl FilterTable {
    /// As [`Filter::new`]; the filter may be one that is in use already.
    ///
    /// # Errors
    /// As [`Filter::new`].
    pub fn filter(
        &mut self,
        fields: Option<&Map<String, Value>>,
        predicate: Option<&str>,
        limits: &FilterLimits,
    ) -> Result<Option<Filter>, Problem> {
        let source = Source::new(fields, predicate, limits);
        if let Some(condition) = self.filters.get(&source).and_then(Weak::upgrade) {
            return Ok(Some(Filter { condition }));
        }
        let filter = Filter::new(fields, predicate, limits)?;
        if let Some(filter) = &filter {
            self.purge();
            self.filters.insert(source, Arc::downgrade(&filter.condition));
        }
        Ok(filter)
    }

    fn purge(&mut self) {
        if self.filters.len() < self.purge_at.max(MIN_PURGE) {
            return;
        }
        self.filters.retain(|_, condition| condition.strong_count() > 0);
        shrink_map(&mut self.filters);
        self.purge_at = 2 * self.filters.len();
    }
}

impl Source {
    fn new(fields: Option<&Map<String, Value>>, predicate: Option<&str>, limits: &FilterLimits) -> Self {
        let text = |fields: &Map<String, Value>| serde_json::to_string(fields).ok();
        Self { fields: fields.and_then(text), predicate: predicate.map(str::to_owned), limits: *limits }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(table: &mut FilterTable, predicate: &str) -> Filter {
        table.filter(None, Some(predicate), &FilterLimits::default()).unwrap().unwrap()
    }

    #[test]
    fn a_text_is_compiled_once_while_it_is_in_use() {
        let mut table = FilterTable::default();
        let first = filter(&mut table, "a = 1");
        assert!(Arc::ptr_eq(&first.condition, &filter(&mut table, "a = 1").condition));
        assert!(!Arc::ptr_eq(&first.condition, &filter(&mut table, "a = 2").condition));
        let fields = serde_json::json!({"a": 1});
        let other = table.filter(fields.as_object(), Some("a = 1"), &FilterLimits::default()).unwrap().unwrap();
        assert!(!Arc::ptr_eq(&first.condition, &other.condition));
        let weak = Arc::downgrade(&first.condition);
        drop(first);
        assert!(weak.upgrade().is_none());
    }

    #[test]
    fn limits_hold_for_a_text_that_is_in_use_with_other_limits() {
        let mut table = FilterTable::default();
        let _in_use = filter(&mut table, "a = 1 AND b = 2");
        let strict = FilterLimits { max_terms: 1, ..FilterLimits::default() };
        assert!(table.filter(None, Some("a = 1 AND b = 2"), &strict).is_err());
    }

    #[test]
    fn texts_no_longer_in_use_are_forgotten() {
        let mut table = FilterTable::default();
        let in_use: Vec<_> = (0..10).map(|number| filter(&mut table, &format!("a = {number}"))).collect();
        for number in 0..10_000 {
            filter(&mut table, &format!("b = {number}"));
        }
        assert!(table.filters.len() <= MIN_PURGE, "{}", table.filters.len());
        for (number, kept) in in_use.iter().enumerate() {
            assert!(Arc::ptr_eq(&kept.condition, &filter(&mut table, &format!("a = {number}")).condition));
        }
        assert!(table.filter(None, None, &FilterLimits::default()).unwrap().is_none());
        assert!(table.filter(None, Some("a +"), &FilterLimits::default()).is_err());
    }
}
