//! What the reply subject of a message of a consumer says about it (ADR-15 of NATS).

use async_nats::Subject;

use super::ledger::Place;

/// A message of a consumer, as its reply subject says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) place: Place,
    /// How often it was delivered, this time included.
    pub(super) deliveries: i64,
    /// Messages behind it that were not delivered yet.
    pub(super) pending: u64,
}

impl Receipt {
    /// Reads a reply subject: `$JS.ACK`, domain and account where the server writes them, stream, consumer, deliveries,
    /// sequence in the stream, sequence of the consumer, time, messages behind it. `None` for what is no such subject.
    pub(super) fn read(reply: &Subject) -> Option<Self> {
        let tokens: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
        let numbers = match tokens.len() {
            7 => &tokens[2..],
            9.. => &tokens[4..],
            _ => return None,
        };
        Some(Self {
            place: Place { sequence: numbers[1].parse().ok()?, published: numbers[3].parse().ok()? },
            deliveries: numbers[0].parse().ok()?,
            pending: numbers[4].parse().ok()?,
        })
    }

    /// When the stream stored it, in milliseconds since 1970.
    pub(super) fn published_ms(&self) -> i64 {
        i64::try_from(self.place.published.div_euclid(1_000_000)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let place = Place { sequence: 100, published: 1_790_230_470_084_404_000 };
        let expected = Receipt { place, deliveries: 3, pending: 42 };
        for reply in [
            "$JS.ACK.S.c.3.100.7.1790230470084404000.42",
            "$JS.ACK._.hash.S.c.3.100.7.1790230470084404000.42",
            "$JS.ACK.hub.hash.S.c.3.100.7.1790230470084404000.42.random.more",
        ] {
            assert_eq!(Receipt::read(&reply.into()), Some(expected), "{reply}");
        }
        assert_eq!(expected.published_ms(), 1_790_230_470_084);
    }

    #[test]
    fn other_subjects_are_none() {
        for reply in [
            "_INBOX.a.b",
            "$JS.ACK.S.c.3.100.7.1790230470084404000",
            "$JS.ACK.S.c.x.100.7.1.42",
            "$JS.ACK.S.c.3.-1.7.1.42",
            "",
        ] {
            assert_eq!(Receipt::read(&reply.into()), None, "{reply}");
        }
    }
}
