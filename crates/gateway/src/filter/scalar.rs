//! Values that can be compared: booleans, numbers and texts.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// A boolean, a number or a text. Its order puts values of one type next to each other; two values are only compared where
/// their types are the same, see [`Scalar::compare`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Scalar<'a> {
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
}

impl Scalar<'_> {
    /// How the two are ordered; `None` when they are of different types. Texts are compared by bytes.
    pub(super) fn compare(&self, other: &Scalar<'_>) -> Option<Ordering> {
        self.is_like(other).then(|| self.cmp(other))
    }

    /// Whether both are of the same type.
    pub(super) fn is_like(&self, other: &Scalar<'_>) -> bool {
        matches!(
            (self, other),
            (Self::Bool(_), Scalar::Bool(_)) | (Self::Number(_), Scalar::Number(_)) | (Self::Text(_), Scalar::Text(_))
        )
    }
}

/// A number by its value: `1`, `1.0` and `1e0` are the same one, and no whole number of 64 bits is rounded.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    /// Every value without a fraction that fits.
    Whole(i128),
    /// Finite, and no whole number that fits above.
    Float(f64),
}

/// 2^127: from here on a whole number is [`Number::Float`].
const WHOLE_LIMIT: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;

impl Number {
    /// The number of that value; `None` when it is not finite.
    pub(super) fn from_float(value: f64) -> Option<Self> {
        if !value.is_finite() {
            None
        } else if value.fract() == 0.0 && value.abs() < WHOLE_LIMIT {
            Some(Self::Whole(value as i128))
        } else {
            Some(Self::Float(value))
        }
    }

    /// The number with the other sign.
    pub(super) fn negated(self) -> Self {
        match self {
            Self::Whole(value) => Self::Whole(-value),
            Self::Float(value) => Self::Float(-value),
        }
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self::Whole(value.into())
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Whole(value.into())
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one.cmp(other),
            (Self::Float(one), Self::Float(other)) => one.total_cmp(other),
            (Self::Whole(whole), Self::Float(float)) => compare_to_float(*whole, *float),
            (Self::Float(float), Self::Whole(whole)) => compare_to_float(*whole, *float).reverse(),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Whole(value) => value.hash(state),
            Self::Float(value) => value.to_bits().hash(state),
        }
    }
}

/// The order of a whole number and of a float that is none or is too large to be one; they are never equal.
fn compare_to_float(whole: i128, float: f64) -> Ordering {
    if float >= WHOLE_LIMIT {
        Ordering::Less
    } else if float <= -WHOLE_LIMIT {
        Ordering::Greater
    } else if whole <= float.floor() as i128 {
        Ordering::Less
    } else {
        Ordering::Greater
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn float(value: f64) -> Number {
        Number::from_float(value).unwrap()
    }

    #[test]
    fn numbers_are_equal_by_value_and_not_rounded() {
        assert_eq!(Number::from(1_i64), float(1.0));
        assert_eq!(Number::from(0_i64), float(-0.0));
        assert_eq!(Number::from(1_u64 << 53), float(9_007_199_254_740_992.0));
        assert_ne!(Number::from((1_u64 << 53) + 1), float(9_007_199_254_740_992.0));
        assert!(Number::from((1_u64 << 53) + 1) > float(9_007_199_254_740_992.0));
        assert_ne!(Number::from(u64::MAX), float(18_446_744_073_709_551_616.0));
        assert!(Number::from(u64::MAX) < float(18_446_744_073_709_551_616.0));
        assert!(Number::from(i64::MIN) > float(-1e300));
        assert!(Number::from(2_i64) < float(2.5) && Number::from(3_i64) > float(2.5));
        assert!(Number::from(-3_i64) < float(-2.5) && Number::from(-2_i64) > float(-2.5));
        assert!(Number::from_float(f64::NAN).is_none() && Number::from_float(f64::INFINITY).is_none());
        assert_eq!(float(0.5).negated(), float(-0.5));
        assert_eq!(Number::from(u64::MAX).negated(), Number::Whole(-i128::from(u64::MAX)));
    }

    #[test]
    fn values_of_different_types_have_no_order() {
        let text = Scalar::Text("1".into());
        assert_eq!(text.compare(&Scalar::Number(Number::from(1_i64))), None);
        assert_eq!(text.compare(&Scalar::Bool(true)), None);
        assert_eq!(text.compare(&Scalar::Text("0".into())), Some(Ordering::Greater));
        assert_eq!(Scalar::Bool(false).compare(&Scalar::Bool(true)), Some(Ordering::Less));
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_the_values(whole in -1_000_i64..1_000, quarters in -4_000_i64..4_000) {
            let number = float(quarters as f64 / 4.0);
            prop_assert_eq!(Number::from(whole).cmp(&number), (whole * 4).cmp(&quarters));
            prop_assert_eq!(number.cmp(&Number::from(whole)), quarters.cmp(&(whole * 4)));
        }
    }
}
