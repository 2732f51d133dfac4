//! How many partitions each process is to hold: all the same number, but for what cannot be divided.

/// The number for `me`, of `partitions`. `members` are those alive, `me` among them, with what each holds now: who holds more
/// keeps one more, so that nothing moves that need not.
pub(super) fn quota<'a>(partitions: u32, me: &'a str, members: impl Iterator<Item = (&'a str, usize)>) -> usize {
    let mut ranked: Vec<_> = members.collect();
    ranked.sort_by(|(left, left_holds), (right, right_holds)| right_holds.cmp(left_holds).then(left.cmp(right)));
    let partitions = partitions as usize;
    let Some(rank) = ranked.iter().position(|(id, _)| *id == me) else { return partitions };
    partitions / ranked.len() + usize::from(rank < partitions % ranked.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas(partitions: u32, members: &[(&str, usize)]) -> Vec<usize> {
        members.iter().map(|(me, _)| quota(partitions, me, members.iter().copied())).collect()
    }

    #[test]
    fn everybody_gets_the_same_but_for_what_cannot_be_divided() {
        assert_eq!(quotas(16, &[("a", 0)]), [16]);
        assert_eq!(quotas(16, &[("a", 0), ("b", 0)]), [8, 8]);
        assert_eq!(quotas(16, &[("a", 0), ("b", 0), ("c", 0)]), [6, 5, 5]);
        assert_eq!(quotas(2, &[("a", 0), ("b", 0), ("c", 0)]), [1, 1, 0]);
    }

    #[test]
    fn who_holds_more_keeps_one_more() {
        assert_eq!(quotas(5, &[("a", 2), ("b", 3)]), [2, 3]);
        assert_eq!(quotas(4, &[("a", 0), ("b", 2), ("c", 2)]), [1, 2, 1]);
    }
}
