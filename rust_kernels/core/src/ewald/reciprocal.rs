//! Reciprocal-space part: structure factors over half of the k-vectors, row by row.
//!
//! A row holds the k-vectors that differ by multiples of one reciprocal vector, `k = k_0 + l c*`
//! with `k_0` in its middle. The phases of the sites at `k_0` and at the multiples `l c*` come from
//! tables made by recurrence, and `+l` and `-l` share their products, so that a site and k-vector
//! of the half sphere cost four multiplications and additions, for the structure factor and for
//! the potential alike.

use std::f64::consts::PI;

use rayon::prelude::*;

use super::real::Potential;
use crate::lattice::{Lattice, Mat3, Vec3, dot, norm};

/// Sites that are treated together; arrays over the sites are padded to whole groups.
const LANES: usize = 4;

/// Rows are summed in this many groups at most, whose sums are added in order: the result does not
/// depend on which thread took which group.
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
    alpha: f64,
    k_cut: f64,
    parallel: bool,
) -> Vec<Potential> {
    let waves = Waves::new(lattice, alpha, k_cut);
    let sites = Sites::new(sources, &waves);
    let per_group = waves.rows.len().div_ceil(MAX_GROUPS).max(1);
    let groups: Vec<&[Row]> = waves.rows.chunks(per_group).collect();
    let sum_group = |group: &&[Row]| sites.sum_rows(&waves, group);
    let partial: Vec<PartialSum> = if parallel {
        groups.par_iter().map(sum_group).collect()
    } else {
        groups.iter().map(sum_group).collect()
    };
    let mut potentials = vec![Potential::default(); sources.n_targets];
    for group in &partial {
        for (potential, value) in potentials.iter_mut().zip(group.potentials.as_flattened()) {
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

    /// `8 pi / V exp(-k^2 / 4 alpha^2) / k^2` at `l` steps from the middle of a row; 0 outside of
    /// the half sphere.
    fn weight(&self, row: &Row, l: i64) -> f64 {
        if row.indices == [0; 3] && l <= 0 {
            return 0.0;
        }
        let wave: Vec3 = std::array::from_fn(|x| row.middle[x] + l as f64 * self.step[x]);
        let squared = dot(&wave, &wave);
        if squared > self.k_cut * self.k_cut {
            return 0.0;
        }
        self.prefactor * (-squared / (4.0 * self.alpha * self.alpha)).exp() / squared
    }

    /// Largest absolute multiple of each reciprocal vector that a phase is needed for.
    fn largest_indices(&self) -> [usize; 3] {
        let mut largest = [0; 3];
        for row in &self.rows {
            for (most, index) in largest.iter_mut().zip(row.indices) {
                *most = index.unsigned_abs().max(*most);
            }
            largest[2] = largest[2].max(row.reach.unsigned_abs());
        }
        largest.map(|index| index as usize)
    }
}

/// A complex number for each site, in groups of lanes.
#[derive(Debug, Clone, Default)]
struct SiteComplex {
    re: Vec<[f64; LANES]>,
    im: Vec<[f64; LANES]>,
}

impl SiteComplex {
    fn constant(re: f64, n: usize) -> Self {
        Self {
            re: vec![[re; LANES]; n],
            im: vec![[0.0; LANES]; n],
        }
    }

    /// Site by site product with `other`, or with its conjugate.
    fn times(&self, other: &Self, conjugate: bool) -> Self {
        let sign = if conjugate { -1.0 } else { 1.0 };
        let mut product = Self::constant(0.0, self.re.len());
        let values = self
            .re
            .iter()
            .zip(&self.im)
            .zip(other.re.iter().zip(&other.im));
        for ((re, im), ((a, b), (c, d))) in product.re.iter_mut().zip(&mut product.im).zip(values) {
            for x in 0..LANES {
                re[x] = a[x] * c[x] - sign * b[x] * d[x];
                im[x] = b[x] * c[x] + sign * a[x] * d[x];
            }
        }
        product
    }

    /// Site by site product with real numbers.
    fn scaled(&self, factors: &[[f64; LANES]]) -> Self {
        let scale = |values: &[[f64; LANES]]| {
            let pairs = values.iter().zip(factors);
            pairs
                .map(|(value, factor)| std::array::from_fn(|x| value[x] * factor[x]))
                .collect()
        };
        Self {
            re: scale(&self.re),
            im: scale(&self.im),
        }
    }
}

/// Phases `exp(2 pi i n x)` of all sites for one lattice direction, `n` from 0 up.
#[derive(Debug)]
struct PhaseTable(Vec<SiteComplex>);

impl PhaseTable {
    fn new(fractions: impl Iterator<Item = f64>, n_groups: usize, largest: usize) -> Self {
        let mut first = SiteComplex::constant(1.0, n_groups);
        let slots = first
            .re
            .as_flattened_mut()
            .iter_mut()
            .zip(first.im.as_flattened_mut());
        for ((re, im), x) in slots.zip(fractions) {
            (*im, *re) = (2.0 * PI * (x - x.round())).sin_cos();
        }
        let mut phases = vec![SiteComplex::constant(1.0, n_groups)];
        for n in 0..largest {
            phases.push(phases[n].times(&first, false));
        }
        Self(phases)
    }

    /// Phases for the multiple `n`, as a table entry and whether to conjugate it.
    fn get(&self, n: i64) -> (&SiteComplex, bool) {
        (&self.0[n.unsigned_abs() as usize], n < 0)
    }
}

/// Potentials at the targets from some rows.
struct PartialSum {
    potentials: Vec<[f64; LANES]>,
    magnitude: f64,
}

/// Charges and phases of all sites.
struct Sites {
    charges: Vec<[f64; LANES]>,
    /// Groups of lanes that hold targets.
    target_groups: usize,
    tables: [PhaseTable; 3],
}

impl Sites {
    fn new(sources: &Charges, waves: &Waves) -> Self {
        let n_groups = sources.charges.len().div_ceil(LANES);
        // The padding has no charge, and adds nothing.
        let mut charges = vec![[0.0; LANES]; n_groups];
        charges.as_flattened_mut()[..sources.charges.len()].copy_from_slice(&sources.charges);
        let largest = waves.largest_indices();
        let tables = std::array::from_fn(|x| {
            let fractions = sources.frac_coords.iter().map(|frac| frac[waves.axes[x]]);
            PhaseTable::new(fractions, n_groups, largest[x])
        });
        Self {
            charges,
            target_groups: sources.n_targets.div_ceil(LANES),
            tables,
        }
    }

    /// Adds up the potentials that some rows of waves make.
    fn sum_rows(&self, waves: &Waves, rows: &[Row]) -> PartialSum {
        let mut sum = PartialSum {
            potentials: vec![[0.0; LANES]; self.target_groups],
            magnitude: 0.0,
        };
        let mut factors = Vec::new();
        for row in rows {
            let phases = self.phases(row);
            let amplitudes = phases.scaled(&self.charges);
            factors.clear();
            for l in 0..=row.reach {
                let weights = [
                    waves.weight(row, l),
                    if l == 0 { 0.0 } else { waves.weight(row, -l) },
                ];
                let (plus, minus) = structure_factors(&amplitudes, &self.tables[2].0[l as usize]);
                let plus = plus.map(|x| weights[0] * x);
                let minus = minus.map(|x| weights[1] * x);
                sum.magnitude += plus[0].hypot(plus[1]) + minus[0].hypot(minus[1]);
                factors.push([
                    plus[0] + minus[0],
                    plus[1] - minus[1],
                    plus[0] - minus[0],
                    plus[1] + minus[1],
                ]);
            }
            self.add_potentials(&phases, &factors, &mut sum.potentials);
        }
        sum
    }

    /// `exp(i k_0 r)` of all sites for the middle `k_0` of a row.
    fn phases(&self, row: &Row) -> SiteComplex {
        let [h, k, middle] = row.indices;
        let (across, conjugate) = self.tables[1].get(k);
        let phases = self.tables[0].get(h).0.times(across, conjugate);
        if middle == 0 {
            return phases;
        }
        let (along, conjugate) = self.tables[2].get(middle);
        phases.times(along, conjugate)
    }

    /// Adds `Re(conj(S) exp(i k r))` over a row; `factors` are the sums and differences of the
    /// weighted structure factors at `+l` and `-l`.
    fn add_potentials(
        &self,
        phases: &SiteComplex,
        factors: &[[f64; 4]],
        potentials: &mut [[f64; LANES]],
    ) {
        for (group, potential) in potentials.iter_mut().enumerate() {
            let mut re = [0.0; LANES];
            let mut im = [0.0; LANES];
            for ([re_sum, im_diff, re_diff, im_sum], along) in factors.iter().zip(&self.tables[2].0)
            {
                let (c, s) = (&along.re[group], &along.im[group]);
                for x in 0..LANES {
                    re[x] += re_sum * c[x] + im_diff * s[x];
                    im[x] += re_diff * s[x] - im_sum * c[x];
                }
            }
            let (c, s) = (&phases.re[group], &phases.im[group]);
            for x in 0..LANES {
                potential[x] += c[x] * re[x] - s[x] * im[x];
            }
        }
    }
}

/// Sums of `amplitude * along` and `amplitude * conj(along)` over the sites, as [re, im].
fn structure_factors(amplitudes: &SiteComplex, along: &SiteComplex) -> ([f64; 2], [f64; 2]) {
    let mut sums = [[0.0; LANES]; 4];
    let values = amplitudes
        .re
        .iter()
        .zip(&amplitudes.im)
        .zip(along.re.iter().zip(&along.im));
    for ((a, b), (c, s)) in values {
        for x in 0..LANES {
            sums[0][x] += a[x] * c[x];
            sums[1][x] += b[x] * s[x];
            sums[2][x] += b[x] * c[x];
            sums[3][x] += a[x] * s[x];
        }
    }
    let [ac, bs, bc, as_] = sums.map(|lanes| lanes.iter().sum::<f64>());
    ([ac - bs, bc + as_], [ac + bs, bc - as_])
}
