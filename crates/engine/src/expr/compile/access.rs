//! Names of columns, and steps into JSON.

use eventflux_core::DataType;
use sqlparser::ast::{AccessExpr, BinaryOperator, Expr, Ident, Subscript, UnaryOperator, Value};

use super::coerce::a;
use super::{Compiled, Compiler, Failed, leaf};
use crate::diagnostic::{Diagnostic, Span, nearest};
use crate::expr::json::Step;
use crate::expr::node::{Kind, Node};

/// The most columns a hint lists.
const MAX_LISTED_COLUMNS: usize = 12;

impl Compiler<'_> {
    pub(super) fn column(&mut self, name: &Ident) -> Compiled {
        match self.scope.schema.index_of(&name.value) {
            Some(index) => Ok(self.column_node(index)),
            None => Err(self.unknown_column(name)),
        }
    }

    fn column_node(&self, index: usize) -> Node {
        leaf(self.scope.schema.fields()[index].data_type, Kind::Column(index))
    }

    fn unknown_column(&mut self, name: &Ident) -> Failed {
        let span = self.name_span(name);
        let stream = self.scope.stream;
        let error = if self.is_stream(name) {
            Diagnostic::error(span, format!("`{}` is the stream itself, not a column", name.value))
                .with_hint("name one of its columns")
        } else {
            Diagnostic::error(span, format!("unknown column `{}` in stream `{stream}`", name.value))
                .with_hint(self.column_hint(name))
        };
        self.report(error)
    }

    fn column_hint(&self, name: &Ident) -> String {
        let names = || self.scope.schema.names();
        let near = nearest(&name.value, names()).map(|near| format!("did you mean `{near}`?"));
        if name.quote_style == Some('"') {
            let quotes = "double quotes are for names; text is written in single quotes";
            return near.map_or_else(|| quotes.to_owned(), |near| format!("{near} {quotes}"));
        }
        if let Some(near) = near {
            return near;
        }
        let listed: Vec<String> = names().take(MAX_LISTED_COLUMNS).map(|name| format!("`{name}`")).collect();
        let more = if self.scope.schema.len() > MAX_LISTED_COLUMNS { ", ..." } else { "" };
        format!("columns are {}{more}", listed.join(", "))
    }

    fn is_stream(&self, name: &Ident) -> bool {
        name.value == self.scope.stream || self.scope.alias == Some(name.value.as_str())
    }

    /// `stream.column.member...` or `column.member...`.
    pub(super) fn path(&mut self, names: &[&Ident]) -> Compiled {
        let [first, rest @ ..] = names else {
            return Err(self.report(Diagnostic::error(Span::default(), "a name is missing")));
        };
        let [second, others @ ..] = rest else {
            return self.column(first);
        };
        let schema = self.scope.schema;
        if self.is_stream(first)
            && let Some(index) = schema.index_of(&second.value)
        {
            let node = self.column_node(index);
            return self.members(node, second, others);
        }
        if let Some(index) = schema.index_of(&first.value) {
            let node = self.column_node(index);
            return self.members(node, first, rest);
        }
        if self.is_stream(first) {
            return Err(self.unknown_column(second));
        }
        let span = self.name_span(first);
        let known = schema.names().chain([self.scope.stream]).chain(self.scope.alias);
        let error = Diagnostic::error(
            span,
            format!("`{}` is neither the stream of this query nor one of its columns", first.value),
        );
        let near = nearest(&first.value, known).map(|near| format!("did you mean `{near}`?"));
        let hint =
            near.unwrap_or_else(|| format!("the query reads from `{}`", self.scope.alias.unwrap_or(self.scope.stream)));
        Err(self.report(error.with_hint(hint)))
    }

    fn members(&mut self, node: Node, owner: &Ident, members: &[&Ident]) -> Compiled {
        let Some(member) = members.first() else {
            return Ok(node);
        };
        if node.data_type != DataType::Json {
            let span = self.name_span(member);
            let message = format!("`{}` is {}, which has no member `{}`", owner.value, a(node.data_type), member.value);
            return Err(self.report(Diagnostic::error(span, message).with_hint(no_json_hint(node.data_type))));
        }
        let path = members.iter().map(|member| Step::Member(member.value.clone())).collect();
        Ok(self.step_into(self.name_span(owner), node, path, false))
    }

    /// `data.items[0].name`
    #[inline(never)]
    pub(super) fn field_access(&mut self, root: &Expr, chain: &[AccessExpr]) -> Compiled {
        let mut names: Vec<&Ident> = match root {
            Expr::Identifier(name) => vec![name],
            Expr::CompoundIdentifier(names) => names.iter().collect(),
            _ => Vec::new(),
        };
        let mut rest = chain;
        if !names.is_empty() {
            while let [AccessExpr::Dot(Expr::Identifier(name)), others @ ..] = rest {
                names.push(name);
                rest = others;
            }
        }
        let base = if names.is_empty() { self.expr(root) } else { self.path(&names) };
        let steps: Vec<_> = rest.iter().map(|access| self.access(root, access)).collect();
        let (base, steps) = (base?, steps.into_iter().collect::<Result<Vec<_>, _>>()?);
        if steps.is_empty() {
            return Ok(base);
        }
        if base.data_type != DataType::Json {
            let message = format!("{} has no elements or members", a(base.data_type));
            return Err(self.fail_with_hint(root, message, no_json_hint(base.data_type)));
        }
        Ok(self.step_into(self.span(root), base, steps, false))
    }

    fn access(&mut self, root: &Expr, access: &AccessExpr) -> Result<Step, Failed> {
        match access {
            AccessExpr::Dot(Expr::Identifier(name)) => Ok(Step::Member(name.value.clone())),
            AccessExpr::Dot(other) => Err(self.fail(other, "after a point stands the name of a member")),
            AccessExpr::Subscript(Subscript::Index { index }) => self.key(index),
            AccessExpr::Subscript(Subscript::Slice { .. }) => {
                Err(self.fail_with_hint(root, "slices are not supported", "take single elements, as in items[0]"))
            }
        }
    }

    /// A literal index or name.
    fn key(&mut self, key: &Expr) -> Result<Step, Failed> {
        let (literal, negative) = match key {
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => (expr.as_ref(), true),
            other => (other, false),
        };
        if let Expr::Value(value) = literal {
            match &value.value {
                Value::SingleQuotedString(name) if !negative => return Ok(Step::Member(name.clone())),
                Value::Number(digits, false) => {
                    if let Ok(index) = digits.parse::<i64>() {
                        return Ok(Step::Element(if negative { -index } else { index }));
                    }
                }
                _ => {}
            }
        }
        let hint = "for computed steps there are JSON_EXTRACT(value, path) and JSON_VALUE(value, path)";
        Err(self.fail_with_hint(key, "a step into JSON is a whole number or a name in single quotes", hint))
    }

    /// `value->key` and `value->>key`.
    pub(super) fn arrow(&mut self, expr: &Expr, left: &Expr, op: &BinaryOperator, right: &Expr) -> Compiled {
        let (base, key) = (self.expr(left), self.key(right));
        let (base, key) = (base?, key?);
        if base.is_untyped_null() {
            return Ok(base);
        }
        if base.data_type != DataType::Json {
            let message = format!("{op} needs JSON on its left, not {}", a(base.data_type));
            return Err(self.fail_with_hint(left, message, no_json_hint(base.data_type)));
        }
        let text = matches!(op, BinaryOperator::LongArrow);
        let node = self.step_into(self.span(expr), base, vec![key], text);
        if node.is_pure() { self.fold(expr, &node) } else { Ok(node) }
    }

    /// Adds steps to a path that is already one, so that no text between is copied.
    fn step_into(&self, span: Span, base: Node, steps: Vec<Step>, text: bool) -> Node {
        let data_type = if text { DataType::String } else { DataType::Json };
        let place = self.scope.file.place(span.start);
        let (operand, path) = match base.kind {
            Kind::Json { operand, path, text: false } => (operand, path.into_iter().chain(steps).collect()),
            _ => (Box::new(base), steps),
        };
        Node { data_type, place: place.into(), kind: Kind::Json { operand, path, text } }
    }
}

fn no_json_hint(data_type: DataType) -> String {
    match data_type {
        DataType::String => "if the text holds JSON, declare the column as JSON or use PARSE_JSON(...)".to_owned(),
        _ => "only JSON has members and elements".to_owned(),
    }
}
