//! Subjects as streams: one column, the message as JSON.

use std::collections::HashMap;

use eventflux_core::DataType;

use crate::diagnostic::Span;
use crate::sql::{
    Annotation, AnnotationKind, ColumnDef, CreateStream, Document, Ident, MapAnnotation, Property, Spelling,
};

/// The one column of the stream of a subject.
pub(super) const PAYLOAD: &str = "payload";

/// How a message becomes the column: any JSON value, arrays included, is one event. What is no JSON goes to the source's
/// error strategy.
const DECODER: [(&str, &str); 3] = [("type", "json"), ("json.root.array", "event"), ("json.path.payload", "$")];

/// How the column becomes a message again: as it is.
const ENCODER: [(&str, &str); 3] = [("type", "json"), ("json.output", "template"), ("json.template", "${payload}")];

/// The streams of a file, in the order of their first mention.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    streams: Vec<CreateStream>,
    by_name: HashMap<String, usize>,
}

impl Subjects {
    /// The stream of a subject, declared where it is first mentioned.
    pub(super) fn stream(&mut self, name: &str, span: Span) -> usize {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let column = Ident { name: PAYLOAD.to_owned(), span };
        self.by_name.insert(name.to_owned(), self.streams.len());
        self.streams.push(CreateStream {
            name: Ident { name: name.to_owned(), span },
            columns: vec![ColumnDef { name: column, data_type: DataType::Json, span }],
            annotations: Vec::new(),
            complete: true,
            span,
        });
        self.streams.len() - 1
    }

    /// Gives a stream a source.
    pub(super) fn source(&mut self, stream: usize, properties: Vec<Property>, span: Span) {
        self.annotate(stream, AnnotationKind::Source, properties, &DECODER, span);
    }

    /// Gives a stream a sink; `format` is what its format has besides what every one has.
    pub(super) fn sink(&mut self, stream: usize, properties: Vec<Property>, format: &[(&str, &str)], span: Span) {
        let format = [&ENCODER, format].concat();
        self.annotate(stream, AnnotationKind::Sink, properties, &format, span);
    }

    fn annotate(
        &mut self,
        stream: usize,
        kind: AnnotationKind,
        properties: Vec<Property>,
        format: &[(&str, &str)],
        span: Span,
    ) {
        let format = format.iter().map(|(key, value)| implied(key, value, span)).collect();
        let map = Some(MapAnnotation { properties: format, span });
        let spelling = Spelling::Annotation;
        self.streams[stream].annotations.push(Annotation { kind, spelling, properties, map, name_span: span, span });
    }

    /// A name that no subject has, for a stream between components and subjects.
    pub(super) fn unused_name(&self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        while self.by_name.contains_key(&name) {
            name.push('_');
        }
        name
    }

    pub(super) fn into_streams(self) -> Vec<CreateStream> {
        self.streams
    }
}

/// Whether a stream is written to, and whether it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Use {
    written: bool,
    read: bool,
}

impl Use {
    /// Whether each is the open end that the other one needs.
    pub(super) fn matches(self, other: Self) -> bool {
        self.written != self.read && other.written == self.read && other.read == self.written
    }
}

/// How a stream of the document is used in it.
pub(super) fn use_of(document: &Document, stream: &CreateStream) -> Use {
    let name = &stream.name.name;
    let has = |kind: AnnotationKind| stream.annotations.iter().any(|annotation| annotation.kind == kind);
    Use {
        written: has(AnnotationKind::Source) || document.queries.iter().any(|query| query.into.name == *name),
        read: has(AnnotationKind::Sink) || document.queries.iter().any(|query| query.from.name == *name),
    }
}

/// A property that nobody wrote; `span` is what asks for it.
pub(super) fn implied(key: &str, value: &str, span: Span) -> Property {
    Property { key: key.to_owned(), key_span: span, value: value.to_owned(), value_span: span }
}
