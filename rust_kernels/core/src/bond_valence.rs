//! Bond-valence sums and the global instability index.
//!
//! A bond of length R between ions of opposite charge has the valence `s = exp((R0 - R) / b)`
//! (I. D. Brown, D. Altermatt, Acta Cryst. B41, 244 (1985), doi 10.1107/S0108768185002063); the
//! bonds of an ion sum to its charge where a crystal is free of strain. The global instability
//! index is the root mean square of what is left (A. Salinas-Sanchez et al., J. Solid State Chem.
//! 100, 201 (1992), doi 10.1016/0022-4596(92)90094-C).

pub mod brown2020;
pub mod okeeffe_brese;
mod sums;

use crate::batch::{Crystal, CrystalBatch};
use crate::elements::SYMBOLS;
use crate::error::{BatchError, CrystalError};
use crate::neighbors::{check_cutoff, check_pairs};

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

/// The bond of two ions as the sums take it: `exp((r0 - R) per_b)` times `counts`, which is 1, or
/// 0 where the two are not of opposite charge; `estimated` likewise, 0 where it is fitted.
#[derive(Debug, Clone, Copy)]
struct Term {
    r0: f64,
    per_b: f64,
    counts: f64,
    estimated: f64,
}

impl Term {
    const NONE: Self = Self {
        r0: 0.0,
        per_b: 1.0,
        counts: 0.0,
        estimated: 0.0,
    };

    fn new(bond: Bond) -> Self {
        Self {
            r0: bond.r0,
            per_b: 1.0 / bond.b,
            counts: 1.0,
            estimated: if bond.estimated { 1.0 } else { 0.0 },
        }
    }
}

/// The ions of a crystal, numbered from 1, and the bonds between each two; 0 is what has no charge.
struct Ions {
    /// (n_species,) the ion of each species entry.
    of_species: Vec<u32>,
    n_ions: usize,
    /// (n_ions, n_ions), those without charge included.
    terms: Vec<Term>,
}

impl Ions {
    /// Those on some sites, in ascending order, that hold all there are in the crystal; 0 elsewhere.
    fn new(
        crystal: &Crystal<'_>,
        parameters: Parameters,
        sites: impl Iterator<Item = usize> + Clone,
    ) -> Result<Self, CrystalError> {
        for site in sites.clone() {
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
        // Element, and the charge of cations.
        let mut ions: Vec<(u8, Option<u8>)> = Vec::new();
        let mut of_species = vec![0; crystal.atomic_numbers.len()];
        for species in sites.flat_map(|site| crystal.species(site)) {
            let charge = crystal.oxidation_states[species];
            if charge != 0.0 {
                let whole = || charge.round().clamp(1.0, MAX_CHARGE) as u8;
                let ion = (crystal.atomic_numbers[species], (charge > 0.0).then(whole));
                of_species[species] = 1 + index_of(&mut ions, ion) as u32;
            }
        }
        let n_ions = ions.len() + 1;
        let mut terms = vec![Term::NONE; n_ions * n_ions];
        for (i, &(cation, charge)) in ions.iter().enumerate() {
            let Some(charge) = charge else { continue };
            for (j, &(anion, _)) in ions.iter().enumerate().filter(|(_, ion)| ion.1.is_none()) {
                let bond = parameters.find(cation, charge, anion).ok_or(
                    CrystalError::MissingBondParameters {
                        cation: SYMBOLS[usize::from(cation) - 1],
                        charge,
                        anion: SYMBOLS[usize::from(anion) - 1],
                    },
                )?;
                terms[(i + 1) * n_ions + j + 1] = Term::new(bond);
                terms[(j + 1) * n_ions + i + 1] = Term::new(bond);
            }
        }
        Ok(Self {
            of_species,
            n_ions,
            terms,
        })
    }

    /// The bonds of an ion with each ion.
    fn bonds_of(&self, ion: u32) -> &[Term] {
        let first = ion as usize * self.n_ions;
        &self.terms[first..first + self.n_ions]
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
        sums::of_crystal(crystal, parameters, cutoff)
    }))
}
