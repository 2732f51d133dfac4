//! The property tables of the `nats` source and sink: the only place where a property is described.

mod sink;
mod source;

use eventflux_core::property::{concat, count};
use eventflux_core::{DataType, MetadataSpec, PropertySpec};
use eventflux_nats::properties::{CONNECTION, STREAM};

/// Properties of the source, besides the common ones.
pub const SOURCE_PROPERTIES: &[PropertySpec] = &concat::<{ count(SOURCE) }>(SOURCE);

/// Properties of the sink, besides the common ones.
pub const SINK_PROPERTIES: &[PropertySpec] = &concat::<{ count(SINK) }>(SINK);

/// What a source knows of a message besides its payload.
pub const METADATA: &[MetadataSpec] = &[
    MetadataSpec::new(
        "subject",
        DataType::String,
        "The subject it was published to; of an answer: that of the request.",
    ),
    MetadataSpec::new(
        "reply",
        DataType::String,
        "Where an answer is expected; `NULL` where none is, and with nats.stream.",
    ),
    MetadataSpec::new(
        "headers",
        DataType::String,
        "All its headers as a JSON object; a header that stands several times is an array. `NULL` when there are none.",
    ),
    MetadataSpec::new(
        "header.*",
        DataType::String,
        "The header of that name (its first value); `NULL` when there is none.",
    ),
    MetadataSpec::new("id", DataType::String, "Its id for deduplication (`Nats-Msg-Id`); `NULL` when there is none."),
    MetadataSpec::new("stream", DataType::String, "The stream it comes from; `NULL` without nats.stream."),
    MetadataSpec::new("sequence", DataType::Long, "Its place in the stream; `NULL` without nats.stream."),
    MetadataSpec::new("published_time", DataType::Timestamp, "When the stream stored it; `NULL` without nats.stream."),
    MetadataSpec::new(
        "deliveries",
        DataType::Long,
        "How often it was delivered, this time included; `NULL` without nats.stream.",
    ),
    MetadataSpec::new("partition", DataType::Int, "The partition it belongs to; `NULL` without partition.count."),
    MetadataSpec::new(
        "correlation",
        DataType::String,
        "Of an answer: what nats.correlation of the sink said of the request; else `NULL`.",
    ),
    MetadataSpec::new(
        "status",
        DataType::String,
        "Of an answer: `ok`, `timeout`, `no_responders`, `disconnected` or `error`; else `NULL`.",
    ),
];

const SOURCE: &[&[PropertySpec]] =
    &[source::SERVERS, OPTIONAL, source::SUBSCRIBING, source::JETSTREAM, STREAM, source::SHARING, source::ANSWERS];

const SINK: &[&[PropertySpec]] =
    &[CONNECTION, sink::ADDRESSING, sink::SENDING, sink::JETSTREAM, STREAM, sink::SHARING, sink::ASKING];

/// Properties of the connection besides the servers, which not every source needs.
const OPTIONAL: &[PropertySpec] = CONNECTION.split_at(1).1;
