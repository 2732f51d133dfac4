//! The property table of the connectors in memory, sound and broken.

use eventflux_core::{EventFluxError, Properties, PropertyKind, PropertySpec};

/// What can be wrong with a table or a factory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableFault {
    RefusesEverything,
    ForgetsTheRequired,
    AcceptsTheUnknown,
    AcceptsTheInvalid,
    Undocumented,
    Panics,
}

const HUB: PropertySpec =
    PropertySpec::new("memory.hub", PropertyKind::Text, "Name of the hub to meet at.").example("h");
const DELAY: PropertySpec = PropertySpec::new(
    "memory.delay.ms",
    PropertyKind::Integer { min: 0, max: 600_000 },
    "Pause between two attempts to connect.",
)
.default("5")
.unit("ms");
const ATTEMPTS: PropertySpec = PropertySpec::new(
    "memory.attempts",
    PropertyKind::Integer { min: -1, max: 1_000 },
    "Attempts to connect before giving up; -1 for no end.",
)
.default("-1");
const PATTERN: PropertySpec =
    PropertySpec::new("memory.pattern", PropertyKind::Text, "A pattern with closed brackets.").example("(a)");
const TOKEN: PropertySpec = PropertySpec::new("memory.token", PropertyKind::Text, "What the hub asks for.").secret();
const ANYTHING: PropertySpec = PropertySpec::new("memory.*", PropertyKind::Text, "Anything.");
const UNDOCUMENTED: PropertySpec = PropertySpec::new("memory.silent", PropertyKind::Boolean, "");

const SOUND: &[PropertySpec] = &[HUB.required(), DELAY, ATTEMPTS, PATTERN, TOKEN];
const FORGETFUL: &[PropertySpec] = &[HUB, DELAY, ATTEMPTS, PATTERN, TOKEN];
const LAX: &[PropertySpec] = &[HUB.required(), DELAY, ATTEMPTS, PATTERN, TOKEN, ANYTHING];
const SILENT: &[PropertySpec] = &[HUB.required(), DELAY, ATTEMPTS, PATTERN, TOKEN, UNDOCUMENTED];

pub(crate) fn table(fault: Option<TableFault>) -> &'static [PropertySpec] {
    match fault {
        Some(TableFault::ForgetsTheRequired) => FORGETFUL,
        Some(TableFault::AcceptsTheUnknown) => LAX,
        Some(TableFault::Undocumented) => SILENT,
        _ => SOUND,
    }
}

/// The checks that the table cannot express.
pub(crate) fn check(fault: Option<TableFault>, properties: &Properties) -> Result<(), EventFluxError> {
    let pattern = properties.optional_text("memory.pattern").unwrap_or_default();
    match fault {
        Some(TableFault::RefusesEverything) => return Err(EventFluxError::configuration("not today")),
        Some(TableFault::Panics) if pattern == " " => panic!("a blank pattern"),
        Some(TableFault::AcceptsTheInvalid) => return Ok(()),
        _ => {}
    }
    if pattern.matches('(').count() == pattern.matches(')').count() {
        Ok(())
    } else {
        Err(EventFluxError::property("memory.pattern", format!("'{pattern}' leaves a bracket open")))
    }
}

/// A value that [`check`] refuses.
pub(crate) fn invalid_values() -> Vec<(String, String)> {
    vec![("memory.pattern".into(), "(a".into())]
}
