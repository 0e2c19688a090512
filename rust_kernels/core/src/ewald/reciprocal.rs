//! Reciprocal-space part: structure factors over half of the k-vectors, row by row.
//!
//! A row holds the k-vectors that differ by multiples of one reciprocal vector, `k = k_0 + l c*`
//! with `k_0` in its middle. The phases of the sites at `k_0` and at the multiples `l c*` come from
//! tables made by recurrence, and `+l` and `-l` share their products, so that a site and k-vector
//! of the half sphere cost two multiply-adds, for the structure factor and for the potential alike.
//! The lanes of a vector are eight successive `l`: nothing is summed across lanes before the end.

use std::cell::Cell;
use std::cmp::Reverse;
use std::f64::consts::PI;

use rayon::prelude::*;

use super::parameters::Parameters;
use super::real::Potential;
use super::window::{FULL, SHORT, Weights};
use super::{LANES, Lanes};
use crate::lattice::{Lattice, Mat3, Vec3, dot, norm};
use crate::simd::{self, Level, Work};

/// Rows whose phases and structure factors are held at a time.
const PANEL: usize = 32;

/// Rows of a large crystal are summed in this many groups at most, whose sums are added in order:
/// the result does not depend on which thread took which group.
const MAX_GROUPS: usize = 64;

/// Charges in the order in which the potentials are wanted.
#[derive(Debug)]
pub(super) struct Charges {
    /// Sites of the crystal that they are on.
    pub sites: Vec<usize>,
    /// Fractional coordinates, those of the targets first.
    pub frac_coords: Vec<Vec3>,
    /// Charges in units of e.
    pub charges: Vec<f64>,
    /// The potential is wanted at the first so many.
    pub n_targets: usize,
}

/// Potential of the smooth part at each target, without the wave at `k = 0`.
pub(super) fn potentials(
    lattice: &Lattice,
    sources: &Charges,
    parameters: &Parameters,
    parallel: bool,
) -> Vec<Potential> {
    let waves = Waves::new(lattice, parameters);
    let Memory { sites, mut panel } = if parallel {
        Memory::default()
    } else {
        MEMORY.take()
    };
    let make_sites = MakeSites {
        sources,
        waves: &waves,
        sites,
    };
    let sites = simd::dispatch(simd::level(), make_sites);
    let sum_group = |rows: &[Row], panel: &mut Panel| match simd::level() {
        Level::Avx512 => simd::dispatch(
            Level::Avx512,
            SumRows::<4>::new(&sites, &waves, rows, panel),
        ),
        level => simd::dispatch(level, SumRows::<1>::new(&sites, &waves, rows, panel)),
    };
    let partial: Vec<PartialSum> = if parallel {
        let per_group = waves.rows.len().div_ceil(MAX_GROUPS);
        let groups = waves.rows.par_chunks(per_group);
        groups
            .map(|rows| sum_group(rows, &mut Panel::default()))
            .collect()
    } else {
        let sum = sum_group(&waves.rows, &mut panel);
        MEMORY.set(Memory { sites, panel });
        vec![sum]
    };
    let fit_error = if parameters.short {
        parameters.window.waves_short.error
    } else {
        parameters.window.waves.error
    };
    let mut potentials = vec![Potential::default(); sources.n_targets];
    for group in &partial {
        for (potential, value) in potentials.iter_mut().zip(&group.potentials) {
            potential.value += value;
            potential.magnitude += group.magnitude;
            potential.fit_error += fit_error * group.inverse;
        }
    }
    potentials
}

thread_local! {
    /// Of the last small crystal of this thread: to get memory for each takes longer than to fill it.
    static MEMORY: Cell<Memory> = const { Cell::new(Memory::NONE) };
}

/// What the sums of a crystal are made in. It may be larger than the crystal needs, and hold what was
/// left by another: all is written before it is read.
#[derive(Debug)]
struct Memory {
    sites: Sites,
    panel: Panel,
}

impl Memory {
    const NONE: Self = Self {
        sites: Sites::NONE,
        panel: Panel::NONE,
    };
}

impl Default for Memory {
    fn default() -> Self {
        Self::NONE
    }
}

/// Makes room for so many values.
fn make_room<T: Clone>(values: &mut Vec<T>, n: usize, value: T) -> &mut [T] {
    if values.len() < n {
        values.resize(n, value);
    }
    &mut values[..n]
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

impl Row {
    /// Vectors that hold it, from its middle on.
    fn n_blocks(&self) -> usize {
        self.reach.unsigned_abs() as usize / LANES + 1
    }
}

/// One of the expressions for the weights of waves.
#[derive(Debug)]
enum Weighing {
    Full(Weights<FULL>),
    Short(Weights<SHORT>),
}

/// The k-vectors of half a sphere, in rows along the reciprocal vector of the longest edge, where
/// they lie closest.
#[derive(Debug)]
struct Waves {
    /// Lattice directions of the two indices across the rows and of the one along them.
    axes: [usize; 3],
    /// Reciprocal vector along the rows, with 2 pi.
    step: Vec3,
    /// Those that take the most vectors first.
    rows: Vec<Row>,
    weights: Weighing,
    /// Twice (for the other half of the sphere) 4 pi / V.
    prefactor: f64,
}

impl Waves {
    fn new(lattice: &Lattice, parameters: &Parameters) -> Self {
        let Parameters {
            window,
            r_cut,
            k_cut,
            ..
        } = *parameters;
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
                let middle = simd::round(center);
                let reach = (center - middle).abs() + half_length;
                rows.push(Row {
                    indices: [h, k, middle as i64],
                    middle: std::array::from_fn(|x| origin[x] + middle * step[x]),
                    reach: reach as i64,
                });
            }
        }
        rows.sort_by_key(|row| Reverse(row.n_blocks()));
        Self {
            axes,
            step,
            rows,
            weights: if parameters.short {
                Weighing::Short(Weights::new(&window.waves_short, window.beta, r_cut, k_cut))
            } else {
                Weighing::Full(Weights::new(&window.waves, window.beta, r_cut, k_cut))
            },
            prefactor: 8.0 * PI / lattice.volume(),
        }
    }

    /// `F` and `8 pi / V k^2` at `l` and at `-l` steps from the middle of a row, for [`LANES`]
    /// successive `l`; 0 outside of the half sphere.
    #[inline(always)]
    fn weights(&self, row: &Row, first: usize) -> [[Lanes; 2]; 2] {
        match &self.weights {
            Weighing::Full(weights) => self.weights_by(weights, row, first),
            Weighing::Short(weights) => self.weights_by(weights, row, first),
        }
    }

    /// The same with one of the expressions.
    #[inline(always)]
    fn weights_by<const N: usize>(
        &self,
        of_wave: &Weights<N>,
        row: &Row,
        first: usize,
    ) -> [[Lanes; 2]; 2] {
        let squared = dot(&row.middle, &row.middle);
        let linear = 2.0 * dot(&row.middle, &self.step);
        let quadratic = dot(&self.step, &self.step);
        // As far as rounding goes, the row is the same both ways where this is 0.
        let is_even = linear.abs() <= f64::EPSILON * quadratic;
        let mut weights = [[[0.0; LANES]; 2]; 2];
        for ([transforms, inverses], sign) in weights.iter_mut().zip([1.0, -1.0]) {
            // One loop, which is vectorised: several would be unrolled before.
            for x in 0..LANES {
                let l = sign * (first + x) as f64;
                let [transform, inverse] = of_wave.at(squared + l * (linear + l * quadratic));
                transforms[x] = transform;
                inverses[x] = self.prefactor * inverse;
            }
            if is_even {
                break;
            }
        }
        if is_even {
            weights[1] = weights[0];
        }
        // Of the row through the origin, half is left out; l = 0 is one wave, not two.
        if row.indices == [0; 3] {
            weights[1] = [[0.0; LANES]; 2];
        } else if first == 0 {
            weights[1][1][0] = 0.0;
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

    /// Vectors that hold the longest row.
    fn n_blocks(&self) -> usize {
        self.rows.first().map_or(1, Row::n_blocks)
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

/// Phases `exp(2 pi i n x)` of all sites for one lattice direction, `n` from 0 up; those of the
/// padding are 1.
#[derive(Debug)]
struct PhaseTable {
    n_groups: usize,
    phases: Vec<ComplexLanes>,
}

impl PhaseTable {
    const NONE: Self = Self {
        n_groups: 0,
        phases: Vec::new(),
    };

    /// Those of some fractional coordinates, with `n` up to `largest` and 1 at least.
    #[inline(always)]
    fn fill(&mut self, frac_coords: &[Vec3], axis: usize, largest: usize) {
        let n_groups = frac_coords.len().div_ceil(LANES);
        let n_multiples = largest.max(1) + 1;
        self.n_groups = n_groups;
        let phases = make_room(&mut self.phases, n_multiples * n_groups, ComplexLanes::ONE);
        phases[..n_groups].fill(ComplexLanes::ONE);
        for (group, frac_coords) in frac_coords.chunks(LANES).enumerate() {
            let mut fractions = [0.0; LANES];
            for (fraction, coords) in fractions.iter_mut().zip(frac_coords) {
                *fraction = coords[axis];
            }
            let first = &mut phases[n_groups + group];
            for (x, fraction) in fractions.iter().enumerate() {
                [first.re[x], first.im[x]] = simd::cos_sin_of_turns(*fraction);
            }
        }
        for n in 2..n_multiples {
            for group in 0..n_groups {
                let before = phases[(n - 1) * n_groups + group];
                phases[n * n_groups + group] = before.times(&phases[n_groups + group], 1.0);
            }
        }
    }

    /// Phases for the multiple `n`, as a table entry and the sign for its imaginary part.
    #[inline(always)]
    fn get(&self, n: i64) -> (&[ComplexLanes], f64) {
        let start = n.unsigned_abs() as usize * self.n_groups;
        let sign = if n < 0 { -1.0 } else { 1.0 };
        (&self.phases[start..start + self.n_groups], sign)
    }
}

/// Cosines and sines of `2 pi l x`, `l` across the lanes.
type Along = [Lanes; 2];

/// The phases of each site along a row, from those of one step, block by block.
#[inline(always)]
fn phases_along(first: &[ComplexLanes], n_blocks: usize, along: &mut Vec<Along>) {
    let n_sites = first.len() * LANES;
    let times = |[a, b]: [f64; 2], [c, d]: [f64; 2]| [a * c - b * d, a * d + b * c];
    let along = make_room(along, n_blocks * n_sites, [[0.0; LANES]; 2]);
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
}

/// Potentials at the targets from some rows.
struct PartialSum {
    potentials: Vec<f64>,
    magnitude: f64,
    /// The magnitude for a window whose transform is 1.
    inverse: f64,
}

/// Charges and phases of all sites.
#[derive(Debug)]
struct Sites {
    charges: Vec<Lanes>,
    n_sites: usize,
    n_targets: usize,
    /// Phases at the indices of the middles of the rows.
    tables: [PhaseTable; 3],
    along: Vec<Along>,
}

/// Phases, amplitudes and weighted structure factors of the rows of a panel.
#[derive(Debug)]
struct Panel {
    /// Those of a group of sites next to each other, row by row.
    phases: Vec<ComplexLanes>,
    amplitudes: Vec<ComplexLanes>,
    with_cos: Vec<[Lanes; 2]>,
    with_sin: Vec<[Lanes; 2]>,
}

impl Panel {
    const NONE: Self = Self {
        phases: Vec::new(),
        amplitudes: Vec::new(),
        with_cos: Vec::new(),
        with_sin: Vec::new(),
    };
}

impl Default for Panel {
    fn default() -> Self {
        Self::NONE
    }
}

/// Makes the tables of phases for some waves, in the memory of others.
struct MakeSites<'a> {
    sources: &'a Charges,
    waves: &'a Waves,
    sites: Sites,
}

impl Work for MakeSites<'_> {
    type Output = Sites;

    #[inline(always)]
    fn run(self) -> Sites {
        let Self {
            sources,
            waves,
            mut sites,
        } = self;
        let n_sites = sources.charges.len();
        sites.n_sites = n_sites;
        sites.n_targets = sources.n_targets;
        // The padding has no charge, and adds nothing.
        sites.charges.clear();
        sites.charges.resize(n_sites.div_ceil(LANES), [0.0; LANES]);
        sites.charges.as_flattened_mut()[..n_sites].copy_from_slice(&sources.charges);
        let largest = waves.largest_indices();
        // One by one: a closure would not be compiled for the level.
        for (k, table) in sites.tables.iter_mut().enumerate() {
            table.fill(&sources.frac_coords, waves.axes[k], largest[k]);
        }
        let (first, _) = sites.tables[2].get(1);
        phases_along(first, waves.n_blocks(), &mut sites.along);
        sites
    }
}

impl Sites {
    const NONE: Self = Self {
        charges: Vec::new(),
        n_sites: 0,
        n_targets: 0,
        tables: [PhaseTable::NONE; 3],
        along: Vec::new(),
    };

    /// Phases of all sites in the middle of a row, into `phases`.
    #[inline(always)]
    fn phases_into<'a>(&self, row: &Row, phases: impl Iterator<Item = &'a mut ComplexLanes>) {
        let [h, k, middle] = row.indices;
        let (first, _) = self.tables[0].get(h);
        let (second, sign) = self.tables[1].get(k);
        let (third, third_sign) = self.tables[2].get(middle);
        for (group, phase) in phases.enumerate() {
            let across = first[group].times(&second[group], sign);
            *phase = if middle == 0 {
                across
            } else {
                across.times(&third[group], third_sign)
            };
        }
    }

    /// The phases of all sites along a row, of one block.
    #[inline(always)]
    fn along(&self, block: usize) -> &[Along] {
        let n = self.charges.len() * LANES;
        &self.along[block * n..][..n]
    }
}

/// Adds up the potentials that some rows of waves make: the structure factors of `AT_ONCE` rows and
/// the potentials of `AT_ONCE` targets are summed side by side, as many as there are registers for.
/// Each of these sums has the same order whatever `AT_ONCE` is.
struct SumRows<'a, const AT_ONCE: usize> {
    sites: &'a Sites,
    waves: &'a Waves,
    rows: &'a [Row],
    panel: &'a mut Panel,
}

impl<'a, const AT_ONCE: usize> SumRows<'a, AT_ONCE> {
    fn new(sites: &'a Sites, waves: &'a Waves, rows: &'a [Row], panel: &'a mut Panel) -> Self {
        Self {
            sites,
            waves,
            rows,
            panel,
        }
    }
}

impl<const AT_ONCE: usize> Work for SumRows<'_, AT_ONCE> {
    type Output = PartialSum;

    #[inline(always)]
    fn run(self) -> PartialSum {
        let Self {
            sites,
            waves,
            rows,
            panel,
        } = self;
        let n_groups = sites.charges.len();
        let n_blocks = rows.first().map_or(0, Row::n_blocks);
        let phases = make_room(&mut panel.phases, PANEL * n_groups, ComplexLanes::ONE);
        let amplitudes = make_room(&mut panel.amplitudes, AT_ONCE * n_groups, ComplexLanes::ONE);
        let no_factors = [[0.0; LANES]; 2];
        let with_cos = make_room(&mut panel.with_cos, PANEL * n_blocks, no_factors);
        let with_sin = make_room(&mut panel.with_sin, PANEL * n_blocks, no_factors);
        let n_padded = sites.n_targets.next_multiple_of(AT_ONCE);
        let mut potentials = vec![[0.0; LANES]; n_padded];
        let mut magnitudes = [[0.0; LANES]; 2];
        for panel in rows.chunks(PANEL) {
            for (k, row) in panel.iter().enumerate() {
                sites.phases_into(row, phases[k..].iter_mut().step_by(PANEL));
            }
            for first in (0..panel.len()).step_by(AT_ONCE) {
                let rows = &panel[first..(first + AT_ONCE).min(panel.len())];
                for (k, amplitudes) in amplitudes.chunks_mut(n_groups).enumerate() {
                    // Where rows are too few, the last is taken again.
                    let row = first + k.min(rows.len() - 1);
                    for (group, charges) in sites.charges.iter().enumerate() {
                        amplitudes[group] = phases[group * PANEL + row].scaled(charges);
                    }
                }
                for block in 0..rows[0].n_blocks() {
                    let along = sites.along(block);
                    let sums = structure_sums::<AT_ONCE>(amplitudes, along, sites.n_sites);
                    let slot = block * PANEL + first;
                    for (k, row) in rows.iter().enumerate() {
                        let weights = waves.weights(row, block * LANES);
                        [with_cos[slot + k], with_sin[slot + k]] =
                            weighted(&sums[k], &weights, &mut magnitudes);
                    }
                }
            }
            for block in 0..panel[0].n_blocks() {
                // Rows come in the order of their lengths.
                let n_rows = panel.partition_point(|row| row.n_blocks() > block);
                let of_rows = block * PANEL..block * PANEL + n_rows;
                let factors = [&with_cos[of_rows.clone()], &with_sin[of_rows]];
                let along = sites.along(block);
                add_potentials::<AT_ONCE>(phases, factors, along, &mut potentials);
            }
        }
        PartialSum {
            potentials: (potentials[..sites.n_targets].iter())
                .map(|lanes| lanes.iter().sum())
                .collect(),
            magnitude: magnitudes[0].iter().sum(),
            inverse: magnitudes[1].iter().sum(),
        }
    }
}

/// Sums over the sites of the products of the real and imaginary parts of the amplitudes of some
/// rows with the cosines and sines along them: re cos, im sin, im cos, re sin.
#[inline(always)]
fn structure_sums<const AT_ONCE: usize>(
    amplitudes: &[ComplexLanes],
    along: &[Along],
    n_sites: usize,
) -> [[Lanes; 4]; AT_ONCE] {
    let n_groups = amplitudes.len() / AT_ONCE;
    let mut sums = [[[0.0; LANES]; 4]; AT_ONCE];
    for (group, along) in along[..n_sites].chunks(LANES).enumerate() {
        for (site, [cos, sin]) in along.iter().enumerate() {
            for (row, sums) in sums.iter_mut().enumerate() {
                let amplitude = &amplitudes[row * n_groups + group];
                let (a, b) = (amplitude.re[site], amplitude.im[site]);
                for x in 0..LANES {
                    sums[0][x] += a * cos[x];
                    sums[1][x] += b * sin[x];
                    sums[2][x] += b * cos[x];
                    sums[3][x] += a * sin[x];
                }
            }
        }
    }
    sums
}

/// Sums and differences of the weighted structure factors at `+l` and `-l`: those that go with the
/// cosine along a row and those that go with the sine, each with the cosine and with the sine of the
/// row's middle. Their absolute values, and what they would be if `F` were 1, are added to
/// `magnitudes`.
#[inline(always)]
fn weighted(
    sums: &[Lanes; 4],
    weights: &[[Lanes; 2]; 2],
    magnitudes: &mut [Lanes; 2],
) -> [[Lanes; 2]; 2] {
    let mut factors = [[[0.0; LANES]; 2]; 2];
    let [[at_plus, inverse_plus], [at_minus, inverse_minus]] = weights;
    let [magnitudes, inverses] = magnitudes;
    for x in 0..LANES {
        let [ac, bs, bc, as_] = [sums[0][x], sums[1][x], sums[2][x], sums[3][x]];
        let plus = [inverse_plus[x] * (ac - bs), inverse_plus[x] * (bc + as_)];
        let minus = [inverse_minus[x] * (ac + bs), inverse_minus[x] * (bc - as_)];
        let [lengths_plus, lengths_minus] = [plus, minus].map(|[re, im]| re.abs() + im.abs());
        inverses[x] += lengths_plus + lengths_minus;
        magnitudes[x] += lengths_plus * at_plus[x].abs() + lengths_minus * at_minus[x].abs();
        let plus = plus.map(|part| at_plus[x] * part);
        let minus = minus.map(|part| at_minus[x] * part);
        factors[0][0][x] = plus[0] + minus[0];
        factors[0][1][x] = plus[1] + minus[1];
        factors[1][0][x] = plus[1] - minus[1];
        factors[1][1][x] = minus[0] - plus[0];
    }
    factors
}

/// Adds `Re(conj(S) exp(i k r))` over a block of the rows of a panel, in lanes.
#[inline(always)]
fn add_potentials<const AT_ONCE: usize>(
    phases: &[ComplexLanes],
    factors: [&[[Lanes; 2]]; 2],
    along: &[Along],
    potentials: &mut [Lanes],
) {
    let of_targets = potentials.chunks_mut(AT_ONCE).zip(along.chunks(AT_ONCE));
    for (first, (potentials, along)) in of_targets.enumerate() {
        let sums = sum_rows::<AT_ONCE>(phases, first * AT_ONCE, factors);
        for (k, [with_cos, with_sin]) in sums.iter().enumerate() {
            let [cos, sin] = &along[k];
            for x in 0..LANES {
                potentials[k][x] += with_cos[x] * cos[x] + with_sin[x] * sin[x];
            }
        }
    }
}

/// Sums over rows of factors with the cosine and the sine of some targets, all of one group, in their
/// middles: of those that go with the cosine along the rows and those that go with the sine.
#[inline(always)]
fn sum_rows<const AT_ONCE: usize>(
    phases: &[ComplexLanes],
    first: usize,
    [with_cos, with_sin]: [&[[Lanes; 2]]; 2],
) -> [[Lanes; 2]; AT_ONCE] {
    let (group, lane) = (first / LANES, first % LANES);
    let mut sums = [[[0.0; LANES]; 2]; AT_ONCE];
    let rows = phases[group * PANEL..]
        .iter()
        .zip(with_cos.iter().zip(with_sin));
    for (phase, ([a, b], [c, d])) in rows {
        for (k, [with_cos, with_sin]) in sums.iter_mut().enumerate() {
            let (re, im) = (phase.re[lane + k], phase.im[lane + k]);
            for x in 0..LANES {
                with_cos[x] += re * a[x] + im * b[x];
                with_sin[x] += re * c[x] + im * d[x];
            }
        }
    }
    sums
}
