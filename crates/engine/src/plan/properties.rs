//! Properties of one annotation: those of the file with those given from outside, split between connector and mapper,
//! validated, and every mistake led back to its place.

use eventflux_core::property::PropertyError;
use eventflux_core::{COMMON_PROPERTIES, EventFluxContext, EventFluxError, Properties, PropertySpec, env, strategy};

use crate::diagnostic::{Diagnostic, SourceFile, Span};
use crate::overrides::Override;
use crate::sql::{Annotation, AnnotationKind, Document, Property};

/// The key that names the connector in an annotation, or the format in `@map`.
pub(super) const TYPE: &str = "type";

/// Properties as written, with the place to blame for what is missing.
pub(super) struct Written<'a> {
    properties: Vec<(&'a str, &'a str, Option<&'a Property>)>,
    /// Place of the annotation.
    span: Span,
}

impl<'a> Written<'a> {
    pub(super) fn new(properties: &'a [Property], span: Span) -> Self {
        let properties = properties
            .iter()
            .map(|property| (property.key.as_str(), property.value.as_str(), Some(property)))
            .collect();
        Self { properties, span }
    }

    /// The value of `type`, with its place.
    pub(super) fn type_name(&self) -> Option<(&'a str, Span)> {
        let (_, value, property) = self.properties.iter().find(|(key, ..)| *key == TYPE)?;
        Some((value, property.map_or(self.span, |property| property.value_span)))
    }

    /// Replaces or adds those of the stream's overrides that one of `specs` declares.
    pub(super) fn apply(&mut self, overrides: &'a [Override], stream: &str, specs: &[PropertySpec]) {
        let of_stream = overrides.iter().filter(|given| given.stream == stream);
        for given in of_stream.filter(|given| specs.iter().any(|spec| spec.matches(&given.key))) {
            self.properties.retain(|(key, ..)| *key != given.key);
            self.properties.push((&given.key, &given.value, None));
        }
    }

    /// Validates everything but `type`.
    pub(super) fn resolve(&self, specs: &[PropertySpec], diagnostics: &mut Vec<Diagnostic>) -> Option<Properties> {
        let pairs = self.properties.iter().filter(|(key, ..)| *key != TYPE).map(|(key, value, _)| (*key, *value));
        match Properties::resolve(specs, pairs, &env::process) {
            Ok(properties) => Some(properties),
            Err(errors) => {
                diagnostics.extend(errors.into_iter().map(|error| self.mistake(error)));
                None
            }
        }
    }

    /// A mistake that a factory found, at the property it names.
    pub(super) fn mistake_of(&self, error: EventFluxError) -> Diagnostic {
        match error {
            EventFluxError::Configuration { property: Some(key), reason, hint } => {
                self.mistake(PropertyError { key, reason, hint, in_value: true })
            }
            EventFluxError::Configuration { property: None, reason, hint } => {
                let mistake = Diagnostic::error(self.span, reason);
                hint.into_iter().fold(mistake, Diagnostic::with_hint)
            }
            other => Diagnostic::error(self.span, other.to_string()),
        }
    }

    fn mistake(&self, error: PropertyError) -> Diagnostic {
        let written = self.properties.iter().find(|(key, ..)| *key == error.key).and_then(|(.., property)| *property);
        let span = match written {
            Some(property) if error.in_value => property.value_span,
            Some(property) => property.key_span,
            None => self.span,
        };
        let mistake = Diagnostic::error(span, format!("property '{}' {}", error.key, error.reason));
        error.hint.into_iter().fold(mistake, Diagnostic::with_hint)
    }
}

/// The specs of a connector: its own, the error strategy's and the common ones.
pub(super) fn connector_specs(own: &[PropertySpec]) -> Vec<PropertySpec> {
    [own, strategy::PROPERTIES, COMMON_PROPERTIES].concat()
}

/// Makes sure that no excerpt shows the value of a secret property, whatever else is wrong near it.
pub(super) fn hide_secrets(file: &mut SourceFile, document: &Document, context: &EventFluxContext) {
    for annotation in document.streams.iter().flat_map(|stream| &stream.annotations) {
        let specs = own_specs(annotation, context);
        for property in &annotation.properties {
            let spec = specs.iter().find(|spec| spec.matches(&property.key));
            // A key nobody declares may be a misspelt secret.
            if property.key != TYPE && spec.is_none_or(|spec| spec.secret) {
                file.hide(property.value_span);
            }
        }
    }
}

fn own_specs(annotation: &Annotation, context: &EventFluxContext) -> Vec<PropertySpec> {
    let name = annotation.properties.iter().find(|property| property.key == TYPE).map(|property| &*property.value);
    let own = match (annotation.kind, name) {
        (AnnotationKind::Source, Some(name)) => context.source_factory(name).map(|factory| factory.properties()),
        (AnnotationKind::Sink, Some(name)) => context.sink_factory(name).map(|factory| factory.properties()),
        (_, None) => None,
    };
    connector_specs(own.unwrap_or_default())
}
