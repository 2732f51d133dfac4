//! Tables of properties that are made of parts: what a source and a sink have in common is written once.

use super::PropertySpec;

/// Properties of all parts together.
pub const fn count(parts: &[&[PropertySpec]]) -> usize {
    let (mut count, mut part) = (0, 0);
    while part < parts.len() {
        count += parts[part].len();
        part += 1;
    }
    count
}

/// The parts one after the other; `COUNT` is what [`count`] says of them.
///
/// ```
/// use eventflux_core::property::{concat, count};
/// use eventflux_core::{PropertyKind, PropertySpec};
///
/// const PARTS: &[&[PropertySpec]] = &[&[PropertySpec::new("x.a", PropertyKind::Text, "A.")], &[]];
/// const TABLE: &[PropertySpec] = &concat::<{ count(PARTS) }>(PARTS);
/// assert_eq!(TABLE.len(), 1);
/// ```
///
/// # Panics
/// When there are more or fewer: a table that is a constant then does not compile.
pub const fn concat<const COUNT: usize>(parts: &[&[PropertySpec]]) -> [PropertySpec; COUNT] {
    let mut all = [parts[0][0]; COUNT];
    let (mut filled, mut part) = (0, 0);
    while part < parts.len() {
        let mut index = 0;
        while index < parts[part].len() {
            all[filled] = parts[part][index];
            filled += 1;
            index += 1;
        }
        part += 1;
    }
    assert!(filled == COUNT, "as many as there are");
    all
}
