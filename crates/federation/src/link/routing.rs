//! Which events are for a peer that announced what it can take.

use eventflux_gateway::filter::{Document, Filter, FilterLimits};

use super::condition::{field, literal_text};
use crate::FederationConfig;

/// Enough for the largest announcement there can be: 128 types of 256 bytes, each byte a quotation mark.
const LIMITS: FilterLimits = FilterLimits { max_bytes: 128 * 1024, max_terms: FilterLimits::MOST_TERMS, max_depth: 4 };

/// See the module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Routing {
    types: Option<Types>,
    region: Option<Member>,
}

/// Events of these types. Where a payload has none, the name of its stream counts.
#[derive(Debug, PartialEq, Eq)]
struct Types {
    names: Vec<String>,
    member: Member,
}

/// A member of the payload, and what it has to be.
#[derive(Debug, PartialEq, Eq)]
struct Member {
    is_there: Filter,
    is_wanted: Filter,
}

impl Routing {
    /// For a peer that takes these types, or all; and that is in this region, or anywhere.
    ///
    /// # Errors
    /// When a path of the configuration is none.
    pub(crate) fn new(
        types: Option<Vec<String>>,
        region: Option<String>,
        config: &FederationConfig,
    ) -> Result<Self, String> {
        let types = match types {
            Some(names) => Some(Types { member: Member::new(&config.type_path, &names)?, names }),
            None => None,
        };
        let region = region.map(|region| Member::new(&config.region_path, &[region])).transpose()?;
        Ok(Self { types, region })
    }

    /// Whether everything is for the peer.
    pub(crate) fn is_open(&self) -> bool {
        self.types.is_none() && self.region.is_none()
    }

    /// Whether an event of `stream` is for the peer.
    pub(crate) fn admits(&self, stream: &str, document: &Document<'_>) -> bool {
        self.types.as_ref().is_none_or(|types| types.admit(stream, document))
            && self.region.as_ref().is_none_or(|region| region.admits(document).unwrap_or(true))
    }
}

impl Types {
    fn admit(&self, stream: &str, document: &Document<'_>) -> bool {
        self.member.admits(document).unwrap_or_else(|| self.names.iter().any(|name| name == stream))
    }
}

impl Member {
    fn new(path: &str, values: &[String]) -> Result<Self, String> {
        let field = field(path).map_err(|reason| format!("the path '{path}' of this end is none: {reason}"))?;
        let values: Vec<_> = values.iter().map(|value| literal_text(value)).collect();
        let wanted = if values.is_empty() { "FALSE".to_owned() } else { format!("{field} IN ({})", values.join(", ")) };
        Ok(Self { is_there: filter(&format!("{field} IS NOT NULL"))?, is_wanted: filter(&wanted)? })
    }

    /// `None` when the payload does not say.
    fn admits(&self, document: &Document<'_>) -> Option<bool> {
        self.is_there.matches(document).then(|| self.is_wanted.matches(document))
    }
}

fn filter(predicate: &str) -> Result<Filter, String> {
    let filter = Filter::new(None, Some(predicate), &LIMITS).map_err(|problem| problem.to_string())?;
    filter.ok_or_else(|| "an empty predicate".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::methods::MAX_TYPES;
    use super::*;

    fn routing(types: Option<&[&str]>, region: Option<&str>) -> Routing {
        let types = types.map(|types| types.iter().map(|&name| name.to_owned()).collect());
        Routing::new(types, region.map(str::to_owned), &FederationConfig::default()).unwrap()
    }

    fn admits(routing: &Routing, stream: &str, payload: &str) -> bool {
        routing.admits(stream, &Document::new(payload.as_bytes()))
    }

    #[test]
    fn types_of_payloads_count_and_else_the_stream() {
        let routing = routing(Some(&["sensor", "o'clock"]), None);
        assert!(admits(&routing, "s", r#"{"type":"sensor"}"#));
        assert!(admits(&routing, "s", r#"{"type":"o'clock"}"#));
        assert!(!admits(&routing, "sensor", r#"{"type":"alarm"}"#));
        assert!(admits(&routing, "sensor", r#"{"value":1}"#));
        assert!(admits(&routing, "sensor", r#"{"type":null}"#));
        assert!(!admits(&routing, "alarm", r#"{"value":1}"#));
        assert!(admits(&routing, "sensor", "\u{0}not JSON"));
        assert!(!admits(&routing, "alarm", "\u{0}not JSON"));
    }

    #[test]
    fn other_regions_are_left_out_and_events_of_none_are_not() {
        let routing = routing(None, Some("us-west"));
        assert!(admits(&routing, "s", r#"{"region":"us-west"}"#));
        assert!(!admits(&routing, "s", r#"{"region":"eu"}"#));
        assert!(!admits(&routing, "s", r#"{"region":7}"#));
        assert!(admits(&routing, "s", r#"{"value":7}"#));
    }

    #[test]
    fn who_takes_no_type_gets_nothing() {
        let routing = routing(Some(&[]), None);
        assert!(!admits(&routing, "s", r#"{"type":"sensor"}"#));
        assert!(!admits(&routing, "s", "{}"));
    }

    #[test]
    fn the_largest_announcement_is_within_the_limits() {
        let name = "'".repeat(256);
        let routing = routing(Some(&vec![name.as_str(); MAX_TYPES]), Some(&name));
        assert!(!admits(&routing, "s", r#"{"type":"sensor"}"#));
        assert!(Routing::default().is_open() && !routing.is_open());
    }
}
