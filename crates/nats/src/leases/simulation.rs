//! Machines around a bucket, in simulated time: answers that are late or lost, processes that pause, crash and come back,
//! networks that are cut, and what the bucket shows coming late.
//!
//! `SIM_SEEDS=100000 cargo test -p eventflux-nats simulation` runs more of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::time::Duration;

use super::machine::{Machine, Outcome, Request};
use super::record::{Key, Record};
use super::{Change, LeaseConfig, Origin, Term};

const SEEDS: u64 = 40;
const LEASE: Duration = Duration::from_secs(1);
/// Chaos ends then.
const CALM: Duration = Duration::from_secs(10);
const END: Duration = Duration::from_secs(18);
/// How long a partition may be held by nobody while somebody is well, and others take it and go away at once: each of them
/// costs a lease, or two when it can say that it is there, but not see.
const UNHELD: Duration = Duration::from_secs(6);
const ORIGIN: Origin = Origin { epoch: 1, first: 1, gone: 0 };

#[test]
fn one_at_a_time_holds_each_partition_and_all_have_their_share() {
    let seeds = std::env::var("SIM_SEEDS").ok().map_or(SEEDS, |seeds| seeds.parse().expect("SIM_SEEDS is a number"));
    for seed in 0..seeds {
        let run = std::panic::catch_unwind(|| World::new(seed).run());
        assert!(run.is_ok(), "seed {seed}");
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at: Duration,
    number: u64,
    what: What,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// A request comes to the bucket.
    Arrives(u64),
    /// Its answer comes back, or is given up.
    Answered(u64, Answer),
    /// The bucket shows a key to a process.
    Shown {
        process: usize,
        watch: u64,
        key: Key,
        revision: u64,
        value: Option<String>,
    },
    Wake(usize),
    Work(usize),
    Finished(usize, u32, Term),
    Chaos,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Stored(u64),
    Refused,
    Unknown,
}

struct Process {
    machine: Machine,
    name: String,
    watch: u64,
    /// What it was shown last comes then.
    shown_at: Duration,
    /// It does nothing before.
    paused: Duration,
    /// Nothing comes through before.
    cut: Duration,
    /// Nothing is shown to it before.
    stalled: Duration,
    is_up: bool,
    well_since: Duration,
    works: HashMap<u32, (Term, u64)>,
}

struct World {
    rng: fastrand::Rng,
    now: Duration,
    numbers: u64,
    events: BinaryHeap<Reverse<Event>>,
    partitions: u32,
    processes: Vec<Process>,
    requests: HashMap<u64, (usize, u64, Request)>,
    revision: u64,
    keys: BTreeMap<String, (u64, Option<String>)>,
    /// Who worked on each partition, in the order in which they began.
    workers: HashMap<u32, Vec<(String, Term)>>,
    worked: HashMap<u32, Duration>,
    born: u64,
    acquired: usize,
}

fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let partitions = rng.u32(1..9);
        let count = rng.usize(1..5);
        let mut world = Self {
            rng,
            now: ms(1000),
            numbers: 0,
            events: BinaryHeap::new(),
            partitions,
            processes: Vec::new(),
            requests: HashMap::new(),
            revision: 0,
            keys: BTreeMap::new(),
            workers: HashMap::new(),
            worked: HashMap::new(),
            born: 0,
            acquired: 0,
        };
        for _ in 0..count {
            let process = world.process();
            world.processes.push(process);
            let index = world.processes.len() - 1;
            world.watch(index);
            world.at(ms(0), What::Wake(index));
            world.at(ms(1), What::Work(index));
        }
        world.at(ms(500), What::Chaos);
        world
    }

    fn process(&mut self) -> Process {
        self.born += 1;
        let name = format!("p{}", self.born);
        let config = LeaseConfig { group: "g".to_owned(), partitions: self.partitions, lease: LEASE, replicas: 1 };
        Process {
            machine: Machine::new(&config, ORIGIN, name.clone()),
            name,
            watch: 0,
            shown_at: self.now,
            paused: Duration::ZERO,
            cut: Duration::ZERO,
            stalled: Duration::ZERO,
            is_up: true,
            well_since: self.now,
            works: HashMap::new(),
        }
    }

    fn at(&mut self, delay: Duration, what: What) {
        self.numbers += 1;
        self.events.push(Reverse(Event { at: self.now + delay, number: self.numbers, what }));
    }

    fn run(mut self) {
        while let Some(Reverse(event)) = self.events.pop() {
            assert!(event.at >= self.now);
            self.now = event.at;
            if self.now > END {
                break;
            }
            let is_work = matches!(event.what, What::Work(_));
            self.handle(event.what);
            if is_work {
                self.somebody_holds_each();
            }
        }
        self.shares_are_fair();
        assert!(self.acquired > 0);
    }

    fn handle(&mut self, what: What) {
        let process = match &what {
            What::Shown { process, .. } | What::Wake(process) | What::Work(process) | What::Finished(process, ..) => {
                Some(*process)
            }
            What::Answered(request, _) => self.requests.get(request).map(|(process, ..)| *process),
            What::Arrives(_) | What::Chaos => None,
        };
        if let Some(index) = process {
            let paused = self.processes[index].paused;
            if paused > self.now {
                return self.at(paused - self.now, what);
            }
        }
        match what {
            What::Arrives(number) => self.arrives(number),
            What::Answered(number, answer) => self.answered(number, answer),
            What::Shown { process, watch, key, revision, value } => {
                if self.processes[process].watch == watch {
                    self.shown(process, &key, revision, value);
                }
            }
            What::Wake(process) => self.poll(process),
            What::Work(process) => self.work(process),
            What::Finished(process, partition, term) => {
                self.processes[process].works.retain(|known, (of, _)| (*known, *of) != (partition, term));
                self.processes[process].machine.release(partition, term);
                self.poll(process);
            }
            What::Chaos => self.chaos(),
        }
    }

    fn poll(&mut self, index: usize) {
        let now = self.now;
        if !self.processes[index].is_up {
            return;
        }
        if self.processes[index].machine.is_deaf(now) {
            self.processes[index].machine.forget();
            self.requests.retain(|_, (process, ..)| *process != index);
            self.watch(index);
        }
        let process = &mut self.processes[index];
        let requests = process.machine.poll(now);
        let changes = process.machine.take_changes();
        let deadline = process.machine.deadline();
        let timeout = process.machine.write_timeout();
        for change in changes {
            self.changed(index, change);
        }
        for request in requests {
            self.send(index, request, timeout);
        }
        if let Some(deadline) = deadline {
            assert!(deadline > now, "{deadline:?} at {now:?}");
            self.at(deadline - now, What::Wake(index));
        }
    }

    fn changed(&mut self, index: usize, change: Change) {
        match change {
            Change::Acquired { partition, term, position } => {
                self.acquired += 1;
                self.processes[index].works.insert(partition, (term, position));
            }
            Change::Lost { partition, term } => {
                self.processes[index].works.retain(|known, (of, _)| (*known, *of) != (partition, term));
            }
            Change::Release { partition, term } => {
                let delay = ms(self.rng.u64(0..300));
                self.at(delay, What::Finished(index, partition, term));
            }
            Change::Outdated { .. } => panic!("there is one epoch"),
        }
    }

    fn work(&mut self, index: usize) {
        let now = self.now;
        let process = &mut self.processes[index];
        if !process.is_up {
            return;
        }
        {
            for (partition, (term, position)) in &mut process.works {
                if !process.machine.may_work(now, *partition, *term) {
                    continue;
                }
                *position += self.rng.u64(0..5);
                process.machine.advance(*partition, *term, *position);
                self.worked.insert(*partition, now);
                let workers = self.workers.entry(*partition).or_default();
                let me = (process.name.clone(), *term);
                if workers.last() != Some(&me) {
                    assert!(!workers.contains(&me), "{me:?} works on {partition} after {:?}", workers.last());
                    workers.push(me);
                }
            }
        }
        self.at(ms(20), What::Work(index));
    }

    fn send(&mut self, index: usize, request: Request, timeout: Duration) {
        self.numbers += 1;
        let number = self.numbers;
        self.requests.insert(number, (index, 0, request));
        self.at(timeout, What::Answered(number, Answer::Unknown));
        let is_cut = self.processes[index].cut > self.now;
        if self.is_lost() && !is_cut {
            return;
        }
        // What is sent while the network is away may arrive when it is back.
        let wait = self.processes[index].cut.saturating_sub(self.now);
        let delay = wait + self.delay();
        self.at(delay, What::Arrives(number));
    }

    fn is_lost(&mut self) -> bool {
        self.now < CALM && self.rng.u32(0..100) < 4
    }

    fn delay(&mut self) -> Duration {
        let slow = self.now < CALM && self.rng.u32(0..50) == 0;
        ms(if slow { self.rng.u64(0..1500) } else { self.rng.u64(0..15) })
    }

    fn arrives(&mut self, number: u64) {
        // An answer that is not waited for any more is one all the same for the bucket.
        let Some((index, _, request)) =
            self.requests.get(&number).map(|(index, x, request)| (*index, *x, request.clone()))
        else {
            return;
        };
        let me = self.processes[index].name.clone();
        let answer = match request {
            Request::Partition { partition, expected, record } => self.write_record(partition, expected, &record),
            Request::Alive(_, presence) => self.put(&Key::Member(me), Some(serde_json::to_string(&presence).unwrap())),
            Request::Leave(_) => self.put(&Key::Member(me), None),
            Request::Remove(id) => {
                self.keys.remove(&Key::Member(id).text());
                Answer::Stored(0)
            }
        };
        if !self.is_lost() {
            let wait = self.processes[index].cut.saturating_sub(self.now);
            let delay = wait + self.delay();
            self.at(delay, What::Answered(number, answer));
        }
    }

    fn write_record(&mut self, partition: u32, expected: u64, record: &Record) -> Answer {
        let key = Key::Partition(partition);
        let current = self.keys.get(&key.text()).cloned();
        if current.as_ref().map_or(0, |(revision, _)| *revision) != expected {
            return Answer::Refused;
        }
        let before: Option<Record> =
            current.and_then(|(_, value)| value).map(|text| serde_json::from_str(&text).unwrap());
        assert!(before.is_none_or(|before| before.position <= record.position), "a position goes back");
        self.put(&key, Some(serde_json::to_string(record).unwrap()))
    }

    fn put(&mut self, key: &Key, value: Option<String>) -> Answer {
        self.revision += 1;
        self.keys.insert(key.text(), (self.revision, value.clone()));
        for index in (0..self.processes.len()).filter(|index| self.processes[*index].is_up).collect::<Vec<_>>() {
            self.show(index, key.clone(), self.revision, value.clone());
        }
        Answer::Stored(self.revision)
    }

    /// In order, however late.
    fn show(&mut self, process: usize, key: Key, revision: u64, value: Option<String>) {
        let delay = self.delay();
        let now = self.now;
        let shown = &mut self.processes[process];
        let at = (now + delay).max(shown.shown_at).max(shown.cut).max(shown.stalled);
        shown.shown_at = at;
        let watch = shown.watch;
        self.at(at - now, What::Shown { process, watch, key, revision, value });
    }

    fn watch(&mut self, index: usize) {
        self.numbers += 1;
        let process = &mut self.processes[index];
        process.watch = self.numbers;
        process.shown_at = self.now;
        let mut all: Vec<_> = self.keys.clone().into_iter().collect();
        all.sort_by_key(|(_, (revision, _))| *revision);
        for (key, (revision, value)) in all {
            self.show(index, Key::parse(&key).unwrap(), revision, value);
        }
    }

    fn shown(&mut self, index: usize, key: &Key, revision: u64, value: Option<String>) {
        let now = self.now;
        let machine = &mut self.processes[index].machine;
        match key {
            Key::Partition(partition) => {
                let record = value.map(|text| serde_json::from_str(&text).unwrap());
                machine.partition_seen(now, *partition, revision, record);
            }
            Key::Member(id) => {
                let presence = value.map(|text| serde_json::from_str(&text).unwrap());
                machine.member_seen(now, id, revision, presence);
            }
        }
        self.poll(index);
    }

    fn answered(&mut self, number: u64, answer: Answer) {
        if matches!(answer, Answer::Unknown) && !self.requests.contains_key(&number) {
            return;
        }
        // One that was given up still travels.
        let Some((index, is_answered, request)) = self.requests.get_mut(&number) else { return };
        if *is_answered == 1 {
            return;
        }
        *is_answered = 1;
        let (index, request, now) = (*index, request.clone(), self.now);
        let outcome = match answer {
            Answer::Stored(revision) => Outcome::Stored(revision),
            Answer::Refused => Outcome::Refused,
            Answer::Unknown => Outcome::Unknown,
        };
        let machine = &mut self.processes[index].machine;
        match request {
            Request::Partition { partition, record, .. } => {
                machine.partition_written(now, partition, record.write, outcome);
            }
            Request::Alive(..) => machine.alive_written(now, outcome),
            Request::Leave(_) => machine.leave_written(now, outcome),
            Request::Remove(_) => {}
        }
        self.poll(index);
    }

    fn chaos(&mut self) {
        if self.now >= CALM {
            return;
        }
        let next = ms(self.rng.u64(50..1500));
        self.at(next, What::Chaos);
        let index = self.rng.usize(0..self.processes.len());
        let until = self.now + ms(self.rng.u64(10..4000));
        match self.rng.u32(0..6) {
            0 => self.processes[index].paused = until,
            1 => self.processes[index].cut = until,
            2 => self.processes[index].stalled = until,
            // Crashes, and another one begins.
            3 => {
                self.processes[index].is_up = false;
                self.begin();
            }
            4 => self.begin(),
            // Leaves when it has finished what it does.
            _ if self.processes.iter().filter(|process| process.is_up).count() > 1 => {
                self.processes[index].works.clear();
                self.processes[index].machine.leave();
                self.processes[index].well_since = Duration::MAX;
                self.poll(index);
            }
            _ => {}
        }
        if self.processes[index].well_since < Duration::MAX {
            self.processes[index].well_since = self.processes[index].well_since.max(until);
        }
    }

    fn begin(&mut self) {
        if self.processes.iter().filter(|process| process.is_up).count() >= 5 {
            return;
        }
        let process = self.process();
        self.processes.push(process);
        let index = self.processes.len() - 1;
        self.watch(index);
        self.at(ms(0), What::Wake(index));
        self.at(ms(1), What::Work(index));
    }

    fn well(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(|process| process.is_up && process.well_since < Duration::MAX)
    }

    fn somebody_holds_each(&self) {
        let Some(well_since) = self.well().map(|process| process.well_since).min() else { return };
        for partition in 0..self.partitions {
            let worked = self.worked.get(&partition).copied().unwrap_or_default();
            let since = well_since.max(worked);
            let is_held = self.now < since.max(ms(1000)) + UNHELD;
            assert!(is_held, "nobody works on {partition} since {since:?}, at {:?}: {}", self.now, self.state());
        }
    }

    fn state(&self) -> String {
        let processes = self.processes.iter().map(|process| {
            let Process { name, is_up, paused, cut, stalled, well_since, machine, .. } = process;
            format!(
                "{name} up {is_up} paused {paused:?} cut {cut:?} stalled {stalled:?} well {well_since:?}: {machine:?}"
            )
        });
        let keys = self.keys.iter().map(|(key, value)| format!("{key}: {value:?}"));
        keys.chain(processes).collect::<Vec<_>>().join("\n")
    }

    fn shares_are_fair(&self) {
        let shares: Vec<_> = self.well().map(|process| process.machine.held().count()).collect();
        if shares.is_empty() {
            return;
        }
        let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
        assert!(most - least <= 1, "{shares:?}");
        let held: HashSet<_> = self.well().flat_map(|process| process.machine.held()).collect();
        assert_eq!(held.len(), self.partitions as usize, "{shares:?}");
    }
}
