//! What a service said about credentials, remembered for a while, and asked once however many want to know.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eventflux_gateway::auth::{Denied, Identity};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;

/// The most answers remembered and questions under way; beyond, the older half of the answers is forgotten.
pub(super) const MAX_ENTRIES: usize = 10_000;

/// What stands for credentials: a digest, so that none lie about in memory.
pub(super) type Key = [u8; 32];

type Verdict = Result<Identity, Denied>;

/// Identities by credentials. Refusals are not remembered: who has just been let in somewhere else is let in here too.
#[derive(Default)]
pub(super) struct Cache(Mutex<HashMap<Key, Entry>>);

enum Entry {
    /// Somebody asks; whoever wants to know waits for the same answer.
    Asking(Shared<BoxFuture<'static, Verdict>>),
    Known {
        identity: Identity,
        until: Instant,
    },
}

impl Cache {
    /// What is known, or what `ask` finds out: an identity and how long it may be remembered. The question goes on when
    /// nobody waits for it any more. Needs a runtime.
    ///
    /// # Errors
    /// What `ask` says; [`Denied::Unavailable`] when too many questions are under way.
    pub(super) async fn get_or_ask(
        self: &Arc<Self>,
        key: Key,
        ask: impl Future<Output = Result<(Identity, Duration), Denied>> + Send + 'static,
    ) -> Verdict {
        let asking = {
            let mut entries = self.lock();
            match entries.get(&key) {
                Some(Entry::Known { identity, until }) if *until > Instant::now() => return Ok(identity.clone()),
                Some(Entry::Asking(asking)) => asking.clone(),
                _ => {
                    make_room(&mut entries)?;
                    let asking = self.clone().ask(key, ask).boxed().shared();
                    entries.insert(key, Entry::Asking(asking.clone()));
                    asking
                }
            }
        };
        asking.await
    }

    /// Starts to ask at once, and tells what came of it.
    fn ask(
        self: Arc<Self>,
        key: Key,
        ask: impl Future<Output = Result<(Identity, Duration), Denied>> + Send + 'static,
    ) -> impl Future<Output = Verdict> + Send {
        let task = tokio::spawn(async move {
            // A panic must not leave a question that is never answered.
            let verdict = std::panic::AssertUnwindSafe(ask).catch_unwind().await.unwrap_or(Err(Denied::Unavailable));
            let mut entries = self.lock();
            match &verdict {
                Ok((identity, keep)) if !keep.is_zero() => {
                    let until = Instant::now() + *keep;
                    entries.insert(key, Entry::Known { identity: identity.clone(), until });
                }
                _ => drop(entries.remove(&key)),
            }
            verdict.map(|(identity, _)| identity)
        });
        async move { task.await.unwrap_or(Err(Denied::Unavailable)) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets what is no longer valid; when that is little, also the answers that would be valid for the shorter half.
fn make_room(entries: &mut HashMap<Key, Entry>) -> Result<(), Denied> {
    if entries.len() < MAX_ENTRIES {
        return Ok(());
    }
    let mut ends: Vec<_> = entries.values().filter_map(Entry::until).collect();
    let middle = ends.len() / 2;
    let bound = if ends.is_empty() { Instant::now() } else { *ends.select_nth_unstable(middle).1 }.max(Instant::now());
    entries.retain(|_, entry| entry.until().is_none_or(|until| until > bound));
    entries.shrink_to(MAX_ENTRIES / 2);
    if entries.len() < MAX_ENTRIES { Ok(()) } else { Err(Denied::Unavailable) }
}

impl Entry {
    fn until(&self) -> Option<Instant> {
        match self {
            Self::Asking(_) => None,
            Self::Known { until, .. } => Some(*until),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    const KEEP: Duration = Duration::from_secs(30);

    fn identity(user: &str) -> Identity {
        Identity { user: Some(user.into()), grants: Arc::default(), expires: None }
    }

    fn key(number: usize) -> Key {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        key
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_remembered_as_long_as_it_may_be() {
        let cache = Arc::new(Cache::default());
        let ask = |user: &'static str| cache.get_or_ask(key(1), async move { Ok((identity(user), KEEP)) });
        assert_eq!(ask("first").await, Ok(identity("first")));
        tokio::time::advance(KEEP - Duration::from_millis(1)).await;
        assert_eq!(ask("second").await, Ok(identity("first")));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(ask("third").await, Ok(identity("third")));
        let never = |user: &'static str| cache.get_or_ask(key(2), async move { Ok((identity(user), Duration::ZERO)) });
        assert_eq!((never("a").await, never("b").await), (Ok(identity("a")), Ok(identity("b"))));
    }

    #[tokio::test]
    async fn a_refusal_is_not_remembered() {
        let cache = Arc::new(Cache::default());
        assert_eq!(cache.get_or_ask(key(1), async { Err(Denied::Unknown) }).await, Err(Denied::Unknown));
        assert_eq!(cache.get_or_ask(key(1), async { panic!("a bug") }).await, Err(Denied::Unavailable));
        assert!(cache.get_or_ask(key(1), async { Ok((identity("ann"), KEEP)) }).await.is_ok());
    }

    #[tokio::test]
    async fn many_who_want_to_know_the_same_ask_once_and_go_away_as_they_like() {
        let (cache, asked) = (Arc::new(Cache::default()), Arc::new(AtomicUsize::new(0)));
        let (answer, answered) = oneshot::channel::<()>();
        let mut answered = Some(answered);
        let mut waiting: Vec<_> = Vec::new();
        for _ in 0..100 {
            let (asked, answered) = (asked.clone(), answered.take());
            let question = async move {
                asked.fetch_add(1, Ordering::Relaxed);
                answered.unwrap().await.unwrap();
                Ok((identity("ann"), KEEP))
            };
            let cache = cache.clone();
            waiting.push(Box::pin(async move { cache.get_or_ask(key(1), question).await }));
        }
        for waiting in &mut waiting {
            assert!(futures_util::poll!(waiting).is_pending());
        }
        // The one that asked is gone, and the others get the answer.
        drop(waiting.remove(0));
        answer.send(()).unwrap();
        for waiting in waiting {
            assert_eq!(waiting.await, Ok(identity("ann")));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let cache = Arc::new(Cache::default());
        for number in 0..3 * MAX_ENTRIES {
            let keep = KEEP + Duration::from_millis(number as u64);
            cache.get_or_ask(key(number), async move { Ok((identity("ann"), keep)) }).await.unwrap();
            assert!(cache.lock().len() <= MAX_ENTRIES);
        }
        let newest = cache.get_or_ask(key(3 * MAX_ENTRIES - 1), async { Err(Denied::Unknown) }).await;
        assert_eq!(newest, Ok(identity("ann")));
    }

    #[tokio::test]
    async fn questions_under_way_are_bounded() {
        let cache = Arc::new(Cache::default());
        for number in 0..MAX_ENTRIES {
            let mut waiting = Box::pin(cache.get_or_ask(key(number), std::future::pending()));
            assert!(futures_util::poll!(&mut waiting).is_pending());
        }
        let one_more = cache.get_or_ask(key(MAX_ENTRIES), async { Ok((identity("ann"), KEEP)) }).await;
        assert_eq!(one_more, Err(Denied::Unavailable));
    }
}
