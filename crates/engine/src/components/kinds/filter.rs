//! `json_filter` processor: messages that meet a criterion go on.

use super::{Becomes, Field, Kind, Shape, Target};

/// How the value at the path and the value of the criterion have to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::components) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
    Exists,
}

const OPERATORS: &[&str] = &["==", "!=", ">", ">=", "<", "<=", "contains", "exists"];

impl Operator {
    pub(in crate::components) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            "contains" => Self::Contains,
            "exists" => Self::Exists,
            _ => return None,
        })
    }
}

pub(super) const PROCESSOR: Kind = Kind {
    category: "processor",
    name: "json_filter",
    doc: "Hands on the messages that meet its criterion.",
    fields: &[
        Field::new(
            "criteria.path",
            Shape::TEXT,
            Target::PartOf("the condition of WHERE"),
            "The way to a value in the message: `$.value`, `$.items[0].price`, `$['odd name']`.",
        )
        .required(),
        Field::new(
            "criteria.operator",
            Shape::choice(OPERATORS),
            Target::PartOf("the condition of WHERE"),
            "How the value at the path has to compare. `contains`: a text has this part, a list this element. `exists`: there is something at the path (with the value `false`: nothing).",
        )
        .required(),
        Field::new(
            "criteria.value",
            Shape::Scalar,
            Target::PartOf("the condition of WHERE"),
            "What to compare with; every operator but `exists` needs it. Its type counts: a text is no number, and where there is nothing, or something of another type, the message does not go on.",
        ),
    ],
    becomes: Becomes::Filter,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_of_the_table_is_one() {
        assert!(OPERATORS.iter().all(|text| Operator::parse(text).is_some()));
    }
}
