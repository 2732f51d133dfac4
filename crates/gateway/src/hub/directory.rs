//! Who is connected: by session, by user, by address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::config::HubConfig;
use super::mailbox::Mailbox;
use crate::filter::Filter;
use crate::{Ending, Pattern};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    sessions: HashMap<Uuid, Arc<Member>>,
    users: HashMap<Arc<str>, Vec<Arc<Member>>>,
    addresses: HashMap<IpAddr, usize>,
    /// Members of channels, where presence is kept: each session once, with the number of its subscriptions.
    present: HashMap<Arc<str>, HashMap<Uuid, Present>>,
    /// The same as other hubs have it: by channel and by hub.
    elsewhere: HashMap<Arc<str>, HashMap<Arc<str>, Members>>,
}

/// Session and user of each.
type Members = Vec<(String, Option<String>)>;

/// User of a session, and number of its subscriptions to a channel.
type Present = (Option<Arc<str>>, usize);

/// One session, as others see it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: Uuid,
    pub(crate) address: IpAddr,
    pub(crate) mailbox: Arc<Mailbox>,
    /// What it subscribed to: events for its user alone are looked up here.
    pub(crate) interests: Mutex<Vec<Interest>>,
    /// Events and replies that the driver has and did not send yet.
    unsent: AtomicU64,
}

/// A subscription, as events for one user meet it.
#[derive(Debug, Clone)]
pub(crate) struct Interest {
    /// What the client calls the subscription.
    pub(crate) subscription: Arc<str>,
    pub(crate) pattern: Pattern,
    pub(crate) filter: Option<Filter>,
}

impl Directory {
    /// Takes a session in.
    pub(super) fn admit(&self, address: IpAddr, config: &HubConfig) -> Result<Arc<Member>, Ending> {
        let mut table = self.lock();
        table.has_room(address, config)?;
        *table.addresses.entry(address).or_default() += 1;
        let member = Arc::new(Member {
            id: Uuid::new_v4(),
            address,
            mailbox: Arc::default(),
            interests: Mutex::default(),
            unsent: AtomicU64::new(0),
        });
        table.sessions.insert(member.id, member.clone());
        Ok(member)
    }

    pub(super) fn has_room(&self, address: IpAddr, config: &HubConfig) -> Result<(), Ending> {
        self.lock().has_room(address, config)
    }

    /// The session is this user's from now on.
    ///
    /// # Errors
    /// [`Ending::UserLimit`]
    pub(crate) fn is_user(&self, member: &Arc<Member>, user: &Arc<str>, limit: Option<usize>) -> Result<(), Ending> {
        let mut table = self.lock();
        let known = table.users.get(user).map_or(&[][..], Vec::as_slice);
        if known.iter().any(|known| known.id == member.id) {
            return Ok(());
        }
        if limit.is_some_and(|limit| known.len() >= limit) {
            return Err(Ending::UserLimit);
        }
        table.users.entry(user.clone()).or_default().push(member.clone());
        Ok(())
    }

    /// The session is gone.
    pub(crate) fn leave(&self, member: &Member, user: Option<&Arc<str>>) {
        let mut table = self.lock();
        table.sessions.remove(&member.id);
        decrement(table.addresses.entry(member.address));
        if let Some(user) = user
            && let Entry::Occupied(mut sessions) = table.users.entry(user.clone())
        {
            sessions.get_mut().retain(|known| known.id != member.id);
            if sessions.get().is_empty() {
                sessions.remove();
            }
        }
    }

    pub(crate) fn session(&self, id: Uuid) -> Option<Arc<Member>> {
        self.lock().sessions.get(&id).cloned()
    }

    /// The sessions of a user.
    pub(crate) fn of_user(&self, user: &str) -> Vec<Arc<Member>> {
        self.lock().users.get(user).cloned().unwrap_or_default()
    }

    /// Visits all sessions.
    pub(super) fn each(&self, mut visit: impl FnMut(&Arc<Member>)) {
        let sessions: Vec<_> = self.lock().sessions.values().cloned().collect();
        sessions.iter().for_each(&mut visit);
    }

    /// Number of sessions and of users.
    pub(super) fn count(&self) -> (usize, usize) {
        let table = self.lock();
        (table.sessions.len(), table.users.len())
    }

    /// A session subscribed to a channel; returns whether it is new there.
    pub(crate) fn enters(&self, channel: &str, id: Uuid, user: Option<&Arc<str>>) -> bool {
        let mut table = self.lock();
        if !table.present.contains_key(channel) {
            table.present.insert(channel.into(), HashMap::new());
        }
        let Some(members) = table.present.get_mut(channel) else { return false };
        let (_, subscriptions) = members.entry(id).or_insert_with(|| (user.cloned(), 0));
        *subscriptions += 1;
        *subscriptions == 1
    }

    /// A subscription to a channel ended; returns whether it was the session's last there.
    pub(crate) fn exits(&self, channel: &str, id: Uuid) -> bool {
        let mut table = self.lock();
        let Some(members) = table.present.get_mut(channel) else { return false };
        let Entry::Occupied(mut member) = members.entry(id) else { return false };
        member.get_mut().1 -= 1;
        if member.get().1 > 0 {
            return false;
        }
        member.remove();
        if members.is_empty() {
            table.present.remove(channel);
        }
        true
    }

    /// Session and user of everybody on a channel, at most `limit`.
    pub(crate) fn present(&self, channel: &str, limit: usize) -> Members {
        let table = self.lock();
        let elsewhere = table.elsewhere.get(channel).into_iter().flat_map(HashMap::values).flatten().cloned();
        table.present_here(channel).chain(elsewhere).take(limit).collect()
    }

    /// The same of those who are connected here.
    pub(super) fn present_here(&self, channel: &str, limit: usize) -> Members {
        self.lock().present_here(channel).take(limit).collect()
    }

    /// Who is on a channel at another hub. Of further channels than `max_channels` nothing is known.
    pub(super) fn set_elsewhere(&self, channel: &str, instance: &str, members: Members, max_channels: usize) {
        let mut table = self.lock();
        let is_full = table.elsewhere.len() >= max_channels;
        match table.elsewhere.get_mut(channel) {
            Some(instances) if members.is_empty() => {
                instances.remove(instance);
                if instances.is_empty() {
                    table.elsewhere.remove(channel);
                }
            }
            Some(instances) => drop(instances.insert(instance.into(), members)),
            None if members.is_empty() || is_full => {}
            None => drop(table.elsewhere.insert(channel.into(), HashMap::from([(instance.into(), members)]))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn present_here(&self, channel: &str) -> impl Iterator<Item = (String, Option<String>)> {
        let members = self.present.get(channel).into_iter().flatten();
        members.map(|(id, (user, _))| (id.to_string(), user.as_deref().map(str::to_owned)))
    }

    fn has_room(&self, address: IpAddr, config: &HubConfig) -> Result<(), Ending> {
        let of_address = self.addresses.get(&address).copied().unwrap_or(0);
        if self.sessions.len() >= config.max_connections {
            return Err(Ending::Capacity);
        }
        if config.max_connections_per_address.is_some_and(|limit| of_address >= limit) {
            return Err(Ending::AddressLimit);
        }
        Ok(())
    }
}

impl Member {
    /// The driver has so many that it did not send yet.
    pub(crate) fn set_unsent(&self, count: u64) {
        self.unsent.store(count, Ordering::Relaxed);
    }

    pub(super) fn unsent(&self) -> u64 {
        self.unsent.load(Ordering::Relaxed)
    }

    pub(crate) fn interests(&self) -> MutexGuard<'_, Vec<Interest>> {
        self.interests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn decrement(entry: Entry<'_, IpAddr, usize>) {
    if let Entry::Occupied(mut count) = entry {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}
