//! What this process says to be present, and when it has to be said. Knows no clock: it is told the time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Most keys of one process.
pub(super) const MAX_KEYS: usize = 100_000;

/// How long changes of a key are gathered.
pub(super) const GATHER: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub(super) struct Own {
    /// How often what has not changed is repeated.
    repeat: Duration,
    keys: HashMap<Arc<str>, Entry>,
    /// When each key is to be said next.
    due: BTreeSet<(Instant, Arc<str>)>,
}

#[derive(Debug)]
struct Entry {
    /// `None`: to be taken back.
    value: Option<Bytes>,
    /// Whether others may know of it.
    said: bool,
    /// Whether it has changed since.
    changed: bool,
    due: Instant,
}

/// There are too many keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Own {
    pub(super) fn new(repeat: Duration) -> Self {
        Self { repeat, keys: HashMap::new(), due: BTreeSet::new() }
    }

    /// Repeats what does not change so often from now on.
    pub(super) fn set_repeat(&mut self, repeat: Duration) {
        self.repeat = repeat;
    }

    /// Changes what is said of `key`.
    pub(super) fn set(&mut self, now: Instant, key: &str, value: Option<Bytes>) -> Result<(), Full> {
        let name = self.keys.get_key_value(key).map(|(name, _)| name.clone());
        let Some((name, entry)) = name.zip(self.keys.get_mut(key)) else {
            return value.map_or(Ok(()), |value| self.add(now, key, value));
        };
        if entry.value == value {
            return Ok(());
        }
        entry.value = value;
        if entry.value.is_none() && !entry.said {
            self.due.remove(&(entry.due, name));
            self.keys.remove(key);
            return Ok(());
        }
        if !std::mem::replace(&mut entry.changed, true) {
            let due = now + GATHER;
            Self::put_off(&mut self.due, entry, name, due);
        }
        Ok(())
    }

    /// Everything is to be said as soon as possible: the others may have forgotten it.
    pub(super) fn repeat_all(&mut self, now: Instant) {
        for (name, entry) in &mut self.keys {
            Self::put_off(&mut self.due, entry, name.clone(), now);
        }
    }

    /// Everything is to be taken back as soon as possible.
    pub(super) fn withdraw_all(&mut self, now: Instant) {
        let keys: Vec<_> = self.keys.keys().cloned().collect();
        for key in keys {
            // A key that is there always has a place.
            let _ = self.set(now, &key, None);
        }
        self.repeat_all(now);
    }

    /// The next key that is to be said now, with its value; `None` as a value: it is to be taken back.
    pub(super) fn take(&mut self, now: Instant) -> Option<(Arc<str>, Option<Bytes>)> {
        let (due, _) = self.due.first()?;
        if *due > now {
            return None;
        }
        let (_, name) = self.due.pop_first()?;
        let entry = self.keys.get_mut(&name)?;
        let value = entry.value.clone();
        if value.is_none() {
            self.keys.remove(&name);
        } else {
            entry.said = true;
            entry.changed = false;
            entry.due = now + self.repeat;
            self.due.insert((entry.due, name.clone()));
        }
        Some((name, value))
    }

    /// When something is to be said next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    fn add(&mut self, now: Instant, key: &str, value: Bytes) -> Result<(), Full> {
        if self.keys.len() >= MAX_KEYS {
            return Err(Full);
        }
        let (name, due) = (Arc::<str>::from(key), now + GATHER);
        self.due.insert((due, name.clone()));
        self.keys.insert(name, Entry { value: Some(value), said: false, changed: true, due });
        Ok(())
    }

    fn put_off(all: &mut BTreeSet<(Instant, Arc<str>)>, entry: &mut Entry, name: Arc<str>, due: Instant) {
        all.remove(&(entry.due, name.clone()));
        entry.due = due;
        all.insert((due, name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPEAT: Duration = Duration::from_secs(10);

    fn value(text: &'static str) -> Option<Bytes> {
        Some(Bytes::from_static(text.as_bytes()))
    }

    fn said(own: &mut Own, now: Instant) -> Vec<(String, Option<Bytes>)> {
        std::iter::from_fn(|| own.take(now)).map(|(key, value)| (key.to_string(), value)).collect()
    }

    fn said_of(key: &str, value: Option<Bytes>) -> (String, Option<Bytes>) {
        (key.to_owned(), value)
    }

    #[test]
    fn changes_that_follow_each_other_are_said_once_and_not_put_off() {
        let (mut own, start) = (Own::new(REPEAT), Instant::now());
        own.set(start, "a", value("1")).unwrap();
        own.set(start + GATHER / 2, "a", value("2")).unwrap();
        assert_eq!(said(&mut own, start + GATHER / 2), []);
        assert_eq!(own.next(), Some(start + GATHER));
        assert_eq!(said(&mut own, start + GATHER), [said_of("a", value("2"))]);
        own.set(start + GATHER, "a", value("2")).unwrap();
        assert_eq!(said(&mut own, start + 3 * GATHER), []);
        own.set(start + 3 * GATHER, "a", value("3")).unwrap();
        assert_eq!(said(&mut own, start + 4 * GATHER), [said_of("a", value("3"))]);
    }

    #[test]
    fn what_does_not_change_is_repeated() {
        let (mut own, start) = (Own::new(REPEAT), Instant::now());
        own.set(start, "a", value("1")).unwrap();
        assert_eq!(said(&mut own, start + GATHER).len(), 1);
        assert_eq!(own.next(), Some(start + GATHER + REPEAT));
        assert_eq!(said(&mut own, start + GATHER + REPEAT), [said_of("a", value("1"))]);
        own.repeat_all(start + 2 * REPEAT);
        assert_eq!(said(&mut own, start + 2 * REPEAT).len(), 1);
        assert_eq!(said(&mut own, start + 2 * REPEAT).len(), 0);
    }

    #[test]
    fn what_was_said_is_taken_back_and_what_was_not_is_forgotten() {
        let (mut own, start) = (Own::new(REPEAT), Instant::now());
        own.set(start, "a", value("1")).unwrap();
        own.set(start, "a", None).unwrap();
        assert_eq!(own.next(), None);
        own.set(start, "a", value("1")).unwrap();
        said(&mut own, start + GATHER);
        own.set(start + REPEAT, "a", None).unwrap();
        own.set(start + REPEAT, "never", None).unwrap();
        assert_eq!(said(&mut own, start + REPEAT + GATHER), [said_of("a", None)]);
        assert_eq!((own.next(), own.keys.len()), (None, 0));
    }

    #[test]
    fn all_is_taken_back_at_the_end() {
        let (mut own, start) = (Own::new(REPEAT), Instant::now());
        own.set(start, "a", value("1")).unwrap();
        said(&mut own, start + GATHER);
        own.set(start + GATHER, "b", value("2")).unwrap();
        own.withdraw_all(start + GATHER);
        assert_eq!(said(&mut own, start + GATHER), [said_of("a", None)]);
        assert_eq!(own.next(), None);
    }

    #[test]
    fn keys_have_a_limit_that_those_that_are_there_do_not_feel() {
        let (mut own, start) = (Own::new(REPEAT), Instant::now());
        for key in 0..MAX_KEYS {
            own.set(start, &key.to_string(), value("1")).unwrap();
        }
        assert_eq!(own.set(start, "one more", value("1")), Err(Full));
        assert_eq!(own.set(start, "one more", None), Ok(()));
        assert_eq!(own.set(start, "7", value("2")), Ok(()));
        own.set(start, "7", None).unwrap();
        assert_eq!(own.set(start, "one more", value("1")), Ok(()));
    }
}
