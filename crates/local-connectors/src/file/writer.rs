//! Writes payloads as lines, and keeps the file whole when that fails.
//!
//! Pure with respect to the disk: it knows a [`Store`] only, so a full disk is a test and not an accident.

use std::io::{self, ErrorKind};

use eventflux_core::{EncodedBatch, EventFluxError, RowFailure};

use super::config::{FileSinkConfig, LineBreaks, Rotation, SyncMode};
use super::store::{Medium, Opened, Store};

/// Lines are written once they have this many bytes together.
const CHUNK_SIZE: usize = 256 << 10;

/// Appends lines to the current file of a store.
pub(super) struct LineWriter<S: Store> {
    store: S,
    /// The current file; `None` between rotation and the next line.
    file: Option<S::Medium>,
    /// Size of the file, without `excess`.
    size: u64,
    /// Bytes at the end of the file that belong to lines that failed: they are cut off before the next line.
    excess: u64,
    /// The file's last line, from before we opened it, has no line break.
    unfinished: bool,
    /// The current file has to be renamed before the next line.
    rotating: bool,
    rotation: Option<Rotation>,
    sync: SyncMode,
    line_breaks: LineBreaks,
    chunk: Chunk,
    shown: String,
}

/// Lines that are written together.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// End of each line.
    ends: Vec<usize>,
}

impl<S: Store> LineWriter<S> {
    pub(super) fn new(config: &FileSinkConfig, store: S, opened: Opened<S::Medium>) -> Self {
        Self {
            store,
            file: Some(opened.medium),
            size: opened.size,
            excess: 0,
            unfinished: opened.unfinished,
            rotating: false,
            rotation: config.rotation,
            sync: config.sync,
            line_breaks: config.line_breaks,
            chunk: Chunk::default(),
            shown: config.path.display().to_string(),
        }
    }

    /// Appends the payloads in order.
    ///
    /// # Errors
    /// The first payload that is not in the file; those before it are, those behind it are not.
    pub(super) fn append(&mut self, batch: &EncodedBatch) -> Result<(), RowFailure> {
        let mut row = 0;
        while row < batch.len() {
            row = self.append_chunk(batch, row)?;
        }
        Ok(())
    }

    /// Closes the file once the disk has it.
    pub(super) fn close(&mut self) -> io::Result<()> {
        let repaired = self.repair();
        let synced = self.file.as_mut().map_or(Ok(()), |file| file.sync());
        self.file = None;
        repaired.and(synced)
    }

    /// Appends payloads from `first` on, as many as make a chunk and fit the file; returns the next one.
    fn append_chunk(&mut self, batch: &EncodedBatch, first: usize) -> Result<usize, RowFailure> {
        let failed = |row: usize, error: EventFluxError| RowFailure { row, error };
        self.prepare().map_err(|error| failed(first, self.fault(&error)))?;
        let next = self.gather(batch, first).map_err(|error| failed(first, error))?;
        if next == first {
            // Not even one line fits: the next call writes it into a new file.
            self.rotating = true;
            return Ok(first);
        }
        match self.write() {
            Ok(()) => Ok(next),
            Err((lines, error)) => Err(failed(first + lines, self.fault(&error))),
        }
    }

    /// Makes the file ready for the next line: whole, open, and a new one where that is due.
    fn prepare(&mut self) -> io::Result<()> {
        self.repair()?;
        if self.rotating {
            self.file = None;
            self.store.rotate()?;
            self.rotating = false;
        }
        if self.file.is_none() {
            let opened = self.store.open()?;
            self.file = Some(opened.medium);
            self.size = opened.size;
            self.unfinished = opened.unfinished;
        }
        Ok(())
    }

    /// Puts lines into the chunk, as many as fit the file; returns the number of the payload behind them.
    fn gather(&mut self, batch: &EncodedBatch, first: usize) -> Result<usize, EventFluxError> {
        self.chunk.clear();
        if self.unfinished {
            self.chunk.bytes.push(b'\n');
        }
        let room = self.rotation.map_or(u64::MAX, |rotation| rotation.size.saturating_sub(self.size));
        for row in first..batch.len() {
            let payload = batch.payload(row);
            if self.line_breaks == LineBreaks::Refuse && memchr::memchr2(b'\n', b'\r', payload).is_some() {
                if row > first {
                    return Ok(row);
                }
                return Err(EventFluxError::Send {
                    reason: format!("{}: the payload has line breaks inside (file.line.breaks='refuse')", self.shown),
                    retryable: false,
                });
            }
            self.chunk.push(payload);
            let is_alone = self.size == 0 && row == first;
            if self.chunk.bytes.len() as u64 > room && !is_alone {
                self.chunk.pop();
                return Ok(row);
            }
            if self.chunk.bytes.len() >= CHUNK_SIZE {
                return Ok(row + 1);
            }
        }
        Ok(batch.len())
    }

    /// Writes the chunk. On failure the file is cut back to whole lines, now or before the next line; returns the number
    /// of lines that stay in the file.
    fn write(&mut self) -> Result<(), (usize, io::Error)> {
        let Some(file) = &mut self.file else {
            return Err((0, ErrorKind::NotConnected.into()));
        };
        let mut written = 0;
        let mut result = Ok(());
        while written < self.chunk.bytes.len() && result.is_ok() {
            match file.append(&self.chunk.bytes[written..]) {
                Ok(0) => result = Err(ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => result = Err(error),
            }
        }
        if result.is_ok() && self.sync == SyncMode::Batch {
            result = file.sync();
        }
        // What the disk may not have is not delivered, whether the system took it or not.
        let lines = match (&result, self.sync) {
            (Err(_), SyncMode::Batch) => 0,
            _ => self.chunk.ends.partition_point(|end| *end <= written),
        };
        let mut kept = 0;
        if lines > 0 {
            kept = self.chunk.ends[lines - 1];
            self.unfinished = false;
        }
        self.size += kept as u64;
        self.excess = (written - kept) as u64;
        result.map_err(|error| {
            if let Err(error) = self.repair() {
                log::debug!("{}: cannot be cut back to whole lines yet: {error}", self.shown);
            }
            (lines, error)
        })
    }

    /// Cuts off what belongs to lines that failed.
    fn repair(&mut self) -> io::Result<()> {
        if let Some(file) = &mut self.file
            && self.excess > 0
        {
            // Not down to `size`: had somebody else emptied the file, that would fill it with zeros.
            let whole = file.size()?.saturating_sub(self.excess);
            file.cut(whole)?;
            self.size = whole;
        }
        self.excess = 0;
        Ok(())
    }

    /// Every fault of a disk may pass: somebody makes room, mounts it again, or gives the right back.
    fn fault(&self, error: &io::Error) -> EventFluxError {
        EventFluxError::Send { reason: format!("{}: {error}", self.shown), retryable: true }
    }
}

impl Chunk {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds a line, with line breaks inside the payload escaped.
    fn push(&mut self, payload: &[u8]) {
        let mut rest = payload;
        while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
            self.bytes.extend_from_slice(&rest[..at]);
            self.bytes.extend_from_slice(if rest[at] == b'\n' { b"\\n" } else { b"\\r" });
            rest = &rest[at + 1..];
        }
        self.bytes.extend_from_slice(rest);
        self.bytes.push(b'\n');
        self.ends.push(self.bytes.len());
    }

    /// Removes the last line.
    fn pop(&mut self) {
        self.ends.pop();
        let end = self.ends.last().copied().unwrap_or(0);
        self.bytes.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::testing::batch;

    /// A disk in memory that can be full, read-only or unable to sync.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<Shelf>>);

    #[derive(Default)]
    struct Shelf {
        /// The current file, and the rotated ones from the youngest.
        files: Vec<Vec<u8>>,
        /// Bytes that still fit; `None`: no limit.
        room: Option<usize>,
        step: Option<usize>,
        cannot_cut: bool,
        cannot_sync: bool,
        cannot_rotate: bool,
        syncs: usize,
    }

    impl Disk {
        fn set(&self, change: impl FnOnce(&mut Shelf)) {
            change(&mut self.0.lock().unwrap());
        }

        fn file(&self, number: usize) -> String {
            String::from_utf8(self.0.lock().unwrap().files[number].clone()).unwrap()
        }

        fn files(&self) -> Vec<String> {
            let count = self.0.lock().unwrap().files.len();
            (0..count).map(|number| self.file(number)).collect()
        }
    }

    impl Medium for Disk {
        fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut shelf = self.0.lock().unwrap();
            let count = bytes.len().min(shelf.room.unwrap_or(usize::MAX)).min(shelf.step.unwrap_or(usize::MAX));
            if count == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            shelf.room = shelf.room.map(|room| room - count);
            shelf.files[0].extend_from_slice(&bytes[..count]);
            Ok(count)
        }
        fn size(&self) -> io::Result<u64> {
            Ok(self.0.lock().unwrap().files[0].len() as u64)
        }
        fn cut(&mut self, size: u64) -> io::Result<()> {
            let mut shelf = self.0.lock().unwrap();
            if shelf.cannot_cut {
                return Err(ErrorKind::ReadOnlyFilesystem.into());
            }
            let size = usize::try_from(size).unwrap();
            let freed = shelf.files[0].len() - size;
            shelf.room = shelf.room.map(|room| room + freed);
            shelf.files[0].truncate(size);
            Ok(())
        }
        fn sync(&mut self) -> io::Result<()> {
            let mut shelf = self.0.lock().unwrap();
            shelf.syncs += 1;
            if shelf.cannot_sync { Err(io::Error::other("bad sector")) } else { Ok(()) }
        }
    }

    impl Store for Disk {
        type Medium = Self;
        fn open(&mut self) -> io::Result<Opened<Self>> {
            let mut shelf = self.0.lock().unwrap();
            if shelf.files.is_empty() {
                shelf.files.push(Vec::new());
            }
            let current = shelf.files[0].clone();
            Ok(Opened {
                medium: self.clone(),
                size: current.len() as u64,
                unfinished: current.last().is_some_and(|last| *last != b'\n'),
            })
        }
        fn rotate(&mut self) -> io::Result<()> {
            let mut shelf = self.0.lock().unwrap();
            if shelf.cannot_rotate {
                return Err(ErrorKind::PermissionDenied.into());
            }
            shelf.files.insert(0, Vec::new());
            Ok(())
        }
    }

    fn writer(disk: &Disk, pairs: &[(&str, &str)]) -> LineWriter<Disk> {
        let path = [("file.path", "out")];
        let config = FileSinkConfig::from_pairs(path.iter().chain(pairs).copied()).unwrap();
        let opened = disk.clone().open().unwrap();
        LineWriter::new(&config, disk.clone(), opened)
    }

    fn failed_row(result: Result<(), RowFailure>) -> usize {
        let failure = result.unwrap_err();
        assert!(failure.error.is_retryable(), "{}", failure.error);
        assert!(failure.error.to_string().starts_with("out: "), "{}", failure.error);
        failure.row
    }

    #[test]
    fn each_payload_is_a_line() {
        let disk = Disk::default();
        disk.set(|shelf| shelf.step = Some(2));
        let mut writer = writer(&disk, &[]);
        writer.append(&batch(["one", "", "three"])).unwrap();
        writer.append(&batch(["four"])).unwrap();
        assert_eq!(disk.file(0), "one\n\nthree\nfour\n");
        assert_eq!(disk.0.lock().unwrap().syncs, 0);
        writer.close().unwrap();
        assert_eq!(disk.0.lock().unwrap().syncs, 1);
    }

    #[test]
    fn line_breaks_inside_a_payload_are_escaped() {
        let disk = Disk::default();
        writer(&disk, &[]).append(&batch(["a\r\nb\n", "c"])).unwrap();
        assert_eq!(disk.file(0), "a\\r\\nb\\n\nc\n");
    }

    #[test]
    fn line_breaks_inside_a_payload_can_be_refused() {
        let disk = Disk::default();
        let failure = writer(&disk, &[("file.line.breaks", "refuse")]).append(&batch(["a", "b\nc", "d"])).unwrap_err();
        assert_eq!((failure.row, failure.error.is_retryable()), (1, false));
        assert_eq!(disk.file(0), "a\n");
    }

    #[test]
    fn on_a_full_disk_whole_lines_stay_and_the_rest_can_be_tried_again() {
        let disk = Disk::default();
        disk.set(|shelf| shelf.room = Some(6));
        let mut writer = writer(&disk, &[]);
        let payloads = batch(["aa", "bbbb", "cc"]);
        assert_eq!(failed_row(writer.append(&payloads)), 1);
        assert_eq!(disk.file(0), "aa\n");
        assert_eq!(failed_row(writer.append(&payloads.tail(1))), 0);
        disk.set(|shelf| shelf.room = None);
        writer.append(&payloads.tail(1)).unwrap();
        assert_eq!(disk.file(0), "aa\nbbbb\ncc\n");
    }

    #[test]
    fn a_part_of_a_line_that_cannot_be_cut_off_is_never_joined_with_the_next_line() {
        let disk = Disk::default();
        disk.set(|shelf| (shelf.room, shelf.cannot_cut) = (Some(5), true));
        let mut writer = writer(&disk, &[]);
        assert_eq!(failed_row(writer.append(&batch(["aa", "bbbb"]))), 1);
        assert_eq!(disk.file(0), "aa\nbb");
        disk.set(|shelf| shelf.room = None);
        assert_eq!(failed_row(writer.append(&batch(["bbbb"]))), 0);
        assert_eq!(disk.file(0), "aa\nbb");
        disk.set(|shelf| shelf.cannot_cut = false);
        writer.append(&batch(["bbbb"])).unwrap();
        assert_eq!(disk.file(0), "aa\nbbbb\n");
    }

    #[test]
    fn a_file_that_somebody_else_emptied_is_not_filled_with_zeros() {
        let disk = Disk::default();
        let mut writer = writer(&disk, &[]);
        writer.append(&batch(["aaaa"])).unwrap();
        disk.set(|shelf| {
            shelf.files[0].clear();
            shelf.room = Some(1);
        });
        assert_eq!(failed_row(writer.append(&batch(["bb"]))), 0);
        disk.set(|shelf| shelf.room = None);
        writer.append(&batch(["bb"])).unwrap();
        assert_eq!(disk.file(0), "bb\n");
    }

    #[test]
    fn a_last_line_without_its_break_gets_one_first() {
        let disk = Disk::default();
        disk.set(|shelf| {
            shelf.files.push(b"old\ncut of".to_vec());
            shelf.room = Some(2);
        });
        let mut writer = writer(&disk, &[]);
        assert_eq!(failed_row(writer.append(&batch(["new"]))), 0);
        assert_eq!(disk.file(0), "old\ncut of");
        disk.set(|shelf| shelf.room = None);
        writer.append(&batch(["new"])).unwrap();
        writer.append(&batch(["er"])).unwrap();
        assert_eq!(disk.file(0), "old\ncut of\nnew\ner\n");
    }

    #[test]
    fn a_file_is_rotated_before_it_would_be_too_large() {
        let disk = Disk::default();
        let mut writer = writer(&disk, &[("file.rotate.size", "8")]);
        writer.append(&batch(["aaa", "bbb", "c", "much too long", "d", "e"])).unwrap();
        assert_eq!(disk.files(), ["d\ne\n", "much too long\n", "c\n", "aaa\nbbb\n"]);
        writer.append(&batch(["ff"])).unwrap();
        assert_eq!(disk.file(0), "d\ne\nff\n");
    }

    #[test]
    fn an_unfinished_file_that_is_full_is_rotated_as_it_is() {
        let disk = Disk::default();
        disk.set(|shelf| shelf.files.push(b"12345678".to_vec()));
        writer(&disk, &[("file.rotate.size", "8")]).append(&batch(["a"])).unwrap();
        assert_eq!(disk.files(), ["a\n", "12345678"]);
    }

    #[test]
    fn a_rotation_that_fails_loses_nothing_and_is_tried_again() {
        let disk = Disk::default();
        disk.set(|shelf| shelf.cannot_rotate = true);
        let mut writer = writer(&disk, &[("file.rotate.size", "4")]);
        assert_eq!(failed_row(writer.append(&batch(["aaa", "bbb"]))), 1);
        assert_eq!(disk.files(), ["aaa\n"]);
        disk.set(|shelf| shelf.cannot_rotate = false);
        writer.append(&batch(["bbb"])).unwrap();
        assert_eq!(disk.files(), ["bbb\n", "aaa\n"]);
    }

    #[test]
    fn what_the_disk_did_not_confirm_is_not_delivered_and_not_doubled() {
        let disk = Disk::default();
        let mut writer = writer(&disk, &[("file.sync", "batch")]);
        writer.append(&batch(["a"])).unwrap();
        assert_eq!(disk.0.lock().unwrap().syncs, 1);
        disk.set(|shelf| shelf.cannot_sync = true);
        assert_eq!(failed_row(writer.append(&batch(["b", "c"]))), 0);
        assert_eq!(disk.file(0), "a\n");
        disk.set(|shelf| (shelf.cannot_sync, shelf.room) = (false, Some(3)));
        assert_eq!(failed_row(writer.append(&batch(["b", "c"]))), 0);
        disk.set(|shelf| shelf.room = None);
        writer.append(&batch(["b", "c"])).unwrap();
        assert_eq!(disk.file(0), "a\nb\nc\n");
    }

    #[test]
    fn many_payloads_are_written_in_chunks() {
        let disk = Disk::default();
        let payload = "x".repeat(CHUNK_SIZE / 3);
        writer(&disk, &[]).append(&batch([&payload; 10])).unwrap();
        assert_eq!(disk.file(0), format!("{payload}\n").repeat(10));
    }
}
