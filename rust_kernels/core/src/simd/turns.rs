//! Cosine and sine of an angle in turns, free of branches so that the compiler vectorises loops over
//! them.

use std::f64::consts::FRAC_PI_2;

use super::round::ROUND_TO_1;

/// `sin(pi t / 2) / t` and `cos(pi t / 2)` by powers of `t^2`, for `|t|` up to 1/2; they interpolate at
/// Chebyshev nodes.
const SIN: [f64; 7] = [
    FRAC_PI_2,
    -6.459_640_975_062_443e-1,
    7.969_262_624_604_301e-2,
    -4.681_754_132_340_976e-3,
    1.604_411_507_421_909e-4,
    -3.598_643_352_982_31e-6,
    5.633_933_781_537_854e-8,
];
const COS: [f64; 8] = [
    1.0,
    -1.233_700_550_136_169_7,
    2.536_695_079_010_467e-1,
    -2.086_348_076_331_121e-2,
    9.192_602_741_831_558e-4,
    -2.520_203_677_046_026e-5,
    4.710_609_726_757_823e-7,
    -6.321_256_869_628_588e-9,
];

/// `cos(2 pi x)` and `sin(2 pi x)` for `|x|` up to 2^48, with errors below 3e-16. In a loop over many
/// numbers it is vectorised.
#[inline(always)]
pub fn cos_sin_of_turns(x: f64) -> [f64; 2] {
    let quarters = 4.0 * x;
    let rounded = quarters + ROUND_TO_1;
    let t = quarters - (rounded - ROUND_TO_1);
    let squared = t * t;
    let cos = COS.iter().rev().fold(0.0, |value, c| value * squared + c);
    let sin = t * SIN.iter().rev().fold(0.0, |value, c| value * squared + c);
    // Each quarter of a turn goes from (cos, sin) to (-sin, cos).
    let quadrant = rounded.to_bits();
    let is_odd = quadrant & 1 == 1;
    let (cos, sin) = if is_odd { (sin, cos) } else { (cos, sin) };
    let negative = |value: f64, bit: u64| f64::from_bits(value.to_bits() ^ (bit & 2) << 62);
    [negative(cos, quadrant + 1), negative(sin, quadrant)]
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    #[test]
    fn agrees_with_the_standard_library() {
        for k in -30_000..=30_000 {
            let x = 1e-4 * f64::from(k);
            // Exact, so that the angle has no more error than its last digit.
            let rest = x - x.round();
            let [cos, sin] = cos_sin_of_turns(x);
            let (expected_sin, expected_cos) = (2.0 * PI * rest).sin_cos();
            let error = (cos - expected_cos).abs().max((sin - expected_sin).abs());
            assert!(error < 6e-16, "{x} turns are off by {error:.1e}");
        }
    }

    #[test]
    fn quarters_of_a_turn_are_exact() {
        let expected = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]];
        for k in -9_i32..9 {
            let found = cos_sin_of_turns(0.25 * f64::from(k));
            assert_eq!(found, expected[k.rem_euclid(4) as usize], "{k} quarters");
        }
    }
}
