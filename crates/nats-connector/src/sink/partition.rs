//! Which partition an event belongs to: the hash of its key, modulo their number.
//!
//! The hash is FNV-1a with 32 bits over the UTF-8 bytes of the values of `partition.by`, one after the other, with nothing
//! between them. This is what a nats-server computes for `{{partition(COUNT,TOKEN,...)}}` in a subject mapping, so that other
//! producers, and servers that map their subjects, put the same key into the same partition. Values:
//! `fnv1a("") = 0x811c9dc5`, `fnv1a("a") = 0xe40c292c`, `fnv1a("foobar") = 0xbf9cf968`.

use async_nats::HeaderMap;
use eventflux_core::template::COLUMN_SEPARATOR;
use eventflux_core::{EncodedBatch, EventFluxError, Properties, Template};

const BY: &str = "partition.by";
const COUNT: &str = "partition.count";

/// Tells in each message among how many partitions it was put: a source that counts on another number would miss some.
const COUNT_HEADER: &str = "Eventflux-Partitions";

const OFFSET_BASIS: u32 = 0x811c_9dc5;
const PRIME: u32 = 0x0100_0193;

/// How events are spread over partitions.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Partition {
    key: Template,
    count: u32,
}

impl Partition {
    /// Reads validated properties; `None` when events have no partitions.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for one of the two properties without the other, and beside `nats.reply`.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Option<Self>, EventFluxError> {
        let (key, count) = match (properties.template(BY)?, properties.optional_integer(COUNT)) {
            (Some(key), Some(count)) => (key, count),
            (None, None) => return Ok(None),
            (Some(_), None) => {
                let error = EventFluxError::property(COUNT, "is required beside partition.by but missing");
                return Err(error.with_hint("the number of partitions, the same as at the source: 16"));
            }
            (None, Some(_)) => {
                let error = EventFluxError::property(COUNT, "has no effect without partition.by");
                return Err(error.with_hint("say in partition.by which columns are the key, or remove it"));
            }
        };
        if properties.is_given("nats.reply") {
            let error = EventFluxError::property(BY, "has no effect beside nats.reply");
            return Err(error.with_hint("an answer goes where it is expected: remove partition.by and partition.count"));
        }
        let count = u32::try_from(count).map_err(|_| EventFluxError::property(COUNT, "is too large"))?;
        Ok(Some(Self { key, count }))
    }

    /// What each message says of the partitions.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(COUNT_HEADER, self.count.to_string());
        headers
    }

    /// The partition of row number `row`, below the number of partitions.
    pub(crate) fn of(&self, batch: &EncodedBatch, row: usize) -> u32 {
        number(self.key.text(batch, row), self.count)
    }
}

/// A message that was put among another number of partitions than the source counts on. Other producers need not say it.
///
/// # Errors
/// [`EventFluxError::Configuration`]
pub(crate) fn refuse_other_count(headers: Option<&HeaderMap>, count: u32) -> Result<(), EventFluxError> {
    let Some(said) = headers.and_then(|headers| headers.get(COUNT_HEADER)) else { return Ok(()) };
    if said.as_str().parse() == Ok(count) {
        return Ok(());
    }
    let reason = format!("is {count}, and the sink that wrote these messages says '{}'", said.as_str().escape_debug());
    Err(EventFluxError::property(COUNT, reason)
        .with_hint("say the same number at both; another one needs another subject and another partition.group"))
}

/// The partition of a key: the values of the columns, separated by [`COLUMN_SEPARATOR`], which is not hashed.
fn number(key: &str, count: u32) -> u32 {
    let bytes = key.bytes().filter(|byte| *byte != COLUMN_SEPARATOR as u8);
    bytes.fold(OFFSET_BASIS, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(PRIME)) % count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SINK_PROPERTIES;

    fn read(raw: &[(&str, &str)]) -> Result<Option<Partition>, EventFluxError> {
        let all = [("nats.url", "nats://h")].into_iter().chain(raw.iter().copied());
        Partition::from_properties(&Properties::from_pairs(SINK_PROPERTIES, all)?)
    }

    #[test]
    fn the_hash_is_the_documented_one() {
        for (key, hash) in [("", 0x811c_9dc5_u32), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
            for count in [1, 2, 7, 16, 1024] {
                assert_eq!(number(key, count), hash % count, "{key} of {count}");
            }
        }
    }

    #[test]
    fn a_source_that_counts_on_another_number_is_told() {
        let partition = read(&[("partition.by", "symbol"), ("partition.count", "16")]).unwrap().unwrap();
        let headers = partition.headers();
        assert!(refuse_other_count(Some(&headers), 16).is_ok() && refuse_other_count(None, 16).is_ok());
        let error = refuse_other_count(Some(&headers), 8).unwrap_err().to_string();
        assert!(error.contains("'partition.count'") && error.contains("is 8") && error.contains("'16'"), "{error}");
    }

    #[test]
    fn several_columns_are_hashed_one_after_the_other() {
        assert_eq!(number("foo\u{1f}bar", 1024), number("foobar", 1024));
        assert_eq!(number("\u{1f}é", 1024), number("é", 1024));
    }

    #[test]
    fn keys_are_spread_over_all_partitions() {
        let mut counts = [0; 16];
        (0..16_000).for_each(|key| counts[number(&format!("SYM{key}"), 16) as usize] += 1);
        assert!(counts.iter().all(|count| (700..1300).contains(count)), "{counts:?}");
    }

    #[test]
    fn one_property_needs_the_other() {
        assert_eq!(read(&[]).unwrap(), None);
        assert!(read(&[("partition.by", "symbol"), ("partition.count", "16")]).unwrap().is_some());
        let cases: [&[(&str, &str)]; 3] = [
            &[("partition.by", "symbol")],
            &[("partition.count", "16")],
            &[("nats.reply", "${r}"), ("partition.by", "symbol"), ("partition.count", "16")],
        ];
        for case in cases {
            let error = read(case).unwrap_err().to_string();
            assert!(error.contains("'partition."), "{error}");
        }
    }
}
