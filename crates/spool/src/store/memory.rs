//! A disk in memory that fails, runs full and crashes when a test says so.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

use super::{Place, Store, builder, contain, failure, initialise};
use crate::error::SpoolError;

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

/// What a process sees of the disk, and what of it would survive.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    seen: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Step>,
    /// Steps (writes, changes of the length, syncs) until every one fails.
    pub(crate) steps_left: Option<u64>,
    /// The most bytes there are.
    pub(crate) capacity: Option<u64>,
    /// Reads fail.
    pub(crate) unreadable: bool,
    /// Steps that were taken.
    pub(crate) steps: u64,
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Disk {
    fn step(&mut self) -> io::Result<()> {
        self.steps += 1;
        match &mut self.steps_left {
            Some(0) => Err(io::Error::other("the device is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn take(&mut self, step: Step) -> io::Result<()> {
        let length = match &step {
            Step::Write(offset, data) => offset + data.len(),
            Step::Length(length) => *length,
        };
        if self.capacity.is_some_and(|capacity| length as u64 > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        step.apply(&mut self.seen);
        self.unsynced.push(step);
        Ok(())
    }

    fn sync(&mut self) {
        for step in std::mem::take(&mut self.unsynced) {
            step.apply(&mut self.synced);
        }
    }

    /// What is there after the power failed: everything synced, and whatever `random` chooses of the rest, sector by sector.
    pub(crate) fn after_power_failure(&self, random: &mut fastrand::Rng) -> Self {
        let mut bytes = self.synced.clone();
        let kept = random.f64();
        for step in &self.unsynced {
            if random.f64() < kept {
                step.clone().tear(random).into_iter().for_each(|step| step.apply(&mut bytes));
            }
        }
        Self { seen: bytes.clone(), synced: bytes, ..Self::default() }
    }

    /// What is there after the process was killed: the system has all that was written.
    pub(crate) fn after_kill(&self) -> Self {
        Self { seen: self.seen.clone(), synced: self.seen.clone(), ..Self::default() }
    }

    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.seen
    }
}

impl Step {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => {
                if bytes.len() < offset + data.len() {
                    bytes.resize(offset + data.len(), 0);
                }
                bytes[*offset..*offset + data.len()].copy_from_slice(data);
            }
            Self::Length(length) => bytes.resize(*length, 0),
        }
    }

    /// One write as the sectors of it that were written: all, or some.
    fn tear(self, random: &mut fastrand::Rng) -> Vec<Self> {
        match self {
            Self::Write(offset, data) if random.bool() => {
                let sectors = data.chunks(SECTOR).enumerate();
                let written = sectors.filter(|_| random.bool());
                written.map(|(index, part)| Self::Write(offset + index * SECTOR, part.to_vec())).collect()
            }
            step => vec![step],
        }
    }
}

/// A disk that several opened logs, one after the other, are on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Disk>>);

impl Memory {
    pub(crate) fn new(disk: Disk) -> Self {
        Self(Arc::new(Mutex::new(disk)))
    }

    pub(crate) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }

    /// Whether nobody has it open.
    pub(crate) fn is_free(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    fn file() -> PathBuf {
        "/memory/spool.redb".into()
    }
}

impl Place for Memory {
    fn open(&self) -> Result<Store, SpoolError> {
        let file = Self::file();
        let empty = self.disk().seen.is_empty();
        let create =
            || builder().create_with_backend(self.clone()).map_err(|error| failure(&file, "open", error.into()));
        let database = contain(&file, create)?;
        if empty {
            initialise(&database, &file)?;
        }
        Store::new(database, file)
    }

    fn probe(&self) -> Result<(), SpoolError> {
        let disk = self.disk();
        let full = disk.capacity.is_some_and(|capacity| disk.seen.len() as u64 >= capacity);
        let gone = disk.steps_left == Some(0);
        let error = |source| SpoolError::Io { what: "write", path: "/memory/probe".into(), source };
        match (full, gone) {
            (true, _) => Err(error(io::ErrorKind::StorageFull.into())),
            (_, true) => Err(error(io::Error::other("the device is gone"))),
            _ => Ok(()),
        }
    }
}

impl StorageBackend for Memory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (disk, offset) = (self.disk(), usize::try_from(offset).unwrap());
        if disk.unreadable {
            return Err(io::Error::other("the device does not answer"));
        }
        let found = disk.seen.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        disk.take(Step::Length(usize::try_from(len).unwrap()))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        disk.sync();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        disk.take(Step::Write(usize::try_from(offset).unwrap(), data.to_vec()))
    }
}
