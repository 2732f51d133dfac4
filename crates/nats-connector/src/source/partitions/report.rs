//! What others see of a source with partitions.

use eventflux_core::ConnectorContext;
use eventflux_core::health::ConnectionState;
use eventflux_core::metrics::{Counter, Gauge};

const HELD: &str = "eventflux_nats_partitions_held";
const MOVED: &str = "eventflux_nats_partitions_moved_total";
const PENDING: &str = "eventflux_nats_partitions_pending";
const MEMBERS: &str = "eventflux_nats_partitions_members";

#[derive(Debug)]
pub(super) struct Report {
    context: ConnectorContext,
    /// Partitions that came or went.
    pub(super) moved: Counter,
    held: Gauge,
    pending: Gauge,
    members: Gauge,
}

impl Report {
    pub(super) fn new(context: &ConnectorContext) -> Self {
        let registry = &context.registry;
        registry.describe(HELD, "Partitions that the source holds.");
        registry.describe(MOVED, "Partitions that the source has taken, given back or lost.");
        registry.describe(PENDING, "Messages of the partitions it holds that are stored and have not come here.");
        registry.describe(MEMBERS, "Instances that share the partitions, as the source sees it.");
        let labels = [("stream", &*context.stream), ("type", &*context.connector)];
        Self {
            moved: registry.counter(MOVED, &labels),
            held: registry.gauge(HELD, &labels),
            pending: registry.gauge(PENDING, &labels),
            members: registry.gauge(MEMBERS, &labels),
            context: context.clone(),
        }
    }

    /// What is held now, in order, by how many instances.
    pub(super) fn show(&self, held: &[u32], partitions: u32, members: usize) {
        self.held.set(held.len() as u64);
        self.members.set(members as u64);
        let what = if held.is_empty() { "no partition".to_owned() } else { format!("partitions {}", ranges(held)) };
        let instances = if members == 1 { "instance" } else { "instances" };
        let detail = format!("holds {what} of {partitions}; {members} {instances}");
        self.context.health.explain(ConnectionState::Connected, detail);
    }

    pub(super) fn pending(&self, pending: u64) {
        self.pending.set(pending);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        [&self.held, &self.pending, &self.members].iter().for_each(|gauge| gauge.set(0));
    }
}

/// `0-5, 12`
fn ranges(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let text = |(first, last): &(u32, u32)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    ranges.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_follow_each_other_are_a_range() {
        assert_eq!(ranges(&[0, 1, 2, 3, 4, 5, 12]), "0-5, 12");
        assert_eq!(ranges(&[7]), "7");
        assert_eq!(ranges(&[1, 2, 4]), "1-2, 4");
    }
}
