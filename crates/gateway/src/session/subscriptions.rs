//! What a session is subscribed to.

use std::sync::Arc;

use super::Session;
use super::plan::{self, Role, Wish};
use crate::filter::Filter;
use crate::hub::{Change, Interest};
use crate::{Pattern, Problem};

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
    /// Behind which event it is told the past, until it is through with that.
    pub(super) replay: Option<u64>,
    pub(super) role: Role,
    /// Its place, unless it is dormant.
    pub(super) cursor: Option<u32>,
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
