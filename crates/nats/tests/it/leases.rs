//! Partitions that several processes share, each behind a network of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream;
use eventflux_nats::Connection;
use eventflux_nats::leases::{Change, LeaseConfig, Leases, Origin, Term};
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::proxy::ChaosProxy;
use eventflux_testkit::wait::eventually;
use tokio::task::JoinHandle;

use crate::connection::{eager, observer, open};

const LEASE: Duration = Duration::from_secs(2);
const ORIGIN: Origin = Origin { epoch: 1, first: 1, gone: 0 };

/// How long anything may take besides a lease.
const SOON: Duration = Duration::from_secs(10);

/// A process that works on what it holds: on the next sequence of each partition every few milliseconds, into a diary that
/// all processes share.
struct Process {
    proxy: ChaosProxy,
    held: Held,
    work: JoinHandle<()>,
    /// Works on nothing, and gives back what it is asked for.
    leaves: Arc<tokio::sync::Notify>,
    _connection: Connection,
}

type Held = Arc<Mutex<HashMap<u32, (Term, u64)>>>;

/// Who worked on each sequence of each partition, in order.
type Diary = Arc<Mutex<Vec<(String, u32, u64)>>>;

impl Process {
    async fn join(server: &NatsServer, name: &str, partitions: u32, diary: &Diary) -> Self {
        Self::join_from(server, name, partitions, ORIGIN, diary).await
    }

    async fn join_from(server: &NatsServer, name: &str, partitions: u32, origin: Origin, diary: &Diary) -> Self {
        let proxy = ChaosProxy::start(server.address());
        let url = format!("nats://{}", proxy.address());
        let connection = open(&eager(&url, &[]), &observer(name)).await.unwrap();
        let config = LeaseConfig { group: "g".to_owned(), partitions, lease: LEASE, replicas: 1 };
        let leases = Leases::open(&connection, &config, origin, name).await.unwrap();
        let (held, leaves) = (Held::default(), Arc::<tokio::sync::Notify>::default());
        let work = tokio::spawn(work(leases, name.to_owned(), held.clone(), leaves.clone(), diary.clone()));
        Self { proxy, held, work, leaves, _connection: connection }
    }

    fn holds(&self) -> usize {
        self.held.lock().unwrap().len()
    }

    async fn waits_for(&self, count: usize) {
        eventually(LEASE + SOON, || self.holds() == count).await;
    }

    /// Ends without a word.
    async fn die(self) {
        self.proxy.refuse().await;
        self.proxy.reset();
        self.work.abort();
    }
}

async fn work(leases: Leases, name: String, held: Held, leaves: Arc<tokio::sync::Notify>, diary: Diary) {
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    loop {
        tokio::select! {
            changes = leases.changed() => changes.into_iter().for_each(|change| match change {
                Change::Acquired { partition, term, position } => {
                    held.lock().unwrap().insert(partition, (term, position));
                }
                Change::Release { partition, term } => {
                    held.lock().unwrap().remove(&partition);
                    leases.release(partition, term);
                }
                Change::Lost { partition, .. } => drop(held.lock().unwrap().remove(&partition)),
                Change::Outdated { .. } => held.lock().unwrap().clear(),
            }),
            _ = tick.tick() => {
                let mut held = held.lock().unwrap();
                let terms: Vec<_> = held.iter().map(|(partition, (term, _))| (*partition, *term)).collect();
                for ((partition, term), workable) in terms.iter().zip(leases.workable(&terms)) {
                    let (_, next) = held.get_mut(partition).unwrap();
                    if workable {
                        diary.lock().unwrap().push((name.clone(), *partition, *next));
                        *next += 1;
                        leases.advance([(*partition, *term, *next)]);
                    }
                }
            }
            () = leaves.notified() => break,
        }
    }
    held.lock().unwrap().clear();
    leases.leave(SOON).await;
}

/// Of each partition, in order: nothing is left out, and what is repeated is repeated by another holder, from where the
/// last one had been stored at most `repeated` before.
#[track_caller]
fn assert_in_order(diary: &Diary, repeated: u64) {
    let mut last = HashMap::<u32, (String, u64)>::new();
    let mut holders = HashMap::<u32, Vec<String>>::new();
    for (name, partition, sequence) in diary.lock().unwrap().iter() {
        let (before, next) = last.get(partition).cloned().unwrap_or_else(|| (name.clone(), 1));
        if before == *name {
            assert!(*sequence <= next, "{name} leaves out {next} of {partition}");
            assert!(*sequence + repeated >= next, "{name} repeats {sequence} of {partition} before {next}");
        } else {
            assert!(
                *sequence <= next && *sequence + repeated >= next,
                "{name} begins {partition} at {sequence} instead of {next}"
            );
            let holders = holders.entry(*partition).or_default();
            assert!(!holders.contains(&before), "{before} and {name} take turns at {partition}");
            holders.push(before);
        }
        last.insert(*partition, (name.clone(), sequence + 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_shared_evenly_and_those_of_who_dies_move_within_a_lease_and_a_little() {
    let (server, diary) = (NatsServer::start(), Diary::default());
    let first = Process::join(&server, "first", 7, &diary).await;
    first.waits_for(7).await;
    let second = Process::join(&server, "second", 7, &diary).await;
    second.waits_for(3).await;
    let third = Process::join(&server, "third", 7, &diary).await;
    third.waits_for(2).await;
    assert_eq!(first.holds() + second.holds(), 5);
    let began = std::time::Instant::now();
    first.die().await;
    eventually(LEASE + SOON, || second.holds() + third.holds() == 7).await;
    let taken = began.elapsed();
    assert!(taken < LEASE + Duration::from_secs(2), "{taken:?}");
    assert!(second.holds().abs_diff(third.holds()) <= 1);
    let count = diary.lock().unwrap().len();
    eventually(SOON, || diary.lock().unwrap().len() > count + 100).await;
    // Positions are stored once a second at most, and each sequence takes 5 ms.
    assert_in_order(&diary, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_hands_over_at_once_and_nothing_is_repeated() {
    let (server, diary) = (NatsServer::start(), Diary::default());
    let first = Process::join(&server, "first", 4, &diary).await;
    first.waits_for(4).await;
    let second = Process::join(&server, "second", 4, &diary).await;
    second.waits_for(2).await;
    eventually(SOON, || diary.lock().unwrap().len() > 200).await;
    let began = std::time::Instant::now();
    first.leaves.notify_one();
    first.work.await.unwrap();
    second.waits_for(4).await;
    assert!(began.elapsed() < LEASE, "{:?}", began.elapsed());
    let count = diary.lock().unwrap().len();
    eventually(SOON, || diary.lock().unwrap().len() > count + 100).await;
    assert_in_order(&diary, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_off_stops_before_others_begin_and_comes_back() {
    let (server, diary) = (NatsServer::start(), Diary::default());
    let first = Process::join(&server, "first", 2, &diary).await;
    first.waits_for(2).await;
    let second = Process::join(&server, "second", 2, &diary).await;
    second.waits_for(1).await;
    first.proxy.freeze();
    second.waits_for(2).await;
    assert_eq!(first.holds(), 0, "it stopped before");
    first.proxy.resume().await;
    first.waits_for(1).await;
    second.waits_for(1).await;
    let mut last = HashMap::<u32, u64>::new();
    for (_, partition, sequence) in diary.lock().unwrap().iter() {
        let next = last.entry(*partition).or_insert(1);
        assert!(*sequence <= *next, "{sequence} of {partition} comes before {next}");
        *next = sequence + 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_for_longer_than_a_lease_stops_everybody_and_nothing_is_lost() {
    let (server, diary) = (NatsServer::start(), Diary::default());
    let process = Process::join(&server, "only", 3, &diary).await;
    process.waits_for(3).await;
    eventually(SOON, || diary.lock().unwrap().len() > 50).await;
    server.kill();
    process.waits_for(0).await;
    let count = diary.lock().unwrap().len();
    server.restart();
    process.waits_for(3).await;
    eventually(SOON, || diary.lock().unwrap().len() > count + 50).await;
    assert_in_order(&diary, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_deleted_is_made_again_and_positions_are_kept() {
    let (server, diary) = (NatsServer::start(), Diary::default());
    let process = Process::join(&server, "only", 2, &diary).await;
    process.waits_for(2).await;
    eventually(SOON, || diary.lock().unwrap().len() > 50).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let bucket = jetstream::new(client);
    bucket.delete_key_value("eventflux-leases-g").await.unwrap();
    let store = async || bucket.get_key_value("eventflux-leases-g").await.ok();
    let deadline = std::time::Instant::now() + SOON;
    while store().await.is_none() && std::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let entry = async || store().await?.get("partition.0").await.ok().flatten();
    while entry().await.is_none() && std::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(entry().await.is_some());
    let count = diary.lock().unwrap().len();
    process.waits_for(2).await;
    eventually(SOON, || diary.lock().unwrap().len() > count + 50).await;
    assert_in_order(&diary, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_stream_ends_what_works_on_the_older_one_and_begins_at_its_first_message() {
    let (server, diary) = (NatsServer::start(), Diary::default());
    let old = Process::join(&server, "old", 1, &diary).await;
    old.waits_for(1).await;
    eventually(SOON, || diary.lock().unwrap().len() > 50).await;
    old.leaves.notify_one();
    old.work.await.unwrap();
    let other = Diary::default();
    let origin = Origin { epoch: 2, first: 4_000, gone: 0 };
    let new = Process::join_from(&server, "new", 1, origin, &other).await;
    new.waits_for(1).await;
    eventually(SOON, || !other.lock().unwrap().is_empty()).await;
    assert_eq!(other.lock().unwrap()[0], ("new".to_owned(), 0, 1));
    let late = open(&eager(&server.url(), &[]), &observer("late")).await.unwrap();
    let config = LeaseConfig { group: "g".to_owned(), partitions: 1, lease: LEASE, replicas: 1 };
    let late = Leases::open(&late, &config, ORIGIN, "late").await.unwrap();
    let changes = tokio::time::timeout(SOON, late.changed()).await.unwrap();
    assert_eq!(changes, [Change::Outdated { epoch: 2 }]);
    assert_eq!(late.held(), Vec::<u32>::new());
}
