//! Bond-valence sums and the global instability index.
//!
//! A bond of length R between ions of opposite charge has the valence `s = exp((R0 - R) / b)`
//! (I. D. Brown, D. Altermatt, Acta Cryst. B41, 244 (1985), doi 10.1107/S0108768185002063); the
//! bonds of an ion sum to its charge where a crystal is free of strain. The global instability
//! index is the root mean square of what is left (A. Salinas-Sanchez et al., J. Solid State Chem.
//! 100, 201 (1992), doi 10.1016/0022-4596(92)90094-C).

pub mod brown2020;
pub mod okeeffe_brese;

use crate::batch::{Crystal, CrystalBatch};
use crate::elements::SYMBOLS;
use crate::error::{BatchError, CrystalError};
use crate::neighbors::{NeighborGrid, check_cutoff, check_pairs};

/// Highest charge that is looked up.
const MAX_CHARGE: f64 = 8.0;

/// Where R0 and b of an ion pair come from. The two are always taken from one place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Parameters {
    /// The first of: fitted to the cation in its charge; fitted to the cation in an unspecified
    /// charge; estimated from the elements; fitted to the cation in the nearest other charge.
    ///
    /// Over the 266 pairs with several charges, the bond length at 0.4 v.u. that the elements
    /// give is off by 0.079 A (root mean square), that of the nearest other charge by 0.086 A:
    /// what was measured for another charge is only better than nothing.
    Brown2020,
    /// Estimated from the elements, with one softness for all.
    OkeeffeBrese {
        /// Softness in angstrom.
        b: f64,
    },
}

/// R0 and b of an ion pair.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bond {
    r0: f64,
    b: f64,
    /// Not fitted to this pair.
    estimated: bool,
}

impl Parameters {
    fn check(self) -> Result<(), BatchError> {
        match self {
            Self::OkeeffeBrese { b } if !(b > 0.0 && b.is_finite()) => Err(BatchError::Parameter {
                parameter: "b",
                found: b,
                expected: "a positive number of angstrom",
            }),
            _ => Ok(()),
        }
    }

    fn find(self, cation: u8, charge: u8, anion: u8) -> Option<Bond> {
        let estimate = |b: f64| {
            okeeffe_brese::r0(cation, anion).map(|r0| Bond {
                r0,
                b,
                estimated: true,
            })
        };
        let bond = |(r0, b): brown2020::Fitted, estimated: bool| Bond { r0, b, estimated };
        match self {
            Self::Brown2020 => brown2020::fitted(cation, charge, anion)
                .map(|fitted| bond(fitted, false))
                .or_else(|| estimate(okeeffe_brese::B))
                .or_else(|| brown2020::nearest(cation, charge, anion).map(|f| bond(f, true))),
            Self::OkeeffeBrese { b } => estimate(b),
        }
    }
}

/// What a species entry is to its neighbours: an index among the crystal's cations or anions.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ion {
    Cation(usize),
    Anion(usize),
    Neutral,
}

/// The ions of a crystal, and the parameters of each cation with each anion.
struct Ions {
    /// (n_species,) what each species entry is.
    species: Vec<Ion>,
    n_anions: usize,
    /// Cation after cation.
    bonds: Vec<Bond>,
}

impl Ions {
    fn new(crystal: &Crystal<'_>, parameters: Parameters) -> Result<Self, CrystalError> {
        for site in 0..crystal.n_sites() {
            let charges = &crystal.oxidation_states[crystal.species(site)];
            if charges.iter().any(|charge| !charge.is_finite()) {
                return Err(CrystalError::MissingOxidationStates { site });
            }
        }
        let occupied = |sign: f64| {
            std::iter::zip(crystal.oxidation_states, crystal.occupancies)
                .any(|(charge, occupancy)| charge * sign > 0.0 && *occupancy > 0.0)
        };
        if !(occupied(1.0) && occupied(-1.0)) {
            return Err(CrystalError::NoIonPairs);
        }
        let (mut cations, mut anions) = (Vec::new(), Vec::new());
        let species = std::iter::zip(crystal.atomic_numbers, crystal.oxidation_states)
            .map(|(&z, &charge)| {
                if charge > 0.0 {
                    let whole = charge.round().clamp(1.0, MAX_CHARGE) as u8;
                    Ion::Cation(index_of(&mut cations, (z, whole)))
                } else if charge < 0.0 {
                    Ion::Anion(index_of(&mut anions, z))
                } else {
                    Ion::Neutral
                }
            })
            .collect();
        let mut bonds = Vec::with_capacity(cations.len() * anions.len());
        for &(cation, charge) in &cations {
            for &anion in &anions {
                let bond = parameters.find(cation, charge, anion).ok_or(
                    CrystalError::MissingBondParameters {
                        cation: SYMBOLS[usize::from(cation) - 1],
                        charge,
                        anion: SYMBOLS[usize::from(anion) - 1],
                    },
                )?;
                bonds.push(bond);
            }
        }
        Ok(Self {
            species,
            n_anions: anions.len(),
            bonds,
        })
    }

    /// Parameters of two species entries, none unless their charges are opposite.
    fn bond(&self, one: usize, two: usize) -> Option<&Bond> {
        match (self.species[one], self.species[two]) {
            (Ion::Cation(cation), Ion::Anion(anion)) | (Ion::Anion(anion), Ion::Cation(cation)) => {
                self.bonds.get(cation * self.n_anions + anion)
            }
            _ => None,
        }
    }
}

/// Position of `item`, which is added where it is new.
fn index_of<T: PartialEq>(items: &mut Vec<T>, item: T) -> usize {
    items
        .iter()
        .position(|known| *known == item)
        .unwrap_or_else(|| {
            items.push(item);
            items.len() - 1
        })
}

/// Bond-valence sums of one crystal.
#[derive(Debug, Clone, PartialEq)]
pub struct BondValence {
    /// (n_sites,) what the site's bonds sum to, in valence units, the mean over its species.
    pub sums: Vec<f64>,
    /// (n_sites,) what they would sum to without strain: the mean absolute charge of its species.
    pub expected: Vec<f64>,
    /// (n_sites,) fraction of the sum that rests on parameters not fitted to the ion pair.
    pub estimated: Vec<f64>,
    /// Root mean square of `sums - expected` over the charged sites, weighted by occupancy.
    pub gii: f64,
}

/// Bond-valence sums of each crystal, over the pairs of opposite charge closer than `cutoff`.
///
/// A neighbour counts with its occupancy; pairs that can't be there at one time do not
/// ([`Crystal::are_alternatives`]).
pub fn bond_valence_sums(
    batch: &CrystalBatch<'_>,
    cutoff: f64,
    parameters: Parameters,
) -> Result<Vec<Result<BondValence, CrystalError>>, BatchError> {
    check_cutoff(cutoff)?;
    parameters.check()?;
    Ok(batch.par_map(|_, crystal| {
        check_pairs(crystal, cutoff)?;
        let ions = Ions::new(crystal, parameters)?;
        Ok(crystal_sums(crystal, &ions, cutoff))
    }))
}

fn crystal_sums(crystal: &Crystal<'_>, ions: &Ions, cutoff: f64) -> BondValence {
    let grid = NeighborGrid::new(crystal, cutoff);
    let (sums, estimated): (Vec<f64>, Vec<f64>) = crystal
        .map_orbits(|site| site_sum(crystal, ions, &grid, site))
        .into_iter()
        .unzip();
    let charge = |(species, weight): (usize, f64)| weight * crystal.oxidation_states[species].abs();
    let expected: Vec<f64> = (0..crystal.n_sites())
        .map(|site| crystal.species_weights(site).map(charge).sum())
        .collect();
    let gii = global_instability_index(crystal, &sums, &expected);
    BondValence {
        sums,
        expected,
        estimated,
        gii,
    }
}

/// Bond-valence sum of a site and the fraction of it that is estimated.
fn site_sum(crystal: &Crystal<'_>, ions: &Ions, grid: &NeighborGrid, site: usize) -> (f64, f64) {
    let own: Vec<(usize, f64)> = crystal.species_weights(site).collect();
    let (mut sum, mut estimated) = (0.0, 0.0);
    grid.for_each(site, |neighbor| {
        if crystal.are_alternatives(site, neighbor.site, neighbor.distance) {
            return;
        }
        for other in crystal.species(neighbor.site) {
            for &(species, weight) in &own {
                let Some(bond) = ions.bond(species, other) else {
                    continue;
                };
                let valence = ((bond.r0 - neighbor.distance) / bond.b).exp();
                let counted = weight * crystal.occupancies[other] * valence;
                sum += counted;
                if bond.estimated {
                    estimated += counted;
                }
            }
        }
    });
    (sum, if sum > 0.0 { estimated / sum } else { 0.0 })
}

/// Neutral sites have no valence to meet and are left out.
fn global_instability_index(crystal: &Crystal<'_>, sums: &[f64], expected: &[f64]) -> f64 {
    let (mut squares, mut weight) = (0.0, 0.0);
    for (site, (sum, expected)) in std::iter::zip(sums, expected).enumerate() {
        if *expected > 0.0 {
            let occupancy = crystal.site_occupancy(site);
            squares += occupancy * (sum - expected).powi(2);
            weight += occupancy;
        }
    }
    (squares / weight).sqrt()
}
