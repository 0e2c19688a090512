//! Splitting parameter and cutoffs, from rigorous bounds on what the cutoffs leave out.
//!
//! The estimates of Kolafa and Perram, Mol. Simul. 9, 351 (1992), doi:10.1080/08927029208049126,
//! are root mean squares over random charges. The charges of a crystal are coherent, so that the
//! bounds here are for the worst case: every term has the same sign and `|S(k)| = sum |q|`.
//!
//! Both tails are sums of a decaying function over a lattice. With `erfc(x) <= exp(-x^2) / (x
//! sqrt(pi))`, and any `0 < g < alpha`, each point `p` beyond `r_cut` obeys
//! `erfc(alpha p) / p <= exp(-(alpha^2 - g^2) r_cut^2) exp(-g^2 p^2) / (sqrt(pi) alpha r_cut^2)`,
//! and the sum of `exp(-g^2 p^2)` over a shifted lattice is at most the product of three
//! one-dimensional theta functions of the edges that Gram-Schmidt leaves of the lattice vectors.
//! `g^2 = 3 / (2 r_cut^2)` is near the best. The same holds in reciprocal space.

use std::f64::consts::PI;

use super::COULOMB_CONSTANT;
use crate::error::CrystalError;
use crate::lattice::{Lattice, Vec3, cross, norm};

/// Cost of a pair in real space over that of a site and k-vector (of the full sphere), including
/// what the neighbour grid spends on candidates that are too far. Fitted: the time of crystals of
/// 4 to 2744 sites was measured over alpha, one thread, baseline x86-64; the best alpha was 1.2 to
/// 2.4 times the balanced one of ratio 1, and this ratio (1.9 times) is within 40 % of the best
/// time for all of them.
const COST_RATIO: f64 = 50.0;

/// Most terms of both sums together that one crystal may need: minutes of work.
const MAX_TERMS: f64 = 1e11;

/// Range of `alpha r_cut` and `k_cut / (2 alpha)`: the bounds hold from sqrt(3/2) on, and at 26
/// the screening underflows.
const REACH: [f64; 2] = [1.3, 26.0];

/// What the parameters and bounds need to know of the charges of a crystal.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChargeSums {
    /// Number of charged sites.
    pub n_charged: f64,
    /// Number of charged sites that are not the same by symmetry.
    pub n_distinct: f64,
    /// Sum of `|q|`.
    pub absolute: f64,
    /// Largest `|q|`.
    pub largest: f64,
    /// Sum of `q^2`.
    pub squared: f64,
}

impl ChargeSums {
    /// Energy in eV that the accuracy is relative to: `k_e <q^2> (n / V)^(1/3)`, about the
    /// magnitude of a site energy (in NaCl it is 1.14 times that).
    pub fn energy_scale(&self, lattice: &Lattice) -> f64 {
        let mean_square = self.squared / self.n_charged;
        COULOMB_CONSTANT * mean_square * (self.n_charged / lattice.volume()).cbrt()
    }
}

/// How the Ewald sum of one crystal is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameters {
    /// Splitting parameter in 1/angstrom: the real part is screened by `erfc(alpha r)`.
    pub alpha: f64,
    /// Real-space cutoff in angstrom.
    pub r_cut: f64,
    /// Reciprocal cutoff in 1/angstrom (with the factor 2 pi).
    pub k_cut: f64,
    /// Bound in eV on what both cutoffs leave out of any site energy.
    pub truncation: f64,
}

impl Parameters {
    /// Chooses the cutoffs such that no site energy misses more than `accuracy` times
    /// [`ChargeSums::energy_scale`], half of it for each sum.
    pub fn new(
        lattice: &Lattice,
        charges: &ChargeSums,
        accuracy: f64,
        alpha: Option<f64>,
    ) -> Result<Self, CrystalError> {
        let alpha = alpha.unwrap_or_else(|| balanced_alpha(lattice, charges));
        let bounds = Bounds::new(lattice, charges, alpha);
        let target = 0.5 * accuracy * charges.energy_scale(lattice);
        let r_cut = smallest_reach(|reach| bounds.real(reach / alpha) <= target) / alpha;
        let k_cut = smallest_reach(|reach| bounds.reciprocal(2.0 * alpha * reach) <= target);
        let k_cut = 2.0 * alpha * k_cut;
        let sphere = |radius: f64| 4.0 / 3.0 * PI * radius.powi(3);
        let pairs = charges.n_distinct * charges.n_charged * sphere(r_cut) / lattice.volume();
        let waves = charges.n_charged * sphere(k_cut / (2.0 * PI)) * lattice.volume();
        if pairs + waves > MAX_TERMS {
            return Err(CrystalError::TooManyEwaldTerms {
                terms: pairs + waves,
                alpha,
                limit: MAX_TERMS,
            });
        }
        Ok(Self {
            alpha,
            r_cut,
            k_cut,
            truncation: bounds.real(r_cut) + bounds.reciprocal(k_cut),
        })
    }
}

/// `sqrt(pi) (n w / V^2)^(1/6)`, where both sums cost the same: pairs are visited for the distinct
/// sites, structure factors take all sites, and potentials the distinct ones again.
fn balanced_alpha(lattice: &Lattice, charges: &ChargeSums) -> f64 {
    let n = charges.n_charged;
    let distinct = 2.0 * charges.n_distinct / (n + charges.n_distinct);
    let density = n * COST_RATIO * distinct / lattice.volume().powi(2);
    PI.sqrt() * density.powf(1.0 / 6.0)
}

/// Smallest reach that is good enough, where all larger ones are; the end of the range if none is.
fn smallest_reach(good: impl Fn(f64) -> bool) -> f64 {
    let [mut low, mut high] = REACH;
    if good(low) {
        return low;
    }
    // 1e-3 of a reach changes the bound by about 1 %.
    while high - low > 1e-3 {
        let middle = 0.5 * (low + high);
        if good(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// Bounds in eV on the error of any site energy, as functions of the cutoffs.
struct Bounds {
    alpha: f64,
    volume: f64,
    /// Edges in angstrom that Gram-Schmidt leaves of the lattice vectors; their inverses are those
    /// of the reciprocal lattice (taken in the other order, without 2 pi).
    edges: Vec3,
    /// Largest energy in eV angstrom of a site with all others: `k_e max|q| sum|q| / 2`.
    coupling: f64,
}

impl Bounds {
    fn new(lattice: &Lattice, charges: &ChargeSums, alpha: f64) -> Self {
        let coupling = 0.5 * COULOMB_CONSTANT * charges.largest * charges.absolute;
        Self {
            alpha,
            volume: lattice.volume(),
            edges: orthogonal_edges(lattice),
            coupling,
        }
    }

    /// What pairs beyond `r_cut` can add up to.
    fn real(&self, r_cut: f64) -> f64 {
        let g = 1.5_f64.sqrt() / r_cut;
        let lattice_sum: f64 = self.edges.iter().map(|edge| theta(g * edge)).product();
        let decay = (1.5 - (self.alpha * r_cut).powi(2)).exp();
        self.coupling * lattice_sum * decay / (PI.sqrt() * self.alpha * r_cut * r_cut)
    }

    /// What waves beyond `k_cut` can add up to.
    fn reciprocal(&self, k_cut: f64) -> f64 {
        let g = 1.5_f64.sqrt() / k_cut;
        let lattice_sum: f64 = self
            .edges
            .iter()
            .map(|edge| theta(g * 2.0 * PI / edge))
            .product();
        let decay = (1.5 - (k_cut / (2.0 * self.alpha)).powi(2)).exp();
        self.coupling * 4.0 * PI / self.volume * lattice_sum * decay / (k_cut * k_cut)
    }
}

/// Lengths of the lattice vectors, shortest first, each without its components along the former
/// ones. Their product is the volume.
fn orthogonal_edges(lattice: &Lattice) -> Vec3 {
    let mut rows = *lattice.rows();
    rows.sort_by(|a, b| norm(a).total_cmp(&norm(b)));
    let first = norm(&rows[0]);
    let area = norm(&cross(&rows[0], &rows[1]));
    [first, area / first, lattice.volume() / area]
}

/// Sum of `exp(-(t n)^2)` over all whole numbers, directly or by Poisson's formula, whichever
/// leaves out less than 1e-16 after four terms.
fn theta(t: f64) -> f64 {
    let sum = |t: f64| {
        let terms = (1..=4).map(|n| (-(t * f64::from(n)).powi(2)).exp());
        1.0 + 2.0 * terms.sum::<f64>()
    };
    if t > PI.sqrt() {
        sum(t)
    } else {
        PI.sqrt() / t * sum(PI / t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn theta_is_the_brutal_sum() {
        for t in [0.05, 0.3, 1.0, 1.7, 1.8, 3.0] {
            let brutal: f64 = (-2000..=2000)
                .map(|n| (-(t * f64::from(n)).powi(2)).exp())
                .sum();
            assert!((theta(t) / brutal - 1.0).abs() < 1e-14, "t = {t}");
        }
    }

    /// Sum over the lattice points (shifted) beyond a cutoff, by brute force.
    fn brutal_tail(rows: &[Vec3; 3], shift: &Vec3, cut: f64, term: impl Fn(f64) -> f64) -> f64 {
        let mut sum = 0.0;
        for i in -40..=40 {
            for j in -40..=40 {
                for k in -40..=40 {
                    let cells = [i, j, k].map(f64::from);
                    let mut point = crate::lattice::row_times(&cells, rows);
                    (0..3).for_each(|x| point[x] += shift[x]);
                    let length = norm(&point);
                    if length > cut && length < 3.0 * cut {
                        sum += term(length);
                    }
                }
            }
        }
        sum
    }

    #[test]
    fn bounds_hold_for_coherent_charges_and_are_not_loose() {
        let lattices = [
            [[3.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 3.0]],
            [[2.5, 0.0, 0.0], [2.2, 1.1, 0.0], [0.3, -0.4, 6.0]],
        ];
        // One positive charge: every term of both tails has the same sign.
        let charges = ChargeSums {
            n_charged: 1.0,
            n_distinct: 1.0,
            absolute: 1.0,
            largest: 1.0,
            squared: 1.0,
        };
        for rows in lattices {
            let lattice = Lattice::new(&rows).unwrap();
            let alpha = 0.6;
            let bounds = Bounds::new(&lattice, &charges, alpha);
            for reach in [2.0, 3.0, 4.0] {
                let r_cut = reach / alpha;
                let real = 0.5
                    * COULOMB_CONSTANT
                    * brutal_tail(&rows, &[0.0; 3], r_cut, |r| {
                        super::super::erfc::erfc(&[alpha * r])[0] / r
                    });
                let k_cut = 2.0 * alpha * reach;
                let waves = lattice.reciprocal().map(|row| row.map(|x| 2.0 * PI * x));
                let reciprocal = 0.5 * COULOMB_CONSTANT * 4.0 * PI / lattice.volume()
                    * brutal_tail(&waves, &[0.0; 3], k_cut, |k| {
                        (-k * k / (4.0 * alpha * alpha)).exp() / (k * k)
                    });
                for (tail, bound) in [
                    (real, bounds.real(r_cut)),
                    (reciprocal, bounds.reciprocal(k_cut)),
                ] {
                    assert!(
                        tail <= bound && bound < 1e3 * tail,
                        "{tail:.2e} {bound:.2e}"
                    );
                }
            }
        }
    }
}
