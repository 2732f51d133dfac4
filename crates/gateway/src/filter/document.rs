//! A payload that filters are asked about.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::scalar::{Number, Scalar};

/// The deepest a payload may be nested that a filter matches.
pub const MAX_DOCUMENT_DEPTH: usize = 127;
/// The most values, in objects and arrays together, of a payload that a filter matches.
pub const MAX_DOCUMENT_VALUES: usize = 100_000;

/// From how many members on an object is sorted, so that looking one up does not visit all.
const SORTED_FROM: usize = 24;

/// A payload, read when the first filter asks for it and not again.
///
/// No filter matches a payload that is not JSON (RFC 8259, in UTF-8), that has a number beyond the range of a double, half
/// of a surrogate pair in a text, or that is larger than [`MAX_DOCUMENT_DEPTH`] or [`MAX_DOCUMENT_VALUES`] allow. Of members
/// of one name in an object, the last one counts. Whole numbers of 64 bits are exact, all others are doubles.
#[derive(Debug)]
pub struct Document<'a> {
    payload: &'a [u8],
    tree: OnceCell<Option<Tree<'a>>>,
}

impl<'a> Document<'a> {
    /// The document of a payload, which is not looked at yet.
    #[must_use]
    pub fn new(payload: &'a [u8]) -> Self {
        Self { payload, tree: OnceCell::new() }
    }

    /// What the payload says; `None` when no filter matches it.
    pub(super) fn tree(&self) -> Option<&Tree<'a>> {
        self.tree.get_or_init(|| Tree::read(self.payload)).as_ref()
    }
}

/// All values of a payload.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    pub(super) root: Node<'a>,
    /// How many members all objects have together that are not in an array.
    pub(super) members: usize,
}

/// One value of a payload.
#[derive(Debug)]
pub(super) enum Node<'a> {
    Null,
    Scalar(Scalar<'a>),
    Array(Vec<Self>),
    Object(Object<'a>),
}

/// Members, in the order of their names when there are many.
#[derive(Debug)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, Node<'a>)>);

impl<'a> Tree<'a> {
    fn read(payload: &'a [u8]) -> Option<Self> {
        let budget = Cell::new(MAX_DOCUMENT_VALUES);
        let mut deserializer = serde_json::Deserializer::from_slice(payload);
        let root = NodeSeed { budget: &budget }.deserialize(&mut deserializer).ok()?;
        deserializer.end().ok()?;
        let members = root.members();
        Some(Self { root, members })
    }
}

impl<'a> Node<'a> {
    /// The value at a path: the names of members, from the outermost to the innermost, with a dot between two. Names may
    /// have dots as well: of several readings of the path the one with the longest name counts, at each level, so
    /// `{"user.id": 1}` comes before `{"user": {"id": 2}}`. A path does not lead into an array.
    pub(super) fn find(&self, path: &str) -> Option<&Self> {
        let Self::Object(object) = self else { return None };
        object
            .find(path)
            .or_else(|| path.rmatch_indices('.').find_map(|(dot, _)| object.find(&path[..dot])?.find(&path[dot + 1..])))
    }

    /// Visits every path that leads somewhere, and is no longer than `longest`, perhaps more than once.
    pub(super) fn for_each_path(&self, longest: usize, visit: &mut impl FnMut(&str)) {
        self.walk(&mut String::new(), longest, visit);
    }

    fn walk(&self, path: &mut String, longest: usize, visit: &mut impl FnMut(&str)) {
        let Self::Object(Object(members)) = self else { return };
        let outer = path.len();
        for (name, node) in members {
            if outer + name.len() > longest {
                continue;
            }
            path.push_str(name);
            visit(path);
            path.push('.');
            node.walk(path, longest, visit);
            path.truncate(outer);
        }
    }

    fn members(&self) -> usize {
        match self {
            Self::Object(Object(members)) => {
                members.len() + members.iter().map(|(_, node)| node.members()).sum::<usize>()
            }
            _ => 0,
        }
    }
}

impl<'a> Object<'a> {
    fn new(mut members: Vec<(Cow<'a, str>, Node<'a>)>) -> Self {
        if members.len() >= SORTED_FROM {
            // Stable: the last one of a name stays the last one.
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        Self(members)
    }

    fn find(&self, name: &str) -> Option<&Node<'a>> {
        let Self(members) = self;
        if members.len() < SORTED_FROM {
            return members.iter().rev().find_map(|(key, node)| (key == name).then_some(node));
        }
        let behind = members.partition_point(|(key, _)| &**key <= name);
        members[..behind].last().and_then(|(key, node)| (key == name).then_some(node))
    }
}

/// Reads one value, and all that is in it. serde_json bounds the depth.
#[derive(Clone, Copy)]
struct NodeSeed<'c> {
    /// How many values more there may be.
    budget: &'c Cell<usize>,
}

impl NodeSeed<'_> {
    fn spend<E: serde::de::Error>(self) -> Result<(), E> {
        let left = self.budget.get().checked_sub(1).ok_or_else(|| E::custom("too many values"))?;
        self.budget.set(left);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = Node<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        self.spend()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = Node<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Scalar(Scalar::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Scalar(Scalar::Number(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node<'de>, E> {
        Ok(Node::Scalar(Scalar::Number(value.into())))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node<'de>, E> {
        let number = Number::from_float(value).ok_or_else(|| E::custom("number out of range"))?;
        Ok(Node::Scalar(Scalar::Number(number)))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Scalar(Scalar::Text(Cow::Borrowed(value))))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node<'de>, E> {
        Ok(Node::Scalar(Scalar::Text(Cow::Owned(value.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node<'de>, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = items.next_element_seed(self)? {
            nodes.push(node);
        }
        Ok(Node::Array(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = entries.next_key_seed(NameSeed)? {
            members.push((name, entries.next_value_seed(self)?));
        }
        Ok(Node::Object(Object::new(members)))
    }
}

/// Reads the name of a member, without a copy where it has no escapes.
struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The value at a path as JSON text; `None` when there is none.
    fn at(payload: &str, path: &str) -> Option<String> {
        let document = Document::new(payload.as_bytes());
        let tree = document.tree().expect("JSON");
        tree.root.find(path).map(|node| match node {
            Node::Null => "null".to_owned(),
            Node::Scalar(Scalar::Bool(value)) => value.to_string(),
            Node::Scalar(Scalar::Number(Number::Whole(value))) => value.to_string(),
            Node::Scalar(Scalar::Number(Number::Float(value))) => value.to_string(),
            Node::Scalar(Scalar::Text(value)) => format!("{value:?}"),
            Node::Array(items) => format!("{} items", items.len()),
            Node::Object(Object(members)) => format!("{} members", members.len()),
        })
    }

    #[test]
    fn paths_lead_into_objects_and_the_longest_name_counts() {
        for (payload, path, expected) in [
            (r#"{"user":{"id":1}}"#, "user.id", Some("1")),
            (r#"{"user.id":1}"#, "user.id", Some("1")),
            (r#"{"user":{"id":2},"user.id":1}"#, "user.id", Some("1")),
            (r#"{"a":{"b":{"c":1}},"a.b":{"c":2}}"#, "a.b.c", Some("2")),
            (r#"{"a":{"b.c":3},"a.b":{"d":2}}"#, "a.b.c", Some("3")),
            (r#"{"a":{"b":{"c":1}},"a.b":5}"#, "a.b.c", Some("1")),
            (r#"{"a":1,"a":2}"#, "a", Some("2")),
            (r#"{"":{"":"x"}}"#, ".", Some("\"x\"")),
            (r#"{"user":[{"id":1}]}"#, "user.id", None),
            (r#"{"user":null}"#, "user", Some("null")),
            (r#"{"user":null}"#, "user.id", None),
            (r#"{"user":{}}"#, "user.id", None),
            (r#"{"\u0061\n":"\u00e9"}"#, "a\n", Some("\"é\"")),
            ("[1]", "0", None),
            ("5", "", None),
        ] {
            assert_eq!(at(payload, path).as_deref(), expected, "{payload} {path}");
        }
    }

    #[test]
    fn large_objects_are_searched_like_small_ones() {
        let member = |number: usize| format!("\"k{number}\":{number}");
        let members: Vec<_> = (0..1_000).rev().map(member).collect();
        let payload = format!("{{{},\"k7\":\"last\",\"a\":{{\"b\":true}}}}", members.join(","));
        assert_eq!(at(&payload, "k0").as_deref(), Some("0"));
        assert_eq!(at(&payload, "k999").as_deref(), Some("999"));
        assert_eq!(at(&payload, "k7").as_deref(), Some("\"last\""));
        assert_eq!(at(&payload, "k1000"), None);
        assert_eq!(at(&payload, "a.b").as_deref(), Some("true"));
    }

    #[test]
    fn what_no_filter_matches_has_no_tree() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let items = |count: usize| format!("[{}]", vec!["1"; count].join(","));
        for payload in [nested(MAX_DOCUMENT_DEPTH), items(MAX_DOCUMENT_VALUES - 1), " {} \r\n".to_owned()] {
            assert!(Document::new(payload.as_bytes()).tree().is_some(), "{:.40}", payload);
        }
        for payload in [
            nested(MAX_DOCUMENT_DEPTH + 1).as_str(),
            &nested(100_000),
            &items(MAX_DOCUMENT_VALUES),
            "",
            "hello",
            "{} {}",
            "{}x",
            "{\"a\":1",
            "{\"a\":NaN}",
            "{\"a\":1e400}",
            "{\"a\":\"\\ud800\"}",
            "\u{feff}{}",
        ] {
            assert!(Document::new(payload.as_bytes()).tree().is_none(), "{payload:.40}");
        }
        assert!(Document::new(b"{\"a\":\"\xff\"}").tree().is_none());
    }

    #[test]
    fn whole_numbers_are_exact() {
        for number in ["9007199254740993", "18446744073709551615", "-9223372036854775808"] {
            assert_eq!(at(&format!("{{\"n\":{number}}}"), "n").as_deref(), Some(number));
        }
        assert_eq!(at("{\"n\":1.0}", "n").as_deref(), Some("1"));
    }

    #[test]
    fn every_path_is_visited() {
        let document = Document::new(br#"{"a":{"b":1,"c":{"d":2}},"a.b":3,"e":[{"f":1}],"long":{"er":1}}"#);
        let tree = document.tree().unwrap();
        let mut paths = Vec::new();
        tree.root.for_each_path(5, &mut |path| paths.push(path.to_owned()));
        assert_eq!(paths, ["a", "a.b", "a.c", "a.c.d", "a.b", "e", "long"]);
        assert_eq!(tree.members, 8);
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_tree_or_none(payload in prop::collection::vec(any::<u8>(), 0..200), path in any::<String>()) {
            if let Some(tree) = Document::new(&payload).tree() {
                tree.root.find(&path);
            }
        }

        #[test]
        fn what_looks_like_json_has_a_tree_or_none(
            payload in r#"([{}\[\],:]|"a"|"a\.b"|-?[0-9]{1,25}(\.[0-9]+)?(e[0-9]{1,3})?|null|true|"\\u[0-9a-f]{4}"){0,20}"#
        ) {
            let has_tree = Document::new(payload.as_bytes()).tree().is_some();
            prop_assert_eq!(has_tree, serde_json::from_str::<serde_json::Value>(&payload).is_ok());
        }
    }
}
