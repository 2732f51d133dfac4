//! What a session is subscribed to, and the places it holds in channels for that.

use std::sync::Arc;

use super::plan::{self, Role, Wish};
use super::{Placing, Session};
use crate::filter::Filter;
use crate::hub::{Before, Change, Channel, Content, Event, Interest, Joining, Matched, Seat, Wanted};
use crate::{Ending, Pattern, Problem};

/// What the client calls by one name: channels, or patterns that its grants may have cut into several.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) name: Arc<str>,
    pub(super) filter: Option<Filter>,
    pub(super) parts: Box<[Part]>,
}

#[derive(Debug)]
pub(super) struct Part {
    pub(super) pattern: Pattern,
    /// From which event on it is told the past, until it is through with that.
    pub(super) replay: Option<u64>,
    pub(super) role: Role,
    /// Its place, unless it is dormant.
    pub(super) cursor: Option<u32>,
}

/// A place in a channel.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) channel: Arc<Channel>,
    pub(super) seat: Seat,
}

impl Part {
    pub(super) fn new(pattern: Pattern, replay: Option<u64>) -> Self {
        Self { pattern, replay, role: Role::Dormant, cursor: None }
    }
}

impl Subscription {
    pub(super) fn wishes(&self) -> impl Iterator<Item = Wish<'_>> {
        self.parts.iter().map(|part| Wish {
            pattern: &part.pattern,
            filter: self.filter.as_ref(),
            replays: part.replay.is_some(),
        })
    }
}

impl Session {
    /// Adds a subscription, or puts it in the place of the one of that name. On failure everything is as before.
    pub(super) fn add(&mut self, mut new: Subscription, change: &mut Change<'_>) -> Result<(), Problem> {
        let known = self.index_of(&new.name);
        let limit = self.config().max_subscriptions;
        if known.is_none() && self.subscriptions.len() >= limit {
            return Err(Problem::SubscriptionLimitExceeded { limit });
        }
        self.make_room(&new, known, change)?;
        for part in new.parts.iter().filter(|part| part.pattern.is_exact()) {
            self.enters(part.pattern.text());
        }
        let mut old = None;
        match known {
            Some(index) => {
                new.take_over(&mut self.subscriptions[index]);
                old = Some(std::mem::replace(&mut self.subscriptions[index], new));
            }
            None => {
                self.hub.counters().subscribed();
                self.subscriptions.push(new);
            }
        }
        // Its places are free for the new one.
        if let Some(old) = old {
            self.give_up(&old, true, change);
        }
        self.settle(change);
        Ok(())
    }

    /// Ends the subscription of that name; `false` when there is none.
    pub(super) fn remove(&mut self, name: &str, change: &mut Change<'_>) -> bool {
        let Some(index) = self.index_of(name) else { return false };
        let subscription = self.subscriptions.remove(index);
        self.hub.counters().unsubscribed();
        self.give_up(&subscription, true, change);
        self.settle(change);
        true
    }

    /// Ends all subscriptions; for a session that is over.
    pub(super) fn leave_all(&mut self) {
        if self.subscriptions.is_empty() {
            return;
        }
        let hub = self.hub.clone();
        let mut change = hub.channels().change(self.now);
        for subscription in std::mem::take(&mut self.subscriptions) {
            hub.counters().unsubscribed();
            self.give_up(&subscription, false, &mut change);
        }
    }

    /// Takes and gives up places as the subscriptions now want it.
    pub(super) fn settle(&mut self, change: &mut Change<'_>) {
        let mut roles = self.roles().into_iter();
        for index in 0..self.subscriptions.len() {
            for part in 0..self.subscriptions[index].parts.len() {
                let Some(role) = roles.next() else { return };
                if self.subscriptions[index].parts[part].role != role {
                    self.turn(index, part, role, change);
                }
            }
        }
    }

    /// As [`Session::settle`], when a subscription is through with the past.
    pub(super) fn settle_after_replay(&mut self, cursor: u32) {
        let mut parts = self.subscriptions.iter_mut().flat_map(|subscription| &mut subscription.parts);
        if let Some(part) = parts.find(|part| part.cursor == Some(cursor)) {
            part.replay = None;
        }
        let parts = self.subscriptions.iter().flat_map(|subscription| &subscription.parts);
        // Usually nothing changes.
        if !self.roles().iter().eq(parts.map(|part| &part.role)) {
            let hub = self.hub.clone();
            self.settle(&mut hub.channels().change(self.now));
        }
    }

    /// How the place of that name gets its events.
    pub(super) fn joining_of(&self, cursor: u32) -> Option<Joining> {
        self.subscriptions.iter().find_map(|subscription| {
            let part = subscription.parts.iter().find(|part| part.cursor == Some(cursor))?;
            Some(self.joining(subscription, &part.role, cursor))
        })
    }

    /// What a subscription wants of remembered events.
    pub(super) fn wanted(&self, subscription: &Subscription) -> Wanted {
        let is_personal = self.dialect().traits().personal;
        let name = is_personal.then(|| subscription.name.clone());
        Wanted { filter: subscription.filter.clone(), subscription: name }
    }

    /// Tells the hub which of its user's events this session wants.
    pub(super) fn publish_interests(&self) {
        if self.user().is_none() {
            return;
        }
        let interests = self.subscriptions.iter().flat_map(|subscription| {
            subscription.parts.iter().map(|part| Interest {
                subscription: subscription.name.clone(),
                pattern: part.pattern.clone(),
                filter: subscription.filter.clone(),
            })
        });
        *self.member.interests() = interests.collect();
    }

    pub(super) fn index_of(&self, name: &str) -> Option<usize> {
        self.subscriptions.iter().position(|subscription| *subscription.name == *name)
    }

    fn roles(&self) -> Vec<Role> {
        let wishes: Vec<_> = self.subscriptions.iter().flat_map(Subscription::wishes).collect();
        plan::roles(&wishes, self.dialect().traits().personal)
    }

    /// Makes the channels that a new subscription needs. Where another one gets all of its events, it needs none.
    fn make_room(&self, new: &Subscription, known: Option<usize>, change: &mut Change<'_>) -> Result<(), Problem> {
        let mut wishes = Vec::new();
        let mut own = 0;
        for (index, subscription) in self.subscriptions.iter().enumerate() {
            if known == Some(index) {
                own = wishes.len();
                wishes.extend(new.wishes());
            } else {
                wishes.extend(subscription.wishes());
            }
        }
        if known.is_none() {
            own = wishes.len();
            wishes.extend(new.wishes());
        }
        let roles = plan::roles(&wishes, self.dialect().traits().personal);
        let given_up = |pattern: &Pattern| {
            let parts = known.into_iter().flat_map(|index| &self.subscriptions[index].parts);
            parts.filter(|part| part.cursor.is_some() && part.pattern == *pattern).count()
        };
        let parts = new.parts.iter().zip(&roles[own..]).filter(|(_, role)| **role != Role::Dormant);
        let made: Result<Vec<_>, _> =
            parts.map(|(part, _)| change.channel(&part.pattern, given_up(&part.pattern))).collect();
        made.map(drop).inspect_err(|_| new.parts.iter().for_each(|part| change.tidy_named(&part.pattern)))
    }

    /// Gives a part its role.
    fn turn(&mut self, index: usize, part: usize, role: Role, change: &mut Change<'_>) {
        let subscription = &self.subscriptions[index];
        let Part { pattern, replay, cursor, .. } = &subscription.parts[part];
        let (pattern, replay, cursor) = (pattern.clone(), *replay, *cursor);
        let goes_on = replay.is_some() && cursor.is_some();
        if !goes_on {
            // The new place first: a channel that nobody is in is removed.
            let taken = match role {
                Role::Dormant => None,
                _ => match change.channel(&pattern, usize::from(cursor.is_some())) {
                    Ok(channel) => Some(self.enter(channel, index, replay, &role)),
                    // It stays as it is, and the next change tries again.
                    Err(problem) => return self.refuse(&problem, None),
                },
            };
            self.subscriptions[index].parts[part].cursor = taken;
            if let Some(cursor) = cursor {
                let wanted = self.wanted(&self.subscriptions[index]);
                self.vacate(cursor, Some(&wanted), change);
            }
        }
        self.subscriptions[index].parts[part].role = role;
    }

    fn enter(&mut self, channel: Arc<Channel>, index: usize, replay: Option<u64>, role: &Role) -> u32 {
        let cursor = self.cursors.vacant_key() as u32;
        let seat = match replay {
            Some(next) => {
                self.ready.push_back(cursor);
                channel.begin_replay(self.member.mailbox.clone(), next)
            }
            None => channel.join(self.joining(&self.subscriptions[index], role, cursor)),
        };
        self.cursors.insert(Cursor { channel, seat });
        cursor
    }

    fn joining(&self, subscription: &Subscription, role: &Role, cursor: u32) -> Joining {
        let mailbox = self.member.mailbox.clone();
        let matching = |before: &Before| {
            let (wanted, before) = (self.wanted(subscription), before.clone());
            Joining::Matching(Matched { mailbox: mailbox.clone(), wanted, before })
        };
        match role {
            Role::Matching(before) => matching(before),
            // What is read has no place of its own.
            Role::Dormant | Role::Reading if self.placing == Placing::Told => matching(&None),
            Role::Dormant | Role::Reading => Joining::Reading { mailbox, cursor, framing: self.framing.clone() },
        }
    }

    /// Leaves the places of a subscription that is no longer in force. What has come there is kept where another
    /// subscription wants it as well.
    fn give_up(&mut self, old: &Subscription, is_going_on: bool, change: &mut Change<'_>) {
        let wanted = self.wanted(old);
        for part in &old.parts {
            if let Some(cursor) = part.cursor {
                let keeps = is_going_on && self.is_wanted_still(old, part);
                self.vacate(cursor, keeps.then_some(&wanted), change);
            }
            if part.pattern.is_exact() {
                self.exits(part.pattern.text());
            }
        }
    }

    fn is_wanted_still(&self, old: &Subscription, left: &Part) -> bool {
        self.subscriptions.iter().any(|subscription| {
            let is_same = subscription.name == old.name;
            subscription.parts.iter().any(|part| {
                let overlaps = part.pattern.covers(&left.pattern) || left.pattern.covers(&part.pattern);
                // One that begins with the past is told what is left here.
                overlaps && !(is_same && (part.replay.is_some() || left.replay.is_some()))
            })
        })
    }

    /// Leaves a place; what has come there is kept if it is wanted.
    fn vacate(&mut self, cursor: u32, wanted: Option<&Wanted>, change: &mut Change<'_>) {
        let Some(Cursor { channel, seat }) = self.cursors.try_remove(cursor as usize) else { return };
        match (seat, wanted) {
            (Seat::Reader(seat), Some(_)) => self.keep_unread(&channel, seat, change),
            (Seat::Replay(seat), Some(wanted)) => self.keep_replay(&channel, seat, wanted, change),
            _ => {}
        }
        channel.leave(seat);
        change.tidy(&channel);
    }

    /// What a reader has not read waits with the session's own texts from now on.
    fn keep_unread(&mut self, channel: &Arc<Channel>, seat: u32, change: &Change<'_>) {
        let room = if self.singly { 0 } else { usize::MAX };
        let (mut chunks, mut events) = (Vec::new(), 0);
        loop {
            let read = channel.read(seat, room, change.now, &mut chunks);
            if read.too_slow {
                self.over.get_or_insert(Ending::TooSlow);
                return;
            }
            events += read.events;
            self.tell_missed(channel.name(), read.missed + read.missed_behind);
            if read.idle {
                break;
            }
        }
        if events > 0 {
            let content = Content::Framed { chunks: chunks.into(), events };
            let event = Event { channel: channel.name().clone(), key: 0, number: None, at: change.now, content };
            self.member.mailbox.keep(event, &channel.retention());
        }
    }

    /// The same for what is left of the past.
    fn keep_replay(&mut self, channel: &Arc<Channel>, seat: u32, wanted: &Wanted, change: &Change<'_>) {
        let mut events = Vec::new();
        let missed =
            channel.rest_of_replay(seat, change.now, |kept| events.extend(wanted.remembered(channel.name(), kept)));
        self.tell_missed(channel.name(), missed);
        let retention = channel.retention();
        events.into_iter().for_each(|event| self.member.mailbox.keep(event, &retention));
    }
}

impl Subscription {
    /// Takes the places of the one it replaces that are as it wants them.
    fn take_over(&mut self, old: &mut Self) {
        if self.filter != old.filter {
            return;
        }
        for part in self.parts.iter_mut().filter(|part| part.replay.is_none()) {
            if let Some(same) = old.parts.iter_mut().find(|same| same.pattern == part.pattern && same.cursor.is_some())
            {
                part.cursor = same.cursor.take();
                part.role = std::mem::replace(&mut same.role, Role::Dormant);
                part.replay = same.replay;
            }
        }
    }
}
