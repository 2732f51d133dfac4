//! One connection, as the protocol sees it: who it is, what it subscribed to, what it asked, and what it is told.
//!
//! A driver owns it: it hands over what the client sends, carries out [`Effect`]s, sends what [`Session::transmit`]
//! gives when the connection has room, and calls [`Session::timers`] at [`Session::deadline`].

mod exchange;
mod rate;
mod receive;
mod requests;
mod subscribe;
mod transmit;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use slab::Slab;

pub use self::exchange::{Arrival, Authenticated, Effect, Inbound, Outgoing};
use self::rate::Window;
use self::requests::Requests;
use self::subscribe::{Cursor, Subscription};
use self::transmit::Gathering;
use crate::auth::Identity;
use crate::dialects::{Dialect, Reply, Subscribe};
use crate::hub::{Hub, HubConfig, Item, Member, Post, SharedFraming};
use crate::{Ending, Problem};

/// See the module. Dropping it ends it.
#[derive(Debug)]
pub struct Session {
    hub: Arc<Hub>,
    member: Arc<Member>,
    state: State,
    framing: SharedFraming,
    singly: bool,
    /// Whether the driver wants to know where events are in their histories: then each is a message of its own.
    placed: bool,
    subscriptions: Vec<Subscription>,
    cursors: Slab<Cursor>,
    /// What was taken out of the mailbox; items that are here go first.
    post: Post,
    /// Bytes of replies that wait.
    reply_bytes: usize,
    effects: VecDeque<Effect>,
    /// Messages that the driver has and did not send yet.
    unsent: u64,
    requests: Requests,
    rate: Window,
    gathering: Gathering,
    /// Of the [`Effect::Authenticate`] that is under way: the client's name for it.
    authenticating: Option<Option<String>>,
    /// What waits for [`Effect::Authorize`].
    authorizing: Option<Box<Subscribe>>,
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
            placed: false,
            subscriptions: Vec::new(),
            cursors: Slab::new(),
            post: Post::default(),
            reply_bytes: 0,
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
        let id = self.id();
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
                self.reply(&Reply::NotAuthenticated { problem: &problem, correlation: correlation.as_deref() });
                return Ok(());
            }
        };
        let is_new = matches!(self.state, State::Unknown { .. });
        let user = authenticated.identity.user.clone();
        let (session, correlation) = (id.as_str(), correlation.as_deref());
        self.reply(&Reply::Authenticated { session, user: user.as_deref(), correlation });
        if is_new {
            return self.open(authenticated);
        }
        self.state = State::Open(authenticated);
        self.take_place_of_user()
    }

    /// When [`Session::timers`] is to be called, if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let state = match &self.state {
            // Who decides may take longer.
            State::Unknown { by } => self.authenticating.is_none().then_some(*by),
            State::Open(authenticated) => authenticated.expires,
        };
        [state, self.requests.deadline(), self.gathering.deadline()].into_iter().flatten().min()
    }

    /// Sees to what is due.
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
        Ok(())
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
        self.post.shrink();
        self.effects.shrink_to_fit();
        self.requests.shrink();
    }

    /// Who is woken when there is something to transmit; `true` when there is something already.
    #[must_use]
    pub fn register(&self, waker: &Waker) -> bool {
        let waiting = self.member.mailbox.register(waker);
        waiting || !self.post.is_empty()
    }

    /// Why it ends, when it was ended from outside: [`Session::transmit`] says so too, after what is to be sent before.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        self.post.ending.or_else(|| self.member.mailbox.ending())
    }

    fn open(&mut self, authenticated: Authenticated) -> Result<(), Ending> {
        let user = authenticated.identity.user.clone();
        self.state = State::Open(authenticated);
        self.take_place_of_user()?;
        let id = self.id();
        self.reply(&Reply::Welcome { session: &id, user: user.as_deref() });
        Ok(())
    }

    /// Counts among the user's connections.
    fn take_place_of_user(&self) -> Result<(), Ending> {
        let limit = self.config().max_connections_per_user;
        self.user().map_or(Ok(()), |user| self.hub.directory().is_user(&self.member, user, limit))
    }

    fn dialect(&self) -> &'static dyn Dialect {
        self.hub.dialect()
    }

    fn config(&self) -> &HubConfig {
        self.hub.config()
    }

    /// Tells the client, where the protocol has words for it.
    fn reply(&mut self, reply: &Reply<'_>) {
        let Some(text) = self.dialect().reply(reply) else { return };
        self.reply_bytes += text.len();
        if self.reply_bytes > self.config().max_reply_bytes {
            // A client that asks and does not read.
            self.post.ending.get_or_insert(Ending::TooSlow);
            return;
        }
        self.post.items.push_back(Item::reply(text));
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
