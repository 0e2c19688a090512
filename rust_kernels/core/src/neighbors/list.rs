//! Lists of pairs: counted first, so that they are written once, where they are to stay.

use std::ops::Range;

use rayon::prelude::*;

use super::grid::Label;
use super::{Block, BlockVisitor, LANES, NeighborGrid, check_cutoff, check_pairs};
use crate::batch::CrystalBatch;
use crate::error::{BatchError, CrystalError};

/// Sites of a large crystal whose pairs are written by one thread at a time.
const SITES_PER_JOB: usize = 256;

/// Full neighbour lists of the crystals of a batch, counted but not yet written.
#[derive(Debug)]
pub struct NeighborLists {
    crystals: Vec<Result<Counted, CrystalError>>,
    n_pairs: usize,
}

#[derive(Debug)]
struct Counted {
    grid: NeighborGrid,
    /// (n_sites,) number of neighbours.
    counts: Vec<usize>,
    /// First site within the batch.
    first_site: i64,
    large: bool,
}

/// Where pairs are written to, sorted by site `i`; sites are counted over the whole batch.
#[derive(Debug)]
pub struct PairSlices<'o> {
    /// First site of each pair.
    pub i: &'o mut [i64],
    /// Second site of each pair.
    pub j: &'o mut [i64],
    /// Lattice translation of the second site.
    pub shifts: &'o mut [[i32; 3]],
    /// Distance in angstrom.
    pub distances: &'o mut [f64],
}

impl<'o> PairSlices<'o> {
    /// Cuts off the first `n` pairs.
    fn take(&mut self, n: usize) -> PairSlices<'o> {
        fn take<'o, T>(rest: &mut &'o mut [T], n: usize) -> &'o mut [T] {
            let (first, others) = std::mem::take(rest).split_at_mut(n);
            *rest = others;
            first
        }
        PairSlices {
            i: take(&mut self.i, n),
            j: take(&mut self.j, n),
            shifts: take(&mut self.shifts, n),
            distances: take(&mut self.distances, n),
        }
    }
}

impl NeighborLists {
    /// Counts the pairs of each crystal that are closer than `cutoff` (angstrom).
    pub fn count(batch: &CrystalBatch<'_>, cutoff: f64) -> Result<Self, BatchError> {
        check_cutoff(cutoff)?;
        let crystals = batch.par_map(|k, crystal| {
            check_pairs(crystal, cutoff)?;
            let grid = NeighborGrid::new(crystal, cutoff);
            let large = crystal.is_large();
            let counts = grid.map_sites(large, |site| grid.count(site));
            Ok(Counted {
                grid,
                counts,
                first_site: batch.site_offsets[k],
                large,
            })
        });
        let counts = crystals
            .iter()
            .flatten()
            .flat_map(|counted| &counted.counts);
        Ok(Self {
            n_pairs: counts.sum(),
            crystals,
        })
    }

    /// Pairs of all crystals.
    pub fn n_pairs(&self) -> usize {
        self.n_pairs
    }

    /// Writes the pairs, crystal after crystal, into slices of length [`Self::n_pairs`].
    pub fn write(&self, mut into: PairSlices<'_>) {
        let mut jobs = Vec::with_capacity(self.crystals.len());
        for counted in self.crystals.iter().flatten() {
            let n_sites = counted.counts.len();
            let per_job = if counted.large {
                SITES_PER_JOB
            } else {
                n_sites
            };
            for start in (0..n_sites).step_by(per_job) {
                let sites = start..n_sites.min(start + per_job);
                let n_pairs = counted.counts[sites.clone()].iter().sum();
                jobs.push((counted, sites, into.take(n_pairs)));
            }
        }
        jobs.into_par_iter()
            .with_max_len(8)
            .for_each(|(counted, sites, into)| counted.write(sites, into));
    }

    /// Number of pairs of each crystal, or why it has no list.
    pub fn into_counts(self) -> Vec<Result<usize, CrystalError>> {
        let count = |counted: Counted| counted.counts.iter().sum();
        self.crystals
            .into_iter()
            .map(|crystal| crystal.map(count))
            .collect()
    }
}

impl Counted {
    fn write(&self, sites: Range<usize>, mut into: PairSlices<'_>) {
        for site in sites {
            let mut writer = Writer {
                into: into.take(self.counts[site]),
                first_site: self.first_site,
                site: self.first_site + site as i64,
            };
            self.grid.for_each_block(site, &mut writer);
        }
    }
}

/// Writes the pairs of one site.
struct Writer<'o> {
    into: PairSlices<'o>,
    first_site: i64,
    site: i64,
}

impl BlockVisitor for Writer<'_> {
    #[inline(always)]
    fn visit(&mut self, block: &Block<'_>) {
        let n = block.len();
        let into = self.into.take(n);
        into.i.fill(self.site);
        let squared = block.squared().as_flattened();
        for (distance, squared) in into.distances.iter_mut().zip(squared) {
            *distance = squared.sqrt();
        }
        let (js, shifts) = (into.j.chunks_mut(LANES), into.shifts.chunks_mut(LANES));
        for (group, (j, shifts)) in js.zip(shifts).enumerate() {
            let mut labels = [Label::default(); LANES];
            for (lane, label) in labels.iter_mut().enumerate() {
                *label = block.label(group * LANES + lane);
            }
            for ((j, shift), [x, y, z, site]) in j.iter_mut().zip(shifts).zip(labels) {
                *j = self.first_site + i64::from(site);
                *shift = [x, y, z];
            }
        }
    }
}
