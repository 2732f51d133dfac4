//! The property table of the `file` sink: the only place where a property is described.

use eventflux_core::{PropertyKind, PropertySpec};

/// Properties of the sink, besides the common ones.
pub const SINK_PROPERTIES: &[PropertySpec] = &[
    PropertySpec::new(
        "file.path",
        PropertyKind::Path,
        "The file; a relative path starts at the working directory. Its directory must exist.",
    )
    .required()
    .example("out/trades.jsonl"),
    PropertySpec::new(
        "file.append",
        PropertyKind::Boolean,
        "Whether lines are added to a file that exists. Without it, its contents are lost at the start.",
    )
    .default("true"),
    PropertySpec::new(
        "file.rotate.size",
        PropertyKind::Size,
        "Size the file does not exceed: before it would, it becomes `PATH.1`, an older one `PATH.2` and so on, and a new file is begun. A single longer line has a file of its own. 0: no rotation.",
    )
    .default("0")
    .example("100MiB"),
    PropertySpec::new(
        "file.rotate.keep",
        PropertyKind::Integer { min: 1, max: 1_000 },
        "How many rotated files are kept; older ones are deleted.",
    )
    .default("5"),
    PropertySpec::new(
        "file.sync",
        PropertyKind::Choice(&["none", "batch"]),
        "`batch` waits after each batch until the disk has it, so that it survives a power failure; much slower. `none` leaves the moment to the operating system, until the sink is stopped.",
    )
    .default("none"),
    PropertySpec::new(
        "file.line.breaks",
        PropertyKind::Choice(&["escape", "refuse"]),
        "What happens to a payload with line breaks inside: they are written as `\\n` and `\\r`, or the payload goes to the error strategy.",
    )
    .default("escape"),
];
