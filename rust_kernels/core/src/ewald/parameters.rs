//! Cutoffs, from a rigorous bound on what they leave out.
//!
//! The window of [`super::window`] leaves nothing out of the sum over pairs. The bound on the waves is
//! for the worst case, `|S(k)| = sum |q|`, since the charges of a crystal are coherent; estimates like
//! those of Kolafa and Perram, Mol. Simul. 9, 351 (1992), doi:10.1080/08927029208049126, are root mean
//! squares over random charges. With `b = beta / r_c`, a wave beyond `b` weighs at most
//! `1.07 / (f(beta^2) r_c^2) g(k)` with `g(k) = 1 / (k^2 (k^2 - b^2))`, as `|u j_1(u)| < 1.07`.
//!
//! To sum `g` over the lattice beyond `k_cut`, note that around each point lies a box, whose edges are
//! those that Gram-Schmidt leaves of the lattice vectors, and that no two boxes overlap. If no point of
//! a box is farther than `d` from its center, then the number of lattice points between `k_cut` and `k`
//! is at most `(4 pi / 3) ((k + d)^3 - (k_cut - d)^3)` over the volume of a box. Summation by parts
//! gives `g(k_cut) ((k_cut + d)^3 - (k_cut - d)^3) + int 3 (k + d)^2 g(k) dk` for the number,
//! of which the integral is at most `3 (1 + d / k_cut)^2 ln((k_cut + b) / (k_cut - b)) / (2 b)`.

use std::f64::consts::{PI, SQRT_2};

use super::window::{BETAS, BEYOND, Window};
use super::{COULOMB_CONSTANT, Method, mesh};
use crate::error::CrystalError;
use crate::lattice::{Lattice, Vec3, cross, norm};
use crate::neighbors::MOST_SITES;

/// Nanoseconds of one thread with AVX-512 for a pair in real space, with its share of the search,
/// image by image
const PAIR_OF_IMAGES: f64 = 4.5;
/// or in a grid,
const PAIR_OF_GRID: f64 = 12.0;
/// for a site and k-vector (of the full sphere) of the structure factors and potentials,
const WAVE: f64 = 0.4;
/// where the phases of the sites do not stay in the second-level cache,
const WAVE_OF_MANY: f64 = 0.5;
/// from so many sites on,
const MANY: f64 = 1200.0;
/// for a point of a mesh, with its share of the transforms,
const MESH_POINT: f64 = 35.0;
/// and for a site that is spread over a mesh and interpolated from it.
const MESH_SITE: f64 = 2500.0;

/// Sums that take less, in nanoseconds, are not worth the choice of a mesh.
const WORTH_A_MESH: f64 = 5e6;

/// Share of the error that is set aside for the short expressions of the screened interaction and of
/// the weights of waves.
const SHORT_SHARE: f64 = 0.05;

/// The short expressions are used if they bring no more than their share where the inverse distances
/// of pairs, and inverse squared wave vectors, add up to this times what they do on average, times
/// the mean absolute charge.
const CROWDED: f64 = 4.0;

/// Cutoffs in angstrom that are tried with a mesh, from the first up to the last by this ratio.
const MESH_CUTOFFS: [f64; 3] = [3.0, 40.0, 1.1];

/// Most points of a mesh: 12 GB of memory.
const MAX_MESH: f64 = 5e8;

/// Most terms of both sums together that one crystal may need: minutes of work.
const MAX_TERMS: f64 = 1e11;

/// `|u j_1(u)|` is less than this.
const LARGEST_RIPPLE: f64 = 1.07;

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

    /// Estimated time for a site and k-vector in ns.
    fn wave_cost(&self) -> f64 {
        if self.n_charged < MANY {
            WAVE
        } else {
            WAVE_OF_MANY
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
    /// Splits the interaction.
    pub window: &'static Window,
    /// Splitting parameter in 1/angstrom: that of the Gaussian about as wide.
    pub alpha: f64,
    /// Real-space cutoff in angstrom, where the window ends.
    pub r_cut: f64,
    /// Reciprocal cutoff in 1/angstrom (with the factor 2 pi).
    pub k_cut: f64,
    /// Whether screened interactions and weights of waves are computed by their short expressions.
    pub short: bool,
    /// Bound in eV on what the reciprocal cutoff leaves out of any site energy.
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
        let allowed = accuracy * charges.energy_scale(basis);
        let target = (1.0 - SHORT_SHARE) * allowed;
        let finish = |chosen: Self| {
            let pairs = 2.0 * PI * chosen.r_cut.powi(2) / basis.volume();
            // Of a sum of |q| that is split among the real and the imaginary part.
            let waves = 2.0 / PI * chosen.k_cut * SQRT_2;
            let Window {
                smooth_short,
                waves_short,
                ..
            } = chosen.window;
            let error = CROWDED * (smooth_short.error * pairs + waves_short.error * waves);
            let short = error * charges.coupling() <= SHORT_SHARE * allowed;
            let alpha = alpha.unwrap_or(chosen.alpha);
            let chosen = Self {
                alpha,
                short,
                ..chosen
            };
            chosen.checked(basis, charges)
        };
        let bounds = Bounds::new(basis, charges);
        let direct = match alpha {
            Some(alpha) => Self::direct(basis, charges, &bounds, target, at_alpha(alpha)),
            None => {
                let balanced = balanced_cutoff(basis, charges);
                Self::direct(basis, charges, &bounds, target, balanced)
            }
        };
        let is_small = direct.cost < WORTH_A_MESH;
        if method == Method::Direct || method == Method::Auto && is_small {
            return finish(direct);
        }
        let best = match alpha {
            Some(alpha) => Self::with_mesh(basis, charges, &bounds, target, at_alpha(alpha)),
            None => {
                let [first, last, ratio] = MESH_CUTOFFS;
                let cutoffs = std::iter::successors(Some(first), |cutoff| Some(cutoff * ratio));
                cutoffs
                    .take_while(|cutoff| *cutoff < last)
                    .filter_map(|cutoff| {
                        Self::with_mesh(basis, charges, &bounds, target, |_| cutoff)
                    })
                    .min_by(|one, other| one.cost.total_cmp(&other.cost))
            }
        };
        match best {
            Some(best) if method == Method::Mesh || best.cost < direct.cost => finish(best),
            _ => finish(direct),
        }
    }

    /// Without a mesh.
    fn direct(
        basis: &Lattice,
        charges: &ChargeSums,
        bounds: &Bounds,
        target: f64,
        cutoff: impl Fn(f64) -> f64,
    ) -> Self {
        let mut chosen = Self::cut(bounds, target, cutoff);
        let waves = sphere(chosen.k_cut / (2.0 * PI)) * basis.volume();
        let sites = 0.5 * (charges.n_charged + charges.n_distinct);
        chosen.cost = charges.pair_cost() * chosen.pairs(basis, charges)
            + charges.wave_cost() * sites * waves;
        chosen
    }

    /// With a mesh, half of the error for the waves that are left out and for the mesh; none if it
    /// would be too large.
    fn with_mesh(
        basis: &Lattice,
        charges: &ChargeSums,
        bounds: &Bounds,
        target: f64,
        cutoff: impl Fn(f64) -> f64,
    ) -> Option<Self> {
        let aliasing = 0.5 * target;
        let mut chosen = Self::cut(bounds, aliasing, cutoff);
        let step = mesh::step(chosen.window, chosen.r_cut, aliasing / charges.coupling())?;
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

    /// The narrowest window, and the waves, for an error in eV, with the real cutoff as a function of
    /// `beta`.
    fn cut(bounds: &Bounds, error: f64, cutoff: impl Fn(f64) -> f64) -> Self {
        let excess = |beta: f64| {
            let tail = bounds.waves(beta, cutoff(beta), beta + BEYOND);
            (tail / error).ln()
        };
        // But for factors that change little, the bound falls as exp(-beta).
        let mut beta = 25.0_f64;
        for _ in 0..3 {
            beta = (beta + excess(beta)).clamp(BETAS[0], BETAS[1]);
        }
        // 1e-2 of a beta changes the bound by 1 %.
        while excess(beta) > 0.0 && beta < BETAS[1] {
            beta += 1e-2;
        }
        let window = Window::from(beta);
        let r_cut = cutoff(window.beta);
        let beyond = bounds.least_beyond(window, r_cut, error);
        Self {
            window,
            alpha: (0.5 * window.beta).sqrt() / r_cut,
            r_cut,
            k_cut: (window.beta + beyond) / r_cut,
            short: false,
            truncation: bounds.waves(window.beta, r_cut, window.beta + beyond),
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

/// The real cutoff for a splitting parameter, as a function of `beta`.
fn at_alpha(alpha: f64) -> impl Fn(f64) -> f64 {
    move |beta| (0.5 * beta).sqrt() / alpha
}

/// The real cutoff at which both sums cost the same, as a function of `beta`: pairs are visited for
/// the distinct sites, structure factors take all sites, and potentials the distinct ones again.
fn balanced_cutoff(basis: &Lattice, charges: &ChargeSums) -> impl Fn(f64) -> f64 {
    let n = charges.n_charged;
    let distinct = 2.0 * charges.n_distinct / (n + charges.n_distinct);
    let density =
        n * (charges.pair_cost() / charges.wave_cost()) * distinct / basis.volume().powi(2);
    let length = density.powf(-1.0 / 6.0) / (2.0 * PI).sqrt();
    move |beta| length * (beta + BEYOND).sqrt()
}

/// Bound in eV on the error of any site energy, as a function of the cutoffs.
struct Bounds {
    /// See [`ChargeSums::coupling`].
    coupling: f64,
    /// No point of the boxes around the points of the reciprocal lattice is farther than this from
    /// their centers, in 1/angstrom.
    radius: f64,
}

impl Bounds {
    fn new(lattice: &Lattice, charges: &ChargeSums) -> Self {
        // The edges of the reciprocal lattice, taken in the other order, are the inverses.
        let edges = orthogonal_edges(lattice).map(|edge| PI / edge);
        Self {
            coupling: charges.coupling(),
            radius: norm(&edges),
        }
    }

    /// What waves beyond `kappa / r_cut` can add up to.
    fn waves(&self, beta: f64, r_cut: f64, kappa: f64) -> f64 {
        let radius = self.radius * r_cut;
        let squared = kappa * kappa - beta * beta;
        let weight = LARGEST_RIPPLE * beta * beta / (beta.cosh() - beta.sinh() / beta);
        let shell = (kappa + radius).powi(3) - (kappa - radius).max(0.0).powi(3);
        let logarithm = ((kappa + beta) / (kappa - beta)).ln();
        let rest = 3.0 * (1.0 + radius / kappa).powi(2) * logarithm / (2.0 * beta);
        let sum = shell / (kappa * kappa * squared) + rest;
        self.coupling * 2.0 / (3.0 * PI) * weight * sum / r_cut
    }

    /// The shortest wave beyond `beta`, in units of `1 / r_cut`, at which the bound is below `error`.
    fn least_beyond(&self, window: &Window, r_cut: f64, error: f64) -> f64 {
        let (mut low, mut high) = (0.125 * BEYOND, BEYOND);
        for _ in 0..5 {
            let middle = 0.5 * (low + high);
            if self.waves(window.beta, r_cut, window.beta + middle) <= error {
                high = middle;
            } else {
                low = middle;
            }
        }
        high
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Sum over the lattice points beyond a cutoff, by brute force.
    fn brutal_tail(rows: &[Vec3; 3], cut: f64, term: impl Fn(f64) -> f64) -> f64 {
        let mut sum = 0.0;
        for i in -60..=60 {
            for j in -60..=60 {
                for k in -60..=60 {
                    let length = norm(&crate::lattice::row_times(&[i, j, k].map(f64::from), rows));
                    if length > cut {
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
        // One positive charge: every wave has the same sign.
        let charges = ChargeSums {
            n_charged: 1.0,
            n_distinct: 1.0,
            absolute: 1.0,
            largest: 1.0,
            squared: 1.0,
        };
        for rows in lattices {
            let lattice = Lattice::new(&rows).unwrap();
            let bounds = Bounds::new(&lattice, &charges);
            for (beta, r_cut) in [(8.0_f64, 3.0_f64), (15.0, 4.0), (27.0, 5.0)] {
                // f(beta^2) by its definition.
                let at_beta = (beta.cosh() - beta.sinh() / beta) / (beta * beta);
                let reciprocal = 0.5 * COULOMB_CONSTANT * 4.0 * PI / lattice.volume()
                    * brutal_tail(
                        &lattice.reciprocal().map(|row| row.map(|x| 2.0 * PI * x)),
                        (beta + BEYOND) / r_cut,
                        |k| {
                            let u = ((k * r_cut).powi(2) - beta * beta).sqrt();
                            (u.sin() / u - u.cos()).abs() / (u * u * at_beta * k * k)
                        },
                    );
                let bound = bounds.waves(beta, r_cut, beta + BEYOND);
                assert!(
                    reciprocal <= bound && bound < 1e2 * reciprocal,
                    "{reciprocal:.2e} {bound:.2e}"
                );
            }
        }
    }

    #[test]
    fn the_ripple_is_bounded() {
        for k in 1..100_000 {
            let u = 1e-3 * f64::from(k);
            assert!((u.sin() / u - u.cos()).abs() < LARGEST_RIPPLE);
        }
    }
}
