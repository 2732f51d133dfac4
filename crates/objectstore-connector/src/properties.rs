//! Every property of an `objectstore` sink.

use eventflux_core::{PropertyKind, PropertySpec};

pub(crate) const URL: &str = "objectstore.url";
pub(crate) const PATH: &str = "objectstore.path";
pub(crate) const PATH_TIME: &str = "objectstore.path.time";
pub(crate) const FRAMING: &str = "objectstore.framing";
pub(crate) const EXTENSION: &str = "objectstore.extension";
pub(crate) const BATCH_SIZE: &str = "objectstore.batch.size";
pub(crate) const BATCH_EVENTS: &str = "objectstore.batch.events";
pub(crate) const BATCH_DELAY: &str = "objectstore.batch.delay";
pub(crate) const BATCH_OPEN: &str = "objectstore.batch.open";
pub(crate) const QUEUE_BYTES: &str = "objectstore.queue.bytes";
pub(crate) const WRITES: &str = "objectstore.writes";
pub(crate) const TIMEOUT: &str = "objectstore.timeout";
pub(crate) const SYNC: &str = "objectstore.sync";
pub(crate) const S3_ENDPOINT: &str = "objectstore.s3.endpoint";
pub(crate) const S3_REGION: &str = "objectstore.s3.region";
pub(crate) const S3_ACCESS_KEY_ID: &str = "objectstore.s3.access.key.id";
pub(crate) const S3_SECRET_ACCESS_KEY: &str = "objectstore.s3.secret.access.key";
pub(crate) const S3_SESSION_TOKEN: &str = "objectstore.s3.session.token";
pub(crate) const S3_VIRTUAL_HOSTS: &str = "objectstore.s3.virtual.hosts";

/// Those that apply to S3 alone.
pub(crate) const S3_ONLY: [&str; 6] =
    [S3_ENDPOINT, S3_REGION, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, S3_SESSION_TOKEN, S3_VIRTUAL_HOSTS];

/// Properties of an `objectstore` sink.
pub const SINK_PROPERTIES: &[PropertySpec] = &[
    PropertySpec::new(
        URL,
        PropertyKind::Text,
        "Where objects go: `file:` and a directory, which is made when it does not exist (a relative one starts at the working directory), or `s3://BUCKET/PREFIX`.",
    )
    .default("file:./objects")
    .example("s3://measurements/edge"),
    PropertySpec::new(
        PATH,
        PropertyKind::Template,
        "First part of an object's path. Events with different paths go into different objects. A value with a `/` in it, an empty one, `.` and `..` are refused; characters that names of objects should not have are written as `%XX`. Without it, the name of the stream.",
    )
    .example("readings/${sensor}"),
    PropertySpec::new(
        PATH_TIME,
        PropertyKind::Text,
        "Next part of an object's path: when its first event came, in UTC, as strftime writes it; empty for none.",
    )
    .default("%Y-%m-%d/%H")
    .example("date=%Y-%m-%d"),
    PropertySpec::new(
        FRAMING,
        PropertyKind::Choice(&["lines", "length"]),
        "How events stand in an object: each as a line, and one with a line break in it goes to the error strategy; or each behind its length, 4 bytes, the most significant first, for formats that are no text.",
    )
    .default("lines"),
    PropertySpec::new(EXTENSION, PropertyKind::Text, "How the name of an object ends, without the dot.")
        .default_for(FRAMING, &[("lines", "jsonl"), ("length", "bin")])
        .example("csv"),
    PropertySpec::new(
        BATCH_SIZE,
        PropertyKind::Size,
        "An object is written before it would be larger; a single larger event has an object of its own. At most 1GiB.",
    )
    .default("1MiB"),
    PropertySpec::new(
        BATCH_EVENTS,
        PropertyKind::Integer { min: 1, max: 10_000_000 },
        "An object is written when it has so many events.",
    )
    .default("100000"),
    PropertySpec::new(
        BATCH_DELAY,
        PropertyKind::Duration,
        "An object is written when its first event has waited so long: the time by which events get there late.",
    )
    .default("5s"),
    PropertySpec::new(
        BATCH_OPEN,
        PropertyKind::Integer { min: 1, max: 1_000_000 },
        "How many objects are collected at a time, one for each path; when another one begins, the oldest is written.",
    )
    .default("1000"),
    PropertySpec::new(
        QUEUE_BYTES,
        PropertyKind::Size,
        "How much may wait, what is collected and what is being written included. When it is reached, the sources that feed the sink wait.",
    )
    .default("64MiB"),
    PropertySpec::new(WRITES, PropertyKind::Integer { min: 1, max: 64 }, "How many objects are written at a time.")
        .default("4"),
    PropertySpec::new(
        TIMEOUT,
        PropertyKind::Duration,
        "How long writing one object may take, before it counts as failed.",
    )
    .default("30s"),
    PropertySpec::new(
        SYNC,
        PropertyKind::Choice(&["object", "none"]),
        "Only for a directory: `object` waits until the disk has an object, so that it survives a power failure; `none` leaves the moment to the operating system.",
    )
    .default("object"),
    PropertySpec::new(
        S3_ENDPOINT,
        PropertyKind::Url(&["http", "https"]),
        "Only for S3: another service than Amazon's. Without it AWS_ENDPOINT_URL, or Amazon's.",
    )
    .example("http://localhost:9000"),
    PropertySpec::new(
        S3_REGION,
        PropertyKind::Text,
        "Only for S3: the region. Without it AWS_REGION or AWS_DEFAULT_REGION, or us-east-1.",
    )
    .example("eu-central-1"),
    PropertySpec::new(
        S3_ACCESS_KEY_ID,
        PropertyKind::Text,
        "Only for S3: who we are. Without it AWS_ACCESS_KEY_ID, or the role of the machine or container.",
    )
    .example("${env:S3_KEY:key}"),
    PropertySpec::new(
        S3_SECRET_ACCESS_KEY,
        PropertyKind::Text,
        "Only for S3: the secret that belongs to the access key. Without it AWS_SECRET_ACCESS_KEY.",
    )
    .secret(),
    PropertySpec::new(
        S3_SESSION_TOKEN,
        PropertyKind::Text,
        "Only for S3: the token of temporary credentials. Without it AWS_SESSION_TOKEN.",
    )
    .secret(),
    PropertySpec::new(
        S3_VIRTUAL_HOSTS,
        PropertyKind::Boolean,
        "Only for S3: whether the bucket is part of the host name instead of the path.",
    )
    .default("false"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        assert_eq!(eventflux_core::property::table_mistakes(SINK_PROPERTIES), Vec::<String>::new());
    }
}
