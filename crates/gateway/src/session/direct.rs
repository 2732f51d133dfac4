//! Subscriptions that are not asked for by a message.

use std::time::Instant;

use super::subscribe::Wish;
use super::{Placing, Session};
use crate::Problem;
use crate::dialects::{Position, Recovered, Subscribe};
use crate::hub::Change;

impl Session {
    /// Carries out what the client asked for by the way it connected: all of it, or the session is to be dropped. The client
    /// is told as if it had asked by a message. Returns what became of [`Subscribe::recover`] and where channels with a
    /// history are; one to which nothing was published yet counts as such.
    ///
    /// Whether the client may, beyond its grants, is for the driver to find out before
    /// ([`HubConfig::authorizes_subscriptions`](crate::HubConfig::authorizes_subscriptions)).
    ///
    /// # Errors
    /// The first reason not to.
    pub fn subscribe_on_connect(
        &mut self,
        subscriptions: &[Subscribe],
        placing: Placing,
        now: Instant,
    ) -> Result<Vec<(String, Recovered)>, Problem> {
        (self.now, self.placing) = (now, placing);
        let mut places = Vec::new();
        for subscribe in subscriptions {
            let subscribed = self.subscribe_whole(subscribe, &mut places, now);
            subscribed.inspect_err(|_| self.hub.counters().subscription_failed())?;
        }
        Ok(places)
    }

    /// Whether there is a subscription of that name.
    pub(crate) fn is_subscribed(&self, name: &str) -> bool {
        self.index_of(name).is_some()
    }

    /// Subscribes to a channel or pattern. The client is not told.
    ///
    /// # Errors
    /// When the client may not, or a limit is reached.
    pub(crate) fn join(&mut self, channel: &str, now: Instant) -> Result<(), Problem> {
        self.now = now;
        let joined = self.subscribe_to(channel, None, now);
        joined.inspect_err(|_| self.hub.counters().subscription_failed())
    }

    /// Ends subscriptions; those that do not exist are passed over. The client is not told.
    pub(crate) fn part(&mut self, names: &[String], now: Instant) {
        self.now = now;
        let hub = self.hub.clone();
        let mut change = hub.channels().change(now);
        for name in names {
            self.remove(name, &mut change);
        }
        self.publish_interests();
    }

    fn subscribe_whole(
        &mut self,
        subscribe: &Subscribe,
        places: &mut Vec<(String, Recovered)>,
        now: Instant,
    ) -> Result<(), Problem> {
        let filter = self.hub.filter(subscribe.fields.as_ref(), subscribe.predicate.as_deref())?;
        let mut wishes = Vec::new();
        for text in &subscribe.channels {
            let recover = subscribe.recover.iter().find(|(channel, _)| channel == text);
            let mut wish = self.wish(text, recover.map(|(_, position)| position.clone()), subscribe.snapshot)?;
            let hub = self.hub.clone();
            let change = hub.channels().change(now);
            let has_history = change.find(text).is_some_and(|channel| channel.has_history());
            // Nothing was there, and nothing is kept: then nothing is missing.
            wish.recover = wish.recover.filter(|position| position.offset > 0 || has_history);
            let place = self.position(&wish.pattern, wish.recover.as_ref(), &change);
            let place = place.or_else(|| self.beginning(&wish, &change));
            places.extend(place.map(|place| (text.clone(), place)));
            wishes.push(wish);
        }
        let mut problems = Vec::new();
        self.carry_out_subscribe(subscribe, filter.as_ref(), wishes, &mut problems, now);
        problems.pop().map_or(Ok(()), Err)
    }

    /// The place in front of the first event of a channel to which nothing was published yet.
    fn beginning(&self, wish: &Wish, change: &Change<'_>) -> Option<Recovered> {
        let channel = change.find(wish.pattern.text());
        let is_empty = channel.is_none_or(|channel| channel.is_new());
        let position = Position { epoch: change.epoch().to_string(), offset: change.offset(channel) };
        (wish.pattern.is_exact() && is_empty).then_some(Recovered { position, complete: None })
    }
}
