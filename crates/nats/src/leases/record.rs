//! What the keys of the bucket say.

use serde::{Deserialize, Serialize};

const PARTITION: &str = "partition.";
const MEMBER: &str = "member.";

/// Who holds a partition, and how far it has been worked through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// `None`: nobody.
    pub(super) owner: Option<String>,
    /// The next sequence to work on.
    pub(super) position: u64,
    /// Of which stream.
    pub(super) epoch: u64,
    /// The owner's number of this write, so that it recognises it.
    pub(super) write: u64,
}

/// What a process says of itself, for whoever looks into the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Presence {
    /// Partitions it holds.
    pub(super) held: usize,
    /// Whether it can take more: it sees what the bucket shows.
    pub(super) ready: bool,
}

/// A key of the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key {
    Partition(u32),
    Member(String),
}

impl Key {
    /// `None` for a key that is not ours.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(number) = text.strip_prefix(PARTITION) {
            return number.parse().ok().map(Self::Partition);
        }
        text.strip_prefix(MEMBER).map(|id| Self::Member(id.to_owned()))
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Partition(number) => format!("{PARTITION}{number}"),
            Self::Member(id) => format!("{MEMBER}{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        for key in [Key::Partition(0), Key::Partition(1023), Key::Member("a-1".to_owned())] {
            assert_eq!(Key::parse(&key.text()), Some(key));
        }
        for other in ["partition.x", "partition.-1", "other.1", ""] {
            assert_eq!(Key::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_record_is_readable_json() {
        let record = Record { owner: Some("a".to_owned()), position: 7, epoch: 3, write: 2 };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(text, r#"{"owner":"a","position":7,"epoch":3,"write":2}"#);
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}
