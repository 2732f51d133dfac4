//! What is looked for in a message: the paths of all columns merged into a tree, and the key order met so far.

use super::path::{Path, Step};
use super::swar::word_at;

/// Most positions of one object whose key is remembered.
const MAX_REMEMBERED_KEYS: usize = 256;

/// Longest text of separator, key and colon that is remembered, in bytes.
const MAX_REMEMBERED_BYTES: usize = 32;

/// A node's index in its tree.
pub(super) type NodeId = usize;

/// What to do with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Nobody looks for it.
    Nothing,
    /// It goes to this slot, and nobody looks inside.
    Value(usize),
    /// Something below it is looked for.
    Inside(NodeId),
}

/// Paths below one starting point; node 0 is the starting point itself.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    /// Number of values looked for.
    pub(super) slots: usize,
}

/// One place that a path leads to or through.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Where the value goes, if a column wants the value itself.
    pub(super) slot: Option<usize>,
    /// The slots of this node and everything below.
    pub(super) slots: std::ops::Range<usize>,
    /// Whether the events are here.
    pub(super) holds_events: bool,
    /// Whether the events are here or below.
    pub(super) leads_to_events: bool,
    /// Children of an object, sorted by key.
    pub(super) keys: Vec<(Box<str>, NodeId)>,
    /// Children of an array.
    pub(super) indices: Vec<(u32, NodeId)>,
    /// What each position of the object held before.
    remembered: Vec<Remembered>,
    /// What each position held before that: feeds that send two kinds of messages in turn have two.
    older: Vec<Remembered>,
}

impl Node {
    /// Whether nothing below this node is looked for.
    #[inline]
    pub(super) fn is_leaf(&self) -> bool {
        self.keys.is_empty() && self.indices.is_empty() && !self.holds_events
    }

    /// The child of that key.
    pub(super) fn child(&self, key: &str) -> Option<NodeId> {
        let index = self.keys.binary_search_by(|(name, _)| (**name).cmp(key)).ok()?;
        Some(self.keys[index].1)
    }

    /// The child at that position of an array.
    pub(super) fn element(&self, index: u32) -> Option<NodeId> {
        self.indices.iter().find(|(at, _)| *at == index).map(|(_, child)| *child)
    }

    /// Length of the beginning of entry number `position` at `at` (from its separator to its value) and what to do with
    /// its value, if such an entry was there before.
    #[inline]
    pub(super) fn recall(&self, position: usize, message: &[u8], at: usize) -> Option<(usize, Want)> {
        self.remembered.get(position)?.recall(message, at)
    }

    /// As [`Node::recall`], for the entry that was there before that one.
    pub(super) fn recall_older(&self, position: usize, message: &[u8], at: usize) -> Option<(usize, Want)> {
        self.older.get(position)?.recall(message, at)
    }

    /// Remembers that entry number `position` began with `text` (from its separator to before its value) and what to
    /// do with its value.
    pub(super) fn remember(&mut self, position: usize, text: &[u8], want: Want) {
        let Some(entry) = Remembered::new(text, want).filter(|_| position < MAX_REMEMBERED_KEYS) else { return };
        if self.remembered.len() <= position {
            self.remembered.resize(position + 1, Remembered::NOTHING);
            self.older.resize(position + 1, Remembered::NOTHING);
        }
        self.older[position] = std::mem::replace(&mut self.remembered[position], entry);
    }
}

/// How an entry of an object began before, for a comparison in one step.
#[derive(Debug, Clone)]
struct Remembered {
    /// The first eight bytes, those beyond the text zero.
    word: u64,
    mask: u64,
    len: usize,
    bytes: [u8; MAX_REMEMBERED_BYTES],
    /// What to do with the value that follows.
    want: Want,
}

impl Remembered {
    /// Matches nothing: no bit is left to compare, and one is expected.
    const NOTHING: Self = Self { word: 1, mask: 0, len: 0, bytes: [0; MAX_REMEMBERED_BYTES], want: Want::Nothing };

    fn new(text: &[u8], want: Want) -> Option<Self> {
        let mut bytes = [0; MAX_REMEMBERED_BYTES];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self {
            word: word_at(&bytes, 0)?,
            mask: if text.len() < 8 { (1 << (8 * text.len())) - 1 } else { u64::MAX },
            len: text.len(),
            bytes,
            want,
        })
    }

    #[inline]
    fn recall(&self, message: &[u8], at: usize) -> Option<(usize, Want)> {
        Some((self.matches(message, at)?, self.want))
    }

    /// Length of the entry's beginning, if it stands at `at` again.
    #[inline]
    fn matches(&self, message: &[u8], at: usize) -> Option<usize> {
        if word_at(message, at)? & self.mask != self.word {
            return None;
        }
        if self.len <= 8 {
            return Some(self.len);
        }
        let rest = message.get(at + 8..at + self.len)?;
        (rest == &self.bytes[8..self.len]).then_some(self.len)
    }
}

impl Tree {
    /// An empty tree.
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()], slots: 0 }
    }

    /// The node at the end of `path`, made if there is none.
    pub(super) fn insert(&mut self, path: &Path) -> NodeId {
        path.steps.iter().fold(0, |node, step| self.descend(node, step))
    }

    fn descend(&mut self, node: NodeId, step: &Step) -> NodeId {
        let new = self.nodes.len();
        match step {
            Step::Key(key) => {
                let keys = &mut self.nodes[node].keys;
                match keys.binary_search_by(|(name, _)| (**name).cmp(key)) {
                    Ok(index) => return keys[index].1,
                    Err(index) => keys.insert(index, (key.as_str().into(), new)),
                }
            }
            Step::Index(index) => {
                if let Some(child) = self.nodes[node].element(*index) {
                    return child;
                }
                self.nodes[node].indices.push((*index, new));
            }
        }
        self.nodes.push(Node::default());
        new
    }

    /// What to do with the value of a child.
    pub(super) fn want(&self, child: Option<NodeId>) -> Want {
        let Some(child) = child else { return Want::Nothing };
        match &self.nodes[child] {
            node if !node.is_leaf() => Want::Inside(child),
            node => node.slot.map_or(Want::Nothing, Want::Value),
        }
    }

    /// Numbers the slots of the nodes in `wanted` so that a node's own and those below it are one range.
    pub(super) fn assign_slots(&mut self, wanted: &[NodeId]) {
        self.slots = 0;
        self.assign_below(0, wanted);
    }

    fn assign_below(&mut self, node: NodeId, wanted: &[NodeId]) {
        let first = self.slots;
        if wanted.contains(&node) {
            self.nodes[node].slot = Some(first);
            self.slots += 1;
        }
        let keys = self.nodes[node].keys.iter().map(|(_, child)| *child);
        let children: Vec<_> = keys.chain(self.nodes[node].indices.iter().map(|(_, child)| *child)).collect();
        let mut leads = self.nodes[node].holds_events;
        for child in children {
            self.assign_below(child, wanted);
            leads |= self.nodes[child].leads_to_events;
        }
        self.nodes[node].leads_to_events = leads;
        self.nodes[node].slots = first..self.slots;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> (Tree, Vec<NodeId>) {
        let mut tree = Tree::new();
        let nodes: Vec<_> = paths.iter().map(|path| tree.insert(&Path::parse(path).unwrap())).collect();
        tree.assign_slots(&nodes);
        (tree, nodes)
    }

    #[test]
    fn paths_share_their_common_beginning_and_equal_paths_their_slot() {
        let (tree, nodes) = tree(&["$.a.b", "$.a.c", "$.a", "$.a.b", "$.d[1]"]);
        assert_eq!(nodes[0], nodes[3]);
        assert_eq!(tree.slots, 4);
        assert_eq!(tree.nodes[nodes[2]].slots.len(), 3);
        assert_eq!(tree.nodes[0].child("a"), Some(nodes[2]));
        assert_eq!(tree.nodes[0].child("z"), None);
    }

    #[test]
    fn an_entry_is_recognised_only_when_every_byte_is_the_same() {
        for text in [&b"{\"s\":"[..], b",\"price\":", b" , \"a long key of an event\" : "] {
            let entry = Remembered::new(text, Want::Nothing).unwrap();
            let message = [text, b"12345678"].concat();
            assert_eq!(entry.matches(&message, 0), Some(text.len()));
            for changed in 0..text.len() {
                let mut other = message.clone();
                other[changed] ^= 1;
                assert_eq!(entry.matches(&other, 0), None, "{changed}");
            }
            assert_eq!(entry.matches(&message[..text.len() - 1], 0), None);
        }
        assert_eq!(Remembered::NOTHING.matches(&[0; 16], 0), None);
        assert!(Remembered::new(&[b'x'; MAX_REMEMBERED_BYTES + 1], Want::Nothing).is_none());
    }

    #[test]
    fn two_keys_a_position_are_remembered_and_no_more_positions_than_the_limit() {
        let mut node = Node::default();
        let texts: [&[u8]; 3] = [b"{\"a\":       ", b"{\"b\":       ", b"{\"c\":       "];
        for (slot, text) in texts.iter().enumerate() {
            node.remember(0, text, Want::Value(slot));
            node.remember(MAX_REMEMBERED_KEYS, text, Want::Value(slot));
        }
        let known = |text: &[u8]| (node.recall(0, text, 0).is_some(), node.recall_older(0, text, 0).is_some());
        assert_eq!(texts.map(known), [(false, false), (false, true), (true, false)]);
        assert_eq!(node.recall(0, texts[2], 0), Some((texts[2].len(), Want::Value(2))));
        assert_eq!(node.recall(MAX_REMEMBERED_KEYS, texts[0], 0), None);
    }
}
