//! What goes wrong with a spool.

use std::io;
use std::path::PathBuf;

/// Why a spool cannot be opened, written or read. [`SpoolError::is_passing`] says whether to try again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// Somebody else has the directory: another process, or another part of this one.
    #[error(
        "the spool {directory:?} is in use: one process at a time can have it; give each its own directory, or stop the other"
    )]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// A file of another program has the name of ours. It is left as it is.
    #[error(
        "{file:?} is not the file of a spool ({reason}): it is left as it is; name an empty directory, or move the file away"
    )]
    Foreign {
        /// The file.
        file: PathBuf,
        /// What was found in it.
        reason: &'static str,
    },
    /// The file was written by another version of this crate, or of the database below it.
    #[error(
        "{file:?} has format {found}, and this version reads format {known}: use the version that wrote it to deliver what it holds, or move the file away"
    )]
    Format {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u64,
        /// What this version reads and writes.
        known: u64,
    },
    /// What the file holds contradicts its checksums or itself. It is left as it is.
    #[error(
        "{file:?} is damaged ({reason}): it is left as it is; move it away to begin with an empty spool, which gives up what it holds"
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The disk says no: it is full, the file may not be written, a device fails.
    #[error("cannot {what} {path:?}: {source}{}", hint(source))]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file failed a moment ago and is not open yet. Blocks are kept in memory, and it is tried again.
    #[error("the spool {directory:?} failed and is not open again yet: try again when it has recovered")]
    Unavailable {
        /// The directory.
        directory: PathBuf,
    },
    /// More is asked for at the same time than a spool answers.
    #[error("the spool {directory:?} has {limit} requests to load blocks waiting: try again when some are answered")]
    Busy {
        /// The directory.
        directory: PathBuf,
        /// [`crate::LOADS`].
        limit: usize,
    },
    /// A reader cannot be marked.
    #[error("the spool {directory:?} cannot keep the position of a reader: {reason}")]
    Reader {
        /// The directory.
        directory: PathBuf,
        /// What is wrong, with the limit.
        reason: String,
    },
    /// The spool was closed.
    #[error("the spool {directory:?} is closed")]
    Closed {
        /// The directory.
        directory: PathBuf,
    },
}

impl SpoolError {
    /// Whether the same may work later without anybody changing the configuration or the file.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::InUse { .. } | Self::Io { .. } | Self::Unavailable { .. } | Self::Busy { .. })
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ": free some space there",
        io::ErrorKind::PermissionDenied => ": let the user of this process read and write there",
        io::ErrorKind::ReadOnlyFilesystem => ": name a directory that can be written",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_place_the_reason_and_the_way_out() {
        let full = SpoolError::Io { what: "write", path: "/spool/x".into(), source: io::ErrorKind::StorageFull.into() };
        assert_eq!(full.to_string(), r#"cannot write "/spool/x": no storage space: free some space there"#);
        assert!(full.is_passing());
        let foreign = SpoolError::Foreign { file: "/spool/x".into(), reason: "it is a text" };
        assert!(foreign.to_string().contains("\"/spool/x\""), "{foreign}");
        assert!(foreign.to_string().contains("left as it is"), "{foreign}");
        assert!(!foreign.is_passing());
    }
}
