//! What decides about the bonds of a site: its radius, its occupancy and the sign of its charge.

use super::Options;
use crate::batch::Crystal;
use crate::elements::SYMBOLS;
use crate::error::CrystalError;

/// Mean charges of disordered sites below this, in e, are rounding of occupancies.
const NO_CHARGE: f64 = 1e-6;

/// Pairs whose bond order is below this part of a single bond are left out of sums.
const LEAST_ORDER: f64 = 1e-2;

/// By how much the length of a bond falls while its order grows by a factor of e, in angstrom.
pub const SOFTNESS: f64 = 0.37;

/// Sign of a site's mean charge, unknown charges taken for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    Neutral,
    Cation,
    Anion,
}

impl Sign {
    pub const ALL: [Self; 3] = [Self::Neutral, Self::Cation, Self::Anion];

    fn of(charge: f64) -> Self {
        if charge > NO_CHARGE {
            Self::Cation
        } else if charge < -NO_CHARGE {
            Self::Anion
        } else {
            Self::Neutral
        }
    }

    /// The longest bond of a site of this sign with one of each, in sums of radii; 0 where the two
    /// do not bond.
    pub fn factors(self, options: &Options<'_>) -> [f64; 3] {
        Self::ALL.map(|other| match (self, other) {
            (Self::Cation, Self::Cation) => 0.0,
            (Self::Anion, Self::Anion) => options.anion_factor,
            _ => options.bond_factor,
        })
    }
}

/// How much longer than the sum of radii the pairs are whose bond orders are summed, in angstrom.
pub fn order_reach() -> f64 {
    -SOFTNESS * LEAST_ORDER.ln()
}

/// The sites of a crystal, those of several species as the mean of them.
#[derive(Debug)]
pub struct Atoms {
    /// (n_sites,) in angstrom.
    pub radii: Vec<f64>,
    /// (n_sites,) NaN where a species has none.
    pub electronegativities: Vec<f64>,
    /// (n_sites,)
    pub occupancies: Vec<f64>,
    /// (n_sites,)
    pub signs: Vec<Sign>,
}

impl Atoms {
    pub fn new(crystal: &Crystal<'_>, options: &Options<'_>) -> Result<Self, CrystalError> {
        if let Some(z) =
            (crystal.atomic_numbers.iter()).find(|&&z| options.radii[usize::from(z) - 1].is_nan())
        {
            let element = SYMBOLS[usize::from(*z) - 1];
            return Err(CrystalError::MissingRadius { element });
        }
        let n = crystal.n_sites();
        let mut atoms = Self {
            radii: Vec::with_capacity(n),
            electronegativities: Vec::with_capacity(n),
            occupancies: Vec::with_capacity(n),
            signs: Vec::with_capacity(n),
        };
        for site in 0..n {
            let (mut radius, mut electronegativity, mut charge) = (0.0, 0.0, 0.0);
            for (species, weight) in crystal.species_weights(site) {
                let element = usize::from(crystal.atomic_numbers[species]) - 1;
                radius += weight * options.radii[element];
                electronegativity += weight * options.electronegativities[element];
                charge += weight * crystal.oxidation_states[species];
            }
            atoms.radii.push(radius);
            atoms.electronegativities.push(electronegativity);
            atoms.occupancies.push(crystal.site_occupancy(site));
            atoms.signs.push(Sign::of(charge));
        }
        Ok(atoms)
    }

    /// Length in angstrom that no bond, and no pair whose bond order counts, exceeds; `None` where
    /// no two sites bond whatever their distance.
    pub fn reach(&self, options: &Options<'_>) -> Option<f64> {
        let largest = Sign::ALL.map(|sign| {
            std::iter::zip(&self.signs, &self.radii)
                .filter(|(own, _)| **own == sign)
                .map(|(_, radius)| *radius)
                .fold(f64::NAN, f64::max)
        });
        let mut reach: Option<f64> = None;
        for (sign, own) in std::iter::zip(Sign::ALL, largest) {
            for (factor, other) in std::iter::zip(sign.factors(options), largest) {
                let sum = own + other;
                if factor > 0.0 && sum.is_finite() {
                    let longest = (factor * sum).max(sum + order_reach());
                    reach = Some(reach.map_or(longest, |reach| reach.max(longest)));
                }
            }
        }
        reach
    }
}
