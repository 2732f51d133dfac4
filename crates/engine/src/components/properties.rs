//! The properties that the fields of a component become.

use eventflux_core::PropertyKind;
use eventflux_core::property::PropertyValue;

use super::config::Config;
use super::file::Component;
use super::kinds::{Shape, Target};
use super::subjects::implied;
use crate::diagnostic::Span;
use crate::sql::Property;

/// All of them: the connector's type, what is always the same, and what the fields say, by default or as they were written.
pub(super) fn properties(component: &Component<'_>, connector: &str, fixed: &[(&str, &str)]) -> Vec<Property> {
    let place = component.place;
    let mut properties = vec![implied("type", connector, place)];
    properties.extend(fixed.iter().map(|(key, value)| implied(key, value, place)));
    properties.extend(said(&component.config, place));
    properties
}

/// What the fields of an object say, by default or as they were written; `place` is what to blame for the former.
pub(super) fn said(config: &Config<'_>, place: Span) -> Vec<Property> {
    let mut properties = Vec::new();
    for field in config.fields().iter().filter(|field| config.uses(field)) {
        let given = config.given(field.path);
        let (key_span, value_span) = given.map_or((place, place), |given| (given.name_span, given.value_span));
        let made = |(key, value): (&str, String)| Property { key: key.to_owned(), key_span, value, value_span };
        let text = config.text(field.path);
        match field.target {
            Target::Property(key) => properties.extend(text.map(|text| made((key, text.to_owned())))),
            Target::Milliseconds(key) => properties.extend(text.and_then(milliseconds).map(|text| made((key, text)))),
            Target::Made(_, make) => properties.extend(make(config).into_iter().map(made)),
            Target::PartOf(_) | Target::Nothing(_) | Target::Always(..) => {}
        }
    }
    properties
}

/// Environment variables whose values are put into lists, where a comma begins another entry.
pub(super) fn listed_variables<'c>(component: &'c Component<'_>) -> Vec<(&'c str, Span)> {
    let config = &component.config;
    let made: Vec<_> = properties(component, "", &[]).into_iter().map(|property| property.value).collect();
    let fields = component
        .kind
        .fields
        .iter()
        .filter(|field| matches!(field.shape, Shape::EnvironmentName) && config.uses(field));
    let given = fields.filter_map(|field| config.given(field.path));
    given
        .filter(|given| made.iter().any(|value| value.contains(&format!("${{env:{}}}", given.text))))
        .map(|given| (given.text.as_str(), given.value_span))
        .collect()
}

fn milliseconds(text: &str) -> Option<String> {
    match PropertyKind::Duration.parse(text, None)? {
        PropertyValue::Duration(duration) => Some(duration.as_millis().to_string()),
        _ => None,
    }
}
