//! What clients ask of subscriptions.

use std::sync::Arc;
use std::time::Instant;

use super::subscriptions::{Part, Subscription};
use super::{Effect, Session};
use crate::auth::Verb;
use crate::dialects::{Position, Recovered, Reply, Subscribe, SubscriptionId};
use crate::filter::Filter;
use crate::hub::{Change, Snapshot};
use crate::{Ending, Pattern, Problem};

/// A request, as far as it can be carried out.
#[derive(Debug)]
pub(super) struct Asked {
    subscribe: Subscribe,
    filter: Option<Filter>,
    wishes: Vec<Wish>,
    problems: Vec<Problem>,
}

/// A wish for one channel or pattern that may be granted.
#[derive(Debug)]
pub(super) struct Wish {
    /// As the client wrote it.
    pub(super) pattern: Pattern,
    /// What of it the client's grants allow.
    parts: Vec<Pattern>,
    pub(super) recover: Option<Position>,
}

/// A subscription to be made, and what is to be told of it.
struct Order {
    subscription: Subscription,
    channels: Vec<String>,
    positions: Vec<(String, Recovered)>,
}

impl Session {
    pub(super) fn ask_to_subscribe(&mut self, subscribe: Subscribe, now: Instant) {
        let filter = self.hub.filter(subscribe.fields.as_ref(), subscribe.predicate.as_deref());
        let filter = match filter {
            Ok(filter) => filter,
            Err(problem) => return self.refuse(&problem, subscribe.correlation.as_deref()),
        };
        let mut asked = Asked { filter, wishes: Vec::new(), problems: Vec::new(), subscribe };
        for text in &asked.subscribe.channels {
            let recover = asked.subscribe.recover.iter().find(|(channel, _)| channel == text);
            match self.wish(text, recover.map(|(_, position)| position.clone()), asked.subscribe.snapshot) {
                Ok(wish) => asked.wishes.push(wish),
                Err(problem) => asked.problems.push(problem),
            }
        }
        if self.config().authorizes_subscriptions && !asked.wishes.is_empty() {
            let patterns = asked.wishes.iter().map(|wish| wish.pattern.clone()).collect();
            self.authorizing = Some(Box::new(asked));
            self.effects.push_back(Effect::Authorize(patterns));
        } else {
            self.subscribe(asked, now);
        }
    }

    /// What became of [`Effect::Authorize`], in its order.
    pub fn authorized(&mut self, allowed: &[bool], now: Instant) {
        self.now = now;
        let Some(mut asked) = self.authorizing.take() else { return };
        let mut allowed = allowed.iter();
        let wishes = std::mem::take(&mut asked.wishes).into_iter();
        let (granted, denied): (Vec<_>, Vec<_>) = wishes.partition(|_| allowed.next() == Some(&true));
        asked.wishes = granted;
        asked.problems.extend(denied.iter().map(|wish| self.denied(wish.pattern.text())));
        self.subscribe(*asked, now);
    }

    /// What connecting subscribes to; nobody is told, except of what is missing.
    pub(super) fn subscribe_on_arrival(&mut self, subscriptions: Vec<(Pattern, Option<Position>)>, now: Instant) {
        for (pattern, recover) in subscriptions {
            if let Err(problem) = self.subscribe_to(pattern.text(), recover, now) {
                self.refuse(&problem, None);
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, names: &[String], correlation: Option<&str>, now: Instant) {
        let hub = self.hub.clone();
        let mut change = hub.channels().change(now);
        let (known, unknown): (Vec<_>, Vec<_>) = names.iter().cloned().partition(|name| self.remove(name, &mut change));
        self.publish_interests();
        for name in &unknown {
            self.fail(&Problem::NotSubscribed(name.clone()), correlation);
        }
        // No event comes behind the reply: none is published meanwhile.
        if !known.is_empty() || unknown.is_empty() {
            self.reply(&Reply::Unsubscribed { subscriptions: &known, correlation });
        }
    }

    /// Ends what is beyond the grants that the client has now.
    pub(super) fn cut_subscriptions(&mut self, now: Instant) {
        let Some(grants) = self.identity().map(|identity| identity.grants.clone()) else { return };
        let is_beyond = |part: &Part| grants.cut(Verb::Subscribe, &part.pattern) != [part.pattern.clone()];
        let beyond = self.subscriptions.iter().filter(|subscription| subscription.parts.iter().any(is_beyond));
        let names: Vec<_> = beyond.map(|subscription| subscription.name.to_string()).collect();
        self.part(&names, now);
        for name in &names {
            let problem = self.denied(name);
            self.refuse(&problem, None);
        }
    }

    pub(super) fn refuse(&mut self, problem: &Problem, correlation: Option<&str>) {
        self.hub.counters().subscription_failed();
        self.fail(problem, correlation);
    }

    fn subscribe(&mut self, asked: Asked, now: Instant) {
        let Asked { subscribe, filter, wishes, mut problems } = asked;
        self.carry_out_subscribe(&subscribe, filter.as_ref(), wishes, &mut problems, now);
        problems.iter().for_each(|problem| self.refuse(problem, subscribe.correlation.as_deref()));
    }

    /// Subscribes to what can be, and tells the client.
    pub(super) fn carry_out_subscribe(
        &mut self,
        subscribe: &Subscribe,
        filter: Option<&Filter>,
        wishes: Vec<Wish>,
        problems: &mut Vec<Problem>,
        now: Instant,
    ) {
        let (id, chosen): (Option<Arc<str>>, _) = match &subscribe.id {
            SubscriptionId::Channel => (None, false),
            SubscriptionId::Given(id) => (Some(id.as_str().into()), true),
            SubscriptionId::Ours => (Some(uuid::Uuid::new_v4().to_string().into()), false),
        };
        let hub = self.hub.clone();
        let mut change = hub.channels().change(now);
        let (mut channels, mut positions, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for (name, wishes) in by_name(id.as_ref(), wishes) {
            let order = self.order(name.clone(), filter, wishes, subscribe.snapshot, &change);
            match self.add(order.subscription, &mut change) {
                Ok(()) => {
                    channels.extend(order.channels);
                    positions.extend(order.positions);
                    names.push(name);
                }
                Err(problem) => problems.push(problem),
            }
        }
        self.publish_interests();
        // Before the first event, since none is published meanwhile.
        if !channels.is_empty() {
            let (id, correlation) = (id.as_deref(), subscribe.correlation.as_deref());
            self.reply(&Reply::Subscribed { channels: &channels, id, chosen, positions: &positions, correlation });
        }
        if subscribe.snapshot {
            names.iter().for_each(|name| self.begin_snapshot(name, &change));
        }
    }

    pub(super) fn subscribe_to(
        &mut self,
        channel: &str,
        recover: Option<Position>,
        now: Instant,
    ) -> Result<(), Problem> {
        let wish = self.wish(channel, recover, false)?;
        let hub = self.hub.clone();
        let mut change = hub.channels().change(now);
        let order = self.order(channel.into(), None, vec![wish], false, &change);
        self.add(order.subscription, &mut change)?;
        self.publish_interests();
        Ok(())
    }

    /// What a client wants to receive, as far as it may.
    pub(super) fn wish(&self, text: &str, recover: Option<Position>, snapshot: bool) -> Result<Wish, Problem> {
        let pattern = Pattern::parse(text)?;
        let parts = self.identity().map(|identity| identity.grants.cut(Verb::Subscribe, &pattern)).unwrap_or_default();
        if parts.is_empty() {
            return Err(self.denied(text));
        }
        let what = if recover.is_some() { "recovered" } else { "told its latest events" };
        if (recover.is_some() || snapshot) && !pattern.is_exact() {
            return Err(Problem::Unsupported(format!("'{text}' is a pattern: only a channel can be {what}")));
        }
        Ok(Wish { pattern, parts, recover })
    }

    fn order(
        &self,
        name: Arc<str>,
        filter: Option<&Filter>,
        wishes: Vec<Wish>,
        snapshot: bool,
        change: &Change<'_>,
    ) -> Order {
        let mut order = Order {
            subscription: Subscription { name, filter: filter.cloned(), parts: Box::default() },
            channels: Vec::new(),
            positions: Vec::new(),
        };
        let mut parts = Vec::new();
        for Wish { pattern, parts: granted, recover } in wishes {
            let position = self.position(&pattern, recover.as_ref(), change);
            let complete = position.as_ref().is_some_and(|recovered| recovered.complete == Some(true));
            let recover = recover.filter(|_| complete || !snapshot);
            let replay = recover.and_then(|position| self.replay(&pattern, &position, change));
            parts.extend(granted.into_iter().map(|part| Part::new(part, replay)));
            order.positions.extend(position.map(|position| (pattern.text().to_owned(), position)));
            order.channels.push(pattern.text().to_owned());
        }
        order.subscription.parts = parts.into();
        order
    }

    /// Where the history of a channel is, and whether it has what the client asks for.
    pub(super) fn position(
        &self,
        pattern: &Pattern,
        recover: Option<&Position>,
        change: &Change<'_>,
    ) -> Option<Recovered> {
        let channel = change.find(pattern.text());
        if !pattern.is_exact() || (recover.is_none() && !channel.is_some_and(|channel| channel.has_history())) {
            return None;
        }
        let complete =
            recover.map(|wanted| wanted.epoch == **change.epoch() && change.remembers_since(channel, wanted.offset));
        let position = Position { epoch: change.epoch().to_string(), offset: change.offset(channel) };
        Some(Recovered { position, complete })
    }

    /// Behind which event a channel is replayed; `None` when there is nothing to replay.
    fn replay(&self, pattern: &Pattern, position: &Position, change: &Change<'_>) -> Option<u64> {
        let place = change.place(change.find(pattern.text()), position.offset);
        place.filter(|_| position.epoch == **change.epoch() && pattern.is_exact()).map(|place| place.offset)
    }

    /// Sends the latest events that are there now; what comes is newer.
    fn begin_snapshot(&mut self, name: &str, change: &Change<'_>) {
        let Some(index) = self.index_of(name) else { return };
        let subscription = &self.subscriptions[index];
        for part in subscription.parts.iter().filter(|part| part.replay.is_none()) {
            let Some(channel) = change.find(part.pattern.text()).filter(|channel| channel.has_latest()) else {
                continue;
            };
            let (channel, wanted) = (channel.clone(), self.wanted(subscription));
            let snapshot = Snapshot { next: 0, upto: channel.last(), channel, wanted };
            if !self.member.mailbox.snapshot(snapshot, self.hub.config().max_reply_bytes) {
                self.over.get_or_insert(Ending::TooSlow);
            }
        }
    }
}

/// The subscriptions that are to be: one for each wish, or one of that name.
fn by_name(id: Option<&Arc<str>>, wishes: Vec<Wish>) -> Vec<(Arc<str>, Vec<Wish>)> {
    match id {
        None => wishes.into_iter().map(|wish| (wish.pattern.text().into(), vec![wish])).collect(),
        Some(_) if wishes.is_empty() => Vec::new(),
        Some(id) => vec![(id.clone(), wishes)],
    }
}
