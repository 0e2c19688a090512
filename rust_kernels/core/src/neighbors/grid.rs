//! Atoms of one crystal in rows that searches run along.

use std::ops::Range;
use std::{iter, mem};

use rayon::prelude::*;

use super::labels::Label;
use super::rows::{RowShape, SLACK};
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

/// Fewest clusters that a thread takes at a time.
const LEAST_CLUSTERS: usize = 8;

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

/// Atoms in the order in which searches run over them, row after row, and [`super::LANES`] to
/// spare.
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
    /// Whether the work on all sites is split among threads.
    pub(super) parallel: bool,
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
    pub(super) columns: Vec<u32>,
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

    /// The same by the calling thread alone, which may hold a lock meanwhile: while it waits for others
    /// of its pool, a thread takes up other work of theirs, which might wait for that lock.
    pub fn on_one_thread(crystal: &Crystal<'_>, cutoff: f64) -> Self {
        let together = vec![0; crystal.n_sites()];
        Self::sorted(crystal, cutoff, simd::level(), &together, false)
    }

    /// The same with sites in groups: (n_sites,) the number of each one's, from 0 without gaps.
    pub fn grouped(crystal: &Crystal<'_>, cutoff: f64, level: Level, groups: &[u8]) -> Self {
        Self::sorted(crystal, cutoff, level, groups, crystal.is_large())
    }

    fn sorted(
        crystal: &Crystal<'_>,
        cutoff: f64,
        level: Level,
        groups: &[u8],
        parallel: bool,
    ) -> Self {
        assert!(level.is_supported());
        assert_eq!(groups.len(), crystal.n_sites());
        let n_groups = groups.iter().max().map_or(1, |&last| usize::from(last) + 1);
        // Sites of a group, on average.
        let n = crystal.n_sites() as f64 / n_groups as f64;
        let periodic = crystal.pbc;
        let (basis, steps) = crystal.lattice.reduced(periodic);
        let spacings = basis.plane_spacings();
        let mut homes: Vec<Home> = map_sites(crystal.n_sites(), parallel, |site| {
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
        let bin = |(home, &group): (&mut Home, &u8)| {
            home.place = std::array::from_fn(|k| (home.place[k] - start[k]) / share[k]);
            let [x, y, z]: [i64; 3] =
                std::array::from_fn(|k| (home.place[k] as i64).clamp(0, n_bins[k] - 1));
            (((i64::from(group) * n_bins[0] + x) * n_bins[1] + y) * n_bins[2] + z) as u32
        };
        let bins: Vec<u32> = if parallel {
            homes.par_iter_mut().zip(groups).map(bin).collect()
        } else {
            homes.iter_mut().zip(groups).map(bin).collect()
        };
        let reached = |k: usize| cutoff / rows.widths[k] + SLACK + 1.0;
        let n_below = if periodic[2] {
            reached(2) as i64 + 1
        } else {
            0
        };
        let reach = [0, 1].map(|k| {
            if periodic[k] {
                (reached(k) / n_bins[k] as f64) as i64 + 1
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
            parallel,
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
        grid.fill_rows(&bins, n_home as usize, &basis.rows()[2], &steps[2]);
        grid
    }

    /// All sites in the order in which they are best searched around: one after another, they find
    /// much the same atoms, which are at hand then.
    pub fn order(&self) -> impl Iterator<Item = usize> {
        self.order.iter().map(|&site| site as usize)
    }

    /// The place of a site in that order.
    #[inline]
    pub fn rank(&self, site: usize) -> usize {
        self.ranks[site] as usize
    }

    /// Ranges of that order, which together are all of it, of sites that are next to each other in a
    /// row (so of one group) and find much the same atoms: [`MOST_MEMBERS`] at most.
    pub fn clusters(&self) -> Vec<Range<usize>> {
        let most = (CLUSTER_LENGTH * self.cutoff * self.rows.per_step).max(1.0);
        let of_row = |row: &[u32]| self.clusters_of_row(row[0] as usize..row[1] as usize, most);
        if self.parallel {
            self.columns.par_windows(2).flat_map_iter(of_row).collect()
        } else {
            let mut clusters = Vec::with_capacity(2 * self.order.len() / MOST_MEMBERS + 1);
            clusters.extend(self.columns.windows(2).flat_map(of_row));
            clusters
        }
    }

    /// Those of one row, `most` bins long.
    fn clusters_of_row(&self, row: Range<usize>, most: f64) -> impl Iterator<Item = Range<usize>> {
        let mut start = row.start;
        iter::from_fn(move || {
            let members = &self.homes[start..row.end.min(start + MOST_MEMBERS)];
            let high = members.first()?.place[2] + most;
            let n = members.iter().take_while(|home| home.place[2] <= high);
            let cluster = start..start + n.count().max(1);
            start = cluster.end;
            Some(cluster)
        })
    }

    /// Parts of [`Self::clusters`] that hold all sites that are wanted and no others.
    pub fn clusters_of(
        &self,
        is_wanted: impl Fn(usize) -> bool + Sync + Send,
    ) -> Vec<Range<usize>> {
        let wanted = map_sites(self.order.len(), self.parallel, |rank| {
            is_wanted(self.order[rank] as usize)
        });
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
    pub fn by_slot<T: Send>(&self, value: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
        let labels = &self.atoms.labels;
        map_sites(labels.len(), self.parallel, |slot| {
            value(labels[slot][3] as usize)
        })
    }

    /// Fills a list of values by rank, of which `work` gets those of each of some of [`Self::clusters`]
    /// or their parts.
    pub fn for_clusters<T: Send>(
        &self,
        clusters: &[Range<usize>],
        mut by_rank: &mut [T],
        work: impl Fn(Range<usize>, &mut [T]) + Sync + Send,
    ) {
        let mut start = 0;
        let jobs = clusters.iter().map(|cluster| {
            let (_, rest) = mem::take(&mut by_rank).split_at_mut(cluster.start - start);
            let (own, rest) = rest.split_at_mut(cluster.len());
            (by_rank, start) = (rest, cluster.end);
            (cluster.clone(), own)
        });
        if self.parallel {
            let jobs: Vec<_> = jobs.collect();
            let jobs = jobs.into_par_iter().with_min_len(LEAST_CLUSTERS);
            jobs.for_each(|(cluster, own)| work(cluster, own));
        } else {
            jobs.for_each(|(cluster, own)| work(cluster, own));
        }
    }
}

/// The label of a site and a lattice translation.
pub(super) fn label(site: usize, shift: impl Fn(usize) -> i32) -> Label {
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
