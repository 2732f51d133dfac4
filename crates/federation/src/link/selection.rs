//! Which events a peer gets, and how fast.

use std::time::Instant;

use eventflux_gateway::filter::{Document, Filter};
use uuid::Uuid;

use super::Routing;
use super::methods::{Code, Refusal};
use crate::Now;
use crate::rate::{Limit, Meter};

/// Subscriptions that a peer may have at once.
pub(super) const MAX_SUBSCRIPTIONS: usize = 64;

/// What a peer has asked for by its requests; everything, when it has asked for nothing.
#[derive(Debug)]
pub(crate) struct Selection {
    subscriptions: Vec<Subscription>,
    routing: Routing,
    limit: Limit,
    /// By `backpressure`.
    asked: Option<f64>,
    /// By `announce`.
    announced: Option<f64>,
    sent: Meter,
    now: Instant,
}

/// Events that the filter matches, of these streams; where there is none, of all.
#[derive(Debug)]
struct Subscription {
    id: String,
    filter: Option<Filter>,
    streams: Option<Vec<String>>,
}

impl Selection {
    pub(super) fn new(now: Now) -> Self {
        Self {
            subscriptions: Vec::new(),
            routing: Routing::default(),
            limit: Limit::default(),
            asked: None,
            announced: None,
            sent: Meter::new(now.at),
            now: now.at,
        }
    }

    /// Whether the peer gets an event of `stream`.
    pub(crate) fn wants(&self, stream: &str, payload: &[u8]) -> bool {
        if self.subscriptions.is_empty() && self.routing.is_open() {
            return true;
        }
        let document = Document::new(payload);
        let is_subscribed = self.subscriptions.is_empty()
            || self.subscriptions.iter().any(|subscription| subscription.wants(stream, &document));
        is_subscribed && (self.routing.is_open() || self.routing.admits(stream, &document))
    }

    /// Time passes, whether there is anything to send or not.
    pub(super) fn pass(&mut self, now: Now) {
        self.allowance(now);
    }

    /// How many events may be sent now.
    pub(crate) fn allowance(&mut self, now: Now) -> u64 {
        self.now = now.at;
        self.limit.allowance(now.at)
    }

    /// So many were sent.
    pub(crate) fn spend(&mut self, events: u64) {
        if events > 0 {
            self.limit.spend(events);
            self.sent.add(events, self.now);
        }
    }

    /// When more may be sent, if that is what is waited for.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.limit.deadline()
    }

    /// Events sent to the peer.
    pub(super) fn meter(&self) -> &Meter {
        &self.sent
    }

    /// The limit that holds.
    pub(super) fn per_second(&self) -> Option<f64> {
        self.limit.per_second()
    }

    /// The peer asks for so many events per second at most.
    pub(super) fn limit(&mut self, per_second: Option<f64>, now: Now) {
        self.asked = per_second;
        self.adjust(now);
    }

    /// The peer says what it can take. Whether that changes what it gets.
    pub(super) fn announce(&mut self, routing: Routing, max_rate: Option<f64>, now: Now) -> bool {
        let before = self.per_second();
        self.announced = max_rate;
        self.adjust(now);
        let is_new = self.routing != routing || before != self.per_second();
        self.routing = routing;
        is_new
    }

    /// The peer wants these events too: the id of the subscription.
    pub(super) fn subscribe(
        &mut self,
        filter: Option<Filter>,
        streams: Option<Vec<String>>,
    ) -> Result<String, Refusal> {
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            let message = format!("a connection has at most {MAX_SUBSCRIPTIONS} subscriptions; 'unsubscribe' ends one");
            return Err(Refusal::new(Code::Limit, message));
        }
        let id = format!("sub-{}", Uuid::new_v4());
        self.subscriptions.push(Subscription { id: id.clone(), filter, streams });
        Ok(id)
    }

    /// Whether there was a subscription of that id.
    pub(super) fn unsubscribe(&mut self, id: &str) -> bool {
        let before = self.subscriptions.len();
        self.subscriptions.retain(|subscription| subscription.id != id);
        self.subscriptions.len() < before
    }

    /// The smaller one of both limits holds.
    fn adjust(&mut self, now: Now) {
        let limits = self.asked.into_iter().chain(self.announced);
        let smallest = limits.reduce(f64::min);
        if smallest != self.limit.per_second() {
            self.limit.set(smallest, now.at);
        }
    }
}

impl Subscription {
    fn wants(&self, stream: &str, document: &Document<'_>) -> bool {
        let is_named = self.streams.as_ref().is_none_or(|streams| streams.iter().any(|name| name == stream));
        is_named && self.filter.as_ref().is_none_or(|filter| filter.matches(document))
    }
}
