//! The examples of the function reference.

use super::results;
use crate::functions::catalogue;

#[test]
fn every_example_of_the_reference_is_true() {
    let mut wrong = Vec::new();
    for function in catalogue() {
        for (expression, expected) in function.examples {
            let found = results(expression).remove(0);
            if found != *expected {
                wrong.push(format!("{expression}: {found}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
