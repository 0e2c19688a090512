//! Bonds by distance: how many there are, how long, at which angles, between which atoms.
//!
//! Two sites are bonded that are closer than a multiple of the sum of their radii. The multiple is
//! smaller for two anions, which touch without a bond unless they form a molecule ion, and two
//! cations do not bond: covalent radii of electropositive elements reach well beyond their ions.
//!
//! Besides, bond orders `exp((r_i + r_j - d) / 0.37)` are summed over all pairs that are not two
//! cations, bonded or not: the relation of L. Pauling, J. Am. Chem. Soc. 69, 542 (1947), doi
//! 10.1021/ja01195a024, with the softness of bond valences.

mod atoms;
mod moments;
mod site;

use rayon::prelude::*;

use crate::batch::{Crystal, CrystalBatch};
use crate::elements::SYMBOLS;
use crate::error::{BatchError, CrystalError};
use crate::neighbors::{NeighborGrid, check_pairs};
use atoms::Atoms;
use moments::Moments;
use site::{BondSearch, Buffers, SiteBonds, SlotAtoms};

/// Largest radius, in angstrom, and largest multiple of a sum of radii that are taken.
const LARGEST_RADIUS: f64 = 5.0;
const LARGEST_FACTOR: f64 = 3.0;

/// Fewest sites that a thread takes at a time in a large crystal.
const MIN_SITES_PER_JOB: usize = 16;

/// What is a bond, and what is known of the elements.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// (118,) in angstrom, NaN where unknown.
    pub radii: &'a [f64],
    /// (118,) NaN where unknown.
    pub electronegativities: &'a [f64],
    /// Longest bond in sums of radii.
    pub bond_factor: f64,
    /// The same of two anions.
    pub anion_factor: f64,
}

impl Options<'_> {
    fn validate(&self) -> Result<(), BatchError> {
        for (array, values) in [
            ("radii", self.radii),
            ("electronegativities", self.electronegativities),
        ] {
            if values.len() != SYMBOLS.len() {
                return Err(BatchError::Length {
                    array,
                    found: values.len(),
                    expected: SYMBOLS.len(),
                });
            }
        }
        let sound = |radius: &f64| radius.is_nan() || (*radius > 0.0 && *radius <= LARGEST_RADIUS);
        if let Some(found) = self.radii.iter().find(|radius| !sound(radius)) {
            return Err(BatchError::Parameter {
                parameter: "radii",
                found: *found,
                expected: "positive, to 5 angstrom, or NaN",
            });
        }
        for (parameter, found) in [
            ("bond_factor", self.bond_factor),
            ("anion_factor", self.anion_factor),
        ] {
            if !(0.0..=LARGEST_FACTOR).contains(&found) {
                return Err(BatchError::Parameter {
                    parameter,
                    found,
                    expected: "0 (no bond) to 3 sums of radii",
                });
            }
        }
        Ok(())
    }
}

/// Bonds of one crystal. Each statistic is mean, standard deviation, least and greatest value, NaN
/// where there is none; bonds are weighted by the occupancies of both ends, angles by those of all
/// three sites.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BondStatistics {
    /// Bonds of a site, over the sites.
    pub coordination_numbers: [f64; 4],
    /// In angstrom.
    pub lengths: [f64; 4],
    /// Over the sum of radii.
    pub relative_lengths: [f64; 4],
    /// In degrees.
    pub angles: [f64; 4],
    /// Absolute differences of electronegativity.
    pub electronegativity_differences: [f64; 4],
    /// Bonds in the cell, each once.
    pub n_bonds: f64,
    /// Fraction of the bonds whose two ends hold different elements; NaN without bonds.
    pub unlike_fraction: f64,
    /// Sum of the bond orders in the cell, each pair once.
    pub bond_order: f64,
}

/// Bonds of each crystal.
pub fn bond_statistics(
    batch: &CrystalBatch<'_>,
    options: &Options<'_>,
) -> Result<Vec<Result<BondStatistics, CrystalError>>, BatchError> {
    options.validate()?;
    Ok(batch.par_map_init(Buffers::default, |buffers, _, crystal| {
        let atoms = Atoms::new(crystal, options)?;
        let representatives = crystal.representatives();
        let mut multiplicities = vec![0.0; crystal.n_sites()];
        for &first in &representatives {
            multiplicities[first] += 1.0;
        }
        let distinct: Vec<usize> = (0..crystal.n_sites())
            .filter(|&site| multiplicities[site] > 0.0 && atoms.occupancies[site] > 0.0)
            .collect();
        let found = match atoms.reach(options) {
            Some(reach) => {
                check_pairs(crystal, reach)?;
                let grid = NeighborGrid::new(crystal, reach);
                let slots = SlotAtoms::new(&atoms, &grid);
                let search = BondSearch {
                    crystal,
                    options,
                    atoms: &atoms,
                    grid: &grid,
                    slots: &slots,
                };
                bonds_around(buffers, crystal, &search, &distinct)
            }
            None => vec![SiteBonds::default(); distinct.len()],
        };
        let weights = distinct
            .iter()
            .map(|&site| multiplicities[site] * atoms.occupancies[site]);
        Ok(summarize(weights.zip(&found)))
    }))
}

/// The bonds of some sites, in parallel in a large crystal.
fn bonds_around(
    buffers: &mut Buffers,
    crystal: &Crystal<'_>,
    search: &BondSearch<'_>,
    sites: &[usize],
) -> Vec<SiteBonds> {
    if crystal.is_large() {
        sites
            .par_iter()
            .with_min_len(MIN_SITES_PER_JOB)
            .map_init(Buffers::default, |buffers, site| {
                search.around(*site, buffers)
            })
            .collect()
    } else {
        sites
            .iter()
            .map(|site| search.around(*site, buffers))
            .collect()
    }
}

/// Statistics over sites, each with its weight.
fn summarize<'a>(sites: impl Iterator<Item = (f64, &'a SiteBonds)>) -> BondStatistics {
    let mut coordination_numbers = Moments::default();
    let mut total = SiteBonds::default();
    for (weight, site) in sites {
        coordination_numbers.add(site.coordination_number, weight);
        total.lengths.merge(&site.lengths, weight);
        total.relative_lengths.merge(&site.relative_lengths, weight);
        total.angles.merge(&site.angles, weight);
        total
            .electronegativity_differences
            .merge(&site.electronegativity_differences, weight);
        total.unlike += weight * site.unlike;
        total.order += weight * site.order;
    }
    BondStatistics {
        coordination_numbers: coordination_numbers.statistics(),
        lengths: total.lengths.statistics(),
        relative_lengths: total.relative_lengths.statistics(),
        angles: total.angles.statistics(),
        electronegativity_differences: total.electronegativity_differences.statistics(),
        n_bonds: 0.5 * total.lengths.weight(),
        unlike_fraction: total.unlike / total.lengths.weight(),
        bond_order: 0.5 * total.order,
    }
}
