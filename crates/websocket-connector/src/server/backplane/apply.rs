//! What comes over the bus, on its way to the clients of this process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use eventflux_core::EventFluxError;
use eventflux_core::metrics::{Counter, Metrics};
use eventflux_gateway::{Address, Hub, Losses, Retention};
use eventflux_nats::bus::Listener;
use tokio::sync::watch;
use uuid::Uuid;

use super::entry::{self, Header, Unreadable};
use super::outcome::Outcomes;
use super::presence;
use super::state::States;

const APPLIED: &str = "eventflux_backplane_entries_total";
const UNREADABLE: &str = "eventflux_backplane_unreadable_total";
const HOLES: &str = "eventflux_backplane_holes_total";

/// See the module.
#[derive(Debug)]
pub(super) struct Applier {
    path: String,
    hub: Arc<Hub>,
    /// This process in entries.
    pub(super) origin: Uuid,
    pub(super) outcomes: Outcomes,
    pub(super) states: Arc<States>,
    /// Where the sinks of this process count, by their streams.
    counted: RwLock<HashMap<String, Counted>>,
    /// Whether the log has been read to its end once.
    ready: AtomicBool,
    /// Whether nothing comes any more.
    failed: AtomicBool,
    /// Whether what comes has just been published.
    live: AtomicBool,
    /// Entries of this process that are in the log, and that have come back.
    own: watch::Sender<Own>,
    counters: Counters,
}

/// Where a sink counts what became of its events.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    pub(super) losses: Losses,
    pub(super) unheard: Counter,
}

#[derive(Debug, Default)]
struct Own {
    stored: u64,
    applied: u64,
}

#[derive(Debug)]
struct Counters {
    applied: Counter,
    version: Counter,
    malformed: Counter,
    presence: Counter,
    holes: Counter,
}

impl Applier {
    pub(super) fn new(path: &str, hub: Arc<Hub>, metrics: &Metrics) -> Self {
        Self {
            path: path.to_owned(),
            hub,
            origin: Uuid::new_v4(),
            outcomes: Outcomes::default(),
            states: Arc::new(States::new()),
            counted: RwLock::default(),
            ready: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            live: AtomicBool::new(false),
            own: watch::channel(Own::default()).0,
            counters: Counters::new(metrics, path),
        }
    }

    /// Whether there is something to serve.
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && !self.failed.load(Ordering::Acquire)
    }

    /// The bus has ended by itself: clients get nothing here any more, and are sent to where they do.
    pub(super) fn fail(&self) {
        if self.failed.swap(true, Ordering::AcqRel) {
            return;
        }
        // Also those that are about to be let in.
        self.hub.refuse_all();
        let clients = self.hub.dismiss(usize::MAX);
        log::error!(
            "{}: the backplane has failed: no clients are taken any more, and the {clients} that are here are sent away",
            self.path
        );
    }

    /// A sink of this process says where it counts.
    pub(super) fn count_at(&self, stream: &str, counted: Counted) {
        self.counted.write().unwrap_or_else(PoisonError::into_inner).insert(stream.to_owned(), counted);
    }

    /// Resolves when everything of this process that is in the log has come back.
    pub(super) async fn returned(&self) {
        // The sender lives in self.
        let _ = self.own.subscribe().wait_for(|own| own.applied >= own.stored).await;
    }

    fn counted(&self, stream: &str) -> Option<Counted> {
        self.counted.read().unwrap_or_else(PoisonError::into_inner).get(stream).cloned()
    }

    fn apply(&self, sequence: u64, header: Header<'_>, events: Vec<eventflux_gateway::Publication<'_>>) {
        let counted = self.counted(header.stream);
        let is_own = header.origin == self.origin;
        let losses = counted.as_ref().map(|counted| counted.losses.clone()).unwrap_or_default();
        let retention = Retention { losses, ..header.retention };
        // An answer may have reached its client without the bus, or elsewhere.
        let is_for_all = !matches!(events.first().map(|event| event.to), Some(Address::Request(_)));
        let mut unheard = 0;
        let at = (self.published_at(header.time_ms), header.time_ms);
        self.hub.apply(&retention, sequence, events, at, |published| match published {
            Ok(published) => unheard += u64::from(published.delivered == 0),
            Err(problem) => log::debug!("{}: an event of {} is left out: {problem}", self.path, header.stream),
        });
        if let Some(counted) = counted.filter(|_| is_own && is_for_all) {
            counted.unheard.add(unheard);
        }
        if is_own {
            self.own.send_modify(|own| own.applied += 1);
        }
    }

    /// When something was published. What comes live has no age: clocks of machines differ.
    fn published_at(&self, time_ms: u64) -> Instant {
        let now = Instant::now();
        if self.live.load(Ordering::Relaxed) {
            return now;
        }
        let age = SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_millis(time_ms)).unwrap_or_default();
        now.checked_sub(age).unwrap_or(now)
    }
}

impl Listener for Applier {
    fn begin(&self, epoch: &str, before: u64) {
        if *self.hub.epoch() != *epoch {
            self.live.store(false, Ordering::Relaxed);
        }
        if !self.hub.begin(epoch, before) {
            return;
        }
        self.counters.holes.increment();
        // What was missed of one's own does not come back.
        self.own.send_modify(|own| own.applied = own.applied.max(own.stored));
        let clients = self.hub.dismiss(usize::MAX);
        log::warn!(
            "{}: the backplane's log has another beginning than was read here; {clients} clients are told to come back, so \
             that they learn what they miss",
            self.path
        );
    }

    fn entry(&self, sequence: u64, payload: &Bytes) {
        let unreadable = match entry::read(payload) {
            Ok((header, events)) => {
                self.counters.applied.increment();
                return self.apply(sequence, header, events);
            }
            Err(unreadable) => unreadable,
        };
        match unreadable {
            Unreadable::Version => self.counters.version.increment(),
            Unreadable::Malformed => self.counters.malformed.increment(),
        }
        log::warn!("{}: entry {sequence} of the backplane is passed over: {unreadable:?}", self.path);
        // Its numbers are used up all the same.
        self.hub.apply(&Retention::default(), sequence, [], (Instant::now(), 0), |_| ());
    }

    fn caught_up(&self) {
        self.live.store(true, Ordering::Relaxed);
        if !self.ready.swap(true, Ordering::AcqRel) {
            log::info!("{} has read the backplane's log and takes clients", self.path);
            self.states.ready();
        }
    }

    fn stored(&self, number: u64) {
        self.outcomes.stored(number);
        self.own.send_modify(|own| own.stored += 1);
    }

    fn failed(&self, number: u64, error: EventFluxError) {
        self.outcomes.failed(number, &error);
    }

    fn present(&self, key: &str, instance: &str, value: Option<&Bytes>) {
        let members = value.map_or(Some(Vec::new()), |value| presence::read(value));
        match members {
            Some(members) => self.hub.set_present_elsewhere(key, instance, members),
            None => {
                self.counters.presence.increment();
                log::warn!("{}: what another gateway says of who is present cannot be read", self.path);
            }
        }
    }
}

impl Counters {
    fn new(metrics: &Metrics, path: &str) -> Self {
        metrics.describe(APPLIED, "Batches of events that came over the backplane, those of this process included.");
        metrics.describe(UNREADABLE, "What came over the backplane and could not be read.");
        metrics.describe(HOLES, "Times the backplane's log went on, or began again, without what clients may miss.");
        let unreadable = |reason| metrics.counter(UNREADABLE, &[("path", path), ("reason", reason)]);
        Self {
            applied: metrics.counter(APPLIED, &[("path", path)]),
            version: unreadable("version"),
            malformed: unreadable("malformed"),
            presence: unreadable("presence"),
            holes: metrics.counter(HOLES, &[("path", path)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use eventflux_gateway::dialects;
    use eventflux_gateway::{HistoryLimits, HubConfig, Origin, Publication};

    use super::super::entry::Writer;
    use super::*;

    /// The age at which channels forget.
    const AGE: Duration = Duration::from_secs(60);

    struct World {
        hub: Arc<Hub>,
        applier: Applier,
        metrics: Metrics,
    }

    impl World {
        fn new() -> Self {
            let metrics = Metrics::default();
            let config = HubConfig { shared: true, presence: true, ..HubConfig::default() };
            let origin = Origin { path: "/ws", metrics: &metrics, epoch: "" };
            let hub = Hub::new(dialects::named("channels").unwrap(), config, &origin);
            let applier = Applier::new("/ws", hub.clone(), &metrics);
            Self { hub, applier, metrics }
        }

        /// An entry of somebody, published so long ago.
        fn entry(&self, origin: Uuid, ago: Duration) -> Bytes {
            let time_ms = (SystemTime::now() - ago).duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
            let history = Some(HistoryLimits { events: 10, bytes: 1000, age: AGE });
            let retention = Retention { history, ..Retention::default() };
            let mut writer = Writer::new(&Header { origin, stream: "S", time_ms, retention });
            let to = Address::Channel("a");
            writer.push(&Publication { to, payload: b"1", binary: false, key: None, correlation: None });
            Bytes::from(writer.finish())
        }

        fn metric(&self, name: &str) -> u64 {
            self.metrics.samples().iter().filter(|sample| sample.name == name).map(|sample| sample.value).sum()
        }
    }

    #[test]
    fn what_nobody_hears_counts_for_whoever_published_it() {
        let world = World::new();
        let unheard = Counter::default();
        world.applier.count_at("S", Counted { losses: Losses::default(), unheard: unheard.clone() });
        world.applier.begin("log", 0);
        world.applier.entry(1, &world.entry(Uuid::from_u128(1), Duration::ZERO));
        assert_eq!(unheard.value(), 0);
        world.applier.entry(2, &world.entry(world.applier.origin, Duration::ZERO));
        assert_eq!((unheard.value(), world.metric(APPLIED)), (1, 2));
    }

    #[test]
    fn what_cannot_be_read_is_passed_over_and_counted() {
        let world = World::new();
        world.applier.begin("log", 0);
        for (sequence, bad) in [(1, &b""[..]), (2, b"\x01nonsense"), (3, b"\x07of the future")] {
            world.applier.entry(sequence, &Bytes::copy_from_slice(bad));
        }
        assert_eq!((world.metric(UNREADABLE), world.metric(APPLIED)), (3, 0));
        assert!(!world.hub.begin("log", 3), "their numbers are used up");
        world.applier.present("a", "other", Some(&Bytes::from_static(b"{")));
        assert_eq!(world.metric(UNREADABLE), 4);
        world.applier.present("a", "other", Some(&Bytes::from_static(b"[[\"s\",null]]")));
        assert!(world.hub.present_here("a", 9).is_empty());
    }

    #[test]
    fn what_was_published_long_ago_is_as_old_when_a_process_begins() {
        let world = World::new();
        world.applier.begin("log", 0);
        world.applier.entry(1, &world.entry(Uuid::nil(), AGE * 2));
        assert!(!world.applier.is_ready());
        let begun = Instant::now();
        assert!(world.applier.published_at(0) < begun - AGE);
        world.applier.caught_up();
        assert!(world.applier.is_ready() && world.applier.published_at(0) >= begun);
    }

    #[test]
    fn another_log_or_a_hole_in_it_is_counted_once_clients_may_miss_something() {
        let world = World::new();
        world.applier.begin("log", 0);
        assert_eq!(world.metric(HOLES), 0);
        world.applier.entry(1, &world.entry(Uuid::nil(), Duration::ZERO));
        world.applier.begin("log", 1);
        assert_eq!(world.metric(HOLES), 0);
        world.applier.begin("log", 2);
        assert_eq!(world.metric(HOLES), 1, "one number is enough");
        world.applier.begin("log", 5);
        world.applier.begin("log-2", 0);
        assert_eq!(world.metric(HOLES), 3);
    }

    #[test]
    fn whoever_has_failed_is_not_ready_whatever_else_comes() {
        let world = World::new();
        world.applier.begin("log", 0);
        world.applier.fail();
        world.applier.caught_up();
        assert!(!world.applier.is_ready() && world.hub.is_stopping());
    }

    #[tokio::test]
    async fn what_is_stored_is_awaited_until_it_has_come_back() {
        use futures_util::FutureExt;
        let world = World::new();
        world.applier.begin("log", 0);
        assert!(world.applier.returned().now_or_never().is_some());
        world.applier.stored(1);
        assert!(world.applier.returned().now_or_never().is_none());
        world.applier.entry(1, &world.entry(world.applier.origin, Duration::ZERO));
        assert!(world.applier.returned().now_or_never().is_some());
        world.applier.stored(2);
        world.applier.begin("log-2", 0);
        assert!(world.applier.returned().now_or_never().is_some(), "it will not come back");
    }
}
