//! One connection, as the protocol sees it: who it is, what it subscribed to, what it asked, and what it is told.
//!
//! A driver owns it: it hands over what the client sends, carries out [`Effect`]s, sends what [`Session::transmit`]
//! gives when the connection has room, and calls [`Session::timers`] at [`Session::deadline`].

mod direct;
mod exchange;
mod gathering;
mod places;
mod plan;
mod presence;
mod rate;
mod receive;
mod requests;
mod subscribe;
mod subscriptions;
mod transmit;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use slab::Slab;

pub use self::exchange::{Arrival, Authenticated, Effect, Inbound, Outgoing, Placing};
use self::gathering::Gathering;
use self::places::Cursor;
use self::rate::Window;
use self::requests::Requests;
use self::subscribe::Asked;
use self::subscriptions::Subscription;
use crate::auth::Identity;
use crate::dialects::{Dialect, Reply};
use crate::hub::{Hub, HubConfig, Item, Member, SharedFraming};
use crate::{Ending, Problem};

/// See the module. Dropping it ends it.
#[derive(Debug)]
pub struct Session {
    hub: Arc<Hub>,
    member: Arc<Member>,
    state: State,
    framing: SharedFraming,
    singly: bool,
    placing: Placing,
    subscriptions: Vec<Subscription>,
    cursors: Slab<Cursor>,
    /// Cursors that have something to read.
    ready: VecDeque<u32>,
    /// What was taken out of the mailbox; it goes before what is still there.
    items: VecDeque<Item>,
    /// Why it is to end.
    over: Option<Ending>,
    effects: VecDeque<Effect>,
    /// Messages that the driver has and did not send yet.
    unsent: u64,
    requests: Requests,
    rate: Window,
    gathering: Gathering,
    /// Of the [`Effect::Authenticate`] that is under way: the client's name for it.
    authenticating: Option<Option<String>>,
    /// What waits for [`Effect::Authorize`].
    authorizing: Option<Box<Asked>>,
    /// The time, as it was last told.
    now: Instant,
}

#[derive(Debug)]
enum State {
    /// Has to authenticate until then.
    Unknown { by: Instant },
    /// May do what the identity may.
    Open(Authenticated),
}

impl Session {
    pub(crate) fn begin(hub: Arc<Hub>, member: Arc<Member>, arrival: Arrival, now: Instant) -> Result<Self, Ending> {
        let by = now + hub.config().authentication.unwrap_or_default();
        let mut session = Self {
            hub,
            member,
            state: State::Unknown { by },
            framing: arrival.framing,
            singly: arrival.singly,
            placing: Placing::default(),
            subscriptions: Vec::new(),
            cursors: Slab::new(),
            ready: VecDeque::new(),
            items: VecDeque::new(),
            over: None,
            effects: VecDeque::new(),
            unsent: 0,
            requests: Requests::default(),
            rate: Window::default(),
            gathering: Gathering::default(),
            authenticating: None,
            authorizing: None,
            now,
        };
        if let Some(authenticated) = arrival.identity {
            session.open(authenticated)?;
            session.subscribe_on_arrival(arrival.subscriptions, now);
        }
        Ok(session)
    }

    /// Its id, unique among all sessions.
    #[must_use]
    pub fn id(&self) -> String {
        self.member.id.to_string()
    }

    /// Who the client is, when that is known.
    #[must_use]
    pub fn user(&self) -> Option<&Arc<str>> {
        self.identity().and_then(|identity| identity.user.as_ref())
    }

    /// Its hub.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// What the client stands for.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        match &self.state {
            State::Open(authenticated) => Some(&authenticated.identity),
            State::Unknown { .. } => None,
        }
    }

    /// The next thing to do for it, if there is one.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// What became of [`Effect::Authenticate`].
    ///
    /// # Errors
    /// When that ends the session.
    pub fn authenticated(&mut self, result: Result<Authenticated, Problem>) -> Result<(), Ending> {
        let correlation = self.authenticating.take().flatten();
        let correlation = correlation.as_deref();
        let result = result.and_then(|authenticated| {
            // Who is somebody stays that; an anonymous client may become somebody.
            let user = self.user();
            let same = user.is_none() || user == authenticated.identity.user.as_ref();
            same.then_some(authenticated).ok_or_else(other_user)
        });
        let authenticated = match result {
            Ok(authenticated) => authenticated,
            Err(problem) => {
                self.hub.counters().error(problem.code());
                self.reply(&Reply::NotAuthenticated { problem: &problem, correlation });
                return self.over.map_or(Ok(()), Err);
            }
        };
        let is_new = matches!(self.state, State::Unknown { .. });
        self.take_place_of_user(&authenticated.identity)?;
        self.state = State::Open(authenticated);
        let (id, user) = (self.id(), self.user().cloned());
        self.reply(&Reply::Authenticated { session: &id, user: user.as_deref(), correlation });
        match is_new {
            true => self.reply(&Reply::Welcome { session: &id, user: user.as_deref() }),
            false => self.cut_subscriptions(self.now),
        }
        self.over.map_or(Ok(()), Err)
    }

    /// When [`Session::timers`] is to be called, if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let state = match &self.state {
            // Whoever finds out who it is has a deadline of its own.
            State::Unknown { .. } if self.authenticating.is_some() => None,
            State::Unknown { by } => Some(*by),
            State::Open(authenticated) => authenticated.expires,
        };
        [state, self.requests.deadline(), self.gathering.deadline()].into_iter().flatten().min()
    }

    /// Sees to what is due. What the client is told is there to transmit, also when the session ends.
    ///
    /// # Errors
    /// When that ends the session.
    pub fn timers(&mut self, now: Instant) -> Result<(), Ending> {
        self.now = now;
        match &self.state {
            State::Unknown { by } if *by <= now && self.authenticating.is_none() => {
                let problem = Problem::AuthenticationTimeout;
                self.fail(&problem, None);
                return Err(Ending::AuthenticationTimeout);
            }
            State::Open(Authenticated { expires: Some(expires), .. }) if *expires <= now => {
                self.fail(&Problem::AuthenticationExpired, None);
                return Err(Ending::AuthenticationExpired);
            }
            _ => {}
        }
        self.expire_requests(now);
        self.ending().map_or(Ok(()), Err)
    }

    /// Sends the protocol's own ping, where it has one.
    pub fn ping(&mut self) {
        if self.dialect().traits().pings {
            self.reply(&Reply::Ping);
        }
    }

    /// Gives memory back that is not needed while nothing happens.
    pub fn shrink(&mut self, now: Instant) {
        if let Some(limit) = &self.hub.config().rate {
            self.rate.shrink(limit, now);
        }
        self.subscriptions.shrink_to_fit();
        self.cursors.shrink_to_fit();
        self.ready.shrink_to_fit();
        self.items.shrink_to_fit();
        self.effects.shrink_to_fit();
        self.member.mailbox.shrink();
    }

    /// Who is woken when there is something to transmit; `true` when there is something already.
    #[must_use]
    pub fn register(&self, waker: &Waker) -> bool {
        let waiting = self.member.mailbox.register(waker);
        waiting || self.has_own()
    }

    /// Why it is to end, whether or not the connection has room for what is to be said before.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        self.over.or_else(|| self.member.mailbox.ending())
    }

    fn open(&mut self, authenticated: Authenticated) -> Result<(), Ending> {
        self.take_place_of_user(&authenticated.identity)?;
        self.state = State::Open(authenticated);
        let (id, user) = (self.id(), self.user().cloned());
        self.reply(&Reply::Welcome { session: &id, user: user.as_deref() });
        Ok(())
    }

    /// Counts among the user's connections.
    fn take_place_of_user(&self, identity: &Identity) -> Result<(), Ending> {
        let Some(user) = &identity.user else { return Ok(()) };
        self.hub.directory().is_user(&self.member, user, self.config().max_connections_per_user)
    }

    /// Whether there is something to transmit that is not in the mailbox.
    fn has_own(&self) -> bool {
        !self.ready.is_empty() || !self.items.is_empty() || self.over.is_some()
    }

    fn dialect(&self) -> &'static dyn Dialect {
        self.hub.dialect()
    }

    fn config(&self) -> &HubConfig {
        self.hub.config()
    }

    /// Tells the client, where the protocol has words for it.
    fn reply(&mut self, reply: &Reply<'_>) {
        if let Some(text) = self.dialect().reply(reply) {
            self.tell(text);
        }
    }

    fn tell(&mut self, text: String) {
        if !self.member.mailbox.reply(text.into(), self.config().max_reply_bytes) {
            // A client that asks and does not read.
            self.over.get_or_insert(Ending::TooSlow);
        }
    }

    fn fail(&mut self, problem: &Problem, correlation: Option<&str>) {
        self.hub.counters().error(problem.code());
        self.reply(&Reply::Failed { problem, correlation });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.leave_all();
        let user = self.user().cloned();
        self.hub.directory().leave(&self.member, user.as_ref());
        self.hub.counters().disconnected();
    }
}

fn other_user() -> Problem {
    Problem::AuthenticationFailed("Invalid credentials".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_small() {
        let bytes = size_of::<Session>();
        assert!(bytes <= 512, "{bytes} bytes for each connection");
    }
}
