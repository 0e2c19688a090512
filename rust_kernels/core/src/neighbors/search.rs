//! Searches around sites.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::grid::{Home, Neighbor, NeighborGrid};
use super::labels::{self, Label};
use super::rows::{SLACK, Zone, floor};
use super::scan::{self, Candidates, Hits, LANES, PIECE, Query};
use crate::lattice::{Vec3, sub};
use crate::simd::Level;

/// Most sites that are searched around together.
pub const MOST_MEMBERS: usize = 16;

/// Neighbours of one site, several at a time.
#[derive(Debug)]
pub struct Block<'a> {
    grid: &'a NeighborGrid,
    home: &'a Home,
    member: usize,
    hits: &'a Hits,
}

impl Block<'_> {
    /// Number of neighbours, at least 1.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.hits.len()
    }

    /// Never true.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which of the sites that are searched around together it is whose neighbours these are.
    #[inline(always)]
    pub fn member(&self) -> usize {
        self.member
    }

    /// Squared distances in square angstrom, in whole groups of [`LANES`]: those beyond `len` are
    /// infinite.
    #[inline(always)]
    pub fn squared(&self) -> &[[f64; LANES]] {
        self.hits.squared()
    }

    /// Slots of the neighbours among the atoms of the grid, for values that
    /// [`NeighborGrid::by_slot`] has put there, in groups likewise. Those beyond `len` are 0.
    #[inline(always)]
    pub fn slots(&self) -> &[[u32; LANES]] {
        self.hits.slots()
    }

    #[inline(always)]
    fn slot(&self, k: usize) -> usize {
        self.slots().as_flattened()[k] as usize
    }

    /// Site of neighbour `k`.
    #[inline(always)]
    pub fn site(&self, k: usize) -> usize {
        self.grid.atoms.labels[self.slot(k)][3] as usize
    }

    /// Distance of neighbour `k` in angstrom.
    #[inline(always)]
    pub fn distance(&self, k: usize) -> f64 {
        self.squared().as_flattened()[k].sqrt()
    }

    /// Lattice translation of neighbour `k`.
    #[inline(always)]
    pub fn shift(&self, k: usize) -> [i32; 3] {
        let [x, y, z, _] = self.label(k);
        [x, y, z]
    }

    /// Lattice translation and site of neighbour `k`.
    #[inline(always)]
    pub fn label(&self, k: usize) -> Label {
        self.grid.label(self.home, self.place(k))
    }

    /// Writes the sites, counted from `base`, and lattice translations of [`LANES`] neighbours from
    /// neighbour `first` on.
    #[inline(always)]
    pub fn write_labels(
        &self,
        first: usize,
        base: i64,
        sites: &mut [MaybeUninit<i64>; LANES],
        shifts: &mut [[MaybeUninit<i32>; 3]; LANES],
    ) {
        let (slots, images) = (self.hits.slots(), self.hits.images());
        let slots = &slots.as_flattened()[first..first + LANES];
        let images = &images.as_flattened()[first..first + LANES];
        let (atoms, grid) = (&self.grid.atoms.labels, self.grid);
        let parts = |k: usize| {
            let own = &atoms[slots[k] as usize];
            [own, &grid.image_labels[images[k] as usize], &self.home.wrap]
        };
        labels::write_sums(parts, base, sites, shifts);
    }

    /// All there is to know of neighbour `k`.
    #[inline(always)]
    pub fn neighbor(&self, k: usize) -> Neighbor {
        Neighbor {
            site: self.site(k),
            shift: self.shift(k),
            vector: self.vector(k),
            distance: self.distance(k),
        }
    }

    /// Where neighbour `k` was found.
    #[inline(always)]
    pub fn place(&self, k: usize) -> Place {
        Place {
            slot: self.slots().as_flattened()[k],
            image: self.hits.images().as_flattened()[k],
        }
    }

    /// Vector from the site to neighbour `k`, in angstrom.
    #[inline(always)]
    pub fn vector(&self, k: usize) -> Vec3 {
        self.grid.vector(self.home, self.place(k))
    }
}

/// Where a neighbour was found: what it takes to know all of it later, if it is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    slot: u32,
    image: u32,
}

/// What is done with the neighbours of a site. Mark `visit`, and what it calls in its loops,
/// `#[inline(always)]`: only what is inlined uses all of the processor's vector instructions.
pub trait BlockVisitor {
    /// Whether it asks who the neighbours are, or only at what distances: to know less takes less.
    const PLACES: bool = true;

    /// Takes the next neighbours.
    fn visit(&mut self, block: &Block<'_>);
}

impl<F: FnMut(&Block<'_>)> BlockVisitor for F {
    #[inline(always)]
    fn visit(&mut self, block: &Block<'_>) {
        self(block);
    }
}

impl NeighborGrid {
    /// The neighbour of a site that was found at a place and distance.
    #[inline]
    pub fn neighbor(&self, site: usize, place: Place, distance: f64) -> Neighbor {
        let home = &self.homes[self.rank(site)];
        let [x, y, z, number] = self.label(home, place);
        Neighbor {
            site: number as usize,
            shift: [x, y, z],
            vector: self.vector(home, place),
            distance,
        }
    }

    #[inline(always)]
    fn label(&self, home: &Home, place: Place) -> Label {
        let own = &self.atoms.labels[place.slot as usize];
        let image = &self.image_labels[place.image as usize];
        labels::sum([own, image, &home.wrap])
    }

    #[inline(always)]
    fn vector(&self, home: &Home, place: Place) -> Vec3 {
        let (atoms, slot) = (&self.atoms, place.slot as usize);
        let origin = sub(&home.coords, &self.offsets[place.image as usize]);
        sub(&[atoms.x[slot], atoms.y[slot], atoms.z[slot]], &origin)
    }

    /// Calls `visit` for each neighbour of `site`, in an order that depends on the crystal alone.
    pub fn for_each(&self, site: usize, mut visit: impl FnMut(Neighbor)) {
        self.for_each_block(site, &mut |block: &Block<'_>| {
            (0..block.len()).for_each(|k| visit(block.neighbor(k)));
        });
    }

    /// Hands the neighbours of `site` to a visitor, several at a time, in an order that depends on
    /// the crystal alone.
    #[inline]
    pub fn for_each_block<V: BlockVisitor>(&self, site: usize, visitor: &mut V) {
        let rank = self.rank(site);
        self.for_each_block_of(rank..rank + 1, visitor);
    }

    /// Does the same for the sites of a range of [`Self::order`], [`MOST_MEMBERS`] at most. For those
    /// of [`Self::clusters`] it takes less time than one after another. [`Block::member`] says whose
    /// neighbours a block holds; those of each site are in the same order as alone.
    #[inline]
    pub fn for_each_block_of<V: BlockVisitor>(&self, members: Range<usize>, visitor: &mut V) {
        for group in 0..self.n_groups {
            self.for_each_block_in(group, members.clone(), visitor);
        }
    }

    /// The same for those neighbours that are in one group.
    #[inline]
    pub fn for_each_block_in<V: BlockVisitor>(
        &self,
        group: usize,
        members: Range<usize>,
        visitor: &mut V,
    ) {
        assert!(group < self.n_groups);
        self.dispatch::<true, V>(group, members, visitor);
    }

    /// Number of neighbours of each site of such a range.
    pub fn count(&self, members: Range<usize>) -> [u32; MOST_MEMBERS] {
        let mut counts = [0; MOST_MEMBERS];
        for group in 0..self.n_groups {
            let found = self.dispatch::<false, _>(group, members.clone(), &mut |_: &Block<'_>| {});
            counts
                .iter_mut()
                .zip(found)
                .for_each(|(all, found)| *all += found);
        }
        counts
    }

    /// Searches with the instructions of the level; without `KEEP`, neighbours are not handed on but
    /// counted.
    #[inline]
    fn dispatch<const KEEP: bool, V: BlockVisitor>(
        &self,
        group: usize,
        members: Range<usize>,
        visitor: &mut V,
    ) -> [u32; MOST_MEMBERS] {
        match self.level {
            Level::Scalar => self.search_plainly::<KEEP, V>(group, members, visitor),
            // SAFETY: the processor has the instructions, which `with_level` asserted.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { self.search_avx2::<KEEP, V>(group, members, visitor) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { self.search_avx512::<KEEP, V>(group, members, visitor) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => self.search_plainly::<KEEP, V>(group, members, visitor),
        }
    }

    fn search_plainly<const KEEP: bool, V: BlockVisitor>(
        &self,
        group: usize,
        members: Range<usize>,
        visitor: &mut V,
    ) -> [u32; MOST_MEMBERS] {
        self.search::<KEEP, V>(group, members, visitor, |candidates, query, hits| {
            if KEEP && V::PLACES {
                scan::scalar::<KEEP, true>(candidates, query, hits);
            } else {
                scan::scalar::<KEEP, false>(candidates, query, hits);
            }
        })
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
    fn search_avx2<const KEEP: bool, V: BlockVisitor>(
        &self,
        group: usize,
        members: Range<usize>,
        visitor: &mut V,
    ) -> [u32; MOST_MEMBERS] {
        self.search::<KEEP, V>(group, members, visitor, |candidates, query, hits| {
            if KEEP && V::PLACES {
                scan::avx2::<KEEP, true>(candidates, query, hits);
            } else {
                scan::avx2::<KEEP, false>(candidates, query, hits);
            }
        })
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
    fn search_avx512<const KEEP: bool, V: BlockVisitor>(
        &self,
        group: usize,
        members: Range<usize>,
        visitor: &mut V,
    ) -> [u32; MOST_MEMBERS] {
        self.search::<KEEP, V>(group, members, visitor, |candidates, query, hits| {
            if KEEP && V::PLACES {
                scan::avx512::<KEEP, true>(candidates, query, hits);
            } else {
                scan::avx512::<KEEP, false>(candidates, query, hits);
            }
        })
    }

    /// Lines up the atoms of all rows of a group that the sphere around any of the members can touch,
    /// and tests them for each member; gives the numbers of neighbours that were not handed on.
    #[inline(always)]
    fn search<const KEEP: bool, V: BlockVisitor>(
        &self,
        group: usize,
        members: Range<usize>,
        visitor: &mut V,
        scan: impl Fn(&Candidates, &Query, &mut Hits),
    ) -> [u32; MOST_MEMBERS] {
        assert!(members.len() <= MOST_MEMBERS);
        let members = &self.homes[members];
        let zone = self.rows.zone(members.iter().map(|home| home.place));
        let slots = members.iter().map(|home| home.slot);
        let slots = slots.fold((u32::MAX, 0), |(low, high), slot| {
            (low.min(slot), high.max(slot))
        });
        let mut hits = [0, 1].map(|_| Hits::new(KEEP && V::PLACES));
        let mut counts = [0; MOST_MEMBERS];
        let mut candidates = Candidates::new(KEEP && V::PLACES);
        // Where each member is among the candidates.
        let mut own = [usize::MAX; MOST_MEMBERS];
        // One by one: a closure would not be compiled for the level.
        let x_range = self.columns_around(0, &zone);
        let y_range = self.columns_around(1, &zone);
        let [nx, ny] = self.n_columns;
        let below = self.n_below as f64 - 0.5;
        let (low_level, high_level) = (below + zone.low[2], below + zone.high[2]);
        let n_layers = self.n_layers as f64;
        let own_image = (self.reach[0] * (2 * self.reach[1] + 1) + self.reach[1]) as usize;
        let columns = group as i64 * nx;
        let (mut image_x, mut column_x) = (x_range.0.div_euclid(nx), x_range.0.rem_euclid(nx));
        let first_y = (y_range.0.div_euclid(ny), y_range.0.rem_euclid(ny));
        for bx in x_range.0..=x_range.1 {
            let x = bx as f64 + 0.5 - zone.center[0];
            let images = (image_x + self.reach[0]) * (2 * self.reach[1] + 1) + self.reach[1];
            let (mut image_y, mut column_y) = first_y;
            let mut by = y_range.0;
            while by <= y_range.1 {
                // Several rows at a time, of which the last may be too many.
                let (mut firsts, mut lasts) = ([0i32; LANES], [0i32; LANES]);
                for k in 0..LANES {
                    let y = (by as f64 + k as f64) + 0.5 - zone.center[1];
                    let (low, high) = self.rows.run(x, y, &zone, self.cutoff);
                    firsts[k] = floor(low_level + low + 1.0, n_layers).max(0);
                    lasts[k] = floor(high_level + high, n_layers - 1.0);
                }
                let n_rows = LANES.min((y_range.1 - by + 1) as usize);
                for (&first, &last) in firsts[..n_rows].iter().zip(&lasts) {
                    if first <= last {
                        let row = ((columns + column_x) * ny + column_y) * self.n_layers;
                        let mut start = self.starts[(row + i64::from(first)) as usize];
                        let end = self.starts[(row + i64::from(last) + 1) as usize];
                        let image = (images + image_y) as usize;
                        let offset = &self.offsets[image];
                        while start < end {
                            if candidates.room() == 0 {
                                self.test::<KEEP, V>(
                                    members,
                                    &mut candidates,
                                    &own,
                                    &mut hits,
                                    &mut counts,
                                    visitor,
                                    &scan,
                                );
                                candidates.clear();
                                own = [usize::MAX; MOST_MEMBERS];
                            }
                            let part = start..end.min(start + candidates.room() as u32);
                            if image == own_image && slots.0 < part.end && part.start <= slots.1 {
                                for (own, home) in own.iter_mut().zip(members) {
                                    if part.contains(&home.slot) {
                                        let place = (home.slot - part.start) as usize;
                                        *own = candidates.len() + place;
                                    }
                                }
                            }
                            start = part.end;
                            candidates.add(&self.atoms, part, offset, image as u32);
                        }
                    }
                    column_y += 1;
                    if column_y == ny {
                        (image_y, column_y) = (image_y + 1, 0);
                    }
                }
                by += LANES as i64;
            }
            column_x += 1;
            if column_x == nx {
                (image_x, column_x) = (image_x + 1, 0);
            }
        }
        self.test::<KEEP, V>(
            members,
            &mut candidates,
            &own,
            &mut hits,
            &mut counts,
            visitor,
            &scan,
        );
        counts
    }

    /// Tests the candidates for each member, the member itself (at `own`) left out. What was found
    /// for one is handed on once the next has been tested: hits are read in other pieces than they
    /// are written in, which has to wait until they are out of the store buffer.
    #[inline(always)]
    #[expect(clippy::too_many_arguments)]
    fn test<const KEEP: bool, V: BlockVisitor>(
        &self,
        members: &[Home],
        candidates: &mut Candidates,
        own: &[usize; MOST_MEMBERS],
        hits: &mut [Hits; 2],
        counts: &mut [u32; MOST_MEMBERS],
        visitor: &mut V,
        scan: &impl Fn(&Candidates, &Query, &mut Hits),
    ) {
        candidates.pad();
        // One turn more than members, and hits told apart by a number: with a second place where they
        // are handed on, or references that are exchanged, what visitors do is not vectorised.
        for member in 0..=members.len() {
            if let Some(home) = members.get(member) {
                let hidden = candidates.hide(own[member]);
                let mut start = 0;
                while start < candidates.len() {
                    let query = Query {
                        start,
                        end: candidates.len().min(start + PIECE),
                        origin: home.coords,
                        cutoff_squared: self.cutoff * self.cutoff,
                    };
                    scan(candidates, &query, &mut hits[member % 2]);
                    start = query.end;
                    if KEEP && hits[member % 2].is_full() {
                        self.hand_on(home, member, &mut hits[member % 2], visitor);
                    }
                }
                candidates.show(own[member], hidden);
                if !KEEP {
                    counts[member] += hits[member % 2].len() as u32;
                    hits[member % 2].clear();
                }
            }
            if KEEP && member > 0 {
                let before = member - 1;
                self.hand_on(&members[before], before, &mut hits[before % 2], visitor);
            }
        }
    }

    /// Gives the visitor what was found so far, if anything.
    #[inline(always)]
    fn hand_on<V: BlockVisitor>(
        &self,
        home: &Home,
        member: usize,
        hits: &mut Hits,
        visitor: &mut V,
    ) {
        if hits.len() == 0 {
            return;
        }
        hits.pad();
        visitor.visit(&Block {
            grid: self,
            home,
            member,
            hits,
        });
        hits.clear();
    }

    /// First and last column along `k` that the sphere around a point of the zone can touch.
    #[inline(always)]
    fn columns_around(&self, k: usize, zone: &Zone) -> (i64, i64) {
        let reach = self.cutoff / self.rows.widths[k] + SLACK;
        let (low, high) = (
            (zone.low[k] - reach - 1.0).ceil() as i64,
            (zone.high[k] + reach).floor() as i64,
        );
        if self.periodic[k] {
            (low, high)
        } else {
            (low.max(0), high.min(self.n_columns[k] - 1))
        }
    }
}
