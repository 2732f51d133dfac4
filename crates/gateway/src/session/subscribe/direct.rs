//! Subscriptions that the program makes for a client. The client is not told.

use std::time::Instant;

use super::Session;
use crate::Problem;

impl Session {
    /// Whether there is a subscription of that name.
    pub(crate) fn is_subscribed(&self, name: &str) -> bool {
        self.subscriptions.iter().any(|subscription| *subscription.name == *name)
    }

    /// Subscribes to a channel or pattern.
    ///
    /// # Errors
    /// When the client may not, or a limit is reached.
    pub(crate) fn join(&mut self, channel: &str, now: Instant) -> Result<(), Problem> {
        self.now = now;
        let wish = self.wish(channel, None);
        let joined = wish.and_then(|wish| self.add(channel.into(), vec![wish], None, false, now));
        joined.inspect_err(|_| self.hub.counters().subscription_failed())
    }

    /// Ends subscriptions; those that do not exist are passed over.
    pub(crate) fn part(&mut self, names: &[String], now: Instant) {
        self.now = now;
        for name in names {
            self.remove(name, now);
        }
        self.settle_coverage(now);
        self.publish_interests();
    }
}
