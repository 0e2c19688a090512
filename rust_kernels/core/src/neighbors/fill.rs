//! Lines up the atoms of a crystal in rows, several rows at a time where the crystal is large.

use std::mem;
use std::ops::Range;

use rayon::prelude::*;

use super::grid::{Atoms, Home, NeighborGrid, label};
use super::labels::Label;
use super::scan::LANES;
use crate::batch::map_sites;
use crate::lattice::Vec3;

impl NeighborGrid {
    /// Sorts the sites by their bins, of which each row has `n_home` in the cell, and lines up the
    /// atoms, row after row, each through all its images; `vector` and `step` lead from one image to
    /// the next.
    pub(super) fn fill_rows(
        &mut self,
        bins: &[u32],
        n_home: usize,
        vector: &Vec3,
        step: &[i32; 3],
    ) {
        let n_rows = self.n_groups * (self.n_columns[0] * self.n_columns[1]) as usize;
        let home_starts = self.sort(bins, n_rows * n_home);
        let (homes, order) = (&self.homes, &self.order);
        self.homes = map_sites(order.len(), self.parallel, |rank| {
            homes[order[rank] as usize]
        });
        let columns = home_starts.iter().step_by(n_home);
        self.columns = columns.copied().collect();

        let parts = self.parts(n_home as i64);
        let n_slots = |starts: &[u32]| -> usize {
            let of_parts = parts
                .iter()
                .map(|Part { bins, .. }| starts[bins.end] - starts[bins.start]);
            of_parts.sum::<u32>() as usize
        };
        let starts_of = |row: usize| &home_starts[row * n_home..=(row + 1) * n_home];
        let n: usize = (0..n_rows).map(|row| n_slots(starts_of(row))).sum();
        // Zeros that nobody has written: large lists get their memory from the threads that fill it.
        let n_layers = self.n_layers as usize;
        self.starts = vec![0; n_rows * n_layers + 1];
        self.starts[n_rows * n_layers] = n as u32;
        let list = || vec![0.0; n + LANES];
        self.atoms = Atoms {
            x: list(),
            y: list(),
            z: list(),
            labels: vec![[0; 4]; n],
        };

        let (order, mut homes) = (&self.order, self.homes.as_mut_slice());
        let mut starts = self.starts.as_mut_slice();
        let Atoms { x, y, z, labels } = &mut self.atoms;
        let mut coords = [x, y, z].map(Vec::as_mut_slice);
        let mut labels = labels.as_mut_slice();
        let mut first_slot = 0;
        let rows = (0..n_rows).map(|row| {
            let home_starts = starts_of(row);
            let ranks = home_starts[0] as usize..home_starts[n_home] as usize;
            let n_slots = n_slots(home_starts);
            let row = Row {
                home_starts,
                order: &order[ranks.clone()],
                homes: take(&mut homes, ranks.len()),
                first_slot,
                starts: take(&mut starts, n_layers),
                coords: coords.each_mut().map(|list| take(list, n_slots)),
                labels: take(&mut labels, n_slots),
            };
            first_slot += n_slots as u32;
            row
        });
        let fill = |row: Row<'_>| row.fill(&parts, vector, step);
        if self.parallel {
            rows.collect::<Vec<_>>().into_par_iter().for_each(fill);
        } else {
            rows.for_each(fill);
        }
    }

    /// Puts the sites in the order of their bins, and those of a bin in that of the crystal; gives the
    /// first rank of each bin, and the number of sites.
    fn sort(&mut self, bins: &[u32], n_bins: usize) -> Vec<u32> {
        let mut starts = vec![0u32; n_bins + 1];
        for &bin in bins {
            starts[bin as usize + 1] += 1;
        }
        for b in 1..starts.len() {
            starts[b] += starts[b - 1];
        }
        let mut next = starts.clone();
        self.order = vec![0; bins.len()];
        self.ranks = (bins.iter().enumerate())
            .map(|(site, &bin)| {
                let next = &mut next[bin as usize];
                let rank = *next;
                self.order[rank as usize] = site as u32;
                *next += 1;
                rank
            })
            .collect();
        starts
    }

    /// What there is of a row in one image of the cell after another.
    fn parts(&self, n_home: i64) -> Vec<Part> {
        let (mut layer, end) = (-self.n_below, self.n_layers - self.n_below);
        let mut parts = Vec::new();
        while layer < end {
            let image = layer.div_euclid(n_home);
            let first = layer - image * n_home;
            let last = n_home.min(first + end - layer);
            let bins = first as usize..last as usize;
            parts.push(Part { image, bins });
            layer += last - first;
        }
        parts
    }
}

/// Cuts off the first `n` items.
fn take<'a, T>(rest: &mut &'a mut [T], n: usize) -> &'a mut [T] {
    let (first, others) = mem::take(rest).split_at_mut(n);
    *rest = others;
    first
}

/// Bins of each row, counted within the cell, that are there in one of its images.
struct Part {
    image: i64,
    bins: Range<usize>,
}

/// One row, and where its atoms are written.
struct Row<'a> {
    /// First rank of each of its bins in the cell, and the first rank of the next row.
    home_starts: &'a [u32],
    /// Its sites.
    order: &'a [u32],
    homes: &'a mut [Home],
    first_slot: u32,
    /// First slot of each of its bins, images included.
    starts: &'a mut [u32],
    /// Of the atom at each of its slots.
    coords: [&'a mut [f64]; 3],
    labels: &'a mut [Label],
}

impl Row<'_> {
    fn fill(mut self, parts: &[Part], vector: &Vec3, step: &[i32; 3]) {
        let mut slot = self.first_slot;
        for Part { image, bins } in parts {
            let home_starts = &self.home_starts[bins.start..=bins.end];
            let first = home_starts[0];
            for (start, rank) in take(&mut self.starts, bins.len())
                .iter_mut()
                .zip(home_starts)
            {
                *start = slot + (rank - first);
            }
            let base = self.home_starts[0];
            let ranks = (first - base) as usize..(home_starts[bins.len()] - base) as usize;
            let n = ranks.len();
            let homes = &mut self.homes[ranks.clone()];
            if *image == 0 {
                for (home, slot) in homes.iter_mut().zip(slot..) {
                    home.slot = slot;
                }
            }
            let offset = vector.map(|x| *image as f64 * x);
            let shift = step.map(|x| *image as i32 * x);
            for (k, list) in self.coords.iter_mut().enumerate() {
                for (x, home) in take(list, n).iter_mut().zip(&*homes) {
                    *x = home.coords[k] + offset[k];
                }
            }
            let own = homes.iter().zip(&self.order[ranks]);
            for (place, (home, &site)) in take(&mut self.labels, n).iter_mut().zip(own) {
                *place = label(site as usize, |k| shift[k] - home.wrap[k]);
            }
            slot += n as u32;
        }
    }
}
