//! The exponential function, free of branches so that the compiler vectorises loops over it.

use std::f64::consts::LOG2_E;

use super::round::ROUND_TO_1;

/// Results below the least normal number are 0.
const LEAST: f64 = -708.0;

/// Results beyond the largest number are infinite.
const MOST: f64 = 709.0;

/// `exp(r)` by powers of `r`, for `|r|` up to half of ln 2; interpolates at Chebyshev nodes.
const EXP: [f64; 12] = [
    1.0,
    1.0,
    5.000_000_000_000_019e-1,
    1.666_666_666_666_668e-1,
    4.166_666_666_648_666e-2,
    8.333_333_333_319_49e-3,
    1.388_888_895_269_651_6e-3,
    1.984_126_989_034_066_5e-4,
    2.480_148_507_410_511_5e-5,
    2.755_724_060_466_389_6e-6,
    2.763_279_054_211_718e-7,
    2.511_015_364_692_893e-8,
];

/// ln 2 in two parts, the first with enough trailing zeros to be multiplied exactly.
const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// `exp(x)` for `x` from -708 to 709, with a relative error below 1e-15; 0 below that and infinite
/// above. In a loop over many numbers it is vectorised; one over a few may be unrolled before it
/// could be.
#[inline(always)]
pub fn exp(x: f64) -> f64 {
    let clipped = if x < LEAST { LEAST } else { x };
    let clipped = if clipped > MOST { MOST } else { clipped };
    let rounded = clipped * LOG2_E + ROUND_TO_1;
    let n = rounded - ROUND_TO_1;
    let rest = (clipped - n * LN_2_HIGH) - n * LN_2_LOW;
    let power_of_two = f64::from_bits(rounded.to_bits().wrapping_add(1023) << 52);
    let value = EXP.iter().rev().fold(0.0, |value, c| value * rest + c) * power_of_two;
    let value = if x < LEAST { 0.0 } else { value };
    if x > MOST { f64::INFINITY } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_standard_library() {
        for k in -70_800..=70_900 {
            let x = 1e-2 * f64::from(k);
            let error = (exp(x) / x.exp() - 1.0).abs();
            assert!(error < 1e-15, "exp({x}) is off by {error:.1e}");
        }
        assert_eq!([0.0, -0.0].map(exp), [1.0, 1.0]);
    }

    #[test]
    fn vanishes_below_its_range_and_is_infinite_above() {
        let infinite = f64::INFINITY;
        assert_eq!(
            [-708.1, -infinite, 709.1, infinite].map(exp),
            [0.0, 0.0, infinite, infinite]
        );
        assert!(exp(f64::NAN).is_nan());
    }
}
