//! Rounding without a call: the instruction for it is not one that every x86-64 processor has.

/// Adding this rounds to a whole number and leaves it in the low bits.
pub(super) const ROUND_TO_1: f64 = 1.5 * (1u64 << 52) as f64;

/// The nearest whole number, of two the even one, for `|x|` up to 2^51.
#[inline(always)]
pub fn round(x: f64) -> f64 {
    (x + ROUND_TO_1) - ROUND_TO_1
}

/// `x - x.floor()`, for `|x|` up to 2^51.
#[inline(always)]
pub fn fraction(x: f64) -> f64 {
    let rest = x - round(x);
    if rest < 0.0 { rest + 1.0 } else { rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_standard_library() {
        let values = (-40_000..=40_000).map(|k| 0.125 * f64::from(k));
        for x in values.chain([1e-17, -1e-17, 0.49999999999999994, -1e8 + 0.3, 1e8 - 0.7]) {
            assert_eq!(round(x), x.round_ties_even(), "{x}");
            assert_eq!(fraction(x), x - x.floor(), "{x}");
        }
    }
}
