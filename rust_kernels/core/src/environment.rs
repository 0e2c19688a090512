//! What surrounds each site of a chosen ion: the nearest site of the same ion, the nearest anion,
//! and how many anions are bonded to it.

use crate::batch::{Crystal, CrystalBatch, map_sites};
use crate::error::{BatchError, CrystalError};
use crate::neighbors::{Block, NeighborGrid, check_pairs};

/// Number of elements that bond cutoffs are given for.
pub const N_ELEMENTS: usize = 118;

/// Radius of the first search in angstrom; nearly every ion has found all it looks for by then.
const FIRST_RADIUS: f64 = 5.0;

/// Nearest neighbours are sought no further than this, in angstrom.
const LAST_RADIUS: f64 = 20.0;

/// Surroundings of one site that the ion fills, at least in part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IonSite {
    /// Site within the crystal.
    pub site: usize,
    /// Occupancy of the site by the ion.
    pub amount: f64,
    /// Distance to the nearest site of the ion that can be filled at the same time, in angstrom;
    /// NaN when there is none within 20.
    pub ion_distance: f64,
    /// Distance to the nearest site that holds an anion, in angstrom; NaN as above.
    pub anion_distance: f64,
    /// Sum of the occupancies of the anions closer than their bond cutoff.
    pub coordination_number: f64,
}

/// Surroundings of the sites of element `atomic_number` in each crystal.
///
/// `bond_cutoffs[z - 1]` is the length in angstrom below which an anion of element z is bonded to
/// the ion, 0 for elements that are never taken for anions. An anion is what carries a negative
/// oxidation state; where the state is 0 or unknown, `anions[z - 1]` decides.
pub fn ion_environments(
    batch: &CrystalBatch<'_>,
    atomic_number: u8,
    bond_cutoffs: &[f64],
    anions: &[bool],
) -> Result<Vec<Result<Vec<IonSite>, CrystalError>>, BatchError> {
    for (array, found) in [
        ("bond_cutoffs", bond_cutoffs.len()),
        ("anions", anions.len()),
    ] {
        if found != N_ELEMENTS {
            return Err(BatchError::Length {
                array,
                found,
                expected: N_ELEMENTS,
            });
        }
    }
    if let Some(found) = bond_cutoffs
        .iter()
        .find(|x| !(0.0..=LAST_RADIUS).contains(*x))
    {
        return Err(BatchError::Parameter {
            parameter: "bond_cutoffs",
            found: *found,
            expected: "0 (no anion) to 20 angstrom",
        });
    }
    Ok(batch
        .par_map(|_, crystal| crystal_environments(crystal, atomic_number, bond_cutoffs, anions)))
}

fn crystal_environments(
    crystal: &Crystal<'_>,
    atomic_number: u8,
    bond_cutoffs: &[f64],
    anions: &[bool],
) -> Result<Vec<IonSite>, CrystalError> {
    let amounts: Vec<f64> = (0..crystal.n_sites())
        .map(|site| {
            let species = crystal.species(site);
            species
                .filter(|s| crystal.atomic_numbers[*s] == atomic_number)
                .map(|s| crystal.occupancies[s])
                .sum()
        })
        .collect();
    let search = Search {
        crystal,
        amounts: &amounts,
        bond_cutoffs,
        anions,
    };
    let mut ions: Vec<IonSite> = amounts
        .iter()
        .enumerate()
        .filter(|(_, amount)| **amount > 0.0)
        .map(|(site, amount)| IonSite {
            site,
            amount: *amount,
            ion_distance: f64::NAN,
            anion_distance: f64::NAN,
            coordination_number: 0.0,
        })
        .collect();
    let has_anions = (0..crystal.n_sites()).any(|site| search.holds_anion(site));
    // All bonds lie within the first radius, so that wider searches leave the coordination alone.
    let mut radius = bond_cutoffs.iter().copied().fold(FIRST_RADIUS, f64::max);
    // What is the same by symmetry has the same surroundings.
    let stands_for = crystal.representatives();
    let mut unfinished: Vec<usize> = (0..ions.len())
        .filter(|&k| stands_for[ions[k].site] == ions[k].site)
        .collect();
    while !unfinished.is_empty() && radius <= LAST_RADIUS {
        check_pairs(crystal, radius)?;
        let grid = NeighborGrid::new(crystal, radius);
        let found = map_sites(unfinished.len(), crystal.is_large(), |k| {
            search.around(&grid, &ions[unfinished[k]])
        });
        for (k, ion) in unfinished.iter().zip(found) {
            ions[*k] = ion;
        }
        unfinished.retain(|k| {
            let ion = &ions[*k];
            ion.ion_distance.is_nan() || (has_anions && ion.anion_distance.is_nan())
        });
        radius *= 2.0;
    }
    for k in 0..ions.len() {
        let site = ions[k].site;
        // The first of its orbit comes before it.
        if let Ok(first) = ions[..k].binary_search_by_key(&stands_for[site], |ion| ion.site) {
            ions[k] = IonSite {
                site,
                ..ions[first]
            };
        }
    }
    Ok(ions)
}

/// What a search needs to know of the crystal.
struct Search<'a> {
    crystal: &'a Crystal<'a>,
    /// (n_sites,) occupancy of each site by the ion.
    amounts: &'a [f64],
    bond_cutoffs: &'a [f64],
    anions: &'a [bool],
}

impl Search<'_> {
    /// Bond cutoff and occupancy of each anion on a site.
    fn anions(&self, site: usize) -> impl Iterator<Item = (f64, f64)> {
        self.crystal.species(site).filter_map(|s| {
            let element = usize::from(self.crystal.atomic_numbers[s]) - 1;
            let (cutoff, occupancy) = (self.bond_cutoffs[element], self.crystal.occupancies[s]);
            let charge = self.crystal.oxidation_states[s];
            let uncharged = charge.is_nan() || charge == 0.0;
            let anion = charge < 0.0 || (uncharged && self.anions[element]);
            (anion && cutoff > 0.0 && occupancy > 0.0).then_some((cutoff, occupancy))
        })
    }

    fn holds_anion(&self, site: usize) -> bool {
        self.anions(site).next().is_some()
    }

    /// The surroundings of an ion as far as the grid's cutoff shows them.
    fn around(&self, grid: &NeighborGrid, ion: &IonSite) -> IonSite {
        let mut ion_distance = f64::INFINITY;
        let mut anion_distance = f64::INFINITY;
        let mut coordination_number = 0.0;
        grid.for_each_block(ion.site, &mut |block: &Block<'_>| {
            for k in 0..block.len() {
                let (site, distance) = (block.site(k), block.distance(k));
                if self.amounts[site] > 0.0
                    && distance < ion_distance
                    && !self.crystal.are_alternatives(ion.site, site, distance)
                {
                    ion_distance = distance;
                }
                for (cutoff, occupancy) in self.anions(site) {
                    anion_distance = anion_distance.min(distance);
                    if distance < cutoff {
                        coordination_number += occupancy;
                    }
                }
            }
        });
        let found = |distance: f64| {
            if distance.is_finite() {
                distance
            } else {
                f64::NAN
            }
        };
        IonSite {
            ion_distance: found(ion_distance),
            anion_distance: found(anion_distance),
            coordination_number,
            ..*ion
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutoffs_that_no_search_covers_are_refused() {
        let batch = CrystalBatch {
            lattices: &[],
            pbc: &[],
            site_offsets: &[0],
            frac_coords: &[],
            asymmetric_index: &[],
            species_offsets: &[0],
            atomic_numbers: &[],
            occupancies: &[],
            oxidation_states: &[],
        };
        let anions = [true; N_ELEMENTS];
        assert!(matches!(
            ion_environments(&batch, 3, &[0.0; 3], &anions),
            Err(BatchError::Length { found: 3, .. })
        ));
        assert!(matches!(
            ion_environments(&batch, 3, &[0.0; N_ELEMENTS], &anions[..7]),
            Err(BatchError::Length { found: 7, .. })
        ));
        for wrong in [-1.0, 21.0, f64::NAN] {
            let mut cutoffs = [0.0; N_ELEMENTS];
            cutoffs[7] = wrong;
            assert!(matches!(
                ion_environments(&batch, 3, &cutoffs, &anions),
                Err(BatchError::Parameter { .. })
            ));
        }
    }
}
