//! Reciprocal-space part: structure factors over half of the k-vectors, row by row.
//!
//! A row holds the k-vectors that differ by multiples of one reciprocal vector, `k = k_0 + l c*`
//! with `k_0` in its middle. The phases of the sites at `k_0` and at the multiples `l c*` come from
//! tables made by recurrence, and `+l` and `-l` share their products, so that a site and k-vector
//! of the half sphere cost two multiply-adds, for the structure factor and for the potential alike.
//! The lanes of a vector are eight successive `l`: nothing is summed across lanes before the end.

use std::f64::consts::PI;

use rayon::prelude::*;

use super::parameters::Parameters;
use super::real::Potential;
use super::{LANES, Lanes};
use crate::lattice::{Lattice, Mat3, Vec3, dot, norm};
use crate::simd::{self, Work, exp};

/// Rows of a large crystal are summed in this many groups at most, whose sums are added in order:
/// the result does not depend on which thread took which group.
const MAX_GROUPS: usize = 64;

/// Charges in the order in which the potentials are wanted.
#[derive(Debug)]
pub(super) struct Charges {
    /// Fractional coordinates, those of the targets first.
    pub frac_coords: Vec<Vec3>,
    /// Charges in units of e.
    pub charges: Vec<f64>,
    /// The potential is wanted at the first so many.
    pub n_targets: usize,
}

/// Potential in e/angstrom at each target of the charges smeared to Gaussians of width
/// `1 / (sqrt(2) alpha)`, without the wave at `k = 0`.
pub(super) fn potentials(
    lattice: &Lattice,
    sources: &Charges,
    parameters: &Parameters,
    parallel: bool,
) -> Vec<Potential> {
    let waves = Waves::new(lattice, parameters.alpha, parameters.k_cut);
    let sites = Sites::new(sources, &waves);
    let sum_group = |rows: &[Row]| {
        let (sites, waves) = (&sites, &waves);
        simd::dispatch(simd::level(), SumRows { sites, waves, rows })
    };
    let partial: Vec<PartialSum> = if parallel {
        let per_group = waves.rows.len().div_ceil(MAX_GROUPS);
        waves.rows.par_chunks(per_group).map(sum_group).collect()
    } else {
        vec![sum_group(&waves.rows)]
    };
    let mut potentials = vec![Potential::default(); sources.n_targets];
    for group in &partial {
        for (potential, value) in potentials.iter_mut().zip(&group.potentials) {
            potential.value += value;
            potential.magnitude += group.magnitude;
        }
    }
    potentials
}

/// One row of k-vectors of the half sphere.
#[derive(Debug)]
struct Row {
    /// Multiples of the first two reciprocal vectors, and of the third in the middle of the row.
    indices: [i64; 3],
    /// The k-vector in the middle of the row, in 1/angstrom.
    middle: Vec3,
    /// The row goes from `-reach` to `reach` about its middle.
    reach: i64,
}

/// The k-vectors of half a sphere, in rows along the reciprocal vector of the longest edge, where
/// they lie closest.
#[derive(Debug)]
struct Waves {
    /// Lattice directions of the two indices across the rows and of the one along them.
    axes: [usize; 3],
    /// Reciprocal vector along the rows, with 2 pi.
    step: Vec3,
    rows: Vec<Row>,
    alpha: f64,
    k_cut: f64,
    /// Twice (for the other half of the sphere) 4 pi / V.
    prefactor: f64,
}

impl Waves {
    fn new(lattice: &Lattice, alpha: f64, k_cut: f64) -> Self {
        let lengths = lattice.rows().map(|row| norm(&row));
        let mut axes = [0, 1, 2];
        axes.sort_by(|x, y| lengths[*x].total_cmp(&lengths[*y]));
        let reciprocal = lattice.reciprocal();
        let vectors: Mat3 = axes.map(|axis| reciprocal[axis].map(|x| 2.0 * PI * x));
        // Index h of k is (k . a) / 2 pi, at most |k| |a| / 2 pi.
        let [h_max, k_max] =
            [axes[0], axes[1]].map(|axis| (k_cut * lengths[axis] / (2.0 * PI)) as i64);
        let step = vectors[2];
        let step_squared = dot(&step, &step);
        let mut rows = Vec::new();
        for h in 0..=h_max {
            for k in if h == 0 { 0 } else { -k_max }..=k_max {
                let origin: Vec3 =
                    std::array::from_fn(|x| h as f64 * vectors[0][x] + k as f64 * vectors[1][x]);
                // |origin + l step| <= k_cut, a quadratic in l.
                let center = -dot(&origin, &step) / step_squared;
                let closest = dot(&origin, &origin) - center * center * step_squared;
                let room = k_cut * k_cut - closest;
                if room < 0.0 {
                    continue;
                }
                let half_length = (room / step_squared).sqrt();
                let middle = center.round();
                let reach = ((center - middle).abs() + half_length).floor();
                rows.push(Row {
                    indices: [h, k, middle as i64],
                    middle: std::array::from_fn(|x| origin[x] + middle * step[x]),
                    reach: reach as i64,
                });
            }
        }
        Self {
            axes,
            step,
            rows,
            alpha,
            k_cut,
            prefactor: 8.0 * PI / lattice.volume(),
        }
    }

    /// `8 pi / V exp(-k^2 / 4 alpha^2) / k^2` at `l` and at `-l` steps from the middle of a row, for
    /// [`LANES`] successive `l`; 0 outside of the half sphere.
    #[inline(always)]
    fn weights(&self, row: &Row, first: usize) -> [Lanes; 2] {
        let squared = dot(&row.middle, &row.middle);
        let linear = 2.0 * dot(&row.middle, &self.step);
        let quadratic = dot(&self.step, &self.step);
        let limit = self.k_cut * self.k_cut;
        let scale = 1.0 / (4.0 * self.alpha * self.alpha);
        let mut weights = [[0.0; LANES]; 2];
        for (side, sign) in [(0, 1.0), (1, -1.0)] {
            // One loop, which is vectorised: several would be unrolled before.
            for (x, weight) in weights[side].iter_mut().enumerate() {
                let l = sign * (first + x) as f64;
                let wave = squared + l * (linear + l * quadratic);
                let inside = if wave <= limit { self.prefactor } else { 0.0 };
                let wave = if wave <= limit { wave } else { limit };
                *weight = inside * exp(-wave * scale) / wave;
            }
        }
        if first == 0 {
            // l = 0 is one wave, not two; of the row through the origin, half is left out.
            weights[1][0] = 0.0;
            if row.indices == [0; 3] {
                weights[0][0] = 0.0;
            }
        }
        if row.indices == [0; 3] {
            weights[1] = [0.0; LANES];
        }
        weights
    }

    /// Largest absolute multiple of each reciprocal vector in the middle of a row.
    fn largest_indices(&self) -> [usize; 3] {
        let mut largest = [0; 3];
        for row in &self.rows {
            for (most, index) in largest.iter_mut().zip(row.indices) {
                *most = index.unsigned_abs().max(*most);
            }
        }
        largest.map(|index| index as usize)
    }

    /// Vectors that hold the longest row, from its middle on.
    fn n_blocks(&self) -> usize {
        let reach = self.rows.iter().map(|row| row.reach).max();
        reach.unwrap_or(0).unsigned_abs() as usize / LANES + 1
    }
}

/// A complex number for each of [`LANES`] sites.
#[derive(Debug, Clone, Copy)]
struct ComplexLanes {
    re: Lanes,
    im: Lanes,
}

impl ComplexLanes {
    const ONE: Self = Self {
        re: [1.0; LANES],
        im: [0.0; LANES],
    };

    /// The product with `other`, or with its conjugate if `sign` is -1.
    #[inline(always)]
    fn times(&self, other: &Self, sign: f64) -> Self {
        let mut product = Self::ONE;
        for x in 0..LANES {
            product.re[x] = self.re[x] * other.re[x] - sign * self.im[x] * other.im[x];
            product.im[x] = self.im[x] * other.re[x] + sign * self.re[x] * other.im[x];
        }
        product
    }

    /// The product with real numbers.
    #[inline(always)]
    fn scaled(&self, factors: &Lanes) -> Self {
        let mut product = *self;
        for (x, factor) in factors.iter().enumerate() {
            product.re[x] *= factor;
            product.im[x] *= factor;
        }
        product
    }
}

/// Phases `exp(2 pi i n x)` of all sites for one lattice direction, `n` from 0 up.
#[derive(Debug)]
struct PhaseTable {
    n_groups: usize,
    phases: Vec<ComplexLanes>,
}

impl PhaseTable {
    fn new(first: &[ComplexLanes], largest: usize) -> Self {
        let n_groups = first.len();
        let mut phases = vec![ComplexLanes::ONE; (largest + 1) * n_groups];
        for k in n_groups..phases.len() {
            phases[k] = phases[k - n_groups].times(&first[k % n_groups], 1.0);
        }
        Self { n_groups, phases }
    }

    /// Phases for the multiple `n`, as a table entry and the sign for its imaginary part.
    #[inline(always)]
    fn get(&self, n: i64) -> (&[ComplexLanes], f64) {
        let start = n.unsigned_abs() as usize * self.n_groups;
        let sign = if n < 0 { -1.0 } else { 1.0 };
        (&self.phases[start..start + self.n_groups], sign)
    }
}

/// Phases `exp(2 pi i x)` of all sites; those of the padding are 1.
fn first_phases(fractions: impl Iterator<Item = f64>, n_groups: usize) -> Vec<ComplexLanes> {
    let mut first = vec![ComplexLanes::ONE; n_groups];
    for (site, x) in fractions.enumerate() {
        let group = &mut first[site / LANES];
        (group.im[site % LANES], group.re[site % LANES]) = (2.0 * PI * (x - x.round())).sin_cos();
    }
    first
}

/// Cosines and sines of `2 pi l x`, `l` across the lanes.
type Along = [Lanes; 2];

/// The phases of each site along a row, from those of one step: `blocks * n_sites` vectors, block
/// by block.
fn phases_along(first: &[ComplexLanes], n_sites: usize, n_blocks: usize) -> Vec<Along> {
    let times = |[a, b]: [f64; 2], [c, d]: [f64; 2]| [a * c - b * d, a * d + b * c];
    let mut along = vec![[[0.0; LANES]; 2]; n_blocks * n_sites];
    for site in 0..n_sites {
        let group = &first[site / LANES];
        let (re, im) = (group.re[site % LANES], group.im[site % LANES]);
        let mut power = [1.0, 0.0];
        let [cos, sin] = &mut along[site];
        for x in 0..LANES {
            cos[x] = power[0];
            sin[x] = power[1];
            power = times(power, [re, im]);
        }
        for block in 1..n_blocks {
            let before = along[(block - 1) * n_sites + site];
            let [cos, sin] = &mut along[block * n_sites + site];
            for x in 0..LANES {
                let product = times([before[0][x], before[1][x]], power);
                cos[x] = product[0];
                sin[x] = product[1];
            }
        }
    }
    along
}

/// Potentials at the targets from some rows.
struct PartialSum {
    potentials: Vec<f64>,
    magnitude: f64,
}

/// Charges and phases of all sites.
struct Sites {
    charges: Vec<Lanes>,
    n_sites: usize,
    n_targets: usize,
    /// Phases at the indices of the middles of the rows.
    tables: [PhaseTable; 3],
    along: Vec<Along>,
}

impl Sites {
    fn new(sources: &Charges, waves: &Waves) -> Self {
        let n_sites = sources.charges.len();
        let n_groups = n_sites.div_ceil(LANES);
        // The padding has no charge, and adds nothing.
        let mut charges = vec![[0.0; LANES]; n_groups];
        charges.as_flattened_mut()[..n_sites].copy_from_slice(&sources.charges);
        let largest = waves.largest_indices();
        let firsts: [Vec<ComplexLanes>; 3] = std::array::from_fn(|x| {
            let fractions = sources.frac_coords.iter().map(|frac| frac[waves.axes[x]]);
            first_phases(fractions, n_groups)
        });
        Self {
            charges,
            n_sites,
            n_targets: sources.n_targets,
            tables: std::array::from_fn(|x| PhaseTable::new(&firsts[x], largest[x])),
            along: phases_along(&firsts[2], n_sites, waves.n_blocks()),
        }
    }

    /// Phases of all sites in the middle of a row, into `phases`.
    #[inline(always)]
    fn phases_into(&self, row: &Row, phases: &mut [ComplexLanes]) {
        let [h, k, middle] = row.indices;
        let (first, _) = self.tables[0].get(h);
        let (second, sign) = self.tables[1].get(k);
        for (group, phase) in phases.iter_mut().enumerate() {
            *phase = first[group].times(&second[group], sign);
        }
        if middle != 0 {
            let (third, sign) = self.tables[2].get(middle);
            for (group, phase) in phases.iter_mut().enumerate() {
                *phase = phase.times(&third[group], sign);
            }
        }
    }

    /// The phases of all sites along a row, of one block.
    #[inline(always)]
    fn along(&self, block: usize) -> &[Along] {
        &self.along[block * self.n_sites..(block + 1) * self.n_sites]
    }
}

/// Adds up the potentials that some rows of waves make.
struct SumRows<'a> {
    sites: &'a Sites,
    waves: &'a Waves,
    rows: &'a [Row],
}

impl Work for SumRows<'_> {
    type Output = PartialSum;

    #[inline(always)]
    fn run(self) -> PartialSum {
        let Self { sites, waves, rows } = self;
        let n_groups = sites.charges.len();
        let mut phases = vec![ComplexLanes::ONE; n_groups];
        let mut amplitudes = phases.clone();
        let mut potentials = vec![[0.0; LANES]; sites.n_targets];
        let mut magnitudes = [0.0; LANES];
        let mut factors: Vec<[Lanes; 4]> = Vec::new();
        for row in rows {
            sites.phases_into(row, &mut phases);
            for (group, charges) in sites.charges.iter().enumerate() {
                amplitudes[group] = phases[group].scaled(charges);
            }
            factors.clear();
            for block in 0..=row.reach as usize / LANES {
                let weights = waves.weights(row, block * LANES);
                let sums = structure_sums(&amplitudes, sites.along(block));
                factors.push(weighted(&sums, &weights, &mut magnitudes));
            }
            add_potentials(sites, &phases, &factors, &mut potentials);
        }
        PartialSum {
            potentials: (potentials.iter())
                .map(|lanes| lanes.iter().sum())
                .collect(),
            magnitude: magnitudes.iter().sum(),
        }
    }
}

/// Sums over the sites of the products of the real and imaginary parts of the amplitudes with the
/// cosines and sines along the row: re cos, im sin, im cos, re sin.
#[inline(always)]
fn structure_sums(amplitudes: &[ComplexLanes], along: &[Along]) -> [Lanes; 4] {
    let mut sums = [[0.0; LANES]; 4];
    for (amplitudes, along) in amplitudes.iter().zip(along.chunks(LANES)) {
        for (site, [cos, sin]) in along.iter().enumerate() {
            let (a, b) = (amplitudes.re[site], amplitudes.im[site]);
            for x in 0..LANES {
                sums[0][x] += a * cos[x];
                sums[1][x] += b * sin[x];
                sums[2][x] += b * cos[x];
                sums[3][x] += a * sin[x];
            }
        }
    }
    sums
}

/// Sums and differences of the weighted structure factors at `+l` and `-l`, whose absolute values
/// are added to `magnitudes`.
#[inline(always)]
fn weighted(sums: &[Lanes; 4], weights: &[Lanes; 2], magnitudes: &mut Lanes) -> [Lanes; 4] {
    let mut factors = [[0.0; LANES]; 4];
    for (x, magnitude) in magnitudes.iter_mut().enumerate() {
        let [ac, bs, bc, as_] = [sums[0][x], sums[1][x], sums[2][x], sums[3][x]];
        let plus = [weights[0][x] * (ac - bs), weights[0][x] * (bc + as_)];
        let minus = [weights[1][x] * (ac + bs), weights[1][x] * (bc - as_)];
        *magnitude += (plus[0] * plus[0] + plus[1] * plus[1]).sqrt()
            + (minus[0] * minus[0] + minus[1] * minus[1]).sqrt();
        factors[0][x] = plus[0] + minus[0];
        factors[1][x] = plus[1] - minus[1];
        factors[2][x] = plus[0] - minus[0];
        factors[3][x] = plus[1] + minus[1];
    }
    factors
}

/// Adds `Re(conj(S) exp(i k r))` over a row, in lanes.
#[inline(always)]
fn add_potentials(
    sites: &Sites,
    phases: &[ComplexLanes],
    factors: &[[Lanes; 4]],
    potentials: &mut [Lanes],
) {
    for (target, potential) in potentials.iter_mut().enumerate() {
        let mut re = [0.0; LANES];
        let mut im = [0.0; LANES];
        for (block, [re_sum, im_diff, re_diff, im_sum]) in factors.iter().enumerate() {
            let [c, s] = &sites.along(block)[target];
            for x in 0..LANES {
                re[x] += re_sum[x] * c[x] + im_diff[x] * s[x];
                im[x] += re_diff[x] * s[x] - im_sum[x] * c[x];
            }
        }
        let phase = &phases[target / LANES];
        let (cos, sin) = (phase.re[target % LANES], phase.im[target % LANES]);
        let mut turned = *potential;
        for x in 0..LANES {
            turned[x] += cos * re[x] - sin * im[x];
        }
        *potential = turned;
    }
}
