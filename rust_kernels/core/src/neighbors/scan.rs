//! The innermost loop: which candidates are within the cutoff of a point.
//!
//! Each level keeps the candidates in their order and computes `(dx dx + dy dy) + dz dz`, so that
//! all find the same atoms at the same distances, bit for bit.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::grid::Atoms;
use crate::lattice::Vec3;

/// Most doubles that any level tests at a time: so many more atoms may be read, and so many more
/// hits written, than there are.
pub const LANES: usize = 8;

/// Most candidates that are tested at a time, a multiple of [`LANES`].
pub const PIECE: usize = 128;

/// Hits are handed on when there might be no room for another piece.
pub const CAPACITY: usize = 2 * PIECE;

/// Most candidates that are lined up.
const MOST_CANDIDATES: usize = 1024;

/// Atoms that may be within the cutoff of some sites, in one line: their coordinates, moved by the
/// offset of the image that they were found in, and what is to be known of those that are.
///
/// As with [`Hits`], nothing is written to begin with. The first `len` of each array are, by `add`,
/// and after `pad` all up to the end of the last group of [`LANES`].
#[derive(Debug)]
pub struct Candidates {
    len: usize,
    /// Whether slots and images are written.
    places: bool,
    coords: [[MaybeUninit<f64>; MOST_CANDIDATES + LANES]; 3],
    slots: [MaybeUninit<u32>; MOST_CANDIDATES + LANES],
    images: [MaybeUninit<u32>; MOST_CANDIDATES + LANES],
}

impl Candidates {
    /// With or without `places`, which tell who the candidates are.
    #[inline(always)]
    pub fn new(places: bool) -> Self {
        Self {
            len: 0,
            places,
            coords: [[MaybeUninit::uninit(); MOST_CANDIDATES + LANES]; 3],
            slots: [MaybeUninit::uninit(); MOST_CANDIDATES + LANES],
            images: [MaybeUninit::uninit(); MOST_CANDIDATES + LANES],
        }
    }

    /// Number of candidates.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many more there may be.
    #[inline(always)]
    pub fn room(&self) -> usize {
        MOST_CANDIDATES - self.len
    }

    /// Forgets all candidates.
    #[inline(always)]
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds the atoms in some slots, as many as there is room for, as seen in an image.
    #[inline(always)]
    pub fn add(&mut self, atoms: &Atoms, slots: Range<u32>, offset: &Vec3, image: u32) {
        assert!(slots.len() <= self.room());
        // In whole groups: the last may hold atoms that come after, which are overwritten.
        let whole = slots.len().next_multiple_of(LANES);
        let from = slots.start as usize..slots.start as usize + whole;
        let into = self.len..self.len + whole;
        let [x, y, z] = [&atoms.x, &atoms.y, &atoms.z]
            .map(|values| values[from.clone()].as_chunks::<LANES>().0);
        let [to_x, to_y, to_z] =
            (self.coords.each_mut()).map(|values| values[into.clone()].as_chunks_mut::<LANES>().0);
        let to_slots = self.slots[into.clone()].as_chunks_mut::<LANES>().0;
        let to_images = self.images[into].as_chunks_mut::<LANES>().0;
        for k in 0..whole / LANES {
            let first = slots.start + (k * LANES) as u32;
            to_x[k] = x[k].map(|x| MaybeUninit::new(x + offset[0]));
            to_y[k] = y[k].map(|y| MaybeUninit::new(y + offset[1]));
            to_z[k] = z[k].map(|z| MaybeUninit::new(z + offset[2]));
            if self.places {
                to_slots[k] = std::array::from_fn(|lane| MaybeUninit::new(first + lane as u32));
                to_images[k] = [MaybeUninit::new(image); LANES];
            }
        }
        self.len += slots.len();
    }

    /// Fills the last group of [`LANES`] up with candidates that are infinitely far.
    #[inline(always)]
    pub fn pad(&mut self) {
        let end = self.len..self.len + LANES;
        for coords in &mut self.coords {
            coords[end.clone()].fill(MaybeUninit::new(f64::INFINITY));
        }
        self.slots[end.clone()].fill(MaybeUninit::new(0));
        self.images[end].fill(MaybeUninit::new(0));
    }

    /// Moves a candidate, if it is one, infinitely far away; gives its first coordinate.
    #[inline(always)]
    pub fn hide(&mut self, candidate: usize) -> f64 {
        if candidate >= self.len {
            return f64::INFINITY;
        }
        let x = &mut self.coords[0][candidate];
        // SAFETY: written by `add`, as are all up to `len`.
        unsafe { std::mem::replace(x, MaybeUninit::new(f64::INFINITY)).assume_init() }
    }

    /// Brings it back.
    #[inline(always)]
    pub fn show(&mut self, candidate: usize, x: f64) {
        if candidate < self.len {
            self.coords[0][candidate].write(x);
        }
    }
}

/// Atoms within the cutoff: their squared distances and places among the atoms of the grid.
///
/// There is one per search, and most of it is never written, so that nothing is to begin with: the
/// first `len` of each array are, by the scans that raised `len`.
#[derive(Debug)]
pub struct Hits {
    len: usize,
    /// Whether slots and images are written.
    places: bool,
    squared: [MaybeUninit<f64>; CAPACITY + LANES],
    slots: [MaybeUninit<u32>; CAPACITY + LANES],
    images: [MaybeUninit<u32>; CAPACITY + LANES],
}

impl Hits {
    /// With or without `places`, which tell who the atoms are.
    #[inline(always)]
    pub fn new(places: bool) -> Self {
        Self {
            len: 0,
            places,
            squared: [MaybeUninit::uninit(); CAPACITY + LANES],
            slots: [MaybeUninit::uninit(); CAPACITY + LANES],
            images: [MaybeUninit::uninit(); CAPACITY + LANES],
        }
    }

    /// Number of atoms.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there might be no room for another piece.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.len > CAPACITY - PIECE
    }

    /// Forgets all atoms.
    #[inline(always)]
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Fills the last group of [`LANES`] up with atoms that are infinitely far.
    #[inline(always)]
    pub fn pad(&mut self) {
        let end = self.len..self.len + LANES;
        self.squared[end.clone()].fill(MaybeUninit::new(f64::INFINITY));
        self.slots[end.clone()].fill(MaybeUninit::new(0));
        self.images[end].fill(MaybeUninit::new(0));
    }

    /// Squared distances in whole groups of [`LANES`]; to be padded first.
    #[inline(always)]
    pub fn squared(&self) -> &[[f64; LANES]] {
        // SAFETY: written by the scans up to `len`, by `pad` up to the end of the group.
        unsafe { groups(&self.squared, self.len) }
    }

    /// Places among the atoms of the grid likewise.
    #[inline(always)]
    pub fn slots(&self) -> &[[u32; LANES]] {
        assert!(self.places);
        // SAFETY: as above, where places are.
        unsafe { groups(&self.slots, self.len) }
    }

    /// Which image of the rows each atom was found in, likewise.
    #[inline(always)]
    pub fn images(&self) -> &[[u32; LANES]] {
        assert!(self.places);
        // SAFETY: as above.
        unsafe { groups(&self.images, self.len) }
    }
}

/// The first `len` values, rounded up to whole groups.
///
/// # Safety
///
/// They must have been written.
#[inline(always)]
pub unsafe fn groups<T>(values: &[MaybeUninit<T>], len: usize) -> &[[T; LANES]] {
    let groups = values[..len.next_multiple_of(LANES)].as_chunks::<LANES>().0;
    // SAFETY: the same layout; the caller says that it is written.
    unsafe { &*(std::ptr::from_ref(groups) as *const [[T; LANES]]) }
}

/// Which candidates are tested, [`PIECE`] at most, and what against. They are whole groups of
/// [`LANES`] or the last that there are.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    pub start: usize,
    pub end: usize,
    pub origin: Vec3,
    pub cutoff_squared: f64,
}

impl Query {
    /// Checks, in one place, what the scans rest on: that the candidates are written up to the end of
    /// the last group, and that there is room for hits.
    #[inline(always)]
    fn check<const KEEP: bool, const PLACES: bool>(&self, candidates: &Candidates, hits: &Hits) {
        assert!(candidates.places == PLACES && hits.places == PLACES);
        assert!(self.start < self.end && self.end <= self.start + PIECE);
        assert!(self.end <= candidates.len && candidates.len <= MOST_CANDIDATES);
        assert!(self.end == candidates.len || (self.end - self.start).is_multiple_of(LANES));
        assert!(!KEEP || hits.len + PIECE <= CAPACITY);
    }
}

/// Adds the candidates that are within the cutoff; without `KEEP` they are only counted. The
/// candidates are to be padded.
#[inline(always)]
pub fn scalar<const KEEP: bool, const PLACES: bool>(
    candidates: &Candidates,
    query: &Query,
    hits: &mut Hits,
) {
    query.check::<KEEP, PLACES>(candidates, hits);
    let [x0, y0, z0] = query.origin;
    for k in query.start..query.end {
        // SAFETY: written by `add`, as are all up to `len`.
        let [x, y, z] = [0, 1, 2].map(|axis| unsafe { candidates.coords[axis][k].assume_init() });
        let (dx, dy, dz) = (x - x0, y - y0, z - z0);
        let squared = (dx * dx + dy * dy) + dz * dz;
        // Written in any case, and overwritten unless it counts: no branch to predict.
        if KEEP {
            hits.squared[hits.len].write(squared);
        }
        if KEEP && PLACES {
            hits.slots[hits.len] = candidates.slots[k];
            hits.images[hits.len] = candidates.images[k];
        }
        hits.len += usize::from(squared < query.cutoff_squared);
    }
}

#[cfg(target_arch = "x86_64")]
pub use x86::{TO_FRONT, avx2, avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Candidates, Hits, Query};

    /// As [`super::scalar`], eight candidates at a time.
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
    #[inline]
    pub fn avx512<const KEEP: bool, const PLACES: bool>(
        candidates: &Candidates,
        query: &Query,
        hits: &mut Hits,
    ) {
        query.check::<KEEP, PLACES>(candidates, hits);
        let [x0, y0, z0] = query.origin.map(|x| _mm512_set1_pd(x));
        let [x, y, z] = candidates
            .coords
            .each_ref()
            .map(|x| x.as_ptr().cast::<f64>());
        let (slots, images) = (candidates.slots.as_ptr(), candidates.images.as_ptr());
        let cutoff_squared = _mm512_set1_pd(query.cutoff_squared);
        let mut len = hits.len;
        let mut k = query.start;
        while k < query.end {
            // SAFETY: `check` found the group within the candidates, and `pad` has filled it up.
            let (x, y, z) = unsafe {
                (
                    _mm512_loadu_pd(x.add(k)),
                    _mm512_loadu_pd(y.add(k)),
                    _mm512_loadu_pd(z.add(k)),
                )
            };
            let (x, y, z) = (
                _mm512_sub_pd(x, x0),
                _mm512_sub_pd(y, y0),
                _mm512_sub_pd(z, z0),
            );
            let squared = _mm512_add_pd(
                _mm512_add_pd(_mm512_mul_pd(x, x), _mm512_mul_pd(y, y)),
                _mm512_mul_pd(z, z),
            );
            let inside = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(squared, cutoff_squared);
            if KEEP {
                // SAFETY: `check` found room for all candidates of the query, which are whole groups
                // but for the last.
                unsafe {
                    _mm512_storeu_pd(
                        hits.squared.as_mut_ptr().add(len).cast(),
                        _mm512_maskz_compress_pd(inside, squared),
                    );
                }
            }
            if KEEP && PLACES {
                // SAFETY: the loads as those of coordinates, the stores as above.
                unsafe {
                    let slots = _mm256_loadu_si256(slots.add(k).cast());
                    let images = _mm256_loadu_si256(images.add(k).cast());
                    _mm256_storeu_si256(
                        hits.slots.as_mut_ptr().add(len).cast(),
                        _mm256_maskz_compress_epi32(inside, slots),
                    );
                    _mm256_storeu_si256(
                        hits.images.as_mut_ptr().add(len).cast(),
                        _mm256_maskz_compress_epi32(inside, images),
                    );
                }
            }
            len += inside.count_ones() as usize;
            k += 8;
        }
        hits.len = len;
    }

    /// For each mask of four lanes, the order of pairs of 32 bits that brings them to the front.
    pub const TO_FRONT: [[u32; 8]; 16] = {
        let mut table = [[0; 8]; 16];
        let mut mask = 0;
        while mask < 16 {
            let (mut lane, mut to) = (0, 0);
            while lane < 4 {
                if mask >> lane & 1 == 1 {
                    table[mask][2 * to] = 2 * lane;
                    table[mask][2 * to + 1] = 2 * lane + 1;
                    to += 1;
                }
                lane += 1;
            }
            mask += 1;
        }
        table
    };

    /// As [`super::scalar`], four candidates at a time.
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
    #[inline]
    pub fn avx2<const KEEP: bool, const PLACES: bool>(
        candidates: &Candidates,
        query: &Query,
        hits: &mut Hits,
    ) {
        query.check::<KEEP, PLACES>(candidates, hits);
        let [x0, y0, z0] = query.origin.map(|x| _mm256_set1_pd(x));
        let [x, y, z] = candidates
            .coords
            .each_ref()
            .map(|x| x.as_ptr().cast::<f64>());
        let (slots, images) = (candidates.slots.as_ptr(), candidates.images.as_ptr());
        let cutoff_squared = _mm256_set1_pd(query.cutoff_squared);
        let mut len = hits.len;
        let mut k = query.start;
        while k < query.end {
            // SAFETY: `check` found the group within the candidates, and `pad` has filled it up.
            let (x, y, z) = unsafe {
                (
                    _mm256_loadu_pd(x.add(k)),
                    _mm256_loadu_pd(y.add(k)),
                    _mm256_loadu_pd(z.add(k)),
                )
            };
            let (x, y, z) = (
                _mm256_sub_pd(x, x0),
                _mm256_sub_pd(y, y0),
                _mm256_sub_pd(z, z0),
            );
            let squared = _mm256_add_pd(
                _mm256_add_pd(_mm256_mul_pd(x, x), _mm256_mul_pd(y, y)),
                _mm256_mul_pd(z, z),
            );
            let inside = _mm256_cmp_pd::<_CMP_LT_OQ>(squared, cutoff_squared);
            let inside = _mm256_movemask_pd(inside) as usize;
            if KEEP {
                // SAFETY: a row of the table is as long as the vector; for the stores `check` found
                // room for all candidates of the query.
                let order = unsafe {
                    let order = _mm256_loadu_si256(TO_FRONT[inside].as_ptr().cast());
                    let front = _mm256_permutevar8x32_ps(_mm256_castpd_ps(squared), order);
                    _mm256_storeu_pd(
                        hits.squared.as_mut_ptr().add(len).cast(),
                        _mm256_castps_pd(front),
                    );
                    order
                };
                if PLACES {
                    // The pairs of 32 bits came from lane `order / 2`.
                    let lanes = _mm256_srli_epi32::<1>(order);
                    let lanes = _mm256_permutevar8x32_epi32(
                        lanes,
                        _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6),
                    );
                    let lanes = _mm256_castsi256_si128(lanes);
                    // SAFETY: the loads as those of coordinates, the stores as above.
                    unsafe {
                        let in_front = |values: *const i32| {
                            let values = _mm_castsi128_ps(_mm_loadu_si128(values.cast()));
                            _mm_castps_si128(_mm_permutevar_ps(values, lanes))
                        };
                        let slots = in_front(slots.add(k).cast());
                        let images = in_front(images.add(k).cast());
                        _mm_storeu_si128(hits.slots.as_mut_ptr().add(len).cast(), slots);
                        _mm_storeu_si128(hits.images.as_mut_ptr().add(len).cast(), images);
                    }
                }
            }
            len += inside.count_ones() as usize;
            k += 4;
        }
        hits.len = len;
    }
}
