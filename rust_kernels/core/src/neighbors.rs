//! Periodic neighbours within a cutoff, in any lattice.
//!
//! Convention: `r_ij = r_j - r_i + shift @ lattice`, distances strictly below the cutoff, images
//! of an atom with itself included, the pair of an atom with itself at shift zero not.

mod fill;
mod grid;
mod images;
mod labels;
mod line;
mod list;
mod rows;
mod scan;
mod search;
#[cfg(test)]
mod tests;

use std::f64::consts::PI;

use crate::batch::Crystal;
use crate::error::{BatchError, CrystalError};
pub use grid::{Neighbor, NeighborGrid};
pub use images::{CellImages, MOST_SITES, PairBlock, PairVisitor, Pairs};
pub use list::{NeighborLists, PairSlices};
pub use scan::LANES;
pub use search::{Block, BlockVisitor, MOST_MEMBERS, Place};

/// Most pairs of one crystal that are listed or summed over (36 bytes a pair: 18 GB as a list).
const MAX_PAIRS: f64 = 5e8;

/// Least fractional coordinate along `k`, and by how much the greatest exceeds it (not quite 0).
fn span(crystal: &Crystal<'_>, k: usize) -> (f64, f64) {
    let along = || crystal.frac_coords.iter().map(|frac| frac[k]);
    let low = along().fold(f64::INFINITY, f64::min);
    let high = along().fold(f64::NEG_INFINITY, f64::max);
    (low, (high - low).max(1e-9))
}

/// Refuses a cutoff that is not positive and finite.
pub fn check_cutoff(cutoff: f64) -> Result<(), BatchError> {
    if cutoff > 0.0 && cutoff.is_finite() {
        Ok(())
    } else {
        let expected = "a positive number of angstrom";
        Err(BatchError::Parameter {
            parameter: "cutoff",
            found: cutoff,
            expected,
        })
    }
}

/// Refuses a crystal with more pairs than memory and time allow, else says about how many it has.
pub fn check_pairs(crystal: &Crystal<'_>, cutoff: f64) -> Result<usize, CrystalError> {
    let pairs = expected_pairs(crystal, cutoff);
    if pairs > MAX_PAIRS {
        let limit = MAX_PAIRS;
        return Err(CrystalError::TooManyPairs {
            pairs,
            cutoff,
            limit,
        });
    }
    Ok(pairs as usize)
}

/// Pairs within the cutoff at the mean number density of the space that the atoms fill.
///
/// Where the crystal is not periodic, that space is as thick as the atoms lie apart, but no thinner
/// than where a slab of that thickness takes in the whole sphere.
fn expected_pairs(crystal: &Crystal<'_>, cutoff: f64) -> f64 {
    let n = crystal.n_sites() as f64;
    let spacings = crystal.lattice.plane_spacings();
    let mut volume = crystal.lattice.volume();
    for k in (0..3).filter(|&k| !crystal.pbc[k]) {
        volume *= span(crystal, k).1.max(4.0 / 3.0 * cutoff / spacings[k]);
    }
    let pairs = n * n * 4.0 / 3.0 * PI * cutoff.powi(3) / volume;
    if crystal.pbc.contains(&true) {
        pairs
    } else {
        pairs.min(n * n)
    }
}
