//! The compiler of expressions: checks names and types, folds constants, and reports every mistake at its place.
//!
//! A mistake is recorded where it is found and the sub-expression counts as failed; its neighbours are still checked.
//! What is not supported is refused, clause by clause: nothing the parser understands is ignored.

mod access;
mod calls;
mod casts;
mod coerce;
mod literals;
mod operators;
mod predicates;
mod refuse;
mod syntax;

use std::sync::Arc;

use eventflux_core::{Column, DataType, EventBatch, Schema};
use sqlparser::ast::{Expr, Function, Ident};

use super::eval::Evaluation;
use super::node::{Kind, Node};
use super::{CompiledExpr, MAX_DEPTH, RowErrors, Rows, Scope};
use crate::diagnostic::{Diagnostic, Span};
use crate::sql::{span_of_expr, span_of_part};

/// What the result is for.
pub(super) enum Wanted {
    Anything,
    /// A column of that type.
    Column(DataType),
    Condition,
}

pub(super) fn compile(expr: &Expr, scope: &Scope<'_>, wanted: Wanted) -> Result<CompiledExpr, Vec<Diagnostic>> {
    let mut compiler = Compiler { scope, diagnostics: Vec::new(), depth: 0 };
    let compiled = compiler.expr(expr).and_then(|node| match wanted {
        Wanted::Anything => Ok(compiler.typed_or(node, DataType::String)),
        Wanted::Column(target) => compiler.assign(expr, node, target),
        Wanted::Condition => compiler.condition(expr, node, "WHERE"),
    });
    match compiled {
        Ok(root) if compiler.diagnostics.is_empty() => Ok(CompiledExpr { root }),
        _ => Err(compiler.diagnostics),
    }
}

/// A sub-expression has a mistake, which has been recorded.
struct Failed;

type Compiled = Result<Node, Failed>;

/// A compiled sub-expression and its source.
struct Operand<'e> {
    node: Node,
    expr: &'e Expr,
}

struct Compiler<'a> {
    scope: &'a Scope<'a>,
    diagnostics: Vec<Diagnostic>,
    depth: usize,
}

impl Compiler<'_> {
    fn expr(&mut self, expr: &Expr) -> Compiled {
        if self.depth >= MAX_DEPTH {
            let message = format!("this expression is too deep: more than {MAX_DEPTH} levels");
            return Err(self.fail(expr, message));
        }
        self.depth += 1;
        let compiled = self.any(expr);
        self.depth -= 1;
        compiled
    }

    /// One small function per kind: the frames of nested calls add up.
    fn any(&mut self, expr: &Expr) -> Compiled {
        match expr {
            Expr::Nested(inner) => self.expr(inner),
            Expr::Value(value) => self.literal(expr, &value.value),
            Expr::TypedString(literal) => self.typed_string(expr, literal),
            Expr::Identifier(name) => self.column(name),
            Expr::CompoundIdentifier(names) => self.path(&names.iter().collect::<Vec<_>>()),
            Expr::CompoundFieldAccess { root, access_chain } => self.field_access(root, access_chain),
            Expr::BinaryOp { left, op, right } => self.binary(expr, left, op, right),
            Expr::UnaryOp { op, expr: operand } => self.unary(expr, *op, operand),
            Expr::Between { .. } | Expr::InList { .. } | Expr::Like { .. } | Expr::ILike { .. } => self.predicate(expr),
            Expr::IsDistinctFrom(left, right) => self.distinct(expr, left, right, false),
            Expr::IsNotDistinctFrom(left, right) => self.distinct(expr, left, right, true),
            Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotUnknown(_) => self.is(expr),
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(expr, operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::Cast { .. } => self.cast(expr),
            Expr::Function(function) => self.function(expr, function),
            Expr::Extract { .. }
            | Expr::Ceil { .. }
            | Expr::Floor { .. }
            | Expr::Position { .. }
            | Expr::Substring { .. }
            | Expr::Trim { .. } => self.keyword_call(expr),
            _ => Err(self.unsupported(expr)),
        }
    }

    /// Compiles all, so that every mistake in them is found. A loop, since the frames of iterators add up.
    fn all<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>) -> Result<Vec<Operand<'e>>, Failed> {
        let mut operands = Vec::new();
        let mut failed = false;
        for expr in exprs {
            match self.expr(expr) {
                Ok(node) => operands.push(Operand { node, expr }),
                Err(Failed) => failed = true,
            }
        }
        if failed { Err(Failed) } else { Ok(operands) }
    }

    fn both<'e>(&mut self, left: &'e Expr, right: &'e Expr) -> Result<[Operand<'e>; 2], Failed> {
        let left_node = self.expr(left);
        let right_node = self.expr(right);
        Ok([Operand { node: left_node?, expr: left }, Operand { node: right_node?, expr: right }])
    }

    fn span(&self, expr: &Expr) -> Span {
        span_of_expr(self.scope.file, expr)
    }

    fn name_span(&self, name: &Ident) -> Span {
        self.span(&Expr::Identifier(name.clone()))
    }

    fn function_name_span(&self, expr: &Expr, function: &Function) -> Span {
        span_of_part(self.scope.file, &function.name).unwrap_or_else(|| self.span(expr))
    }

    fn fail(&mut self, expr: &Expr, message: impl Into<String>) -> Failed {
        let span = self.span(expr);
        self.report(Diagnostic::error(span, message))
    }

    fn fail_with_hint(&mut self, expr: &Expr, message: impl Into<String>, hint: impl Into<String>) -> Failed {
        let span = self.span(expr);
        self.report(Diagnostic::error(span, message).with_hint(hint))
    }

    fn report(&mut self, diagnostic: Diagnostic) -> Failed {
        self.diagnostics.push(diagnostic);
        Failed
    }

    /// A node of the sub-expression `expr`, or the constant it always is.
    fn finish(&mut self, expr: &Expr, data_type: DataType, kind: Kind) -> Compiled {
        let node = Node { data_type, place: Arc::from(""), kind };
        if node.is_pure() {
            return self.fold(expr, &node);
        }
        let place = self.scope.file.place(self.span(expr).start);
        Ok(Node { place: Arc::from(place), ..node })
    }

    #[inline(never)]
    fn fold(&mut self, expr: &Expr, node: &Node) -> Compiled {
        let batch = EventBatch::from_columns(Arc::new(Schema::default()), Vec::new(), vec![0]);
        let mut errors = RowErrors { without_places: true, ..RowErrors::default() };
        let mut evaluation = Evaluation { batch: &batch, rows: Rows::All(1), errors: &mut errors };
        let value = evaluation.eval(node).into_dense(1).into_owned();
        match errors.take().into_iter().next() {
            Some(failure) => Err(self.fail(expr, failure.error.to_string())),
            None => Ok(constant(value)),
        }
    }
}

/// A node without operands.
fn leaf(data_type: DataType, kind: Kind) -> Node {
    Node { data_type, place: Arc::from(""), kind }
}

/// A constant of one entry.
fn constant(value: Column) -> Node {
    leaf(value.data_type(), Kind::Constant { value, untyped: false })
}

/// `NULL` of that type.
fn null(data_type: DataType, untyped: bool) -> Node {
    let mut value = Column::new(data_type);
    value.push_null();
    leaf(data_type, Kind::Constant { value, untyped })
}
