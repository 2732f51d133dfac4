//! Functions that choose a value. The expression compiler translates them, so that what is not taken is not evaluated.

use super::short::{ANY, BOOL, SAME, TO_COMMON, TO_STRING};
use super::{Builtin, Family, Kernel, signature};

pub(super) const FUNCTIONS: &[Builtin] = &[
    Builtin::new(
        Family::Conditional,
        "COALESCE",
        &[signature!((value: SAME, ...) -> TO_COMMON)],
        "The first value that is not `NULL`; later ones are not evaluated.",
        &[("COALESCE(NULL, 2, 3)", "2"), ("COALESCE(NULL, NULL)", "NULL")],
        Kernel::Translated,
    )
    .aliases(&["IFNULL", "NVL"])
    .nulls("skipped; the result is `NULL` when all values are."),
    Builtin::new(
        Family::Conditional,
        "NULLIF",
        &[signature!((value: SAME, other: SAME) -> TO_COMMON)],
        "`NULL` if both values are equal, else the first.",
        &[("NULLIF('-', '-')", "NULL"), ("NULLIF(5, 0)", "5")],
        Kernel::Translated,
    )
    .nulls("`NULL` equals nothing: the result is the first value."),
    Builtin::new(
        Family::Conditional,
        "IF",
        &[signature!((condition: BOOL, then: SAME; otherwise: SAME) -> TO_COMMON)],
        "The second argument if the condition is `TRUE`, else the third, or `NULL` without one; only the one taken \
         is evaluated.",
        &[("IF(2 > 1, 'up', 'down')", "'up'"), ("IF(FALSE, 1)", "NULL")],
        Kernel::Translated,
    )
    .aliases(&["IIF"])
    .nulls("a condition that is `NULL` counts as not `TRUE`."),
    Builtin::new(
        Family::Conditional,
        "TYPEOF",
        &[signature!((value: ANY) -> TO_STRING)],
        "The name of the value's type.",
        &[("TYPEOF(1.5)", "'DOUBLE'"), ("TYPEOF(3000000000)", "'BIGINT'")],
        Kernel::Translated,
    )
    .nulls("the type counts, not the value; of a bare `NULL` it is `NULL`."),
];
