//! Atoms of a small crystal and its images in one line, and which of them are within the cutoff of
//! a site.
//!
//! Much as [`super::scan`], for atoms that come one by one rather than in runs, and of which it does
//! not matter what image they are in. Each level keeps the atoms in their order and computes
//! `(dx dx + dy dy) + dz dz`, so that all find the same at the same distances, bit for bit.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::LANES;
use super::scan::{self, CAPACITY, PIECE};
use crate::lattice::Vec3;

/// Most atoms of a line.
const MOST: usize = 1024;

/// Some atoms that may be within the cutoff of some sites: their coordinates, and whose images they
/// are.
///
/// As with [`Hits`], nothing is written to begin with. The first `len` of each array are, by `take`,
/// and after `pad` all up to the end of the last group of [`LANES`].
#[derive(Debug)]
pub struct Line {
    len: usize,
    coords: [[MaybeUninit<f64>; MOST + LANES]; 3],
    sites: [MaybeUninit<u32>; MOST + LANES],
}

/// A group of atoms that may come into a line: coordinates, the squared distance that has to be below
/// the limit, and the site of the first.
#[derive(Debug)]
pub struct Group {
    pub coords: [[f64; LANES]; 3],
    pub beyond: [f64; LANES],
    pub first: u32,
}

impl Line {
    #[inline(always)]
    pub fn new() -> Self {
        Self {
            len: 0,
            coords: [[MaybeUninit::uninit(); MOST + LANES]; 3],
            sites: [MaybeUninit::uninit(); MOST + LANES],
        }
    }

    /// Number of atoms.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there might be no room for another group.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.len > MOST - LANES
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
        for coords in &mut self.coords {
            coords[end.clone()].fill(MaybeUninit::new(f64::INFINITY));
        }
        self.sites[end].fill(MaybeUninit::new(0));
    }

    /// Moves an atom, if it is one, infinitely far away; gives its first coordinate.
    #[inline(always)]
    pub fn hide(&mut self, atom: usize) -> f64 {
        if atom >= self.len {
            return f64::INFINITY;
        }
        let x = &mut self.coords[0][atom];
        // SAFETY: written by `take`, as are all up to `len`.
        unsafe { std::mem::replace(x, MaybeUninit::new(f64::INFINITY)).assume_init() }
    }

    /// Brings it back.
    #[inline(always)]
    pub fn show(&mut self, atom: usize, x: f64) {
        if atom < self.len {
            self.coords[0][atom].write(x);
        }
    }

    /// Adds those of a group that are marked.
    #[inline(always)]
    fn add(&mut self, group: &Group, marks: u8) {
        let mut marks = u32::from(marks);
        while marks != 0 {
            let lane = marks.trailing_zeros();
            marks &= marks - 1;
            for (to, from) in self.coords.iter_mut().zip(&group.coords) {
                to[self.len].write(from[lane as usize]);
            }
            self.sites[self.len].write(group.first + lane);
            self.len += 1;
        }
    }
}

/// Atoms within the cutoff: their squared distances, and whose images they are.
///
/// The first `len` of each array are written, by the scans that raised `len`.
#[derive(Debug)]
pub struct Hits {
    len: usize,
    squared: [MaybeUninit<f64>; CAPACITY + LANES],
    sites: [MaybeUninit<u32>; CAPACITY + LANES],
}

impl Hits {
    #[inline(always)]
    pub fn new() -> Self {
        Self {
            len: 0,
            squared: [MaybeUninit::uninit(); CAPACITY + LANES],
            sites: [MaybeUninit::uninit(); CAPACITY + LANES],
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
        self.squared[self.len..self.len + LANES].fill(MaybeUninit::new(f64::INFINITY));
    }

    /// Squared distances in whole groups of [`LANES`]; to be padded first.
    #[inline(always)]
    pub fn squared(&self) -> &[[f64; LANES]] {
        // SAFETY: written by the scans up to `len`, by `pad` up to the end of the group.
        unsafe { scan::groups(&self.squared, self.len) }
    }

    /// Whose images they are.
    #[inline(always)]
    pub fn sites(&self) -> &[u32] {
        let sites = &self.sites[..self.len];
        // SAFETY: the same layout; written by the scans up to `len`.
        unsafe { &*(std::ptr::from_ref(sites) as *const [u32]) }
    }
}

/// Which atoms of a line are tested, [`PIECE`] at most, and what against. They end with the line, or
/// are as many as [`PIECE`].
#[derive(Debug)]
pub struct Query {
    pub atoms: Range<usize>,
    pub origin: Vec3,
    pub cutoff_squared: f64,
}

impl Query {
    /// Checks, in one place, what the scans rest on: that the atoms are written up to the end of the
    /// last group, and that there is room for hits.
    #[inline(always)]
    fn check(&self, line: &Line, hits: &Hits) {
        let Range { start, end } = self.atoms;
        assert!(start < end && end <= start + PIECE);
        assert!(end <= line.len && line.len <= MOST);
        assert!(end == line.len || end == start + PIECE);
        assert!(hits.len + PIECE <= CAPACITY);
    }
}

/// Adds the atoms of a group that are nearer than the limit to a line that is not full.
#[inline(always)]
pub fn take_scalar(line: &mut Line, group: &Group, limit: f64) {
    assert!(!line.is_full());
    let beyond = group.beyond.iter().enumerate();
    let marks = beyond.map(|(lane, beyond)| u8::from(*beyond < limit) << lane);
    line.add(group, marks.fold(0, |all, mark| all | mark));
}

/// Adds the atoms that are within the cutoff to the hits. The line is to be padded.
#[inline(always)]
pub fn test_scalar(line: &Line, query: &Query, hits: &mut Hits) {
    query.check(line, hits);
    let [x0, y0, z0] = query.origin;
    for k in query.atoms.clone() {
        // SAFETY: written by `take`, as are all up to `len`.
        let [x, y, z] = [0, 1, 2].map(|axis| unsafe { line.coords[axis][k].assume_init() });
        let (dx, dy, dz) = (x - x0, y - y0, z - z0);
        let squared = (dx * dx + dy * dy) + dz * dz;
        // Written in any case, and overwritten unless it counts: no branch to predict.
        hits.squared[hits.len].write(squared);
        hits.sites[hits.len] = line.sites[k];
        hits.len += usize::from(squared < query.cutoff_squared);
    }
}

#[cfg(target_arch = "x86_64")]
pub use x86::{take_avx2, take_avx512, test_avx2, test_avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Group, Hits, LANES, Line, Query};
    use crate::neighbors::scan::TO_FRONT;

    /// As [`super::take_scalar`].
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
    #[inline]
    pub fn take_avx2(line: &mut Line, group: &Group, limit: f64) {
        assert!(!line.is_full());
        let limit = _mm256_set1_pd(limit);
        let beyond = group.beyond.as_ptr();
        // SAFETY: there are 8 numbers.
        let halves = unsafe { [_mm256_loadu_pd(beyond), _mm256_loadu_pd(beyond.add(4))] };
        let [low, high] =
            halves.map(|half| _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_LT_OQ>(half, limit)) as u8);
        line.add(group, low | high << 4);
    }

    /// As [`super::take_scalar`].
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
    #[inline]
    pub fn take_avx512(line: &mut Line, group: &Group, limit: f64) {
        assert!(!line.is_full());
        let sites = _mm256_add_epi32(
            _mm256_set1_epi32(group.first as i32),
            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
        );
        // SAFETY: the groups hold 8 numbers, and there is room for as many in a line that is not full.
        unsafe {
            let beyond = _mm512_loadu_pd(group.beyond.as_ptr());
            let near = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(beyond, _mm512_set1_pd(limit));
            for (to, from) in line.coords.iter_mut().zip(&group.coords) {
                _mm512_storeu_pd(
                    to.as_mut_ptr().add(line.len).cast(),
                    _mm512_maskz_compress_pd(near, _mm512_loadu_pd(from.as_ptr())),
                );
            }
            _mm256_storeu_si256(
                line.sites.as_mut_ptr().add(line.len).cast(),
                _mm256_maskz_compress_epi32(near, sites),
            );
            line.len += near.count_ones() as usize;
        }
    }

    /// As [`super::test_scalar`], eight atoms at a time.
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
    #[inline]
    pub fn test_avx512(line: &Line, query: &Query, hits: &mut Hits) {
        query.check(line, hits);
        let [x0, y0, z0] = query.origin.map(|x| _mm512_set1_pd(x));
        let [x, y, z] = line.coords.each_ref().map(|x| x.as_ptr().cast::<f64>());
        let sites = line.sites.as_ptr();
        let cutoff_squared = _mm512_set1_pd(query.cutoff_squared);
        let mut len = hits.len;
        for k in query.atoms.clone().step_by(LANES) {
            // SAFETY: `check` found the group within the line, and `pad` has filled it up; it found
            // room for all atoms of the query, which are whole groups but for the last.
            unsafe {
                let (x, y, z) = (
                    _mm512_sub_pd(_mm512_loadu_pd(x.add(k)), x0),
                    _mm512_sub_pd(_mm512_loadu_pd(y.add(k)), y0),
                    _mm512_sub_pd(_mm512_loadu_pd(z.add(k)), z0),
                );
                let squared = _mm512_add_pd(
                    _mm512_add_pd(_mm512_mul_pd(x, x), _mm512_mul_pd(y, y)),
                    _mm512_mul_pd(z, z),
                );
                let inside = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(squared, cutoff_squared);
                _mm512_storeu_pd(
                    hits.squared.as_mut_ptr().add(len).cast(),
                    _mm512_maskz_compress_pd(inside, squared),
                );
                let sites = _mm256_loadu_si256(sites.add(k).cast());
                _mm256_storeu_si256(
                    hits.sites.as_mut_ptr().add(len).cast(),
                    _mm256_maskz_compress_epi32(inside, sites),
                );
                len += inside.count_ones() as usize;
            }
        }
        hits.len = len;
    }

    /// As [`super::test_scalar`], four atoms at a time.
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
    #[inline]
    pub fn test_avx2(line: &Line, query: &Query, hits: &mut Hits) {
        query.check(line, hits);
        let [x0, y0, z0] = query.origin.map(|x| _mm256_set1_pd(x));
        let [x, y, z] = line.coords.each_ref().map(|x| x.as_ptr().cast::<f64>());
        let sites = line.sites.as_ptr();
        let cutoff_squared = _mm256_set1_pd(query.cutoff_squared);
        let mut len = hits.len;
        for k in query.atoms.clone().step_by(4) {
            // SAFETY: as with AVX-512; a row of the table is as long as the vector.
            unsafe {
                let (x, y, z) = (
                    _mm256_sub_pd(_mm256_loadu_pd(x.add(k)), x0),
                    _mm256_sub_pd(_mm256_loadu_pd(y.add(k)), y0),
                    _mm256_sub_pd(_mm256_loadu_pd(z.add(k)), z0),
                );
                let squared = _mm256_add_pd(
                    _mm256_add_pd(_mm256_mul_pd(x, x), _mm256_mul_pd(y, y)),
                    _mm256_mul_pd(z, z),
                );
                let inside = _mm256_cmp_pd::<_CMP_LT_OQ>(squared, cutoff_squared);
                let inside = _mm256_movemask_pd(inside) as usize;
                let order = _mm256_loadu_si256(TO_FRONT[inside].as_ptr().cast());
                let front = _mm256_permutevar8x32_ps(_mm256_castpd_ps(squared), order);
                _mm256_storeu_pd(
                    hits.squared.as_mut_ptr().add(len).cast(),
                    _mm256_castps_pd(front),
                );
                // The pairs of 32 bits came from lane `order / 2`.
                let lanes = _mm256_permutevar8x32_epi32(
                    _mm256_srli_epi32::<1>(order),
                    _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6),
                );
                let sites = _mm_castsi128_ps(_mm_loadu_si128(sites.add(k).cast()));
                let front = _mm_permutevar_ps(sites, _mm256_castsi256_si128(lanes));
                _mm_storeu_si128(
                    hits.sites.as_mut_ptr().add(len).cast(),
                    _mm_castps_si128(front),
                );
                len += inside.count_ones() as usize;
            }
        }
        hits.len = len;
    }
}
