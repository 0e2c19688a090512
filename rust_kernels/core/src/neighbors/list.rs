//! Lists of pairs: counted first, so that they are written once, where they are to stay.

use std::mem::{self, MaybeUninit};
use std::ops::Range;

use rayon::prelude::*;

use super::{Block, BlockVisitor, LANES, NeighborGrid, check_cutoff, check_pairs};
use crate::batch::{CrystalBatch, map_sites};
use crate::error::{BatchError, CrystalError};

/// Full neighbour lists of the crystals of a batch, counted but not yet written.
#[derive(Debug)]
pub struct NeighborLists {
    crystals: Vec<Result<Counted, CrystalError>>,
    n_pairs: usize,
}

#[derive(Debug)]
struct Counted {
    grid: NeighborGrid,
    clusters: Vec<Range<usize>>,
    /// (n_sites,) number of neighbours.
    counts: Vec<u32>,
    /// First site within the batch.
    first_site: i64,
}

/// Where pairs are written to, sorted by site `i`; sites are counted over the whole batch. Nothing
/// need be there before: to fill so much memory first would take as long as a search.
#[derive(Debug, Default)]
pub struct PairSlices<'o> {
    /// First site of each pair.
    pub i: &'o mut [MaybeUninit<i64>],
    /// Second site of each pair.
    pub j: &'o mut [MaybeUninit<i64>],
    /// Lattice translation of the second site.
    pub shifts: &'o mut [[MaybeUninit<i32>; 3]],
    /// Distance in angstrom.
    pub distances: &'o mut [MaybeUninit<f64>],
}

impl<'o> PairSlices<'o> {
    /// Cuts off the first `n` pairs.
    #[inline(always)]
    fn take(&mut self, n: usize) -> PairSlices<'o> {
        #[inline(always)]
        fn take<'o, T>(rest: &mut &'o mut [T], n: usize) -> &'o mut [T] {
            let (first, others) = mem::take(rest).split_at_mut(n);
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
            let clusters = grid.clusters();
            let counts = count_neighbors(&grid, &clusters, crystal.is_large());
            Ok(Counted {
                grid,
                clusters,
                counts,
                first_site: batch.site_offsets[k],
            })
        });
        let n_pairs = crystals.iter().flatten().map(Counted::n_pairs).sum();
        Ok(Self { crystals, n_pairs })
    }

    /// Pairs of all crystals.
    pub fn n_pairs(&self) -> usize {
        self.n_pairs
    }

    /// Writes the pairs, crystal after crystal, into slices of length [`Self::n_pairs`]: all of each.
    pub fn write(&self, mut into: PairSlices<'_>) {
        let counted = self.crystals.iter().flatten();
        let parts: Vec<_> = counted
            .map(|counted| (counted, into.take(counted.n_pairs())))
            .collect();
        parts
            .into_par_iter()
            .with_max_len(8)
            .for_each(|(counted, into)| counted.write(into));
    }

    /// Number of pairs of each crystal, or why it has no list.
    pub fn into_counts(self) -> Vec<Result<usize, CrystalError>> {
        self.crystals
            .into_iter()
            .map(|crystal| crystal.map(|counted| counted.n_pairs()))
            .collect()
    }
}

/// Number of neighbours of each site.
fn count_neighbors(grid: &NeighborGrid, clusters: &[Range<usize>], parallel: bool) -> Vec<u32> {
    let mut by_rank = vec![0; grid.ranks.len()];
    grid.for_clusters(clusters, &mut by_rank, |members, counts| {
        counts.copy_from_slice(&grid.count(members)[..counts.len()]);
    });
    map_sites(by_rank.len(), parallel, |site| by_rank[grid.rank(site)])
}

impl Counted {
    fn n_pairs(&self) -> usize {
        self.counts.iter().map(|&count| count as usize).sum()
    }

    fn write(&self, mut into: PairSlices<'_>) {
        // The number of each site and its place, in the order in which sites are searched around.
        let mut in_order: Vec<(i64, PairSlices<'_>)> = Vec::new();
        in_order.resize_with(self.counts.len(), Default::default);
        let sites = self
            .counts
            .iter()
            .zip(&self.grid.ranks)
            .zip(self.first_site..);
        for ((&count, &rank), number) in sites {
            in_order[rank as usize] = (number, into.take(count as usize));
        }
        let (grid, first_site) = (&self.grid, self.first_site);
        grid.for_clusters(&self.clusters, &mut in_order, |members, into| {
            let mut writer = Writer { into, first_site };
            grid.for_each_block_of(members, &mut writer);
            // What is counted on to be written is.
            assert!(writer.into.iter().all(|(_, left)| left.i.is_empty()));
        });
    }
}

/// Writes the pairs of some sites.
struct Writer<'a, 'o> {
    /// The number of each, and what is left of its place.
    into: &'a mut [(i64, PairSlices<'o>)],
    /// Number of the first site of the crystal.
    first_site: i64,
}

impl BlockVisitor for Writer<'_, '_> {
    #[inline(always)]
    fn visit(&mut self, block: &Block<'_>) {
        let n = block.len();
        let (site, left) = &mut self.into[block.member()];
        let into = left.take(n);
        into.i.fill(MaybeUninit::new(*site));
        let squared = block.squared().as_flattened();
        for (distance, squared) in into.distances.iter_mut().zip(squared) {
            distance.write(squared.sqrt());
        }
        if n < LANES {
            for (k, (j, shift)) in into.j.iter_mut().zip(into.shifts).enumerate() {
                j.write(self.first_site + block.site(k) as i64);
                *shift = block.shift(k).map(MaybeUninit::new);
            }
            return;
        }
        // Whole groups, of which the last begins where it ends with the last neighbour.
        let last = n - LANES;
        for first in (0..last).step_by(LANES).chain([last]) {
            let j = &mut into.j[first..first + LANES].as_chunks_mut().0[0];
            let shifts = &mut into.shifts[first..first + LANES].as_chunks_mut().0[0];
            block.write_labels(first, self.first_site, j, shifts);
        }
    }
}
