//! From messages of NATS to what the pipeline takes: payloads and metadata.

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use eventflux_core::{BoundMetadata, EventFluxError, MessageMetadata, SourceCallback, Value};

use crate::METADATA;

/// The header that tells a stream what is the same message.
const MESSAGE_ID: &str = "Nats-Msg-Id";

/// Bytes of payloads after which messages of a stream are handed over, though more wait.
pub(super) const STORED_DELIVERY_BYTES: usize = 4 << 20;

/// Number of fields in [`METADATA`], and where each stands.
mod field {
    pub(super) const SUBJECT: usize = 0;
    pub(super) const REPLY: usize = 1;
    pub(super) const HEADERS: usize = 2;
    pub(super) const ID: usize = 4;
    pub(super) const STREAM: usize = 5;
    pub(super) const SEQUENCE: usize = 6;
    pub(super) const PUBLISHED_TIME: usize = 7;
    pub(super) const DELIVERIES: usize = 8;
    pub(super) const PARTITION: usize = 9;
    pub(super) const CORRELATION: usize = 10;
    pub(super) const STATUS: usize = 11;
}

/// What a stream says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored<'a> {
    /// Its name.
    pub(crate) stream: &'a str,
    /// Its place there.
    pub(crate) sequence: u64,
    /// When it was stored, in milliseconds since 1970.
    pub(crate) published_ms: i64,
    /// How often it was delivered, this time included.
    pub(crate) deliveries: i64,
    /// The partition it belongs to.
    pub(crate) partition: Option<u32>,
}

/// What an exchange says of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answered<'a> {
    /// What the sink said of the request; empty when nothing.
    pub(crate) correlation: &'a str,
    /// `ok`, `timeout`, ...
    pub(crate) status: &'static str,
}

/// Messages on their way to the pipeline, as one delivery.
#[derive(Debug)]
pub(crate) struct Delivery {
    bound: BoundMetadata,
    payloads: Vec<Bytes>,
    metadata: Vec<MessageMetadata>,
    bytes: usize,
}

/// Where a message comes from, besides NATS.
#[derive(Debug, Clone, Copy, Default)]
struct Origin<'a> {
    stored: Option<Stored<'a>>,
    answered: Option<Answered<'a>>,
}

impl Delivery {
    /// An empty one of a source with columns bound to these fields.
    pub(crate) fn new(bound: BoundMetadata) -> Self {
        Self { bound, payloads: Vec::new(), metadata: Vec::new(), bytes: 0 }
    }

    /// Adds a message of a subscription.
    pub(crate) fn push(&mut self, message: Message) {
        self.add(message, Origin::default());
    }

    /// Adds a message of a stream.
    pub(crate) fn push_stored(&mut self, message: Message, stored: Stored<'_>) {
        self.add(message, Origin { stored: Some(stored), ..Origin::default() });
    }

    /// Adds an answer.
    pub(crate) fn push_answer(&mut self, message: Message, answered: Answered<'_>) {
        self.add(message, Origin { answered: Some(answered), ..Origin::default() });
    }

    fn add(&mut self, message: Message, origin: Origin<'_>) {
        if !self.bound.is_empty() {
            self.metadata.push(metadata(&self.bound, &message, origin));
        }
        self.bytes += message.payload.len();
        self.payloads.push(message.payload);
    }

    /// Number of messages.
    pub(crate) fn len(&self) -> usize {
        self.payloads.len()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.payloads.is_empty()
    }

    /// Bytes of their payloads.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Hands the messages over, and is empty again.
    ///
    /// # Errors
    /// What the pipeline answered: deliver nothing more, and acknowledge none of these.
    pub(crate) fn hand_over(&mut self, callback: &dyn SourceCallback) -> Result<(), EventFluxError> {
        if self.is_empty() {
            return Ok(());
        }
        let result = if self.bound.is_empty() {
            callback.on_batch(&self.payloads)
        } else {
            callback.on_batch_with(&self.payloads, &self.metadata)
        };
        self.payloads.clear();
        self.metadata.clear();
        self.bytes = 0;
        result
    }
}

/// The values of the fields that are bound.
fn metadata(bound: &BoundMetadata, message: &Message, origin: Origin<'_>) -> MessageMetadata {
    let named = bound.named();
    let length = named.last().map_or(METADATA.len(), |(number, _)| number + 1);
    let mut values = vec![Value::Null; length];
    let mut set = |number: usize, value: &dyn Fn() -> Value| {
        if bound.is_bound(number) {
            values[number] = value();
        }
    };
    let headers = message.headers.as_ref();
    let text = |text: Option<&str>| text.map_or(Value::Null, Value::from);
    set(field::SUBJECT, &|| message.subject.as_str().into());
    set(field::HEADERS, &|| headers.filter(|headers| !headers.is_empty()).map_or(Value::Null, as_json));
    set(field::ID, &|| text(first(headers, MESSAGE_ID)));
    if let Some(stored) = origin.stored {
        set(field::STREAM, &|| stored.stream.into());
        set(field::SEQUENCE, &|| long(stored.sequence));
        set(field::PUBLISHED_TIME, &|| Value::Timestamp(stored.published_ms));
        set(field::DELIVERIES, &|| Value::Long(stored.deliveries));
        set(field::PARTITION, &|| {
            stored.partition.and_then(|partition| i32::try_from(partition).ok()).map_or(Value::Null, Value::Int)
        });
    } else {
        // That of a stream's message is for its acknowledgement.
        set(field::REPLY, &|| text(message.reply.as_deref()));
    }
    if let Some(answered) = origin.answered {
        set(field::CORRELATION, &|| text(Some(answered.correlation).filter(|text| !text.is_empty())));
        set(field::STATUS, &|| answered.status.into());
    }
    for (number, name) in named {
        values[*number] = text(first(headers, name));
    }
    MessageMetadata::new(METADATA, values)
}

fn long(number: u64) -> Value {
    i64::try_from(number).map_or(Value::Null, Value::Long)
}

/// The first value of a header. Names are compared as NATS does: with their case.
fn first<'m>(headers: Option<&'m HeaderMap>, name: &str) -> Option<&'m str> {
    let (_, values) = headers?.iter().find(|(known, _)| <_ as AsRef<str>>::as_ref(*known) == name)?;
    values.first().map(async_nats::HeaderValue::as_str)
}

/// An object, by name: that a header's values come in the order of a hash map helps nobody.
fn as_json(headers: &HeaderMap) -> Value {
    let sorted: std::collections::BTreeMap<&str, serde_json::Value> = headers
        .iter()
        .map(|(name, values)| {
            let value = match &values[..] {
                [one] => one.as_str().into(),
                several => several.iter().map(async_nats::HeaderValue::as_str).collect(),
            };
            (name.as_ref(), value)
        })
        .collect();
    serde_json::to_string(&sorted).map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests {
    use eventflux_core::{DataType, ValueRef};
    use eventflux_testkit::contract::{OnDelivery, SourceRecorder};

    use super::*;

    fn message() -> Message {
        let mut headers = HeaderMap::new();
        headers.insert(MESSAGE_ID, "m-1");
        headers.insert("Trace", "t\"1");
        headers.append("Trace", "t2");
        Message {
            subject: "a.b".into(),
            reply: Some("_INBOX.1".into()),
            payload: "payload".into(),
            headers: Some(headers),
            status: None,
            description: None,
            length: 0,
        }
    }

    const STORED: Stored<'static> =
        Stored { stream: "S", sequence: 7, published_ms: 1_700_000_000_000, deliveries: 2, partition: Some(3) };

    fn all() -> BoundMetadata {
        BoundMetadata::all(METADATA).with_named(METADATA, ["Trace".to_owned(), "Other".to_owned()])
    }

    /// The value of a field of the only message that is delivered.
    fn delivered(bound: BoundMetadata, push: impl FnOnce(&mut Delivery)) -> impl Fn(&str) -> Value {
        let (mut delivery, recorder) = (Delivery::new(bound), SourceRecorder::new(OnDelivery::Take));
        push(&mut delivery);
        assert_eq!((delivery.len(), delivery.bytes()), (1, 7));
        delivery.hand_over(&recorder).unwrap();
        assert!(delivery.is_empty() && delivery.bytes() == 0);
        assert_eq!(recorder.messages(), [b"payload"]);
        let metadata = recorder.metadata()[0].clone();
        move |field| {
            let number = METADATA.iter().position(|spec| spec.name == field);
            let number = number.unwrap_or_else(|| METADATA.len() + field.parse::<usize>().unwrap());
            let metadata = metadata.as_ref().expect("metadata");
            match metadata.value(number) {
                ValueRef::Null => Value::Null,
                ValueRef::String(text) => text.into(),
                ValueRef::Long(number) => Value::Long(number),
                ValueRef::Int(number) => Value::Int(number),
                ValueRef::Timestamp(ms) => Value::Timestamp(ms),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn fields_stand_where_the_table_says() {
        for (number, name) in [
            (field::SUBJECT, "subject"),
            (field::REPLY, "reply"),
            (field::HEADERS, "headers"),
            (field::ID, "id"),
            (field::STREAM, "stream"),
            (field::SEQUENCE, "sequence"),
            (field::PUBLISHED_TIME, "published_time"),
            (field::DELIVERIES, "deliveries"),
            (field::PARTITION, "partition"),
            (field::CORRELATION, "correlation"),
            (field::STATUS, "status"),
        ] {
            assert_eq!(METADATA[number].name, name);
        }
        assert_eq!(METADATA.iter().filter(|spec| spec.is_open()).count(), 1);
        assert!(METADATA.iter().filter(|spec| spec.is_open()).all(|spec| spec.data_type == DataType::String));
    }

    #[test]
    fn a_message_of_a_subject_has_no_place_in_a_stream() {
        let value = delivered(all(), |delivery| delivery.push(message()));
        assert_eq!((value("subject"), value("reply"), value("id")), ("a.b".into(), "_INBOX.1".into(), "m-1".into()));
        assert_eq!(value("headers"), r#"{"Nats-Msg-Id":"m-1","Trace":["t\"1","t2"]}"#.into());
        assert_eq!((value("0"), value("1")), ("t\"1".into(), Value::Null));
        for field in ["stream", "sequence", "published_time", "deliveries", "partition", "correlation", "status"] {
            assert_eq!(value(field), Value::Null, "{field}");
        }
    }

    #[test]
    fn a_message_of_a_stream_tells_its_place_and_keeps_its_way_to_acknowledge_for_itself() {
        let value = delivered(all(), |delivery| delivery.push_stored(message(), STORED));
        assert_eq!((value("stream"), value("sequence"), value("reply")), ("S".into(), Value::Long(7), Value::Null));
        assert_eq!(value("published_time"), Value::Timestamp(1_700_000_000_000));
        assert_eq!((value("deliveries"), value("partition")), (Value::Long(2), Value::Int(3)));
        let value = delivered(all(), |delivery| delivery.push_stored(message(), Stored { partition: None, ..STORED }));
        assert_eq!(value("partition"), Value::Null);
    }

    #[test]
    fn an_answer_tells_what_became_of_the_request() {
        let answered = |correlation| Answered { correlation, status: "timeout" };
        let value = delivered(all(), |delivery| delivery.push_answer(message(), answered("c1")));
        assert_eq!((value("correlation"), value("status")), ("c1".into(), "timeout".into()));
        let value = delivered(all(), |delivery| delivery.push_answer(message(), answered("")));
        assert_eq!(value("correlation"), Value::Null);
    }

    #[test]
    fn only_what_is_bound_is_computed_and_nothing_bound_is_no_metadata() {
        let value = delivered(BoundMetadata::new([field::ID]), |delivery| delivery.push(message()));
        assert_eq!((value("id"), value("subject")), ("m-1".into(), Value::Null));
        let recorder = SourceRecorder::new(OnDelivery::Take);
        let mut delivery = Delivery::new(BoundMetadata::default());
        delivery.push(message());
        delivery.hand_over(&recorder).unwrap();
        delivery.hand_over(&recorder).unwrap();
        assert_eq!((recorder.metadata(), recorder.deliveries()), (vec![None], 1));
    }
}
