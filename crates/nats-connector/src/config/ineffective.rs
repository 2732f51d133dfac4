//! Properties that have no effect beside the others: one that is accepted works.

use eventflux_core::{EventFluxError, Properties};

/// When properties have an effect.
pub(super) struct Rule {
    pub(super) keys: &'static [&'static str],
    /// One of these must be given; none: nothing must.
    pub(super) needs: &'static [&'static str],
    /// None of these may be given.
    pub(super) conflicts: &'static [&'static str],
}

const fn rule(
    keys: &'static [&'static str],
    needs: &'static [&'static str],
    conflicts: &'static [&'static str],
) -> Rule {
    Rule { keys, needs, conflicts }
}

const URL: &str = "nats.url";
const SUBJECT: &str = "nats.subject";
const STREAM: &str = "nats.stream";
const REPLY: &str = "nats.reply";
const REPLIES: &str = "nats.replies";
const REQUEST: &str = "nats.request";
const PARTITIONS: &str = "partition.count";

/// The first rule that does not hold is the one that is told: what is more general stands first.
pub(super) const SOURCE: &[Rule] = &[
    rule(
        &[
            "nats.name",
            "nats.token",
            "nats.user",
            "nats.password",
            "nats.nkey",
            "nats.credentials",
            "nats.tls",
            "nats.tls.ca",
            "nats.tls.cert",
            "nats.tls.key",
            "nats.tls.first",
            "nats.connect.timeout",
            "nats.reconnect",
            "nats.reconnect.delay.ms",
            "nats.reconnect.max.delay.ms",
            "nats.reconnect.max.attempts",
            "nats.ping.interval",
            "nats.inbox.prefix",
            URL,
            SUBJECT,
            STREAM,
        ],
        &[],
        &[REPLIES],
    ),
    rule(&["nats.queue", "nats.pending.messages", "nats.pending.bytes"], &[], &[REPLIES, STREAM]),
    // Subscriptions ask nobody, so nobody answers.
    rule(&["nats.inbox.prefix"], &[STREAM], &[]),
    rule(&["nats.consumer", "nats.ack.wait", "nats.max.deliver"], &[STREAM], &[PARTITIONS]),
    rule(
        &[
            "nats.start",
            "nats.start.sequence",
            "nats.start.time",
            "nats.max.ack.pending",
            "nats.fetch.messages",
            "nats.fetch.bytes",
            "nats.stream.create",
            PARTITIONS,
        ],
        &[STREAM],
        &[],
    ),
    rule(&["partition.group", "partition.lease", "partition.replicas"], &[PARTITIONS], &[]),
];

pub(super) const SINK: &[Rule] = &[
    rule(&[REPLY], &[], &[SUBJECT, STREAM, REQUEST]),
    rule(&[STREAM], &[], &[REQUEST]),
    rule(&["nats.message.id", "nats.max.in.flight", "nats.ack.timeout", "nats.stream.create"], &[STREAM], &[]),
    rule(&["nats.correlation", "nats.request.timeout", "nats.max.requests"], &[REQUEST], &[]),
];

/// Refuses properties of a source that have no effect.
///
/// # Errors
/// [`EventFluxError::Configuration`] that names the first of them.
pub(super) fn refuse_of_source(properties: &Properties) -> Result<(), EventFluxError> {
    refuse(SOURCE, properties)
}

/// Refuses properties of a sink that have no effect.
///
/// # Errors
/// As [`refuse_of_source`].
pub(super) fn refuse_of_sink(properties: &Properties) -> Result<(), EventFluxError> {
    refuse(SINK, properties)
}

fn refuse(rules: &[Rule], properties: &Properties) -> Result<(), EventFluxError> {
    for Rule { keys, needs, conflicts } in rules {
        let Some(key) = keys.iter().find(|key| properties.is_given(key)) else { continue };
        if let Some(other) = conflicts.iter().find(|other| properties.is_given(other)) {
            let error = EventFluxError::property(key, format!("has no effect beside {other}"));
            return Err(error.with_hint("remove one of them"));
        }
        if !needs.is_empty() && !needs.iter().any(|other| properties.is_given(other)) {
            let others = needs.join(" or ");
            let error = EventFluxError::property(key, format!("has no effect without {others}"));
            return Err(error.with_hint(format!("remove it, or add {others}")));
        }
    }
    Ok(())
}
