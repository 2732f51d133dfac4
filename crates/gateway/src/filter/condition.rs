//! What a filter asks of a payload, in a normal form: filters that ask the same are equal.

use std::cmp::Ordering;

use super::document::Node;
use super::like::Like;
use super::scalar::Scalar;

/// True, false, or unknown, SQL's `NULL`.
pub(super) type Truth = Option<bool>;

/// The names of members, with a dot between two; see [`Node::find`].
pub(super) type Path = Box<str>;

/// A condition. The functions that make one keep it in normal form: no list in a list of its kind, no double negation, in
/// lists no duplicates, and always the same order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Condition {
    Constant(Truth),
    /// The value at a path equals one of these, at least one, sorted. An array equals what one of its items equals.
    OneOf {
        path: Path,
        values: Vec<Scalar<'static>>,
    },
    /// The value at a path is on this side of a bound; never [`Comparison::Equal`].
    Range {
        path: Path,
        comparison: Comparison,
        bound: Scalar<'static>,
    },
    /// The values at two paths compare like this.
    Paths {
        left: Path,
        comparison: Comparison,
        right: Path,
    },
    Like {
        path: Path,
        pattern: Like,
    },
    /// The value at a path is null, or there is none.
    IsNull(Path),
    /// The value at a path is true.
    Flag(Path),
    Not(Box<Self>),
    /// At least two.
    All(Vec<Self>),
    /// At least two.
    Any(Vec<Self>),
}

/// How two values compare. "Not equal" is the negation of `Equal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// One side of a comparison.
#[derive(Debug, Clone)]
pub(super) enum Operand {
    Path(Path),
    /// `None` is `NULL`.
    Literal(Option<Scalar<'static>>),
}

impl Condition {
    /// All of them: false when one is, or else unknown when one is, or else true.
    pub(super) fn all(conditions: Vec<Self>) -> Self {
        let mut parts = Vec::with_capacity(conditions.len());
        for condition in conditions {
            match condition {
                Self::Constant(Some(true)) => {}
                Self::Constant(Some(false)) => return condition,
                Self::All(inner) => parts.extend(inner),
                other => parts.push(other),
            }
        }
        Self::list(parts, true, Self::All)
    }

    /// Any of them: true when one is, or else unknown when one is, or else false.
    pub(super) fn any(conditions: Vec<Self>) -> Self {
        let mut parts = Vec::with_capacity(conditions.len());
        for condition in conditions {
            match condition {
                Self::Constant(Some(false)) => {}
                Self::Constant(Some(true)) => return condition,
                Self::Any(inner) => parts.extend(inner),
                other => parts.push(other),
            }
        }
        Self::list(merge_equalities(parts), false, Self::Any)
    }

    /// The contrary; of unknown, unknown.
    pub(super) fn negated(self) -> Self {
        match self {
            Self::Constant(truth) => Self::Constant(truth.map(|truth| !truth)),
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// The value at a path equals one of these.
    pub(super) fn one_of(path: Path, mut values: Vec<Scalar<'static>>) -> Self {
        if values.is_empty() {
            return Self::Constant(Some(false));
        }
        values.sort_unstable();
        values.dedup();
        Self::OneOf { path, values }
    }

    /// A comparison of anything with anything.
    pub(super) fn compare(left: Operand, comparison: Comparison, right: Operand) -> Self {
        match (left, right) {
            (Operand::Literal(None), _) | (_, Operand::Literal(None)) => Self::Constant(None),
            (Operand::Literal(Some(left)), Operand::Literal(Some(right))) => {
                Self::Constant(left.compare(&right).map(|order| comparison.holds(order)))
            }
            (Operand::Path(path), Operand::Literal(Some(value))) => Self::compare_to_value(path, comparison, value),
            (Operand::Literal(Some(value)), Operand::Path(path)) => {
                Self::compare_to_value(path, comparison.flipped(), value)
            }
            (Operand::Path(left), Operand::Path(right)) if left <= right => Self::Paths { left, comparison, right },
            (Operand::Path(left), Operand::Path(right)) => {
                Self::Paths { left: right, comparison: comparison.flipped(), right: left }
            }
        }
    }

    fn compare_to_value(path: Path, comparison: Comparison, value: Scalar<'static>) -> Self {
        match comparison {
            Comparison::Equal => Self::one_of(path, vec![value]),
            _ => Self::Range { path, comparison, bound: value },
        }
    }

    fn list(mut parts: Vec<Self>, of_none: bool, list: impl FnOnce(Vec<Self>) -> Self) -> Self {
        parts.sort_unstable();
        parts.dedup();
        match parts.len() {
            0 => Self::Constant(Some(of_none)),
            1 => parts.remove(0),
            _ => list(parts),
        }
    }

    /// What this is for a payload. As deep a recursion as the condition.
    pub(super) fn evaluate(&self, root: &Node<'_>) -> Truth {
        match self {
            Self::Constant(truth) => *truth,
            Self::OneOf { path, values } => root.find(path).and_then(|node| equals_one_of(node, values)),
            Self::Range { path, comparison, bound } => compare(root.find(path)?, *comparison, bound),
            Self::Paths { left, comparison, right } => compare_nodes(root.find(left)?, *comparison, root.find(right)?),
            Self::Like { path, pattern } => match root.find(path)? {
                Node::Scalar(Scalar::Text(text)) => Some(pattern.matches(text)),
                _ => None,
            },
            Self::IsNull(path) => Some(matches!(root.find(path), None | Some(Node::Null))),
            Self::Flag(path) => match root.find(path)? {
                Node::Scalar(Scalar::Bool(value)) => Some(*value),
                _ => None,
            },
            Self::Not(inner) => inner.evaluate(root).map(|truth| !truth),
            Self::All(parts) => fold(parts.iter().map(|part| part.evaluate(root)), false),
            Self::Any(parts) => fold(parts.iter().map(|part| part.evaluate(root)), true),
        }
    }
}

impl Comparison {
    /// Whether it is true of values in that order.
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }

    /// The same with its sides exchanged.
    fn flipped(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

/// `a = 1 OR a = 2` is `a IN (1, 2)`.
fn merge_equalities(parts: Vec<Condition>) -> Vec<Condition> {
    let mut merged: Vec<Condition> = Vec::with_capacity(parts.len());
    let mut equalities: Vec<(Path, Vec<Scalar<'static>>)> = Vec::new();
    for part in parts {
        match part {
            Condition::OneOf { path, values } => match equalities.iter_mut().find(|(known, _)| *known == path) {
                Some((_, known)) => known.extend(values),
                None => equalities.push((path, values)),
            },
            other => merged.push(other),
        }
    }
    merged.extend(equalities.into_iter().map(|(path, values)| Condition::one_of(path, values)));
    merged
}

/// The truth of a list in which one `decisive` part decides.
fn fold(parts: impl Iterator<Item = Truth>, decisive: bool) -> Truth {
    let mut result = Some(!decisive);
    for part in parts {
        match part {
            Some(truth) if truth == decisive => return part,
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

fn equals_one_of<'a>(node: &Node<'a>, values: &[Scalar<'a>]) -> Truth {
    match node {
        Node::Scalar(scalar) => {
            if values.binary_search(scalar).is_ok() {
                return Some(true);
            }
            // Sorted: values of one type are next to each other.
            let same_type = |value: Option<&Scalar<'_>>| value.is_some_and(|value| value.is_like(scalar));
            (same_type(values.first()) && same_type(values.last())).then_some(false)
        }
        Node::Array(items) => fold(items.iter().map(|item| equals_item(item, values)), true),
        Node::Null | Node::Object(_) => None,
    }
}

/// Arrays in arrays equal nothing.
fn equals_item<'a>(item: &Node<'a>, values: &[Scalar<'a>]) -> Truth {
    if matches!(item, Node::Scalar(_)) { equals_one_of(item, values) } else { None }
}

fn compare(node: &Node<'_>, comparison: Comparison, value: &Scalar<'_>) -> Truth {
    match node {
        Node::Scalar(scalar) => scalar.compare(value).map(|order| comparison.holds(order)),
        Node::Array(items) if comparison == Comparison::Equal => fold(
            items.iter().map(|item| match item {
                Node::Scalar(scalar) => scalar.compare(value).map(Ordering::is_eq),
                _ => None,
            }),
            true,
        ),
        _ => None,
    }
}

/// Two arrays are not compared: that could take as long as both together are long, multiplied.
fn compare_nodes(left: &Node<'_>, comparison: Comparison, right: &Node<'_>) -> Truth {
    match (left, right) {
        (_, Node::Scalar(value)) => compare(left, comparison, value),
        (Node::Scalar(value), _) => compare(right, comparison.flipped(), value),
        _ => None,
    }
}
