//! What other processes say to be present, until they take it back or nobody confirms it. Knows no clock: it is told the
//! time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Most that is kept of others, so that no number of processes exhausts this one.
pub(super) const MAX_ENTRIES: usize = 1_000_000;

/// Longest time between two looks at what was not confirmed.
const MAX_PERIOD: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Others {
    /// How long something is believed that nobody confirms.
    ttl: Duration,
    entries: HashMap<Id, Entry>,
    /// When each of them is not believed any more.
    due: BTreeSet<(Instant, Id)>,
    /// When it looked last.
    looked: Instant,
}

/// What is present, and who says so.
pub(super) type Id = Arc<(String, String)>;

#[derive(Debug)]
struct Entry {
    value: Bytes,
    due: Instant,
}

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The same as before.
    Same,
    /// Something else.
    News(Id),
    /// There is no place for it.
    Full,
}

impl Others {
    pub(super) fn new(now: Instant, ttl: Duration) -> Self {
        Self { ttl, entries: HashMap::new(), due: BTreeSet::new(), looked: now }
    }

    /// How long something is believed from now on.
    pub(super) fn set_ttl(&mut self, ttl: Duration) {
        self.ttl = ttl;
    }

    /// How often [`forget`](Self::forget) has to be called.
    pub(super) fn period(&self) -> Duration {
        (self.ttl / 8).min(MAX_PERIOD)
    }

    /// Somebody says something.
    pub(super) fn hear(&mut self, now: Instant, key: String, instance: String, value: Option<&Bytes>) -> Heard {
        let id = Arc::new((key, instance));
        let before = self.entries.remove_entry(&id);
        if let Some((id, entry)) = &before {
            self.due.remove(&(entry.due, id.clone()));
        }
        let Some(value) = value else {
            return before.map_or(Heard::Same, |(id, _)| Heard::News(id));
        };
        if self.entries.len() >= MAX_ENTRIES {
            return Heard::Full;
        }
        let same = before.is_some_and(|(_, entry)| entry.value == *value);
        let due = now + self.ttl;
        self.due.insert((due, id.clone()));
        self.entries.insert(id.clone(), Entry { value: value.clone(), due });
        if same { Heard::Same } else { Heard::News(id) }
    }

    /// What nobody has confirmed in time. Time in which nobody called this does not count: this process did not run, or was
    /// not read to, and what was said meanwhile is still on its way.
    pub(super) fn forget(&mut self, now: Instant) -> Vec<Id> {
        let late = now.saturating_duration_since(self.looked).saturating_sub(2 * self.period());
        self.looked = now;
        if !late.is_zero() {
            self.put_off(late);
        }
        let mut gone = Vec::new();
        while let Some((due, _)) = self.due.first()
            && *due <= now
            && let Some((_, id)) = self.due.pop_first()
        {
            self.entries.remove(&id);
            gone.push(id);
        }
        gone
    }

    fn put_off(&mut self, late: Duration) {
        self.due = std::mem::take(&mut self.due).into_iter().map(|(due, id)| (due + late, id)).collect();
        for entry in self.entries.values_mut() {
            entry.due += late;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(8);

    fn hear(others: &mut Others, now: Instant, value: Option<&'static str>) -> Heard {
        others.hear(
            now,
            "room".to_owned(),
            "i".to_owned(),
            value.map(|text| Bytes::from_static(text.as_bytes())).as_ref(),
        )
    }

    fn news() -> Heard {
        Heard::News(id())
    }

    fn id() -> Id {
        Arc::new(("room".to_owned(), "i".to_owned()))
    }

    #[test]
    fn news_are_what_changes() {
        let start = Instant::now();
        let mut others = Others::new(start, TTL);
        assert_eq!(hear(&mut others, start, None), Heard::Same);
        assert_eq!(hear(&mut others, start, Some("1")), news());
        assert_eq!(hear(&mut others, start, Some("1")), Heard::Same);
        assert_eq!(hear(&mut others, start, Some("2")), news());
        assert_eq!(hear(&mut others, start, None), news());
        assert_eq!((others.entries.len(), others.due.len()), (0, 0));
    }

    #[test]
    fn what_nobody_confirms_is_forgotten() {
        let start = Instant::now();
        let mut others = Others::new(start, TTL);
        hear(&mut others, start, Some("1"));
        let mut forgotten = Vec::new();
        for eighth in 1..=24 {
            let now = start + eighth * TTL / 8;
            if eighth == 6 {
                hear(&mut others, now, Some("1"));
            }
            forgotten.extend(others.forget(now).into_iter().map(|id| (eighth, id)));
        }
        assert_eq!(forgotten, [(14, id())]);
        assert_eq!(hear(&mut others, start + 4 * TTL, Some("1")), news());
    }

    #[test]
    fn a_process_that_did_not_run_forgets_nobody_for_that() {
        let start = Instant::now();
        let mut others = Others::new(start, TTL);
        hear(&mut others, start, Some("1"));
        let awake = start + 100 * TTL;
        assert_eq!(others.forget(awake), []);
        let forgotten = (1..=8).flat_map(|eighth| others.forget(awake + eighth * TTL / 8));
        assert_eq!(forgotten.count(), 1);
    }
}
