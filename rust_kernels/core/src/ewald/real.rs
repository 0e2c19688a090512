//! Real-space part: screened pairs from the neighbour grid, streamed through short blocks.

use super::erfc::erfc;
use crate::error::CrystalError;
use crate::neighbors::NeighborGrid;

/// Charges closer than this (angstrom) are one site written twice, not a structure.
const COINCIDENT: f64 = 0.01;

/// Pairs that are screened at a time, so that the loop over them vectorises.
const BLOCK: usize = 8;

/// Potential of one kind at a site, in e/angstrom.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Potential {
    /// Sum over the other charges.
    pub value: f64,
    /// The same sum with all terms positive: what rounding errors are relative to.
    pub magnitude: f64,
}

/// Sum of `q_j erfc(alpha r) / r` over the neighbours of a site within the grid's cutoff.
pub(super) fn potential(
    grid: &NeighborGrid,
    charges: &[f64],
    site: usize,
    alpha: f64,
) -> Result<Potential, CrystalError> {
    let mut block = Block::new(alpha);
    let mut coincident = None;
    grid.for_each(site, |neighbor| {
        let charge = charges[neighbor.site];
        if charge == 0.0 {
            return;
        }
        if neighbor.distance < COINCIDENT {
            coincident = Some((neighbor.site, neighbor.distance));
        } else {
            block.push(neighbor.distance, charge);
        }
    });
    match coincident {
        Some((other, distance)) => Err(CrystalError::CoincidentSites {
            site,
            other,
            distance,
        }),
        None => Ok(block.finish()),
    }
}

/// Pairs that wait to be screened, and the sums of those that were, one for each place in the block.
struct Block {
    alpha: f64,
    len: usize,
    distances: [f64; BLOCK],
    charges: [f64; BLOCK],
    values: [f64; BLOCK],
    magnitudes: [f64; BLOCK],
}

impl Block {
    fn new(alpha: f64) -> Self {
        Self {
            alpha,
            len: 0,
            distances: [1.0; BLOCK],
            charges: [0.0; BLOCK],
            values: [0.0; BLOCK],
            magnitudes: [0.0; BLOCK],
        }
    }

    #[inline(always)]
    fn push(&mut self, distance: f64, charge: f64) {
        self.distances[self.len] = distance;
        self.charges[self.len] = charge;
        self.len += 1;
        if self.len == BLOCK {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let screening = erfc(&self.distances.map(|distance| self.alpha * distance));
        for (k, screening) in screening.iter().enumerate() {
            let term = self.charges[k] * screening / self.distances[k];
            self.values[k] += term;
            self.magnitudes[k] += term.abs();
        }
        // What stays of this block in the last one must add nothing.
        self.charges = [0.0; BLOCK];
        self.len = 0;
    }

    fn finish(mut self) -> Potential {
        self.flush();
        Potential {
            value: self.values.iter().sum(),
            magnitude: self.magnitudes.iter().sum(),
        }
    }
}
