//! A driver: clients that are carried out by hand, and a clock that stands still until it is told.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use eventflux_core::metrics::Metrics;
use eventflux_gateway::auth::{Grants, Identity};
use eventflux_gateway::dialects;
use eventflux_gateway::{
    Accepts, Address, Arrival, Authenticated, Effect, Ending, Framed, Framing, FullPolicy, HistoryLimits, Hub,
    HubConfig, Inbound, Origin, Outgoing, Pattern, Problem, Publication, Published, QueueLimits, Retention, Session,
    SharedFraming,
};
use serde_json::Value;

/// Bytes of a transmission, unless a test says how many.
pub(crate) const ROOM: usize = 64 * 1024;

/// The epoch of all histories here.
pub(crate) const EPOCH: &str = "epoch-1";

/// A hub, and the time it is.
pub(crate) struct World {
    pub(crate) hub: Arc<Hub>,
    pub(crate) metrics: Metrics,
    pub(crate) retention: RefCell<Retention>,
    framing: SharedFraming,
    texts: SharedFraming,
    now: Rc<Cell<Instant>>,
}

/// Who a token stands for.
pub(crate) type Judge = Box<dyn FnMut(&str) -> Result<Authenticated, Problem>>;

/// A connection and its driver.
pub(crate) struct Client {
    pub(crate) session: Session,
    /// Messages for the pipeline.
    pub(crate) delivered: Vec<Inbound>,
    /// Who a token stands for.
    pub(crate) authenticate: Judge,
    /// Whether a channel may be subscribed to.
    pub(crate) authorize: Box<dyn FnMut(&Pattern) -> bool>,
    /// Why the session ended.
    pub(crate) ended: Option<Ending>,
    heard: VecDeque<Outgoing>,
    now: Rc<Cell<Instant>>,
}

/// Texts with their length in front.
#[derive(Debug)]
pub(crate) struct Plain;

impl Framing for Plain {
    fn frame(&self, message: &Framed<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&u32::try_from(message.text.len()).unwrap().to_be_bytes());
        out.extend_from_slice(message.text);
    }
}

/// Texts as they are, for drivers that want them one by one.
#[derive(Debug)]
struct Texts;

impl Framing for Texts {
    fn frame(&self, message: &Framed<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(message.text);
    }
}

/// A waker, and how often it was woken.
pub(crate) fn bell() -> (Waker, Arc<AtomicUsize>) {
    struct Bell(Arc<AtomicUsize>);
    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let rung = Arc::new(AtomicUsize::new(0));
    (Waker::from(Arc::new(Bell(rung.clone()))), rung)
}

/// The texts of framed bytes.
pub(crate) fn split(mut bytes: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some((length, rest)) = bytes.split_at_checked(4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        texts.push(String::from_utf8(rest[..length].to_vec()).unwrap());
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "framed bytes end between two messages");
    texts
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn queue(bytes: usize, full: FullPolicy) -> QueueLimits {
    QueueLimits { bytes, full, ..QueueLimits::default() }
}

pub(crate) fn history(events: usize) -> Option<HistoryLimits> {
    Some(HistoryLimits { events, bytes: usize::MAX, age: seconds(3600) })
}

pub(crate) fn identity(user: Option<&str>, grants: Grants) -> Authenticated {
    let identity = Identity { user: user.map(Arc::from), grants: Arc::new(grants), expires: None };
    Authenticated { identity, expires: None }
}

/// May subscribe and publish to these.
pub(crate) fn grants(patterns: &[&str]) -> Grants {
    let patterns: Vec<_> = patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
    Grants { subscribe: Some(patterns.clone()), publish: Some(patterns) }
}

impl World {
    pub(crate) fn new(dialect: &str, config: HubConfig) -> Self {
        let metrics = Metrics::default();
        let epoch = if config.shared { "" } else { EPOCH };
        let origin = Origin { path: "/ws", metrics: &metrics, epoch };
        let hub = Hub::new(dialects::named(dialect).unwrap(), config, &origin);
        hub.accept(Accepts { kinds: Vec::new(), any: true });
        Self {
            hub,
            metrics,
            retention: RefCell::default(),
            framing: SharedFraming::new(Plain),
            texts: SharedFraming::new(Texts),
            now: Rc::new(Cell::new(Instant::now())),
        }
    }

    pub(crate) fn events() -> Self {
        Self::new("events", HubConfig::default())
    }

    /// A hub whose channels keep all of their past, and the latest event of each key.
    pub(crate) fn with_history(dialect: &str) -> Self {
        let world = Self::new(dialect, HubConfig::default());
        *world.retention.borrow_mut() =
            Retention { history: history(1000), snapshot_keys: Some(100), ..Retention::default() };
        world
    }

    /// The same, with a log that other hubs read as well, and that has just begun.
    pub(crate) fn of_log(dialect: &str) -> Self {
        let world = Self::new(dialect, HubConfig { shared: true, presence: true, ..HubConfig::default() });
        *world.retention.borrow_mut() =
            Retention { history: history(1000), snapshot_keys: Some(100), ..Retention::default() };
        world.hub.begin(EPOCH, 0);
        world
    }

    /// An entry of the log comes: events of one channel, each with a key or none.
    pub(crate) fn apply<P: ToString>(&self, sequence: u64, channel: &str, payloads: impl IntoIterator<Item = P>) {
        let payloads: Vec<_> = payloads.into_iter().map(|payload| payload.to_string()).collect();
        let to = Address::Channel(channel);
        let events = payloads.iter().map(|payload| Publication {
            to,
            payload: payload.as_bytes(),
            binary: false,
            key: Some(payload).filter(|_| channel.starts_with("keyed")).map(|payload| &payload[..1]),
            correlation: None,
        });
        let retention = self.retention.borrow().clone();
        self.hub.apply(&retention, sequence, events, (self.now(), 0), |result| assert!(result.is_ok()));
    }

    pub(crate) fn slow(self, queue: QueueLimits) -> Self {
        self.retention.borrow_mut().queue = queue;
        self
    }

    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }

    pub(crate) fn arrival(&self, identity: Option<Authenticated>) -> Arrival {
        Arrival {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            identity,
            framing: self.framing.clone(),
            singly: false,
            subscriptions: Vec::new(),
        }
    }

    /// A client that may do everything, and whose driver wants texts, one by one.
    pub(crate) fn client_of_texts(&self) -> Client {
        let mut arrival = self.arrival(Some(identity(None, Grants::everything())));
        (arrival.singly, arrival.framing) = (true, self.texts.clone());
        self.arrive(arrival).unwrap()
    }

    pub(crate) fn arrive(&self, arrival: Arrival) -> Result<Client, Ending> {
        let session = self.hub.connect(arrival, self.now())?;
        Ok(Client {
            session,
            delivered: Vec::new(),
            authenticate: Box::new(|_| Err(Problem::AuthenticationFailed("Invalid credentials".to_owned()))),
            authorize: Box::new(|_| true),
            ended: None,
            heard: VecDeque::new(),
            now: self.now.clone(),
        })
    }

    /// A client that may do everything.
    pub(crate) fn client(&self) -> Client {
        self.user(None, Grants::everything())
    }

    pub(crate) fn user(&self, user: Option<&str>, grants: Grants) -> Client {
        let mut client = self.arrive(self.arrival(Some(identity(user, grants)))).unwrap();
        client.hear();
        client
    }

    /// A client that is subscribed, and was told so.
    pub(crate) fn subscriber(&self, channels: &[&str]) -> Client {
        let mut client = self.client();
        client.subscribe(channels);
        client.hear();
        client
    }

    /// Returns for how many it was.
    pub(crate) fn publish(&self, channel: &str, payload: impl ToString) -> usize {
        self.publish_event(channel, &payload.to_string(), None)
    }

    pub(crate) fn publish_key(&self, channel: &str, key: &str, payload: impl ToString) -> usize {
        self.publish_event(channel, &payload.to_string(), Some(key))
    }

    pub(crate) fn publish_to(&self, to: Address<'_>, payload: &str) -> Result<Published, Problem> {
        self.publication(Publication { to, payload: payload.as_bytes(), binary: false, key: None, correlation: None })
    }

    pub(crate) fn publication(&self, event: Publication<'_>) -> Result<Published, Problem> {
        let mut published = None;
        self.hub.publish(&self.retention.borrow(), [event], self.now(), 0, |result| published = Some(result));
        published.unwrap()
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        self.metrics.samples().iter().filter(|sample| sample.name == name).map(|sample| sample.value).sum()
    }

    fn publish_event(&self, channel: &str, payload: &str, key: Option<&str>) -> usize {
        let to = Address::Channel(channel);
        let event = Publication { to, payload: payload.as_bytes(), binary: false, key, correlation: None };
        self.publication(event).unwrap().delivered
    }
}

impl Client {
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// Sends a message to the hub, and carries out what follows.
    pub(crate) fn say(&mut self, message: impl ToString) {
        self.send(message.to_string().as_bytes(), false);
    }

    pub(crate) fn send(&mut self, message: &[u8], binary: bool) {
        let received = self.session.receive(&Bytes::copy_from_slice(message), binary, self.now.get());
        self.note(received);
        self.carry_out();
    }

    /// In the protocols "events" and "channels".
    pub(crate) fn subscribe(&mut self, channels: &[&str]) {
        match self.session.hub().dialect().name() {
            "channels" => self.say(serde_json::json!({"type": "subscribe", "data": {"channels": channels}})),
            _ => self.say(serde_json::json!({"type": "subscribe", "events": channels})),
        }
    }

    pub(crate) fn unsubscribe(&mut self, channels: &[&str]) {
        match self.session.hub().dialect().name() {
            "channels" => self.say(serde_json::json!({"type": "unsubscribe", "data": {"channels": channels}})),
            _ => self.say(serde_json::json!({"type": "unsubscribe", "events": channels})),
        }
    }

    /// What became of the effects.
    pub(crate) fn carry_out(&mut self) {
        while let Some(effect) = self.session.next_effect() {
            match effect {
                Effect::Deliver(inbound) => self.delivered.push(inbound),
                Effect::Authenticate(token) => {
                    let result = (self.authenticate)(token.expose());
                    let result = self.session.authenticated(result);
                    self.note(result);
                }
                Effect::Authorize(patterns) => {
                    let allowed: Vec<_> = patterns.iter().map(|pattern| (self.authorize)(pattern)).collect();
                    self.session.authorized(&allowed, self.now.get());
                }
            }
        }
    }

    pub(crate) fn timers(&mut self) {
        let result = self.session.timers(self.now.get());
        self.note(result);
    }

    /// The connection has room once.
    pub(crate) fn transmit(&mut self, room: usize) -> usize {
        let mut out = Vec::new();
        let result = self.session.transmit(self.now.get(), room, &mut out);
        self.note(result);
        self.session.flushed();
        let bytes = out.iter().map(Outgoing::len).sum();
        self.heard.extend(out);
        self.carry_out();
        bytes
    }

    /// The connection has room until nothing is left; gives all texts that were not given before.
    pub(crate) fn hear_texts(&mut self) -> Vec<String> {
        self.hear_outgoing().iter().flat_map(texts).collect()
    }

    pub(crate) fn hear_outgoing(&mut self) -> Vec<Outgoing> {
        for _ in 0..1_000_000 {
            self.transmit(ROOM);
            if !self.session.has_more() || self.ended.is_some() {
                return self.heard.drain(..).collect();
            }
        }
        panic!("there is no end to what is to be sent");
    }

    /// What was transmitted and not looked at yet.
    pub(crate) fn heard(&mut self) -> Vec<Value> {
        let heard: Vec<_> = self.heard.drain(..).collect();
        heard.iter().flat_map(texts).map(|text| serde_json::from_str(&text).unwrap()).collect()
    }

    pub(crate) fn hear(&mut self) -> Vec<Value> {
        let texts = self.hear_texts();
        texts.iter().map(|text| serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"))).collect()
    }

    /// Types of the messages.
    pub(crate) fn hear_types(&mut self) -> Vec<String> {
        self.hear().iter().map(|message| message["type"].as_str().unwrap().to_owned()).collect()
    }

    /// Payloads of events, which are numbers; nothing else is expected.
    pub(crate) fn hear_numbers(&mut self) -> Vec<u64> {
        let heard = self.hear();
        heard.iter().map(|message| message["data"].as_u64().unwrap_or_else(|| panic!("{message}"))).collect()
    }

    fn note(&mut self, result: Result<(), Ending>) {
        if let Err(ending) = result {
            self.ended.get_or_insert(ending);
        }
    }
}

/// What a client was told of a flow of numbered events.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) numbers: Vec<u64>,
    pub(crate) missed: u64,
}

/// Numbers and losses of messages of the protocol "events".
pub(crate) fn flow(messages: &[Value]) -> Flow {
    let mut flow = Flow::default();
    for message in messages {
        match message["data"].as_u64().or(message["data"]["n"].as_u64()) {
            Some(number) => flow.numbers.push(number),
            None => flow.missed += message["data"]["missed"].as_u64().unwrap_or_else(|| panic!("{message}")),
        }
    }
    flow
}

fn texts(outgoing: &Outgoing) -> Vec<String> {
    match outgoing {
        Outgoing::Framed(bytes) => split(bytes),
        Outgoing::Message { text, .. } => vec![String::from_utf8(text.to_vec()).unwrap()],
    }
}
