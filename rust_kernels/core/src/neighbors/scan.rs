//! The innermost loop: which atoms of a run are within the cutoff of a point.
//!
//! Each level keeps the atoms in their order and computes `(dx dx + dy dy) + dz dz`, so that all
//! find the same atoms at the same distances, bit for bit.

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
#[derive(Debug)]
pub struct Hits {
    pub len: usize,
    pub squared: [f64; CAPACITY + LANES],
    pub slots: [u32; CAPACITY + LANES],
    /// Which image of the rows each atom was found in.
    pub images: [u32; CAPACITY + LANES],
}

impl Hits {
    pub fn new() -> Self {
        Self {
            len: 0,
            squared: [0.0; CAPACITY + LANES],
            slots: [0; CAPACITY + LANES],
            images: [0; CAPACITY + LANES],
        }
    }
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
            hits.squared[hits.len] = squared;
            hits.slots[hits.len] = k as u32;
            hits.images[hits.len] = run.image;
        }
        hits.len += usize::from(squared < run.cutoff_squared);
    }
}

#[cfg(target_arch = "x86_64")]
pub use x86::{avx2, avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Atoms, CAPACITY, Hits, LANES, PIECE, Run};

    /// Checks, in one place, what the loads and stores below rest on.
    #[inline(always)]
    fn check(atoms: &Atoms, run: &Run, hits: &Hits) {
        let padded = run.end + LANES;
        let shortest = atoms.x.len().min(atoms.y.len()).min(atoms.z.len());
        assert!(padded <= shortest && run.end <= run.start + PIECE);
        assert!(hits.len + PIECE <= CAPACITY);
    }

    /// Adds the atoms of a run that are within the cutoff; without `KEEP` they are only counted.
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
    #[inline]
    pub fn avx512<const KEEP: bool>(atoms: &Atoms, run: &Run, hits: &mut Hits) {
        check(atoms, run, hits);
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
                        hits.squared.as_mut_ptr().add(len),
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
        check(atoms, run, hits);
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
                    _mm256_storeu_pd(hits.squared.as_mut_ptr().add(len), _mm256_castps_pd(front));
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
