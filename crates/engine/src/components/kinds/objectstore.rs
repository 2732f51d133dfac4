//! `objectstore` storage: what comes on a subject, as objects.

use super::{Becomes, Field, Kind, Shape, Target};

pub(super) const STORAGE: Kind = Kind {
    category: "storage",
    name: "objectstore",
    doc: "Stores messages as objects, in a local directory or an S3-compatible service.",
    fields: &[
        Field::new(
            "url",
            Shape::TEXT,
            Target::Property("objectstore.url"),
            "Where: `file:./objects`, `file:///var/objects` or `s3://bucket/prefix`. Credentials come from the environment.",
        ),
        Field::new(
            "path",
            Shape::TEXT,
            Target::Property("objectstore.path"),
            "The first part of the paths of objects; without it, the subject.",
        ),
        Field::new(
            "batch.size",
            Shape::SIZE,
            Target::Property("objectstore.batch.size"),
            "Messages of this size together are an object.",
        ),
        Field::new(
            "batch.events",
            Shape::integer(1, 10_000_000),
            Target::Property("objectstore.batch.events"),
            "So many messages are an object.",
        ),
        Field::new(
            "batch.delay",
            Shape::DURATION,
            Target::Property("objectstore.batch.delay"),
            "How long a message may wait for others.",
        ),
    ],
    // Objects are lines, and JSON may have some of its own.
    becomes: Becomes::Sink { connector: "objectstore", fixed: &[], format: &[("json.line.breaks", "space")] },
};
