//! Site and lattice translation of an atom in one, so that they are fetched and moved at once.

#[cfg(not(target_arch = "x86_64"))]
use std::mem::MaybeUninit;

use super::LANES;

/// Lattice translation of an atom, for the coordinates as given, and its site: 16 bytes.
pub type Label = [i32; 4];

/// The sum of three labels.
#[inline(always)]
pub fn sum(labels: [&Label; 3]) -> Label {
    let [one, two, three] = labels;
    std::array::from_fn(|k| one[k] + two[k] + three[k])
}

/// Writes the sums of three labels each: their sites, counted from `base`, and translations.
#[inline(always)]
#[cfg(not(target_arch = "x86_64"))]
pub fn write_sums<'a>(
    labels: impl Fn(usize) -> [&'a Label; 3],
    base: i64,
    sites: &mut [MaybeUninit<i64>; LANES],
    shifts: &mut [[MaybeUninit<i32>; 3]; LANES],
) {
    for (k, (site, shift)) in sites.iter_mut().zip(shifts).enumerate() {
        let [x, y, z, number] = sum(labels(k));
        site.write(base + i64::from(number));
        *shift = [x, y, z].map(MaybeUninit::new);
    }
}

#[cfg(target_arch = "x86_64")]
pub use x86::write_sums;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::mem::MaybeUninit;

    use super::{LANES, Label};

    /// Writes the sums of three labels each: their sites, counted from `base`, and translations.
    ///
    /// With SSE2, which every x86-64 has: left to itself, the compiler takes labels apart.
    #[inline(always)]
    pub fn write_sums<'a>(
        labels: impl Fn(usize) -> [&'a Label; 3],
        base: i64,
        sites: &mut [MaybeUninit<i64>; LANES],
        shifts: &mut [[MaybeUninit<i32>; 3]; LANES],
    ) {
        let (sites, shifts) = (sites.as_chunks_mut().0, shifts.as_chunks_mut().0);
        for (half, (sites, shifts)) in sites.iter_mut().zip(shifts).enumerate() {
            // One by one: `from_fn` would call for each.
            let [a, b, c, d] = [4 * half, 4 * half + 1, 4 * half + 2, 4 * half + 3];
            let labels = [labels(a), labels(b), labels(c), labels(d)];
            // SAFETY: every x86-64 has SSE2.
            unsafe { write_four(labels, base, sites, shifts) };
        }
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn write_four(
        labels: [[&Label; 3]; 4],
        base: i64,
        sites: &mut [MaybeUninit<i64>; 4],
        shifts: &mut [[MaybeUninit<i32>; 3]; 4],
    ) {
        let [a, b, c, d] = labels.map(|labels| {
            // SAFETY: a label has 16 bytes.
            let [one, two, three] =
                labels.map(|label| unsafe { _mm_loadu_si128(label.as_ptr().cast()) });
            _mm_add_epi32(_mm_add_epi32(one, two), three)
        });
        // Four translations in three vectors: xyzx yzxy zxyz.
        let [af, bf, cf, df] = [a, b, c, d].map(|label| _mm_castsi128_ps(label));
        let az_bx = _mm_shuffle_ps::<0b00_00_10_10>(af, bf);
        let cz_dx = _mm_shuffle_ps::<0b00_00_10_10>(cf, df);
        let lines = [
            _mm_shuffle_ps::<0b10_00_01_00>(af, az_bx),
            _mm_shuffle_ps::<0b01_00_10_01>(bf, cf),
            _mm_shuffle_ps::<0b10_01_10_00>(cz_dx, df),
        ];
        // No site is negative.
        let numbers = _mm_unpackhi_epi32(_mm_unpackhi_epi32(a, c), _mm_unpackhi_epi32(b, d));
        let (zero, base) = (_mm_setzero_si128(), _mm_set1_epi64x(base));
        let pairs = [
            _mm_unpacklo_epi32(numbers, zero),
            _mm_unpackhi_epi32(numbers, zero),
        ];
        let shifts = shifts.as_mut_ptr().cast::<f32>();
        for (k, line) in lines.into_iter().enumerate() {
            // SAFETY: four translations have 48 bytes.
            unsafe { _mm_storeu_ps(shifts.add(4 * k), line) };
        }
        for (k, pair) in pairs.into_iter().enumerate() {
            // SAFETY: four sites have 32 bytes.
            unsafe {
                _mm_storeu_si128(
                    sites.as_mut_ptr().add(2 * k).cast(),
                    _mm_add_epi64(pair, base),
                );
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn sums_are_taken_apart_in_their_order() {
            let labels: [[Label; 3]; LANES] = std::array::from_fn(|k| {
                let k = k as i32;
                [[k, -k, 3, 100 + k], [10 * k, 7, -9, 0], [-1, -2 * k, k, 0]]
            });
            let base = 5_000_000_000;
            let mut sites = [MaybeUninit::new(0); LANES];
            let mut shifts = [[MaybeUninit::new(0); 3]; LANES];
            write_sums(|k| labels[k].each_ref(), base, &mut sites, &mut shifts);
            for (k, labels) in labels.iter().enumerate() {
                let [x, y, z, site] = super::super::sum(labels.each_ref());
                // SAFETY: there was something from the beginning.
                let found = unsafe { (sites[k].assume_init(), shifts[k].map(|x| x.assume_init())) };
                assert_eq!(found, (base + i64::from(site), [x, y, z]));
            }
        }
    }
}
