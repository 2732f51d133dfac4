//! Who is on a channel, and the pipeline's view of coming and going.

use std::time::Instant;

use bytes::Bytes;

use super::{Effect, Inbound, Session};
use crate::Problem;
use crate::auth::Verb;
use crate::dialects::Reply;
use crate::hub::{JOIN, LEAVE};
use crate::pattern::check_name;

/// Members of a channel that are told at a time.
const MAX_PRESENT: usize = 1000;

impl Session {
    /// Ends all subscriptions of a session that is over. The effects that are left, for coming and going are messages
    /// for the pipeline, are to be carried out before it is dropped.
    pub fn leave(&mut self, now: Instant) {
        self.now = now;
        self.leave_all();
    }

    pub(super) fn presence(&mut self, channel: &str, correlation: Option<&str>) {
        if let Err(problem) = self.may_see(channel) {
            return self.fail(&problem, correlation);
        }
        let members = self.hub.directory().present(channel, MAX_PRESENT);
        self.reply(&Reply::Presence { channel, members: &members, correlation });
    }

    /// The session subscribed to a channel.
    pub(super) fn enters(&mut self, channel: &str) {
        if !self.config().presence {
            return;
        }
        let is_new = self.hub.directory().enters(channel, self.member.id, self.user());
        if is_new {
            self.hub.presence_changed(channel);
            self.report(JOIN, channel);
        }
    }

    /// A subscription to a channel ended.
    pub(super) fn exits(&mut self, channel: &str) {
        if !self.config().presence {
            return;
        }
        let was_last = self.hub.directory().exits(channel, self.member.id);
        if was_last {
            self.hub.presence_changed(channel);
            self.report(LEAVE, channel);
        }
    }

    fn may_see(&self, channel: &str) -> Result<(), Problem> {
        check_name(channel)?;
        if !self.config().presence {
            return Err(Problem::Unsupported("presence is not kept here".to_owned()));
        }
        self.allowed(Verb::Subscribe, channel)
    }

    fn report(&mut self, kind: &str, channel: &str) {
        if !self.hub.takes(kind) {
            return;
        }
        let user = self.user().map(|user| &**user);
        let payload = serde_json::json!({"channel": channel, "user": user, "connection": self.id()});
        self.effects.push_back(Effect::Deliver(Inbound {
            kind: kind.to_owned(),
            payload: Bytes::from(payload.to_string()),
            channel: Some(channel.to_owned()),
            correlation: None,
            request: None,
        }));
    }
}
