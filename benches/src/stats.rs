//! Medians and spreads over the rounds of a benchmark.

/// The median; the mean of the middle two for an even count, `None` for no values.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted.get(middle).copied()
    } else {
        let lower = sorted.get(middle.checked_sub(1)?)?;
        Some(f64::midpoint(*lower, *sorted.get(middle)?))
    }
}

/// Largest minus smallest, as a share of the median; `None` for no values or a median of zero.
#[must_use]
pub fn spread(values: &[f64]) -> Option<f64> {
    let middle = median(values).filter(|middle| *middle != 0.0)?;
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some((largest - smallest) / middle)
}

/// The median of `values[i] / base[i]`: rounds are compared within themselves, so that a machine
/// that is slow for one round slows both sides of the ratio. `None` when no round has both.
#[must_use]
pub fn median_ratio(values: &[Option<f64>], base: &[Option<f64>]) -> Option<f64> {
    let ratios: Vec<f64> = values
        .iter()
        .zip(base)
        .filter_map(|(value, base)| Some((*value)? / base.filter(|base| *base != 0.0)?))
        .collect();
    median(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_takes_the_middle_of_unsorted_values() {
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 8.0]), Some(3.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn spread_is_relative_to_the_median() {
        assert_eq!(spread(&[8.0, 10.0, 12.0]), Some(0.4));
        assert_eq!(spread(&[0.0]), None);
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn ratio_compares_rounds_within_themselves() {
        // The second round ran on a machine half as fast: the ratio does not change.
        let fast_and_slow = [Some(100.0), Some(50.0)];
        let base = [Some(200.0), Some(100.0)];
        assert_eq!(median_ratio(&fast_and_slow, &base), Some(0.5));
    }

    #[test]
    fn ratio_skips_rounds_that_one_side_failed() {
        assert_eq!(median_ratio(&[None, Some(3.0)], &[Some(1.0), Some(6.0)]), Some(0.5));
        assert_eq!(median_ratio(&[None], &[Some(1.0)]), None);
    }
}
