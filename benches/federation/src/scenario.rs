//! What is measured.

use std::time::Duration;

use clap::ValueEnum;

use crate::system::System;

/// A table of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// All ways to carry messages, published one by one
    Batch1,
    /// All ways to carry messages, published a hundred at a time
    Batch100,
    /// All ways to carry messages, published a thousand at a time
    Batch1000,
    /// A link through a proxy that cuts it
    Cuts,
    /// Memory while the receiver takes nothing
    Memory,
    /// From a request to its reply
    Requests,
    /// Two eventflux processes: a generator, a link, and nothing behind it
    EndToEnd,
    /// What a broker takes for the same
    Brokers,
}

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Messages of a run; a system that is slow by nature gets fewer.
    pub messages: u64,
    /// Requests of a run.
    pub requests: u64,
    /// For how long a receiver takes nothing, in milliseconds.
    pub stall_ms: u64,
    /// Rounds.
    pub rounds: usize,
}

/// One row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its name.
    pub label: String,
    pub(crate) work: Work,
}

/// What is done in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// Messages go from one process to the other.
    Transfer(Transfer),
    /// Requests are answered.
    Ask {
        /// `None` without a link.
        method: Option<&'static str>,
        params: &'static str,
        count: u64,
    },
    /// Two pipelines.
    Pipelines { link: &'static str, messages: u64 },
}

/// Messages from one process to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) system: System,
    pub(crate) messages: u64,
    pub(crate) batch: usize,
    pub(crate) sender: Vec<(&'static str, String)>,
    pub(crate) receiver: Vec<(&'static str, String)>,
    pub(crate) stall_ms: u64,
    /// How often the connection is cut; `None` where no proxy is in between.
    pub(crate) cuts: Option<u64>,
}

/// Cuts of a run.
const CUTS: u64 = 20;

/// Windows of which the memory is measured, in MiB.
const WINDOWS: [u64; 3] = [1, 4, 16];

/// What is echoed: about as long as a request.
const ECHOED: &str = r#"{"type":"request","id":"req-6f1c8a4e-8f0b-4c57-9a55-2f6d9b1c7e40","timestamp":1704844800000,"payload":{"method":"status","params":{}}}"#;

/// Requests per second.
pub(crate) const REQUEST_RATE: u32 = 100;

impl Size {
    /// Just to see whether everything works.
    pub const QUICK: Self = Self { messages: 3_000, requests: 20, stall_ms: 100, rounds: 1 };
}

impl Scenario {
    /// Its name in options.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What its table is called.
    #[must_use]
    pub fn title(self, size: Size) -> String {
        let stall = Duration::from_millis(size.stall_ms);
        match self {
            Self::Batch1 => "One link, messages published one by one".to_owned(),
            Self::Batch100 => "One link, 100 messages published at a time".to_owned(),
            Self::Batch1000 => "One link, 1,000 messages published at a time".to_owned(),
            Self::Cuts => "A link through a proxy".to_owned(),
            Self::Memory => format!("A receiver that takes nothing for {stall:?}"),
            Self::Requests => format!("Requests, {REQUEST_RATE} a second"),
            Self::EndToEnd => "From a generator to a blackhole, over a link between two processes".to_owned(),
            Self::Brokers => "Links and a broker, 100 messages published at a time".to_owned(),
        }
    }

    /// The label of the row that the others are compared with.
    pub(crate) fn baseline(self) -> &'static str {
        match self {
            Self::Batch1 | Self::Batch100 | Self::Batch1000 | Self::EndToEnd => "plain",
            Self::Cuts => "not cut",
            Self::Brokers => "link",
            Self::Requests => "floor",
            Self::Memory => "",
        }
    }

    /// Its rows.
    #[must_use]
    pub fn cases(self, size: Size) -> Vec<Case> {
        match self {
            Self::Batch1 => systems(size, 1),
            Self::Batch100 => systems(size, 100),
            Self::Batch1000 => systems(size, 1_000),
            Self::Cuts => [(0, "not cut".to_owned()), (CUTS, format!("cut {CUTS} times"))]
                .into_iter()
                .map(|(cuts, label)| {
                    Case::new(label, Transfer { cuts: Some(cuts), ..transfer(System::Link, size, 100) })
                })
                .collect(),
            Self::Memory => WINDOWS.into_iter().map(|mebibytes| window(size, mebibytes)).collect(),
            Self::Requests => [(None, ECHOED), (Some("status"), "{}"), (Some("next"), r#"{"n":41}"#)]
                .into_iter()
                .map(|(method, params)| Case {
                    label: method.unwrap_or("floor").to_owned(),
                    work: Work::Ask { method, params, count: size.requests },
                })
                .collect(),
            Self::EndToEnd => [("plain", "off"), ("link", "require")]
                .into_iter()
                .map(|(label, link)| Case {
                    label: label.to_owned(),
                    work: Work::Pipelines { link, messages: size.messages },
                })
                .collect(),
            Self::Brokers => [System::Link, System::Spool, System::Nats, System::Jetstream, System::JetstreamFile]
                .into_iter()
                .map(|system| Case::new(system.name(), transfer(system, size, 100)))
                .collect(),
        }
    }
}

impl Case {
    fn new(label: impl Into<String>, transfer: Transfer) -> Self {
        Self { label: label.into(), work: Work::Transfer(transfer) }
    }

    /// Whether it needs the `eventflux` binary.
    #[must_use]
    pub fn needs_eventflux(&self) -> bool {
        !matches!(self.work, Work::Transfer(_) | Work::Ask { method: None, .. })
    }

    /// Whether messages would be lost where the sink listens, when they are published faster than they are received.
    #[must_use]
    pub fn needs_a_sink_that_connects(&self) -> bool {
        matches!(&self.work, Work::Transfer(transfer) if matches!(transfer.system, System::Raw | System::Plain))
    }

    /// Whether it needs a NATS server.
    #[must_use]
    pub fn needs_nats(&self) -> bool {
        matches!(&self.work, Work::Transfer(transfer) if transfer.system.has_broker())
    }
}

fn systems(size: Size, batch: usize) -> Vec<Case> {
    let systems = System::value_variants().iter().filter(|system| !system.has_broker());
    systems.map(|system| Case::new(system.name(), transfer(*system, size, batch))).collect()
}

fn transfer(system: System, size: Size, batch: usize) -> Transfer {
    Transfer {
        system,
        messages: (size.messages / system.effort()).max(1),
        batch,
        sender: Vec::new(),
        receiver: Vec::new(),
        stall_ms: 0,
        cuts: None,
    }
}

/// A link whose ends may each hold so much.
fn window(size: Size, mebibytes: u64) -> Case {
    let bytes = format!("{mebibytes}MiB");
    let many = 10_000_000.to_string();
    let transfer = Transfer {
        sender: vec![("websocket.retain.bytes", bytes.clone())],
        receiver: vec![
            ("websocket.link.window.bytes", bytes.clone()),
            ("websocket.link.window.events", many.clone()),
            ("websocket.queue.size", many),
        ],
        stall_ms: size.stall_ms,
        ..transfer(System::Link, size, 100)
    };
    Case::new(bytes, transfer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_rows_with_names_of_their_own_and_its_baseline() {
        for scenario in Scenario::value_variants() {
            let labels: Vec<_> = scenario.cases(Size::QUICK).into_iter().map(|case| case.label).collect();
            let mut unique = labels.clone();
            unique.sort();
            unique.dedup();
            assert_eq!((labels.is_empty(), unique.len()), (false, labels.len()), "{scenario:?}");
            let baseline = scenario.baseline();
            assert!(baseline.is_empty() || labels.iter().any(|label| label == baseline), "{scenario:?}");
        }
    }

    #[test]
    fn what_is_slow_by_nature_gets_fewer_messages() {
        let size = Size { messages: 1_000, ..Size::QUICK };
        assert_eq!(transfer(System::Link, size, 1).messages, 1_000);
        assert!(transfer(System::JetstreamFile, size, 1).messages < 500);
    }
}
