//! How a stream is created, and what is different in one that exists.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use eventflux_core::{EventFluxError, Properties};

use crate::subject;

/// How a stream is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// The subjects it takes.
    pub subjects: Vec<String>,
    /// In memory instead of files.
    pub memory: bool,
    /// Servers that keep it.
    pub replicas: usize,
    /// Until when a message is kept.
    pub retention: Retention,
    /// Age at which messages are removed; `None`: any.
    pub max_age: Option<Duration>,
    /// Largest size in bytes.
    pub max_bytes: Option<u64>,
    /// Largest number of messages.
    pub max_messages: Option<u64>,
    /// Whether new messages are refused at a limit, instead of removing the oldest.
    pub discard_new: bool,
    /// How long the server knows a message's id.
    pub duplicate_window: Duration,
}

/// Until when a message is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// A limit is reached.
    Limits,
    /// Every consumer has acknowledged it.
    Interest,
    /// One consumer has acknowledged it.
    WorkQueue,
}

impl Creation {
    pub(super) fn from_properties(
        properties: &Properties,
        default_subjects: &[String],
    ) -> Result<Self, EventFluxError> {
        const SUBJECTS: &str = "nats.stream.subjects";
        let subjects = match properties.optional_text(SUBJECTS) {
            Some(text) => text.split(',').map(|subject| subject.trim().to_owned()).collect(),
            None => default_subjects.to_vec(),
        };
        for subject in &subjects {
            subject::check_pattern(subject).map_err(|reason| EventFluxError::property(SUBJECTS, reason))?;
        }
        let max_age = Some(properties.duration("nats.stream.max.age")?).filter(|age| !age.is_zero());
        Ok(Self {
            subjects,
            memory: properties.text("nats.stream.storage")? == "memory",
            replicas: properties.integer("nats.stream.replicas")?,
            retention: match properties.text("nats.stream.retention")? {
                "interest" => Retention::Interest,
                "workqueue" => Retention::WorkQueue,
                _ => Retention::Limits,
            },
            max_age,
            max_bytes: Some(properties.size("nats.stream.max.bytes")? as u64).filter(|bytes| *bytes > 0),
            max_messages: Some(properties.integer("nats.stream.max.messages")?).filter(|messages| *messages > 0),
            discard_new: properties.text("nats.stream.discard")? == "new",
            duplicate_window: duplicate_window(properties, max_age)?,
        })
    }

    pub(super) fn config(&self, name: &str) -> Config {
        Config {
            name: name.to_owned(),
            subjects: self.subjects.clone(),
            storage: if self.memory { StorageType::Memory } else { StorageType::File },
            num_replicas: self.replicas,
            retention: match self.retention {
                Retention::Limits => RetentionPolicy::Limits,
                Retention::Interest => RetentionPolicy::Interest,
                Retention::WorkQueue => RetentionPolicy::WorkQueue,
            },
            max_age: self.max_age.unwrap_or_default(),
            max_bytes: limit(self.max_bytes),
            max_messages: limit(self.max_messages),
            max_messages_per_subject: -1,
            max_consumers: -1,
            max_message_size: -1,
            discard: if self.discard_new { DiscardPolicy::New } else { DiscardPolicy::Old },
            duplicate_window: self.duplicate_window,
            ..Config::default()
        }
    }

    /// What is different in `found`: the property, what it is, and what was said.
    pub(super) fn differences(&self, found: &Config) -> Vec<String> {
        let wanted = self.config(&found.name);
        let sorted = |config: &Config| {
            let mut subjects = config.subjects.clone();
            subjects.sort();
            subjects.join(",")
        };
        let limit = |value: i64| if value > 0 { value.to_string() } else { "none".to_owned() };
        let of = |config: &Config| {
            [
                ("subjects", sorted(config)),
                ("storage", format!("{:?}", config.storage).to_lowercase()),
                ("replicas", config.num_replicas.to_string()),
                ("retention", format!("{:?}", config.retention).to_lowercase()),
                ("max.age", format!("{:?}", config.max_age)),
                ("max.bytes", limit(config.max_bytes)),
                ("max.messages", limit(config.max_messages)),
                ("discard", format!("{:?}", config.discard).to_lowercase()),
                ("duplicate.window", format!("{:?}", config.duplicate_window)),
            ]
        };
        let pairs = of(found).into_iter().zip(of(&wanted)).filter(|(found, wanted)| found != wanted);
        pairs.map(|((key, found), (_, wanted))| format!("nats.stream.{key} is {found}, not {wanted}")).collect()
    }
}

/// The server takes none that is longer than the age.
fn duplicate_window(properties: &Properties, max_age: Option<Duration>) -> Result<Duration, EventFluxError> {
    const KEY: &str = "nats.stream.duplicate.window";
    let window = properties.duration(KEY)?;
    if window.is_zero() {
        return Err(EventFluxError::property(KEY, "has to be more than nothing"));
    }
    match max_age {
        Some(age) if window > age && properties.is_given(KEY) => {
            let reason = format!("is longer than nats.stream.max.age, which is {age:?}");
            Err(EventFluxError::property(KEY, reason).with_hint("make nats.stream.max.age longer too"))
        }
        Some(age) => Ok(window.min(age)),
        None => Ok(window),
    }
}

fn limit(value: Option<u64>) -> i64 {
    value.map_or(-1, |value| i64::try_from(value).unwrap_or(i64::MAX))
}
