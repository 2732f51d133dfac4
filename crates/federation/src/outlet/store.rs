//! Where payloads are kept besides memory, so that they survive a restart.

use std::fmt;

use super::log::Chunk;

/// Keeps the payloads of one outlet. No method blocks; answers come by [`Outlet::stored`](super::Outlet::stored),
/// [`Outlet::loaded`](super::Outlet::loaded) and [`Outlet::store_has_room`](super::Outlet::store_has_room), from any
/// thread, but never from inside one of these methods.
pub trait Store: Send + Sync + fmt::Debug {
    /// Keeps payloads, in order; they follow those of the call before.
    fn append(&self, payloads: StoredPayloads);

    /// Whether there is room for more. One more batch is taken all the same.
    fn has_room(&self) -> bool;

    /// Reads at most about `max_bytes` of payloads from `from` on; at least one. `load` is the number of the answer.
    fn load(&self, load: u64, from: u64, max_bytes: usize);

    /// Keeps nothing before `before` any longer.
    fn forget(&self, before: u64);

    /// Remembers what a receiver has acknowledged: everything before `next`.
    fn mark(&self, receiver: &str, next: u64, unix_ms: u64);

    /// Remembers nothing of the receiver any longer.
    fn unmark(&self, receiver: &str);

    /// Memory of what is on its way to where it is kept.
    fn unwritten_bytes(&self) -> usize;
}

/// Consecutive payloads as a store keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPayloads {
    /// The number of the first one.
    pub first: u64,
    /// How many there are.
    pub count: u32,
    /// All of them, in a form of our own.
    pub data: Vec<u8>,
}

/// What a store kept from before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// Which sequence of numbers it is; never the same for two of them.
    pub epoch: u64,
    /// The oldest payload.
    pub first: u64,
    /// Where it goes on.
    pub next: u64,
    /// What receivers have acknowledged: name, everything before, and when they were last there (milliseconds since
    /// 1970-01-01T00:00:00Z).
    pub receivers: Vec<(String, u64, u64)>,
}

/// Length and time in front of each payload.
const HEADER_BYTES: usize = 4 + 8;

impl StoredPayloads {
    pub(crate) fn new<'a>(first: u64, time_ms: u64, payloads: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let bytes = payloads.clone().map(|payload| HEADER_BYTES + payload.len()).sum();
        let (mut data, mut count) = (Vec::with_capacity(bytes), 0);
        for payload in payloads {
            data.extend_from_slice(&(payload.len() as u32).to_le_bytes());
            data.extend_from_slice(&time_ms.to_le_bytes());
            data.extend_from_slice(payload);
            count += 1;
        }
        Self { first, count, data }
    }

    /// `None` when the data is not what [`StoredPayloads::new`] makes.
    pub(crate) fn decode(&self) -> Option<Chunk> {
        let mut rest = &self.data[..];
        let mut payloads = Vec::with_capacity(self.count as usize);
        while !rest.is_empty() {
            let (header, behind) = rest.split_at_checked(HEADER_BYTES)?;
            let (length, time) = header.split_at(4);
            let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
            let (payload, behind) = behind.split_at_checked(length)?;
            payloads.push((payload, u64::from_le_bytes(time.try_into().ok()?)));
            rest = behind;
        }
        (payloads.len() == self.count as usize).then(|| Chunk::new(self.first, payloads))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_again() {
        let payloads = [&b"one"[..], b"", b"three"];
        let stored = StoredPayloads::new(7, 99, payloads.into_iter());
        let chunk = stored.decode().unwrap();
        let read: Vec<_> = chunk.from(0).map(|entered| (entered.sequence, entered.time_ms, entered.payload)).collect();
        assert_eq!(read, [(7, 99, &b"one"[..]), (8, 99, b""), (9, 99, b"three")]);
        assert_eq!(chunk.next(), 10);
    }

    #[test]
    fn what_was_not_stored_by_us_is_nothing() {
        let stored = StoredPayloads::new(1, 1, [&b"payload"[..]].into_iter());
        for length in 1..stored.data.len() {
            assert!(StoredPayloads { data: stored.data[..length].to_vec(), ..stored.clone() }.decode().is_none());
        }
        assert!(StoredPayloads { count: 2, ..stored }.decode().is_none());
    }
}
