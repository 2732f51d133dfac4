//! A directory as a store: made when it does not exist, and tried out.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use eventflux_core::EventFluxError;
use object_store::local::LocalFileSystem;
use uuid::Uuid;

use crate::properties::URL;

/// Opens a directory. With `sync`, the disk has an object, and the entry for it, before it counts as written.
///
/// # Errors
/// [`EventFluxError::Configuration`] when there is none, and none can be made.
pub(crate) fn open(path: &Path, sync: bool) -> Result<LocalFileSystem, EventFluxError> {
    let refused = |error: String| {
        EventFluxError::property(URL, format!("the directory '{}' cannot be used: {error}", path.display()))
            .with_hint("name a directory that exists or can be made")
    };
    fs::create_dir_all(path).map_err(|error| refused(error.to_string()))?;
    let store = LocalFileSystem::new_with_prefix(path).map_err(|error| refused(error.to_string()))?;
    Ok(store.with_fsync(sync))
}

/// Tries whether objects can be written below a directory, or the directory be made. Leaves nothing behind.
pub(crate) fn try_out(path: &Path) -> io::Result<()> {
    let absolute = std::path::absolute(path)?;
    let existing = absolute.ancestors().find(|path| path.exists()).unwrap_or(&absolute);
    let trial = existing.join(format!(".eventflux-{}", Uuid::now_v7().simple()));
    OpenOptions::new().write(true).create_new(true).open(&trial)?;
    fs::remove_file(&trial)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_made_with_those_above_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        open(&path, true).unwrap();
        assert!(path.is_dir());
    }

    #[test]
    fn what_is_no_directory_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        for path in [path.clone(), path.join("below")] {
            let error = open(&path, true).unwrap_err().to_string();
            assert!(error.starts_with("property 'objectstore.url': the directory '"), "{error}");
            assert!(error.contains("cannot be used"), "{error}");
            assert!(try_out(&path).is_err());
        }
    }

    #[test]
    fn trying_out_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        try_out(&folder.path().join("a/b")).unwrap();
        try_out(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
