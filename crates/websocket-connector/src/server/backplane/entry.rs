//! What gateways tell each other: a batch of events, and how it is to be kept.
//!
//! An entry is a byte with the version, and behind it a sequence of CBOR items (RFC 8949, RFC 8742): origin, number, stream,
//! time, what is kept, and the events, each with a byte that says which of its texts follow. An event that has the same
//! address as the one before leaves it out. Whoever finds another version, or what is no entry at all, passes over it.

use std::convert::Infallible;
use std::time::Duration;

use eventflux_gateway::{
    Address, EVENTS_PER_ENTRY, FullPolicy, HistoryLimits, Losses, Publication, QueueLimits, Retention,
};
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use uuid::Uuid;

const VERSION: u8 = 1;

/// Bytes an entry may have, unless it has a single event: half of what NATS takes in a message by default.
const ENTRY_BYTES: usize = 512 * 1024;

/// What an event costs besides its texts, at most: a byte of flags, and the lengths of four texts and a payload.
const EVENT_OVERHEAD_BYTES: usize = 1 + 5 * 9;

/// No limit that comes from elsewhere is higher, so that nothing overflows.
const MAX_BYTES: u64 = 1 << 40;
const MAX_AGE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What is said of an event. The lowest two bits tell what kind of address it has; 0: that of the one before.
const KIND: u8 = 0b11;
const CHANNEL: u8 = 1;
const USER: u8 = 2;
const REQUEST: u8 = 3;
const OF_CHANNEL: u8 = 1 << 2;
const BINARY: u8 = 1 << 3;
const KEY: u8 = 1 << 4;
const CORRELATION: u8 = 1 << 5;

/// From where an entry is, and how its events are kept.
#[derive(Debug, Clone)]
pub(super) struct Header<'a> {
    /// The process that published it.
    pub(super) origin: Uuid,
    /// Of which stream the events are.
    pub(super) stream: &'a str,
    /// When, in milliseconds since 1970-01-01T00:00:00Z.
    pub(super) time_ms: u64,
    /// Without losses, which are everybody's own.
    pub(super) retention: Retention,
}

/// An entry that is being written.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    out: Encoder<Vec<u8>>,
    address: Option<Address<'a>>,
    events: usize,
}

/// Why there is nothing in an entry for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is of a version that we do not know.
    Version,
    /// It is no entry.
    Malformed,
}

impl<'a> Writer<'a> {
    pub(super) fn new(header: &Header<'_>) -> Self {
        let mut writer = Self { out: Encoder::new(vec![VERSION]), address: None, events: 0 };
        done(writer.write_header(header));
        writer
    }

    /// Whether there is room for one more event; for one there always is.
    pub(super) fn has_room_for(&self, event: &Publication<'_>) -> bool {
        let texts = match event.to {
            Address::Channel(text) | Address::Request(text) => text.len(),
            Address::User { user, channel } => user.len() + channel.map_or(0, str::len),
        };
        let more = event.key.map_or(0, str::len) + event.correlation.map_or(0, str::len) + EVENT_OVERHEAD_BYTES;
        let bytes = self.out.writer().len() + event.payload.len() + texts + more;
        self.events == 0 || (self.events < EVENTS_PER_ENTRY && bytes <= ENTRY_BYTES)
    }

    pub(super) fn push(&mut self, event: &Publication<'a>) {
        done(self.write_event(event));
        self.address = Some(event.to);
        self.events += 1;
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.out.into_writer()
    }

    fn write_header(&mut self, header: &Header<'_>) -> Written {
        let Header { origin, stream, time_ms, retention } = header;
        let QueueLimits { bytes, events, age, full } = retention.queue;
        self.out.bytes(origin.as_bytes())?.str(stream)?.u64(*time_ms)?;
        self.out.u64(bytes as u64)?;
        self.optional(events.map(|events| events as u64))?;
        self.optional(age.map(millis))?;
        self.out.u8(code(full))?;
        self.optional(retention.history.map(|history| history.events as u64))?;
        self.optional(retention.history.map(|history| history.bytes as u64))?;
        self.optional(retention.history.map(|history| millis(history.age)))?;
        self.optional(retention.snapshot_keys.map(|keys| keys as u64))
    }

    fn write_event(&mut self, event: &Publication<'a>) -> Written {
        let is_same = self.address == Some(event.to);
        let (kind, texts) = match event.to {
            _ if is_same => (0, [None, None]),
            Address::Channel(channel) => (CHANNEL, [Some(channel), None]),
            Address::Request(request) => (REQUEST, [Some(request), None]),
            Address::User { user, channel } => (USER, [Some(user), channel]),
        };
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let flags = kind
            | flag(texts[1].is_some(), OF_CHANNEL)
            | flag(event.binary, BINARY)
            | flag(event.key.is_some(), KEY)
            | flag(event.correlation.is_some(), CORRELATION);
        self.out.u8(flags)?;
        for text in texts.into_iter().flatten() {
            self.out.str(text)?;
        }
        self.out.bytes(event.payload)?;
        for text in [event.key, event.correlation].into_iter().flatten() {
            self.out.str(text)?;
        }
        Ok(())
    }

    fn optional(&mut self, value: Option<u64>) -> Written {
        match value {
            Some(value) => self.out.u64(value)?,
            None => self.out.null()?,
        };
        Ok(())
    }
}

/// Reads an entry.
///
/// # Errors
/// Why there is nothing in it for us.
pub(super) fn read(entry: &[u8]) -> Result<(Header<'_>, Vec<Publication<'_>>), Unreadable> {
    match entry.split_first() {
        Some((&VERSION, sequence)) => {
            let mut decoder = Decoder::new(sequence);
            let header = read_header(&mut decoder).ok_or(Unreadable::Malformed)?;
            let events = read_events(&mut decoder).ok_or(Unreadable::Malformed)?;
            Ok((header, events))
        }
        Some(_) => Err(Unreadable::Version),
        None => Err(Unreadable::Malformed),
    }
}

fn read_header<'a>(decoder: &mut Decoder<'a>) -> Option<Header<'a>> {
    let origin = Uuid::from_slice(decoder.bytes().ok()?).ok()?;
    let (stream, time_ms) = (decoder.str().ok()?, decoder.u64().ok()?);
    let queue = QueueLimits {
        bytes: size(decoder.u64().ok()?),
        events: optional(decoder)?.map(size),
        age: optional(decoder)?.map(age),
        full: policy(decoder.u8().ok()?)?,
    };
    let (events, bytes, kept) = (optional(decoder)?, optional(decoder)?, optional(decoder)?);
    let history = events.zip(bytes).zip(kept).map(|((events, bytes), kept)| HistoryLimits {
        events: size(events),
        bytes: size(bytes),
        age: age(kept),
    });
    let snapshot_keys = optional(decoder)?.map(size);
    let retention = Retention { queue, history, snapshot_keys, losses: Losses::default() };
    Some(Header { origin, stream, time_ms, retention })
}

fn read_events<'a>(decoder: &mut Decoder<'a>) -> Option<Vec<Publication<'a>>> {
    let mut events: Vec<Publication<'a>> = Vec::new();
    while decoder.position() < decoder.input().len() {
        let flags = decoder.u8().ok()?;
        let mut text = |flag| if flags & flag == 0 { Some(None) } else { decoder.str().ok().map(Some) };
        let to = match flags & KIND {
            CHANNEL => Address::Channel(text(CHANNEL)??),
            REQUEST => Address::Request(text(REQUEST)??),
            USER => Address::User { user: text(USER)??, channel: text(OF_CHANNEL)? },
            _ => events.last()?.to,
        };
        let payload = decoder.bytes().ok()?;
        let mut text = |flag| if flags & flag == 0 { Some(None) } else { decoder.str().ok().map(Some) };
        let (key, correlation) = (text(KEY)?, text(CORRELATION)?);
        if events.len() == EVENTS_PER_ENTRY {
            return None;
        }
        events.push(Publication { to, payload, binary: flags & BINARY != 0, key, correlation });
    }
    Some(events)
}

type Written = Result<(), minicbor::encode::Error<Infallible>>;

/// Writing to a vector does not fail.
fn done(_written: Written) {}

fn optional(decoder: &mut Decoder<'_>) -> Option<Option<u64>> {
    if decoder.datatype().ok()? == Type::Null {
        return decoder.null().ok().map(|()| None);
    }
    decoder.u64().ok().map(Some)
}

fn size(value: u64) -> usize {
    usize::try_from(value.min(MAX_BYTES)).unwrap_or(usize::MAX)
}

fn age(ms: u64) -> Duration {
    Duration::from_millis(ms).min(MAX_AGE)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn code(full: FullPolicy) -> u8 {
    match full {
        FullPolicy::Disconnect => 0,
        FullPolicy::DropOldest => 1,
        FullPolicy::DropNewest => 2,
        FullPolicy::Conflate => 3,
    }
}

fn policy(code: u8) -> Option<FullPolicy> {
    Some(match code {
        0 => FullPolicy::Disconnect,
        1 => FullPolicy::DropOldest,
        2 => FullPolicy::DropNewest,
        3 => FullPolicy::Conflate,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(stream: &str) -> Header<'_> {
        let queue = QueueLimits {
            bytes: 1 << 20,
            events: None,
            age: Some(Duration::from_millis(1500)),
            full: FullPolicy::Conflate,
        };
        let history = Some(HistoryLimits { events: 100, bytes: 1 << 30, age: Duration::from_secs(300) });
        let retention = Retention { queue, history, snapshot_keys: Some(7), losses: Losses::default() };
        Header { origin: Uuid::from_u128(42), stream, time_ms: 1_700_000_000_000, retention }
    }

    fn event<'a>(to: Address<'a>, payload: &'a str) -> Publication<'a> {
        Publication { to, payload: payload.as_bytes(), binary: false, key: None, correlation: None }
    }

    fn written(events: &[Publication<'_>]) -> Vec<u8> {
        let mut writer = Writer::new(&header("Trades"));
        events.iter().for_each(|event| writer.push(event));
        writer.finish()
    }

    /// Publications have no equality of their own.
    fn shown<T: std::fmt::Debug>(value: &T) -> String {
        format!("{value:?}")
    }

    #[test]
    fn what_is_written_is_read() {
        let events = [
            event(Address::Channel("a"), "1"),
            event(Address::Channel("a"), "2"),
            Publication { key: Some("k"), ..event(Address::Channel("b"), "") },
            Publication {
                correlation: Some("c"),
                binary: true,
                ..event(Address::User { user: "u", channel: None }, "3")
            },
            event(Address::User { user: "u", channel: Some("a") }, "4"),
            event(Address::Request("r/1"), "5"),
        ];
        let entry = written(&events);
        let (read_header, read_events) = read(&entry).unwrap();
        assert_eq!((shown(&read_header), shown(&read_events)), (shown(&header("Trades")), shown(&events)));
        let bare = Header { retention: Retention::default(), ..header("") };
        let entry = Writer::new(&bare).finish();
        assert_eq!(shown(&read(&entry).unwrap()), shown(&(bare, Vec::<Publication<'_>>::new())));
    }

    #[test]
    fn events_of_one_channel_cost_little_besides_their_payloads() {
        let one = written(&[event(Address::Channel("prices.eur.usd"), "12345")]).len();
        let two = written(&[event(Address::Channel("prices.eur.usd"), "12345"); 2]).len();
        assert_eq!(two - one, 7);
    }

    #[test]
    fn an_entry_holds_half_a_mebibyte_or_one_event() {
        let large = "x".repeat(ENTRY_BYTES);
        let (large, half) =
            (event(Address::Channel("a"), &large), event(Address::Channel("a"), &large[..ENTRY_BYTES / 2]));
        let mut writer = Writer::new(&header("S"));
        assert!(writer.has_room_for(&large), "one always has");
        writer.push(&half);
        assert!(!writer.has_room_for(&half));
        assert!(writer.has_room_for(&event(Address::Channel("a"), "1")));
        (1..EVENTS_PER_ENTRY).for_each(|_| writer.push(&event(Address::Channel("a"), "")));
        assert!(!writer.has_room_for(&event(Address::Channel("a"), "")));
        let entry = writer.finish();
        assert_eq!(read(&entry).unwrap().1.len(), EVENTS_PER_ENTRY);
    }

    #[test]
    fn another_version_is_told_from_garbage() {
        let mut entry = written(&[]);
        entry[0] = 2;
        assert_eq!(read(&entry).unwrap_err(), Unreadable::Version);
        for bad in [&b""[..], b"\x01", b"\x01hello", &written(&[event(Address::Channel("a"), "1")])[..60]] {
            assert_eq!(read(bad).unwrap_err(), Unreadable::Malformed, "{bad:?}");
        }
        // The first event has no address to take over.
        let orphan = [written(&[]), vec![0, 0x40]].concat();
        assert_eq!(read(&orphan).unwrap_err(), Unreadable::Malformed);
    }

    #[test]
    fn more_events_than_an_entry_has_are_refused() {
        let mut writer = Writer::new(&header("S"));
        (0..=EVENTS_PER_ENTRY).for_each(|_| writer.push(&event(Address::Channel("a"), "")));
        assert_eq!(read(&writer.finish()).unwrap_err(), Unreadable::Malformed);
    }

    #[test]
    fn limits_from_elsewhere_do_not_overflow() {
        let queue = QueueLimits { bytes: usize::MAX, age: Some(Duration::MAX), ..QueueLimits::default() };
        let huge = Header { retention: Retention { queue, ..Retention::default() }, ..header("S") };
        let entry = Writer::new(&huge).finish();
        let queue = read(&entry).unwrap().0.retention.queue;
        assert_eq!((queue.bytes as u64, queue.age), (MAX_BYTES, Some(MAX_AGE)));
    }

    proptest! {
        #[test]
        fn nothing_that_comes_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let _ = read(&[&[VERSION], &bytes[..]].concat());
        }

        #[test]
        fn an_entry_that_was_damaged_does_not_panic(at in 0..200_usize, byte: u8, length in 0..200_usize) {
            let mut entry = written(&[event(Address::Channel("a"), "1"), event(Address::User { user: "u", channel: Some("c") }, "2")]);
            let at = at % entry.len();
            entry[at] = byte;
            entry.truncate(length.max(1));
            let _ = read(&entry);
        }
    }
}
