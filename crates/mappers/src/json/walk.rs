//! Walks a message along the trees of wanted paths and notes where each wanted value stands.
//!
//! Nothing is converted here. A repeated key counts as its last value, and the earlier one is forgotten with everything
//! below it; that is what a map does.

use super::escape::unescape;
use super::scan::{MAX_DEPTH, Problem, Scan, ScanError, Scanner, Stopped};
use super::slot::{Kind, Slot};
use super::tree::{Node, NodeId, Tree, Want};

/// Limits of one message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Deepest nesting.
    pub(super) depth: u32,
    /// Most events.
    pub(super) events: usize,
}

/// What is looked for, and what was found in the last message. Its memory is reused from message to message.
#[derive(Debug)]
pub(super) struct Walker {
    /// From the message down to the events.
    message: Tree,
    /// From an event down.
    event: Tree,
    /// Whether an array in the events' place is a list of events (else it is one event).
    lists: bool,
    limits: Limits,
    found: Found,
    /// First slot of the current event.
    base: usize,
    /// A key without its escapes.
    key: String,
}

/// What was found in one message.
#[derive(Debug)]
pub(super) struct Found {
    /// Values beside the events, one a slot of the message tree.
    pub(super) message: Vec<Slot>,
    /// Values of the events, event after event, one a slot of the event tree.
    pub(super) events: Vec<Slot>,
    /// Number of events.
    pub(super) count: usize,
    /// What stands in the events' place.
    pub(super) root: Kind,
}

/// Which of the two trees a function walks, known at compile time.
const MESSAGE: bool = false;
const EVENT: bool = true;

impl Walker {
    /// A walker for those trees, slots assigned; one node of `message` holds the events.
    pub(super) fn new(message: Tree, event: Tree, lists: bool, limits: Limits) -> Self {
        Self {
            message,
            event,
            lists,
            limits: Limits { depth: limits.depth.min(MAX_DEPTH), ..limits },
            found: Found { message: Vec::new(), events: Vec::new(), count: 0, root: Kind::Missing },
            base: 0,
            key: String::new(),
        }
    }

    /// Slots of one event.
    pub(super) fn slots_per_event(&self) -> usize {
        self.event.slots
    }

    /// Walks all of `message`.
    ///
    /// # Errors
    /// When it is not JSON, exceeds a limit, or has something in the events' place that is none.
    pub(super) fn walk(&mut self, message: &str) -> Result<&Found, ScanError> {
        self.found.message.clear();
        self.found.message.resize(self.message.slots, Slot::MISSING);
        self.forget_events();
        let mut scanner = Scanner::new(message, self.limits.depth);
        scanner.space();
        let end = self.node::<MESSAGE>(&mut scanner, 0, 0).and_then(|()| scanner.finish());
        match end {
            Ok(()) => Ok(&self.found),
            Err(Stopped) => Err(scanner.error().unwrap_or(ScanError::UNKNOWN)),
        }
    }

    #[inline]
    fn forget_events(&mut self) {
        self.found.events.clear();
        self.found.count = 0;
        self.found.root = Kind::Missing;
    }

    #[inline]
    fn at<const TREE: bool>(&self, node: NodeId) -> &Node {
        let tree = if TREE == EVENT { &self.event } else { &self.message };
        &tree.nodes[node]
    }

    #[inline]
    fn put<const TREE: bool>(&mut self, slot: usize, value: Slot) {
        if TREE == EVENT {
            self.found.events[self.base + slot] = value;
        } else {
            self.found.message[slot] = value;
        }
    }

    /// Passes the value of a node; `depth` is the number of open containers around it.
    fn node<const TREE: bool>(&mut self, scanner: &mut Scanner<'_>, node: NodeId, depth: u32) -> Scan<()> {
        let value = self.branch::<TREE>(scanner, node, depth)?;
        if let Some(slot) = self.at::<TREE>(node).slot {
            self.put::<TREE>(slot, value);
        }
        Ok(())
    }

    fn branch<const TREE: bool>(&mut self, scanner: &mut Scanner<'_>, node: NodeId, depth: u32) -> Scan<Slot> {
        // The key may have come before: what was found below it then is no longer the message's value.
        for slot in self.at::<TREE>(node).slots.clone() {
            self.put::<TREE>(slot, Slot::MISSING);
        }
        if self.at::<TREE>(node).leads_to_events {
            self.forget_events();
        }
        if self.at::<TREE>(node).holds_events {
            return self.events(scanner, depth);
        }
        self.inside::<TREE>(scanner, node, depth)
    }

    /// Passes the value in the events' place.
    fn events(&mut self, scanner: &mut Scanner<'_>, depth: u32) -> Scan<Slot> {
        let start = scanner.at;
        let kind = match scanner.byte() {
            b'[' if self.lists => {
                scanner.check_depth(depth + 1)?;
                let mut first = true;
                while next_element(scanner, first)? {
                    self.event(scanner, depth + 1)?;
                    first = false;
                }
                Kind::Array
            }
            b'n' => scanner.value(depth)?.kind(),
            _ => self.event(scanner, depth)?,
        };
        self.found.root = kind;
        Ok(Slot::new(kind, start, scanner.at))
    }

    /// Passes one event.
    fn event(&mut self, scanner: &mut Scanner<'_>, depth: u32) -> Scan<Kind> {
        if self.found.count == self.limits.events {
            return scanner.fail(Problem::Events);
        }
        self.base = self.found.events.len();
        self.found.events.resize(self.base + self.event.slots, Slot::MISSING);
        self.found.count += 1;
        let start = scanner.at;
        let value = self.inside::<EVENT>(scanner, 0, depth)?;
        let root = self.at::<EVENT>(0);
        let fits = match value.kind() {
            Kind::Object => !root.keys.is_empty(),
            Kind::Array => !root.indices.is_empty(),
            _ => false,
        };
        if let Some(slot) = root.slot {
            self.put::<EVENT>(slot, value);
        } else if !fits && !root.is_leaf() {
            scanner.at = start;
            return scanner.fail(Problem::NotAnEvent(value.kind()));
        }
        Ok(value.kind())
    }

    #[inline]
    fn inside<const TREE: bool>(&mut self, scanner: &mut Scanner<'_>, node: NodeId, depth: u32) -> Scan<Slot> {
        let place = self.at::<TREE>(node);
        match scanner.byte() {
            b'{' if !place.keys.is_empty() => self.object::<TREE>(scanner, node, depth + 1),
            b'[' if !place.indices.is_empty() => self.array::<TREE>(scanner, node, depth + 1),
            _ => scanner.value(depth),
        }
    }

    fn object<const TREE: bool>(&mut self, scanner: &mut Scanner<'_>, node: NodeId, depth: u32) -> Scan<Slot> {
        let start = scanner.at;
        scanner.check_depth(depth)?;
        let mut position = 0;
        loop {
            let known = self.at::<TREE>(node).recall(position, scanner.bytes, scanner.at);
            let want = if let Some((len, want)) = known {
                scanner.at += len;
                want
            } else if let Some(want) = self.entry::<TREE>(scanner, node, position)? {
                want
            } else {
                break;
            };
            if let Want::Inside(child) = want {
                scanner.space();
                self.node::<TREE>(scanner, child, depth)?;
            } else {
                let value = scanner.value(depth)?;
                if let Want::Value(slot) = want {
                    self.put::<TREE>(slot, value);
                }
            }
            position += 1;
        }
        Ok(Slot::new(Kind::Object, start, scanner.at))
    }

    /// Passes what stands before the value of entry number `position`, and says what to do with it; `None` when the
    /// object closes instead.
    #[inline(never)]
    fn entry<const TREE: bool>(
        &mut self,
        scanner: &mut Scanner<'_>,
        node: NodeId,
        position: usize,
    ) -> Scan<Option<Want>> {
        let start = scanner.at;
        if let Some((len, want)) = self.at::<TREE>(node).recall_older(position, scanner.bytes, start) {
            scanner.at += len;
            return Ok(Some(want));
        }
        scanner.space();
        match (scanner.byte(), position) {
            (b'{', 0) | (b',', 1..) => scanner.at += 1,
            (b'}', 1..) => {
                scanner.at += 1;
                return Ok(None);
            }
            _ => return scanner.syntax("expected ',' or '}'"),
        }
        scanner.space();
        if position == 0 && scanner.byte() == b'}' {
            scanner.at += 1;
            return Ok(None);
        }
        let key = scanner.key()?;
        let mut name = key.text(scanner.text);
        if key.kind() == Kind::Escaped {
            self.key.clear();
            unescape(name, &mut self.key);
            name = &self.key;
        }
        let tree = if TREE == EVENT { &mut self.event } else { &mut self.message };
        let want = tree.want(tree.nodes[node].child(name));
        tree.nodes[node].remember(position, &scanner.bytes[start..scanner.at], want);
        Ok(Some(want))
    }

    fn array<const TREE: bool>(&mut self, scanner: &mut Scanner<'_>, node: NodeId, depth: u32) -> Scan<Slot> {
        let start = scanner.at;
        scanner.check_depth(depth)?;
        let mut index = 0;
        while next_element(scanner, index == 0)? {
            match self.at::<TREE>(node).element(index) {
                Some(child) => self.node::<TREE>(scanner, child, depth)?,
                None => drop(scanner.value(depth)?),
            }
            index += 1;
        }
        Ok(Slot::new(Kind::Array, start, scanner.at))
    }
}

/// Passes what stands before the next element of an array, or its end; `first`: at the opening bracket.
fn next_element(scanner: &mut Scanner<'_>, first: bool) -> Scan<bool> {
    scanner.space();
    match (scanner.byte(), first) {
        (b'[', true) | (b',', false) => scanner.at += 1,
        (b']', false) => {
            scanner.at += 1;
            return Ok(false);
        }
        _ => return scanner.syntax("expected ',' or ']'"),
    }
    scanner.space();
    if first && scanner.byte() == b']' {
        scanner.at += 1;
        return Ok(false);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::path::Path;
    use super::*;

    /// A walker for `columns` of events at `root`; slots are numbered in the order of the tree.
    fn walker(root: &str, columns: &[&str], beside: &[&str]) -> Walker {
        let (mut message, mut event) = (Tree::new(), Tree::new());
        let root = message.insert(&Path::parse(root).unwrap());
        message.nodes[root].holds_events = true;
        let wanted: Vec<_> = beside.iter().map(|path| message.insert(&Path::parse(path).unwrap())).collect();
        message.assign_slots(&wanted);
        let wanted: Vec<_> = columns.iter().map(|path| event.insert(&Path::parse(path).unwrap())).collect();
        event.assign_slots(&wanted);
        Walker::new(message, event, true, Limits { depth: 128, events: 3 })
    }

    fn found(walker: &mut Walker, text: &str) -> Vec<String> {
        let found = walker.walk(text).unwrap();
        let all = found.message.iter().chain(&found.events);
        all.map(|slot| if slot.kind() == Kind::Missing { "-".into() } else { slot.raw(text).to_owned() }).collect()
    }

    #[test]
    fn values_are_found_by_name_in_any_order_and_again_in_another_order() {
        let mut walker = walker("$", &["$.a", "$.b"], &[]);
        for _ in 0..2 {
            assert_eq!(found(&mut walker, r#"{"a":1,"x":[{}],"b":"2"}"#), ["1", "\"2\""]);
            assert_eq!(found(&mut walker, r#" { "b" : 3 , "a" : {"a":4} } "#), ["{\"a\":4}", "3"]);
            assert_eq!(found(&mut walker, r#"{"\u0061":5}"#), ["5", "-"]);
            assert_eq!(found(&mut walker, "{}"), ["-", "-"]);
        }
    }

    #[test]
    fn space_may_come_and_go_between_messages() {
        let mut walker = walker("$", &["$.a", "$.b"], &[]);
        for text in [r#"{"a":1,"b":2}"#, "{\"a\": 1,\"b\":\t2}", "{\"a\":1 ,\"b\":2 }", "{ \"a\":1, \"b\":2\n}"] {
            assert_eq!(found(&mut walker, text), ["1", "2"], "{text}");
        }
    }

    #[test]
    fn the_last_of_repeated_keys_counts_with_all_that_is_below() {
        let mut flat = walker("$", &["$.a"], &[]);
        assert_eq!(found(&mut flat, r#"{"a":1,"a":2}"#), ["2"]);
        assert_eq!(found(&mut flat, r#"{"a":1,"\u0061":{}}"#), ["{}"]);
        let mut deep = walker("$", &["$.d.s", "$.d.q"], &[]);
        // Slots follow the sorted keys: q, then s.
        assert_eq!(found(&mut deep, r#"{"d":{"s":1},"d":{"q":2}}"#), ["2", "-"]);
        assert_eq!(found(&mut deep, r#"{"d":{"s":1},"d":7}"#), ["-", "-"]);
        let mut rooted = walker("$.d", &["$.a"], &["$.t"]);
        assert_eq!(found(&mut rooted, r#"{"d":[{"a":1},{"a":2}],"t":9,"d":{"a":3}}"#), ["9", "3"]);
        assert_eq!(found(&mut rooted, r#"{"d":[{"a":1}],"d":null}"#), ["-"]);
    }

    #[test]
    fn events_are_found_at_the_root_with_what_stands_beside_them() {
        let mut walker = walker("$.data", &["$.p[1]", "$"], &["$.ts"]);
        let text = r#"{"data":[{"p":[1,2]},{"p":[]},{"p":3}],"ts":5}"#;
        assert_eq!(found(&mut walker, text), ["5", r#"{"p":[1,2]}"#, "2", r#"{"p":[]}"#, "-", r#"{"p":3}"#, "-"]);
        assert_eq!(walker.walk(r#"{"data":[0,0,0,0]}"#).unwrap_err().problem, Problem::Events);
        assert_eq!(walker.walk(r#"{"ts":1}"#).unwrap().root, Kind::Missing);
    }

    #[test]
    fn only_what_can_hold_the_columns_is_an_event() {
        let mut walker = walker("$", &["$.a"], &[]);
        for (text, kind) in
            [("5", Kind::Integer), ("\"x\"", Kind::Plain), ("[{},[]]", Kind::Array), ("[[1]]", Kind::Array)]
        {
            assert_eq!(walker.walk(text).unwrap_err().problem, Problem::NotAnEvent(kind), "{text}");
        }
        assert_eq!(walker.walk("null").unwrap().root, Kind::Null);
        assert_eq!(walker.walk("[]").unwrap().count, 0);
    }
}
