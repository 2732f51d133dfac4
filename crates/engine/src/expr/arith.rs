//! Arithmetic on numbers and points in time. A result that the type cannot hold is an error of its row.

use eventflux_core::{DataType, ValueRef, Values};

use super::node::{Arithmetic, Node};
use super::operand::{Index, Operand, either_null, map, map2};
use super::{RowErrors, Rows, text};

/// `left operator right`.
pub(super) fn binary<'b, 'r>(
    node: &Node,
    operator: Arithmetic,
    left: &Operand<'_, '_>,
    right: &Operand<'_, '_>,
    rows: Rows<'_>,
    errors: &mut RowErrors,
) -> Operand<'b, 'r> {
    let nulls = either_null(left, right, rows.len());
    let (li, ri) = (left.index, right.index);
    let mut pair = Pair { node, operator, rows, errors, nulls };
    let values = match (left.column.values(), right.column.values()) {
        (Values::Int(l), Values::Int(r)) => Values::Int(pair.numbers((l, li), (r, ri))),
        (Values::Float(l), Values::Float(r)) => Values::Float(pair.numbers((l, li), (r, ri))),
        (Values::Double(l), Values::Double(r)) => Values::Double(pair.numbers((l, li), (r, ri))),
        _ => {
            let values = pair.numbers((left.longs(), li), (right.longs(), ri));
            match node.data_type {
                DataType::Timestamp => Values::Timestamp(values),
                _ => Values::Long(values),
            }
        }
    };
    Operand::of(values, pair.nulls)
}

/// `-operand`.
pub(super) fn negate<'b, 'r>(
    node: &Node,
    operand: &Operand<'_, '_>,
    rows: Rows<'_>,
    errors: &mut RowErrors,
) -> Operand<'b, 'r> {
    let len = rows.len();
    let nulls = operand.nulls(len);
    let index = operand.index;
    let mut fail = |position: usize| {
        if !is_set(&nulls, position) {
            let reason = format_args!("the negative value is out of range for {}", node.data_type);
            errors.fail(rows.row(position), reason, false, &node.place);
        }
        0
    };
    let values = match operand.column.values() {
        Values::Int(v) => Values::Int(map(v, index, len, |i, a| a.checked_neg().unwrap_or_else(|| fail(i)))),
        Values::Float(v) => Values::Float(map(v, index, len, |_, a| -a)),
        Values::Double(v) => Values::Double(map(v, index, len, |_, a| -a)),
        _ => {
            Values::Long(map(operand.longs(), index, len, |i, a| a.checked_neg().unwrap_or_else(|| i64::from(fail(i)))))
        }
    };
    Operand::of(values, nulls)
}

fn is_set(flags: &[bool], position: usize) -> bool {
    flags.get(position).copied().unwrap_or(false)
}

/// Numbers that arithmetic is checked on. Each operation is `None` when there is no result of the type.
trait Number: Copy + Default + PartialEq {
    fn shown(self) -> String;
    fn add(self, other: Self) -> Option<Self>;
    fn subtract(self, other: Self) -> Option<Self>;
    fn multiply(self, other: Self) -> Option<Self>;
    fn divide(self, other: Self) -> Option<Self>;
    fn remainder(self, other: Self) -> Option<Self>;
}

macro_rules! integer {
    ($($integer:ty),*) => {$(
        impl Number for $integer {
            fn shown(self) -> String {
                self.to_string()
            }
            #[inline]
            fn add(self, other: Self) -> Option<Self> {
                self.checked_add(other)
            }
            #[inline]
            fn subtract(self, other: Self) -> Option<Self> {
                self.checked_sub(other)
            }
            #[inline]
            fn multiply(self, other: Self) -> Option<Self> {
                self.checked_mul(other)
            }
            #[inline]
            fn divide(self, other: Self) -> Option<Self> {
                self.checked_div(other)
            }
            /// The least integer % -1 is 0, although its quotient does not fit.
            #[inline]
            fn remainder(self, other: Self) -> Option<Self> {
                if other == 0 { None } else { Some(self.wrapping_rem(other)) }
            }
        }
    )*};
}
integer!(i32, i64);

macro_rules! float {
    ($($float:ty),*) => {$(
        impl Number for $float {
            fn shown(self) -> String {
                text::shown(ValueRef::Double(self.into()))
            }
            #[inline]
            fn add(self, other: Self) -> Option<Self> {
                Some(self + other).filter(|result| result.is_finite())
            }
            #[inline]
            fn subtract(self, other: Self) -> Option<Self> {
                Some(self - other).filter(|result| result.is_finite())
            }
            #[inline]
            fn multiply(self, other: Self) -> Option<Self> {
                Some(self * other).filter(|result| result.is_finite())
            }
            /// Dividing by zero gives no finite number.
            #[inline]
            fn divide(self, other: Self) -> Option<Self> {
                Some(self / other).filter(|result| result.is_finite())
            }
            #[inline]
            fn remainder(self, other: Self) -> Option<Self> {
                Some(self % other).filter(|result| result.is_finite())
            }
        }
    )*};
}
float!(f32, f64);

struct Pair<'n, 'e, 'r> {
    node: &'n Node,
    operator: Arithmetic,
    rows: Rows<'r>,
    errors: &'e mut RowErrors,
    nulls: Vec<bool>,
}

type Side<'a, T> = (&'a [T], Index<'a>);

impl Pair<'_, '_, '_> {
    fn numbers<T: Number>(&mut self, left: Side<'_, T>, right: Side<'_, T>) -> Vec<T> {
        match self.operator {
            Arithmetic::Add => self.each(left, right, T::add),
            Arithmetic::Subtract => self.each(left, right, T::subtract),
            Arithmetic::Multiply => self.each(left, right, T::multiply),
            Arithmetic::Divide => self.each(left, right, T::divide),
            Arithmetic::Remainder => self.each(left, right, T::remainder),
        }
    }

    #[inline]
    fn each<T: Number>(
        &mut self,
        left: Side<'_, T>,
        right: Side<'_, T>,
        operation: impl Fn(T, T) -> Option<T>,
    ) -> Vec<T> {
        map2(left, right, self.rows.len(), |position, a, b| {
            operation(a, b).unwrap_or_else(|| self.no_result(position, a, b))
        })
    }

    #[cold]
    fn no_result<T: Number>(&mut self, position: usize, a: T, b: T) -> T {
        if is_set(&self.nulls, position) {
            return T::default();
        }
        let row = self.rows.row(position);
        let place = &self.node.place;
        let divides = matches!(self.operator, Arithmetic::Divide | Arithmetic::Remainder);
        if divides && b == T::default() {
            self.errors.fail(row, "division by zero", false, place);
        } else if self.node.data_type == DataType::Timestamp {
            self.errors.fail(row, "the point in time is out of range for TIMESTAMP", false, place);
        } else {
            let (symbol, data_type) = (self.operator.symbol(), self.node.data_type);
            let reason = format!("{} {symbol} {} is out of range for {data_type}", a.shown(), b.shown());
            self.errors.fail(row, reason, false, place);
        }
        T::default()
    }
}
