//! What the parser understands and this engine does not: each refused at its place, with a way out where there is one.

use sqlparser::ast::{BinaryOperator, Expr};

use super::{Compiler, Failed};

const EACH_BY_ITSELF: &str = "a query handles each event by itself";

impl Compiler<'_> {
    #[inline(never)]
    pub(super) fn unsupported(&mut self, expr: &Expr) -> Failed {
        let (what, hint) = match expr {
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                ("sub-queries are not supported", EACH_BY_ITSELF)
            }
            Expr::InUnnest { .. } => ("IN UNNEST is not supported", "list the values: x IN (1, 2)"),
            Expr::AnyOp { .. } | Expr::AllOp { .. } => {
                ("ANY and ALL are not supported", "list the values: x IN (1, 2)")
            }
            Expr::SimilarTo { .. } => ("SIMILAR TO is not supported", "use LIKE or REGEXP_LIKE(text, pattern)"),
            Expr::RLike { .. } => ("RLIKE and REGEXP are not supported", "use REGEXP_LIKE(text, pattern)"),
            Expr::Collate { .. } => ("COLLATE is not supported", "compare UPPER(...) or LOWER(...), or use ILIKE"),
            Expr::AtTimeZone { .. } => {
                ("AT TIME ZONE is not supported", "timestamps are in UTC; add an INTERVAL for a fixed offset")
            }
            Expr::Interval(_) => {
                ("an INTERVAL stands only behind + or - with a TIMESTAMP", "there is DATE_ADD('minute', count, time)")
            }
            Expr::Array(_) | Expr::Dictionary(_) | Expr::Map(_) | Expr::Struct { .. } | Expr::Named { .. } => {
                ("arrays, maps and structs are not supported", "use JSON, and JSON_OBJECT to make some")
            }
            Expr::Tuple(_) => {
                ("lists of values are supported only behind IN", "compare the values one by one, with AND")
            }
            Expr::JsonAccess { .. } => {
                ("this way into JSON is not supported", "write data.s, data->'s', data->>'s' or items[0]")
            }
            Expr::IsJson { .. } => ("IS JSON is not supported", "use JSON_VALID(text) or JSON_TYPE(json)"),
            Expr::IsNormalized { .. } => ("IS NORMALIZED is not supported", "leave it out"),
            Expr::Convert { .. } => ("CONVERT is not supported", "use CAST(value AS type)"),
            Expr::Overlay { .. } => {
                ("OVERLAY is not supported", "join LEFT(...), the new text and SUBSTRING(...) with ||")
            }
            Expr::Prefixed { .. } => ("a word in front of a string is not supported", "write text as '...'"),
            Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => ("grouping is not supported", EACH_BY_ITSELF),
            Expr::MatchAgainst { .. } => ("MATCH AGAINST is not supported", "use CONTAINS or REGEXP_LIKE"),
            Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => ("* is not supported here", "name a column"),
            Expr::Lambda(_) => ("lambda functions are not supported", "leave it out"),
            Expr::MemberOf(_) => ("MEMBER OF is not supported", "list the values: x IN (1, 2)"),
            Expr::OuterJoin(_) | Expr::Prior(_) => ("joins and hierarchies are not supported", EACH_BY_ITSELF),
            _ => ("this kind of expression is not supported", "the SQL reference lists what there is"),
        };
        self.fail_with_hint(expr, what, hint)
    }

    #[inline(never)]
    pub(super) fn unsupported_operator(&mut self, expr: &Expr, op: &BinaryOperator) -> Failed {
        let hint = match op {
            BinaryOperator::Xor => "for BOOLs, <> says the same",
            BinaryOperator::Spaceship => "use IS NOT DISTINCT FROM",
            BinaryOperator::PGRegexMatch
            | BinaryOperator::PGRegexIMatch
            | BinaryOperator::PGRegexNotMatch
            | BinaryOperator::PGRegexNotIMatch
            | BinaryOperator::Regexp
            | BinaryOperator::Match => "use REGEXP_LIKE(text, pattern)",
            BinaryOperator::Glob
            | BinaryOperator::PGLikeMatch
            | BinaryOperator::PGILikeMatch
            | BinaryOperator::PGNotLikeMatch
            | BinaryOperator::PGNotILikeMatch => "use LIKE or ILIKE",
            BinaryOperator::PGStartsWith => "use STARTS_WITH(text, prefix)",
            BinaryOperator::HashArrow | BinaryOperator::HashLongArrow => {
                "use value->'a'->'b', JSON_EXTRACT(value, path) or JSON_VALUE(value, path)"
            }
            BinaryOperator::DuckIntegerDivide | BinaryOperator::MyIntegerDivide => {
                "/ of integers cuts off the fraction"
            }
            BinaryOperator::PGExp | BinaryOperator::BitwiseXor => "for powers use POWER(base, exponent)",
            BinaryOperator::Assignment => "use = to compare",
            BinaryOperator::PGOverlap => "use AND",
            _ => "the SQL reference lists what there is",
        };
        self.fail_with_hint(expr, format!("the operator {op} is not supported"), hint)
    }
}
