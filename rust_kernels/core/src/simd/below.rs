//! Which of a few numbers are less than a limit, as bits.

/// So many numbers are compared at a time.
const LANES: usize = 8;

/// One bit for each number, set where it is less than the limit.
#[inline(always)]
pub fn below(values: &[f64; LANES], limit: f64) -> u8 {
    let bit = |(lane, value): (usize, &f64)| u8::from(*value < limit) << lane;
    values
        .iter()
        .enumerate()
        .map(bit)
        .fold(0, |all, bit| all | bit)
}

#[cfg(target_arch = "x86_64")]
pub use x86::{below_avx2, below_avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::LANES;

    /// The same with AVX2.
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
    #[inline]
    pub fn below_avx2(values: &[f64; LANES], limit: f64) -> u8 {
        let limit = _mm256_set1_pd(limit);
        // SAFETY: there are 8 numbers.
        let [low, high] = unsafe {
            [
                _mm256_loadu_pd(values.as_ptr()),
                _mm256_loadu_pd(values.as_ptr().add(4)),
            ]
        };
        let [low, high] = [low, high]
            .map(|values| _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_LT_OQ>(values, limit)) as u8);
        low | high << 4
    }

    /// The same with AVX-512.
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
    #[inline]
    pub fn below_avx512(values: &[f64; LANES], limit: f64) -> u8 {
        // SAFETY: there are 8 numbers.
        let values = unsafe { _mm512_loadu_pd(values.as_ptr()) };
        _mm512_cmp_pd_mask::<_CMP_LT_OQ>(values, _mm512_set1_pd(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_of_the_lanes_on_every_level() {
        let values = [1.0, f64::NAN, -3.0, 2.0, f64::INFINITY, 1.9, -0.0, 7.0];
        let expected = 0b0110_0101;
        assert_eq!(below(&values, 2.0), expected);
        #[cfg(target_arch = "x86_64")]
        {
            use crate::simd::Level;
            if Level::Avx2.is_supported() {
                // SAFETY: the processor has the instructions.
                assert_eq!(unsafe { below_avx2(&values, 2.0) }, expected);
            }
            if Level::Avx512.is_supported() {
                // SAFETY: as above.
                assert_eq!(unsafe { below_avx512(&values, 2.0) }, expected);
            }
        }
    }
}
