//! Which vector instructions to use, found out once at run time.
//!
//! The crate is built for any x86-64 (or other) processor. What profits from wider vectors is
//! compiled for each [`Level`] and picked by [`level`]. All levels do the same operations in the
//! same order and never fuse a multiplication with an addition, so that results are the same bit
//! for bit on every machine.

mod atan2;
mod below;
mod exp;
mod round;
mod turns;

pub use atan2::atan2;
pub(crate) use below::below;
#[cfg(target_arch = "x86_64")]
pub(crate) use below::{below_avx2, below_avx512};
pub use exp::exp;
pub use round::{fraction, round};
pub use turns::cos_sin_of_turns;

use std::sync::LazyLock;

/// Environment variable that forbids levels above the one it names.
pub const VARIABLE: &str = "PYHPC_SIMD";

/// Sets of vector instructions, each of which includes the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What every processor of the target has.
    Scalar,
    /// AVX2, BMI1, BMI2 and POPCNT: four doubles at a time.
    Avx2,
    /// Besides, AVX-512 F, BW, DQ and VL: eight doubles at a time.
    Avx512,
}

impl Level {
    /// From the least to the most.
    pub const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Avx512];

    /// The name that [`VARIABLE`] takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether this processor has the instructions.
    pub fn is_supported(self) -> bool {
        self <= *SUPPORTED
    }
}

static SUPPORTED: LazyLock<Level> = LazyLock::new(detect);

static LEVEL: LazyLock<Level> = LazyLock::new(|| {
    // A name that is not known is refused by who can say so; here it forbids what can be.
    let most = limit().unwrap_or(Level::Scalar);
    most.min(*SUPPORTED)
});

/// The level that the kernels use.
pub fn level() -> Level {
    *LEVEL
}

/// What [`VARIABLE`] allows; the value it has where that names no level.
pub fn limit() -> Result<Level, String> {
    let Some(value) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) else {
        return Ok(Level::Avx512);
    };
    let known = Level::ALL.into_iter().find(|level| value == level.name());
    known.ok_or_else(|| value.to_string_lossy().into_owned())
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Level {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("popcnt");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    match (avx2, avx512) {
        (true, true) => Level::Avx512,
        (true, false) => Level::Avx2,
        _ => Level::Scalar,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Level {
    Level::Scalar
}

/// Work that is compiled once for each level. Mark `run`, and what it calls in its loops,
/// `#[inline(always)]`: only what is inlined is compiled for the level.
pub trait Work {
    /// What the work results in.
    type Output;

    /// Does the work.
    fn run(self) -> Self::Output;
}

/// Does the work with the instructions of a level, which must be supported.
#[inline]
pub fn dispatch<W: Work>(level: Level, work: W) -> W::Output {
    assert!(level.is_supported());
    match level {
        Level::Scalar => work.run(),
        // SAFETY: the processor has the instructions, as asserted above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { run_avx2(work) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { run_avx512(work) },
        #[cfg(not(target_arch = "x86_64"))]
        _ => work.run(),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
fn run_avx2<W: Work>(work: W) -> W::Output {
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
fn run_avx512<W: Work>(work: W) -> W::Output {
    work.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_supported_level_runs_the_work() {
        struct Product<'a>(&'a [f64]);
        impl Work for Product<'_> {
            type Output = f64;

            #[inline(always)]
            fn run(self) -> f64 {
                self.0.iter().product()
            }
        }
        let factors: Vec<f64> = (1..=18).map(f64::from).collect();
        for level in Level::ALL.into_iter().filter(|level| level.is_supported()) {
            assert_eq!(dispatch(level, Product(&factors)), 6_402_373_705_728_000.0);
        }
        assert!(level().is_supported());
    }
}
