//! Periodic neighbours within a cutoff, by cell lists that work in any lattice.
//!
//! Convention: `r_ij = r_j - r_i + shift @ lattice`, distances strictly below the cutoff, images
//! of an atom with itself included, the pair of an atom with itself at shift zero not.

use std::f64::consts::PI;
use std::ops::{Range, RangeInclusive};

use crate::batch::{Crystal, CrystalBatch, map_sites};
use crate::error::{BatchError, CrystalError};
use crate::lattice::{Vec3, dot, norm, row_times, sub};

/// Most pairs of one crystal that are listed or summed over (28 bytes a pair: 14 GB as a list).
const MAX_PAIRS: f64 = 5e8;

/// Bins are at least this fraction of the cutoff thick.
const BINS_PER_CUTOFF: f64 = 4.0;

/// What rounding may do to the place of an atom, in angstrom or bins.
const SLACK: f64 = 1e-6;

/// One neighbour of a site, as the grid hands it to its visitor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    /// Site of the neighbour within the crystal.
    pub site: usize,
    /// Lattice translation of the neighbour, for the coordinates as given (not wrapped).
    pub shift: [i32; 3],
    /// Vector from the site to the neighbour, in angstrom.
    pub vector: Vec3,
    /// Its length.
    pub distance: f64,
}

/// Atoms of one crystal sorted into bins of its (wrapped) cell.
///
/// The bins are parallelepipeds along the lattice vectors. A search walks over rows of bins along
/// the third vector, through as many images of the cell as the cutoff reaches, and takes of each
/// row only the run of bins that the cutoff's sphere can touch: a skewed or thin cell costs little
/// more than the sphere's volume.
#[derive(Debug)]
pub struct NeighborGrid {
    cutoff: f64,
    lattice: [Vec3; 3],
    periodic: [bool; 3],
    n_bins: [i64; 3],
    rows: RowShape,
    /// (n_bins + 1,) first entry of each bin in `sorted`.
    bin_starts: Vec<usize>,
    /// Sites by bin.
    sorted: Vec<usize>,
    /// Wrapped cartesian coordinates in the order of `sorted`.
    sorted_coords: Vec<Vec3>,
    /// Wrapped cartesian coordinates by site.
    coords: Vec<Vec3>,
    /// Whole lattice vectors that wrapping took off each site.
    wraps: Vec<[i32; 3]>,
    /// Place of each site in units of bins.
    places: Vec<Vec3>,
}

/// The row of bins along the third lattice vector, as seen along and across that vector.
#[derive(Debug)]
struct RowShape {
    /// Distances between the faces of a bin, in angstrom.
    widths: Vec3,
    /// Parts of the first two edges of a bin across the row.
    across: [Vec3; 2],
    /// Parts of the first two edges of a bin along the row.
    along: [f64; 2],
    /// Length of a bin along the row.
    step: f64,
    /// No point of a row is farther from its axis than this.
    radius: f64,
    /// No point of a bin is farther from its centre than this, along the row.
    half_length: f64,
}

impl RowShape {
    fn new(edges: &[Vec3; 3], widths: Vec3) -> Self {
        let step = norm(&edges[2]);
        let axis = edges[2].map(|x| x / step);
        let along = [dot(&edges[0], &axis), dot(&edges[1], &axis)];
        let across: [Vec3; 2] =
            std::array::from_fn(|e| std::array::from_fn(|k| edges[e][k] - along[e] * axis[k]));
        let diagonal = |sign: f64| -> f64 {
            norm(&std::array::from_fn(|k| across[0][k] + sign * across[1][k]))
        };
        Self {
            widths,
            across,
            along,
            step,
            radius: 0.5 * diagonal(1.0).max(diagonal(-1.0)) + SLACK,
            half_length: 0.5 * (along[0].abs() + along[1].abs() + step) + SLACK,
        }
    }

    /// Run of bins, counted from where the row's centre is level with a point, that a sphere
    /// around the point can touch; the row's axis is `x`, `y` edges of bins away from the point.
    fn run(&self, x: f64, y: f64, cutoff: f64) -> Option<(f64, f64)> {
        let axis: Vec3 = std::array::from_fn(|k| x * self.across[0][k] + y * self.across[1][k]);
        let gap = (norm(&axis) - self.radius).max(0.0);
        if gap > cutoff {
            return None;
        }
        let reach = (cutoff * cutoff - gap * gap).sqrt() + self.half_length;
        let level = x * self.along[0] + y * self.along[1];
        Some(((-reach - level) / self.step, (reach - level) / self.step))
    }
}

impl NeighborGrid {
    /// Sorts the sites of a crystal for searches within `cutoff` (angstrom, positive).
    pub fn new(crystal: &Crystal<'_>, cutoff: f64) -> Self {
        let n = crystal.n_sites();
        let spacings = crystal.lattice.plane_spacings();
        let mut fracs = crystal.frac_coords.to_vec();
        let mut wraps = vec![[0i32; 3]; n];
        // Start and extent, in fractional units, of what the bins cover: the cell where it is
        // periodic, the span of the atoms where it is not.
        let mut start = [0.0; 3];
        let mut extent = [1.0; 3];
        for k in 0..3 {
            if crystal.pbc[k] {
                for (frac, wrap) in fracs.iter_mut().zip(&mut wraps) {
                    let floor = frac[k].floor();
                    frac[k] -= floor;
                    wrap[k] = floor as i32;
                    // -1e-17 - floor(-1e-17) rounds to 1.0, the far face of the cell.
                    if frac[k] >= 1.0 {
                        frac[k] = 0.0;
                        wrap[k] += 1;
                    }
                }
            } else {
                (start[k], extent[k]) = span(crystal, k);
            }
        }
        // Not many more bins than atoms, nor so thin that a search would walk over many of them.
        let wanted: [f64; 3] = std::array::from_fn(|k| {
            let most = spacings[k] * extent[k] / cutoff * BINS_PER_CUTOFF;
            most.floor().clamp(1.0, n as f64)
        });
        let excess = (wanted.iter().product::<f64>() / n as f64).max(1.0).cbrt();
        let n_bins: [i64; 3] = std::array::from_fn(|k| (wanted[k] / excess).max(1.0) as i64);
        let share: Vec3 = std::array::from_fn(|k| extent[k] / n_bins[k] as f64);
        let lattice = *crystal.lattice.rows();
        let edges = std::array::from_fn(|k| lattice[k].map(|x| x * share[k]));
        let rows = RowShape::new(&edges, std::array::from_fn(|k| spacings[k] * share[k]));
        let places: Vec<Vec3> = fracs
            .iter()
            .map(|frac| std::array::from_fn(|k| (frac[k] - start[k]) / share[k]))
            .collect();

        let bins: Vec<usize> = places
            .iter()
            .map(|place| {
                let bin: [i64; 3] =
                    std::array::from_fn(|k| (place[k] as i64).clamp(0, n_bins[k] - 1));
                ((bin[0] * n_bins[1] + bin[1]) * n_bins[2] + bin[2]) as usize
            })
            .collect();
        let mut bin_starts = vec![0usize; n_bins.iter().product::<i64>() as usize + 1];
        for bin in &bins {
            bin_starts[bin + 1] += 1;
        }
        for b in 1..bin_starts.len() {
            bin_starts[b] += bin_starts[b - 1];
        }
        let mut next = bin_starts.clone();
        let mut sorted = vec![0usize; n];
        for (site, bin) in bins.iter().enumerate() {
            sorted[next[*bin]] = site;
            next[*bin] += 1;
        }
        let coords: Vec<Vec3> = fracs.iter().map(|f| crystal.lattice.to_cart(f)).collect();
        let sorted_coords = sorted.iter().map(|&site| coords[site]).collect();
        Self {
            cutoff,
            lattice,
            periodic: crystal.pbc,
            n_bins,
            rows,
            bin_starts,
            sorted,
            sorted_coords,
            coords,
            wraps,
            places,
        }
    }

    /// Calls `visit` for each neighbour of `site`, in an order that depends on the crystal alone.
    pub fn for_each(&self, site: usize, mut visit: impl FnMut(Neighbor)) {
        let origin = self.coords[site];
        let wrap = self.wraps[site];
        let cutoff_squared = self.cutoff * self.cutoff;
        self.for_each_run(&self.places[site], |slots, image| {
            let offset = row_times(&image.map(f64::from), &self.lattice);
            let origin = sub(&origin, &offset);
            for slot in slots {
                let vector = sub(&self.sorted_coords[slot], &origin);
                let squared = dot(&vector, &vector);
                if squared >= cutoff_squared {
                    continue;
                }
                let other = self.sorted[slot];
                if other == site && image == [0; 3] {
                    continue;
                }
                let shift = std::array::from_fn(|k| image[k] - self.wraps[other][k] + wrap[k]);
                visit(Neighbor {
                    site: other,
                    shift,
                    vector,
                    distance: squared.sqrt(),
                });
            }
        });
    }

    /// Calls `visit` with each run of `sorted` that holds neighbours of a place, and the cell
    /// translation that the run stands for.
    fn for_each_run(&self, place: &Vec3, mut visit: impl FnMut(Range<usize>, [i32; 3])) {
        let [nx, ny, nz] = self.n_bins;
        let reach = |k: usize| self.cutoff / self.rows.widths[k] + SLACK;
        for bx in self.bins_between(0, place[0] - reach(0) - 1.0, place[0] + reach(0)) {
            let (image_x, in_x) = (bx.div_euclid(nx), bx.rem_euclid(nx));
            for by in self.bins_between(1, place[1] - reach(1) - 1.0, place[1] + reach(1)) {
                let (x, y) = (bx as f64 + 0.5 - place[0], by as f64 + 0.5 - place[1]);
                let Some((low, high)) = self.rows.run(x, y, self.cutoff) else {
                    continue;
                };
                let (image_y, in_y) = (by.div_euclid(ny), by.rem_euclid(ny));
                let row = (in_x * ny + in_y) * nz;
                let level = place[2] - 0.5;
                let run = self.bins_between(2, level + low, level + high);
                let (mut first, last) = (*run.start(), *run.end());
                while first <= last {
                    let image_z = first.div_euclid(nz);
                    let base = row - image_z * nz;
                    let end = last.min((image_z + 1) * nz - 1);
                    let slots = self.bin_starts[(base + first) as usize]
                        ..self.bin_starts[(base + end + 1) as usize];
                    visit(slots, [image_x as i32, image_y as i32, image_z as i32]);
                    first = end + 1;
                }
            }
        }
    }

    /// Whole numbers of bins between two, of those that there are along direction `k`.
    fn bins_between(&self, k: usize, low: f64, high: f64) -> RangeInclusive<i64> {
        let (low, high) = (low.ceil() as i64, high.floor() as i64);
        if self.periodic[k] {
            low..=high
        } else {
            low.max(0)..=high.min(self.n_bins[k] - 1)
        }
    }
}

/// Least fractional coordinate along `k`, and by how much the greatest exceeds it (not quite 0).
fn span(crystal: &Crystal<'_>, k: usize) -> (f64, f64) {
    let along = || crystal.frac_coords.iter().map(|frac| frac[k]);
    let low = along().fold(f64::INFINITY, f64::min);
    let high = along().fold(f64::NEG_INFINITY, f64::max);
    (low, (high - low).max(1e-9))
}

/// Pairs of one crystal, by site `i`; sites are counted from 0 within the crystal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pairs {
    /// First site of each pair.
    pub i: Vec<usize>,
    /// Second site of each pair.
    pub j: Vec<usize>,
    /// Lattice translation of the second site.
    pub shifts: Vec<[i32; 3]>,
    /// Distance in angstrom.
    pub distances: Vec<f64>,
}

impl Pairs {
    fn with_capacity(n: usize) -> Self {
        Self {
            i: Vec::with_capacity(n),
            j: Vec::with_capacity(n),
            shifts: Vec::with_capacity(n),
            distances: Vec::with_capacity(n),
        }
    }

    fn push(&mut self, i: usize, neighbor: &Neighbor) {
        self.i.push(i);
        self.j.push(neighbor.site);
        self.shifts.push(neighbor.shift);
        self.distances.push(neighbor.distance);
    }
}

/// Full neighbour list of each crystal.
pub fn neighbor_list(
    batch: &CrystalBatch<'_>,
    cutoff: f64,
) -> Result<Vec<Result<Pairs, CrystalError>>, BatchError> {
    check_cutoff(cutoff)?;
    Ok(batch.par_map(|_, crystal| {
        let capacity = check_pairs(crystal, cutoff)?;
        Ok(crystal_pairs(crystal, cutoff, capacity))
    }))
}

/// Refuses a cutoff that is not positive and finite.
pub fn check_cutoff(cutoff: f64) -> Result<(), BatchError> {
    if cutoff > 0.0 && cutoff.is_finite() {
        Ok(())
    } else {
        let expected = "a positive number of angstrom";
        Err(BatchError::Parameter {
            parameter: "cutoff",
            found: cutoff,
            expected,
        })
    }
}

/// Refuses a crystal with more pairs than memory and time allow, else says about how many it has.
pub fn check_pairs(crystal: &Crystal<'_>, cutoff: f64) -> Result<usize, CrystalError> {
    let pairs = expected_pairs(crystal, cutoff);
    if pairs > MAX_PAIRS {
        let limit = MAX_PAIRS;
        return Err(CrystalError::TooManyPairs {
            pairs,
            cutoff,
            limit,
        });
    }
    Ok(pairs as usize)
}

/// Pairs within the cutoff at the mean number density of the space that the atoms fill.
///
/// Where the crystal is not periodic, that space is as thick as the atoms lie apart, but no thinner
/// than where a slab of that thickness takes in the whole sphere.
fn expected_pairs(crystal: &Crystal<'_>, cutoff: f64) -> f64 {
    let n = crystal.n_sites() as f64;
    let spacings = crystal.lattice.plane_spacings();
    let mut volume = crystal.lattice.volume();
    for k in (0..3).filter(|&k| !crystal.pbc[k]) {
        volume *= span(crystal, k).1.max(4.0 / 3.0 * cutoff / spacings[k]);
    }
    let pairs = n * n * 4.0 / 3.0 * PI * cutoff.powi(3) / volume;
    if crystal.pbc.contains(&true) {
        pairs
    } else {
        pairs.min(n * n)
    }
}

fn crystal_pairs(crystal: &Crystal<'_>, cutoff: f64, capacity: usize) -> Pairs {
    let grid = NeighborGrid::new(crystal, cutoff);
    let n = crystal.n_sites();
    let mut pairs = Pairs::with_capacity(capacity);
    if crystal.is_large() {
        let rows = map_sites(n, true, |i| {
            let mut row = Vec::new();
            grid.for_each(i, |neighbor| row.push(neighbor));
            row
        });
        for (i, row) in rows.iter().enumerate() {
            row.iter().for_each(|neighbor| pairs.push(i, neighbor));
        }
    } else {
        for i in 0..n {
            grid.for_each(i, |neighbor| pairs.push(i, &neighbor));
        }
    }
    pairs
}
