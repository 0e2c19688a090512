//! Real-space part: screened pairs from the neighbour grid, a block at a time.

use super::parameters::Parameters;
use super::{LANES, Lanes, erfc};
use crate::error::CrystalError;
use crate::neighbors::{Block, BlockVisitor, NeighborGrid};

/// Charges closer than this (angstrom) are one site written twice, not a structure.
const COINCIDENT: f64 = 0.01;

/// Potential of one kind at a site, in e/angstrom.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Potential {
    /// Sum over the other charges.
    pub value: f64,
    /// The same sum with all terms positive: what rounding errors are relative to.
    pub magnitude: f64,
}

/// Sum of `q_j erfc(alpha r) / r` over the neighbours of a site within the grid's cutoff.
/// `charges` are those of the grid's slots.
pub(super) fn potential(
    grid: &NeighborGrid,
    charges: &[f64],
    site: usize,
    parameters: &Parameters,
) -> Result<Potential, CrystalError> {
    if parameters.short {
        sum::<true>(grid, charges, site, parameters.alpha)
    } else {
        sum::<false>(grid, charges, site, parameters.alpha)
    }
}

/// The sum with the short or the accurate expression.
fn sum<const SHORT: bool>(
    grid: &NeighborGrid,
    charges: &[f64],
    site: usize,
    alpha: f64,
) -> Result<Potential, CrystalError> {
    let mut sum = Sum::<SHORT> {
        alpha,
        charges,
        values: [0.0; LANES],
        magnitudes: [0.0; LANES],
        nearest: [f64::INFINITY; LANES],
    };
    grid.for_each_block(site, &mut sum);
    if sum
        .nearest
        .iter()
        .any(|squared| *squared < COINCIDENT * COINCIDENT)
    {
        return Err(coincident(grid, charges, site));
    }
    Ok(Potential {
        value: sum.values.iter().sum(),
        magnitude: sum.magnitudes.iter().sum(),
    })
}

/// Sums over the pairs of one site, one for each place in a group.
struct Sum<'a, const SHORT: bool> {
    alpha: f64,
    charges: &'a [f64],
    values: Lanes,
    magnitudes: Lanes,
    /// Smallest squared distance to a charge.
    nearest: Lanes,
}

impl<const SHORT: bool> BlockVisitor for Sum<'_, SHORT> {
    #[inline(always)]
    fn visit(&mut self, block: &Block<'_>) {
        for (squared, slots) in block.squared().iter().zip(block.slots()) {
            let (mut charges, mut screened) = ([0.0; LANES], [0.0; LANES]);
            for x in 0..LANES {
                screened[x] = erfc::screened::<SHORT>(self.alpha, squared[x]);
            }
            for x in 0..LANES {
                charges[x] = self.charges[slots[x] as usize];
            }
            for x in 0..LANES {
                // What has no charge may be at the place of the site.
                let is_charged = charges[x] != 0.0;
                let term = if is_charged {
                    charges[x] * screened[x]
                } else {
                    0.0
                };
                self.values[x] += term;
                self.magnitudes[x] += term.abs();
                let nearer = squared[x] < self.nearest[x] && is_charged;
                self.nearest[x] = if nearer { squared[x] } else { self.nearest[x] };
            }
        }
    }
}

/// The error for the charge that is at the place of another.
fn coincident(grid: &NeighborGrid, charges: &[f64], site: usize) -> CrystalError {
    let (mut other, mut distance) = (site, f64::INFINITY);
    grid.for_each_block(site, &mut |block: &Block<'_>| {
        let slots = block.slots().as_flattened();
        for k in 0..block.len() {
            if charges[slots[k] as usize] != 0.0 && block.distance(k) < distance {
                (other, distance) = (block.site(k), block.distance(k));
            }
        }
    });
    CrystalError::CoincidentSites {
        site,
        other,
        distance,
    }
}
