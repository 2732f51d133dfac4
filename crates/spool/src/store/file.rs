//! The directory of a spool: who has it, and what is in it.
//!
//! | file | for |
//! |---|---|
//! | `lock` | is locked as long as somebody has the directory |
//! | `spool.redb` | the log |
//! | `spool.redb.new` | a log that is being made: what a crash leaves of it is made again |
//! | `probe` | tries whether the disk takes something again; removed at once |

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::{Place, Store, builder, contain, failure, initialise};
use crate::error::SpoolError;

/// How a file of redb begins.
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";
/// What is written to see whether a disk takes something again.
const PROBE_BYTES: usize = 1024 * 1024;

/// A directory that is ours as long as this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Takes `path`, and makes it when it is not there.
    pub(crate) fn claim(path: &Path) -> Result<Self, SpoolError> {
        make_directory(path).map_err(io_error("make", path))?;
        let file = path.join("lock");
        let lock = private().truncate(false).open(&file).map_err(io_error("open", &file))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(SpoolError::InUse { directory: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(io_error("lock", &file)(error)),
        }
    }

    fn file(&self) -> PathBuf {
        self.path.join("spool.redb")
    }

    /// Makes an empty log beside its place and moves it there: half of one is never taken for a damaged one.
    fn make(&self) -> Result<(), SpoolError> {
        let (new, file) = (self.path.join("spool.redb.new"), self.file());
        drop(private().truncate(true).open(&new).map_err(io_error("make", &new))?);
        let database = builder().create(&new).map_err(|error| failure(&new, "make", error.into()))?;
        initialise(&database, &new)?;
        database.close().map_err(|error| failure(&new, "make", error.into()))?;
        std::fs::rename(&new, &file).map_err(io_error("make", &file))?;
        sync_directory(&self.path).map_err(io_error("sync", &self.path))
    }
}

impl Place for Directory {
    fn open(&self) -> Result<Store, SpoolError> {
        let file = self.file();
        if !file.try_exists().map_err(io_error("open", &file))? {
            self.make()?;
        }
        check_beginning(&file)?;
        forget_cached(&file).map_err(io_error("open", &file))?;
        let database = contain(&file, || builder().open(&file).map_err(|error| failure(&file, "open", error.into())))?;
        Store::new(database, file)
    }

    fn probe(&self) -> Result<(), SpoolError> {
        let file = self.path.join("probe");
        let write = || {
            let mut probe = private().truncate(true).open(&file)?;
            probe.write_all(&vec![0; PROBE_BYTES])?;
            probe.sync_all()
        };
        let written = write();
        let removed = std::fs::remove_file(&file);
        written.and(removed).map_err(io_error("write", &file))
    }
}

/// Tells files of others by their first bytes: redb may write to whatever it opens.
fn check_beginning(file: &Path) -> Result<(), SpoolError> {
    let mut beginning = Vec::new();
    let read = File::open(file).and_then(|open| open.take(MAGIC.len() as u64).read_to_end(&mut beginning));
    read.map_err(io_error("read", file))?;
    if beginning == MAGIC {
        return Ok(());
    }
    let reason = if beginning.is_empty() { "it is empty" } else { "it is no redb database" };
    Err(SpoolError::Foreign { file: file.to_owned(), reason })
}

/// After a failed sync the system's cache may show what never reached the disk. What is read next is to come from there.
fn forget_cached(file: &Path) -> io::Result<()> {
    let open = OpenOptions::new().read(true).write(true).open(file)?;
    open.sync_all()?;
    #[cfg(target_os = "linux")]
    rustix::fs::fadvise(&open, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

/// Opens for reading and writing, made when it is not there, for our user alone.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a directory with those above it, and has the name of it on the disk.
fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut maker = DirBuilder::new();
    maker.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut maker, 0o700);
    maker.create(path)?;
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_directory)
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| SpoolError::Io { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::{Database, TableDefinition};

    fn open(directory: &Path) -> Result<Store, SpoolError> {
        Directory::claim(directory)?.open()
    }

    #[test]
    fn an_empty_log_is_made_once_and_keeps_its_epoch() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("not/there/yet");
        let made = open(&below).unwrap().contents().unwrap();
        assert_eq!((made.first, made.next, made.bytes), (0, 0, 0));
        assert!((1..1 << 53).contains(&made.epoch));
        assert_eq!(open(&below).unwrap().contents().unwrap(), made);
    }

    #[cfg(unix)]
    #[test]
    fn files_are_for_our_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("spool");
        open(&below).unwrap();
        let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(below.clone()), 0o700);
        assert_eq!(mode(below.join("spool.redb")), 0o600);
        assert_eq!(mode(below.join("lock")), 0o600);
    }

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let first = Directory::claim(directory.path()).unwrap();
        let second = Directory::claim(directory.path()).unwrap_err();
        assert!(matches!(&second, SpoolError::InUse { directory: named } if named == directory.path()), "{second}");
        drop(first);
        Directory::claim(directory.path()).unwrap();
    }

    #[test]
    fn what_a_crash_left_of_a_log_that_was_being_made_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("spool.redb.new"), b"half of something").unwrap();
        assert_eq!(open(directory.path()).unwrap().contents().unwrap().next, 0);
        assert!(!directory.path().join("spool.redb.new").exists());
    }

    #[test]
    fn files_of_others_are_refused_and_left_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("spool.redb");
        for content in ["", "a", "a text that somebody wrote, longer than the header of a database\n"] {
            std::fs::write(&file, content).unwrap();
            let error = open(directory.path()).unwrap_err();
            assert!(matches!(&error, SpoolError::Foreign { file: named, .. } if *named == file), "{error}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), content);
        }
        std::fs::remove_file(&file).unwrap();
        let database = Database::create(&file).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(TableDefinition::<u64, u64>::new("theirs")).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let error = open(directory.path()).unwrap_err();
        assert!(matches!(error, SpoolError::Foreign { .. }), "{error}");
    }

    #[test]
    fn a_format_of_another_version_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        drop(open(directory.path()).unwrap());
        let database = Database::open(directory.path().join("spool.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(super::super::NUMBERS).unwrap().insert("format", 7).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let error = open(directory.path()).unwrap_err();
        assert!(matches!(error, SpoolError::Format { found: 7, known: 1, .. }), "{error}");
    }

    #[test]
    fn a_probe_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        Directory::claim(directory.path()).unwrap().probe().unwrap();
        let names: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["lock"]);
    }
}
