//! What one commit changes.

use std::collections::BTreeMap;
use std::ops::Bound;

use redb::{CursorError, Database, ReadableTable, Table, WriteTransaction};

use super::{BLOCKS, MARKS, NUMBERS, Numbers, chunk_with, strange};
use crate::block::{Block, Chunk, border, chunk_end};
use crate::config::{REMOVE_BYTES, REMOVE_VALUES};

/// Blocks to add, what to forget, and where readers are.
#[derive(Debug, Default, Clone)]
pub(crate) struct Change {
    /// In order, without gaps, from the number that comes next.
    pub(crate) blocks: Vec<Block>,
    /// Blocks that end here or before are not needed any more.
    pub(crate) forget: u64,
    /// Positions and times of readers; `None` for one that is gone.
    pub(crate) marks: BTreeMap<String, Option<(u64, u64)>>,
}

/// What a commit left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) numbers: Numbers,
    /// Bytes that were removed.
    pub(crate) removed: u64,
    /// Whether there is more to remove of what was forgotten.
    pub(crate) more: bool,
}

pub(super) fn commit(database: &Database, change: &Change, numbers: Numbers) -> Result<Outcome, redb::Error> {
    // Durable when it returns: that is what redb does unless told otherwise.
    let transaction = database.begin_write()?;
    let outcome = apply(&transaction, change, numbers)?;
    transaction.commit()?;
    Ok(outcome)
}

fn apply(transaction: &WriteTransaction, change: &Change, mut numbers: Numbers) -> Result<Outcome, redb::Error> {
    let mut table = transaction.open_table(BLOCKS)?;
    numbers.bytes += add(&mut table, change)?;
    numbers.next = change.blocks.last().map_or(numbers.next, |block| block.end().max(numbers.next));
    if change.forget > numbers.first {
        numbers.first =
            first_after(&table, change.forget.min(numbers.next))?.unwrap_or(numbers.next).max(numbers.first);
    }
    let (removed, more) = remove(&mut table, numbers.first)?;
    numbers.bytes = numbers.bytes.saturating_sub(removed);
    write_numbers(transaction, numbers)?;
    write_marks(transaction, change)?;
    Ok(Outcome { numbers, removed, more })
}

/// Adds the blocks that are not forgotten already. Returns the bytes they take.
fn add(table: &mut Table<'_, u64, &'static [u8]>, change: &Change) -> Result<u64, redb::Error> {
    let (mut chunk, mut bytes) = (Chunk::default(), 0);
    let mut cursor = table.upper_bound_mut(Bound::<u64>::Unbounded)?;
    let mut put = |chunk: &mut Chunk| -> Result<(), redb::Error> {
        if let Some((first, value)) = chunk.value() {
            cursor.insert_before(first, value).map_err(unordered)?;
            bytes += value.len() as u64;
        }
        chunk.clear();
        Ok(())
    };
    for block in change.blocks.iter().filter(|block| block.end() > change.forget) {
        if !chunk.fits(block) {
            put(&mut chunk)?;
        }
        chunk.push(block);
    }
    put(&mut chunk)?;
    cursor.close()?;
    Ok(bytes)
}

/// The number of the first block that ends behind `before`.
fn first_after(table: &Table<'_, u64, &'static [u8]>, before: u64) -> Result<Option<u64>, redb::Error> {
    for entry in table.range(chunk_with(table, before)?..)? {
        let (key, value) = entry?;
        if chunk_end(value.value()).ok_or_else(strange)? > before {
            return border(key.value(), value.value(), before).ok_or_else(strange).map(Some);
        }
    }
    Ok(None)
}

/// Removes chunks that end before `first`, up to a limit. Returns their bytes, and whether there are more.
fn remove(table: &mut Table<'_, u64, &'static [u8]>, first: u64) -> Result<(u64, bool), redb::Error> {
    let (mut bytes, mut values) = (0, 0);
    let mut cursor = table.lower_bound_mut(Bound::<u64>::Unbounded)?;
    let more = loop {
        let Some((_, value)) = cursor.peek_next()? else { break false };
        let (end, length) = (chunk_end(value.value()).ok_or_else(strange)?, value.value().len() as u64);
        drop(value);
        if end > first {
            break false;
        }
        if bytes >= REMOVE_BYTES || values >= REMOVE_VALUES {
            break true;
        }
        cursor.remove_next()?;
        bytes += length;
        values += 1;
    };
    cursor.close()?;
    Ok((bytes, more))
}

fn write_numbers(transaction: &WriteTransaction, numbers: Numbers) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(NUMBERS)?;
    for (name, value) in [("first", numbers.first), ("next", numbers.next), ("bytes", numbers.bytes)] {
        table.insert(name, value)?;
    }
    Ok(())
}

fn write_marks(transaction: &WriteTransaction, change: &Change) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(MARKS)?;
    for (name, mark) in &change.marks {
        match mark {
            Some(mark) => drop(table.insert(name.as_str(), mark)?),
            None => drop(table.remove(name.as_str())?),
        }
    }
    Ok(())
}

/// Keys that do not ascend: a block that the file has already.
fn unordered(error: CursorError) -> redb::Error {
    match error {
        CursorError::Storage(error) => error.into(),
        _ => strange(),
    }
}
