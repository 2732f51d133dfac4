//! Calls of functions, built-in ones and those of the registry.

use eventflux_core::{Column, DataType};
use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart};

use super::coerce::{cast_hint, widens};
use super::literals::value;
use super::{Compiled, Compiler, Failed, Operand, null};
use crate::diagnostic::{Diagnostic, nearest};
use crate::expr::node::{Kind, Node};
use crate::functions::{self, BadArgument, Builtin, ParameterKind, ResultKind, Signature};

impl Compiler<'_> {
    #[inline(never)]
    pub(super) fn function(&mut self, expr: &Expr, function: &Function) -> Compiled {
        let name = self.function_name(expr, function)?;
        let builtin = functions::find(name);
        let user = self.scope.context.function(name).cloned();
        if builtin.is_none() && user.is_none() {
            return Err(self.unknown_function(expr, function, name));
        }
        let arguments = self.arguments(expr, function)?;
        match (builtin, user) {
            (Some(builtin), _) => self.call(expr, builtin, arguments),
            (None, Some(function)) => {
                let types: Vec<Option<DataType>> = arguments
                    .iter()
                    .map(|argument| (!argument.node.is_untyped_null()).then_some(argument.node.data_type))
                    .collect();
                let data_type = match function.return_type(&types) {
                    Ok(data_type) => data_type,
                    Err(reason) => return Err(self.fail(expr, format!("{}: {reason}", function.name()))),
                };
                let arguments = arguments.into_iter().map(|argument| argument.node).collect();
                self.finish(expr, data_type, Kind::UserCall { function, arguments })
            }
            (None, None) => Err(Failed),
        }
    }

    fn function_name<'e>(&mut self, expr: &Expr, function: &'e Function) -> Result<&'e str, Failed> {
        match function.name.0.as_slice() {
            [ObjectNamePart::Identifier(name)] if !function.uses_odbc_syntax => Ok(&name.value),
            _ => Err(self.fail(expr, "the name of a function is one word")),
        }
    }

    fn unknown_function(&mut self, expr: &Expr, function: &Function, name: &str) -> Failed {
        let span = self.function_name_span(expr, function);
        let upper = name.to_ascii_uppercase();
        let diagnostic = if AGGREGATES.contains(&upper.as_str()) {
            let hint = match upper.as_str() {
                "MIN" => "a query handles each event by itself; for the least of several values there is LEAST(a, b)",
                "MAX" => {
                    "a query handles each event by itself; for the greatest of several values there is GREATEST(a, b)"
                }
                _ => "a query handles each event by itself",
            };
            Diagnostic::error(span, format!("the aggregate function {upper} is not supported")).with_hint(hint)
        } else if WINDOW_FUNCTIONS.contains(&upper.as_str()) || function.over.is_some() {
            Diagnostic::error(span, format!("the window function {upper} is not supported"))
                .with_hint("a query handles each event by itself")
        } else {
            let mut known: Vec<&str> = functions::names().collect();
            known.extend(self.scope.context.functions().map(|function| function.name()));
            let error = Diagnostic::error(span, format!("unknown function {}", shortened(name)));
            match nearest(name, known) {
                Some(near) => error.with_hint(format!("did you mean {near}?")),
                None => error.with_hint("the SQL reference lists all functions"),
            }
        };
        self.report(diagnostic)
    }

    /// The arguments, after every other clause of the call has been refused.
    fn arguments<'e>(&mut self, expr: &'e Expr, function: &'e Function) -> Result<Vec<Operand<'e>>, Failed> {
        let Function { name: _, uses_odbc_syntax: _, parameters, args, within_group, filter, null_treatment, over } =
            function;
        let refused = [
            (!matches!(parameters, FunctionArguments::None), "parameters in front of the arguments"),
            (!within_group.is_empty(), "WITHIN GROUP"),
            (filter.is_some(), "FILTER"),
            (null_treatment.is_some(), "IGNORE NULLS and RESPECT NULLS"),
            (over.is_some(), "OVER"),
        ];
        if let Some((_, what)) = refused.iter().find(|(present, _)| *present) {
            let hint = "a query handles each event by itself; leave it out";
            return Err(self.fail_with_hint(expr, format!("{what} is not supported"), hint));
        }
        let list = match args {
            FunctionArguments::None => return Ok(Vec::new()),
            FunctionArguments::Subquery(_) => return Err(self.fail(expr, "sub-queries are not supported")),
            FunctionArguments::List(list) => list,
        };
        if list.duplicate_treatment.is_some() {
            return Err(self.fail(expr, "DISTINCT and ALL in a call are not supported"));
        }
        if !list.clauses.is_empty() {
            return Err(self.fail(expr, "clauses behind the arguments of a call are not supported"));
        }
        let mut exprs = Vec::new();
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => exprs.push(argument),
                FunctionArg::Unnamed(_) => return Err(self.fail(expr, "* is no argument of this function")),
                FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. } => {
                    return Err(self.fail(expr, "arguments are given by their place, without names"));
                }
            }
        }
        self.all(exprs)
    }

    /// A call of a built-in function.
    pub(super) fn call(&mut self, expr: &Expr, function: &'static Builtin, arguments: Vec<Operand<'_>>) -> Compiled {
        let name = function.doc.name;
        let Some(signature) = function.doc.signatures.iter().find(|signature| fits(signature, &arguments)) else {
            return Err(self.wrong_arguments(expr, function, &arguments));
        };
        if function.is_translated() {
            return self.translate(expr, name, arguments);
        }
        let common = self.common_type(signature, &arguments, name)?;
        let places: Vec<&Expr> = arguments.iter().map(|argument| argument.expr).collect();
        let mut nodes = Vec::new();
        for (index, Operand { node, expr }) in arguments.into_iter().enumerate() {
            let target = match signature.parameter(index) {
                Some(ParameterKind::Exact(data_type)) => data_type,
                Some(ParameterKind::Number | ParameterKind::Same | ParameterKind::Ordered) => common,
                Some(ParameterKind::Binary | ParameterKind::Any) | None => {
                    nodes.push(self.typed_or(node, DataType::String));
                    continue;
                }
            };
            match self.widen(expr, node, target) {
                Some(node) => nodes.push(node?),
                None => return Err(self.fail(expr, format!("{name} needs a {target} here"))),
            }
        }
        let data_type = match signature.result {
            ResultKind::Exact(data_type) => data_type,
            ResultKind::Common => common,
        };
        let constants: Vec<Option<&Column>> = nodes.iter().map(Node::constant).collect();
        let function = match function.bind(&constants) {
            Ok(function) => function,
            Err(BadArgument { index, reason }) => {
                let place = places.get(index).copied().unwrap_or(expr);
                return Err(self.fail(place, format!("{name}: {reason}")));
            }
        };
        self.finish(expr, data_type, Kind::Call { function, arguments: nodes })
    }

    /// The type the arguments of open type have in common.
    fn common_type(
        &mut self,
        signature: &Signature,
        arguments: &[Operand<'_>],
        name: &str,
    ) -> Result<DataType, Failed> {
        let is_open = |index: usize| {
            matches!(
                signature.parameter(index),
                Some(ParameterKind::Number | ParameterKind::Same | ParameterKind::Ordered)
            )
        };
        let open = arguments.iter().enumerate().filter(|(index, _)| is_open(*index));
        let stand_ins =
            open.map(|(_, argument)| Operand { node: stand_in(&argument.node), expr: argument.expr }).collect();
        let (_, common) = self.unify(stand_ins, &format!("the arguments of {name}"))?;
        let number = signature.parameters.iter().any(|(_, kind)| *kind == ParameterKind::Number);
        Ok(if number && !common.is_numeric() { DataType::Int } else { common })
    }

    /// Functions that evaluate only what they take.
    fn translate(&mut self, expr: &Expr, name: &str, mut arguments: Vec<Operand<'_>>) -> Compiled {
        match name {
            "COALESCE" => {
                let (nodes, data_type) = self.unify(arguments, "the arguments of COALESCE")?;
                self.finish(expr, data_type, Kind::Coalesce(nodes))
            }
            "NULLIF" => {
                let nodes = self.comparable(arguments)?;
                let operands = Box::new(<[Node; 2]>::try_from(nodes).map_err(|_| Failed)?);
                let data_type = operands[0].data_type;
                self.finish(expr, data_type, Kind::NullIf(operands))
            }
            "IF" => {
                let results = arguments.split_off(1);
                let Some(Operand { node, expr: condition }) = arguments.pop() else {
                    return Err(Failed);
                };
                let condition = self.condition(condition, node, "IF")?;
                self.choose(expr, None, vec![condition], results, "the results of IF")
            }
            "TYPEOF" => Ok(match arguments.pop() {
                Some(argument) if !argument.node.is_untyped_null() => {
                    value(DataType::String, eventflux_core::ValueRef::String(argument.node.data_type.name()))
                }
                _ => null(DataType::String, false),
            }),
            _ => Err(self.fail(expr, format!("{name} cannot be called here"))),
        }
    }

    fn wrong_arguments(&mut self, expr: &Expr, function: &Builtin, arguments: &[Operand<'_>]) -> Failed {
        let doc = &function.doc;
        let usage: Vec<String> = doc.signatures.iter().map(|signature| signature.text(doc.name)).collect();
        let usage = usage.join(" or ");
        let Some(signature) = doc.signatures.iter().find(|signature| signature.takes(arguments.len())) else {
            let given = match arguments.len() {
                0 => "no arguments were".to_owned(),
                1 => "1 argument was".to_owned(),
                count => format!("{count} arguments were"),
            };
            return self.fail_with_hint(expr, format!("{given} given to {}", doc.name), usage);
        };
        for (index, argument) in arguments.iter().enumerate() {
            let Some(kind) = signature.parameter(index) else {
                continue;
            };
            if accepts(kind, &argument.node) {
                continue;
            }
            let parameter =
                signature.parameters.get(index).or(signature.parameters.last()).map_or("", |(name, _)| name);
            let found = argument.node.data_type;
            let message = format!("the argument `{parameter}` of {} must be {}, not {found}", doc.name, wanted(kind));
            let hint = match kind {
                ParameterKind::Exact(wanted) => cast_hint(argument.expr, found, wanted),
                ParameterKind::Number => cast_hint(argument.expr, found, DataType::Double),
                ParameterKind::Binary | ParameterKind::Ordered => cast_hint(argument.expr, found, DataType::String),
                ParameterKind::Same | ParameterKind::Any => usage,
            };
            return self.fail_with_hint(argument.expr, message, hint);
        }
        self.fail_with_hint(expr, format!("{} cannot take these arguments", doc.name), usage)
    }
}

fn wanted(kind: ParameterKind) -> String {
    match kind {
        ParameterKind::Exact(data_type) => data_type.name().to_owned(),
        ParameterKind::Number => "a number".to_owned(),
        ParameterKind::Binary => "STRING or BYTES".to_owned(),
        ParameterKind::Ordered => "of a type that has an order".to_owned(),
        ParameterKind::Same | ParameterKind::Any => "a value".to_owned(),
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(40).collect()
}

/// A node of the same type, `NULL` or not alike, for finding a common type.
fn stand_in(node: &Node) -> Node {
    null(node.data_type, node.is_untyped_null())
}

fn fits(signature: &Signature, arguments: &[Operand<'_>]) -> bool {
    signature.takes(arguments.len())
        && arguments
            .iter()
            .enumerate()
            .all(|(index, argument)| signature.parameter(index).is_some_and(|kind| accepts(kind, &argument.node)))
}

fn accepts(kind: ParameterKind, node: &Node) -> bool {
    let found = node.data_type;
    if node.is_untyped_null() {
        return true;
    }
    match kind {
        ParameterKind::Exact(wanted) => found == wanted || widens(found, wanted),
        ParameterKind::Number => found.is_numeric(),
        ParameterKind::Binary => matches!(found, DataType::String | DataType::Bytes),
        ParameterKind::Ordered => found != DataType::Json,
        ParameterKind::Same | ParameterKind::Any => true,
    }
}

const AGGREGATES: [&str; 22] = [
    "SUM",
    "COUNT",
    "AVG",
    "MIN",
    "MAX",
    "STDDEV",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "VARIANCE",
    "VAR_POP",
    "VAR_SAMP",
    "MEDIAN",
    "MODE",
    "ANY_VALUE",
    "ARRAY_AGG",
    "STRING_AGG",
    "LISTAGG",
    "GROUP_CONCAT",
    "JSON_AGG",
    "JSON_ARRAYAGG",
    "APPROX_COUNT_DISTINCT",
    "PERCENTILE_CONT",
];

const WINDOW_FUNCTIONS: [&str; 14] = [
    "ROW_NUMBER",
    "RANK",
    "DENSE_RANK",
    "PERCENT_RANK",
    "CUME_DIST",
    "NTILE",
    "LAG",
    "LEAD",
    "FIRST_VALUE",
    "LAST_VALUE",
    "NTH_VALUE",
    "TUMBLE",
    "HOP",
    "SESSION",
];
