//! Who is on a channel, told to other processes.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use eventflux_gateway::Hub;
use eventflux_nats::bus::Bus;
use tokio::sync::Notify;
use tokio::time::sleep;

/// Members of a channel that a process tells of, and that it believes another one.
const MAX_MEMBERS: usize = 1000;

/// Bytes of what is said of a channel: what the bus takes.
const MAX_BYTES: usize = 256 * 1024;

/// How long changes are gathered before they are told.
const GATHERING: Duration = Duration::from_millis(50);

/// Session and user of each.
pub(super) type Members = Vec<(String, Option<String>)>;

/// Channels whose members have changed since that was told.
#[derive(Debug, Default)]
pub(super) struct Changes {
    channels: Mutex<HashSet<String>>,
    bell: Notify,
}

impl Changes {
    /// The members of a channel have changed.
    pub(super) fn note(&self, channel: &str) {
        let is_new = self.lock().insert(channel.to_owned());
        if is_new {
            self.bell.notify_one();
        }
    }

    /// Tells of every change, until it is dropped.
    pub(super) async fn tell(self: Arc<Self>, hub: Arc<Hub>, bus: Arc<Bus>) {
        loop {
            self.bell.notified().await;
            sleep(GATHERING).await;
            let changed = std::mem::take(&mut *self.lock());
            for channel in changed {
                bus.set_present(&channel, written(hub.present_here(&channel, MAX_MEMBERS)));
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is said of these members, as many as fit; nothing when there are none.
fn written(mut members: Members) -> Option<Bytes> {
    while !members.is_empty() {
        match serde_json::to_vec(&members) {
            Ok(text) if text.len() <= MAX_BYTES => return Some(text.into()),
            // Names may be long.
            _ => members.truncate(members.len() / 2),
        }
    }
    None
}

/// The members that somebody tells of; `None` when that cannot be read.
pub(super) fn read(value: &[u8]) -> Option<Members> {
    let mut members: Members = serde_json::from_slice(value).ok()?;
    members.truncate(MAX_MEMBERS);
    Some(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: usize, user: &str) -> (String, Option<String>) {
        (id.to_string(), Some(user.to_owned()))
    }

    #[test]
    fn members_are_written_and_read() {
        assert_eq!(written(Vec::new()), None);
        let members = vec![member(1, "ann"), ("2".to_owned(), None)];
        let text = written(members.clone()).unwrap();
        assert_eq!(&text[..], br#"[["1","ann"],["2",null]]"#);
        assert_eq!(read(&text), Some(members));
        for bad in [&b""[..], b"{}", b"[1]", b"[[\"a\"]]", b"\xff"] {
            assert_eq!(read(bad), None);
        }
    }

    #[test]
    fn of_too_many_members_some_are_told() {
        let long = "x".repeat(1000);
        let text = written((0..MAX_MEMBERS).map(|id| member(id, &long)).collect()).unwrap();
        assert!(text.len() <= MAX_BYTES && read(&text).unwrap().len() > 100);
        let many: Members = (0..2 * MAX_MEMBERS).map(|id| member(id, "u")).collect();
        assert_eq!(read(&serde_json::to_vec(&many).unwrap()).unwrap().len(), MAX_MEMBERS);
    }
}
