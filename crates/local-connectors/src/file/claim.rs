//! Which files the sinks of this process write, so that no two write the same one.
//!
//! The names of rotated files are claimed as well: `a` that rotates and `a.1` that somebody else writes do not go
//! together. Against other processes a lock on the open file helps ([`store`](super::store)).

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::config::Rotation;
use crate::sync::lock;

static CLAIMED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The right to write some files, until it is dropped.
#[derive(Debug)]
pub(super) struct Claim(Vec<PathBuf>);

impl Claim {
    /// Claims a file, by its absolute path without links, and those it rotates to.
    ///
    /// # Errors
    /// The path that is claimed already.
    pub(super) fn new(path: &Path, rotation: Option<Rotation>) -> Result<Self, PathBuf> {
        let keep = rotation.map_or(0, |rotation| rotation.keep);
        let paths: Vec<_> = (0..=keep).map(|number| rotated(path, number)).collect();
        let mut claimed = lock(&CLAIMED);
        if let Some(taken) = paths.iter().find(|path| claimed.contains(*path)) {
            return Err(taken.clone());
        }
        claimed.extend(paths.iter().cloned());
        Ok(Self(paths))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claimed = lock(&CLAIMED);
        for path in &self.0 {
            claimed.remove(path);
        }
    }
}

/// The name of rotated file number `number`; number 0 is the file itself.
pub(super) fn rotated(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_what_it_rotates_to_are_claimed_until_the_claim_is_dropped() {
        let path = Path::new("/claim-test/a");
        let rotation = Some(Rotation { size: 1, keep: 2 });
        let claim = Claim::new(path, rotation).unwrap();
        assert_eq!(Claim::new(path, None).unwrap_err(), path);
        assert_eq!(Claim::new(&rotated(path, 2), None).unwrap_err(), Path::new("/claim-test/a.2"));
        assert!(Claim::new(&rotated(path, 3), None).is_ok());
        assert!(Claim::new(Path::new("/claim-test/b"), None).is_ok());
        drop(claim);
        assert!(Claim::new(path, rotation).is_ok());
    }
}
