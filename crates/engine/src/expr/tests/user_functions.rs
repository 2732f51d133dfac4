//! Functions of the registry.

use eventflux_core::{Column, DataType, EventFluxContext, FunctionError, ScalarFunction, ValueRef};

use super::{batch, check_diagnostic, compiled_with, results_of};

struct Double;

impl ScalarFunction for Double {
    fn name(&self) -> &str {
        "twice"
    }

    fn return_type(&self, arguments: &[Option<DataType>]) -> Result<DataType, String> {
        match arguments {
            [Some(DataType::Int) | None] => Ok(DataType::Int),
            _ => Err("takes one INT".to_owned()),
        }
    }

    fn call(&self, arguments: &[ValueRef<'_>], result: &mut Column) -> Result<(), FunctionError> {
        match arguments[0] {
            ValueRef::Int(0) => Err(FunctionError::transient("zero is not ready")),
            ValueRef::Int(value) => {
                result.push_int(value * 2);
                Ok(())
            }
            _ => {
                result.push_null();
                Ok(())
            }
        }
    }
}

/// Breaks its contract in different ways.
struct Broken;

impl ScalarFunction for Broken {
    fn name(&self) -> &str {
        "broken"
    }

    fn return_type(&self, _: &[Option<DataType>]) -> Result<DataType, String> {
        Ok(DataType::Int)
    }

    fn call(&self, arguments: &[ValueRef<'_>], result: &mut Column) -> Result<(), FunctionError> {
        match arguments[0] {
            ValueRef::Int(7) => {
                result.push_int(1);
                result.push_int(2);
            }
            ValueRef::Int(_) => *result = Column::new(DataType::String),
            _ => {
                result.push_int(1);
                return Err(FunctionError::invalid("appended and failed"));
            }
        }
        Ok(())
    }
}

fn context() -> EventFluxContext {
    let mut context = EventFluxContext::new();
    context.add_function(Double);
    context.add_function(Broken);
    context
}

#[test]
fn user_functions_are_found_in_any_case_and_their_errors_belong_to_the_row() {
    let compiled = compiled_with("TWICE(i) + 1", &context()).unwrap();
    assert_eq!(results_of(&compiled, &batch()), ["15", "error: twice: zero is not ready (t.sql:1:22)", "NULL"]);
    let mut errors = crate::expr::RowErrors::new();
    compiled.evaluate(&batch(), crate::expr::Rows::All(3), &mut errors);
    assert!(errors.take()[0].error.is_retryable());
}

#[test]
fn wrong_arguments_are_the_functions_own_words() {
    let mistakes = compiled_with("twice(s)", &context()).unwrap_err();
    check_diagnostic("twice(s)", &mistakes[0], (1, 1), "twice: takes one INT");
    let mistakes = compiled_with("twise(i)", &context()).unwrap_err();
    check_diagnostic("twise(i)", &mistakes[0], (1, 1), "did you mean twice?");
}

#[test]
fn a_function_that_breaks_its_contract_fails_its_row_only() {
    let compiled = compiled_with("broken(i)", &context()).unwrap();
    let found = results_of(&compiled, &batch());
    assert!(found[0].contains("did not append exactly one value"), "{}", found[0]);
    assert!(found[1].contains("did not append exactly one value"), "{}", found[1]);
    assert!(found[2].contains("appended and failed"), "{}", found[2]);
}
