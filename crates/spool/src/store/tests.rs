//! The log against a model of it: what it holds, and what is left of it after crashes.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::memory::{Disk, Memory};
use super::{Change, Numbers, Place, Reader, Store};
use crate::block::Block;
use crate::error::SpoolError;

/// A block whose content follows from its numbers.
fn block(first: u64, count: u32) -> Block {
    let mut random = fastrand::Rng::with_seed(first);
    let length = if random.u8(..8) == 0 { random.usize(..200_000) } else { random.usize(..300) };
    let data = Bytes::from(std::iter::repeat_with(|| random.u8(..)).take(length).collect::<Vec<_>>());
    Block { first, count, data, time_ms: first * 3 }
}

/// What a log is to hold.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    blocks: Vec<Block>,
    next: u64,
    marks: BTreeMap<String, (u64, u64)>,
}

impl Model {
    fn random_change(&self, random: &mut fastrand::Rng) -> Change {
        let mut change = Change::default();
        let mut next = self.next;
        for _ in 0..random.usize(..6) {
            let made = block(next, random.u32(1..20));
            next = made.end();
            change.blocks.push(made);
        }
        if random.bool() {
            let first = self.blocks.first().map_or(self.next, |block| block.first);
            change.forget = random.u64(first..=next);
        }
        if random.bool() {
            let mark = (random.u8(..4) > 0).then(|| (random.u64(..=next), random.u64(..1000)));
            change.marks.insert(format!("reader {}", random.u8(..3)), mark);
        }
        change
    }

    fn apply(&mut self, change: &Change) {
        self.blocks.extend(change.blocks.iter().cloned());
        self.next = change.blocks.last().map_or(self.next, Block::end);
        self.blocks.retain(|block| block.end() > change.forget);
        for (name, mark) in &change.marks {
            match mark {
                Some(mark) => drop(self.marks.insert(name.clone(), *mark)),
                None => drop(self.marks.remove(name)),
            }
        }
    }

    fn of(store: &Store) -> Self {
        let contents = store.contents().unwrap();
        let blocks = store.read(0, usize::MAX).unwrap();
        assert_eq!(contents.first, blocks.first().map_or(contents.next, |block| block.first));
        let marks = contents.readers.into_iter().map(|Reader { name, position, seen_ms }| (name, (position, seen_ms)));
        Self { blocks, next: contents.next, marks: marks.collect() }
    }
}

fn commit(store: &Store, change: &Change, numbers: &mut Numbers) -> Result<bool, SpoolError> {
    let outcome = store.commit(change, *numbers)?;
    *numbers = outcome.numbers;
    Ok(outcome.more)
}

fn change(blocks: impl IntoIterator<Item = Block>) -> Change {
    Change { blocks: blocks.into_iter().collect(), ..Change::default() }
}

fn forget(before: u64) -> Change {
    Change { forget: before, ..Change::default() }
}

#[test]
fn a_log_holds_what_a_model_of_it_holds() {
    let mut random = fastrand::Rng::with_seed(1);
    let memory = Memory::default();
    let mut store = memory.open().unwrap();
    let (mut model, mut numbers) = (Model::default(), store.numbers().unwrap());
    for round in 0..300 {
        let change = model.random_change(&mut random);
        commit(&store, &change, &mut numbers).unwrap();
        model.apply(&change);
        assert_eq!(Model::of(&store), model);
        let (from, room) = (random.u64(..=model.next), random.usize(..100_000));
        let behind: Vec<_> = model.blocks.iter().filter(|block| block.end() > from).cloned().collect();
        let found = store.read(from, room).unwrap();
        assert_eq!(found, behind[..found.len()]);
        let bytes = |blocks: &[Block]| blocks.iter().map(|block| block.data.len()).sum::<usize>();
        assert!(bytes(&found) <= room || found.len() == 1, "{room} bytes were asked for");
        let one_more = &behind[..behind.len().min(found.len() + 1)];
        assert!(one_more.len() == found.len() || bytes(one_more) >= room, "more would have had room");
        if round % 50 == 0 {
            drop(store);
            store = memory.open().unwrap();
            assert_eq!(store.numbers().unwrap(), numbers);
        }
    }
}

#[test]
fn bytes_are_those_of_the_chunks_and_none_are_left_when_all_is_forgotten() {
    let store = Memory::default().open().unwrap();
    let mut numbers = store.numbers().unwrap();
    let blocks: Vec<_> = (0..100).map(|first| block(first, 1)).collect();
    let (data, cost) = blocks.iter().fold((0, 0), |(data, cost), block| (data + block.data.len(), cost + block.cost()));
    commit(&store, &change(blocks), &mut numbers).unwrap();
    assert!((data..=cost).contains(&(numbers.bytes as usize)), "{} of {data} to {cost}", numbers.bytes);
    commit(&store, &forget(100), &mut numbers).unwrap();
    assert_eq!((numbers.first, numbers.next, numbers.bytes), (100, 100, 0));
    assert_eq!(store.read(0, usize::MAX).unwrap(), []);
}

#[test]
fn what_is_forgotten_before_it_is_written_only_moves_the_numbers() {
    let store = Memory::default().open().unwrap();
    let mut numbers = store.numbers().unwrap();
    let both = Change { blocks: vec![block(0, 5), block(5, 5)], forget: 7, ..Change::default() };
    commit(&store, &both, &mut numbers).unwrap();
    assert_eq!((numbers.first, numbers.next), (5, 10));
    let all = Change { blocks: vec![block(10, 5)], forget: 15, ..Change::default() };
    commit(&store, &all, &mut numbers).unwrap();
    assert_eq!((numbers.first, numbers.next, numbers.bytes), (15, 15, 0));
    commit(&store, &change([block(15, 1)]), &mut numbers).unwrap();
    assert_eq!(store.read(0, usize::MAX).unwrap(), [block(15, 1)]);
}

#[test]
fn much_is_removed_in_several_commits_and_is_out_of_sight_after_the_first() {
    let store = Memory::default().open().unwrap();
    let mut numbers = store.numbers().unwrap();
    let large = |first| Block { data: vec![1; 65_000].into(), ..block(first, 1) };
    for first in (0..2000).step_by(200) {
        commit(&store, &change((first..first + 200).map(large)), &mut numbers).unwrap();
    }
    let before = numbers.bytes;
    assert!(commit(&store, &forget(1999), &mut numbers).unwrap(), "there is more to remove");
    assert!(before > numbers.bytes && numbers.bytes > 65_000 * 2);
    assert_eq!(store.contents().unwrap().first, 1999);
    assert_eq!(store.read(0, usize::MAX).unwrap(), [large(1999)]);
    while commit(&store, &Change::default(), &mut numbers).unwrap() {}
    assert!(numbers.bytes < 65_000 * 2, "{} bytes", numbers.bytes);
}

#[test]
fn a_block_that_is_there_already_is_not_written_over() {
    let store = Memory::default().open().unwrap();
    let mut numbers = store.numbers().unwrap();
    commit(&store, &change([block(0, 5)]), &mut numbers).unwrap();
    let error = commit(&store, &change([block(0, 1)]), &mut numbers).unwrap_err();
    assert!(matches!(error, SpoolError::Damaged { .. }), "{error}");
    assert_eq!(store.read(0, usize::MAX).unwrap(), [block(0, 5)]);
}

/// Crashes while logs are written, and while they are opened again: at random steps, with what was not synced torn apart.
#[test]
fn a_crash_leaves_every_commit_whole_or_undone_and_none_that_was_confirmed_is_lost() {
    const CRASHES: u64 = 3000;
    let (mut undone, mut carried_out, mut opening) = (0, 0, 0);
    for seed in 0..CRASHES / 10 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut memory = Memory::default();
        let epoch = memory.open().unwrap().numbers().unwrap().epoch;
        let mut model = Model::default();
        for _ in 0..10 {
            memory.disk().steps_left = Some(random.u64(..60));
            let pending = write_until_it_fails(&memory, &mut model, &mut random);
            let left =
                if random.bool() { memory.disk().after_power_failure(&mut random) } else { memory.disk().after_kill() };
            memory = Memory::new(left);
            let store = memory.open().unwrap();
            assert_eq!(store.numbers().unwrap().epoch, epoch, "seed {seed}");
            let found = Model::of(&store);
            match pending {
                Some(change) if found != model => {
                    model.apply(&change);
                    carried_out += 1;
                }
                Some(_) => undone += 1,
                None => opening += 1,
            }
            assert!(found == model, "seed {seed}: neither what was before the crash nor what was being written");
        }
    }
    assert!(
        undone > 100 && carried_out > 100 && opening > 100,
        "{undone} undone, {carried_out} not, {opening} opening"
    );
}

/// Commits random changes until one fails, and returns that one; none when the log could not even be opened.
fn write_until_it_fails(memory: &Memory, model: &mut Model, random: &mut fastrand::Rng) -> Option<Change> {
    let store = memory.open().ok()?;
    let mut numbers = store.numbers().ok()?;
    loop {
        let change = model.random_change(random);
        if commit(&store, &change, &mut numbers).is_err() {
            return Some(change);
        }
        model.apply(&change);
    }
}

/// Whatever is written over a file: it is refused, or read as it was; never does it end a thread.
#[test]
fn a_damaged_file_is_an_error_and_not_a_panic() {
    let memory = Memory::default();
    let store = memory.open().unwrap();
    let mut numbers = store.numbers().unwrap();
    commit(&store, &change((0..50).map(|first| block(first, 1))), &mut numbers).unwrap();
    let model = Model::of(&store);
    drop(store);
    let whole = memory.disk().bytes().clone();
    let mut refused = 0;
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bytes = whole.clone();
        let (start, length) = (random.usize(..bytes.len()), random.usize(1..5000));
        bytes.iter_mut().skip(start).take(length).for_each(|byte| *byte = random.u8(..));
        let damaged = Memory::new(Disk::default());
        *damaged.disk().bytes() = bytes;
        match damaged.open() {
            Ok(store) => assert_eq!(Model::of(&store), model, "seed {seed}"),
            Err(SpoolError::Damaged { .. } | SpoolError::Format { .. } | SpoolError::Io { .. }) => refused += 1,
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(refused > 50, "{refused} were refused");
}
