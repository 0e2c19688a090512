//! The innermost loop: which atoms of a run are within the cutoff of a point.
//!
//! Each level keeps the atoms in their order and computes `(dx dx + dy dy) + dz dz`, so that all
//! find the same atoms at the same distances, bit for bit.

use std::mem::MaybeUninit;

use super::grid::Atoms;
use crate::lattice::Vec3;

/// Most atoms of a run that are tested at a time.
pub const PIECE: usize = 64;

/// Hits are handed on when there might be no room for another piece.
pub const CAPACITY: usize = 2 * PIECE;

/// Most doubles that any level tests at a time: so many more atoms may be read, and so many more
/// hits written, than there are.
pub const LANES: usize = 8;

/// Atoms within the cutoff: their squared distances and places among the atoms of the grid.
///
/// There is one per search, and most of it is never written, so that nothing is to begin with: the
/// first `len` of each array are, by the scans that raised `len`.
#[derive(Debug)]
pub struct Hits {
    len: usize,
    squared: [MaybeUninit<f64>; CAPACITY + LANES],
    slots: [MaybeUninit<u32>; CAPACITY + LANES],
    images: [MaybeUninit<u32>; CAPACITY + LANES],
}

impl Hits {
    #[inline(always)]
    pub fn new() -> Self {
        Self {
            len: 0,
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
        // SAFETY: as above.
        unsafe { groups(&self.slots, self.len) }
    }

    /// Which image of the rows each atom was found in, likewise.
    #[inline(always)]
    pub fn images(&self) -> &[[u32; LANES]] {
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
unsafe fn groups<T>(values: &[MaybeUninit<T>], len: usize) -> &[[T; LANES]] {
    let groups = values[..len.next_multiple_of(LANES)].as_chunks::<LANES>().0;
    // SAFETY: the same layout; the caller says that it is written.
    unsafe { &*(std::ptr::from_ref(groups) as *const [[T; LANES]]) }
}

/// A run of at most [`PIECE`] atoms, and what they are tested against.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub start: usize,
    pub end: usize,
    pub image: u32,
    pub origin: Vec3,
    pub cutoff_squared: f64,
}

/// Adds the atoms of a run that are within the cutoff; without `KEEP` they are only counted.
#[inline(always)]
pub fn scalar<const KEEP: bool>(atoms: &Atoms, run: &Run, hits: &mut Hits) {
    let Run { start, end, .. } = *run;
    let (x, y, z) = (&atoms.x[..end], &atoms.y[..end], &atoms.z[..end]);
    for k in start..end {
        let (dx, dy, dz) = (
            x[k] - run.origin[0],
            y[k] - run.origin[1],
            z[k] - run.origin[2],
        );
        let squared = (dx * dx + dy * dy) + dz * dz;
        // Written in any case, and overwritten unless it counts: no branch to predict.
        if KEEP {
            hits.squared[hits.len].write(squared);
            hits.slots[hits.len].write(k as u32);
            hits.images[hits.len].write(run.image);
        }
        hits.len += usize::from(squared < run.cutoff_squared);
    }
}

#[cfg(target_arch = "x86_64")]
pub use x86::{avx2, avx512, prefetch};

/// Nothing, where how to do it is not known.
#[cfg(not(target_arch = "x86_64"))]
pub fn prefetch<T>(_: &T) {}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Atoms, CAPACITY, Hits, LANES, PIECE, Run};

    /// Asks for a value of up to two cache lines that will be needed soon.
    #[inline(always)]
    pub fn prefetch<T>(value: &T) {
        let first = std::ptr::from_ref(value).cast::<i8>();
        let last = first.wrapping_add(size_of::<T>() - 1);
        // SAFETY: reads nothing that the program could see.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(first);
            _mm_prefetch::<_MM_HINT_T0>(last);
        }
    }

    /// Checks, in one place, what the loads and stores below rest on.
    #[inline(always)]
    fn check<const KEEP: bool>(atoms: &Atoms, run: &Run, hits: &Hits) {
        let padded = run.end + LANES;
        let shortest = atoms.x.len().min(atoms.y.len()).min(atoms.z.len());
        assert!(padded <= shortest && run.end <= run.start + PIECE);
        assert!(!KEEP || hits.len + PIECE <= CAPACITY);
    }

    /// Adds the atoms of a run that are within the cutoff; without `KEEP` they are only counted.
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
    #[inline]
    pub fn avx512<const KEEP: bool>(atoms: &Atoms, run: &Run, hits: &mut Hits) {
        check::<KEEP>(atoms, run, hits);
        let [x0, y0, z0] = run.origin;
        let (x0, y0, z0) = (_mm512_set1_pd(x0), _mm512_set1_pd(y0), _mm512_set1_pd(z0));
        let cutoff_squared = _mm512_set1_pd(run.cutoff_squared);
        let image = _mm256_set1_epi32(run.image as i32);
        let step = _mm256_set1_epi32(8);
        let mut slots = _mm256_add_epi32(
            _mm256_set1_epi32(run.start as i32),
            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
        );
        let mut len = hits.len;
        let mut k = run.start;
        while k < run.end {
            // SAFETY: `check` found 8 more atoms than the run ends with.
            let (x, y, z) = unsafe {
                (
                    _mm512_loadu_pd(atoms.x.as_ptr().add(k)),
                    _mm512_loadu_pd(atoms.y.as_ptr().add(k)),
                    _mm512_loadu_pd(atoms.z.as_ptr().add(k)),
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
            let left = run.end - k;
            let of_run = if left >= 8 { 0xff } else { (1u8 << left) - 1 };
            let inside = _mm512_mask_cmp_pd_mask::<_CMP_LT_OQ>(of_run, squared, cutoff_squared);
            if KEEP {
                // SAFETY: the run has at most `PIECE` atoms, for which `check` found room, and 8 more.
                unsafe {
                    _mm512_storeu_pd(
                        hits.squared.as_mut_ptr().add(len).cast(),
                        _mm512_maskz_compress_pd(inside, squared),
                    );
                    _mm256_storeu_si256(
                        hits.slots.as_mut_ptr().add(len).cast(),
                        _mm256_maskz_compress_epi32(inside, slots),
                    );
                    _mm256_storeu_si256(hits.images.as_mut_ptr().add(len).cast(), image);
                }
            }
            len += inside.count_ones() as usize;
            slots = _mm256_add_epi32(slots, step);
            k += 8;
        }
        hits.len = len;
    }

    /// For each mask of four lanes, the order of pairs of 32 bits that brings them to the front.
    const TO_FRONT: [[u32; 8]; 16] = {
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

    /// Adds the atoms of a run that are within the cutoff; without `KEEP` they are only counted.
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
    #[inline]
    pub fn avx2<const KEEP: bool>(atoms: &Atoms, run: &Run, hits: &mut Hits) {
        check::<KEEP>(atoms, run, hits);
        let [x0, y0, z0] = run.origin;
        let (x0, y0, z0) = (_mm256_set1_pd(x0), _mm256_set1_pd(y0), _mm256_set1_pd(z0));
        let cutoff_squared = _mm256_set1_pd(run.cutoff_squared);
        let image = _mm_set1_epi32(run.image as i32);
        let mut len = hits.len;
        let mut k = run.start;
        while k < run.end {
            // SAFETY: `check` found 8 more atoms than the run ends with.
            let (x, y, z) = unsafe {
                (
                    _mm256_loadu_pd(atoms.x.as_ptr().add(k)),
                    _mm256_loadu_pd(atoms.y.as_ptr().add(k)),
                    _mm256_loadu_pd(atoms.z.as_ptr().add(k)),
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
            let left = run.end - k;
            let of_run = if left >= 4 { 0xf } else { (1usize << left) - 1 };
            let inside = _mm256_cmp_pd::<_CMP_LT_OQ>(squared, cutoff_squared);
            let inside = _mm256_movemask_pd(inside) as usize & of_run;
            if KEEP {
                // SAFETY: a row of the table is as long as the vector; the stores as above.
                unsafe {
                    let order = _mm256_loadu_si256(TO_FRONT[inside].as_ptr().cast());
                    let front = _mm256_permutevar8x32_ps(_mm256_castpd_ps(squared), order);
                    _mm256_storeu_pd(
                        hits.squared.as_mut_ptr().add(len).cast(),
                        _mm256_castps_pd(front),
                    );
                    // The pairs of 32 bits came from lane `order / 2`.
                    let lanes = _mm256_srli_epi32::<1>(order);
                    let lanes = _mm256_permutevar8x32_epi32(
                        lanes,
                        _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6),
                    );
                    let slots =
                        _mm_add_epi32(_mm_set1_epi32(k as i32), _mm256_castsi256_si128(lanes));
                    _mm_storeu_si128(hits.slots.as_mut_ptr().add(len).cast(), slots);
                    _mm_storeu_si128(hits.images.as_mut_ptr().add(len).cast(), image);
                }
            }
            len += inside.count_ones() as usize;
            k += 4;
        }
        hits.len = len;
    }
}
