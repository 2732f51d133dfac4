//! The validated configuration of an `objectstore` sink.

use std::time::Duration;

use eventflux_core::{EventFluxError, Properties, Template};

use crate::batcher::BatchLimits;
use crate::location::Location;
use crate::naming::Namer;
use crate::object::Framing;
use crate::properties::{
    BATCH_DELAY, BATCH_EVENTS, BATCH_OPEN, BATCH_SIZE, EXTENSION, FRAMING, PATH, PATH_TIME, QUEUE_BYTES,
    SINK_PROPERTIES, TIMEOUT, WRITES,
};

/// Largest object, in bytes: one request holds it.
const MAX_OBJECT_BYTES: usize = 1 << 30;
/// Longest time an event may be made to wait.
const MAX_DELAY: Duration = Duration::from_secs(24 * 3_600);

/// What an `objectstore` sink does.
#[derive(Debug, Clone)]
pub struct ObjectStoreSinkConfig {
    /// Where objects go.
    pub location: Location,
    /// First part of their paths; `None`: the name of the stream.
    pub path: Option<Template>,
    /// Next part of their paths, as strftime writes it; may be empty.
    pub path_time: String,
    /// How payloads stand in an object.
    pub framing: Framing,
    /// How names end, without the dot.
    pub extension: String,
    /// When an object is complete.
    pub batch: BatchLimits,
    /// How much may wait, in bytes.
    pub queue_bytes: usize,
    /// How many objects are written at a time; at least 1.
    pub writes: usize,
    /// How long writing one may take.
    pub timeout: Duration,
}

impl ObjectStoreSinkConfig {
    /// Reads validated properties. Does no I/O.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let batch = batch(properties)?;
        Ok(Self {
            location: Location::from_properties(properties)?,
            path: properties.template(PATH)?,
            path_time: properties.text(PATH_TIME)?.to_owned(),
            framing: if properties.text(FRAMING)? == "length" { Framing::Length } else { Framing::Lines },
            extension: properties.text(EXTENSION)?.to_owned(),
            batch,
            queue_bytes: queue_bytes(properties, batch)?,
            writes: properties.integer(WRITES)?,
            timeout: timeout(properties)?,
        })
    }

    /// Reads properties as they are written.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for the first bad property.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, EventFluxError> {
        Self::from_properties(&Properties::from_pairs(SINK_PROPERTIES, pairs)?)
    }

    /// The path of every event as a template.
    pub(crate) fn path_of(&self, stream: &str) -> Result<Template, EventFluxError> {
        match &self.path {
            Some(path) => Ok(path.clone()),
            None => Template::parse(&stream.replace("${", "$${")).map_err(|_| {
                EventFluxError::property(PATH, "is missing, and the stream's name is no path").with_hint("give it")
            }),
        }
    }

    pub(crate) fn namer(&self, path: &Template) -> Result<Namer, EventFluxError> {
        Namer::new(self.location.prefix(), path, &self.path_time, &self.extension)
    }
}

fn batch(properties: &Properties) -> Result<BatchLimits, EventFluxError> {
    let bytes = properties.size(BATCH_SIZE)?;
    if !(1..=MAX_OBJECT_BYTES).contains(&bytes) {
        return Err(EventFluxError::property(BATCH_SIZE, format!("is {bytes} bytes, which is no size of an object"))
            .with_hint("use a size such as 1MiB, at most 1GiB"));
    }
    let delay = properties.duration(BATCH_DELAY)?;
    if delay > MAX_DELAY {
        return Err(EventFluxError::property(BATCH_DELAY, format!("is {}s, more than a day", delay.as_secs()))
            .with_hint("use a duration such as 5s or 10m"));
    }
    Ok(BatchLimits { bytes, events: properties.integer(BATCH_EVENTS)?, delay, open: properties.integer(BATCH_OPEN)? })
}

fn queue_bytes(properties: &Properties, batch: BatchLimits) -> Result<usize, EventFluxError> {
    let bytes = properties.size(QUEUE_BYTES)?;
    if bytes < batch.bytes {
        return Err(EventFluxError::property(
            QUEUE_BYTES,
            format!("is {bytes} bytes, less than objectstore.batch.size"),
        )
        .with_hint("use a few times as much, so that one object is collected while others are written"));
    }
    Ok(bytes)
}

fn timeout(properties: &Properties) -> Result<Duration, EventFluxError> {
    let timeout = properties.duration(TIMEOUT)?;
    if timeout.is_zero() {
        return Err(EventFluxError::property(TIMEOUT, "is 0, in which nothing can be written").with_hint("use 30s"));
    }
    Ok(timeout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{S3_REGION, URL};

    #[test]
    fn nothing_needs_to_be_given() {
        let config = ObjectStoreSinkConfig::from_pairs([]).unwrap();
        assert_eq!(config.location.to_string(), "./objects");
        assert_eq!((config.framing, &*config.extension, &*config.path_time), (Framing::Lines, "jsonl", "%Y-%m-%d/%H"));
        let batch = BatchLimits { bytes: 1 << 20, events: 100_000, delay: Duration::from_secs(5), open: 1_000 };
        assert_eq!((config.batch, config.queue_bytes, config.writes), (batch, 64 << 20, 4));
        assert_eq!(config.timeout, Duration::from_secs(30));
        let path = config.path_of("Readings").unwrap();
        assert_eq!(path.constant(), Some("Readings"));
        assert!(config.namer(&path).is_ok());
    }

    #[test]
    fn every_property_has_its_effect() {
        let config = ObjectStoreSinkConfig::from_pairs([
            (URL, "s3://b/edge"),
            (PATH, "a"),
            (PATH_TIME, "%Y"),
            (FRAMING, "length"),
            (BATCH_SIZE, "2KiB"),
            (BATCH_EVENTS, "3"),
            (BATCH_DELAY, "4s"),
            (BATCH_OPEN, "5"),
            (QUEUE_BYTES, "6KiB"),
            (WRITES, "7"),
            (TIMEOUT, "8s"),
        ])
        .unwrap();
        assert_eq!((config.location.prefix(), &*config.path_time, &*config.extension), ("edge", "%Y", "bin"));
        assert_eq!(config.path_of("S").unwrap().constant(), Some("a"));
        let batch = BatchLimits { bytes: 2048, events: 3, delay: Duration::from_secs(4), open: 5 };
        assert_eq!((config.batch, config.queue_bytes, config.writes), (batch, 6144, 7));
        assert_eq!((config.framing, config.timeout), (Framing::Length, Duration::from_secs(8)));
        let csv = ObjectStoreSinkConfig::from_pairs([(EXTENSION, "csv")]).unwrap();
        assert_eq!(csv.extension, "csv");
    }

    #[test]
    fn a_name_of_a_stream_that_is_no_path_is_refused() {
        let config = ObjectStoreSinkConfig::from_pairs([]).unwrap();
        for stream in ["..", "", "a//b"] {
            let error = config.namer(&config.path_of(stream).unwrap());
            assert!(error.is_err(), "{stream}");
        }
        assert_eq!(config.path_of("${x}").unwrap().constant(), Some("${x}"));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_property() {
        for (pairs, key) in [
            (&[(BATCH_SIZE, "0")][..], BATCH_SIZE),
            (&[(BATCH_SIZE, "2GiB")], BATCH_SIZE),
            (&[(BATCH_DELAY, "25h")], BATCH_DELAY),
            (&[(QUEUE_BYTES, "1KiB")], QUEUE_BYTES),
            (&[(TIMEOUT, "0")], TIMEOUT),
            (&[(S3_REGION, "x")], S3_REGION),
        ] {
            let error = ObjectStoreSinkConfig::from_pairs(pairs.iter().copied()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("property '{key}': ")), "{error}");
        }
    }
}
