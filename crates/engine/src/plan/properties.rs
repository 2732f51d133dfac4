//! Properties of one annotation: those of the file with those given from outside, split between connector and mapper,
//! validated, and every mistake led back to its place.

use eventflux_core::property::{PropertyError, nearest};
use eventflux_core::{
    COMMON_PROPERTIES, ConnectorRole, ENCODER_PROPERTIES, EventFluxContext, EventFluxError, MapperFactory, Properties,
    PropertyKind, PropertySpec, SOURCE_PROPERTIES, env, redact_url, strategy,
};

use super::Environment;
use super::streams::Streams;
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

    /// Every key, `type` included.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.properties.iter().map(|(key, ..)| *key)
    }

    /// Takes out what has no place here, with a mistake for each.
    pub(super) fn refuse(
        &mut self,
        misplaced: impl Fn(&str) -> bool,
        (reason, hint): (&str, &str),
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let keys: Vec<_> = self.keys().filter(|key| misplaced(key)).collect();
        for key in &keys {
            let (reason, hint) = (reason.to_owned(), Some(hint.to_owned()));
            let error = PropertyError { key: (*key).to_owned(), reason, hint, in_value: false };
            diagnostics.push(self.mistake(error));
        }
        self.properties.retain(|(key, ..)| !keys.contains(key));
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

    /// A mistake at the property it is about.
    pub(super) fn mistake(&self, error: PropertyError) -> Diagnostic {
        let written = self.properties.iter().find(|(key, ..)| *key == error.key).and_then(|(.., property)| *property);
        let span = match written {
            Some(property) if error.in_value => property.value_span,
            Some(property) => property.key_span,
            None => self.span,
        };
        let from_outside = self.properties.iter().any(|(key, _, property)| *key == error.key && property.is_none());
        let given = if from_outside { " (given by --set)" } else { "" };
        let mistake = Diagnostic::error(span, format!("property '{}'{given}: {}", error.key, error.reason));
        error.hint.into_iter().fold(mistake, Diagnostic::with_hint)
    }
}

/// The specs of a connector: its own, the error strategy's and the common ones.
pub(super) fn connector_specs(own: &[PropertySpec], role: ConnectorRole) -> Vec<PropertySpec> {
    let of_role = match role {
        ConnectorRole::Source => SOURCE_PROPERTIES,
        ConnectorRole::Sink => &[],
    };
    [own, of_role, strategy::PROPERTIES, COMMON_PROPERTIES].concat()
}

/// The specs of a format in the `@map` of a sink: its own and those of every format.
pub(super) fn encoder_specs(format: &dyn MapperFactory) -> Vec<PropertySpec> {
    [format.sink_properties(), ENCODER_PROPERTIES].concat()
}

/// A property given from outside must be known to a source, a sink or a mapper of its stream.
pub(super) fn check_overrides(
    environment: &Environment<'_>,
    document: &Document,
    streams: &Streams,
    diagnostics: &mut Vec<Diagnostic>,
) {
    for given in environment.overrides {
        let place = format!("--set {}.{}", given.stream, given.key);
        if streams.index_of(&given.stream).is_none() {
            let mistake = Diagnostic::whole_file(format!("{place}: there is no stream '{}'", given.stream));
            diagnostics.push(streams.suggest(&given.stream, mistake));
            continue;
        }
        let declarations = document.streams.iter().filter(|declaration| declaration.name.name == given.stream);
        let annotations = declarations.flat_map(|declaration| &declaration.annotations);
        let specs: Vec<_> = annotations.flat_map(|annotation| all_specs(annotation, environment.context)).collect();
        if specs.iter().any(|spec| spec.matches(&given.key)) {
            continue;
        }
        let message = format!("{place}: no source or sink of stream '{}' has such a property", given.stream);
        let mistake = Diagnostic::whole_file(message);
        diagnostics.push(match nearest(&given.key, specs.iter().map(|spec| spec.key)) {
            Some(near) => mistake.with_hint(format!("did you mean '{near}'?")),
            None => mistake,
        });
    }
}

/// Makes sure that no excerpt shows the value of a secret property, whatever else is wrong near it.
pub(super) fn hide_secrets(file: &mut SourceFile, document: &Document, context: &EventFluxContext) {
    for annotation in document.streams.iter().flat_map(|stream| &stream.annotations) {
        let specs = own_specs(annotation, context);
        for property in &annotation.properties {
            let spec = specs.iter().find(|spec| spec.matches(&property.key));
            let harmless = spec.is_some_and(|spec| !spec.secret && !shows_credentials(spec, &property.value));
            // A key nobody declares may be a misspelt secret.
            if property.key != TYPE && !harmless {
                file.hide(property.value_span);
            }
        }
    }
}

/// Whether a URL, or a list of them, has parts that may be secret.
fn shows_credentials(spec: &PropertySpec, value: &str) -> bool {
    match spec.kind {
        PropertyKind::Url(_) => redact_url(value) != value,
        PropertyKind::Text => value.contains('@') && (value.contains("://") || spec.key.ends_with("url")),
        _ => false,
    }
}

/// Every property the connector of an annotation knows, its mapper's included.
fn all_specs(annotation: &Annotation, context: &EventFluxContext) -> Vec<PropertySpec> {
    let mut specs = own_specs(annotation, context);
    let map = annotation.map.iter().flat_map(|map| &map.properties).find(|property| property.key == TYPE);
    let name = map.map(|property| property.value.as_str());
    let default = || Some(*formats(annotation, context)?.first()?);
    if let Some(format) = name.or_else(default).and_then(|name| context.mapper_factory(name)) {
        specs.extend(match annotation.kind {
            AnnotationKind::Source => format.source_properties().to_vec(),
            AnnotationKind::Sink => encoder_specs(&**format),
        });
    }
    specs
}

fn formats(annotation: &Annotation, context: &EventFluxContext) -> Option<&'static [&'static str]> {
    let name = type_of(annotation)?;
    match annotation.kind {
        AnnotationKind::Source => context.source_factory(name).map(|factory| factory.supported_formats()),
        AnnotationKind::Sink => context.sink_factory(name).map(|factory| factory.supported_formats()),
    }
}

fn own_specs(annotation: &Annotation, context: &EventFluxContext) -> Vec<PropertySpec> {
    let name = type_of(annotation);
    let (own, role) = match annotation.kind {
        AnnotationKind::Source => {
            let factory = name.and_then(|name| context.source_factory(name));
            (factory.map(|factory| factory.properties()), ConnectorRole::Source)
        }
        AnnotationKind::Sink => {
            let factory = name.and_then(|name| context.sink_factory(name));
            (factory.map(|factory| factory.properties()), ConnectorRole::Sink)
        }
    };
    connector_specs(own.unwrap_or_default(), role)
}

fn type_of(annotation: &Annotation) -> Option<&str> {
    annotation.properties.iter().find(|property| property.key == TYPE).map(|property| property.value.as_str())
}
