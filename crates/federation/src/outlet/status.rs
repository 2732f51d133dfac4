//! What an operator may want to know of a stream on its way out.

use super::Outlet;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutletStatus {
    /// Events that are kept, wherever.
    pub events: u64,
    /// Memory of those in memory.
    pub bytes: usize,
    /// Events that are not stored yet; 0 without a store.
    pub unstored: u64,
    /// Whether more finds room without dropping anything.
    pub has_room: bool,
    /// Who is waited for, by name.
    pub receivers: Vec<ReceiverStatus>,
}

/// Somebody whose acknowledgements are waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverStatus {
    /// What it calls itself.
    pub name: String,
    /// Whether a link reads for it.
    pub is_connected: bool,
    /// Events it has not acknowledged.
    pub unacknowledged: u64,
    /// Of them, those that are on their way to it.
    pub in_flight: u64,
}

impl Outlet {
    /// Events on their way to receivers that are connected.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.status().receivers.iter().filter(|receiver| receiver.is_connected).map(|receiver| receiver.in_flight).sum()
    }

    /// How it is doing now.
    #[must_use]
    pub fn status(&self) -> OutletStatus {
        let state = self.lock();
        let next = state.log.next();
        let cursor = |name: &str| {
            let mut readers = state.readers.iter().map(|(_, reader)| reader);
            readers.find(|reader| reader.named.as_deref() == Some(name)).map(|reader| reader.cursor)
        };
        let receiver = |(name, acknowledged, is_connected): (&str, u64, bool)| ReceiverStatus {
            name: name.to_owned(),
            is_connected,
            // Of what was dropped before it nothing is waited for.
            unacknowledged: next.saturating_sub(acknowledged.max(state.first)),
            in_flight: cursor(name).map_or(0, |cursor| cursor.saturating_sub(acknowledged.max(state.first))),
        };
        OutletStatus {
            events: next.saturating_sub(state.first),
            bytes: state.log.bytes(),
            unstored: state.store.as_ref().map_or(0, |stored| next.saturating_sub(stored.next)),
            has_room: state.has_room(&self.config),
            receivers: state.receivers.iter().map(receiver).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::time::Duration;

    use super::*;
    use crate::Now;
    use crate::envelope::Content;
    use crate::outlet::{FullPolicy, History, OutletConfig, OutletCounters};

    fn outlet() -> Outlet {
        let config = OutletConfig {
            stream: "s".to_owned(),
            content: Content::Json,
            queue_bytes: 1 << 20,
            full: FullPolicy::Block,
            history: History::default(),
            max_receivers: 4,
            forget_after: Duration::from_secs(60),
            expects_receiver: false,
        };
        Outlet::new(config, OutletCounters::default())
    }

    #[test]
    fn what_a_receiver_has_not_acknowledged_is_told_of_it_and_of_what_is_on_its_way() {
        let (outlet, now) = (outlet(), Now::read());
        let reader = outlet.attach(&Default::default());
        outlet.join(reader, "cloud", false, now).unwrap();
        outlet.publish([&b"1"[..]; 5].into_iter(), now);
        let mut left = 3;
        outlet.read(reader, 1, |_| {
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        outlet.acknowledge(reader, 2, now);
        let cloud = ReceiverStatus { name: "cloud".to_owned(), is_connected: true, unacknowledged: 4, in_flight: 1 };
        let status = outlet.status();
        assert_eq!((status.receivers, status.unstored, status.has_room), (vec![cloud.clone()], 0, true));
        assert_eq!(outlet.in_flight(), 1);
        // From now on nothing more comes, and what is on its way may be acknowledged.
        outlet.pause();
        outlet.read(reader, 3, |_| panic!("something comes"));
        outlet.acknowledge(reader, 3, now);
        assert_eq!(outlet.in_flight(), 0);
        outlet.detach(reader, now.unix_ms);
        let away = ReceiverStatus { is_connected: false, in_flight: 0, unacknowledged: 3, ..cloud };
        assert_eq!(outlet.status().receivers, [away]);
    }
}
