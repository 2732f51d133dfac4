//! Publishers and sessions on several threads, each session waiting for nothing but its waker.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use eventflux_gateway::auth::Grants;
use eventflux_gateway::{Address, FullPolicy, Hub, HubConfig, Outgoing, Publication, Retention, Session};
use serde_json::{Value, json};

use crate::support::{World, identity, queue, split};

/// A test that waits longer has lost a wake-up.
const PATIENCE: Duration = Duration::from_secs(30);

const PUBLISHERS: u64 = 3;

/// Who a client is, and what it subscribed to.
const GREETINGS: u64 = 2;

/// A publisher that others keep from being stopped comes to an end.
const MOST_EVENTS: u64 = 20_000;

/// Wakes a thread through a channel: what was said before anybody listened is not lost.
struct Bell(mpsc::SyncSender<()>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        // It rings already.
        let _ = self.0.try_send(());
    }
}

/// Drives a session, which wakes it.
struct Driver {
    session: Session,
    waker: Waker,
    ring: mpsc::Receiver<()>,
    /// Bytes of a transmission.
    room: usize,
    heard: Vec<Value>,
}

impl Driver {
    fn new(world: &World, subscribe: &Value, room: usize) -> Self {
        let arrival = world.arrival(Some(identity(None, Grants::everything())));
        let mut session = world.hub.connect(arrival, Instant::now()).unwrap();
        session.receive(&Bytes::from(subscribe.to_string()), false, Instant::now()).unwrap();
        let (bell, ring) = mpsc::sync_channel(1);
        Self { session, waker: Waker::from(Arc::new(Bell(bell))), ring, room, heard: Vec::new() }
    }

    /// Until the session heard so many messages.
    fn run(&mut self, enough: u64) {
        while (self.heard.len() as u64) < enough {
            if self.session.register(&self.waker) {
                transmit(&mut self.session, &mut self.heard, self.room);
            } else if self.ring.recv_timeout(PATIENCE).is_err() {
                panic!("a session that heard {} of {enough} messages was not woken", self.heard.len());
            }
        }
    }
}

fn transmit(session: &mut Session, heard: &mut Vec<Value>, room: usize) {
    let mut out = Vec::new();
    session.transmit(Instant::now(), room, &mut out).unwrap();
    session.flushed();
    for outgoing in out {
        match outgoing {
            Outgoing::Framed(bytes) => {
                heard.extend(split(&bytes).iter().map(|text| serde_json::from_str::<Value>(text).unwrap()))
            }
            Outgoing::Message { text, .. } => heard.push(serde_json::from_slice(&text).unwrap()),
        }
    }
}

fn publish(hub: &Hub, retention: &Retention, publisher: u64, numbers: std::ops::Range<u64>) {
    let payloads: Vec<_> = numbers.map(|n| json!({"publisher": publisher, "n": n}).to_string()).collect();
    let channel = format!("a.{publisher}");
    let events = payloads.iter().map(|payload| Publication {
        to: Address::Channel(&channel),
        payload: payload.as_bytes(),
        binary: false,
        key: None,
        correlation: None,
    });
    hub.publish(retention, events, Instant::now(), 0, |result| assert!(result.is_ok()));
}

fn subscribe(channels: &[&str], filter: Option<&str>) -> Value {
    json!({"type": "subscribe", "events": channels, "filter": filter})
}

/// Of each publisher all numbers, in order.
fn assert_complete(heard: &[Value], count: u64) {
    for publisher in 0..PUBLISHERS {
        let numbers = heard.iter().filter(|event| event["data"]["publisher"] == publisher);
        let numbers: Vec<_> = numbers.map(|event| event["data"]["n"].as_u64().unwrap()).collect();
        assert!(numbers.iter().copied().eq(0..count), "{} of {count}: {:?}", numbers.len(), &numbers[..10]);
    }
}

#[test]
fn each_session_is_woken_until_it_has_everything() {
    const EVENTS: u64 = 1000;
    let world = World::events().slow(queue(1 << 30, FullPolicy::Disconnect));
    let wishes = [
        subscribe(&["a.*"], None),
        subscribe(&["a.0", "a.1", "a.2"], None),
        subscribe(&["*"], Some("n >= 0")),
        subscribe(&["a.0", "a.*"], Some("publisher < 9")),
    ];
    let rooms = [1, 3000, 64 * 1024];
    let mut drivers: Vec<_> =
        rooms.iter().flat_map(|room| wishes.iter().map(|wish| Driver::new(&world, wish, *room))).collect();
    let retention = world.retention.borrow().clone();
    std::thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let (hub, retention) = (world.hub.clone(), retention.clone());
            scope.spawn(move || {
                for begin in (0..EVENTS).step_by(7) {
                    publish(&hub, &retention, publisher, begin..(begin + 7).min(EVENTS));
                    // Those who read catch up, and have to be woken.
                    std::thread::yield_now();
                }
            });
        }
        for driver in &mut drivers {
            scope.spawn(|| driver.run(GREETINGS + EVENTS * PUBLISHERS));
        }
    });
    drivers.iter().for_each(|driver| assert_complete(&driver.heard, EVENTS));
    assert_eq!(world.hub.backlog(), 0);
}

#[test]
fn whoever_is_woken_may_use_the_hub_at_once() {
    /// Publishes again, as often as it is woken.
    struct Echo {
        hub: Arc<Hub>,
        left: AtomicU64,
    }
    impl Wake for Echo {
        fn wake(self: Arc<Self>) {
            if self.left.fetch_sub(1, Ordering::Relaxed) > 1 {
                publish(&self.hub, &Retention::default(), 0, 0..1);
            }
            assert!(self.hub.backlog() > 0);
        }
    }
    let world = World::events();
    let mut clients = [world.subscriber(&["a.0"]), world.client()];
    clients[1].say(subscribe(&["a.*"], Some("n = 0")));
    clients[1].hear();
    for client in &clients {
        let echo = Echo { hub: world.hub.clone(), left: AtomicU64::new(3) };
        assert!(!client.session.register(&Waker::from(Arc::new(echo))));
    }
    publish(&world.hub, &Retention::default(), 0, 0..1);
    clients.iter_mut().for_each(|client| assert_eq!(client.hear().len(), 3));
}

#[test]
fn subscriptions_change_while_events_come_and_none_is_lost_or_comes_twice() {
    let world = World::events().slow(queue(1 << 30, FullPolicy::Disconnect));
    let retention = world.retention.borrow().clone();
    let (stop, published) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let (hub, retention, stop, published) = (world.hub.clone(), retention.clone(), &stop, &published);
            scope.spawn(move || {
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) && n < MOST_EVENTS {
                    publish(&hub, &retention, publisher, n..n + 1);
                    n += 1;
                }
                published.fetch_add(n, Ordering::Relaxed);
            });
        }
        let clients: Vec<_> = (0..2)
            .map(|_| {
                let arrival = world.arrival(Some(identity(None, Grants::everything())));
                let mut session = world.hub.connect(arrival, Instant::now()).unwrap();
                scope.spawn(move || change_subscriptions(&mut session))
            })
            .collect();
        let clients: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|result| result.unwrap());
    });
    assert!(published.load(Ordering::Relaxed) >= 100);
}

/// Holds `a.0` all the time, while wider and narrower subscriptions come and go.
fn change_subscriptions(session: &mut Session) {
    let mut heard = Vec::new();
    let say = |session: &mut Session, message: &Value, heard: &mut Vec<Value>| {
        session.receive(&Bytes::from(message.to_string()), false, Instant::now()).unwrap();
        transmit(session, heard, 5000);
    };
    say(session, &subscribe(&["a.0"], None), &mut heard);
    for round in 0..300 {
        let filter = [None, Some("n >= 0")][round % 2];
        let pattern = ["a.*", "*", "a.0*"][round % 3];
        say(session, &subscribe(&[pattern], filter), &mut heard);
        std::thread::yield_now();
        say(session, &json!({"type": "unsubscribe", "events": [pattern]}), &mut heard);
    }
    while session.has_more() {
        transmit(session, &mut heard, 1 << 20);
    }
    let numbers = heard.iter().filter(|event| event["type"] == "a.0");
    let numbers: Vec<_> = numbers.map(|event| event["data"]["n"].as_u64().unwrap()).collect();
    assert!(!numbers.is_empty());
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{} events", numbers.len());
}

#[test]
fn whoever_comes_back_meanwhile_misses_nothing() {
    const EVENTS: u64 = 2000;
    let world = World::with_history("events").slow(queue(1 << 30, FullPolicy::Disconnect));
    world.retention.borrow_mut().history = crate::support::history(100_000);
    let retention = world.retention.borrow().clone();
    std::thread::scope(|scope| {
        let hub = world.hub.clone();
        scope.spawn(move || (0..EVENTS).for_each(|n| publish(&hub, &retention, 0, n..n + 1)));
        for _ in 0..3 {
            let (hub, arrival) = (world.hub.clone(), || world.arrival(Some(identity(None, Grants::everything()))));
            let arrivals: Vec<_> = (0..50).map(|_| arrival()).collect();
            scope.spawn(move || {
                let mut position = 0;
                let mut last = None;
                for arrival in arrivals.into_iter() {
                    let mut session = hub.connect(arrival, Instant::now()).unwrap();
                    let recover = json!({"a.0": {"epoch": crate::support::EPOCH, "offset": position}});
                    let ask = json!({"type": "subscribe", "events": ["a.0"], "recover": recover}).to_string();
                    session.receive(&ask.into(), false, Instant::now()).unwrap();
                    let mut heard = Vec::new();
                    (0..3).for_each(|_| transmit(&mut session, &mut heard, 1000));
                    for event in heard.iter().filter(|event| event["type"] == "a.0") {
                        position += 1;
                        assert_eq!(event["offset"], position);
                        last = event["data"]["n"].as_u64();
                    }
                }
                assert_eq!(last.map_or(0, |n| n + 1), position);
            });
        }
    });
}

#[test]
fn sessions_come_and_go_while_everything_else_happens() {
    let world = World::new("events", HubConfig { presence: true, ..HubConfig::default() });
    let retention = world.retention.borrow().clone();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for publisher in 0..2 {
            let (hub, retention, stop) = (world.hub.clone(), retention.clone(), &stop);
            scope.spawn(move || {
                for _ in 0..MOST_EVENTS {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    publish(&hub, &retention, publisher, 0..5);
                    let to = Address::User { user: "ann", channel: Some("a.0") };
                    let event = Publication { to, payload: b"1", binary: false, key: None, correlation: None };
                    hub.publish(&retention, [event], Instant::now(), 0, |result| assert!(result.is_ok()));
                    assert!(hub.backlog() < u64::MAX);
                }
            });
        }
        let workers: Vec<_> = (0..3)
            .map(|worker: usize| {
                let hub = world.hub.clone();
                let arrivals: Vec<_> =
                    (0..300).map(|_| world.arrival(Some(identity(Some("ann"), Grants::everything())))).collect();
                scope.spawn(move || {
                    for (round, arrival) in arrivals.into_iter().enumerate() {
                        let mut session = hub.connect(arrival, Instant::now()).unwrap();
                        let channels = [["a.0", "a.*"], ["*", "a.1"], ["a.1", "b"]][(worker + round) % 3];
                        let ask = subscribe(&channels, [None, Some("n > 1")][round % 2]).to_string();
                        session.receive(&ask.into(), false, Instant::now()).unwrap();
                        transmit(&mut session, &mut Vec::new(), 10_000);
                        if round % 2 == 0 {
                            session.leave(Instant::now());
                        }
                    }
                })
            })
            .collect();
        let workers: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().for_each(|result| result.unwrap());
    });
    let stats = world.hub.stats();
    assert_eq!((stats.active_connections, stats.channels, stats.subscriptions), (0, 0, 0));
}
