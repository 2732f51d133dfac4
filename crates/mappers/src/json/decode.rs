//! JSON messages to rows.

use bytes::Bytes;
use eventflux_core::{EventBatch, EventFluxError, RowFailure, Schema, SourceMapper};

use super::convert::{Rules, Scratch, Target};
use super::path::Origin;
use super::properties::SourceConfig;
use super::scan::{Problem, ScanError};
use super::slot::{Kind, MAX_MESSAGE_BYTES};
use super::tree::Tree;
use super::walk::Walker;

/// Decodes JSON messages; see the module for the rules.
#[derive(Debug)]
pub(super) struct JsonSourceMapper {
    walker: Walker,
    targets: Vec<Target>,
    rules: Rules,
    /// Where the events are, for messages.
    root: String,
    /// Whether a message without a root is an error; always so when the root is the message.
    root_required: bool,
    scratch: Scratch,
}

impl JsonSourceMapper {
    /// A decoder into `schema`.
    pub(super) fn new(schema: &Schema, config: &SourceConfig) -> Self {
        let (mut message, mut event) = (Tree::new(), Tree::new());
        let root = message.insert(&config.root);
        message.nodes[root].holds_events = true;
        let is_beside = |origin| origin == Origin::Message;
        let nodes: Vec<_> = config
            .paths
            .iter()
            .map(|path| if is_beside(path.origin) { message.insert(path) } else { event.insert(path) })
            .collect();
        let of_tree = |beside| {
            let pairs = config.paths.iter().zip(&nodes);
            pairs.filter(move |(path, _)| is_beside(path.origin) == beside).map(|(_, node)| *node).collect::<Vec<_>>()
        };
        message.assign_slots(&of_tree(true));
        event.assign_slots(&of_tree(false));
        let targets = schema.fields().iter().zip(&config.paths).zip(&nodes).map(|((field, path), &node)| {
            let beside = is_beside(path.origin);
            let tree = if beside { &message } else { &event };
            Target {
                name: field.name.clone(),
                data_type: field.data_type,
                path: path.to_string(),
                beside,
                slot: tree.nodes[node].slot.unwrap_or(0),
            }
        });
        Self {
            targets: targets.collect(),
            walker: Walker::new(message, event, config.lists, config.limits),
            rules: config.rules,
            root: config.root.to_string(),
            root_required: config.root_required || config.root.steps.is_empty(),
            scratch: Scratch::default(),
        }
    }

    fn message(&mut self, message: &[u8], position: u64, batch: &mut EventBatch) -> Result<(), EventFluxError> {
        if message.is_empty() || message.len() > MAX_MESSAGE_BYTES {
            return Err(bad_size(message));
        }
        let text = std::str::from_utf8(message).map_err(|error| {
            EventFluxError::mapping(None, format!("the message is not UTF-8 at byte {}", error.valid_up_to()))
        })?;
        let slots = self.walker.slots_per_event();
        let found = self.walker.walk(text).map_err(|error| describe(error, text))?;
        if found.count == 0 && found.root != Kind::Array && self.root_required {
            let what = if found.root == Kind::Null { "is null" } else { "is missing" };
            return Err(EventFluxError::mapping(None, format!("{}, where the event should be, {what}", self.root)));
        }
        for event in 0..found.count {
            let values = &found.events[event * slots..(event + 1) * slots];
            for (target, column) in self.targets.iter().zip(batch.columns_mut()) {
                let from = if target.beside { &found.message } else { values };
                target.push(from[target.slot], text, &self.rules, &mut self.scratch, column)?;
            }
            batch.finish_row(position);
        }
        Ok(())
    }
}

impl SourceMapper for JsonSourceMapper {
    fn decode(
        &mut self,
        messages: &[Bytes],
        first_position: u64,
        batch: &mut EventBatch,
        failures: &mut Vec<RowFailure>,
    ) {
        for (row, message) in messages.iter().enumerate() {
            let rows = batch.len();
            if let Err(error) = self.message(message, first_position + row as u64, batch) {
                batch.truncate(rows);
                failures.push(RowFailure { row, error });
            }
        }
    }
}

#[cold]
fn bad_size(message: &[u8]) -> EventFluxError {
    let reason = if message.is_empty() { "the message is empty" } else { "the message is larger than 1 GiB" };
    EventFluxError::mapping(None, reason)
}

#[cold]
fn describe(error: ScanError, text: &str) -> EventFluxError {
    let at = error.at;
    let reason = match error.problem {
        Problem::Syntax(_) if at == 0 && text.starts_with('\u{feff}') => {
            "invalid JSON at byte 0: a byte order mark before the value".to_owned()
        }
        Problem::Syntax(what) => format!("invalid JSON at byte {at}: {what}"),
        Problem::Depth => format!("nested deeper than json.max.depth at byte {at}"),
        Problem::Events => format!("more events than json.max.events, at byte {at}"),
        Problem::NotAnEvent(kind) => format!("{} at byte {at}, where an event should be", kind.name()),
    };
    EventFluxError::mapping(None, reason)
}
