//! The screened interaction of a pair, free of branches so that the compiler vectorises loops over
//! pairs.
//!
//! `erfc(x) = exp(-x^2) P(t) / (1 + 2 x)` with `t = (x - 3.75) / (x + 3.75)`, the form of Shepherd
//! and Laframboise, Math. Comp. 36, 249 (1981), doi:10.1090/S0025-5718-1981-0595058-X. The
//! polynomial interpolates at Chebyshev nodes and was computed with 60 digits.

use crate::simd::exp;

/// Arguments above this give 0; `erfc` is below 1e-295 there.
const LARGEST: f64 = 26.0;

/// `(1 + 2 x) exp(x^2) erfc(x)` by powers of `t`, for `x` in 0..27.
const SCALED_ERFC: [f64; 23] = [
    1.237_512_630_837_827_5,
    -1.402_405_985_855_467e-1,
    3.585_415_485_463_297e-3,
    8.227_673_849_011_403e-2,
    -1.088_039_301_416_852_8e-1,
    9.230_432_116_147_74e-2,
    -5.869_339_859_090_426_4e-2,
    2.836_227_740_102_912e-2,
    -9.746_579_546_764_526e-3,
    1.755_626_014_932_829e-3,
    2.937_136_233_740_608_4e-4,
    -2.901_549_698_085_452_5e-4,
    5.164_908_072_285_061e-5,
    2.238_733_335_177_461_8e-5,
    -1.144_338_671_564_773_5e-5,
    -9.804_551_146_365_724e-7,
    1.748_658_552_442_992_4e-6,
    -4.760_016_599_968_858e-8,
    -2.529_623_443_943_851e-7,
    1.544_752_021_024_147_2e-8,
    3.285_862_244_913_645e-8,
    -6.593_472_109_737e-10,
    -2.337_706_312_522_679e-9,
];

/// The same for `x` in 0..[`SHORT_REACH`], with a relative error below 1.05e-11.
const SHORT_SCALED_ERFC: [f64; 13] = [
    1.237_512_630_830_660_3,
    -1.402_405_983_315_329_3e-1,
    3.585_418_401_200_096_5e-3,
    8.227_671_295_002_316e-2,
    -1.088_041_624_700_238_5e-1,
    9.230_464_892_259_77e-2,
    -5.868_731_899_975_284_5e-2,
    2.837_371_380_306_495_7e-2,
    -9.779_280_562_667_325e-3,
    1.577_102_125_786_025_8e-3,
    -4.736_035_228_607_201e-5,
    -6.286_153_756_405_743e-4,
    -1.169_627_459_237_002_3e-4,
];

/// Largest `alpha r` of the short expression.
pub(super) const SHORT_REACH: f64 = 6.0;

/// Largest relative error of the short expression.
pub(super) const SHORT_ERROR: f64 = 1.1e-11;

/// `erfc(alpha r) / r` for the squared distance `r^2 > 0`, with a relative error below
/// `1e-15 + 3e-16 (alpha r)^2`, or [`SHORT_ERROR`] if it is `SHORT`; 0 for an infinite distance.
#[inline(always)]
pub(super) fn screened<const SHORT: bool>(alpha: f64, squared: f64) -> f64 {
    let x = alpha * squared.sqrt();
    let clipped = if x < LARGEST { x } else { LARGEST };
    let inside = if x < LARGEST { alpha } else { 0.0 };
    // One division for both denominators.
    let (one, other) = (clipped + 3.75, clipped * (1.0 + 2.0 * clipped));
    let inverse = 1.0 / (one * other);
    let t = (clipped - 3.75) * (inverse * other);
    let gauss = exp(-clipped * clipped);
    let scaled = if SHORT {
        polynomial(&SHORT_SCALED_ERFC, t)
    } else {
        polynomial(&SCALED_ERFC, t)
    };
    inside * gauss * scaled * (inverse * one)
}

/// A polynomial, lowest power first, by Horner's rule for the even and the odd powers: half as many
/// steps wait for one another.
#[inline(always)]
fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    let squared = x * x;
    let (mut even, mut odd) = (0.0, 0.0);
    for pair in coefficients.chunks(2).rev() {
        even = even * squared + pair[0];
        if let [_, c] = pair {
            odd = odd * squared + c;
        }
    }
    even + x * odd
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `erfc(x)` from the screened interaction at `r = x / alpha`.
    fn erfc(x: f64, alpha: f64) -> f64 {
        let r = x / alpha;
        screened::<false>(alpha, r * r) * r
    }

    #[test]
    fn agrees_with_fifty_digit_values() {
        for (x, expected) in REFERENCE {
            for alpha in [1.0, 0.25, 3.7] {
                let error = (erfc(x, alpha) / expected - 1.0).abs();
                // What rounding the argument changes, besides.
                let bound = 1e-15 + 3e-16 * x * x + 4.0 * f64::EPSILON * x * (x + 1.0);
                assert!(error < bound, "erfc({x}) is off by {error:.1e}");
            }
        }
    }

    #[test]
    fn the_short_expression_has_the_error_that_is_stated() {
        for k in 0..=60_000 {
            let x = 1e-4 * f64::from(k) + 1e-9;
            let squared = x * x;
            let exact = screened::<false>(1.0, squared);
            let error = (screened::<true>(1.0, squared) / exact - 1.0).abs();
            assert!(error < SHORT_ERROR, "erfc({x}) is off by {error:.1e}");
        }
        assert_eq!(screened::<true>(1.0, f64::INFINITY), 0.0);
    }

    #[test]
    fn decreases_and_vanishes_beyond_its_range() {
        let beyond = [LARGEST * LARGEST, 1e300, f64::INFINITY]
            .map(|squared| screened::<false>(1.0, squared));
        assert_eq!(beyond, [0.0; 3]);
        let values: Vec<f64> = (1..2600).map(|k| erfc(1e-2 * f64::from(k), 1.0)).collect();
        assert!(
            values
                .windows(2)
                .all(|pair| pair[1] < pair[0] && pair[1] > 0.0)
        );
    }

    /// From mpmath with 50 digits.
    const REFERENCE: [(f64, f64); 27] = [
        (1e-09, 0.9999999988716208),
        (0.001, 0.9988716212090307),
        (0.066, 0.9256349686398736),
        (0.1, 0.887537083981715),
        (0.3, 0.6713732405408726),
        (0.5, 0.4795001221869535),
        (0.75, 0.28884436634648486),
        (1.0, 0.15729920705028513),
        (1.3333333333333333, 0.05934643879191989),
        (1.7, 0.01620954140922544),
        (2.0, 0.004677734981047266),
        (2.5, 0.0004069520174449589),
        (3.0, 2.209049699858544e-05),
        (3.4567, 1.016009947225378e-06),
        (3.75, 1.1372725656979665e-07),
        (4.0, 1.541725790028002e-08),
        (4.5, 1.9661604415428876e-10),
        (4.9, 4.218936524005766e-12),
        (5.0, 1.537459794428035e-12),
        (5.5, 7.357847917974398e-15),
        (6.1, 6.3146021501937184e-18),
        (6.9, 1.7036041929656822e-22),
        (8.0, 1.1224297172982926e-29),
        (10.0, 2.088487583762545e-45),
        (13.7, 1.2613158337408749e-83),
        (19.0, 4.917722839256475e-159),
        (25.9, 1.0202833184732667e-293),
    ];
}
