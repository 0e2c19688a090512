//! Atoms of one crystal in rows that searches run along.

use std::ops::Range;

use super::labels::Label;
use super::rows::{RowShape, SLACK};
use super::scan::LANES;
use super::search::MOST_MEMBERS;
use crate::batch::{Crystal, map_sites};
use crate::lattice::{Lattice, Vec3, row_times};
use crate::simd::{self, Level};

/// Atoms in a row right through the sphere of a search, at the width of rows that was found to be
/// the fastest: narrower rows are more of them, wider ones hold more that is out of reach.
const ATOMS_PER_RUN: f64 = 24.0;

/// Length of a row, in cutoffs, that sites are searched around together along: in a longer one they
/// have less in common.
const CLUSTER_LENGTH: f64 = 0.9;

/// One neighbour of a site.
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

/// Atoms in the order in which searches run over them, row after row, and [`LANES`] to spare.
#[derive(Debug, Default)]
pub struct Atoms {
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    pub z: Vec<f64>,
    pub labels: Vec<Label>,
}

/// Where a site is itself.
#[derive(Debug, Clone, Copy)]
pub struct Home {
    pub coords: Vec3,
    /// In units of bins.
    pub place: Vec3,
    /// Whole lattice vectors that wrapping took off, as a label for the site of number 0.
    pub wrap: Label,
    /// Its slot among the atoms.
    pub slot: u32,
}

/// Atoms of one crystal, sorted so that those within a cutoff of a site are found quickly.
///
/// The (reduced and wrapped) cell is cut into bins along its vectors. A row of bins along the third
/// vector goes on, through images of the cell, as far as any search may reach, so that what a search
/// takes of a row is one run of atoms that lie next to each other in memory. Along the other
/// vectors it is the searching site that is moved. Of each row only the bins that the cutoff's
/// sphere can touch are run through. Sites that are in groups are lined up in rows of their own, so
/// that the neighbours in one group are found without a look at the others.
#[derive(Debug)]
pub struct NeighborGrid {
    pub(super) level: Level,
    pub(super) cutoff: f64,
    pub(super) periodic: [bool; 3],
    /// Groups of sites, at least one.
    pub(super) n_groups: usize,
    /// Columns of bins in the cell, as seen along the rows: so many rows has each group.
    pub(super) n_columns: [i64; 2],
    /// Bins of a row, images included.
    pub(super) n_layers: i64,
    /// Bins of a row that come before the cell.
    pub(super) n_below: i64,
    pub(super) rows: RowShape,
    pub(super) atoms: Atoms,
    /// First slot of each bin, row after row and group after group, and the number of atoms.
    pub(super) starts: Vec<u32>,
    /// Sites bin after bin, and where each is in that order: its rank.
    pub(super) order: Vec<u32>,
    pub(super) ranks: Vec<u32>,
    /// By rank.
    pub(super) homes: Vec<Home>,
    /// First rank of each row, and the number of sites.
    columns: Vec<u32>,
    /// Farthest image of the cell along the first two vectors, either way.
    pub(super) reach: [i64; 2],
    /// Translations along the first two vectors up to there, those along the second next to each
    /// other: in angstrom,
    pub(super) offsets: Vec<Vec3>,
    /// and in whole lattice vectors, as labels for the site of number 0.
    pub(super) image_labels: Vec<Label>,
}

impl NeighborGrid {
    /// Sorts the sites of a crystal for searches within `cutoff` (angstrom, positive).
    pub fn new(crystal: &Crystal<'_>, cutoff: f64) -> Self {
        Self::with_level(crystal, cutoff, simd::level())
    }

    /// The same with the instructions of a level, which must be supported.
    pub fn with_level(crystal: &Crystal<'_>, cutoff: f64, level: Level) -> Self {
        let together = vec![0; crystal.n_sites()];
        Self::grouped(crystal, cutoff, level, &together)
    }

    /// The same with sites in groups: (n_sites,) the number of each one's, from 0 without gaps.
    pub fn grouped(crystal: &Crystal<'_>, cutoff: f64, level: Level, groups: &[u8]) -> Self {
        assert!(level.is_supported());
        assert_eq!(groups.len(), crystal.n_sites());
        let n_groups = groups.iter().max().map_or(1, |&last| usize::from(last) + 1);
        // Sites of a group, on average.
        let n = crystal.n_sites() as f64 / n_groups as f64;
        let periodic = crystal.pbc;
        let (basis, steps) = crystal.lattice.reduced(periodic);
        let spacings = basis.plane_spacings();
        let mut homes: Vec<Home> = map_sites(crystal.n_sites(), crystal.is_large(), |site| {
            wrapped(crystal, &basis, &steps, &crystal.frac_coords[site])
        });
        // Start and extent, in units of the basis, of what the bins cover: the cell where it is
        // periodic, the span of the atoms where it is not.
        let (mut start, mut extent) = ([0.0; 3], [1.0; 3]);
        for k in (0..3).filter(|&k| !periodic[k]) {
            let along = || homes.iter().map(|home| home.place[k]);
            start[k] = along().fold(f64::INFINITY, f64::min);
            extent[k] = (along().fold(f64::NEG_INFINITY, f64::max) - start[k]).max(1e-9);
        }

        let lengths: Vec3 = std::array::from_fn(|k| spacings[k] * extent[k]);
        // Atoms in a plane or on a line are not dense: a search sees the space around them.
        let seen: Vec3 = std::array::from_fn(|k| {
            if periodic[k] {
                1.0
            } else {
                extent[k].max(cutoff)
            }
        });
        let volume = basis.volume() * seen.iter().product::<f64>();
        let width = (ATOMS_PER_RUN * volume / (n * 2.0 * cutoff)).sqrt();
        // Not many more bins than atoms.
        let wanted = [0, 1].map(|k| (lengths[k] / width).clamp(1.0, n.max(1.0)));
        let excess = (wanted[0] * wanted[1] / n).max(1.0).sqrt();
        let n_columns = wanted.map(|count| (count / excess).max(1.0) as i64);
        let n_home = ((n / (n_columns[0] * n_columns[1]) as f64) as i64).max(1);
        let n_bins = [n_columns[0], n_columns[1], n_home];

        let share: Vec3 = std::array::from_fn(|k| extent[k] / n_bins[k] as f64);
        let edges = std::array::from_fn(|k| basis.rows()[k].map(|x| x * share[k]));
        let rows = RowShape::new(&edges, std::array::from_fn(|k| spacings[k] * share[k]));
        for home in &mut homes {
            home.place = std::array::from_fn(|k| (home.place[k] - start[k]) / share[k]);
        }
        let bins = |k: usize| cutoff / rows.widths[k] + SLACK + 1.0;
        let n_below = if periodic[2] { bins(2) as i64 + 1 } else { 0 };
        let reach = [0, 1].map(|k| {
            if periodic[k] {
                (bins(k) / n_bins[k] as f64) as i64 + 1
            } else {
                0
            }
        });
        let n_images = ((2 * reach[0] + 1) * (2 * reach[1] + 1)) as usize;
        let mut offsets = Vec::with_capacity(n_images);
        let mut image_labels = Vec::with_capacity(n_images);
        for x in -reach[0]..=reach[0] {
            for y in -reach[1]..=reach[1] {
                let (x, y) = (x as i32, y as i32);
                offsets.push(row_times(&[f64::from(x), f64::from(y), 0.0], basis.rows()));
                image_labels.push(label(0, |k| x * steps[0][k] + y * steps[1][k]));
            }
        }
        let mut grid = Self {
            level,
            cutoff,
            periodic,
            n_groups,
            n_columns,
            n_layers: n_home + 2 * n_below,
            n_below,
            rows,
            atoms: Atoms::default(),
            starts: Vec::new(),
            order: Vec::new(),
            ranks: Vec::new(),
            homes,
            columns: Vec::new(),
            reach,
            offsets,
            image_labels,
        };
        grid.fill_rows(groups, n_home, &basis.rows()[2], &steps[2]);
        grid
    }

    /// Lines up the atoms, row after row, each through all its images; `vector` and `step` lead
    /// from one image to the next.
    fn fill_rows(&mut self, groups: &[u8], n_home: i64, vector: &Vec3, step: &[i32; 3]) {
        let n_rows = self.n_groups as i64 * self.n_columns[0] * self.n_columns[1];
        let n_bins = [self.n_columns[0], self.n_columns[1], n_home];
        let bin_of = |(home, &group): (&Home, &u8)| {
            let [x, y, z]: [i64; 3] =
                std::array::from_fn(|k| (home.place[k] as i64).clamp(0, n_bins[k] - 1));
            (((i64::from(group) * n_bins[0] + x) * n_bins[1] + y) * n_bins[2] + z) as u32
        };
        let bins: Vec<u32> = self.homes.iter().zip(groups).map(bin_of).collect();
        let mut home_starts = vec![0u32; (n_rows * n_home) as usize + 1];
        for &bin in &bins {
            home_starts[bin as usize + 1] += 1;
        }
        for b in 1..home_starts.len() {
            home_starts[b] += home_starts[b - 1];
        }
        let mut next = home_starts.clone();
        self.order = vec![0; self.homes.len()];
        self.ranks = (bins.into_iter().enumerate())
            .map(|(site, bin)| {
                let next = &mut next[bin as usize];
                let rank = *next;
                self.order[rank as usize] = site as u32;
                *next += 1;
                rank
            })
            .collect();
        let in_order = self.order.iter().map(|&site| self.homes[site as usize]);
        self.homes = in_order.collect();

        let n_images = (self.n_layers as usize).div_ceil(n_home as usize) + 1;
        let most = self.homes.len() * n_images + LANES;
        let atoms = &mut self.atoms;
        for list in [&mut atoms.x, &mut atoms.y, &mut atoms.z] {
            list.reserve_exact(most);
        }
        atoms.labels.reserve_exact(most);
        self.starts
            .reserve_exact((n_rows * self.n_layers) as usize + 1);
        let end = self.n_layers - self.n_below;
        for row in 0..n_rows {
            // What there is of the row in one image after another.
            let mut layer = -self.n_below;
            while layer < end {
                let image = layer.div_euclid(n_home);
                let first = layer - image * n_home;
                let n_taken = (n_home - first).min(end - layer);
                let first = (row * n_home + first) as usize;
                let starts = &home_starts[first..=first + n_taken as usize];
                let ranks = starts[0] as usize..starts[n_taken as usize] as usize;
                let n_before = atoms.labels.len() as u32;
                let to_slot = |&rank: &u32| n_before + (rank - starts[0]);
                self.starts
                    .extend(starts[..n_taken as usize].iter().map(to_slot));
                let homes = &mut self.homes[ranks.clone()];
                if image == 0 {
                    for (home, slot) in homes.iter_mut().zip(n_before..) {
                        home.slot = slot;
                    }
                }
                let offset = vector.map(|x| image as f64 * x);
                let shift = step.map(|x| image as i32 * x);
                for (k, list) in [&mut atoms.x, &mut atoms.y, &mut atoms.z]
                    .into_iter()
                    .enumerate()
                {
                    list.extend(homes.iter().map(|home| home.coords[k] + offset[k]));
                }
                let own = homes.iter().zip(&self.order[ranks]);
                atoms.labels.extend(
                    own.map(|(home, &site)| label(site as usize, |k| shift[k] - home.wrap[k])),
                );
                layer += n_taken;
            }
        }
        let n = atoms.labels.len();
        let rows = home_starts.into_iter().step_by(n_home as usize);
        self.columns = rows.collect();
        self.starts.push(n as u32);
        for list in [&mut atoms.x, &mut atoms.y, &mut atoms.z] {
            list.resize(n + LANES, 0.0);
        }
    }

    /// All sites in the order in which they are best searched around: one after another, they find
    /// much the same atoms, which are at hand then.
    pub fn order(&self) -> impl Iterator<Item = usize> {
        self.order.iter().map(|&site| site as usize)
    }

    /// Ranges of that order, which together are all of it, of sites that are next to each other in a
    /// row (so of one group) and find much the same atoms: [`MOST_MEMBERS`] at most.
    pub fn clusters(&self) -> Vec<Range<usize>> {
        let most = (CLUSTER_LENGTH * self.cutoff * self.rows.per_step).max(1.0);
        let mut clusters = Vec::with_capacity(2 * self.order.len() / MOST_MEMBERS + 1);
        for column in self.columns.windows(2) {
            let (mut start, last) = (column[0] as usize, column[1] as usize);
            while start < last {
                let members = &self.homes[start..last.min(start + MOST_MEMBERS)];
                let high = members[0].place[2] + most;
                let n = members.iter().take_while(|home| home.place[2] <= high);
                let end = start + n.count().max(1);
                clusters.push(start..end);
                start = end;
            }
        }
        clusters
    }

    /// Parts of [`Self::clusters`] that hold all sites that are wanted and no others.
    pub fn clusters_of(&self, is_wanted: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
        let wanted: Vec<bool> = self.order().map(is_wanted).collect();
        let mut parts = Vec::new();
        for cluster in self.clusters() {
            let mut start = cluster.start;
            for part in wanted[cluster].chunk_by(|one, other| one == other) {
                if part[0] {
                    parts.push(start..start + part.len());
                }
                start += part.len();
            }
        }
        parts
    }

    /// The value of each site at each of its slots.
    pub fn by_slot<T>(&self, value: impl Fn(usize) -> T) -> Vec<T> {
        let labels = self.atoms.labels.iter();
        labels.map(|label| value(label[3] as usize)).collect()
    }
}

/// The label of a site and a lattice translation.
fn label(site: usize, shift: impl Fn(usize) -> i32) -> Label {
    [shift(0), shift(1), shift(2), site as i32]
}

/// A site moved into the cell of the basis where it is periodic; its place is in units of the
/// basis, its slot not yet known.
fn wrapped(crystal: &Crystal<'_>, basis: &Lattice, steps: &[[i32; 3]; 3], frac: &Vec3) -> Home {
    let mut frac = *frac;
    let mut wrap = [0; 4];
    for k in (0..3).filter(|&k| crystal.pbc[k]) {
        let floor = frac[k].floor();
        frac[k] -= floor;
        wrap[k] = floor as i32;
    }
    let mut coords = crystal.lattice.to_cart(&frac);
    let mut place = basis.to_frac(&coords);
    for k in (0..3).filter(|&k| crystal.pbc[k]) {
        let floor = place[k].floor();
        if floor != 0.0 {
            place[k] -= floor;
            for l in 0..3 {
                coords[l] -= floor * basis.rows()[k][l];
                wrap[l] += floor as i32 * steps[k][l];
            }
        }
    }
    Home {
        coords,
        place,
        wrap,
        slot: 0,
    }
}
