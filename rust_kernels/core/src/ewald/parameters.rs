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

use super::{COULOMB_CONSTANT, Method, erfc, mesh};
use crate::error::CrystalError;
use crate::lattice::{Lattice, Vec3, cross, norm};
use crate::neighbors::MOST_SITES;

/// Nanoseconds of one thread with AVX-512 for a pair in real space, with its share of the search,
/// image by image
const PAIR_OF_IMAGES: f64 = 7.0;
/// or in a grid,
const PAIR_OF_GRID: f64 = 12.0;
/// for a site and k-vector (of the full sphere) of the structure factors and potentials,
const WAVE: f64 = 0.3;
/// for a point of a mesh, with its share of the transforms,
const MESH_POINT: f64 = 35.0;
/// and for a site that is spread over a mesh and interpolated from it.
const MESH_SITE: f64 = 2500.0;

/// Sums that take less, in nanoseconds, are not worth the choice of a mesh.
const WORTH_A_MESH: f64 = 5e6;

/// Accuracies from this on are met with the short expression of the screened interaction,
const SHORT_FROM: f64 = 1e-8;
/// for which this share of the error is set aside.
const SHORT_SHARE: f64 = 0.05;

/// Cutoffs in angstrom that are tried with a mesh, from the first up to the last by this ratio.
const MESH_CUTOFFS: [f64; 3] = [3.0, 40.0, 1.1];

/// Most points of a mesh: 12 GB of memory.
const MAX_MESH: f64 = 5e8;

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
    /// Estimated time for a pair in real space in ns.
    fn pair_cost(&self) -> f64 {
        if self.n_charged <= MOST_SITES as f64 {
            PAIR_OF_IMAGES
        } else {
            PAIR_OF_GRID
        }
    }

    /// Largest energy in eV angstrom of a site with all others: `k_e max|q| sum|q| / 2`.
    pub fn coupling(&self) -> f64 {
        0.5 * COULOMB_CONSTANT * self.largest * self.absolute
    }

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
    /// Whether the screened interaction is computed by its short expression.
    pub short: bool,
    /// Bound in eV on what both cutoffs leave out of any site energy.
    pub truncation: f64,
    /// The mesh that the reciprocal part is computed on, if any.
    pub mesh: Option<MeshParameters>,
    /// Estimated time in ns.
    cost: f64,
}

/// A mesh along the vectors of the basis.
#[derive(Debug, Clone, Copy)]
pub(super) struct MeshParameters {
    /// Points along each vector.
    pub size: [usize; 3],
    /// Largest error in eV that the mesh may bring about, which it is expected to stay below.
    pub aliasing: f64,
}

impl MeshParameters {
    /// A mesh that is finer by an eighth.
    pub fn finer(&self) -> Self {
        Self {
            size: self.size.map(|n| mesh::good_size(n + n.div_ceil(8))),
            ..*self
        }
    }
}

impl Parameters {
    /// Chooses the method (unless it is given) and the cutoffs such that no site energy misses more
    /// than `accuracy` times [`ChargeSums::energy_scale`].
    pub fn new(
        basis: &Lattice,
        charges: &ChargeSums,
        accuracy: f64,
        alpha: Option<f64>,
        method: Method,
    ) -> Result<Self, CrystalError> {
        // The short expression may take up its share: terms of pairs that add up to 45 times the
        // energy scale, several times what they do in crystals.
        let short = accuracy >= SHORT_FROM;
        let share = if short { 1.0 - SHORT_SHARE } else { 1.0 };
        let target = share * accuracy * charges.energy_scale(basis);
        let finish = |chosen: Self| {
            let short = short && chosen.alpha * chosen.r_cut <= erfc::SHORT_REACH;
            Self { short, ..chosen }.checked(basis, charges)
        };
        let direct_alpha = alpha.unwrap_or_else(|| balanced_alpha(basis, charges));
        let direct = Self::direct(basis, charges, target, direct_alpha);
        let is_small = direct.cost < WORTH_A_MESH;
        if method == Method::Direct || method == Method::Auto && is_small {
            return finish(direct);
        }
        let with_mesh = |alpha| Self::with_mesh(basis, charges, target, alpha);
        let best = match alpha {
            Some(alpha) => with_mesh(alpha),
            None => {
                // The reach depends on alpha so little that any good one tells the cutoffs apart.
                let reach = direct.alpha * direct.r_cut;
                let [first, last, ratio] = MESH_CUTOFFS;
                let cutoffs = std::iter::successors(Some(first), |cutoff| Some(cutoff * ratio));
                cutoffs
                    .take_while(|cutoff| *cutoff < last)
                    .filter_map(|cutoff| with_mesh(reach / cutoff))
                    .min_by(|one, other| one.cost.total_cmp(&other.cost))
            }
        };
        match best {
            Some(best) if method == Method::Mesh || best.cost < direct.cost => finish(best),
            _ => finish(direct),
        }
    }

    /// Without a mesh, half of the error for each sum.
    pub fn direct(basis: &Lattice, charges: &ChargeSums, target: f64, alpha: f64) -> Self {
        let mut chosen = Self::cut(basis, charges, alpha, [0.5 * target; 2]);
        let waves = sphere(chosen.k_cut / (2.0 * PI)) * basis.volume();
        let sites = 0.5 * (charges.n_charged + charges.n_distinct);
        chosen.cost = charges.pair_cost() * chosen.pairs(basis, charges) + WAVE * sites * waves;
        chosen
    }

    /// With a mesh, a third of the error for each sum and for the mesh; none if it would be too
    /// large.
    fn with_mesh(basis: &Lattice, charges: &ChargeSums, target: f64, alpha: f64) -> Option<Self> {
        let aliasing = target / 3.0;
        let mut chosen = Self::cut(basis, charges, alpha, [aliasing; 2]);
        let coupling = charges.coupling();
        let step = mesh_step(alpha, chosen.k_cut, aliasing / coupling)?;
        let lengths = basis.rows().map(|row| norm(&row));
        // More than two points for the shortest wave.
        let least = lengths.map(|length| (length / step).floor() + 1.0);
        if least.iter().product::<f64>() > MAX_MESH {
            return None;
        }
        let size = least.map(|n| mesh::good_size(n as usize));
        let points: f64 = size.iter().map(|&n| n as f64).product();
        chosen.mesh = Some(MeshParameters { size, aliasing });
        chosen.cost = charges.pair_cost() * chosen.pairs(basis, charges)
            + MESH_POINT * points
            + MESH_SITE * charges.n_charged;
        Some(chosen)
    }

    /// The cutoffs for errors in eV of the real and reciprocal part.
    fn cut(basis: &Lattice, charges: &ChargeSums, alpha: f64, errors: [f64; 2]) -> Self {
        let bounds = Bounds::new(basis, charges, alpha);
        let [real, reciprocal] = errors;
        let r_cut = smallest_reach(real, |reach| bounds.real(reach / alpha)) / alpha;
        let k_cut = 2.0
            * alpha
            * smallest_reach(reciprocal, |reach| bounds.reciprocal(2.0 * alpha * reach));
        Self {
            alpha,
            r_cut,
            k_cut,
            short: false,
            truncation: bounds.real(r_cut) + bounds.reciprocal(k_cut),
            mesh: None,
            cost: f64::INFINITY,
        }
    }

    /// Pairs that are summed over.
    fn pairs(&self, basis: &Lattice, charges: &ChargeSums) -> f64 {
        charges.n_distinct * charges.n_charged * sphere(self.r_cut) / basis.volume()
    }

    /// Refuses more work than makes sense.
    fn checked(self, basis: &Lattice, charges: &ChargeSums) -> Result<Self, CrystalError> {
        let waves = match self.mesh {
            Some(_) => 0.0,
            None => charges.n_charged * sphere(self.k_cut / (2.0 * PI)) * basis.volume(),
        };
        let terms = self.pairs(basis, charges) + waves;
        if terms > MAX_TERMS {
            return Err(CrystalError::TooManyEwaldTerms {
                terms,
                alpha: self.alpha,
                limit: MAX_TERMS,
            });
        }
        Ok(self)
    }
}

/// Volume of a sphere.
fn sphere(radius: f64) -> f64 {
    4.0 / 3.0 * PI * radius.powi(3)
}

/// `sqrt(pi) (n w / V^2)^(1/6)`, where both sums cost the same: pairs are visited for the distinct
/// sites, structure factors take all sites, and potentials the distinct ones again.
fn balanced_alpha(basis: &Lattice, charges: &ChargeSums) -> f64 {
    let n = charges.n_charged;
    let distinct = 2.0 * charges.n_distinct / (n + charges.n_distinct);
    let density = n * (charges.pair_cost() / WAVE) * distinct / basis.volume().powi(2);
    PI.sqrt() * density.powf(1.0 / 6.0)
}

/// Largest step in angstrom of a mesh that is expected to bring no more than an error of `most` to
/// the potential of a sum of `|q|` of 1; none if even a very fine mesh would.
///
/// In a large cell, the waves lie so close that their sum is an integral. The waves of a given
/// component `k` across the planes of the mesh weigh `E_1(k^2 / 4 alpha^2) / 2 pi`, each of the
/// three directions has its own error, and it comes twice, from spreading and interpolating.
fn mesh_step(alpha: f64, k_cut: f64, most: f64) -> Option<f64> {
    let error = |step: f64| {
        let n = 64;
        let width = PI / f64::from(n);
        let terms = (0..n).map(|k| {
            let angle = (f64::from(k) + 0.5) * width;
            let x = (angle / (2.0 * alpha * step)).powi(2);
            // E_1(x) is less than this.
            let weight = (-x).exp() * (1.0 / x).ln_1p();
            mesh::aliasing(angle) * weight
        });
        6.0 / PI * terms.sum::<f64>() * width / step
    };
    let (mut low, mut high) = (0.05 * PI / k_cut, 0.999 * PI / k_cut);
    if error(low) > most {
        return None;
    }
    if error(high) <= most {
        return Some(high);
    }
    while high - low > 1e-3 * high {
        let middle = 0.5 * (low + high);
        if error(middle) <= most {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(low)
}

/// Smallest reach from which on the bound is below `most`, or a little more; the end of the range
/// if there is none.
fn smallest_reach(most: f64, bound: impl Fn(f64) -> f64) -> f64 {
    let [least, greatest] = REACH;
    let mut squared: f64 = 5.0 * 5.0;
    // But for a factor that changes little, the bound falls as exp(-reach^2).
    for _ in 0..3 {
        squared += (bound(squared.sqrt()) / most).ln();
        squared = squared.clamp(least * least, greatest * greatest);
    }
    // 1e-3 of a reach changes the bound by about 1 %.
    let mut reach = squared.sqrt();
    while bound(reach) > most && reach < greatest {
        reach += 1e-3;
    }
    reach
}

/// Bounds in eV on the error of any site energy, as functions of the cutoffs.
struct Bounds {
    alpha: f64,
    volume: f64,
    /// Edges in angstrom that Gram-Schmidt leaves of the lattice vectors; their inverses are those
    /// of the reciprocal lattice (taken in the other order, without 2 pi).
    edges: Vec3,
    /// See [`ChargeSums::coupling`].
    coupling: f64,
}

impl Bounds {
    fn new(lattice: &Lattice, charges: &ChargeSums, alpha: f64) -> Self {
        Self {
            alpha,
            volume: lattice.volume(),
            edges: orthogonal_edges(lattice),
            coupling: charges.coupling(),
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
                        super::super::erfc::screened::<false>(alpha, r * r)
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
