//! Properties: declared once, and from that declaration parsed, validated, documented and suggested.
//!
//! A connector or format declares a table of [`PropertySpec`]s. [`Properties::resolve`] turns what a pipeline author
//! wrote into typed values, or into every error at once. Documentation and `eventflux connectors` read the same table.

mod kind;
mod parts;
mod resolve;
mod resolved;
mod spec;
mod table;

pub use kind::{PropertyKind, PropertyValue};
pub use parts::{concat, count};
pub use resolved::{Properties, PropertyError};
pub use spec::{ChosenDefault, Condition, MAX_DEPENDENCY_CHAIN, PropertySpec, either};
pub use table::table_mistakes;

/// The candidate most like `word`, if one is near enough to be what was meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const NEAR_ENOUGH: f64 = 0.75;
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(score, _)| *score >= NEAR_ENOUGH)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_the_word_that_was_meant() {
        let known = ["websocket.url", "websocket.reconnect", "error.strategy"];
        assert_eq!(nearest("websocket.ulr", known), Some("websocket.url"));
        assert_eq!(nearest("error.stratgy", known), Some("error.strategy"));
        assert_eq!(nearest("zzz", known), None);
    }
}
