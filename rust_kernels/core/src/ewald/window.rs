//! How the Coulomb interaction is split into pairs and waves: by a Kaiser-Bessel window.
//!
//! For any even function `h` on `[-1, 1]`, `1 / r` is the sum of a smooth part
//! `L(r) = (2 / r) int_0^(r / r_c) h / int_-1^1 h` and of the rest, which is 0 from `r_c` on. The
//! Fourier transform of `L` is `4 pi / k^2` times `F(k r_c)`, that of `h` over its value at 0. Ewald's
//! choice is a Gaussian, which has to be cut in both spaces; a window that ends at `r_c` is cut in
//! one only, and the function that is confined best in the other is much narrower there: prolate
//! functions have been used for it (J. Liang, L. Lu, A. Barnett, L. Greengard, S. Jiang,
//! arXiv:2505.09727). The window of Kaiser and Bessel of order 1, which takes half as many pairs and
//! waves as a Gaussian, is `h(x) = s I_1(beta s)` with `s^2 = 1 - x^2`, whose transform is known in
//! closed form: `F(kappa) = f(beta^2 - kappa^2) / f(beta^2)`, where `f(w^2) = i_1(w) / w` with the
//! modified spherical Bessel function, which beyond `beta` turns into `j_1(u) / u` with `u^2 = -w^2`.
//!
//! Both parts are evaluated as polynomials, which are found by interpolation at Chebyshev nodes, once
//! for each window that comes to be used.

use std::array;
use std::f64::consts::PI;
use std::sync::OnceLock;

use super::mesh;

/// Windows have a `beta` that is a multiple of this,
const STEP: f64 = 0.5;
/// from the first to the last of these.
pub(super) const BETAS: [f64; 2] = [4.0, 64.0];

/// By how much the longest wave exceeds `beta`, in units of `1 / r_c`: about the best at any
/// accuracy.
pub(super) const BEYOND: f64 = 0.8;

/// Coefficients of the polynomials, enough for errors near rounding,
pub(super) const FULL: usize = 32;
/// and those of the ones that are used where their errors are small enough.
pub(super) const SHORT: usize = 22;

/// Nodes of the interpolation, more than enough for all functions here.
const NODES: usize = 40;

/// What rounding adds to the error of a polynomial.
const FIT_ROUNDING: f64 = 4e-15;

const N_WINDOWS: usize = ((BETAS[1] - BETAS[0]) / STEP) as usize + 1;

static WINDOWS: [OnceLock<Window>; N_WINDOWS] = [const { OnceLock::new() }; N_WINDOWS];

/// A window, in units where `r_c` is 1.
#[derive(Debug)]
pub(super) struct Window {
    /// Shape: waves beyond `beta` are weak.
    pub beta: f64,
    /// `L(0)`.
    pub at_zero: f64,
    /// Mean square of `x`, weighted by `h(x)`.
    pub mean_square: f64,
    /// `L(r)` for `r` up to 1, by powers of `2 r^2 - 1`.
    pub smooth: Fit<FULL>,
    /// The same with fewer terms.
    pub smooth_short: Fit<SHORT>,
    /// `F(kappa)` for `kappa` up to `beta + BEYOND`, by powers of `2 (kappa / (beta + BEYOND))^2 - 1`.
    pub waves: Fit<FULL>,
    /// The same with fewer terms.
    pub waves_short: Fit<SHORT>,
    /// See [`mesh::step`].
    pub mesh_errors: OnceLock<mesh::StepErrors>,
}

/// A polynomial, lowest power first, and a bound on its error from -1 to 1.
#[derive(Debug)]
pub(super) struct Fit<const N: usize> {
    pub coefficients: [f64; N],
    pub error: f64,
}

impl Window {
    /// The first window whose `beta` is no less than this.
    pub fn from(beta: f64) -> &'static Self {
        let [first, last] = BETAS;
        let index = ((beta.clamp(first, last) - first) / STEP).ceil() as usize;
        WINDOWS[index].get_or_init(|| Self::new(first + STEP * index as f64))
    }

    /// `F(kappa)` for `kappa` up to `beta + BEYOND`.
    pub fn transform(&self, kappa: f64) -> f64 {
        let share = kappa / (self.beta + BEYOND);
        polynomial(&self.waves.coefficients, 2.0 * share * share - 1.0)
    }

    fn new(beta: f64) -> Self {
        let at_beta = spherical(beta * beta);
        let (mut smooth, window_error) = monomials::<FULL>(&window(beta, at_beta));
        // In terms of x = r^2, L + 2 x L' is the window.
        let mut next = 0.0;
        for (k, c) in smooth.iter_mut().enumerate().rev() {
            let k = k as f64;
            *c = (*c - 2.0 * (k + 1.0) * next) / (2.0 * k + 1.0);
            next = *c;
        }
        let full = |z: f64| polynomial(&smooth, z);
        let (short, short_error) = monomials::<SHORT>(&interpolate(full));
        let most = (beta + BEYOND).powi(2);
        let transform = |z: f64| spherical(beta * beta - 0.5 * (1.0 + z) * most) / at_beta;
        let transforms = interpolate(transform);
        let (waves, waves_error) = monomials::<FULL>(&transforms);
        let (waves_short, waves_short_error) = monomials::<SHORT>(&transforms);
        Self {
            beta,
            at_zero: polynomial(&smooth, -1.0),
            mean_square: 2.0 * spherical_slope(beta * beta) / at_beta,
            // An error of the window is not more in its mean.
            smooth: Fit {
                coefficients: smooth,
                error: window_error,
            },
            smooth_short: Fit {
                coefficients: short,
                error: window_error + short_error,
            },
            waves: Fit {
                coefficients: waves,
                error: waves_error,
            },
            waves_short: Fit {
                coefficients: waves_short,
                error: waves_short_error,
            },
            mesh_errors: OnceLock::new(),
        }
    }
}

/// Coefficients of Chebyshev polynomials of `2 r^2 - 1` of the window over half of its integral. They
/// come from `I_0(beta s) = sum of I_k(beta / 2)^2 cos(k phi)` over all whole `k`, with
/// `s = cos(phi / 2)`, of which the window is the derivative by `beta`.
fn window(beta: f64, at_beta: f64) -> [f64; NODES] {
    let half = 0.5 * beta;
    // By the recursion downwards, which is stable, from where the functions vanish.
    let mut bessel = [0.0; 3 * NODES];
    bessel[3 * NODES - 2] = 1e-280;
    for k in (1..3 * NODES - 1).rev() {
        bessel[k - 1] = bessel[k + 1] + 2.0 * k as f64 / half * bessel[k];
    }
    let sum = bessel[0] + 2.0 * bessel[1..].iter().sum::<f64>();
    let bessel = bessel.map(|value| value / sum * half.exp());
    array::from_fn(|k| {
        let slope = 0.5 * (bessel[k.abs_diff(1)] + bessel[k + 1]);
        let twice = if k == 0 { 1.0 } else { 2.0 };
        let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
        sign * twice * bessel[k] * slope / (beta * at_beta)
    })
}

/// `i_1(w) / w` as a function of `w^2`, which is `j_1(u) / u` of `u^2 = -w^2`.
fn spherical(squared: f64) -> f64 {
    series(1.0 / 3.0, 0.5 * squared, |k| k * (2.0 * k + 3.0))
}

/// Its derivative.
fn spherical_slope(squared: f64) -> f64 {
    series(1.0 / 30.0, 0.5 * squared, |k| k * (2.0 * k + 5.0))
}

/// Sum of terms, of which each is the one before times `x` over `ratio` of its number.
fn series(first: f64, x: f64, ratio: impl Fn(f64) -> f64) -> f64 {
    let (mut sum, mut term, mut k) = (first, first, 0.0);
    while term.abs() > 1e-18 * sum.abs() {
        k += 1.0;
        term *= x / ratio(k);
        sum += term;
    }
    sum
}

/// Coefficients of Chebyshev polynomials of a function on -1 to 1.
fn interpolate(f: impl Fn(f64) -> f64) -> [f64; NODES] {
    let angle = |node: usize| PI * (node as f64 + 0.5) / NODES as f64;
    let values: [f64; NODES] = array::from_fn(|node| f(angle(node).cos()));
    array::from_fn(|k| {
        let share = if k == 0 { 1.0 } else { 2.0 } / NODES as f64;
        let terms = values.iter().enumerate();
        share
            * terms
                .map(|(node, value)| value * (k as f64 * angle(node)).cos())
                .sum::<f64>()
    })
}

/// The first `N` Chebyshev polynomials by powers, and a bound on the error.
fn monomials<const N: usize>(chebyshev: &[f64; NODES]) -> ([f64; N], f64) {
    let mut sum = [0.0; N];
    let (mut before, mut this) = ([0.0; N], [0.0; N]);
    this[0] = 1.0;
    for (k, c) in chebyshev[..N].iter().enumerate() {
        for (sum, power) in sum.iter_mut().zip(&this) {
            *sum += c * power;
        }
        let twice = if k == 0 { 1.0 } else { 2.0 };
        let next = array::from_fn(|j| if j == 0 { 0.0 } else { twice * this[j - 1] } - before[j]);
        (before, this) = (this, next);
    }
    let left_out: f64 = chebyshev[N..].iter().map(|c| c.abs()).sum();
    (sum, left_out + FIT_ROUNDING)
}

/// A polynomial, lowest power first, by Horner's rule for the even and the odd powers: half as many
/// steps wait for one another.
#[inline(always)]
pub(super) fn polynomial<const N: usize>(coefficients: &[f64; N], x: f64) -> f64 {
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

/// `1 / r - L(r)` at an `r_c`.
///
/// Copy it before a loop: from behind a reference, the coefficients would be fetched for each lane
/// that is inside (gathered), as nothing says that they may be read for the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screened<const N: usize> {
    coefficients: [f64; N],
    squared_cutoff: f64,
    scale: f64,
}

impl<const N: usize> Screened<N> {
    pub fn new(fit: &Fit<N>, cutoff: f64) -> Self {
        Self {
            coefficients: fit.coefficients.map(|c| c / cutoff),
            squared_cutoff: cutoff * cutoff,
            scale: 2.0 / (cutoff * cutoff),
        }
    }

    /// The interaction in 1/angstrom at a squared distance, and `1 / r`; both 0 from the cutoff on.
    #[inline(always)]
    pub fn at(&self, squared: f64) -> [f64; 2] {
        let is_inside = squared < self.squared_cutoff;
        let within = if is_inside {
            squared
        } else {
            self.squared_cutoff
        };
        let smooth = polynomial(&self.coefficients, within * self.scale - 1.0);
        let inverse = 1.0 / within.sqrt();
        if is_inside {
            [inverse - smooth, inverse]
        } else {
            [0.0; 2]
        }
    }
}

/// What each wave weighs: `F(k r_c) / k^2`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights<const N: usize> {
    coefficients: [f64; N],
    scale: f64,
    squared_cutoff: f64,
}

impl<const N: usize> Weights<N> {
    /// For one of the fits of a window that ends at `r_cut`, and waves up to `k_cut`.
    pub fn new(fit: &Fit<N>, beta: f64, r_cut: f64, k_cut: f64) -> Self {
        let most = (beta + BEYOND) / r_cut;
        Self {
            coefficients: fit.coefficients,
            scale: 2.0 / (most * most),
            squared_cutoff: k_cut * k_cut,
        }
    }

    /// `F` and `1 / k^2` for a squared wave vector; 0 for that of length 0 and beyond the cutoff.
    #[inline(always)]
    pub fn at(&self, squared: f64) -> [f64; 2] {
        let is_inside = squared <= self.squared_cutoff && squared > 0.0;
        let within = if is_inside {
            squared
        } else {
            self.squared_cutoff
        };
        let transform = polynomial(&self.coefficients, within * self.scale - 1.0);
        let inverse = 1.0 / within;
        if is_inside {
            [transform, inverse]
        } else {
            [0.0; 2]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `I_1(w)` and the window's integral from 0 to `x`, by the trapezoidal and by Simpson's rule.
    fn bessel(w: f64) -> f64 {
        let n = 200;
        let terms = (0..n).map(|k| {
            let angle = PI * (f64::from(k) + 0.5) / f64::from(n);
            (w * angle.cos()).exp() * angle.cos()
        });
        terms.sum::<f64>() / f64::from(n)
    }

    fn simpson(f: impl Fn(f64) -> f64, end: f64) -> f64 {
        let n = 4000;
        let step = end / f64::from(n);
        let weight = |k| match k {
            0 => 1.0,
            k if k == n => 1.0,
            k if k % 2 == 1 => 4.0,
            _ => 2.0,
        };
        (0..=n)
            .map(|k| weight(k) * f(f64::from(k) * step))
            .sum::<f64>()
            * step
            / 3.0
    }

    /// In terms of the angle `asin x`, in which the window is smooth up to its end.
    fn integral(beta: f64, x: f64, f: impl Fn(f64) -> f64) -> f64 {
        let of_angle = |angle: f64| {
            let s = angle.cos();
            s * bessel(beta * s) * s * f(angle.sin())
        };
        simpson(of_angle, x.asin())
    }

    #[test]
    fn parts_are_integrals_of_the_window() {
        for beta in [4.0, 15.0, 27.5, 40.0] {
            let window = Window::from(beta);
            assert_eq!(window.beta, beta);
            let whole = integral(beta, 1.0, |_| 1.0);
            for x in [1e-3, 0.1, 0.35, 0.7, 0.95, 1.0] {
                let expected = integral(beta, x, |_| 1.0) / whole / x;
                let z = 2.0 * x * x - 1.0;
                let found = polynomial(&window.smooth.coefficients, z);
                assert!((found - expected).abs() < 1e-12, "L({x}) is off");
                let short = polynomial(&window.smooth_short.coefficients, z);
                let most = window.smooth_short.error + 1e-12;
                assert!((short - expected).abs() < most, "L({x}) is off");
            }
            for share in [0.0, 0.2, 0.6, 0.97, 1.0] {
                let kappa = share * (beta + BEYOND);
                let expected = integral(beta, 1.0, |x| (kappa * x).cos()) / whole;
                let found = polynomial(&window.waves.coefficients, 2.0 * share * share - 1.0);
                assert!((found - expected).abs() < 1e-12, "F({kappa}) is off");
                let z = 2.0 * share * share - 1.0;
                let short = polynomial(&window.waves_short.coefficients, z);
                let most = window.waves_short.error + 1e-12;
                assert!((short - expected).abs() < most, "F({kappa}) is off");
            }
            let mean_square = integral(beta, 1.0, |x| x * x) / whole;
            assert!((window.mean_square - mean_square).abs() < 1e-12);
            let at_zero = bessel(beta) / whole;
            assert!((window.at_zero / at_zero - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn errors_are_those_that_were_asked_of_the_polynomials() {
        // At 1e-8, crystals have a beta of about 27, large ones of 33.
        assert!(Window::from(27.0).smooth_short.error < 1e-12);
        assert!(Window::from(33.0).smooth_short.error < 2e-11);
        assert!(Window::from(27.0).waves_short.error < 3e-14);
        assert!(Window::from(33.0).waves_short.error < 1e-12);
        for beta in [BETAS[0], 27.0, 45.0] {
            let window = Window::from(beta);
            assert!(
                window.smooth.error.max(window.waves.error) < 3e-14,
                "{beta}"
            );
        }
    }

    #[test]
    fn the_interaction_ends_at_the_cutoff() {
        let screened = Screened::new(&Window::from(27.0).smooth, 5.0);
        let [value, inverse] = screened.at(1e-4);
        assert!((value / inverse - 1.0).abs() < 0.05 && inverse == 100.0);
        assert!(screened.at(24.999_999)[0].abs() < 1e-14);
        for squared in [25.0, 26.0, f64::INFINITY] {
            assert_eq!(screened.at(squared), [0.0; 2]);
        }
    }
}
