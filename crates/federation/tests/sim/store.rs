//! A store whose disk takes its time, runs full, fails and forgets what was not written when the process is killed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use eventflux_federation::{Kept, Outlet, Store, StoredPayloads};

#[derive(Debug)]
pub(crate) struct SimStore(Mutex<Disk>);

#[derive(Debug)]
struct Disk {
    epoch: u64,
    blocks: VecDeque<StoredPayloads>,
    next: u64,
    marks: BTreeMap<String, (u64, u64)>,
    capacity: usize,
    /// Not written yet, in order.
    waiting: VecDeque<Write>,
    loads: VecDeque<(u64, u64, usize)>,
    is_failing: bool,
    was_full: bool,
}

#[derive(Debug)]
enum Write {
    Append(StoredPayloads),
    Forget(u64),
    Mark(String, u64, u64),
    Unmark(String),
}

impl SimStore {
    pub(crate) fn new(epoch: u64, capacity: usize) -> Self {
        Self(Mutex::new(Disk {
            epoch,
            blocks: VecDeque::new(),
            next: 1,
            marks: BTreeMap::new(),
            capacity,
            waiting: VecDeque::new(),
            loads: VecDeque::new(),
            is_failing: false,
            was_full: false,
        }))
    }

    /// What a process that is started finds.
    pub(crate) fn kept(&self) -> Kept {
        let disk = self.disk();
        let first = disk.blocks.front().map_or(disk.next, |block| block.first);
        let receivers = disk.marks.iter().map(|(name, (next, seen_ms))| (name.clone(), *next, *seen_ms)).collect();
        Kept { epoch: disk.epoch, first, next: disk.next, receivers }
    }

    /// The process is killed: of what waits, `written` were written, and nobody was told.
    pub(crate) fn crash(&self, written: usize) {
        let mut disk = self.disk();
        let written = written.min(disk.waiting.len());
        if !disk.is_failing {
            let writes: Vec<_> = disk.waiting.drain(..written).collect();
            writes.into_iter().for_each(|write| disk.write(write));
        }
        disk.waiting.clear();
        disk.loads.clear();
        disk.is_failing = false;
    }

    pub(crate) fn fail(&self, fails: bool) {
        self.disk().is_failing = fails;
    }

    pub(crate) fn summary(&self) -> String {
        let disk = self.disk();
        let blocks: Vec<_> = disk.blocks.iter().map(|block| (block.first, block.count, block.data.len())).collect();
        format!("{blocks:?}, {} writes wait, {} of {} bytes", disk.waiting.len(), disk.unwritten(), disk.capacity)
    }

    pub(crate) fn waits(&self) -> bool {
        let disk = self.disk();
        !disk.waiting.is_empty() || !disk.loads.is_empty()
    }

    /// Everything before is on the disk.
    pub(crate) fn written(&self) -> u64 {
        self.disk().next
    }

    /// Writes some of what waits, and answers one load. Returns whether one was answered.
    pub(crate) fn work(&self, writes: usize, outlet: &Outlet) -> bool {
        let mut disk = self.disk();
        if disk.is_failing {
            return false;
        }
        let before = disk.next;
        let writes = writes.min(disk.waiting.len());
        let writes: Vec<_> = disk.waiting.drain(..writes).collect();
        writes.into_iter().for_each(|write| disk.write(write));
        let next = disk.next;
        let freed = disk.was_full && disk.has_room();
        disk.was_full &= !freed;
        let answer = disk.loads.pop_front().map(|(load, from, max)| (load, disk.read(from, max)));
        drop(disk);
        // Nothing more is told than there is to tell: who waits for the one thing is not woken by the other.
        if next > before {
            outlet.stored(next);
        }
        if freed {
            outlet.store_has_room();
        }
        let Some((load, payloads)) = answer else { return false };
        outlet.loaded(load, &payloads);
        true
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }
}

impl Disk {
    fn write(&mut self, write: Write) {
        match write {
            Write::Append(block) => {
                assert_eq!(block.first, self.next, "what is appended follows what is there");
                self.next += u64::from(block.count);
                self.blocks.push_back(block);
            }
            Write::Forget(before) => {
                while self.blocks.front().is_some_and(|block| block.first + u64::from(block.count) <= before) {
                    self.blocks.pop_front();
                }
            }
            Write::Mark(name, next, seen_ms) => drop(self.marks.insert(name, (next, seen_ms))),
            Write::Unmark(name) => drop(self.marks.remove(&name)),
        }
    }

    fn has_room(&self) -> bool {
        self.blocks.iter().map(|block| block.data.len()).sum::<usize>() + self.unwritten() < self.capacity
    }

    fn unwritten(&self) -> usize {
        let bytes = |write: &Write| if let Write::Append(block) = write { block.data.len() } else { 0 };
        self.waiting.iter().map(bytes).sum()
    }

    fn read(&self, from: u64, max: usize) -> Vec<StoredPayloads> {
        let mut bytes = 0;
        let behind = self.blocks.iter().skip_while(|block| block.first + u64::from(block.count) <= from);
        behind
            .take_while(|block| {
                let is_first = bytes == 0;
                bytes += block.data.len();
                is_first || bytes <= max
            })
            .cloned()
            .collect()
    }
}

impl Store for SimStore {
    fn append(&self, payloads: StoredPayloads) {
        self.disk().waiting.push_back(Write::Append(payloads));
    }

    fn has_room(&self) -> bool {
        let mut disk = self.disk();
        let has_room = disk.has_room();
        disk.was_full |= !has_room;
        has_room
    }

    fn load(&self, load: u64, from: u64, max_bytes: usize) {
        self.disk().loads.push_back((load, from, max_bytes.min(600)));
    }

    fn forget(&self, before: u64) {
        self.disk().waiting.push_back(Write::Forget(before));
    }

    fn mark(&self, receiver: &str, next: u64, unix_ms: u64) {
        self.disk().waiting.push_back(Write::Mark(receiver.to_owned(), next, unix_ms));
    }

    fn unmark(&self, receiver: &str) {
        self.disk().waiting.push_back(Write::Unmark(receiver.to_owned()));
    }

    fn unwritten_bytes(&self) -> usize {
        self.disk().unwritten()
    }
}
