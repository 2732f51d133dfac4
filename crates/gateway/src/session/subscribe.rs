//! Subscriptions of a session, and the places they hold in channels.

mod direct;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::{Effect, Inbound, Session};
use crate::auth::Verb;
use crate::dialects::{Position, Recovered, Reply, Subscribe, SubscriptionId};
use crate::filter::Filter;
use crate::hub::{self, Channel, Interest, Item, Joining, Matched, Place, Remembered, Seat};
use crate::{Pattern, Problem};

/// What the client calls by one name: a channel, or a pattern that its grants may have cut into several.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) name: Arc<str>,
    filter: Option<Filter>,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    pattern: Pattern,
    /// `None` while another subscription covers it: an event reaches a client once.
    cursor: Option<u32>,
}

/// A place in a channel.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) channel: Arc<Channel>,
    pub(super) mode: Mode,
}

#[derive(Debug)]
pub(super) enum Mode {
    /// Reads what is published.
    Live { seat: u32, place: Place },
    /// Gets items.
    Matched(Seat),
    /// Reads what is remembered; then takes its seat.
    Replay { next: u64, joining: Box<Joining> },
}

/// A wish for one channel or pattern, checked.
struct Wish {
    /// As the client wrote it.
    text: String,
    parts: Vec<Pattern>,
    recover: Option<Position>,
}

impl Session {
    pub(super) fn ask_to_subscribe(&mut self, subscribe: Subscribe, now: Instant) {
        if !self.config().authorizes_subscriptions {
            return self.subscribe(&subscribe, |_| true, now);
        }
        let patterns: Result<Vec<_>, _> = subscribe.channels.iter().map(|text| Pattern::parse(text)).collect();
        match patterns {
            Ok(patterns) => {
                self.authorizing = Some(Box::new(subscribe));
                self.effects.push_back(Effect::Authorize(patterns));
            }
            Err(problem) => self.refuse(&problem, subscribe.correlation.as_deref()),
        }
    }

    /// What became of [`Effect::Authorize`], in its order.
    pub fn authorized(&mut self, allowed: &[bool], now: Instant) {
        let Some(subscribe) = self.authorizing.take() else { return };
        self.subscribe(&subscribe, |index| allowed.get(index).copied().unwrap_or(false), now);
    }

    /// What connecting subscribes to; nobody is told, except of what is missing.
    pub(super) fn subscribe_on_arrival(&mut self, subscriptions: Vec<(Pattern, Option<Position>)>, now: Instant) {
        for (pattern, recover) in subscriptions {
            let text = pattern.text().to_owned();
            let wish = match self.wish(&text, recover) {
                Ok(wish) => wish,
                Err(problem) => {
                    self.refuse(&problem, None);
                    continue;
                }
            };
            let name = text.as_str().into();
            if let Err(problem) = self.add(name, vec![wish], None, false, now) {
                self.refuse(&problem, None);
            }
        }
    }

    fn subscribe(&mut self, subscribe: &Subscribe, allowed: impl Fn(usize) -> bool, now: Instant) {
        let filter = self.hub.filter(subscribe.fields.as_ref(), subscribe.predicate.as_deref());
        let filter = match filter {
            Ok(filter) => filter,
            Err(problem) => return self.refuse(&problem, subscribe.correlation.as_deref()),
        };
        let mut wishes = Vec::new();
        let mut problems = Vec::new();
        for (index, text) in subscribe.channels.iter().enumerate() {
            let recover = subscribe.recover.iter().find(|(channel, _)| channel == text);
            match self.wish(text, recover.map(|(_, position)| position.clone())) {
                Ok(wish) if allowed(index) => wishes.push(wish),
                Ok(_) => problems.push(self.denied(text)),
                Err(problem) => problems.push(problem),
            }
        }
        self.carry_out_subscribe(subscribe, filter.as_ref(), wishes, &mut problems, now);
        for problem in &problems {
            self.refuse(problem, subscribe.correlation.as_deref());
        }
    }

    fn carry_out_subscribe(
        &mut self,
        subscribe: &Subscribe,
        filter: Option<&Filter>,
        wishes: Vec<Wish>,
        problems: &mut Vec<Problem>,
        now: Instant,
    ) {
        // The reply goes first, whatever is remembered or comes meanwhile.
        let (id, chosen): (Option<Arc<str>>, _) = match &subscribe.id {
            SubscriptionId::Channel => (None, false),
            SubscriptionId::Given(id) => (Some(id.as_str().into()), true),
            SubscriptionId::Ours => (Some(uuid::Uuid::new_v4().to_string().into()), false),
        };
        let groups = match &id {
            None => wishes.into_iter().map(|wish| (Arc::from(wish.text.as_str()), vec![wish])).collect(),
            Some(_) if wishes.is_empty() => Vec::new(),
            Some(id) => vec![(id.clone(), wishes)],
        };
        let (mut channels, mut positions) = (Vec::new(), Vec::new());
        let behind = self.post.items.len();
        for (name, wishes) in groups {
            let texts: Vec<_> = wishes.iter().map(|wish| wish.text.clone()).collect();
            let reached: Vec<_> = wishes.iter().filter_map(|wish| self.position(wish, now)).collect();
            match self.add(name, wishes, filter, subscribe.snapshot, now) {
                Ok(()) => {
                    channels.extend(texts);
                    positions.extend(reached);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if channels.is_empty() {
            return;
        }
        let remembered = self.post.items.split_off(behind);
        let correlation = subscribe.correlation.as_deref();
        self.reply(&Reply::Subscribed { channels: &channels, id: id.as_deref(), chosen, positions: &positions, correlation });
        self.post.items.extend(remembered);
    }

    /// What a client wants to receive, as far as it may.
    fn wish(&self, text: &str, recover: Option<Position>) -> Result<Wish, Problem> {
        let pattern = Pattern::parse(text)?;
        let parts = self.identity().map(|identity| identity.grants.cut(Verb::Subscribe, &pattern)).unwrap_or_default();
        if parts.is_empty() {
            return Err(self.denied(text));
        }
        if recover.is_some() && !pattern.is_exact() {
            return Err(Problem::Unsupported(format!("'{text}' is a pattern: only a channel can be recovered")));
        }
        Ok(Wish { text: text.to_owned(), parts, recover })
    }

    /// Where the history of a channel is, and whether it has what the client asks for.
    fn position(&self, wish: &Wish, now: Instant) -> Option<(String, Recovered)> {
        let [pattern] = &wish.parts[..] else { return None };
        if !pattern.is_exact() {
            return None;
        }
        let channel = self.hub.channels().find(pattern.text());
        if wish.recover.is_none() && !channel.as_ref().is_some_and(|channel| channel.has_history()) {
            return None;
        }
        let offset = channel.as_ref().map_or(0, |channel| channel.last());
        let position = Position { epoch: self.hub.epoch().to_owned(), offset };
        let complete = wish.recover.as_ref().map(|wanted| {
            wanted.epoch == self.hub.epoch()
                && match &channel {
                    Some(channel) => channel.remembers_since(wanted.offset, now),
                    None => wanted.offset == 0,
                }
        });
        Some((wish.text.clone(), Recovered { position, complete }))
    }

    /// Adds a subscription, or replaces the one of that name.
    fn add(
        &mut self,
        name: Arc<str>,
        wishes: Vec<Wish>,
        filter: Option<&Filter>,
        snapshot: bool,
        now: Instant,
    ) -> Result<(), Problem> {
        self.remove(&name, now);
        let limit = self.config().max_subscriptions;
        if self.subscriptions.len() >= limit {
            return Err(Problem::SubscriptionLimitExceeded { limit });
        }
        // All channels or none.
        let patterns = wishes.iter().flat_map(|wish| &wish.parts);
        for pattern in patterns {
            self.hub.channel(pattern, now)?;
        }
        let mut parts = Vec::new();
        for wish in &wishes {
            for pattern in &wish.parts {
                let begin = Begin { recover: wish.recover.as_ref(), snapshot };
                let cursor = match self.is_covered(pattern, &name) {
                    true => None,
                    false => Some(self.enter(&name, pattern, filter, &begin, now)?),
                };
                parts.push(Part { pattern: pattern.clone(), cursor });
            }
        }
        self.subscriptions.push(Subscription { name, filter: filter.cloned(), parts });
        self.hub.counters().subscribed();
        self.settle_coverage(now);
        self.publish_interests();
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, names: &[String], correlation: Option<&str>, now: Instant) {
        let (known, unknown): (Vec<_>, Vec<_>) = names.iter().cloned().partition(|name| self.remove(name, now));
        self.settle_coverage(now);
        self.publish_interests();
        // What came for it before goes before the reply.
        let mailbox = self.member.mailbox.clone();
        mailbox.take(&mut self.post, usize::MAX);
        for name in &unknown {
            self.fail(&Problem::NotSubscribed(name.clone()), correlation);
        }
        if !known.is_empty() || unknown.is_empty() {
            self.reply(&Reply::Unsubscribed { subscriptions: &known, correlation });
        }
    }

    /// Ends everything; for a session that is over.
    pub(super) fn leave_all(&mut self) {
        let now = self.now;
        for subscription in std::mem::take(&mut self.subscriptions) {
            self.leave(&subscription, now);
        }
    }

    fn remove(&mut self, name: &str, now: Instant) -> bool {
        let Some(index) = self.subscriptions.iter().position(|subscription| *subscription.name == *name) else {
            return false;
        };
        let subscription = self.subscriptions.swap_remove(index);
        self.leave(&subscription, now);
        true
    }

    fn leave(&mut self, subscription: &Subscription, now: Instant) {
        self.hub.counters().unsubscribed();
        for part in &subscription.parts {
            if let Some(cursor) = part.cursor {
                self.vacate(cursor, now);
            }
        }
    }

    /// Takes a place in a channel.
    fn enter(
        &mut self,
        name: &Arc<str>,
        pattern: &Pattern,
        filter: Option<&Filter>,
        begin: &Begin<'_>,
        now: Instant,
    ) -> Result<u32, Problem> {
        let entry = self.cursors.vacant_key() as u32;
        let joining = self.joining(name, filter, entry);
        loop {
            let channel = self.hub.channel(pattern, now)?;
            let Some(mode) = self.begin_reading(&channel, begin, &joining, now) else { continue };
            let live = !matches!(mode, Mode::Replay { .. });
            if pattern.is_exact() {
                self.present(&channel, true);
            }
            self.cursors.insert(Cursor { channel, mode });
            if !live {
                self.post.ready.push(entry);
            }
            return Ok(entry);
        }
    }

    /// `None` when the channel is gone meanwhile.
    fn begin_reading(&mut self, channel: &Arc<Channel>, begin: &Begin<'_>, joining: &Joining, now: Instant) -> Option<Mode> {
        if let Some(position) = begin.recover
            && position.epoch == self.hub.epoch()
            && (channel.remembers_since(position.offset, now) || !begin.snapshot)
        {
            return Some(Mode::Replay { next: position.offset + 1, joining: Box::new(joining.clone()) });
        }
        let joined = match begin.snapshot {
            false => channel.join(joining.clone()),
            true => {
                let mut items = Vec::new();
                let name = channel.name().clone();
                let joined = channel.snapshot(joining.clone(), |event| items.extend(remembered(joining, &name, &event)));
                self.post.items.extend(items);
                joined
            }
        };
        let (seat, next) = joined.ok()?;
        Some(mode(seat, next))
    }

    fn joining(&self, name: &Arc<str>, filter: Option<&Filter>, cursor: u32) -> Joining {
        let mailbox = self.member.mailbox.clone();
        let personal = self.dialect().traits().personal;
        if filter.is_none() && !personal && !self.placed {
            return Joining::Reading { mailbox, cursor, framing: self.framing.clone() };
        }
        let subscription = personal.then(|| name.clone());
        Joining::Matching { filter: filter.cloned(), matched: Matched { mailbox, subscription } }
    }

    fn vacate(&mut self, cursor: u32, now: Instant) {
        let Some(Cursor { channel, mode }) = self.cursors.try_remove(cursor as usize) else { return };
        let unused = match mode {
            Mode::Live { seat, .. } => channel.leave(Seat::Reader(seat)),
            Mode::Matched(seat) => channel.leave(seat),
            Mode::Replay { .. } => false,
        };
        self.present(&channel, false);
        if unused {
            self.hub.channels().remove(&channel, now);
        }
    }

    /// Whether events of `pattern` reach the client by another subscription anyway.
    fn is_covered(&self, pattern: &Pattern, name: &str) -> bool {
        // Where each subscription has its own copy, none covers another.
        !self.dialect().traits().personal
            && self.subscriptions.iter().any(|other| {
                *other.name != *name
                    && other.filter.is_none()
                    && other.parts.iter().any(|part| part.cursor.is_some() && part.pattern.covers(pattern))
            })
    }

    /// Leaves the places that a wider subscription makes superfluous, and takes those that it left free.
    fn settle_coverage(&mut self, now: Instant) {
        for index in 0..self.subscriptions.len() {
            for part in 0..self.subscriptions[index].parts.len() {
                self.settle_part(index, part, now);
            }
        }
    }

    fn settle_part(&mut self, index: usize, part: usize, now: Instant) {
        let subscription = &self.subscriptions[index];
        let (name, filter) = (subscription.name.clone(), subscription.filter.clone());
        let Part { pattern, cursor } = &subscription.parts[part];
        let (pattern, cursor) = (pattern.clone(), *cursor);
        let covered = self.is_covered(&pattern, &name);
        let cursor = match cursor {
            Some(cursor) if covered => {
                self.vacate(cursor, now);
                None
            }
            None if !covered => {
                let begin = Begin { recover: None, snapshot: false };
                match self.enter(&name, &pattern, filter.as_ref(), &begin, now) {
                    Ok(cursor) => Some(cursor),
                    Err(problem) => return self.refuse(&problem, None),
                }
            }
            unchanged => unchanged,
        };
        self.subscriptions[index].parts[part].cursor = cursor;
    }

    /// Tells the hub which of its user's events this session wants.
    fn publish_interests(&self) {
        let interests = self.subscriptions.iter().flat_map(|subscription| {
            subscription.parts.iter().map(|part| Interest {
                subscription: subscription.name.clone(),
                pattern: part.pattern.clone(),
                filter: subscription.filter.clone(),
            })
        });
        *self.member.interests() = interests.collect();
    }

    /// Coming and going, where that is kept.
    fn present(&mut self, channel: &Arc<Channel>, comes: bool) {
        if !self.config().presence {
            return;
        }
        let user = self.user().cloned();
        let (changed, kind) = match comes {
            true => (self.hub.directory().enters(channel.name(), self.member.id, user.as_ref()), hub::JOIN),
            false => (self.hub.directory().exits(channel.name(), self.member.id), hub::LEAVE),
        };
        if changed && self.hub.takes(kind) {
            let payload = serde_json::json!({"channel": **channel.name(), "user": user.as_deref(), "connection": self.id()});
            self.effects.push_back(Effect::Deliver(Inbound {
                kind: kind.to_owned(),
                payload: Bytes::from(payload.to_string()),
                channel: Some(channel.name().to_string()),
                correlation: None,
                request: None,
            }));
        }
    }

    fn refuse(&mut self, problem: &Problem, correlation: Option<&str>) {
        self.hub.counters().subscription_failed();
        self.fail(problem, correlation);
    }
}

/// Where a subscriber begins.
struct Begin<'a> {
    recover: Option<&'a Position>,
    snapshot: bool,
}

pub(super) fn mode(seat: Seat, next: u64) -> Mode {
    match seat {
        Seat::Reader(seat) => Mode::Live { seat, place: Place { next, until: None } },
        matched => Mode::Matched(matched),
    }
}

/// A remembered event as the subscriber gets it; `None` when it does not match.
pub(super) fn remembered(joining: &Joining, channel: &Arc<str>, event: &Remembered<'_>) -> Option<Item> {
    let Remembered { number, text, payload, binary } = *event;
    match joining {
        Joining::Reading { .. } => {
            Some(Item { text: hub::Text::Whole(text.clone()), binary, event: Some((channel.clone(), 0)), number })
        }
        Joining::Matching { filter, matched } => {
            let mut document = crate::filter::Document::new(payload);
            let matches = filter.as_ref().is_none_or(|filter| filter.matches(&mut document));
            matches.then(|| Item { number, ..matched.item(channel, text, binary, 0) })
        }
    }
}
