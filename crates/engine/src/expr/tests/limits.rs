//! Depth and size.

use eventflux_core::{DataType, EventBatch, EventFluxContext, Value};
use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator};

use super::{Scope, batch, compile, compiled, parsed, results, results_of, schema};
use crate::diagnostic::SourceFile;
use crate::expr::MAX_DEPTH;

/// The stack of a thread of the runtime.
const STACK_BYTES: usize = 2 * 1024 * 1024;

fn with_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap().join().unwrap();
}

#[test]
fn the_deepest_expressions_compile_run_and_drop_on_a_small_stack() {
    let depth = 84;
    let chain = |operator: &str, operand: &str| vec![operand; 250].join(operator);
    let expressions = [
        chain(" + ", "i"),
        chain(" - ", "d"),
        chain(" || ", "s"),
        chain(" OR ", "b"),
        format!("{}i", "- ".repeat(250)),
        format!("{}b", "NOT ".repeat(250)),
        format!("{}i{}", "ABS(".repeat(depth), ")".repeat(depth)),
        format!("{}i{}", "(".repeat(120), ")".repeat(120)),
        format!("{}i{}", "CASE WHEN b THEN ".repeat(depth), " ELSE 1 END".repeat(depth)),
        format!("{}s{}", "COALESCE(NULL, ".repeat(depth), ")".repeat(depth)),
        format!("i{}", "::BIGINT::INT".repeat(100)),
        format!("{}i{}", "IF(b, ".repeat(depth), ", 1)".repeat(depth)),
    ];
    with_small_stack(move || {
        for expression in expressions {
            let found = results(&expression);
            assert_eq!(found.len(), 3, "{expression}");
        }
    });
}

/// Puts an expression into another.
type Wrap = fn(Expr) -> Expr;

/// `depth` times `wrap` around `expression`, as no front end would let through.
fn nested(expression: &str, depth: usize, wrap: Wrap) -> (SourceFile, Expr) {
    let (file, mut expr) = parsed(expression);
    for _ in 0..depth {
        expr = wrap(expr);
    }
    (file, expr)
}

#[test]
fn trees_up_to_the_limit_fit_a_small_stack_and_deeper_ones_are_refused() {
    let wraps: [(&str, Wrap); 3] = [
        ("b", |expr| Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expr) }),
        ("i", |expr| {
            let (_, mut call) = parsed("ABS(i)");
            let Expr::Function(function) = &mut call else { panic!("a call") };
            let FunctionArguments::List(list) = &mut function.args else { panic!("arguments") };
            list.args[0] = FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
            call
        }),
        ("i", |expr| {
            let (_, mut case) = parsed("CASE WHEN b THEN i ELSE 1 END");
            let Expr::Case { conditions, .. } = &mut case else { panic!("a CASE") };
            conditions[0].result = expr;
            case
        }),
    ];
    with_small_stack(move || {
        let (schema, context) = (schema(), EventFluxContext::new());
        for (inner, wrap) in wraps {
            for (depth, fits) in [(MAX_DEPTH - 1, true), (MAX_DEPTH, false)] {
                let (file, expr) = nested(inner, depth, wrap);
                let scope = Scope { file: &file, stream: "S", alias: None, schema: &schema, context: &context };
                let compiled = compile(&expr, &scope);
                assert_eq!(compiled.is_ok(), fits, "{inner} {depth}: {:?}", compiled.err());
                if let Ok(compiled) = compiled {
                    assert_eq!(results_of(&compiled, &batch()).len(), 3);
                }
            }
        }
    });
}

#[test]
fn results_are_bounded() {
    let compiled = compiled("REPEAT(s, n)").unwrap();
    let mut batch = EventBatch::new(super::schema());
    let mut row = vec![Value::Null; 10];
    row[4] = "ab".into();
    for times in [3, i64::MAX, 1 << 20] {
        row[1] = Value::Long(times);
        batch.push_row(&row, 1).unwrap();
    }
    let found = results_of(&compiled, &batch);
    assert_eq!(found[0], "'ababab'");
    assert!(found[1].contains("REPEAT: the result is longer than 1048576 bytes"), "{}", found[1]);
    assert!(found[2].contains("REPEAT: the result is longer"), "{}", &found[2][..80]);
    assert_eq!(compiled.data_type(), DataType::String);
}

#[test]
fn a_long_list_compiles() {
    let list: Vec<String> = (0..5000).map(|number| number.to_string()).collect();
    assert_eq!(results(&format!("i IN ({})", list.join(", "))), ["TRUE", "TRUE", "NULL"]);
}
