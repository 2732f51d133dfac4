//! From published events to those who receive them.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use uuid::Uuid;

use super::channel::Passage;
use super::item::{Content, Event, SharedEvent};
use super::passing::{Passing, Woken, hash};
use super::{Hub, Interest, Member, Retention, shared};
use crate::Problem;
use crate::dialects::{self, Dialect};
use crate::filter::Document;
use crate::pattern::check_name;

/// An event to publish.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// To whom.
    pub to: Address<'a>,
    /// JSON text (any bytes where the dialect is transparent).
    pub payload: &'a [u8],
    /// Whether it is sent as a binary message; only where the dialect is transparent.
    pub binary: bool,
    /// What it is the latest of: for snapshots and conflation.
    pub key: Option<&'a str>,
    /// The pipeline's name for it, which clients can acknowledge.
    pub correlation: Option<&'a str>,
}

/// Who receives an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address<'a> {
    /// The subscribers of a channel.
    Channel(&'a str),
    /// All connections of a user: those that subscribed to the channel, or all when there is none.
    User {
        /// The user.
        user: &'a str,
        /// The channel.
        channel: Option<&'a str>,
    },
    /// The client that sent this request, as an answer.
    Request(&'a str),
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Published {
    /// Connections it was for.
    pub delivered: usize,
}

/// How and when something is published.
struct At<'a> {
    retention: &'a Retention,
    /// What the protocol's metadata has besides.
    metadata: Option<&'a str>,
    now: Instant,
    time_ms: u64,
    /// Of the event, where a log has numbered it.
    number: Option<u64>,
}

/// What an event is called that goes to a user and to no channel.
const UNNAMED: &str = "message";

/// Reused from one event to the next.
#[derive(Default)]
struct Scratch {
    text: Vec<u8>,
    woken: Woken,
}

impl Hub {
    /// Publishes events in order, and wakes those who have something to read when all are there. Calls `each` with what
    /// became of each.
    ///
    /// `time_ms` is the time as milliseconds since 1970-01-01T00:00:00Z. Not for a hub that shares a log with others: what it
    /// publishes comes from there ([`Hub::apply`]).
    pub fn publish<'a>(
        &self,
        retention: &Retention,
        events: impl IntoIterator<Item = Publication<'a>>,
        now: Instant,
        time_ms: u64,
        mut each: impl FnMut(Result<Published, Problem>),
    ) {
        let mut scratch = Scratch::default();
        for event in events {
            let at = At { retention, metadata: None, now, time_ms, number: None };
            let published = self.publish_one(&event, &at, &mut scratch);
            if let Ok(published) = published {
                self.counters.delivered.add(published.delivered as u64);
            }
            each(published);
        }
    }

    /// Publishes one event that has metadata of its own: members of a JSON object, without its braces.
    ///
    /// # Errors
    /// When it cannot be published.
    pub(crate) fn publish_with(
        &self,
        retention: &Retention,
        event: &Publication<'_>,
        metadata: Option<&str>,
        (now, time_ms): (Instant, u64),
    ) -> Result<Published, Problem> {
        let mut scratch = Scratch::default();
        let at = At { retention, metadata, now, time_ms, number: None };
        let published = self.publish_one(event, &at, &mut scratch)?;
        self.counters.delivered.add(published.delivered as u64);
        Ok(published)
    }

    /// Publishes the events of an entry of the log that this hub shares with others: in all of them they have the same
    /// numbers. An entry has at most [`EVENTS_PER_ENTRY`](super::EVENTS_PER_ENTRY) events, and entries have growing
    /// sequences; what is beyond is left out. `time_ms` is when they were published, by whomever; otherwise as
    /// [`Hub::publish`].
    pub fn apply<'a>(
        &self,
        retention: &Retention,
        sequence: u64,
        events: impl IntoIterator<Item = Publication<'a>>,
        (now, time_ms): (Instant, u64),
        mut each: impl FnMut(Result<Published, Problem>),
    ) {
        let mut scratch = Scratch::default();
        for (event, number) in events.into_iter().zip(shared::numbers(sequence)) {
            let at = At { retention, metadata: None, now, time_ms, number: Some(number) };
            let published = self.publish_one(&event, &at, &mut scratch);
            if let Ok(published) = published {
                self.counters.delivered.add(published.delivered as u64);
            }
            each(published);
        }
        // Also one without events: no more of it comes.
        self.channels.still(Some(*shared::numbers(sequence).end()), || ());
    }

    /// Whether an event can be published: its payload is what the protocol needs, and its channel has a name.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, event: &Publication<'_>) -> Result<(), Problem> {
        if let Address::Request(request) = event.to {
            parse_request(request)?;
        }
        if !self.dialect.traits().transparent {
            check_json(event.payload)?;
        }
        match event.to {
            Address::Channel(channel) => check_name(channel),
            Address::User { channel, .. } => channel.map_or(Ok(()), check_name),
            Address::Request(_) => Ok(()),
        }
    }

    /// Answers a request of a client that is connected here; returns whether there is such a client.
    ///
    /// # Errors
    /// When it cannot be answered.
    pub fn answer(&self, request: &str, payload: &[u8]) -> Result<bool, Problem> {
        let event = Publication { to: Address::Request(request), payload, binary: false, key: None, correlation: None };
        self.check(&event)?;
        let is_here = self.pass_answer(request, payload)?;
        self.counters.delivered.add(u64::from(is_here));
        Ok(is_here)
    }

    fn publish_one(&self, event: &Publication<'_>, at: &At<'_>, scratch: &mut Scratch) -> Result<Published, Problem> {
        self.check(event)?;
        let delivered = match event.to {
            Address::Channel(channel) => self.publish_to_channel(channel, event, at, scratch),
            Address::User { user, channel } => self.publish_to_user(user, channel, event, at, scratch),
            Address::Request(request) => usize::from(self.pass_answer(request, event.payload)?),
        };
        Ok(Published { delivered })
    }

    /// Passes an answer to the session that asked; whether it is still there.
    fn pass_answer(&self, request: &str, payload: &[u8]) -> Result<bool, Problem> {
        let (session, request) = parse_request(request)?;
        let Some(member) = self.directory.session(session) else { return Ok(false) };
        member.mailbox.answer(request, Bytes::copy_from_slice(payload), self.config.max_reply_bytes);
        Ok(true)
    }

    fn publish_to_channel(&self, channel: &str, event: &Publication<'_>, at: &At<'_>, scratch: &mut Scratch) -> usize {
        self.channels.pass(channel, at.retention.remembers(), (at.now, at.number), |receivers| {
            self.counters.forgotten.add(u64::from(receivers.is_forgotten));
            // Held until the patterns have the event: their events of this channel are in the same order.
            let mut exact = receivers.exact.and_then(|exact| exact.begin(at.retention, at.number));
            if exact.is_none() && receivers.patterns.is_empty() {
                return 0;
            }
            let number = exact.as_ref().and_then(Passage::number);
            let position = number.map(|number| (&**receivers.epoch, number));
            scratch.text.clear();
            let payload = self.write(channel, event, position, at, &mut scratch.text);
            let passing = Passing {
                channel,
                key: event.key,
                text: &scratch.text,
                payload,
                binary: event.binary,
                at: at.now,
                retention: at.retention,
                document: &Document::new(event.payload),
                shared: OnceCell::new(),
            };
            let woken = &mut scratch.woken;
            let mut delivered = exact.as_mut().map_or(0, |exact| exact.pass(&passing, woken));
            for pattern in &receivers.patterns {
                let passage = pattern.begin(at.retention, at.number);
                delivered += passage.map_or(0, |mut passage| passage.pass(&passing, woken));
            }
            delivered
        })
    }

    fn publish_to_user(
        &self,
        user: &str,
        channel: Option<&str>,
        event: &Publication<'_>,
        at: &At<'_>,
        scratch: &mut Scratch,
    ) -> usize {
        let members = self.directory.of_user(user);
        if members.is_empty() {
            return 0;
        }
        let name: Arc<str> = channel.unwrap_or(UNNAMED).into();
        let document = Document::new(event.payload);
        scratch.text.clear();
        self.write(&name, event, None, at, &mut scratch.text);
        let content = Content::Text { text: Bytes::copy_from_slice(&scratch.text), binary: event.binary };
        let key = event.key.map_or(0, hash);
        let shared = Arc::new(SharedEvent { channel: name, key, number: None, at: at.now, content });
        // Nobody unsubscribes between being asked what it wants and getting it.
        self.channels.still(at.number, || {
            let mut delivered = 0;
            for member in &members {
                let mut taken = false;
                for subscription in self.wants(member, channel, &document) {
                    let item = Event { shared: shared.clone(), subscription, sent: 0 };
                    taken |= scratch.woken.push(member.mailbox.push(item, at.retention));
                }
                delivered += usize::from(taken);
            }
            delivered
        })
    }

    /// The subscriptions of a session that an event for its user goes to: each of them where events have a personal
    /// part, else one without a name.
    fn wants(&self, member: &Member, channel: Option<&str>, document: &Document<'_>) -> Vec<Option<Arc<str>>> {
        let personal = self.dialect.traits().personal;
        let Some(channel) = channel else {
            return if personal { Vec::new() } else { vec![None] };
        };
        let interests = member.interests();
        let wanted = interests.iter().filter(|interest| interest.matches(channel, document));
        match personal {
            true => wanted.map(|interest| Some(interest.subscription.clone())).collect(),
            false => wanted.take(1).map(|_| None).collect(),
        }
    }

    /// Appends the text of an event; returns where its payload is.
    fn write(
        &self,
        channel: &str,
        event: &Publication<'_>,
        position: Option<(&str, u64)>,
        at: &At<'_>,
        text: &mut Vec<u8>,
    ) -> Range<usize> {
        let event = dialects::Event {
            channel,
            payload: event.payload,
            correlation: event.correlation,
            metadata: at.metadata,
            position,
            time_ms: at.time_ms,
        };
        write(self.dialect, &event, text)
    }
}

impl Interest {
    fn matches(&self, channel: &str, document: &Document<'_>) -> bool {
        self.pattern.matches(channel) && self.filter.as_ref().is_none_or(|filter| filter.matches(document))
    }
}

fn write(dialect: &dyn Dialect, event: &dialects::Event<'_>, text: &mut Vec<u8>) -> Range<usize> {
    let start = dialect.event(event, text);
    start..start + event.payload.len()
}

/// The session that asked, and what it calls its request.
fn parse_request(request: &str) -> Result<(Uuid, u64), Problem> {
    let parsed = request
        .split_once('/')
        .and_then(|(session, number)| Some((Uuid::try_parse(session).ok()?, number.parse::<u64>().ok()?)));
    parsed.ok_or_else(|| Problem::Unsupported("that is no request of a client".to_owned()))
}

fn check_json(payload: &[u8]) -> Result<(), Problem> {
    // Values that are passed over are not checked for it.
    let text = str::from_utf8(payload).map_err(|_| Problem::InvalidMessage("the payload is not UTF-8".to_owned()))?;
    let checked = serde_json::from_str::<serde::de::IgnoredAny>(text);
    checked.map(drop).map_err(|error| Problem::InvalidMessage(format!("the payload is no JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_json_in_utf_8() {
        for payload in [&b"{\"a\":[1.50,null]}"[..], b"\"\xc3\xa4\"", b"18446744073709551616"] {
            assert_eq!(check_json(payload), Ok(()));
        }
        for payload in [&b"\"\xff\""[..], b"{\"\xed\xa0\x80\":1}"] {
            assert_eq!(check_json(payload), Err(Problem::InvalidMessage("the payload is not UTF-8".to_owned())));
        }
        for payload in [&b""[..], b"{", b"1 2", b"\xef\xbb\xbf1"] {
            let problem = check_json(payload).unwrap_err().to_string();
            assert!(problem.starts_with("Invalid message format: the payload is no JSON: "), "{problem}");
        }
    }
}
