//! The arc tangent of two numbers, free of branches so that the compiler vectorises loops over it.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

/// `(atan(z) / z - 1) / z^2` by powers of `z^2`, for `|z|` up to the tangent of an eighth of pi;
/// interpolates at Chebyshev nodes.
const ATAN: [f64; 11] = [
    -0.333_333_333_333_333_3,
    0.199_999_999_999_955_16,
    -0.142_857_142_846_656_82,
    0.111_111_110_151_870_18,
    -0.090_909_045_753_064_9,
    0.076_921_831_253_768_92,
    -0.066_645_105_255_089_36,
    0.058_581_409_048_663_28,
    -0.050_854_078_345_894_844,
    0.039_230_447_784_793_09,
    -0.019_175_404_711_104_935,
];

const TAN_PI_8: f64 = std::f64::consts::SQRT_2 - 1.0;

/// Angle of the point `(x, y)` from the x axis, from -pi to pi, with a relative error below 5e-16;
/// 0 at the origin. In a loop over many points it is vectorised.
#[inline(always)]
pub fn atan2(y: f64, x: f64) -> f64 {
    let (width, height) = (x.abs(), y.abs());
    let steep = height > width;
    let small = if steep { width } else { height };
    let large = if steep { height } else { width };
    // Beyond an eighth of pi, from the diagonal.
    let diagonal = small > TAN_PI_8 * large;
    let numerator = if diagonal { small - large } else { small };
    let denominator = if diagonal { small + large } else { large };
    let denominator = if denominator > 0.0 { denominator } else { 1.0 };
    let z = numerator / denominator;
    let squared = z * z;
    let series = ATAN.iter().rev().fold(0.0, |value, c| value * squared + c);
    let angle = z + z * (squared * series);
    let angle = if diagonal { FRAC_PI_4 + angle } else { angle };
    let angle = if steep { FRAC_PI_2 - angle } else { angle };
    let angle = if x < 0.0 { PI - angle } else { angle };
    angle.copysign(y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_standard_library_all_around() {
        for k in -200_000..=200_000 {
            let angle = PI * f64::from(k) / 200_000.0;
            for radius in [1e-3, 1.0, 7e5] {
                let (y, x) = (radius * angle.sin(), radius * angle.cos());
                let expected = y.atan2(x);
                let error = (atan2(y, x) - expected).abs();
                assert!(error <= 5e-16 * expected.abs(), "{y}, {x}: {error:.1e}");
            }
        }
    }

    #[test]
    fn tiny_angles_keep_their_digits_and_axes_are_exact() {
        for k in 1..300 {
            let y = 10f64.powi(-k);
            assert!((atan2(y, 1.0) / y.atan2(1.0) - 1.0).abs() < 5e-16);
        }
        let points = [(0.0, 2.0), (2.0, 2.0), (3.0, 0.0), (0.0, -1.0), (-3.0, 0.0)];
        let angles = points.map(|(y, x)| atan2(y, x));
        assert_eq!(angles, [0.0, FRAC_PI_4, FRAC_PI_2, PI, -FRAC_PI_2]);
        assert_eq!(atan2(0.0, 0.0), 0.0);
    }
}
